//! What Quadlet makes of a file: a unit whose container is there as long as it runs.

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::engine::{Engine, IMAGE, Kind};
use crate::nested::machine::Machine;

/// What the daemon has to reckon with: a stop removes the container.
#[test]
fn a_quadlet_is_a_unit_that_can_be_started_and_stopped() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("podman load");
    let file = format!(
        "[Container]\nContainerName=web\nImage={IMAGE}\nExec=serve http:8080\n\
         PublishPort=3000:8080\nHealthCmd=/fixture health\nHealthInterval=1s\nNotify=healthy\n"
    );
    machine.write("/etc/containers/systemd/web.container", &file);
    machine.run("systemctl daemon-reload");
    assert_eq!(machine.show("web.service", "LoadState"), "loaded");
    for _ in 1..=2 {
        machine.run("systemctl start web.service");
        assert_eq!(machine.show("web.service", "ActiveState"), "active");
        assert_eq!(client::get(machine.at(3000), "/").unwrap().status, 200);
        machine.run("systemctl stop web.service");
        assert_eq!(machine.show("web.service", "ActiveState"), "inactive");
        assert_eq!(machine.run("podman ps -aq"), "", "the container is gone");
    }
}

/// `generate quadlet`: the daemon itself is the container, on the host's network.
#[test]
fn the_daemon_as_a_quadlet_wakes_a_container() {
    serves("", "--listen '3000->8080'");
}

/// On the network of its target, with its ports published.
#[test]
fn the_daemon_as_a_quadlet_publishes_its_ports() {
    serves("--network lan", "--network lan --listen '3000->8080' --listen '127.0.0.1:3001->8080'");
}

fn serves(create: &str, flags: &str) {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("podman load");
    machine.build_image();
    machine.run(&format!(
        "podman network create lan; podman create --name web {create} {IMAGE} serve http:8080 --boot 200"
    ));
    machine.run(&format!(
        "ondemand-container generate quadlet --container web --port 8080 {flags} \
         --idle-timeout 300ms --output-dir /etc/containers/systemd"
    ));
    machine.run("systemctl daemon-reload && systemctl start ondemand-web.service");
    for boot in 1..=2 {
        assert_eq!(machine.get().boot(), boot);
        let state = || machine.run("podman inspect -f '{{.State.Status}}' web");
        wait_for("the container sleeps", secs(20), || state() == "exited");
    }
    machine.run("podman healthcheck run ondemand-web");
    machine.run("systemctl stop ondemand-web.service");
    assert_eq!(machine.show("ondemand-web.service", "Result"), "success");
}

/// A file of services, read from the host.
#[test]
fn the_daemon_as_a_quadlet_reads_a_file() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("podman load");
    machine.build_image();
    machine.run(&format!("podman create --name web {IMAGE} serve http:8080"));
    let file = "[services.web]\nport = 8080\nlisten = \"3000\"\nengine = \"podman\"\n";
    machine.write("/etc/ondemand-container/config.toml", file);
    machine.run(
        "ondemand-container generate quadlet --config /etc/ondemand-container/config.toml \
         --output-dir /etc/containers/systemd",
    );
    machine.run("systemctl daemon-reload && systemctl start ondemand-container.service");
    assert_eq!(machine.get().boot(), 1);
}
