//! The history: what is kept over lives of the daemon, and what becomes of it when the file is bad.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::admin::Control;
use crate::support::container::Status;
use crate::support::daemon::Daemon;
use crate::support::engine::Call;
use crate::support::launch::Launch;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, wait_until};

/// A daemon that keeps its history there.
fn keeping(scene: &Scene, file: &Path, flags: &[&str]) -> (Daemon, Control) {
    let (launch, control) = launch(scene, file, flags);
    (scene.run(launch), control)
}

fn launch(scene: &Scene, file: &Path, flags: &[&str]) -> (Launch, Control) {
    let control = Control::at(&scene.dir.join("control"));
    let launch = scene.launch_with(flags).args(["--control", control.path(), "--history"]);
    (launch.args([file]), control)
}

fn file(scene: &Scene) -> PathBuf {
    scene.dir.join("history.json")
}

fn end(mut daemon: Daemon) {
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
}

fn end_with_one_warning(mut daemon: Daemon) {
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(warnings(&daemon), 1, "{:#?}", daemon.log());
}

/// What it says; null as long as it is not there. It is never half a file.
fn read(file: &Path) -> Value {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).unwrap(),
        Err(_) => Value::Null,
    }
}

/// Lines of the log that are warnings of the history.
fn warnings(daemon: &Daemon) -> usize {
    let log = daemon.log();
    log.iter().filter(|line| line.contains("WARN") && line.contains("history")).count()
}

#[test]
fn figures_go_on_over_a_restart() {
    let scene = Scene::new();
    let file = file(&scene);
    let (daemon, control) = keeping(&scene, &file, &["--idle-timeout", "100ms"]);
    for wakes in 1..=3 {
        scene.client().echo("hello");
        scene.engine.wait_count(Call::Stop, wakes);
        control.wait_state("asleep");
    }
    wait_until("time asleep", || control.app()["so_far"]["asleep_seconds"].as_f64() > Some(0.05));
    let before = control.app();
    assert_eq!(before["so_far"]["woken"], 3);
    end(daemon);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = read(&file);
    assert_eq!((&kept["version"], &kept["services"]["app"]["woken"]), (&json!(1), &json!(3)));
    // Nothing of the clients.
    assert!(!fs::read_to_string(&file).unwrap().contains("127.0.0.1"));

    let (daemon, control) = keeping(&scene, &file, &["--idle-timeout", "1h"]);
    let after = control.wait_state("asleep");
    assert_eq!((&after["woken"], &after["so_far"]["woken"]), (&json!(0), &json!(3)));
    let key = |key: &str| (before["so_far"][key].as_f64(), after["so_far"][key].as_f64());
    let (was, is) = key("asleep_seconds");
    assert!(is >= was && was > Some(0.0), "{before} {after}");
    let (was, is) = key("wake_p50_seconds");
    assert!(was == is && was.is_some(), "{before} {after}");
    let mut client = scene.client();
    client.echo("again");
    let awake = control.app();
    assert_eq!((&awake["woken"], &awake["so_far"]["woken"]), (&json!(1), &json!(4)));
    assert_eq!(awake["idle_window_seconds"], 3600.0);
    let why = awake["why"].as_str().unwrap();
    assert!(why.starts_with("app is awake: a connection uses it; woken "), "{why}");
    assert!(why.ends_with(" ago by 127.0.0.1"), "{why}");
    drop(client);
    assert_eq!(warnings(&daemon), 0, "{:#?}", daemon.log());
}

