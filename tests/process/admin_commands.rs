//! The commands that ask a running daemon.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::admin::Control;
use crate::support::container::Status;
use crate::support::daemon::Daemon;
use crate::support::engine::Call;
use crate::support::launch::Launch;
use crate::support::scene::Scene;

const BINARY: &str = env!("CARGO_BIN_EXE_ondemand-container");

/// A daemon with the service `app` and one that has no container.
fn two(scene: &Scene) -> (Daemon, Control) {
    let control = Control::at(&scene.dir.join("control"));
    let text = format!(
        "[daemon]\ncontrol = \"{}\"\n[defaults]\nengine = \"{}\"\nidle-timeout = \"1h\"\n\
         [services.app]\nport = {}\nlisten = \"{}\"\n\
         [services.none]\nport = 1\nlisten = \"unix:{}\"\n",
        control.path(),
        scene.engine.url(),
        scene.app.port(),
        scene.address(),
        scene.dir.join("none.sock").display(),
    );
    let file = scene.dir.join("config.toml");
    std::fs::write(&file, text).unwrap();
    let launch = Launch::new()
        .args(["--log-format", "text", "-v", "--config"])
        .args([file])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"))
        // It would outrank the file.
        .without("ONDEMAND_CONTROL");
    let daemon = scene.run(launch);
    control.wait_state("asleep");
    daemon.wait_log(&["there is no container none"]);
    (daemon, control)
}

fn command(control: &Control, words: &[&str]) -> Launch {
    Launch::new().args(words.iter().copied()).env("ONDEMAND_CONTROL", control.path())
}

/// What it printed; it has to succeed.
fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it complained about, with this exit status.
fn refused(output: &Output, code: i32) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.starts_with("ondemand-container: "), "{error}");
    error
}

#[test]
fn status_is_a_table_or_json() {
    let scene = Scene::new();
    let (_daemon, control) = two(&scene);
    let table = said(&command(&control, &["status"]).output());
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = "NAME STATE SINCE CONNECTIONS WAITING SLEEPS IN ASLEEP WAKES P50 P95 GIB-H SAVED";
    assert_eq!(lines[0].join(" "), head);
    assert_eq!((lines[1][0], lines[1][1]), ("app", "asleep"));
    assert_eq!((lines[2][0], lines[2][1]), ("none", "missing"));
    assert_eq!(lines.len(), 3, "{table}");
    let one = said(&command(&control, &["status", "none"]).output());
    assert_eq!(one.lines().count(), 2, "{one}");
    let json = said(&command(&control, &["status", "--json"]).output());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["services"][1]["state"], "missing");
    let json = said(&command(&control, &["status", "app", "--json"]).output());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["name"], "app");
}

#[test]
fn wake_hold_release_and_sleep_do_what_they_say() {
    let scene = Scene::new();
    let (_daemon, control) = two(&scene);
    let awake = said(&command(&control, &["wake", "app", "--wait"]).output());
    assert!(awake.contains("awake"), "{awake}");
    let held = said(&command(&control, &["hold", "app", "1h 30m"]).output());
    assert!(held.contains("(held)"), "{held}");
    let error = refused(&command(&control, &["sleep", "app"]).output(), 1);
    assert!(error.contains("release it first"), "{error}");
    said(&command(&control, &["release", "app"]).output());
    said(&command(&control, &["sleep", "app"]).output());
    scene.engine.wait_status(Status::Exited);
    said(&command(&control, &["hold", "app"]).output());
    let mut client = scene.client();
    client.echo("uses it");
    // Neither the hold nor the client is in the way of this.
    let forced = said(&command(&control, &["sleep", "app", "--force"]).output());
    assert!(forced.contains("stopping"), "{forced}");
    scene.engine.wait_status(Status::Exited);
    client.settle(1);
    scene.engine.forgive();
    said(&command(&control, &["wake", "app"]).output());
    scene.engine.wait_count(Call::Start, 3);
    let error = refused(&command(&control, &["wake", "none", "--wait"]).output(), 1);
    assert!(error.contains("no such container"), "{error}");
    assert_eq!(command(&control, &["hold", "app", "soon"]).output().status.code(), Some(2));
}

#[test]
fn an_unknown_service_is_told_with_the_known_ones() {
    let scene = Scene::new();
    let (_daemon, control) = two(&scene);
    for words in [
        &["status", "nginx"][..],
        &["status", "nginx", "--watch"],
        &["wake", "nginx"],
        &["sleep", "a b"],
        &["hold", "app/wake"],
        &["release", "?"],
        &["why", "nginx"],
    ] {
        let error = refused(&command(&control, words).output(), 1);
        assert!(error.contains("there are: app, none"), "{words:?}: {error}");
    }
}

#[test]
fn a_socket_that_is_missing_deaf_or_forbidden_is_told() {
    let scene = Scene::new();
    let missing = Control::at(&scene.dir.join("missing"));
    let error = refused(&command(&missing, &["status"]).output(), 1);
    assert!(error.contains("is the daemon running with --control?"), "{error}");
    let deaf = Control::at(&scene.dir.join("deaf"));
    drop(std::os::unix::net::UnixListener::bind(deaf.path()).unwrap());
    let error = refused(&command(&deaf, &["events"]).output(), 1);
    assert!(error.contains("nobody listens there"), "{error}");
    let (_daemon, control) = two(&scene);
    if rustix::process::geteuid().is_root() {
        let error = refused(&command(&control, &["status"]).nobody().output(), 77);
        assert!(error.contains("permission denied"), "{error}");
    }
    // Without the flag and the variable there is a usual place.
    let flag = Launch::new().args(["status", "--control", control.path()]);
    assert!(said(&flag.output()).contains("app"));
    let usual = Launch::new().args(["status"]).env("XDG_RUNTIME_DIR", "/nowhere").nobody();
    let error = refused(&usual.output(), 1);
    let place = "/ondemand-container/control.sock";
    assert!(error.contains(place), "{error}");
}

#[test]
fn followers_end_with_the_daemon_and_with_their_readers() {
    let scene = Scene::new();
    let (mut daemon, control) = two(&scene);
    let shell = |text: &str| {
        let text = text.replace("BIN", BINARY);
        Command::new("/bin/sh")
            .args(["-c", &text])
            .env("ONDEMAND_CONTROL", control.path())
            .output()
            .unwrap()
    };
    // Nothing happens meanwhile that they could fail to write.
    for follower in ["events", "status --watch", "status app --watch --json"] {
        let output = shell(&format!("BIN {follower} | head -n 1"));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1, "{follower}");
        assert!(output.stderr.is_empty(), "{follower}: {output:?}");
    }
    let mut followers = ["events", "status app --watch"].map(|follower| {
        let mut child = Command::new(BINARY)
            .args(follower.split(' '))
            .env("ONDEMAND_CONTROL", control.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        (child, reader, first)
    });
    scene.client().echo("awake");
    let mut awake = String::new();
    while !awake.contains("\"awake\"") {
        awake.clear();
        assert!(followers[0].1.read_line(&mut awake).unwrap() > 0);
    }
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    for (mut child, mut reader, first) in followers {
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
        assert!(first.starts_with("NAME") || first.starts_with('{'), "{first}");
    }
}
