//! The engine goes away and comes back.

use std::io::{Read, Write};
use std::thread;

use super::networks::Network;
use crate::live::client;
use crate::live::clock::{ms, secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;
use crate::live::tap::{Line, Tap};

/// Live connections go on, and warm clients are served: neither needs the engine. What happened
/// meanwhile is seen when it is back.
pub(crate) fn live_connections_survive_the_engine(engine: &Engine) {
    for line in [Line::Gone, Line::Hung] {
        let container = Container::create(engine, "echo:8080");
        let tap = Tap::on(engine);
        let daemon = Daemon::start_on(&tap.url(), &container.name, "--idle-timeout 1s");
        let mut stream = daemon.connect();
        exchange(&mut stream);
        tap.set(line);
        thread::sleep(secs(2));
        exchange(&mut stream);
        exchange(&mut daemon.connect());
        tap.set(Line::Open);
        drop(stream);
        container.wait_asleep();
        exchange(&mut daemon.connect());
        // The events are read again: a start by others is seen and owed an idle window.
        container.wait_asleep();
        thread::sleep(secs(1));
        container.told("start");
        container.wait_asleep();
    }
}

/// Who waits, waits within the deadline, and is served when the engine is back in time.
pub(crate) fn a_client_waits_for_the_engine(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let tap = Tap::on(engine);
    let daemon = Daemon::start_on(&tap.url(), &container.name, "--idle-timeout 500ms");
    let address = daemon.address;
    for (boot, line) in [(1, Line::Gone), (2, Line::Hung)] {
        tap.set(line);
        let held = thread::spawn(move || client::get(address, "/"));
        thread::sleep(secs(2));
        assert!(!held.is_finished(), "{line:?}: not held");
        tap.set(Line::Open);
        assert_eq!(held.join().unwrap().unwrap().boot(), boot, "{line:?}");
        container.wait_asleep();
    }
}

/// With no engine to ask, a client is let go at its deadline.
pub(crate) fn no_client_waits_beyond_its_deadline(engine: &Engine) {
    for line in [Line::Gone, Line::Hung] {
        let container = Container::create(engine, "http:8080");
        let tap = Tap::on(engine);
        let daemon = Daemon::start_on(&tap.url(), &container.name, "--start-timeout 2s");
        tap.set(line);
        let start = crate::live::clock::now();
        client::assert_reset(client::get(daemon.address, "/"));
        let took = start.elapsed();
        assert!(took > ms(1500) && took < secs(20), "{line:?}: let go after {took:?}");
    }
}

/// The container is stopped while nobody could tell us: seen as soon as the engine is back.
pub(crate) fn a_stop_in_the_dark_is_seen_afterwards(engine: &Engine) {
    let network = Network::create(engine);
    let container = Container::create_with(engine, &["--network", &network.name], "http:8080");
    let tap = Tap::on(engine);
    let daemon = Daemon::start_on(&tap.url(), &container.name, "--idle-timeout infinity");
    assert_eq!(daemon.get("/").boot(), 1);
    tap.set(Line::Gone);
    container.told("stop");
    let address = daemon.address;
    let held = thread::spawn(move || client::get(address, "/"));
    thread::sleep(secs(1));
    tap.set(Line::Open);
    assert_eq!(held.join().unwrap().unwrap().boot(), 2);
}

/// The daemon may start before its engine does.
pub(crate) fn the_daemon_may_start_first(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let tap = Tap::on(engine);
    tap.set(Line::Gone);
    let daemon = Daemon::start_on(&tap.url(), &container.name, "");
    let address = daemon.address;
    let held = thread::spawn(move || client::get(address, "/"));
    thread::sleep(secs(1));
    tap.set(Line::Open);
    assert_eq!(held.join().unwrap().unwrap().boot(), 1);
}

/// Podman's service dies with everything but the containers, and is started again.
pub(crate) fn the_podman_service_is_killed_and_restarted(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 1s");
    let mut stream = daemon.connect();
    exchange(&mut stream);
    engine.kill_service();
    thread::sleep(secs(2));
    exchange(&mut stream);
    exchange(&mut daemon.connect());
    std::fs::remove_file(&engine.socket).unwrap();
    engine.start_service();
    drop(stream);
    container.wait_asleep();
    let mut again = daemon.connect();
    exchange(&mut again);
    wait_for("awake again", secs(20), || container.runs());
    drop(again);
    container.wait_asleep();
}

pub(crate) fn exchange(stream: &mut (impl Read + Write)) {
    let mut back = [0; 4];
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"ping");
}
