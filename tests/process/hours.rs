//! By the clock: the real one, with hours that begin and end a few seconds from now.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::net::TcpListener;

use jiff::{SignedDuration, Timestamp};
use ondemand_container::clock::{System, Wall as _};

use crate::reload::{Changing, service};
use crate::support::admin::Control;
use crate::support::container::Status;
use crate::support::engine::Call;
use crate::support::launch::Launch;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, wait_until};

/// Hours of a few seconds.
struct Soon {
    from: Timestamp,
    to: Timestamp,
}

impl Soon {
    /// They begin and end so many seconds from now, to the second.
    fn new(from: i64, to: i64) -> Self {
        let at = |seconds| {
            let now = System.now() + SignedDuration::from_secs(seconds);
            Timestamp::from_second(now.as_second()).unwrap()
        };
        Self { from: at(from), to: at(to) }
    }

    fn text(&self) -> String {
        format!("{}-{} UTC", self.from.strftime("%H:%M:%S"), self.to.strftime("%H:%M:%S"))
    }

    fn have_begun(&self) -> bool {
        System.now() >= self.from
    }

    fn are_over(&self) -> bool {
        System.now() >= self.to
    }
}

#[test]
fn it_is_woken_with_its_hours_and_sleeps_after_them() {
    let scene = Scene::new();
    let control = Control::at(&scene.dir.join("control"));
    let hours = Soon::new(2, 8);
    let daemon = scene.daemon(&["--awake", &hours.text(), "--control", control.path()]);
    scene.engine.wait_count(Call::Start, 1);
    assert!(hours.have_begun());
    let view = control.wait_state("awake");
    assert_eq!((&view["awake_because"], &view["connections"]), (&"hours".into(), &0.into()));
    let (status, answer) = control.post("/v1/services/app/sleep");
    assert_eq!(status, 409);
    assert!(answer["error"].as_str().unwrap().contains("--awake"), "{answer}");
    scene.engine.wait_status(Status::Exited);
    assert!(hours.are_over());
    assert_eq!((scene.engine.count(Call::Start), scene.engine.count(Call::Stop)), (1, 1));
    daemon.wait_log(&["kept awake by its hours until"]);
    daemon.wait_log(&["its hours begin next at"]);
}

#[test]
fn a_reload_changes_its_hours_and_takes_them_away() {
    let scene = Scene::new();
    let window = "idle-timeout = \"200ms\"";
    let changing = Changing::new(&scene, &service("app", &scene, window));
    let always = format!("{window}\nawake = \"00:00-24:00\"");
    changing.reload(&service("app", &scene, &always));
    scene.engine.wait_status(Status::Running);
    let hours = Soon::new(-60, 3600);
    let others = format!("{window}\nawake = [\"{}\", \"00:00-00:01\"]", hours.text());
    changing.reload(&service("app", &scene, &others));
    holds_for(ms(600), "awake", || scene.engine.status() == Some(Status::Running));
    assert_eq!(changing.control.app()["awake_because"], "hours");
    changing.reload(&service("app", &scene, window));
    scene.engine.wait_status(Status::Exited);
    assert_eq!((scene.engine.count(Call::Start), scene.engine.count(Call::Stop)), (1, 1));
}

#[test]
fn hours_of_sleep_refuse_clients_and_a_hold_outranks_them() {
    let scene = Scene::new();
    let control = Control::at(&scene.dir.join("control"));
    let hours = Soon::new(-60, 9);
    let (asleep, at) = (hours.text(), control.path());
    let flags = ["--asleep", &asleep, "--control", at, "--idle-timeout", "1h"];
    let _daemon = scene.daemon(&flags);
    control.wait_state("asleep");
    assert!(scene.client().try_echo("early").is_err());
    assert_eq!(scene.engine.count(Call::Start), 0);
    // Whoever asks for a wake gets it, and nothing keeps it awake.
    assert_eq!(control.post("/v1/services/app/wake?wait=1").0, 200);
    scene.engine.wait_count(Call::Stop, 1);
    assert_eq!(control.post("/v1/services/app/hold").0, 200);
    scene.client().echo("held awake");
    assert_eq!(control.post("/v1/services/app/release").0, 200);
    scene.engine.wait_count(Call::Stop, 2);
    assert!(!hours.are_over(), "that was too slow to tell anything");
    wait_until("the end of the hours", || hours.are_over());
    wait_until("a client is served", || scene.client().try_echo("late").is_ok());
    assert_eq!(scene.engine.count(Call::Start), 3);
}

