//! A start that fails: held clients are reset, the reason is logged once, a pause follows.

use std::thread;

use crate::live::client::{self, assert_reset};
use crate::live::clock::{ms, now, secs, wait_for};
use crate::live::container::{Container, HEALTH};
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

/// Exits at once: the log has the exit code and the last lines, once; the next clients are refused
/// at once until the back-off is over, and then the container gets its next chance.
pub(crate) fn an_application_that_exits_is_reported(engine: &Engine) {
    let container = Container::create(
        engine,
        "http:8080 --exit 7 --fail-boots 1 --say no-such-database --boot 200",
    );
    let daemon = Daemon::start(engine, &container, "");
    let address = daemon.address;
    let held: Vec<_> = (0..5).map(|_| thread::spawn(move || client::get(address, "/"))).collect();
    for client in held {
        assert_reset(client.join().unwrap());
    }
    assert_reset(client::get(address, "/"));
    // By the back-off, which asks nobody, and not by another failure.
    daemon.wait_log("BackOff(");
    daemon.wait_log("no-such-database");
    let log = daemon.log();
    assert_eq!(log.matches("no-such-database").count(), 1, "logged once");
    let reason = log.lines().find(|line| line.contains("no-such-database")).unwrap();
    assert!(reason.contains('7'), "the exit code is part of it: {reason}");
    wait_for("the back-off is over and the next boot serves", secs(30), || {
        client::get(address, "/").is_ok_and(|answer| answer.boot() == 2)
    });
}

/// The pause doubles: three failures in a row take at least 1 + 2 seconds.
pub(crate) fn the_back_off_doubles(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --exit 1 --fail-boots 3");
    let daemon = Daemon::start(engine, &container, "");
    let start = now();
    wait_for("the fourth boot serves", secs(30), || {
        client::get(daemon.address, "/").is_ok_and(|answer| answer.boot() == 4)
    });
    let took = start.elapsed();
    assert!(took > ms(1000 + 2000 + 4000), "served after {took:?}");
}

/// Never healthy: clients are let go at the start timeout, and the container is not left running.
pub(crate) fn a_container_that_is_never_healthy_is_given_up(engine: &Engine) {
    let container = Container::create_with(engine, HEALTH, "http:8080 --healthy-after never");
    given_up(engine, &container);
}

/// The port never opens: the same.
pub(crate) fn a_port_that_never_opens_is_given_up(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --never-listen");
    given_up(engine, &container);
}

fn given_up(engine: &Engine, container: &Container<'_>) {
    let daemon =
        Daemon::start(engine, container, "--start-timeout 3s --idle-timeout 1s --stop-timeout 2s");
    let start = now();
    assert_reset(client::get(daemon.address, "/"));
    let took = start.elapsed();
    assert!(took > ms(2500) && took < secs(20), "given up after {took:?}");
    container.wait_asleep();
}

/// The engine itself refuses to start it: its words are in the log.
pub(crate) fn a_container_that_cannot_be_started_is_reported(engine: &Engine) {
    let container =
        Container::create_with(engine, &["--entrypoint", "/no/such/program"], "http:8080");
    let daemon = Daemon::start(engine, &container, "");
    let start = now();
    assert_reset(client::get(daemon.address, "/"));
    assert!(start.elapsed() < secs(20), "refused after {:?}", start.elapsed());
    daemon.wait_log("/no/such/program");
}
