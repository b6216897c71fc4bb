//! When a started container counts as ready, and what the probe does.

use std::time::Duration;

use crate::support::app::Behaviour;
use crate::support::container::{Boot, Health, Network, Status};
use crate::support::engine::Call;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

#[test]
fn the_probe_that_succeeds_is_the_first_clients_connection() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.boot = Boot::Listens(ms(100)));
    let _daemon = scene.daemon(&["--ready", "tcp", "--idle-timeout", "1m"]);
    scene.client().echo("first");
    assert_eq!(scene.app.accepted(), 1);
    scene.client().echo("second");
    assert_eq!(scene.app.accepted(), 2);
}

#[test]
fn a_server_that_speaks_first_is_not_robbed_of_its_greeting() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::Greet("hello\n"));
    let _daemon = scene.daemon(&["--ready", "tcp"]);
    assert_eq!(scene.client().receive(6).unwrap(), b"hello\n");
    assert_eq!(scene.app.accepted(), 1);
}

#[test]
fn a_published_port_that_accepts_and_closes_is_not_ready() {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        container.network = Network::Published;
        container.boot = Boot::Lies(ms(300));
    });
    let _daemon = scene.daemon(&[]);
    let started = now();
    scene.client().echo("after the truth");
    assert!(started.elapsed() >= ms(290));
}

#[test]
fn an_unhealthy_container_is_waited_for_although_its_port_accepts() {
    let scene = Scene::new();
    scene.engine.check_exits(Some(1));
    scene.engine.alter(|container| {
        container.health = Health::Starting;
        container.boot = Boot::Listens(Duration::ZERO);
    });
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"patience");
    scene.engine.wait_count(Call::ExecStart, 2);
    assert!(client.is_held());
    scene.engine.check_exits(Some(0));
    assert_eq!(client.receive(8).unwrap(), b"patience");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn a_healthy_container_whose_port_is_closed_is_waited_for() {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        container.health = Health::Starting;
        container.boot = Boot::Listens(ms(300));
    });
    let _daemon = scene.daemon(&["--ready", "auto"]);
    let started = now();
    scene.client().echo("open at last");
    assert!(started.elapsed() >= ms(290));
}

#[test]
fn without_exec_the_engines_own_verdict_counts_and_the_log_says_so_once() {
    let scene = Scene::new();
    scene.engine.check_exits(None);
    scene.engine.alter(|container| container.health = Health::Starting);
    let daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"verdict");
    scene.engine.wait_count(Call::ExecCreate, 1);
    daemon.wait_log(&["exec"]);
    holds_for(ms(100), "held without a verdict", || client.is_held());
    scene.engine.verdict(Health::Healthy);
    assert_eq!(client.receive(7).unwrap(), b"verdict");
    drop(client);

    // The verdict of the first run counts no more, and what the log said is not said again.
    scene.engine.wait_status(Status::Exited);
    let mut client = scene.client();
    client.send(b"again");
    scene.engine.wait_count(Call::ExecCreate, 2);
    holds_for(ms(100), "held without a verdict of this run", || client.is_held());
    scene.engine.verdict(Health::Healthy);
    assert_eq!(client.receive(5).unwrap(), b"again");
    let told =
        daemon.log().iter().filter(|line| line.contains("WARN") && line.contains("exec")).count();
    assert_eq!(told, 1, "said once");
}

#[test]
fn a_verdict_of_an_earlier_run_does_not_count() {
    // A resumed container shows its old verdict until the next check, whatever it was.
    for stale in [Health::Unhealthy, Health::Healthy] {
        let scene = Scene::new();
        scene.engine.check_exits(Some(1));
        scene.engine.alter(|container| container.health = Health::Starting);
        scene.engine.start_container();
        scene.engine.verdict(stale);
        scene.engine.pause_container();
        wait_until("the boot", || scene.app.listens());
        let _daemon = scene.daemon(&[]);
        let mut client = scene.client();
        client.send(b"now");
        scene.engine.wait_count(Call::ExecStart, 2);
        assert!(client.is_held(), "{stale:?} of an earlier run ended the wait");
        scene.engine.check_exits(Some(0));
        assert_eq!(client.receive(3).unwrap(), b"now");
    }
}

#[test]
fn http_readiness_waits_for_two_hundred_or_three_hundred() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::Http(503));
    let _daemon = scene.daemon(&["--ready", "http:/healthz"]);
    let mut client = scene.client();
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until("two requests of ours", || scene.app.accepted() >= 2);
    assert!(client.is_held());
    scene.app.behave(Behaviour::Http(302));
    let head = String::from_utf8(client.receive(12).unwrap()).unwrap();
    assert_eq!(head, "HTTP/1.1 302");
    assert!(
        String::from_utf8_lossy(&scene.app.report().received).starts_with("GET /healthz HTTP/1.1")
    );
}

#[test]
fn readiness_none_takes_the_start_for_ready() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.boot = Boot::Listens(Duration::ZERO));
    scene.app.boot();
    let _daemon = scene.daemon(&["--ready", "none"]);
    scene.client().echo("at once");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn an_explicit_upstream_is_used() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.boot = Boot::Never);
    scene.app.boot();
    let upstream = format!("127.0.0.1:{}", scene.app.port());
    let launch = crate::support::launch::Launch::new()
        .args(["--container", "app", "--port", "9", "--upstream", &upstream])
        .args(["--engine", &scene.engine.url(), "--listen", &scene.address().to_string()])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"));
    let _daemon = scene.run(launch);
    scene.client().echo("elsewhere");
}
