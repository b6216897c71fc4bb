//! After an idle window without a connection the container sleeps.

use std::io::{Read, Write};
use std::thread;

use crate::live::clock::{ms, now, secs};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;
use crate::live::tap::Tap;

/// The window starts when the last connection closes, however long and silent that was.
pub(crate) fn the_idle_window_starts_with_the_last_close(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 3s");
    let mut stream = daemon.connect();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    thread::sleep(ms(5000));
    assert!(container.runs(), "a silent connection is a connection");
    stream.write_all(b"y").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let start = now();
    drop(stream);
    thread::sleep(ms(500));
    let runs = container.runs();
    assert!(runs || start.elapsed() >= ms(3000), "asleep before the window is over");
    container.wait_asleep();
    assert!(start.elapsed() >= ms(3000));
}

/// `0s`: as soon as the last connection closes.
pub(crate) fn a_window_of_nothing_sleeps_with_the_last_close(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 0s");
    for boot in 1..=3 {
        assert_eq!(daemon.get("/").boot(), boot);
        container.wait_asleep();
    }
}

/// `infinity`: never.
pub(crate) fn an_infinite_window_never_sleeps(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--idle-timeout infinity");
    let run = daemon.get("/").run();
    thread::sleep(ms(1500));
    assert_eq!(daemon.get("/").run(), run);
}

/// A container found awake at the start of the daemon is given one idle window.
pub(crate) fn a_container_found_awake_is_owed_a_window(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    container.told("start");
    let began = now();
    let daemon = Daemon::start(engine, &container, "--idle-timeout 2s");
    let first = daemon.get("/").boot();
    assert!(first == 1 || began.elapsed() >= secs(2), "no window was owed");
    container.wait_asleep();
    container.told("start");
    container.wait_asleep();
    assert_eq!(daemon.get("/").boot(), first + 2);
}

/// Awake, a connection costs no engine call.
pub(crate) fn a_warm_connection_costs_no_engine_call(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let tap = Tap::on(engine);
    let daemon = Daemon::start_on(&tap.url(), &container.name, "");
    daemon.get("/");
    // What the start itself has caused, late events among it, is over after a second.
    thread::sleep(secs(1));
    let cold = tap.take_requests();
    assert!(cold.iter().any(|line| line.contains("/start")), "{cold:?}");
    // An event that comes even later is looked at once; a call for each connection would be there each time.
    let mut calls = Vec::new();
    let free = (0..5).any(|_| {
        tap.take_requests();
        for _ in 0..50 {
            daemon.get("/");
        }
        calls = tap.take_requests();
        calls.is_empty()
    });
    assert!(free, "{calls:?}");
}
