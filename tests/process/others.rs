//! What somebody else does to the container is seen and honoured.

use std::time::Duration;

use crate::support::container::Status;
use crate::support::engine::Call;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

#[test]
fn a_container_found_running_gets_its_window_and_sleeps() {
    let scene = Scene::new();
    scene.engine.start_container();
    let began = now();
    let _daemon = scene.daemon(&["--idle-timeout", "300ms"]);
    scene.engine.wait_status(Status::Exited);
    assert!(began.elapsed() >= ms(290));
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn a_container_found_running_serves_without_a_start() {
    let scene = Scene::new();
    scene.engine.start_container();
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("already up");
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn a_container_started_by_somebody_is_found_awake() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--idle-timeout", "500ms"]);
    daemon.wait_log(&["asleep"]);
    wait_until("the event stream", || scene.engine.count(Call::Events) >= 1);
    scene.engine.start_container();
    // A client that is quicker than the look makes a start, which does no harm.
    daemon.wait_log(&["started by somebody else"]);
    scene.client().echo("served");
    scene.engine.wait_status(Status::Exited);
    assert_eq!(scene.engine.count(Call::Start), 0);
    assert_eq!(scene.engine.count(Call::Stop), 1);
}

#[test]
fn a_container_started_by_somebody_sleeps_after_a_window_though_nobody_comes() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "200ms"]);
    wait_until("the event stream", || scene.engine.count(Call::Events) >= 1);
    scene.engine.start_container();
    scene.engine.wait_status(Status::Exited);
    assert_eq!(scene.engine.count(Call::Stop), 1);
}

#[test]
fn a_container_stopped_or_killed_by_somebody_is_started_for_the_next_client() {
    for (code, events) in [(143, ["kill", "die", "stop"].as_slice()), (137, &["kill", "die"])] {
        let scene = Scene::new();
        let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
        let mut live = scene.client();
        live.echo("before");
        scene.engine.end_container(code, events);
        drop(live.rest());
        scene.client().echo("after");
        assert_eq!(scene.engine.count(Call::Start), 2);
        assert_eq!(scene.engine.count(Call::Stop), 0);
    }
}

#[test]
fn a_death_nobody_reports_is_found_out_by_the_next_client() {
    let scene = Scene::new();
    scene.engine.lose_events();
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("before");
    scene.engine.end_container(1, &[]);
    scene.client().echo("after");
    assert_eq!(scene.engine.count(Call::Start), 2);
}

#[test]
fn a_paused_container_is_resumed_at_the_next_client() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("before");
    scene.engine.pause_container();
    daemon.wait_log(&["paused"]);
    scene.client().echo("after");
    assert_eq!(scene.engine.count(Call::Unpause), 1);
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn a_container_found_paused_at_the_beginning_is_resumed_at_the_first_client() {
    let scene = Scene::new();
    scene.engine.start_container();
    scene.engine.pause_container();
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    wait_until("the boot of the application", || scene.app.listens());
    holds_for(ms(150), "nobody resumes it for nobody", || scene.engine.count(Call::Unpause) == 0);
    scene.client().echo("resumed");
    assert_eq!(scene.engine.status(), Some(Status::Running));
    assert_eq!(scene.engine.count(Call::Unpause), 1);
}

#[test]
fn a_container_unpaused_by_somebody_is_awake() {
    let scene = Scene::new();
    scene.engine.start_container();
    scene.engine.pause_container();
    let daemon = scene.daemon(&["--idle-timeout", "500ms"]);
    daemon.wait_log(&["asleep"]);
    wait_until("the event stream", || scene.engine.count(Call::Events) >= 1);
    scene.engine.unpause_container();
    daemon.wait_log(&["started by somebody else"]);
    scene.client().echo("awake");
    scene.engine.wait_status(Status::Exited);
    assert_eq!(scene.engine.count(Call::Unpause), 0);
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn a_removed_container_is_a_clear_error_until_one_of_that_name_exists() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("before");
    scene.engine.remove_container();
    scene.client().expect_reset();
    daemon.wait_log(&["no container app"]);
    scene.engine.create_container();
    wait_until("a client to be served by the new container", || {
        scene.client().try_echo("after").is_ok()
    });
    assert_eq!(daemon.count_log(&["no container app"]), 1, "said once");
}

