//! Starts and stops that fail: what clients see, what the log says, what comes next.

use crate::support::container::{Boot, Health, Status};
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

/// A failed start: the held clients are reset, a client within the back-off too, and one after it is
/// served. `why` are words of the one log line. False if the machine stood still for the whole
/// back-off: then nothing is seen of it.
fn fails_once_then_serves(status: u16, why: &'static str) -> bool {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Error(status, why));
    let daemon = scene.daemon(&[]);
    let began = now();
    let mut held = [scene.client(), scene.client()];
    for client in &mut held {
        client.expect_reset();
    }
    let starts = scene.engine.count(Call::Start);
    let refused = scene.client().try_echo("too soon").is_err();
    // The wake has failed after `began`, so the back-off goes on for a second from then at least.
    if began.elapsed() >= ms(1000) {
        return false;
    }
    assert!(refused, "a client within the back-off");
    assert_eq!(scene.engine.count(Call::Start), starts, "a start within the back-off");
    daemon.wait_log(&[why]);
    assert_eq!(daemon.count_log(&[why]), 1, "the reason is logged once");
    wait_until("a client to be served after the back-off", || {
        scene.client().try_echo("again").is_ok()
    });
    let passed = began.elapsed();
    assert!(passed >= ms(1000) && passed < ms(8000), "a back-off of {passed:?} is not about 1 s");
    true
}

fn fails_and_serves(status: u16, why: &'static str) {
    assert!((0..5).any(|_| fails_once_then_serves(status, why)), "the machine stands still");
}

#[test]
fn a_start_that_fails_with_500_resets_the_clients_says_why_once_and_backs_off() {
    fails_and_serves(500, "driver failed programming endpoint");
}

#[test]
fn a_start_that_fails_with_409_is_reported_likewise() {
    fails_and_serves(409, "is marked for removal");
}

#[test]
fn a_start_of_a_missing_image_is_reported_likewise() {
    fails_and_serves(404, "no such image: gone:1");
}

#[test]
fn a_container_that_exits_at_once_is_reported_with_its_code_and_last_log_lines() {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        container.boot = Boot::Exits(ms(20), 37);
        container.log = vec![
            "starting up".to_owned(),
            "fatal: \x1b[31mno such table\x07 \u{9b}31m\r\nforged line".to_owned(),
        ];
    });
    let daemon = scene.daemon(&["--start-timeout", "30s"]);
    let mut client = scene.client();
    let began = now();
    client.expect_reset();
    assert!(began.elapsed() < ms(9000), "noticed only after {:?}", began.elapsed());
    daemon.wait_log(&["37", "no such table"]);
    assert_eq!(daemon.count_log(&["no such table"]), 1);
    assert_eq!(daemon.control_characters(), b"");
    assert!(!daemon.log().iter().any(|line| line.contains('\u{9b}')), "C1 controls are escaped");
    assert!(!daemon.log().iter().any(|line| line.starts_with("forged line")));
}

#[test]
fn a_port_that_never_opens_ends_with_the_clients_deadline_and_nothing_is_forgotten() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.boot = Boot::Never);
    let daemon = scene.daemon(&["--start-timeout", "500ms"]);
    let began = now();
    scene.client().expect_reset();
    let waited = began.elapsed();
    assert!(waited >= ms(450) && waited < ms(9000), "reset after {waited:?} instead of 0.5 s");
    daemon.wait_log(&["app", "ready"]);
    // What the failed start left running is owed a stop.
    scene.engine.wait_status(Status::Exited);
}

#[test]
fn a_check_that_never_passes_ends_with_the_clients_deadline() {
    let scene = Scene::new();
    scene.engine.check_exits(Some(1));
    scene.engine.alter(|container| {
        container.health = Health::Starting;
    });
    let _daemon = scene.daemon(&["--start-timeout", "600ms"]);
    let began = now();
    scene.client().expect_reset();
    assert!(began.elapsed() < ms(9000));
    scene.engine.wait_status(Status::Exited);
}

#[test]
fn a_start_that_fails_although_the_container_then_runs_is_settled() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::ErrorYetDone(500, "lost my mind"));
    let _daemon = scene.daemon(&[]);
    // Served or reset: what counts is that the running container is seen and not forgotten.
    drop(scene.client().try_echo("whatever"));
    scene.engine.wait_status(Status::Exited);
    wait_until("a client to be served", || scene.client().try_echo("again").is_ok());
}

