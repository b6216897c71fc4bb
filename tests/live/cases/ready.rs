//! Nobody is let in before the container is ready, and nobody waits longer than that.

use std::time::Duration;

use crate::live::clock::{ms, now, secs};
use crate::live::container::{Container, HEALTH};
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

/// With Docker's default interval of 30 s a container is served as soon as it is healthy.
pub(crate) fn a_default_health_interval_delays_nobody(engine: &Engine) {
    let container =
        Container::create_with(engine, HEALTH, "http:8080 --boot 500 --healthy-after 700");
    let daemon = Daemon::start(engine, &container, "");
    served_healthy_after(&daemon, ms(1200));
}

/// A verdict of an earlier run counts for nothing: the second wake waits for its own.
pub(crate) fn an_earlier_verdict_does_not_count(engine: &Engine) {
    let container =
        Container::create_with(engine, HEALTH, "http:8080 --boot 200 --healthy-after 700");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 300ms");
    for _ in 0..3 {
        served_healthy_after(&daemon, ms(900));
        container.wait_asleep();
    }
}

/// `--ready tcp` does not wait for the health check.
pub(crate) fn ready_tcp_ignores_the_health_check(engine: &Engine) {
    let container = Container::create_with(engine, HEALTH, "http:8080 --healthy-after never");
    let daemon = Daemon::start(engine, &container, "--ready tcp");
    assert_eq!(daemon.get("/").boot(), 1);
    assert_eq!(daemon.get("/healthz").status, 503);
}

/// `--ready health` is the health check too.
pub(crate) fn ready_health_waits_for_the_health_check(engine: &Engine) {
    let container = Container::create_with(engine, HEALTH, "http:8080 --healthy-after 1000");
    let daemon = Daemon::start(engine, &container, "--ready health");
    served_healthy_after(&daemon, ms(1000));
}

/// `--ready http:/path`: our own request has to be answered with 2xx or 3xx.
pub(crate) fn ready_http_asks_the_application(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --healthy-after 1000");
    let daemon = Daemon::start(engine, &container, "--ready http:/healthz");
    served_healthy_after(&daemon, ms(1000));
}

/// Not before it can be healthy, and long before the engine's first own check.
fn served_healthy_after(daemon: &Daemon, least: Duration) {
    let start = now();
    let answer = daemon.get("/healthz");
    let took = start.elapsed();
    assert_eq!(answer.status, 200, "let in before it was healthy");
    assert!(took >= least && took < secs(20), "served after {took:?}");
}
