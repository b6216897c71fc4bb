//! `--http-rule`: requests of monitors and bots, answered by us while the container sleeps.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::support::app::{Behaviour, pattern};
use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, wait_until};

const RULES: [&str; 4] = [
    "--http-rule",
    "path=/health* status=200 body='asleep, and well'",
    "--http-rule",
    "agent=*Robot* header=x-probe:*",
];

const HEALTH: &str = "GET /health?deep=1 HTTP/1.1\r\nHost: a\r\n\r\n";
const PROBE: &str = "POST / HTTP/1.1\r\nHost: a\r\nUser-Agent: A Robot/2\r\nX-Probe: 1\r\n\r\n";
const OTHERS: &str = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: A Robot/2\r\n\r\n";

/// All that comes back for it, to an orderly end.
fn ask(scene: &Scene, request: &str) -> String {
    let mut client = scene.client();
    client.send(request.as_bytes());
    String::from_utf8(client.rest().unwrap()).unwrap()
}

/// What the application answers.
fn is_answered(client: &mut Client) {
    let answer = String::from_utf8(client.receive(46).unwrap()).unwrap();
    assert_eq!(answer, "HTTP/1.1 204 Scripted\r\nContent-Length: 2\r\n\r\nok");
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.app.behave(Behaviour::Http(204));
    scene
}

#[test]
fn asleep_a_monitor_is_answered_and_wakes_nobody() {
    let scene = scene();
    let _daemon = scene.daemon(&RULES);
    let answer = ask(&scene, HEALTH);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nOndemand-State: asleep\r\n"), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(answer.contains("\r\nCache-Control: no-store\r\n"), "{answer}");
    assert!(
        answer.ends_with("\r\nContent-Length: 16\r\nConnection: close\r\n\r\nasleep, and well")
    );
    let head = ask(&scene, &HEALTH.replace("GET", "HEAD"));
    assert!(head.contains("\r\nContent-Length: 16\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let probe = ask(&scene, PROBE);
    assert!(probe.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{probe}");
    assert!(probe.contains("\r\nRetry-After: "), "{probe}");
    holds_for(ms(250), "asleep", || scene.engine.count(Call::Start) == 0);

    let mut wakes = scene.client();
    wakes.send(OTHERS.as_bytes());
    is_answered(&mut wakes);
    assert_eq!(scene.engine.count(Call::Start), 1);
}

/// Closing over unread bytes would reset the connection under the answer.
#[test]
fn an_answer_arrives_though_more_was_sent() {
    let scene = scene();
    let _daemon = scene.daemon(&RULES);
    for _ in 0..20 {
        let mut client = scene.client();
        client.send(PROBE.as_bytes());
        client.send(&pattern(300_000));
        client.finish();
        let answer = String::from_utf8(client.rest().unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn the_state_that_is_told_is_the_true_one() {
    let scene = scene();
    scene.engine.once(Call::Start, Fault::Gated);
    let _daemon = scene.daemon(&RULES);
    let mut wakes = scene.client();
    wakes.send(OTHERS.as_bytes());
    scene.engine.wait_count(Call::Start, 1);
    let answer = ask(&scene, HEALTH);
    assert!(answer.contains("\r\nOndemand-State: starting\r\n"), "{answer}");
    scene.engine.proceed();
    is_answered(&mut wakes);
}

#[test]
fn awake_a_monitor_is_passed_on_whole() {
    let scene = scene();
    let _daemon = scene.daemon(&[&RULES[..], &["--idle-timeout", "1m"]].concat());
    let mut user = scene.client();
    user.send(OTHERS.as_bytes());
    is_answered(&mut user);
    let mut monitor = scene.client();
    for _ in 0..2 {
        monitor.send(HEALTH.as_bytes());
        is_answered(&mut monitor);
    }
    drop(monitor);
    wait_until("its end", || scene.app.live() == 1);
    user.send(OTHERS.as_bytes());
    is_answered(&mut user);
}

/// However often it asks, and though it stays connected.
#[test]
fn awake_a_monitor_is_no_use_and_is_cut_off_by_the_sleep() {
    let scene = scene();
    let _daemon = scene.daemon(&[&RULES[..], &["--idle-timeout", "400ms"]].concat());
    let mut user = scene.client();
    user.send(OTHERS.as_bytes());
    is_answered(&mut user);
    let mut stays = scene.client();
    stays.send(HEALTH.as_bytes());
    is_answered(&mut stays);
    drop(user);
    wait_until("it to sleep under the monitor", || {
        ask_some(&scene);
        scene.engine.count(Call::Stop) == 1
    });
    // The engine sees the daemon's stop while the monitor is connected.
    scene.engine.forgive();
    scene.engine.wait_status(Status::Exited);
    stays.settle(100);
    assert_eq!(scene.engine.count(Call::Start), 1);
}

/// One request of a monitor, whoever answers it, or nobody in the moment of the sleep.
fn ask_some(scene: &Scene) {
    let mut client = scene.client();
    client.send(HEALTH.as_bytes());
    client.settle(30);
}

#[test]
fn whoever_does_not_speak_http_is_served_as_always() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[&RULES[..], &["--idle-timeout", "1m"]].concat());
    let mute = scene.client();
    holds_for(ms(150), "what says nothing may be a monitor", || {
        scene.engine.count(Call::Start) == 0
    });
    let sent = [b"SSH-2.0-x\r\n", &pattern(2_000_000)[..]].concat();
    for _ in 0..2 {
        let mut client = scene.client();
        client.send(&sent[..11]);
        assert_eq!(client.receive(11).unwrap(), &sent[..11]);
        client.echo("and on");
    }
    drop(mute);
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn a_monitor_outside_of_the_networks_is_refused_like_others() {
    let scene = scene();
    let _daemon = scene.daemon(&[&RULES[..], &["--wake-from", "127.0.0.9"]].concat());
    let mut monitor = scene.client();
    monitor.send_in_vain(HEALTH.as_bytes());
    monitor.expect_reset();
    assert_eq!(scene.engine.count(Call::Start), 0);
}
