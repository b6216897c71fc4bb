//! The log: its formats, and that nothing from outside reaches it raw.

use crate::support::app::Behaviour;
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::wait_until;

#[test]
fn every_line_of_the_json_log_is_an_object() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Error(500, "quote \" and \u{1} backslash \\"));
    let launch = crate::support::launch::Launch::new()
        .args(["--container", "app", "--port", &scene.app.port().to_string()])
        .args(["--listen", &scene.address().to_string(), "--engine", &scene.engine.url()])
        .args(["--idle-timeout", "100ms", "--log-format", "json", "-vv"])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"));
    let mut daemon = scene.run(launch);
    scene.client().expect_reset();
    wait_until("a client to be served", || scene.client().try_echo("again").is_ok());
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    let lines = daemon.log();
    assert!(!lines.is_empty());
    for line in lines {
        let parsed: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err} in {line:?}"));
        assert!(parsed.is_object(), "{line:?}");
        for field in ["timestamp", "level", "target"] {
            assert!(parsed.get(field).is_some(), "no {field} in {line:?}");
        }
    }
}

#[test]
fn control_characters_of_a_client_never_reach_the_log() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::Http(200));
    let mut daemon = scene.daemon(&["-vv", "--ready", "http:/"]);
    let mut client = scene.client();
    client.send(b"GET /\x1b]0;owned\x07\x9b31m HTTP/1.1\r\nHost: \x1b[2J\r\nX: \x08\x0b\r\n\r\n");
    client.receive(12).unwrap();
    drop(client);
    scene.client().send(b"\x00\x1b[31m\xff\xfe\r\n");
    scene.engine.wait_count(Call::Stop, 1);
    daemon.terminate();
    daemon.wait_exit();
    assert_eq!(daemon.control_characters(), b"");
    assert_eq!(daemon.count_log(&["owned"]), 0);
}

#[test]
fn the_log_of_a_plain_day_is_short_and_says_what_matters() {
    let scene = Scene::new();
    let launch = crate::support::launch::Launch::new()
        .args(["--container", "app", "--port", &scene.app.port().to_string()])
        .args(["--listen", &scene.address().to_string(), "--engine", &scene.engine.url()])
        .args(["--idle-timeout", "2s", "--log-format", "text"])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"));
    let mut daemon = scene.run(launch);
    for _ in 0..20 {
        scene.client().echo("a client");
    }
    // The line, not the state: the daemon hears of it a moment after the engine has it. The first
    // such line may be missing, when the clients come before the first look is over.
    daemon.wait_log(&["going to sleep"]);
    wait_until("the line that it is asleep", || {
        daemon.log().iter().rposition(|line| line.contains("asleep"))
            > daemon.log().iter().rposition(|line| line.contains("going to sleep"))
    });
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.log().len() <= 15, "{:#?}", daemon.log());
    assert!(daemon.count_log(&["awake"]) + daemon.count_log(&["woke"]) > 0, "{:#?}", daemon.log());
    assert!(daemon.count_log(&["asleep"]) > 0, "{:#?}", daemon.log());
    assert!(daemon.count_log(&["engine.sock"]) > 0, "the log says which engine was taken");
    assert_eq!(daemon.count_log(&["error"]), 0, "{:#?}", daemon.log());
}

#[test]
fn rust_log_outranks_the_flag() {
    let scene = Scene::new();
    let mut daemon = scene.run(scene.launch_with(&[]).env("RUST_LOG", "off"));
    scene.client().echo("silent");
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.log().is_empty(), "{:#?}", daemon.log());
}
