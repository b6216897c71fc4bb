//! `ondemand-container check`: what would stand in the way, without starting anything.

use crate::support::container::{Health, Network};
use crate::support::engine::{Call, Fault};
use crate::support::launch::Launch;
use crate::support::scene::Scene;

/// What `check` exits with and says about the scene.
fn check(scene: &Scene, flags: &[&str]) -> (Option<i32>, String) {
    let launch = Launch::new()
        .args(["check", "--container", "app", "--port", &scene.app.port().to_string()])
        .args(["--engine", &scene.engine.url(), "--listen", &scene.address().to_string()])
        .args(flags.iter().copied());
    outcome(launch)
}

fn outcome(launch: Launch) -> (Option<i32>, String) {
    let output = launch.output();
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said += &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

/// Nothing was changed by checking.
fn untouched(scene: &Scene) {
    for call in [Call::Start, Call::Stop, Call::Pause, Call::Unpause, Call::Kill, Call::ExecCreate]
    {
        assert_eq!(scene.engine.count(call), 0, "{call:?}");
    }
}

#[test]
fn a_good_set_up_exits_0_and_advises_a_health_check() {
    let scene = Scene::new();
    let (code, said) = check(&scene, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.to_lowercase().contains("health"), "{said}");
    scene.engine.alter(|container| container.health = Health::Starting);
    assert_eq!(check(&scene, &[]).0, Some(0));
    untouched(&scene);
}

#[test]
fn a_missing_container_exits_78_and_is_named() {
    let scene = Scene::new();
    scene.engine.remove_container();
    let (code, said) = check(&scene, &[]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("container app"), "{said}");
}

#[test]
fn an_engine_that_is_not_there_is_named() {
    let scene = Scene::new();
    scene.engine.go_away();
    let (code, said) = check(&scene, &[]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("engine.sock"), "{said}");
}

#[test]
fn missing_permission_exits_77() {
    let scene = Scene::new();
    scene.engine.lock_out();
    let launch = Launch::new()
        .args(["check", "--container", "app", "--port", "80", "--engine", &scene.engine.url()])
        .nobody();
    let (code, said) = outcome(launch);
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("engine.sock") && said.to_lowercase().contains("permission"), "{said}");
}

#[test]
fn a_container_that_publishes_the_held_port_is_found() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.network = Network::Published);
    let held = format!("127.0.0.1:{}", scene.app.port());
    let launch = Launch::new()
        .args(["check", "--container", "app", "--port", &scene.app.port().to_string()])
        .args(["--engine", &scene.engine.url(), "--listen", &held]);
    let (code, said) = outcome(launch);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("publish") && said.contains(&scene.app.port().to_string()), "{said}");
    untouched(&scene);
}

#[test]
fn names_of_sockets_that_were_not_handed_over_are_pointed_out() {
    let scene = Scene::new();
    let map = format!("web={}", scene.app.port());
    let launch = Launch::new().args([
        "check",
        "--container",
        "app",
        "--map",
        &map,
        "--engine",
        &scene.engine.url(),
    ]);
    let (_, said) = outcome(launch);
    assert!(said.contains("--map") && !said.contains("can listen"), "{said}");
}

#[test]
fn a_container_that_a_stop_removes_is_found() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.auto_remove = true);
    let (code, said) = check(&scene, &[]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("--rm"), "{said}");
}

#[test]
fn restart_policy_always_is_pointed_out() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.restart_policy = "always");
    let (_, said) = check(&scene, &[]);
    assert!(said.contains("always"), "{said}");
    untouched(&scene);
}

#[test]
fn a_hung_engine_does_not_hang_the_check() {
    let scene = Scene::new();
    scene.engine.always(Call::Inspect, Fault::Hang);
    let began = crate::support::now();
    let (code, said) = check(&scene, &["--start-timeout", "1s"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}
