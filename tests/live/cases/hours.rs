//! By the clock, with hours of a few seconds.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;

use jiff::{SignedDuration, Timestamp};
use ondemand_container::clock::{System, Wall as _};

use crate::live::client::{self, assert_reset};
use crate::live::clock::{ms, secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::{BINARY, Daemon};
use crate::live::engine::Engine;
use crate::live::scratch::{self, Dir};

/// The moment so many seconds from now, to the second.
fn at(seconds: i64) -> Timestamp {
    let at = System.now() + SignedDuration::from_secs(seconds);
    Timestamp::from_second(at.as_second()).unwrap()
}

fn hours(from: Timestamp, to: Timestamp) -> String {
    format!("{}-{} UTC", from.strftime("%H:%M:%S"), to.strftime("%H:%M:%S"))
}

fn start(engine: &Engine, container: &Container<'_>, flags: &[&str]) -> Daemon {
    let address = SocketAddr::from((scratch::address(), 1024 + scratch::number()));
    let mut command = Command::new(BINARY);
    command.args(["--engine", &engine.url(), "--container", &container.name, "--port", "8080"]);
    command.args(["--listen", &address.to_string()]).args(flags);
    Daemon::spawn(command, address)
}

/// When its hours begin, the container is started for nobody; when they are over, the idle window
/// begins.
pub(crate) fn it_is_awake_before_the_first_client(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --boot 200");
    let (from, to) = (at(2), at(8));
    let flags = ["--awake", &hours(from, to), "--idle-timeout", "1s"];
    let daemon = start(engine, &container, &flags);
    daemon.wait_log("awake after");
    assert!(System.now() >= from, "woken before its hours");
    assert_eq!(daemon.get("/").boot(), 1, "the first client finds it awake");
    container.wait_asleep();
    assert!(System.now() >= to + SignedDuration::from_secs(1), "asleep in its hours");
    assert_eq!(daemon.get("/").boot(), 2, "use decides again");
}

/// In hours of sleep clients are refused, unless somebody holds it awake; afterwards they wake it.
pub(crate) fn it_is_kept_asleep_and_refuses(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let dir = Dir::new();
    let control = dir.join("control");
    let control = control.to_str().unwrap();
    let to = at(30);
    let asleep = hours(at(-60), to);
    let flags = ["--asleep", &asleep, "--control", control, "--idle-timeout", "1h"];
    let daemon = start(engine, &container, &flags);
    assert_reset(client::get(daemon.address, "/"));
    let ask = |words: &[&str]| {
        let output =
            Command::new(BINARY).args(words).args(["--control", control]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    ask(&["hold", &container.name]);
    assert_eq!(daemon.get("/").boot(), 1, "a hold outranks the hours");
    ask(&["release", &container.name]);
    container.wait_asleep();
    assert_reset(client::get(daemon.address, "/"));
    assert!(System.now() < to, "that was too slow to tell anything");
    wait_for("the end of the hours", secs(60), || System.now() >= to);
    wait_for("a client is served", secs(20), || client::get(daemon.address, "/").is_ok());
}

/// Clients that are held wait for the end of the hours, and are served by one start.
pub(crate) fn who_is_held_by_the_hours_is_served_at_their_end(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let to = at(5);
    let flags = ["--asleep", &hours(at(-60), to), "--asleep-clients", "hold"];
    let daemon = start(engine, &container, &flags);
    let address = daemon.address;
    let clients: Vec<_> =
        (0..20).map(|_| thread::spawn(move || client::get(address, "/").unwrap())).collect();
    for client in clients {
        assert_eq!(client.join().unwrap().boot(), 1);
    }
    assert!(System.now() >= to);
}

/// Clients that may wake it in hours of sleep do; with the last of them it sleeps at once.
pub(crate) fn who_wakes_it_in_hours_of_sleep_leaves_no_window(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let asleep = hours(at(-60), at(3600));
    let flags = ["--asleep", &asleep, "--asleep-clients", "wake", "--idle-timeout", "1h"];
    let daemon = start(engine, &container, &flags);
    for boot in 1..=3 {
        assert_eq!(daemon.get("/").boot(), boot);
        container.wait_asleep();
    }
    thread::sleep(ms(300));
    assert!(!container.runs());
}
