//! How deep it sleeps, for how long it is awake at least, what clients wait for, and a dry run.

use crate::support::admin::Control;
use crate::support::container::Status;
use crate::support::engine::Call;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now};

#[test]
fn it_is_paused_thawed_for_a_client_and_stopped_in_the_end() {
    let scene = Scene::new();
    let control = Control::at(&scene.dir.join("control"));
    let flags = ["--sleep", "pause,stop=4s", "--idle-timeout", "100ms"];
    let _daemon = scene.run(scene.launch_with(&flags).args(["--control", control.path()]));
    let counts = || {
        let of = |call| scene.engine.count(call);
        (of(Call::Start), of(Call::Pause), of(Call::Unpause), of(Call::Stop))
    };
    scene.client().echo("cold");
    scene.engine.wait_status(Status::Paused);
    control.wait_state("paused");
    let mut client = scene.client();
    client.echo("from its freeze");
    assert_eq!(counts(), (1, 1, 1, 0));
    drop(client);
    scene.engine.wait_status(Status::Exited);
    control.wait_state("asleep");
    assert_eq!(counts(), (1, 2, 2, 1), "it is thawed before it is stopped");
    scene.client().echo("cold again");
    assert_eq!(scene.engine.count(Call::Start), 2);
}

#[test]
fn it_is_awake_for_so_long_at_least() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--min-awake", "1s", "--idle-timeout", "0s"]);
    for stops in 1..=2 {
        let came = now();
        scene.client().echo("short");
        scene.engine.wait_count(Call::Stop, stops);
        assert!(came.elapsed() >= ms(1000), "{:?}", came.elapsed());
        scene.engine.wait_status(Status::Exited);
    }
}

#[test]
fn clients_behind_a_stubborn_stop_may_have_it_ended() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.stops_in = ms(60_000));
    let flags = ["--on-waiting-stop", "kill=300ms"];
    let daemon = scene.daemon(&flags);
    scene.client().echo("first");
    scene.engine.wait_count(Call::Stop, 1);
    holds_for(ms(500), "nobody waits", || scene.engine.count(Call::Kill) == 0);
    let came = now();
    scene.client().echo("I have waited");
    assert!(came.elapsed() >= ms(300));
    assert_eq!((scene.engine.count(Call::Kill), scene.engine.count(Call::Start)), (1, 2));
    daemon.wait_log(&["clients wait and it has not stopped yet"]);
}

#[test]
fn clients_wait_for_a_stop_by_default() {
    let scene = Scene::new();
    scene.engine.alter(|container| container.stops_in = ms(500));
    let _daemon = scene.daemon(&[]);
    scene.client().echo("first");
    scene.engine.wait_count(Call::Stop, 1);
    scene.client().echo("I have waited");
    assert_eq!((scene.engine.count(Call::Kill), scene.engine.count(Call::Start)), (0, 2));
}

#[test]
fn a_dry_run_says_what_it_would_do_and_leaves_it_awake() {
    let scene = Scene::new();
    let control = Control::at(&scene.dir.join("control"));
    let launch = scene.launch_with(&["--dry-run"]).args(["--control", control.path()]);
    let daemon = scene.run(launch);
    let says = ["dry run: it would go to sleep now"];
    for told in 1..=2 {
        scene.client().echo("hello");
        crate::support::wait_until("it says so", || daemon.count_log(&says) == told);
    }
    assert_eq!(control.app()["awake_because"], "dry run");
    let of = |call| scene.engine.count(call);
    holds_for(ms(500), "it is awake", || of(Call::Stop) + of(Call::Pause) == 0);
    assert_eq!(of(Call::Start), 1);
}