#[test]
fn who_comes_in_hours_of_sleep_is_held_and_served_at_their_end() {
    let scene = Scene::new();
    let hours = Soon::new(-60, 7);
    // The hours last longer than a client waits elsewhere.
    let asleep = hours.text();
    let flags = ["--asleep", &asleep, "--asleep-clients", "hold", "--start-timeout", "4s"];
    let _daemon = scene.daemon(&flags);
    let mut client = scene.client();
    client.echo("waits");
    assert!(hours.are_over());
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn who_is_held_until_tomorrow_does_not_hold_up_the_end() {
    let scene = Scene::new();
    let hours = Soon::new(-60, 3600);
    let flags = ["--asleep", &hours.text(), "--asleep-clients", "hold", "--drain-timeout", "10m"];
    let mut daemon = scene.daemon(&flags);
    let mut client = scene.client();
    client.send(b"x");
    holds_for(ms(300), "held", || client.is_held());
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert!(client.receive(1).is_err());
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn hours_of_sleep_that_clients_wake_have_no_idle_window() {
    let scene = Scene::new();
    let hours = Soon::new(2, 3600);
    let flags = ["--asleep", &hours.text(), "--asleep-clients", "wake", "--idle-timeout", "1h"];
    let _daemon = scene.daemon(&flags);
    let mut early = scene.client();
    early.echo("before");
    wait_until("the hours", || hours.have_begun());
    holds_for(ms(300), "its client stays", || scene.engine.status() == Some(Status::Running));
    early.echo("still");
    drop(early);
    scene.engine.wait_status(Status::Exited);
    let mut late = scene.client();
    late.echo("wakes it");
    drop(late);
    scene.engine.wait_count(Call::Stop, 2);
}

#[test]
fn mistakes_name_what_is_allowed_and_check_tells_what_holds_now() {
    let scene = Scene::new();
    let check = |flags: &[&str]| {
        let output = Launch::new()
            .args(["check", "--container", "app", "--port", &scene.app.port().to_string()])
            .args(["--engine", &scene.engine.url(), "--listen", &scene.address().to_string()])
            .args(flags.iter().copied())
            .output();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) =
        check(&["--asleep", "00:00-24:00", "--awake", "Mon 08:00-09:00;Sun 1:00-2:00"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("kept asleep by its hours, always"), "{said}");
    let (code, said) = check(&["--awake", "Mon-Fri 8-18", "--asleep", "1:00-2:00 Europa/Berlin"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("--awake: ") && said.contains("\"8\" is no time of the day"), "{said}");
    assert!(said.contains("\"Europa/Berlin\" is no time zone"), "{said}");
    let (code, said) = check(&["--asleep-clients", "hold"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("add --asleep"), "{said}");
}

#[test]
fn a_daemon_that_is_to_wake_it_does_not_go_while_it_sleeps() {
    let scene = Scene::new();
    let hours = Soon::new(2, 5);
    let flags = ["--awake", &hours.text(), "--exit-idle-time", "100ms", "--idle-timeout", "100ms"];
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut daemon = scene.run(scene.launch().args(flags).sockets([socket.into()]));
    wait_until("the hours", || {
        assert!(daemon.runs(), "nobody looks at the clock");
        scene.engine.count(Call::Start) == 1
    });
    scene.engine.wait_status(Status::Exited);
    holds_for(ms(500), "it stays for the next hours", || daemon.runs());
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
}