#[test]
fn why_tells_in_a_sentence() {
    let scene = Scene::new();
    let (_daemon, control) = keeping(&scene, &file(&scene), &["--idle-timeout", "1h"]);
    control.wait_state("asleep");
    let why = || {
        let launch = Launch::new().args(["why", "app", "--control", control.path()]);
        let output = launch.output();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(why().ends_with("; never woken so far\n"), "{}", why());
    assert_eq!(control.post("/v1/services/app/hold?for=2h").0, 200);
    let held = why();
    assert!(held.starts_with("app is held awake for another 1h 59m"), "{held}");
    assert!(held.ends_with(" ago by an administrator\n"), "{held}");
    assert_eq!(control.post("/v1/services/app/release").0, 200);
    let idle = why();
    assert!(idle.starts_with("app is awake: nobody uses it and sleeps in 59m"), "{idle}");
}

#[test]
fn a_hold_survives_a_restart_also_one_without_a_word() {
    let scene = Scene::new();
    let file = file(&scene);
    // With nothing for a window it would sleep at once.
    let flags = ["--idle-timeout", "0s"];
    let (daemon, control) = keeping(&scene, &file, &flags);
    assert_eq!(control.post("/v1/services/app/hold").0, 200);
    let hold = || read(&file)["services"]["app"]["hold"].clone();
    wait_until("the hold to be written", || hold() == json!({ "until_ms": null }));
    // Killed.
    drop(daemon);
    let (daemon, control) = keeping(&scene, &file, &flags);
    let held = control.wait_state("awake");
    assert_eq!((&held["awake_because"], &held["connections"]), (&json!("held"), &json!(0)));
    scene.client().echo("used");
    holds_for(ms(300), "it is held", || scene.engine.status() == Some(Status::Running));
    assert_eq!(scene.engine.count(Call::Stop), 0);
    // Until it is released, for the next daemon, too.
    assert_eq!(control.post("/v1/services/app/release").0, 200);
    scene.engine.wait_status(Status::Exited);
    end(daemon);
    let (_daemon, control) = keeping(&scene, &file, &flags);
    control.wait_state("asleep");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn what_is_held_again_is_woken_and_what_is_over_is_not() {
    let scene = Scene::new();
    let file = file(&scene);
    let flags = ["--idle-timeout", "0s", "--on-exit", "stop"];
    let (daemon, control) = keeping(&scene, &file, &flags);
    assert_eq!(control.post("/v1/services/app/hold?for=1h").0, 200);
    end(daemon);
    assert_eq!(scene.engine.status(), Some(Status::Exited));
    let (daemon, control) = keeping(&scene, &file, &flags);
    let held = control.wait_state("awake");
    let why = held["why"].as_str().unwrap();
    assert!(why.starts_with("app is held awake for another 59m"), "{why}");
    assert_eq!(control.post("/v1/services/app/hold?for=4s").0, 200);
    let until = || read(&file)["services"]["app"]["hold"]["until_ms"].as_u64();
    let soon = || until().filter(|until| *until < epoch_ms() + 60_000);
    wait_until("the hold to be written", || soon().is_some());
    // Killed, so that its end is in between.
    drop(daemon);
    let until = until().unwrap();
    wait_until("its end", || epoch_ms() >= until);
    let (_daemon, control) = keeping(&scene, &file, &flags);
    scene.engine.wait_status(Status::Exited);
    control.wait_state("asleep");
    assert_eq!(scene.engine.count(Call::Start), 2);
}

#[test]
fn a_broken_file_is_put_aside_and_a_newer_one_left_alone() {
    let scene = Scene::new();
    let file = file(&scene);
    fs::write(&file, r#"{"version":1,"services":{"app":{"wok"#).unwrap();
    let (daemon, _) = keeping(&scene, &file, &[]);
    daemon.wait_log(&["the history is broken: it was put aside"]);
    assert_eq!(warnings(&daemon), 1, "{:#?}", daemon.log());
    scene.client().echo("it is served");
    end(daemon);
    assert_eq!(read(&file)["services"]["app"]["woken"], 1);
    let aside = fs::read_to_string(scene.dir.join("history.json.broken")).unwrap();
    assert!(aside.ends_with("wok"), "{aside}");

    let newer = r#"{"version":9,"services":[]}"#;
    fs::write(&file, newer).unwrap();
    let (daemon, _) = keeping(&scene, &file, &[]);
    daemon.wait_log(&["it is of version 9", "left alone"]);
    assert_eq!(warnings(&daemon), 1, "{:#?}", daemon.log());
    scene.client().echo("it is served");
    end(daemon);
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
}

#[test]
fn a_place_that_cannot_be_written_to_or_read_is_told_once() {
    let scene = Scene::new();
    fs::write(scene.dir.join("plain"), "").unwrap();
    // Below a file nobody may write, root neither.
    for place in ["plain/history.json", ""] {
        let (daemon, control) =
            keeping(&scene, &scene.dir.join(place), &["--idle-timeout", "50ms"]);
        daemon.wait_log(&["history", "cannot be read", "--history none"]);
        let stops = scene.engine.count(Call::Stop);
        scene.client().echo("it is served");
        scene.engine.wait_count(Call::Stop, stops + 1);
        // Each of which would be written at once.
        for verb in ["hold", "release"] {
            assert_eq!(control.post(&format!("/v1/services/app/{verb}")).0, 200);
        }
        end_with_one_warning(daemon);
    }
}

#[test]
fn a_full_disk_leaves_the_earlier_file_and_the_service_alone() {
    let scene = Scene::new();
    let file = file(&scene);
    let (daemon, control) = keeping(&scene, &file, &["--idle-timeout", "50ms"]);
    scene.client().echo("first");
    scene.engine.wait_count(Call::Stop, 1);
    control.wait_state("asleep");
    end(daemon);
    let before = fs::read(&file).unwrap();
    // What a write gets of a disk that has no room any more: EFBIG instead of ENOSPC (setrlimit(2)).
    let (launch, control) = launch(&scene, &file, &["--idle-timeout", "50ms"]);
    let daemon = scene.run(launch.file_size(0));
    daemon.wait_log(&["the history cannot be written", "make room"]);
    scene.client().echo("it is served");
    scene.engine.wait_count(Call::Stop, 2);
    assert_eq!(control.post("/v1/services/app/hold").0, 200);
    end_with_one_warning(daemon);
    assert_eq!(fs::read(&file).unwrap(), before, "the earlier one is whole");
    let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().flatten().collect();
    assert!(
        left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".tmp")),
        "{left:?}"
    );
}

#[test]
fn of_two_daemons_with_one_file_the_last_wins_and_it_is_whole() {
    let (one, other) = (Scene::new(), Scene::new());
    let file = file(&one);
    let (first, control) = keeping(&one, &file, &["--idle-timeout", "1h"]);
    let (second, controls) = keeping(&other, &file, &["--idle-timeout", "1h"]);
    wait_until("it is written", || read(&file)["version"] == 1);
    // Each of these is written at once.
    for _ in 0..20 {
        for control in [&control, &controls] {
            assert_eq!(control.post("/v1/services/app/hold").0, 200);
            assert_eq!(control.post("/v1/services/app/release").0, 200);
            assert_eq!(read(&file)["version"], 1);
        }
    }
    other.client().echo("woken by both");
    end(first);
    end(second);
    assert_eq!(read(&file)["services"]["app"]["woken"], 1);
    let entries = fs::read_dir(file.parent().unwrap()).unwrap().flatten();
    assert!(
        entries.into_iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".tmp"))
    );
}

