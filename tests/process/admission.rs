//! Who is let in when: one start for all, the race between sleeping and waking, clients that leave.

use std::thread;

use crate::support::app::Behaviour;
use crate::support::client::Client;
use crate::support::container::{Boot, Status};
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now};

#[test]
fn fifty_clients_at_once_are_all_served_by_one_start() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.boot = Boot::Listens(ms(200)));
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    let address = scene.address();
    let clients: Vec<_> = (0..50)
        .map(|number| {
            thread::spawn(move || Client::connect(address).echo(&format!("client {number}")))
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn a_connection_to_an_awake_container_costs_no_engine_call() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("wakes");
    let calls = scene.engine.settled();
    for number in 0..100 {
        scene.client().echo(&format!("warm {number}"));
    }
    assert_eq!(scene.engine.count_all(), calls);
}

#[test]
fn the_container_sleeps_after_the_window_and_wakes_again() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[]);
    for round in 1..=3 {
        let mut client = scene.client();
        client.echo("awake");
        let left = now();
        drop(client);
        scene.engine.wait_count(Call::Stop, round);
        assert!(left.elapsed() >= ms(190), "stopped after {:?}, too early", left.elapsed());
        scene.engine.wait_status(Status::Exited);
        assert_eq!(scene.engine.count(Call::Start), round);
    }
}

#[test]
fn a_window_of_zero_sleeps_with_the_last_connection() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "0s"]);
    let mut first = scene.client();
    let mut second = scene.client();
    first.echo("one");
    second.echo("two");
    drop(first);
    holds_for(ms(150), "no stop while somebody is connected", || {
        scene.engine.count(Call::Stop) == 0
    });
    drop(second);
    scene.engine.wait_count(Call::Stop, 1);
    // The engine may see the daemon's stop before the application has seen the close.
    scene.engine.forgive();
}

#[test]
fn an_infinite_window_never_sleeps() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "infinity"]);
    scene.client().echo("awake");
    holds_for(ms(500), "no stop", || scene.engine.count(Call::Stop) == 0);
}

#[test]
fn a_connected_client_that_says_nothing_keeps_the_container_awake() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "100ms"]);
    let mut client = scene.client();
    client.echo("awake");
    holds_for(ms(600), "no stop", || scene.engine.count(Call::Stop) == 0);
    client.echo("still");
    drop(client);
    scene.engine.wait_count(Call::Stop, 1);
}

#[test]
fn a_client_that_comes_during_the_stop_is_held_and_served_by_the_next_start() {
    let scene = Scene::new();
    scene.engine.once(Call::Stop, Fault::Gated);
    let _daemon = scene.daemon(&["--idle-timeout", "100ms"]);
    scene.client().echo("first");
    scene.engine.wait_count(Call::Stop, 1);
    let mut late = scene.client();
    late.send(b"during the stop");
    holds_for(ms(500), "held while the stop goes on", || late.is_held());
    assert_eq!(scene.engine.count(Call::Start), 1, "the stop is let finish first");
    scene.engine.proceed();
    assert_eq!(late.receive(15).unwrap(), b"during the stop");
    assert_eq!(scene.engine.count(Call::Start), 2);
    assert_eq!(scene.engine.count(Call::Stop), 1);
    late.echo("and on");
}

#[test]
fn clients_at_any_moment_around_the_stop_are_served() {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        container.stops_in = ms(3);
        container.boot = Boot::Listens(ms(2));
    });
    let _daemon = scene.daemon(&["--idle-timeout", "10ms"]);
    for round in 0..100_u64 {
        scene.client().echo("round");
        // Walks the next arrival over the end of the window and the stop in steps of 0.2 ms.
        thread::sleep(ms(5) + std::time::Duration::from_micros(200 * (round % 75)));
    }
    assert!(scene.engine.count(Call::Stop) > 10, "the rounds hardly met a stop");
    // A window this short may end before the application's own thread has seen the close.
    scene.engine.forgive();
}

