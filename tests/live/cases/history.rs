//! What is remembered over a restart of the daemon.

use std::process::Command;

use crate::live::client;
use crate::live::clock::{poll, secs};
use crate::live::container::Container;
use crate::live::daemon::{BINARY, Daemon};
use crate::live::engine::Engine;
use crate::live::scratch::Dir;

/// Woken, asleep, held; then another daemon: the figures and the hold are still there.
pub(crate) fn figures_and_a_hold_survive_a_restart(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let dir = Dir::new();
    let control = dir.join("control");
    let flags = format!(
        "--idle-timeout 1s --control {} --history {}",
        control.display(),
        dir.join("history.json").display()
    );
    let told = |words: &[&str]| {
        let output =
            Command::new(BINARY).args(words).arg("--control").arg(&control).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let figure = |key: &str| {
        let text = told(&["status", container.name.as_str(), "--json"]);
        let view: serde_json::Value = serde_json::from_str(&text).unwrap();
        view["so_far"][key].as_f64()
    };
    let mut daemon = Daemon::start(engine, &container, &flags);
    daemon.get("/");
    container.wait_asleep();
    let slept = poll(secs(30), || figure("asleep_seconds").filter(|slept| *slept > 1.0));
    assert!(slept.is_some(), "its time asleep is not counted");
    let mut stays = daemon.connect();
    client::ask_on(&mut stays, "/").unwrap();
    assert!(told(&["why", &container.name]).contains("woken"), "nobody has woken it");
    told(&["hold", &container.name, "1h"]);
    drop(stays);
    let before = (figure("woken"), figure("asleep_seconds"));
    daemon.terminate();
    assert!(daemon.wait_exit(secs(15)).success());

    let daemon = Daemon::start(engine, &container, &flags);
    let why =
        poll(secs(30), || Some(told(&["why", &container.name])).filter(|why| why.contains("held")));
    assert!(why.is_some_and(|why| why.contains("59m")), "it is not held any more");
    assert_eq!((figure("woken"), figure("asleep_seconds")), before);
    assert_eq!(before.0, Some(2.0));
    // Three idle windows.
    std::thread::sleep(secs(3));
    assert!(container.runs(), "it is held");
    told(&["release", &container.name]);
    container.wait_asleep();
    drop(daemon);
}