#[test]
fn it_is_kept_where_systemd_says_and_nowhere_else_by_itself() {
    let scene = Scene::new();
    let state = scene.dir.join("state");
    fs::create_dir(&state).unwrap();
    let launch = |flags: &[&str]| scene.launch_with(flags).env("STATE_DIRECTORY", &state);
    end(scene.run(launch(&["--history", "none"])));
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    end(scene.run(launch(&[])));
    assert_eq!(read(&state.join("history.json"))["version"], 1);
    let before = fs::read_dir(scene.dir.join(".")).unwrap().count();
    end(scene.run(scene.launch_with(&[])));
    assert_eq!(fs::read_dir(scene.dir.join(".")).unwrap().count(), before);
}

#[test]
fn a_window_that_is_chosen_is_shown() {
    let scene = Scene::new();
    let flags = ["--idle-timeout", "auto", "--cold-start-worth", "20m"];
    let (_daemon, control) = keeping(&scene, &file(&scene), &flags);
    control.wait_state("asleep");
    wait_until("the choice", || control.app()["idle_window_seconds"] == 1200.0);
    scene.client().echo("used");
    let left = || control.app()["sleeps_in_seconds"].as_f64();
    wait_until("the window", || left().is_some_and(|left| left > 1100.0 && left <= 1201.0));
}

fn epoch_ms() -> u64 {
    ondemand_container::clock::unix_time().as_millis().try_into().unwrap()
}
