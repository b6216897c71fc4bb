//! What silent connections are worth.

use crate::support::admin::Control;
use crate::support::app::Ending;
use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::daemon::Daemon;
use crate::support::engine::Call;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

/// A daemon with these flags, and its control socket.
fn daemon(scene: &Scene, flags: &[&str]) -> (Daemon, Control) {
    let control = Control::at(&scene.dir.join("control"));
    (scene.run(scene.launch_with(flags).args(["--control", control.path()])), control)
}

/// A client that was heard of, and is silent from now on.
fn silent_client(scene: &Scene) -> Client {
    let mut client = scene.client();
    client.echo("hello");
    client
}

/// It was ended in order, with nothing on the way.
fn assert_closed(mut client: Client) {
    assert_eq!(client.rest().map_err(|error| error.kind()), Ok(Vec::new()));
}

/// Waits for the stop, which does not wait for what is silent.
fn wait_stop(scene: &Scene, count: usize) {
    scene.engine.wait_count(Call::Stop, count);
    scene.engine.wait_status(Status::Exited);
    scene.engine.forgive();
}

#[test]
fn an_ignored_one_keeps_it_awake_no_longer_and_is_closed_when_it_sleeps() {
    let scene = Scene::new();
    let flags = ["--silent-after", "300ms", "--idle-timeout", "300ms"];
    let (_daemon, _) = daemon(&scene, &flags);
    for sleeps in 1..=2 {
        let since = now();
        let clients = [silent_client(&scene), silent_client(&scene)];
        wait_stop(&scene, sleeps);
        assert!(since.elapsed() >= ms(550), "the window begins with the silence");
        clients.into_iter().for_each(assert_closed);
    }
    assert_eq!(scene.engine.count(Call::Start), 2);
    assert_eq!(scene.app.report().ending, Ending::Eof);
}

#[test]
fn one_that_stirs_in_time_is_heard_and_keeps_it_awake() {
    let scene = Scene::new();
    let flags = ["--silent-after", "2s", "--idle-timeout", "4s"];
    let (_daemon, control) = daemon(&scene, &flags);
    let mut client = silent_client(&scene);
    for _ in 0..2 {
        wait_until("nobody uses it", || control.app()["awake_because"] == "idle window");
        assert_eq!(control.app()["connections"], 1, "it is still there");
        client.echo("and it is heard");
        assert_ne!(control.app()["awake_because"], "idle window", "{}", control.app());
    }
    assert_eq!((scene.engine.count(Call::Start), scene.engine.count(Call::Stop)), (1, 0));
    assert_eq!(scene.app.live(), 1, "by the same connection");
    wait_stop(&scene, 1);
    assert_closed(client);
}

#[test]
fn what_the_application_says_is_heard_too() {
    let scene = Scene::new();
    let flags = ["--silent-after", "100ms", "--idle-timeout", "3s"];
    let (_daemon, control) = daemon(&scene, &flags);
    scene.app.behave(crate::support::app::Behaviour::SlowEcho(ms(400)));
    let mut client = scene.client();
    client.send(b"x");
    // Its answer takes longer than what counts as silence.
    wait_until("nobody uses it", || control.app()["awake_because"] == "idle window");
    assert_eq!(client.receive(1).unwrap(), b"x");
    assert_eq!(scene.engine.count(Call::Stop), 0);
}

#[test]
fn one_may_be_closed_at_once() {
    let scene = Scene::new();
    let flags = ["--silent-after", "2s", "--silent", "close", "--idle-timeout", "1h"];
    let (_daemon, _) = daemon(&scene, &flags);
    let mut talks = scene.client();
    let since = now();
    let client = silent_client(&scene);
    wait_until("it is closed", || {
        talks.echo("I am not");
        !client.is_held()
    });
    assert!(since.elapsed() >= ms(1950));
    assert_closed(client);
    assert_eq!(scene.app.report().ending, Ending::Eof);
    talks.echo("I am still here");
    assert_eq!(scene.engine.count(Call::Stop), 0);
}

#[test]
fn one_may_be_worth_as_much_as_any() {
    let scene = Scene::new();
    let flags = ["--silent-after", "100ms", "--silent", "keep", "--idle-timeout", "100ms"];
    let (_daemon, _) = daemon(&scene, &flags);
    let mut client = silent_client(&scene);
    holds_for(ms(600), "it is awake", || client.is_held() && scene.engine.count(Call::Stop) == 0);
    client.echo("I am here");
    drop(client);
    scene.engine.wait_status(Status::Exited);
}

#[test]
fn with_traffic_as_use_an_open_connection_is_none_and_steady_bytes_are() {
    let scene = Scene::new();
    let flags = ["--activity", "traffic", "--idle-timeout", "3s"];
    let (_daemon, _) = daemon(&scene, &flags);
    let silent = silent_client(&scene);
    let mut talks = scene.client();
    let since = now();
    let mut last = since;
    while since.elapsed() < ms(4500) {
        last = now();
        talks.echo("tick");
        std::thread::sleep(ms(20));
    }
    assert_eq!(scene.engine.count(Call::Stop), 0, "it was used");
    assert!(silent.is_held(), "while another uses it, nobody is cut off");
    wait_stop(&scene, 1);
    assert!(last.elapsed() >= ms(2900), "the window begins with the last byte");
    assert_closed(silent);
    assert_closed(talks);
    scene.client().echo("the next one wakes it");
}
