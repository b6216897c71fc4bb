//! Starts and stops that fail: what clients see, what the log says, what comes next.

use crate::support::container::{Boot, Health, Status};
use crate::support::daemon::Daemon;
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

/// A failed start: the held clients are reset, a client within the back-off too and at once, and
/// the one after it is served. `why` are words of the one log line.
fn fails_once_then_serves(scene: &Scene, daemon: &Daemon, why: &[&str]) {
    let mut held = [scene.client(), scene.client()];
    for client in &mut held {
        client.expect_reset();
    }
    let failed = now();
    let starts = scene.engine.count(Call::Start);
    scene.client().expect_reset();
    assert!(failed.elapsed() < ms(700), "refused after {:?}, not at once", failed.elapsed());
    assert_eq!(scene.engine.count(Call::Start), starts, "a start within the back-off");
    daemon.wait_log(why);
    assert_eq!(daemon.count_log(why), 1, "the reason is logged once");
    wait_until("a client to be served after the back-off", || {
        scene.client().try_echo("again").is_ok()
    });
    let passed = failed.elapsed();
    assert!(passed > ms(600) && passed < ms(4000), "a back-off of {passed:?} is not about 1 s");
}

#[test]
fn a_start_that_fails_with_500_resets_the_clients_says_why_once_and_backs_off() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Error(500, "driver failed programming endpoint"));
    let daemon = scene.daemon(&[]);
    fails_once_then_serves(&scene, &daemon, &["driver failed programming endpoint"]);
}

#[test]
fn a_start_that_fails_with_409_is_reported_likewise() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Error(409, "is marked for removal"));
    let daemon = scene.daemon(&[]);
    fails_once_then_serves(&scene, &daemon, &["is marked for removal"]);
}

#[test]
fn a_start_of_a_missing_image_is_reported_likewise() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Error(404, "no such image: gone:1"));
    let daemon = scene.daemon(&[]);
    fails_once_then_serves(&scene, &daemon, &["no such image: gone:1"]);
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
    let daemon = scene.daemon(&[]);
    let mut client = scene.client();
    let began = now();
    client.expect_reset();
    assert!(began.elapsed() < ms(3000), "noticed only after {:?}", began.elapsed());
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
    assert!(waited >= ms(450) && waited < ms(2500), "reset after {waited:?} instead of 0.5 s");
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
    assert!(began.elapsed() < ms(3000));
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
    assert!(waited >= ms(450) && waited < ms(2500), "reset after {waited:?} instead of 0.5 s");
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
    let daemon = scene.daemon(&["--idle-timeout", "300ms"]);
    scene.client().echo("first");
    scene.engine.wait_count(Call::Stop, 1);
    let failed = now();
    scene.client().echo("still awake");
    assert_eq!(scene.engine.count(Call::Start), 1, "no start is needed");
    scene.engine.wait_count(Call::Stop, 2);
    assert!(failed.elapsed() >= ms(250), "retried after {:?}", failed.elapsed());
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
    let _daemon = scene.daemon(&[
        "--idle-timeout",
        "100ms",
        "--start-timeout",
        "700ms",
        "--stop-timeout",
        "1s",
    ]);
    scene.client().echo("first");
    scene.engine.wait_count(Call::Stop, 1);
    let began = now();
    // A stop in flight may take effect at any moment: nobody is let in beside it.
    let mut held = scene.client();
    holds_for(ms(300), "held", || held.is_held());
    held.expect_reset();
    assert!(began.elapsed() < ms(2500), "reset after {:?}", began.elapsed());
    scene.engine.forgive();
}

#[test]
fn the_next_refused_start_after_a_failed_one_waits_longer() {
    let scene = Scene::new();
    scene.engine.always(Call::Start, Fault::Error(500, "no space left"));
    let _daemon = scene.daemon(&[]);
    let mut attempts = Vec::new();
    let mut seen = 0;
    wait_until("three starts", || {
        scene.client().expect_reset();
        if scene.engine.count(Call::Start) > seen {
            seen += 1;
            attempts.push(now());
        }
        seen == 3
    });
    let first = attempts[1] - attempts[0];
    let second = attempts[2] - attempts[1];
    assert!(first >= ms(700) && first < ms(1900), "first back-off {first:?}, not about 1 s");
    assert!(second >= ms(1500) && second < ms(3500), "second back-off {second:?}, not about 2 s");
}
