//! The daemon told to end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use rustix::process::Signal;

use crate::live::client;
use crate::live::clock::{ms, now, secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

/// SIGTERM: no new client, the present ones are served to the end, the container stays as it is.
pub(crate) fn sigterm_drains_and_leaves_the_container(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let mut daemon = Daemon::start(engine, &container, "");
    daemon.get("/");
    let address = daemon.address;
    let busy = thread::spawn(move || client::get(address, "/slow?ms=5000"));
    let mut asked = 1;
    wait_for("it is being served", secs(20), || {
        asked += 1;
        daemon.get("/stats").field("requests") == (asked + 1).to_string()
    });
    daemon.terminate();
    wait_for("the port is closed", secs(4), || TcpStream::connect(address).is_err());
    assert_eq!(busy.join().unwrap().unwrap().status, 200);
    let status = daemon.wait_exit(secs(15));
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(container.runs());
    assert!(daemon.notices().iter().any(|notice| notice == "STOPPING=1"));
}

/// A client that is still held at SIGTERM is served too.
pub(crate) fn sigterm_serves_who_is_held(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --boot 1500");
    let mut daemon = Daemon::start(engine, &container, "");
    let mut stream = daemon.connect();
    let held = thread::spawn(move || client::get_on(&mut stream, "/"));
    thread::sleep(ms(500));
    daemon.terminate();
    assert_eq!(held.join().unwrap().unwrap().boot(), 1);
    assert_eq!(daemon.wait_exit(secs(15)).code(), Some(0));
}

/// The drain has an end, and a second signal ends it at once.
pub(crate) fn the_drain_ends(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let mut patient = Daemon::start(engine, &container, "--drain-timeout 1s");
    let mut hurried = Daemon::start(engine, &container, "--drain-timeout 60s");
    let streams = [&patient, &hurried].map(|daemon| {
        let mut stream = daemon.connect();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    });
    let start = now();
    patient.terminate();
    patient.wait_exit(secs(15));
    assert!(start.elapsed() >= ms(900), "ended after {:?}", start.elapsed());
    hurried.signal(Signal::INT);
    thread::sleep(ms(300));
    hurried.terminate();
    hurried.wait_exit(secs(15));
    assert!(container.runs());
    drop(streams);
}

/// Asleep there is nothing to drain.
pub(crate) fn an_idle_daemon_ends_at_once(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let mut daemon = Daemon::start(engine, &container, "");
    daemon.terminate();
    assert_eq!(daemon.wait_exit(secs(15)).code(), Some(0));
    assert!(container.sleeps());
}

/// `--on-exit stop`: the container sleeps when the daemon has ended.
pub(crate) fn on_exit_stop_stops_the_container(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --stop 300");
    let mut daemon = Daemon::start(engine, &container, "--on-exit stop");
    daemon.get("/");
    daemon.terminate();
    assert_eq!(daemon.wait_exit(secs(15)).code(), Some(0));
    assert!(container.sleeps());
}

/// Restarted: the next daemon finds the container awake and goes on.
pub(crate) fn the_next_daemon_goes_on(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let mut daemon = Daemon::start(engine, &container, "");
    let run = daemon.get("/").run();
    daemon.terminate();
    daemon.wait_exit(secs(15));
    let began = now();
    let next = Daemon::start(engine, &container, "--idle-timeout 2s");
    let again = next.get("/").run();
    assert!(again == run || began.elapsed() >= secs(2), "no window was owed");
    container.wait_asleep();
}

/// STATUS tells what the daemon is doing.
pub(crate) fn the_status_follows(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --boot 300");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 500ms");
    let statuses = || daemon.notices().iter().filter(|n| n.starts_with("STATUS=")).count();
    let before = statuses();
    daemon.get("/");
    container.wait_asleep();
    wait_for("the status has changed", secs(20), || statuses() > before);
}
