//! Containers that ask to be served by their labels, beside a file that changes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::net::{SocketAddr, TcpListener};

use crate::reload::{Changing, service};
use crate::support::admin::Control;
use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::engine::Call;
use crate::support::launch::Launch;
use crate::support::port::Port;
use crate::support::scene::Scene;
use crate::support::wait_until;

/// Has the container of that scene ask for clients at `address`.
fn label(scene: &Scene, address: SocketAddr) {
    let listen = format!("{address}->{}", scene.app.port());
    scene.engine.alter(|container| {
        for (key, value) in [("enable", "true"), ("listen", &listen), ("ready", "tcp")] {
            container.labels.insert(format!("ondemand.{key}"), value.to_owned());
        }
    });
}

/// The lines that have the labels of that scene's engine obeyed.
fn obeying(scene: &Scene) -> String {
    format!("[daemon]\nlabels = \"{}\"\n", scene.engine.url())
}

#[test]
fn a_file_that_cannot_be_had_leaves_the_labels_in_force() {
    let (first, labelled) = (Scene::new(), Scene::new());
    label(&labelled, labelled.address());
    let app = service("web", &first, "");
    let changing = Changing::new(&first, &(obeying(&labelled) + &app));
    labelled.client().echo("served by its labels");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let two = format!("[services.two]\nport = 1\nlisten = \"{}\"\n", taken.local_addr().unwrap());
    assert_eq!(changing.reload(&(app + &two)).0, 422);
    labelled.client().echo("as before");
    labelled.engine.rename_container("other");
    wait_until("its new name is known", || changing.control.get("/v1/services/other").0 == 200);
    labelled.client().echo("goes on");
}

#[test]
fn one_without_its_port_is_there_for_those_that_need_it() {
    let (first, labelled) = (Scene::new(), Scene::new());
    let taken = TcpListener::bind(Port::reserve().address()).unwrap();
    label(&labelled, taken.local_addr().unwrap());
    labelled.engine.alter(|container| "db".clone_into(&mut container.name));
    let web = service("web", &first, "depends-on = \"db\"");
    let file = first.dir.join("config.toml");
    std::fs::write(&file, obeying(&labelled) + &web).unwrap();
    let daemon = first.run(
        Launch::new()
            .args(["--log-format", "text", "-v", "--config"])
            .args([&file])
            .env("NOTIFY_SOCKET", first.dir.join("notify")),
    );
    daemon.wait_log(&["its sockets cannot be had", "another process"]);
    first.client().echo("hello");
    assert_eq!(labelled.engine.status(), Some(Status::Running));
}

/// Containers that are nobody's come and go all the time.
#[test]
fn other_containers_do_not_keep_the_daemon_from_going_away() {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        for (key, value) in [("project", "shop"), ("service", "web")] {
            container.labels.insert(format!("com.docker.compose.{key}"), value.to_owned());
        }
    });
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let launch = Launch::new()
        .args(["--compose", "shop/web", "--port", &scene.app.port().to_string()])
        .args(["--engine", &scene.engine.url(), "--log-format", "text", "-v"])
        .args(["--exit-idle-time", "1s"])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"))
        .sockets([socket.try_clone().unwrap().into()]);
    let mut daemon = scene.run(launch);
    let mut change = 0;
    // Its own container is looked at with each of these, too.
    wait_until("it has gone", || {
        change += 1;
        scene.engine.alter(|container| {
            container.labels.insert("another".to_owned(), change.to_string());
        });
        // Whatever the event says, all are listed again.
        scene.engine.rename_container("app");
        !daemon.runs()
    });
    assert!(scene.engine.count(Call::List) > 1, "it has seen them");
    assert_eq!(daemon.wait_exit(), 0);
}

/// Whoever had the port gives it up, and nothing tells: it is tried again. A reload without a file
/// tries at once.
#[test]
fn a_port_that_gets_free_is_taken() {
    let scene = Scene::new();
    let port = Port::reserve();
    let taken = TcpListener::bind(port.address()).unwrap();
    label(&scene, port.address());
    let control = scene.dir.join("control");
    let launch = Launch::new()
        .args(["--labels", &scene.engine.url(), "--log-format", "text", "-v", "--control"])
        .args([&control])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"));
    let daemon = scene.run(launch);
    daemon.wait_log(&["its sockets cannot be had", "another process"]);
    drop(taken);
    wait_until("it is served", || Client::try_connect(port.address()).is_ok());
    Client::connect(port.address()).echo("at last");
    let (status, changes) = Control::at(&control).post("/v1/reload");
    assert_eq!((status, &changes["unchanged"]), (200, &1.into()));
    // Told once, however often it was tried.
    assert_eq!(daemon.count_log(&["its sockets cannot be had"]), 1);
}