#[test]
fn a_client_that_leaves_while_held_is_forgotten() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let _daemon = scene.daemon(&[]);
    let gone = scene.client();
    scene.engine.wait_count(Call::Start, 1);
    drop(gone);
    scene.engine.proceed();
    scene.engine.wait_status(Status::Running);
    scene.engine.wait_count(Call::Stop, 1);
    scene.engine.wait_status(Status::Exited);
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn a_client_that_resets_while_held_is_forgotten() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let _daemon = scene.daemon(&[]);
    let gone = scene.client();
    let mut stays = scene.client();
    scene.engine.wait_count(Call::Start, 1);
    gone.reset();
    scene.engine.proceed();
    stays.echo("served all the same");
    assert_eq!(scene.app.live(), 1, "nobody is connected for the client that left");
}

#[test]
fn a_client_that_ends_its_half_while_held_still_gets_its_answer() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::AnswerAtEof);
    scene.engine.once(Call::Start, Fault::Gated);
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"question");
    client.finish();
    scene.engine.wait_count(Call::Start, 1);
    holds_for(ms(200), "held", || client.is_held());
    scene.engine.proceed();
    assert_eq!(client.rest().unwrap(), b"question");
}

#[test]
fn bytes_of_a_held_client_stay_unread_and_arrive_intact() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    let sent = crate::support::app::pattern(20_000);
    client.send(&sent);
    scene.engine.wait_count(Call::Start, 1);
    client.wait_unread(sent.len());
    holds_for(ms(200), "nothing is read", || client.unread() == Some(sent.len()));
    scene.engine.proceed();
    assert_eq!(client.receive(sent.len()).unwrap(), sent);
}

#[test]
fn the_stop_timeout_is_given_to_the_engine() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--stop-timeout", "3s"]);
    scene.client().echo("awake");
    scene.engine.wait_status(Status::Exited);
    assert!(scene.engine.query(Call::Stop).split('&').any(|pair| pair == "t=3"));
}

/// One deadline over the stop in progress, the start and the readiness, for each client its own.
#[test]
fn each_client_has_its_own_deadline_over_stop_start_and_readiness() {
    let scene = Scene::new();
    scene.engine.once(Call::Stop, Fault::Gated);
    let _daemon = scene.daemon(&["--idle-timeout", "100ms", "--start-timeout", "6s"]);
    scene.client().echo("awake");
    scene.engine.alter(|container| container.boot = Boot::Never);
    scene.engine.wait_count(Call::Stop, 1);
    let began = now();
    let mut early = scene.client();
    holds_for(ms(2500), "held", || early.is_held());
    let mut late = scene.client();
    holds_for(ms(1000), "held", || early.is_held() && late.is_held());
    scene.engine.proceed();
    early.expect_reset();
    let waited = began.elapsed();
    assert!(waited >= ms(5950) && waited < ms(8400), "reset after {waited:?} instead of 6 s");
    scene.app.boot();
    late.echo("within its own deadline");
}

#[test]
fn many_clients_at_random_moments_around_many_stops_are_served() {
    clients_around_many_stops(&[]);
}

#[test]
fn with_several_threads_nobody_is_lost_either() {
    clients_around_many_stops(&["--threads", "4"]);
}

fn clients_around_many_stops(flags: &[&str]) {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        container.stops_in = ms(2);
        container.boot = Boot::Listens(ms(1));
    });
    let _daemon = scene.daemon(&[&["--idle-timeout", "5ms"], flags].concat());
    let address = scene.address();
    let clients: Vec<_> = (1..=4_u64)
        .map(|seed| {
            thread::spawn(move || {
                let mut random = seed;
                for _ in 0..60 {
                    Client::connect(address).echo("served");
                    // A linear congruential generator, so that every run has the same pauses.
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    thread::sleep(std::time::Duration::from_micros((random >> 33) % 25_000));
                }
            })
        })
        .collect();
    for client in clients {
        assert!(client.join().is_ok(), "a client was lost");
    }
    assert!(scene.engine.count(Call::Stop) > 5, "the clients hardly met a stop");
    // A window this short may end before the application's own thread has seen the close.
    scene.engine.forgive();
}
