//! Restarts, upgrades and stops lose nobody.

use std::thread;

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::container::Container;
use crate::live::engine::{Engine, Kind};
use crate::systemd::load::{Load, StopOnDrop};
use crate::systemd::machine::{Machine, Root, service, socket};

/// The service is restarted, and its binary exchanged, while clients come without a pause.
#[test]
fn a_restart_and_an_upgrade_lose_no_connection() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.instance(&container.name, &[]);
    let machine = Machine::boot(&engine, &root);
    machine.enable(&socket(&container.name));
    let service = service(&container.name);
    let load = Load::new();
    let run = machine.get().run();
    let executable = || {
        let process = machine.show(&service, "MainPID");
        machine.run(&format!("stat -L -c %i /proc/{process}/exe"))
    };
    let old = executable();
    let lost: Vec<String> = thread::scope(|scope| {
        let _stop = StopOnDrop(&load);
        let clients: Vec<_> = (0..4).map(|_| load.client(scope, machine.at(3000))).collect();
        let more = |count: usize| {
            let goal = load.answered() + count;
            wait_for("clients are answered", secs(30), || load.answered() >= goal);
        };
        more(20);
        machine.run(&format!("systemctl restart '{service}'"));
        more(20);
        // As packages do it: a new file takes the name of the old one.
        machine.run("cd /usr/local/bin && cp ondemand-container new && mv new ondemand-container");
        more(20);
        machine.run(&format!("systemctl restart '{service}'"));
        more(20);
        load.stop();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(lost.is_empty(), "{lost:?}");
    assert_ne!(executable(), old, "the new binary runs");
    assert_eq!(machine.get().run(), run, "the container never noticed");
    println!("{} clients answered over two restarts, none lost", load.answered());
}

/// Stopping the service leaves port and container; stopping the socket closes the port.
#[test]
fn a_stopped_service_comes_back_until_its_socket_is_stopped() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.instance(&container.name, &[]);
    let machine = Machine::boot(&engine, &root);
    let (socket, service) = (socket(&container.name), service(&container.name));
    machine.enable(&socket);
    let run = machine.get().run();
    machine.run(&format!("systemctl stop '{service}'"));
    assert_eq!(machine.show(&service, "Result"), "success");
    assert_eq!(machine.show(&service, "ExecMainStatus"), "0");
    assert!(container.runs());
    assert_eq!(machine.get().run(), run);
    machine.run(&format!("systemctl stop '{socket}' '{service}'"));
    client::assert_reset(client::get(machine.at(3000), "/"));
}