#[test]
fn a_start_that_hangs_lets_the_client_go_at_its_deadline() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Hang);
    let _daemon = scene.daemon(&["--start-timeout", "500ms"]);
    let began = now();
    scene.client().expect_reset();
    let waited = began.elapsed();
    assert!(waited >= ms(450) && waited < ms(9000), "reset after {waited:?} instead of 0.5 s");
}

#[test]
fn a_start_that_hangs_although_the_container_runs_is_settled_when_the_engine_restarts() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::HangYetDone);
    let _daemon = scene.daemon(&["--start-timeout", "500ms"]);
    let mut client = scene.client();
    client.settle(1);
    // The call is still open; the restart ends it.
    scene.engine.refuse();
    scene.engine.come_back();
    scene.engine.wait_status(Status::Exited);
    wait_until("a client to be served", || scene.client().try_echo("again").is_ok());
}

#[test]
fn a_stop_that_fails_leaves_the_service_awake_and_is_retried_after_a_window() {
    let scene = Scene::new();
    scene.engine.once(Call::Stop, Fault::Error(500, "cannot stop"));
    let daemon = scene.daemon(&["--idle-timeout", "2s"]);
    scene.client().echo("first");
    scene.engine.wait_count(Call::Stop, 1);
    let failed = now();
    scene.client().echo("still awake");
    assert_eq!(scene.engine.count(Call::Start), 1, "no start is needed");
    scene.engine.wait_count(Call::Stop, 2);
    assert!(failed.elapsed() >= ms(1950), "retried after {:?}", failed.elapsed());
    scene.engine.wait_status(Status::Exited);
    daemon.wait_log(&["cannot stop"]);
    scene.client().echo("and again");
    assert_eq!(scene.engine.count(Call::Start), 2);
}

#[test]
fn a_stop_that_fails_although_it_worked_is_seen() {
    let scene = Scene::new();
    scene.engine.once(Call::Stop, Fault::ErrorYetDone(500, "context canceled"));
    let _daemon = scene.daemon(&[]);
    scene.client().echo("first");
    scene.engine.wait_status(Status::Exited);
    scene.client().echo("second");
    assert_eq!(scene.engine.count(Call::Start), 2);
}

#[test]
fn a_stop_that_hangs_holds_the_client_only_up_to_its_deadline() {
    let scene = Scene::new();
    scene.engine.always(Call::Stop, Fault::Hang);
    let _daemon =
        scene.daemon(&["--idle-timeout", "100ms", "--start-timeout", "3s", "--stop-timeout", "1s"]);
    scene.client().echo("first");
    scene.engine.wait_count(Call::Stop, 1);
    let began = now();
    // A stop in flight may take effect at any moment: nobody is let in beside it.
    let mut held = scene.client();
    holds_for(ms(300), "held", || held.is_held());
    held.expect_reset();
    assert!(began.elapsed() < ms(9000), "reset after {:?}", began.elapsed());
    scene.engine.forgive();
}

#[test]
fn the_next_refused_start_after_a_failed_one_waits_longer() {
    let scene = Scene::new();
    scene.engine.always(Call::Start, Fault::Error(500, "no space left"));
    let _daemon = scene.daemon(&[]);
    // Of each the moments before and after it.
    let mut attempts = Vec::new();
    let mut seen = 0;
    wait_until("three starts", || {
        let before = now();
        scene.client().expect_reset();
        if scene.engine.count(Call::Start) > seen {
            seen += 1;
            attempts.push((before, now()));
        }
        seen == 3
    });
    let most = |n: usize| attempts[n + 1].1 - attempts[n].0;
    let least = |n: usize| attempts[n + 1].0.saturating_duration_since(attempts[n].1);
    let all = [most(0), least(0), most(1), least(1)];
    assert!(most(0) >= ms(1000) && least(0) < ms(5000), "first back-off not about 1 s: {all:?}");
    assert!(most(1) >= ms(2000) && least(1) < ms(6000), "second back-off not about 2 s: {all:?}");
}
