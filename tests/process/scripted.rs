//! The scripted engine itself: what it says must be what the client library understands, or a
//! test would blame the daemon for it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;

use bollard::Docker;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerStateStatusEnum, ExecConfig, HealthStatusEnum};
use bollard::query_parameters::{
    EventsOptions, InspectContainerOptions, LogsOptionsBuilder, StartContainerOptions,
    StopContainerOptions,
};
use futures_util::StreamExt;

use crate::support::client::Client;
use crate::support::container::Health;
use crate::support::engine::Call;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, wait_until};

#[tokio::test]
async fn the_scripted_engine_speaks_the_client_librarys_language() {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        container.health = Health::Starting;
        container.log = vec!["one".to_owned(), "two".to_owned()];
    });
    let socket = scene.dir.join("engine.sock");
    let docker =
        Docker::connect_with_unix(&socket.to_string_lossy(), 5, bollard::API_DEFAULT_VERSION)
            .unwrap()
            .negotiate_version()
            .await
            .unwrap();
    assert_eq!(docker.client_version().to_string(), "1.41");
    docker.info().await.unwrap();
    let mut events = Box::pin(docker.events(None::<EventsOptions>));
    let first = tokio::spawn(async move { events.next().await });
    tokio::task::spawn_blocking({
        let engine = scene.engine.clone();
        move || engine.wait_count(Call::Events, 1)
    })
    .await
    .unwrap();

    let inspect = || docker.inspect_container("app", None::<InspectContainerOptions>);
    let state = inspect().await.unwrap().state.unwrap();
    assert_eq!(state.status, Some(ContainerStateStatusEnum::EXITED));
    // Twice: the second is answered with 304.
    for _ in 0..2 {
        docker.start_container("app", None::<StartContainerOptions>).await.unwrap();
    }
    let event = first.await.unwrap().unwrap().unwrap();
    assert_eq!(event.action.as_deref(), Some("start"));
    scene.engine.verdict(Health::Healthy);
    let health = inspect().await.unwrap().state.unwrap().health.unwrap();
    assert_eq!(health.status, Some(HealthStatusEnum::HEALTHY));
    assert_eq!(health.log.unwrap().len(), 1);

    let config = ExecConfig { cmd: Some(vec!["/healthy".to_owned()]), ..ExecConfig::default() };
    let exec = docker.create_exec("app", config).await.unwrap();
    let StartExecResults::Attached { mut output, .. } =
        docker.start_exec(&exec.id, None).await.unwrap()
    else {
        panic!("detached");
    };
    assert!(output.next().await.is_none());
    assert_eq!(docker.inspect_exec(&exec.id).await.unwrap().exit_code, Some(0));

    let options = LogsOptionsBuilder::new().stderr(true).build();
    let logs: Vec<_> = docker.logs("app", Some(options)).collect().await;
    let text: String = logs.into_iter().map(|chunk| chunk.unwrap().to_string()).collect();
    assert_eq!(text, "one\ntwo\n");
    docker.stop_container("app", None::<StopContainerOptions>).await.unwrap();
    let missing = docker.inspect_container("none", None::<InspectContainerOptions>).await;
    assert!(missing.unwrap_err().to_string().contains("No such container: none"));
}

#[test]
fn the_application_listens_only_while_its_container_runs() {
    let scene = Scene::new();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, scene.app.port()));
    for _ in 0..3 {
        assert!(Client::try_connect(address).is_err());
        scene.engine.start_container();
        wait_until("the boot", || scene.app.listens());
        let mut client = Client::connect(address);
        client.echo("up");
        scene.engine.pause_container();
        client.send(b"paused");
        holds_for(ms(50), "no answer while paused", || client.is_held());
        scene.engine.unpause_container();
        assert_eq!(client.receive(6).unwrap(), b"paused");
        scene.engine.end_container(0, &["die"]);
        assert_eq!(client.rest().unwrap(), b"");
        wait_until("no connection", || scene.app.live() == 0);
    }
    // Reserved all the while: nobody else is given these numbers.
    assert_ne!(scene.port.number(), scene.app.port());
}

#[test]
fn the_scripted_engine_notes_a_stop_beside_a_connection() {
    let scene = Scene::new();
    scene.engine.start_container();
    wait_until("the boot", || scene.app.listens());
    let mut client = Client::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, scene.app.port())));
    client.echo("up");
    let mut rough = UnixStream::connect(scene.dir.join("engine.sock")).unwrap();
    rough.write_all(b"POST /v1.41/containers/app/stop?t=1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    scene.engine.wait_count(Call::Stop, 1);
    wait_until("a complaint", || !scene.engine.offences().is_empty());
    scene.engine.forgive();
}
