//! The admin interface: HTTP on the control socket.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::support::admin::Control;
use crate::support::container::Status;
use crate::support::daemon::Daemon;
use crate::support::engine::{Call, Fault};
use crate::support::launch::Launch;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_for, wait_until};

fn launch(scene: &Scene, flags: &[&str]) -> (Launch, Control) {
    let control = Control::at(&scene.dir.join("control"));
    (scene.launch_with(flags).args(["--control", control.path()]), control)
}

fn run(scene: &Scene, flags: &[&str]) -> (Daemon, Control) {
    let (launch, control) = launch(scene, flags);
    (scene.run(launch), control)
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap()
}

#[test]
fn status_tells_what_a_service_does_from_sleep_to_sleep() {
    let scene = Scene::new();
    scene.engine.always(Call::Start, Fault::Gated);
    let (_daemon, control) = run(&scene, &["--idle-timeout", "1h"]);
    let asleep = control.wait_state("asleep");
    for (key, value) in [
        ("name", json!("app")),
        ("container", json!("app")),
        ("connections", json!(0)),
        ("waiting", json!(0)),
        ("sleeps_in_seconds", Value::Null),
        ("awake_because", Value::Null),
        ("woken", json!(0)),
        ("last_wake", Value::Null),
        ("last_failure", Value::Null),
    ] {
        assert_eq!(asleep[key], value, "{key}");
    }
    let mut client = scene.client();
    client.send(b"hello");
    let starting = control.wait_state("starting");
    assert_eq!((&starting["waiting"], &starting["awake_because"]), (&json!(1), &json!("waiting")));
    // The engine takes its time.
    holds_for(ms(300), "it is held", || client.is_held());
    scene.engine.proceed();
    assert_eq!(client.receive(5).unwrap(), b"hello");
    let awake = control.app();
    assert_eq!((&awake["state"], &awake["connections"]), (&json!("awake"), &json!(1)));
    assert_eq!(awake["awake_because"], "connections");
    assert_eq!(awake["woken"], 1);
    let wake = |key: &str| awake["last_wake"][key].as_f64().unwrap();
    let parts = ["needs_seconds", "engine_seconds", "ready_seconds", "ours_seconds"].map(wake);
    assert!((wake("total_seconds") - parts.iter().sum::<f64>()).abs() < 1e-5, "{awake}");
    // The engine was slow, the daemon was not; each has its own part.
    assert!(parts[1] > 0.0 && parts[2] > 0.0, "{awake}");
    assert!(parts[3] > 0.0 && parts[3] < parts[1] + parts[2], "{awake}");
    drop(client);
    wait_until("the idle window", || control.app()["awake_because"] == "idle window");
    let unused = control.app();
    let left = unused["sleeps_in_seconds"].as_f64().unwrap();
    assert!(left > 3500.0 && left <= 3600.0, "{unused}");
    let (status, all) = control.get("/v1/status");
    assert_eq!((status, all["services"].as_array().unwrap().len()), (200, 1));
    assert_eq!(all["services"][0]["name"], "app");
}

#[test]
fn a_failed_wake_is_a_state_and_an_answer() {
    let scene = Scene::new();
    scene.engine.always(Call::Start, Fault::Error(500, "no such image"));
    let (_daemon, control) = run(&scene, &[]);
    let (status, answer) = control.post("/v1/services/app/wake?wait=1");
    assert_eq!(status, 503);
    assert!(error(&answer).contains("the engine did not start it"), "{answer}");
    assert!(error(&answer).contains("no such image"), "{answer}");
    let failed = control.app();
    assert_eq!(failed["state"], "failed");
    assert!(failed["last_failure"].as_str().unwrap().contains("no such image"), "{failed}");
    // Within the back-off, which the machine may have stood still for.
    let refused = |verb: &str| {
        wait_for("an answer within the back-off", || {
            control.post("/v1/services/app/wake?wait=1");
            Some(control.post(&format!("/v1/services/app/{verb}")))
                .filter(|(status, _)| *status == 503)
        })
    };
    let (_, answer) = refused("wake");
    assert!(error(&answer).contains("the last wake failed"), "{answer}");
    refused("hold");
    assert_eq!(control.post("/v1/services/app/sleep").0, 200);
}

