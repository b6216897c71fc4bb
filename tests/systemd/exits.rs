//! No process while idle: the daemon exits, the next client has it started again.

use std::thread;

use crate::live::client;
use crate::live::clock::{Random, ms, poll, secs, seed};
use crate::live::container::Container;
use crate::live::engine::{Engine, Kind};
use crate::systemd::machine::{Machine, Root, service, socket};

#[test]
fn the_daemon_exits_when_unused_and_is_activated_again() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.instance(
        &container.name,
        &["ONDEMAND_IDLE_TIMEOUT=200ms", "ONDEMAND_EXIT_IDLE_TIME=300ms"],
    );
    let machine = Machine::boot(&engine, &root);
    let (socket, service) = (socket(&container.name), service(&container.name));
    machine.enable(&socket);
    for boot in 1..=2 {
        assert_eq!(machine.get().boot(), boot);
        machine.wait_show(&service, "ActiveState", "inactive", secs(20));
        assert!(container.sleeps(), "the container sleeps before the daemon exits");
        assert_eq!(machine.show(&service, "Result"), "success");
        assert_eq!(machine.show(&service, "ExecMainStatus"), "0");
        assert_eq!(machine.show(&socket, "SubState"), "listening");
    }
}

/// Clients come at the very moment the daemon exits, over and over: all are served.
#[test]
fn no_client_is_lost_around_the_exit() {
    const ROUNDS: usize = 12;
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.instance(&container.name, &["ONDEMAND_IDLE_TIMEOUT=0s", "ONDEMAND_EXIT_IDLE_TIME=100ms"]);
    let machine = Machine::boot(&engine, &root);
    let service = service(&container.name);
    machine.enable(&socket(&container.name));
    let seed = seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let address = machine.at(3000);
    let mut answered = 0;
    for round in 0..ROUNDS {
        machine.get();
        poll(secs(20), || container.sleeps().then_some(()));
        // The exit is due 100 ms after the engine's word of the stop.
        thread::sleep(ms(random.below(250)));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                thread::sleep(ms(random.below(10)));
                thread::spawn(move || client::get(address, "/").map(|answer| answer.status))
            })
            .collect();
        for client in clients {
            match client.join().unwrap() {
                Ok(200) => answered += 1,
                other => panic!("round {round}, seed {seed}: {other:?}"),
            }
        }
    }
    let exits = machine.journal(&service).matches("Deactivated successfully").count();
    println!("{answered} clients served around {exits} exits, none lost");
    assert!(exits > 1, "the rounds missed the exits");
}
