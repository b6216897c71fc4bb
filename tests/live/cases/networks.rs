//! Where the container is reached.

use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::{Engine, Kind};
use crate::live::scratch;

/// Host network: on 127.0.0.1.
pub(crate) fn a_container_on_the_host_network_is_reached(engine: &Engine) {
    let port = scratch::host_port();
    let container = Container::create_with(
        engine,
        &["--network", "host"],
        &format!("http:{port} --bind 127.0.0.1 --boot 300"),
    );
    sleeps_and_wakes(engine, &container, &format!("--port {port}"));
}

/// `--network container:X`: at X's address.
pub(crate) fn a_container_in_anothers_network_is_reached(engine: &Engine) {
    let host = Container::create(engine, "http:9000");
    host.told("start");
    let network = format!("container:{}", host.name);
    let container =
        Container::create_with(engine, &["--network", &network], "http:8080 --boot 300");
    sleeps_and_wakes(engine, &container, "");
}

/// On several networks, `--network` picks one.
pub(crate) fn the_chosen_network_is_used(engine: &Engine) {
    let network = Network::create(engine);
    let container = Container::create(engine, "http:8080");
    engine.cli(&["network", "connect", &network.name, &container.name]);
    sleeps_and_wakes(engine, &container, &format!("--network {}", network.name));
}

/// A user-made network is as good as the engine's own.
pub(crate) fn a_user_made_network_is_reached(engine: &Engine) {
    let network = Network::create(engine);
    let container = Container::create_with(engine, &["--network", &network.name], "http:8080");
    sleeps_and_wakes(engine, &container, "");
}

/// `--upstream` outranks what the engine says.
pub(crate) fn a_given_upstream_is_used(engine: &Engine) {
    let published = format!("{}:{}", scratch::address(), 32_000 + scratch::number());
    let container = Container::create_with(
        engine,
        &["--publish", &format!("{published}:8080")],
        "http:8080 --boot 500",
    );
    sleeps_and_wakes(engine, &container, &format!("--upstream {published}"));
}

/// Only a published port is reachable, which accepts before the application does: nobody is let
/// in too early.
pub(crate) fn a_published_port_is_enough(engine: &Engine, network: &str) {
    let published = format!("{}:{}:8080", scratch::address(), 32_000 + scratch::number());
    let container = Container::create_with(
        engine,
        &["--network", network, "--publish", &published],
        "http:8080 --boot 500",
    );
    sleeps_and_wakes(engine, &container, "");
}

/// Twice, because an address may change with every start.
fn sleeps_and_wakes(engine: &Engine, container: &Container<'_>, flags: &str) {
    let daemon = Daemon::start(engine, container, &format!("--idle-timeout 300ms {flags}"));
    for boot in 1..=2 {
        let answer = daemon.get("/");
        assert_eq!((answer.status, answer.boot()), (200, boot));
        container.wait_asleep();
    }
}

/// A network of a test's own, where nobody else takes an address that has become free.
pub(super) struct Network<'e> {
    pub(super) name: String,
    engine: &'e Engine,
}

impl<'e> Network<'e> {
    pub(super) fn create(engine: &'e Engine) -> Self {
        let name = format!("odt-{}-{}", std::process::id(), scratch::number());
        let mut words = vec!["network", "create"];
        if engine.kind == Kind::Podman {
            // Names are not needed, and the one server of all networks ends while others begin.
            words.push("--disable-dns");
        }
        words.push(&name);
        engine.cli(&words);
        Network { name, engine }
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.engine.try_cli(&["network", "rm", &self.name]) {
            eprintln!("network {}: {error}", self.name);
        }
    }
}