#[test]
fn woken_without_a_client_it_sleeps_again_after_its_window() {
    let scene = Scene::new();
    let (_daemon, control) = run(&scene, &["--idle-timeout", "100ms"]);
    let (status, _) = control.post("/v1/services/app/wake");
    assert_eq!(status, 202);
    scene.engine.wait_count(Call::Start, 1);
    scene.engine.wait_count(Call::Stop, 1);
    control.wait_state("asleep");
    let (status, view) = control.post("/v1/services/app/wake?wait=1");
    assert_eq!((status, &view["state"]), (200, &json!("awake")));
    assert_eq!(view["connections"], 0);
    scene.engine.wait_count(Call::Stop, 2);
}

#[test]
fn who_waits_for_a_wake_may_leave() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let (_daemon, control) = run(&scene, &[]);
    control.wait_state("asleep");
    let mut stream = control.connect();
    write!(stream, "POST /v1/services/app/wake?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    wait_until("somebody to wait", || control.app()["waiting"] == 1);
    // Only one wake that nobody waits for is under way, however often it is asked for.
    for _ in 0..3 {
        assert_eq!(control.post("/v1/services/app/wake").0, 202);
    }
    assert_eq!(control.app()["waiting"], 2);
    drop(stream);
    wait_until("it to have left", || control.app()["waiting"] == 1);
    scene.engine.proceed();
    scene.engine.wait_count(Call::Stop, 1);
}

#[test]
fn asked_to_sleep_it_sleeps_before_its_time_but_not_while_it_is_used() {
    let scene = Scene::new();
    let (_daemon, control) = run(&scene, &["--idle-timeout", "1h"]);
    let mut client = scene.client();
    client.echo("awake");
    let (status, answer) = control.post("/v1/services/app/sleep");
    assert_eq!(status, 409);
    assert!(error(&answer).contains("1 connections"), "{answer}");
    client.echo("still awake");
    assert_eq!(scene.engine.count(Call::Stop), 0);
    drop(client);
    wait_until("nobody to be connected", || control.app()["connections"] == 0);
    assert_eq!(control.post("/v1/services/app/sleep").0, 202);
    scene.engine.wait_status(Status::Exited);
    control.wait_state("asleep");
    assert_eq!(control.post("/v1/services/app/sleep").0, 200);
    scene.client().echo("awake again");
}

#[test]
fn while_it_starts_it_is_not_put_to_sleep() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let (_daemon, control) = run(&scene, &[]);
    let mut client = scene.client();
    client.send(b"hello");
    control.wait_state("starting");
    let (status, answer) = control.post("/v1/services/app/sleep");
    assert_eq!(status, 409);
    assert!(error(&answer).contains("1 wait for it"), "{answer}");
    scene.engine.proceed();
    assert_eq!(client.receive(5).unwrap(), b"hello");
}

#[test]
fn held_it_stays_awake_and_released_it_sleeps() {
    let scene = Scene::new();
    let (_daemon, control) = run(&scene, &["--idle-timeout", "50ms"]);
    let (status, view) = control.post("/v1/services/app/hold");
    assert_eq!(status, 200, "{view}");
    assert_eq!((&view["state"], &view["awake_because"]), (&json!("awake"), &json!("held")));
    assert_eq!((&view["connections"], &view["sleeps_in_seconds"]), (&json!(0), &Value::Null));
    let (status, answer) = control.post("/v1/services/app/sleep");
    assert_eq!(status, 409);
    assert!(error(&answer).contains("release it first"), "{answer}");
    let mut client = scene.client();
    client.echo("used");
    let (_, answer) = control.post("/v1/services/app/sleep");
    assert!(error(&answer).contains("1 connections use it; it is held"), "{answer}");
    drop(client);
    // Several holds are one.
    assert_eq!(control.post("/v1/services/app/hold").0, 200);
    holds_for(ms(300), "it is held", || scene.engine.status() == Some(Status::Running));
    assert_eq!(control.post("/v1/services/app/release").0, 200);
    scene.engine.wait_status(Status::Exited);
    assert_eq!(control.post("/v1/services/app/release").0, 200);
}

