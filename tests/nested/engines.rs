//! The daemon before containers of newer engines.

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::engine::{Engine, IMAGE, Kind};
use crate::nested::machine::Machine;

#[test]
fn the_machine_has_what_its_tests_are_for() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    assert_eq!(machine.run("systemctl is-system-running"), "running");
    for (command, version) in [
        ("systemctl --version", "systemd 257"),
        ("podman version -f '{{.Server.Version}}'", "5."),
        ("docker version -f '{{.Server.Version}}'", "26."),
        ("docker compose version --short", "2."),
    ] {
        let told = machine.run(command);
        assert!(told.starts_with(version), "{command}: {told}");
    }
}

#[test]
fn a_container_of_podman_5_sleeps_and_wakes() {
    sleeps_and_wakes("podman");
}

#[test]
fn a_container_of_docker_26_sleeps_and_wakes() {
    sleeps_and_wakes("docker");
}

/// Twice, because an address may change with every start.
fn sleeps_and_wakes(engine: &str) {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture(&format!("{engine} load"));
    machine.run(&format!(
        "{engine} create --name web --health-cmd '/fixture health' {IMAGE} serve http:8080 --boot 200"
    ));
    let flags =
        format!("--engine {engine} --container web --port 8080 --listen 3000 --idle-timeout 300ms");
    machine.start_daemon("ondemand", &flags);
    let state = || machine.run(&format!("{engine} inspect -f '{{{{.State.Status}}}}' web"));
    assert_eq!(state(), "created");
    for boot in 1..=2 {
        let answer = client::get(machine.at(3000), "/").unwrap();
        assert_eq!((answer.status, answer.boot()), (200, boot));
        wait_for("the container sleeps", secs(20), || state() == "exited");
    }
    machine.run("systemctl stop ondemand");
    assert_eq!(machine.show("ondemand", "Result"), "success");
}

/// `generate systemd --engine podman`: the socket of root's Podman is for nobody else, and the service
/// that may use it may do nothing else.
#[test]
fn podman_of_root_is_served_through_generated_units() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("podman load");
    machine.run(&format!("podman create --name web {IMAGE} serve http:8080 --boot 200"));
    machine.run(
        "ondemand-container generate systemd --engine podman --container web --port 8080 \
         --listen 3000 --idle-timeout 300ms --exit-idle-time 300ms --control /run/web/control.sock \
         --output-dir /etc/systemd/system",
    );
    assert_eq!(machine.run("systemd-analyze verify /etc/systemd/system/ondemand-*"), "");
    machine.run("systemctl daemon-reload");
    machine.enable("ondemand-web.socket");
    let state = || machine.run("podman inspect -f '{{.State.Status}}' web");
    let service = "ondemand-web.service";
    for boot in 1..=2 {
        let mut stream = client::connect(machine.at(3000)).unwrap();
        let answer = client::get(machine.at(3000), "/").unwrap();
        assert_eq!((answer.status, answer.boot()), (200, boot));
        let process = machine.show(service, "MainPID");
        let status = machine.run(&format!("cat /proc/{process}/status"));
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
        let told = machine.run("ondemand-container status --control /run/web/control.sock");
        assert!(told.contains("web") && told.contains("awake"), "{told}");
        assert_eq!(client::get_on(&mut stream, "/").unwrap().status, 200);
        drop(stream);
        wait_for("the container sleeps", secs(20), || state() == "exited");
        machine.wait_show(service, "ActiveState", "inactive", secs(20));
        assert_eq!(machine.show(service, "Result"), "success");
    }
}
