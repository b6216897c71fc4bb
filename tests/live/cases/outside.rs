//! What others do to the container behind the daemon's back is seen and honoured.

use std::io::{Read, Write};
use std::thread;

use super::networks::Network;
use crate::live::client::{self, assert_reset};
use crate::live::clock::{ms, secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

/// Found paused: resumed at the next client, in the same run.
pub(crate) fn a_paused_container_is_resumed(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout infinity");
    let run = daemon.get("/").run();
    for times in 1..=3 {
        container.told("pause");
        wait_seen(&daemon, "put to rest by somebody else", times);
        assert_eq!(daemon.get("/").run(), run);
        assert!(container.runs());
    }
}

/// Waits until the daemon has said that so often.
fn wait_seen(daemon: &Daemon, what: &str, times: usize) {
    wait_for(what, secs(30), || daemon.log().matches(what).count() >= times);
}

/// Found paused by a daemon that has just started: the same.
pub(crate) fn a_container_paused_before_the_daemon_is_resumed(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    container.told("start");
    container.told("pause");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 1s");
    assert_eq!(daemon.get("/").boot(), 1);
    container.wait_asleep();
}

/// Paused and thawed by others, it goes on serving and sleeping.
pub(crate) fn a_container_thawed_by_others_goes_on(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 10s");
    let run = daemon.get("/").run();
    container.told("pause");
    thread::sleep(ms(500));
    container.told("unpause");
    thread::sleep(ms(500));
    assert_eq!(daemon.get("/").run(), run);
    container.wait_asleep();
}

/// Stopped or killed by others, with and without a client: the next client wakes it.
pub(crate) fn a_container_stopped_by_others_is_woken_again(engine: &Engine) {
    let network = Network::create(engine);
    let options = ["--network", &network.name];
    let container = Container::create_with(engine, &options, "http:8080 echo:8081");
    let daemon = Daemon::start(engine, &container, "--idle-timeout infinity");
    for (n, verb) in ["stop", "kill", "restart"].into_iter().enumerate() {
        assert_eq!(daemon.get("/").boot(), n as u64 + 1);
        container.told(verb);
        if verb == "kill" {
            // Podman says so before the process has ended.
            wait_for("it is dead", secs(20), || container.sleeps());
        }
        // At once, without waiting for an event.
        assert_eq!(daemon.get("/").boot(), n as u64 + 2);
    }
}

/// Killed under a live connection: that one ends, the next client wakes the container.
pub(crate) fn a_killed_container_ends_its_connections(engine: &Engine) {
    let network = Network::create(engine);
    let container = Container::create_with(engine, &["--network", &network.name], "echo:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout infinity");
    let mut stream = daemon.connect();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    container.told("kill");
    let end = stream.read(&mut [0]);
    assert!(!matches!(end, Ok(1)), "{end:?}");
    let mut next = daemon.connect();
    next.write_all(b"y").unwrap();
    next.read_exact(&mut [0]).unwrap();
}

/// Removed: a clear error; served again as soon as one of that name exists, with its new ID and
/// its new address.
pub(crate) fn a_container_made_anew_is_served(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 500ms");
    let first = daemon.get("/");
    container.wait_asleep();
    container.remove();
    assert_reset(client::get(daemon.address, "/"));
    assert!(daemon.log().contains(&container.name));
    container.create_again(&[], "http:8080");
    wait_for("the new one serves", secs(30), || {
        client::get(daemon.address, "/").is_ok_and(|answer| answer.run() != first.run())
    });
    container.wait_asleep();
}

/// Removed and made anew while awake, at another address: the new one is looked up.
pub(crate) fn a_container_replaced_while_awake_is_found(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let neighbour = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout infinity");
    let first = daemon.get("/");
    container.remove();
    wait_seen(&daemon, "put to rest by somebody else", 1);
    // The neighbour takes the address that has become free.
    neighbour.told("start");
    container.create_again(&[], "http:8080 --boot 300 --say anew");
    wait_for("the new one serves", secs(30), || {
        client::get(daemon.address, "/").is_ok_and(|answer| answer.run() != first.run())
    });
    let answer = daemon.get("/");
    assert!(container.output().contains(&answer.run()), "the neighbour has answered");
}

/// Renamed away: as if removed. Another one under the name is the service then.
pub(crate) fn the_name_decides_after_a_rename(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let other = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 500ms");
    let first = daemon.get("/").run();
    container.wait_asleep();
    let away = format!("{}-away", container.name);
    engine.cli(&["rename", &container.name, &away]);
    assert_reset(client::get(daemon.address, "/"));
    engine.cli(&["rename", &other.name, &container.name]);
    let mut run = String::new();
    wait_for("the other one serves under the name", secs(30), || {
        client::get(daemon.address, "/").is_ok_and(|answer| {
            run = answer.run();
            answer.boot() == 1
        })
    });
    assert_ne!(run, first);
}