#[test]
fn a_hold_has_an_end_which_another_replaces() {
    let scene = Scene::new();
    let (daemon, control) = run(&scene, &["--idle-timeout", "0s"]);
    assert_eq!(control.post("/v1/services/app/hold?for=1h").0, 200);
    assert_eq!(control.post("/v1/services/app/hold?for=100ms").0, 200);
    scene.engine.wait_status(Status::Exited);
    daemon.wait_log(&["the time of its hold is over"]);
    // The other way round the short one's end is none of the long one's.
    assert_eq!(control.post("/v1/services/app/hold?for=100ms").0, 200);
    assert_eq!(control.post("/v1/services/app/hold?for=1h").0, 200);
    holds_for(ms(300), "it is held", || scene.engine.status() == Some(Status::Running));
    assert_eq!(control.app()["awake_because"], "held");
}

/// Others may do with a container what they like, whoever holds it.
#[test]
fn a_held_container_that_others_stop_is_held_again_when_it_is_woken() {
    let scene = Scene::new();
    let (daemon, control) = run(&scene, &["--idle-timeout", "0s"]);
    assert_eq!(control.post("/v1/services/app/hold").0, 200);
    scene.engine.end_container(143, &["kill", "die", "stop"]);
    daemon.wait_log(&["put to rest"]);
    let view = control.wait_state("asleep");
    assert_eq!((&view["connections"], &view["awake_because"]), (&json!(0), &Value::Null));
    assert_eq!(control.post("/v1/services/app/sleep").0, 200);
    scene.client().echo("awake again");
    wait_until("the client to have left", || control.app()["awake_because"] == "held");
    assert_eq!(scene.engine.count(Call::Stop), 0);
    control.post("/v1/services/app/release");
    scene.engine.wait_count(Call::Stop, 1);
}