#[test]
fn a_container_that_does_not_exist_yet_is_served_when_it_does() {
    let scene = Scene::new();
    scene.engine.remove_container();
    let daemon = scene.daemon(&[]);
    scene.client().expect_reset();
    daemon.wait_log(&["no container app"]);
    scene.engine.create_container();
    let created = now();
    wait_until("a client to be served", || scene.client().try_echo("here").is_ok());
    assert!(created.elapsed() < ms(8000), "served only after {:?}", created.elapsed());
}

#[test]
fn a_container_made_anew_while_awake_is_taken_for_the_new_one() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "2s"]);
    scene.client().echo("old");
    scene.engine.remove_container();
    scene.engine.create_container();
    scene.engine.start_container();
    wait_until("the new one to boot", || scene.app.listens());
    wait_until("a client to be served", || scene.client().try_echo("new").is_ok());
    // Its window runs too: the stop names a container that exists.
    scene.engine.wait_status(Status::Exited);
}

#[test]
fn a_container_renamed_away_is_missing_and_renamed_back_is_served() {
    let scene = Scene::new();
    let daemon = scene.daemon(&[]);
    scene.client().echo("before");
    scene.engine.wait_status(Status::Exited);
    scene.engine.rename_container("other");
    scene.client().expect_reset();
    daemon.wait_log(&["no container app"]);
    scene.engine.rename_container("app");
    wait_until("a client to be served", || scene.client().try_echo("after").is_ok());
}

#[test]
fn a_stop_by_somebody_while_a_client_is_held_does_not_lose_the_client() {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        container.boot = crate::support::container::Boot::Listens(ms(400));
    });
    let _daemon = scene.daemon(&["--start-timeout", "30s"]);
    let mut client = scene.client();
    client.send(b"held");
    scene.engine.wait_status(Status::Running);
    // Ends the run before it is ready. Served by another start or reset with the reason, but not
    // left hanging.
    scene.engine.end_container(143, &["kill", "die", "stop"]);
    let began = now();
    client.settle(4);
    assert!(began.elapsed() < Duration::from_secs(9));
}

#[test]
fn a_container_restarted_by_somebody_is_served_without_a_start_of_ours() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--idle-timeout", "400ms"]);
    let mut live = scene.client();
    live.echo("before");
    scene.engine.end_container(143, &["kill", "die", "stop"]);
    scene.engine.start_container();
    // Looked at in between it has stopped, and a client is a reason to start it.
    daemon.wait_log(&["started by somebody else"]);
    scene.client().echo("after");
    assert_eq!(scene.engine.count(Call::Start), 1);
    drop(live);
    scene.engine.wait_status(Status::Exited);
    assert_eq!(scene.engine.count(Call::Stop), 1);
}

#[test]
fn a_container_paused_by_somebody_is_left_paused_beyond_the_window() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--idle-timeout", "200ms"]);
    let mut client = scene.client();
    client.echo("awake");
    scene.engine.pause_container();
    daemon.wait_log(&["paused"]);
    drop(client);
    holds_for(ms(600), "paused", || scene.engine.status() == Some(Status::Paused));
    scene.client().echo("resumed");
}

#[test]
fn an_application_that_restarts_inside_its_container_is_waited_for() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("before");
    scene.app.die();
    let mut client = scene.client();
    client.send(b"held");
    holds_for(ms(300), "held", || client.is_held());
    scene.app.boot();
    assert_eq!(client.receive(4).unwrap(), b"held");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn an_application_that_ended_inside_its_container_costs_the_client_its_deadline() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "1m", "--start-timeout", "600ms"]);
    scene.client().echo("before");
    scene.app.die();
    let began = now();
    scene.client().expect_reset();
    let waited = began.elapsed();
    assert!(waited >= ms(550) && waited < ms(9000), "reset after {waited:?} instead of 0.6 s");
}
