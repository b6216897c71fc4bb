//! Too many connections, too few descriptors.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::app::Behaviour;
use crate::support::client::Client;
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, wait_until};

/// Serves every client in the end: those that have got their answer leave, and make room.
fn all_are_served(mut waiting: Vec<Client>) {
    for client in &mut waiting {
        client.send(b"ping");
    }
    while !waiting.is_empty() {
        wait_until("one more client to be served", || {
            waiting.iter().any(|client| !client.is_held())
        });
        let (held, mut served): (Vec<_>, Vec<_>) = waiting.into_iter().partition(Client::is_held);
        for client in &mut served {
            assert_eq!(client.receive(4).unwrap(), b"ping");
        }
        waiting = held;
    }
}

#[test]
fn at_the_limit_clients_wait_in_the_queue_and_none_is_closed() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--max-connections", "2"]);
    let mut clients: Vec<_> = (0..6).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.send(b"ping");
    }
    wait_until("two to be served", || {
        clients.iter().filter(|client| !client.is_held()).count() == 2
    });
    holds_for(ms(300), "no more than two, and nobody is closed", || {
        clients.iter().filter(|client| !client.is_held()).count() == 2 && scene.app.live() <= 2
    });
    drop(clients);
    let clients = (0..6).map(|_| scene.client()).collect();
    all_are_served(clients);
}

/// A listener that waits for its own next client must not keep the last place from the others.
#[test]
fn a_limit_of_one_starves_none_of_several_listeners() {
    let scene = Scene::new();
    let path = scene.dir.join("one.sock");
    let listen = format!("unix:{}", path.display());
    let _daemon =
        scene.daemon(&["--max-connections", "1", "--listen", &listen, "--idle-timeout", "1m"]);
    for round in 0..3 {
        scene.client().echo(&format!("over TCP, round {round}"));
        let mut local = UnixStream::connect(&path).unwrap();
        local.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        local.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");
    }
}

#[test]
fn with_a_low_limit_of_descriptors_everybody_is_served_in_turn() {
    let scene = Scene::new();
    let launch = scene.launch_with(&["--idle-timeout", "1m"]).open_files(40);
    let daemon = scene.run(launch);
    all_are_served((0..60).map(|_| scene.client()).collect());
    assert!(daemon.log().len() < 100, "{} lines", daemon.log().len());
    assert_eq!(scene.engine.count(Call::Start), 1);
}

/// Held clients may not use up the descriptors that the wake itself needs.
#[test]
fn a_limit_of_connections_beyond_the_descriptors_loses_nobody() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Slow(ms(300)));
    let launch = scene.launch_with(&["--max-connections", "1000"]).open_files(60);
    let _daemon = scene.run(launch);
    all_are_served((0..80).map(|_| scene.client()).collect());
}

/// The limit that the daemon reckons with is taken away beneath it, so that accept(2), socket(2)
/// and pipe(2) fail with EMFILE at any of its calls.
#[test]
fn out_of_descriptors_nobody_is_lost_nothing_spins_and_the_log_is_not_flooded() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--idle-timeout", "1m"]);
    let mut first = scene.client();
    first.echo("awake");
    for spare in [0, 1, 2, 5] {
        // One at a time, so that every round begins with the same descriptors open.
        drop(std::mem::replace(&mut first, scene.client()));
        first.echo("awake");
        wait_until("one connection", || scene.app.live() == 1);
        daemon.squeeze_files(spare);
        let lines = daemon.count_log(&[]);
        let clients: Vec<_> = (0..20).map(|_| scene.client()).collect();
        let before = daemon.cpu_ticks();
        holds_for(ms(500), "nobody is closed", || clients.iter().all(Client::is_held));
        let used = daemon.cpu_ticks().checked_sub(before).unwrap_or_default();
        assert!(used < ms(150), "spare {spare}: {used:?} of processor time in 0.5 s");
        first.echo("the live one goes on");
        let more = daemon.count_log(&[]) - lines;
        assert!(more < 30, "spare {spare}: {more} lines in 0.5 s");
        daemon.wait_log(&["cannot accept"]);
        daemon.squeeze_files(100);
        all_are_served(clients);
        wait_until("one connection", || scene.app.live() == 1);
    }
}

#[test]
fn held_clients_cost_no_processor_time_whatever_they_have_sent() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let daemon = scene.daemon(&[]);
    let mut silent = scene.client();
    let mut sent = scene.client();
    sent.send(b"ping");
    let mut ended = scene.client();
    ended.send(b"ping");
    ended.finish();
    scene.engine.wait_count(Call::Start, 1);
    sent.wait_unread(4);
    let before = daemon.cpu_ticks();
    holds_for(ms(800), "held", || sent.is_held() && ended.is_held());
    let used = daemon.cpu_ticks().checked_sub(before).unwrap_or_default();
    assert!(used < ms(150), "{used:?} of processor time in 0.8 s");
    scene.engine.proceed();
    silent.echo("ping");
    assert_eq!(sent.receive(4).unwrap(), b"ping");
    assert_eq!(ended.rest().unwrap(), b"ping");
}

#[test]
fn silent_connections_cost_no_processor_time_open_or_half_closed() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::ThinkAtEof);
    let daemon = scene.daemon(&[]);
    let open = scene.client();
    let mut ended = scene.client();
    ended.send(b"ping");
    ended.finish();
    wait_until("the end to pass", || scene.app.live() == 2 && ended.unread() == Some(0));
    let before = daemon.cpu_ticks();
    holds_for(ms(800), "open", || open.is_held() && ended.is_held());
    let used = daemon.cpu_ticks().checked_sub(before).unwrap_or_default();
    assert!(used < ms(150), "{used:?} of processor time in 0.8 s");
}

#[test]
fn connections_leave_no_descriptor_behind() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Slow(ms(200)));
    let daemon = scene.daemon(&["--idle-timeout", "1m"]);
    for _ in 0..20 {
        let left = scene.client();
        drop(left);
        scene.client().reset();
    }
    scene.client().echo("awake");
    wait_until("one connection at most", || scene.app.live() == 0);
    let before = daemon.open_files();
    for _ in 0..50 {
        scene.client().echo("served");
        scene.client().reset();
        let mut client = scene.client();
        client.echo("reset");
        client.reset();
    }
    wait_until("as many descriptors as before", || daemon.open_files() <= before);
}