#[test]
fn the_daemon_does_not_exit_for_being_unused_while_something_is_held() {
    let scene = Scene::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let control = Control::at(&scene.dir.join("control"));
    let launch = scene
        .launch()
        .args(["--control", control.path(), "--idle-timeout", "1h", "--exit-idle-time", "0s"])
        .sockets([socket.try_clone().unwrap().into()]);
    // Asleep and unused it would exit at once; so it begins awake.
    scene.engine.start_container();
    let mut daemon = scene.run(launch);
    assert_eq!(control.post("/v1/services/app/hold").0, 200);
    scene.engine.end_container(143, &["kill", "die", "stop"]);
    control.wait_state("asleep");
    let used = daemon.cpu_ticks();
    holds_for(ms(400), "it is held", || daemon.runs());
    assert!(daemon.cpu_ticks() < used + ms(30), "it turns in vain");
    assert_eq!(control.post("/v1/services/app/release").0, 200);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn a_hold_is_seen_in_the_events() {
    let scene = Scene::new();
    let (_daemon, control) = run(&scene, &["--idle-timeout", "1h"]);
    let mut events = control.events();
    control.post("/v1/services/app/hold");
    let held = events.wait(|event| event["awake_because"] == "held");
    assert_eq!((&held["connections"], &held["state"]), (&json!(0), &json!("awake")));
    control.post("/v1/services/app/release");
    events.wait(|event| event["awake_because"] == "idle window");
}

#[test]
fn what_is_not_known_is_told() {
    let scene = Scene::new();
    let (_daemon, control) = run(&scene, &[]);
    for path in ["/v1/services/nginx", "/v1/services/a%20b", "/v1/services/"] {
        let (status, answer) = control.get(path);
        assert_eq!(status, 404, "{path}");
        assert!(error(&answer).ends_with("there are: app"), "{answer}");
    }
    assert_eq!(control.post("/v1/services/nginx/wake").0, 404);
    assert_eq!(control.get("/").0, 404);
    assert_eq!(control.get("/v2/status").0, 404);
    assert_eq!(control.post("/v1/services/app/dance").0, 404);
    for path in ["/v1/status", "/v1/events", "/v1/services/app"] {
        assert_eq!(control.post(path).0, 405, "{path}");
    }
    for verb in ["wake", "sleep", "hold", "release"] {
        let (status, answer) = control.get(&format!("/v1/services/app/{verb}"));
        assert_eq!((status, error(&answer).contains("POST")), (405, true), "{verb}");
    }
    for path in ["wake?wait=2", "hold?for=soon", "hold?for=0s", "sleep?now", "release?all=1"] {
        assert_eq!(control.post(&format!("/v1/services/app/{path}")).0, 400, "{path}");
    }
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn events_follow_the_changes() {
    let scene = Scene::new();
    let (_daemon, control) = run(&scene, &["--idle-timeout", "2s"]);
    control.wait_state("asleep");
    let mut events = control.events();
    assert_eq!(events.next().unwrap()["state"], "asleep");
    let mut client = scene.client();
    client.echo("awake");
    let used = events.wait(|event| event["connections"] == 1);
    assert_eq!(used["state"], "awake");
    drop(client);
    let unused = events.wait(|event| event["connections"] == 0);
    assert_eq!(unused["awake_because"], "idle window");
    events.wait(|event| event["state"] == "asleep");
    // One that has left is forgotten: there are not so many places.
    drop(events);
    for _ in 0..20 {
        drop(control.events());
    }
}

/// A mute client, one that never ends its request and one that never reads hold up nobody, and
/// are ended themselves.
#[test]
fn slow_admin_clients_disturb_nobody() {
    let scene = Scene::new();
    let (_daemon, control) = run(&scene, &[]);
    let since = now();
    let mut mute = control.connect();
    let mut slow = control.connect();
    write!(slow, "GET /v1/status HTTP/1.1\r\nHost:").unwrap();
    let _followers: Vec<_> = (0..8).map(|_| control.events()).collect();
    let (status, answer) = control.get("/v1/events");
    assert_eq!(status, 503, "{answer}");
    scene.client().echo("served");
    assert_eq!(control.get("/v1/status").0, 200);
    // Places are all taken: the next waits for one that is given back.
    let _more: Vec<_> = (0..6).map(|_| control.connect()).collect();
    assert_eq!(control.get("/v1/status").0, 200);
    assert!(since.elapsed() > ms(4000), "there was a place at once");
    for stream in [&mut mute, &mut slow] {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
    }
    scene.client().echo("and served");
}

#[test]
fn an_oversized_request_is_refused() {
    let scene = Scene::new();
    let (_daemon, control) = run(&scene, &[]);
    let mut stream = control.connect();
    let head = format!("GET /v1/status HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    drop(stream.write_all(head.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // A body is not read.
    control.wait_state("asleep");
    let mut stream = control.connect();
    let head =
        "POST /v1/services/app/sleep HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(control.get("/v1/status").0, 200);
}

#[test]
fn the_socket_is_its_groups_and_goes_with_the_daemon() {
    let scene = Scene::new();
    let path = scene.dir.join("control");
    // One that was left behind is replaced.
    drop(UnixListener::bind(&path).unwrap());
    let (mut daemon, _control) = run(&scene, &[]);
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    let other = Scene::new();
    let check = |control: &str| {
        let launch = Launch::new().args(["check", "--container", "app", "--engine"]);
        let launch = launch.args([other.engine.url(), "--port".into(), "80".into()]);
        let launch = launch.args(["--listen", &other.address().to_string(), "--control", control]);
        String::from_utf8(launch.output().stdout).unwrap()
    };
    let found = check(path.to_str().unwrap());
    assert!(found.contains("warning  cannot listen on unix:"), "{found}");
    assert!(check("/nowhere/control").contains("PROBLEM  cannot listen on unix:/nowhere"));
    let mut second = other.launch_with(&["--control", path.to_str().unwrap()]).spawn();
    assert_eq!(second.wait_exit(), 78);
    assert!(second.count_log(&["control", "another process listens there"]) > 0);
    assert!(path.exists(), "the second has left the first one's alone");
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert!(!path.exists());
    let (_daemon, control) = (scene.daemon(&[]), Control::at(&path));
    assert!(std::fs::metadata(control.path()).is_err(), "none without the flag");
}

#[test]
fn the_daemon_drains_with_admin_clients_connected() {
    let scene = Scene::new();
    let (mut daemon, control) = run(&scene, &["--drain-timeout", "10s", "--idle-timeout", "1h"]);
    assert_eq!(control.post("/v1/services/app/hold?for=1h").0, 200);
    let mut events = control.events();
    let _mute = control.connect();
    let mut client = scene.client();
    client.echo("awake");
    events.wait(|event| event["connections"] == 1);
    daemon.terminate();
    daemon.wait_log(&["draining"]);
    client.echo("goes on");
    let view = control.app();
    assert_eq!((&view["state"], &view["connections"]), (&json!("awake"), &json!(1)));
    for verb in ["wake", "hold"] {
        let (status, answer) = control.post(&format!("/v1/services/app/{verb}"));
        assert_eq!((status, error(&answer).contains("the daemon ends")), (503, true), "{answer}");
    }
    drop(client);
    while events.next().is_some() {}
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(scene.engine.count(Call::Stop), 0);
}
