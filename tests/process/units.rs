//! systemd units as targets, against a scripted systemd.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::thread;

use ondemand_container::engine::{Engine as _, Manager, Systemd as OverTheBus, TargetName, Usage};

use crate::support::app::App;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::launch::Launch;
use crate::support::notify::Notify;
use crate::support::port::Port;
use crate::support::systemd::{Outcome, Systemd};
use crate::support::{TempDir, holds_for, ms, now, wait_for_within, wait_until};

/// A unit at rest, the application in it, and a port for the daemon.
struct Scene {
    systemd: Systemd,
    app: App,
    port: Port,
    notify: Notify,
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let (dir, app) = (TempDir::new(), App::new());
        let systemd = Systemd::start(&dir.join("bus"), &app);
        let notify = Notify::listen(&dir.join("notify"));
        Self { systemd, app, port: Port::reserve(), notify, dir }
    }

    fn launch(&self, command: &[&str], flags: &[&str]) -> Launch {
        Launch::new()
            .args(command.iter().copied())
            .args(["--unit", "app", "--port", &self.app.port().to_string()])
            .args(["--listen", &self.port.address().to_string()])
            .args(["--log-format", "text", "-v"])
            .args(if flags.contains(&"--idle-timeout") {
                &[]
            } else {
                &["--idle-timeout", "200ms"][..]
            })
            .args(flags.iter().copied())
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.systemd.address())
            .env("NOTIFY_SOCKET", self.dir.join("notify"))
    }

    fn daemon(&self, flags: &[&str]) -> Daemon {
        self.run(self.launch(&[], flags))
    }

    fn run(&self, launch: Launch) -> Daemon {
        let mut daemon = launch.spawn();
        wait_until("READY=1", || {
            assert!(daemon.runs(), "the daemon ended at once");
            self.notify.count("READY=1") > 0
        });
        daemon
    }

    fn client(&self) -> Client {
        Client::connect(self.port.address())
    }

    fn wait_active(&self, state: &str) {
        wait_until(&format!("the unit to be {state}"), || self.systemd.active() == state);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.app.die();
    }
}

#[test]
fn a_unit_wakes_for_a_client_and_sleeps_when_idle() {
    let scene = Scene::new();
    let daemon = scene.daemon(&[]);
    scene.client().echo("hello");
    assert_eq!(scene.systemd.starts(), 1);
    scene.wait_active("inactive");
    daemon.wait_log(&["engine", "systemd 252 (scripted)"]);
    let mut client = scene.client();
    client.echo("again");
    assert_eq!((scene.systemd.starts(), scene.systemd.stops()), (2, 1));
    assert_eq!(daemon.threads(), 1, "the bus needs no thread of its own");
}

/// What systemd does not account for is not made a number.
#[test]
fn what_a_unit_has_used_is_known_as_far_as_systemd_counts_it() {
    let scene = Scene::new();
    let address = scene.systemd.address();
    let bus = |name: &str| (name == "DBUS_SYSTEM_BUS_ADDRESS").then(|| address.clone());
    let systemd = OverTheBus::new(Manager::System, bus);
    let name = TargetName::unit("app").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (usage, group) = runtime
        .block_on(async { tokio::join!(systemd.usage(&name), systemd.control_group(&name)) });
    let used = Usage { cpu: Some(ms(1500)), net: Some(42), memory: None };
    assert_eq!(usage, Ok(used));
    assert_eq!(group.as_deref(), Some("/system.slice/app.service"));
}

/// Its port being open is not all: `Type=notify` says when it is ready.
#[test]
fn a_unit_that_activates_is_waited_for_until_it_is_active() {
    let scene = Scene::new();
    scene.systemd.script([Outcome::Activates(ms(1500))]);
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"hello");
    scene.wait_active("activating");
    wait_until("its port to be open", || scene.app.listens());
    // In this order: it may be active, and the client served, in between.
    loop {
        let held = client.is_held();
        if scene.systemd.active() != "activating" {
            break;
        }
        assert!(held);
        thread::sleep(ms(2));
    }
    assert_eq!(client.receive(5).unwrap(), b"hello");
    assert_eq!(scene.systemd.starts(), 1);
}

/// A unit's being active is its health check.
#[test]
fn with_ready_health_its_being_active_is_enough() {
    let scene = Scene::new();
    scene.systemd.script([Outcome::Activates(ms(1200))]);
    let daemon = scene.daemon(&["--ready", "health"]);
    scene.client().echo("hello");
    assert_eq!(scene.systemd.active(), "active");
    assert_eq!(daemon.count_log(&["the wake failed"]), 0);
}

#[test]
fn each_end_of_a_start_is_told_once_and_its_clients_are_reset() {
    for (result, words) in [
        ("failed", "systemctl status app.service"),
        ("dependency", "a unit that app.service requires"),
        ("timeout", "JobTimeoutSec="),
        ("canceled", "cancelled by another job"),
        ("skipped", "skipped the start"),
    ] {
        let scene = Scene::new();
        scene.systemd.script([Outcome::Job(result)]);
        let daemon = scene.daemon(&[]);
        scene.client().expect_reset();
        daemon.wait_log(&["the wake failed", words]);
        assert_eq!(daemon.count_log(&["the wake failed"]), 1);
        wait_until("a client to be served after the back-off", || {
            scene.client().try_echo("again").is_ok()
        });
    }
}

#[test]
fn a_unit_that_fails_while_it_activates_is_told_with_its_exit_code() {
    let scene = Scene::new();
    scene.systemd.script([Outcome::Fails(ms(1300))]);
    let daemon = scene.daemon(&[]);
    scene.client().expect_reset();
    daemon.wait_log(&["the wake failed", "exit_code=37"]);
}

#[test]
fn a_unit_that_never_gets_ready_is_stopped_at_the_start_timeout() {
    let scene = Scene::new();
    scene.systemd.script([Outcome::Activates(ms(60_000))]);
    let daemon = scene.daemon(&["--start-timeout", "2s"]);
    let since = now();
    scene.client().expect_reset();
    assert!(since.elapsed() >= ms(2000));
    daemon.wait_log(&["the wake failed", "within the start timeout", "activating (start)"]);
    scene.wait_active("inactive");
    assert_eq!(scene.systemd.stops(), 1);
}

#[test]
fn a_stop_that_fails_leaves_it_awake_until_the_next_window() {
    for (outcome, words) in [
        (Outcome::Job("canceled"), "cancelled by another job"),
        (Outcome::Denied, "this user may not stop app.service"),
    ] {
        let scene = Scene::new();
        scene.systemd.script([Outcome::Job("done"), outcome]);
        let daemon = scene.daemon(&[]);
        scene.client().echo("hello");
        daemon.wait_log(&["the stop failed: it is still awake", words]);
        scene.wait_active("inactive");
        assert_eq!((scene.systemd.starts(), scene.systemd.stops()), (1, 2));
    }
}

#[test]
fn a_start_that_polkit_denies_names_the_rule() {
    let scene = Scene::new();
    scene.systemd.script([Outcome::Denied]);
    let daemon = scene.daemon(&[]);
    scene.client().expect_reset();
    daemon.wait_log(&["may not start app.service", "50-ondemand-container.rules"]);
    assert_eq!(scene.systemd.active(), "inactive");
}

#[test]
fn an_answer_that_is_lost_with_the_bus_is_looked_up() {
    let scene = Scene::new();
    scene.systemd.script([Outcome::Lost]);
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("hello");
    assert_eq!(scene.systemd.active(), "active");
}

#[test]
fn a_bus_that_is_away_is_waited_for_and_told_once() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--start-timeout", "20s"]);
    daemon.wait_log(&["asleep"]);
    scene.systemd.go_away();
    daemon.wait_log(&["the engine cannot be asked; connections go on"]);
    let mut waiting = scene.client();
    waiting.send(b"hello");
    holds_for(ms(200), "the client is held", || waiting.is_held());
    scene.systemd.come_back();
    assert_eq!(waiting.receive(5).unwrap(), b"hello");
    drop(waiting);
    daemon.wait_log(&["the engine is back"]);
    assert_eq!(daemon.count_log(&["the engine cannot be asked; connections go on"]), 1);
    // The signals of the new connection are heard.
    wait_until("it is asleep again", || daemon.count_log(&["asleep container=app"]) == 2);
    scene.systemd.start_behind_our_back();
    daemon.wait_log(&["started by somebody else"]);
}

#[test]
fn what_somebody_else_does_is_seen_by_signals() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--idle-timeout", "1m"]);
    daemon.wait_log(&["asleep"]);
    scene.systemd.start_behind_our_back();
    daemon.wait_log(&["started by somebody else"]);
    scene.client().echo("found");
    assert_eq!(scene.systemd.starts(), 0);
    // One that is being stopped is not awake any more; a client has it started after that.
    scene.systemd.deactivate();
    daemon.wait_log(&["put to rest by somebody else"]);
    scene.systemd.stop_behind_our_back();
    scene.client().echo("woken");
    assert_eq!(scene.systemd.starts(), 1);
}

#[test]
fn a_frozen_unit_is_thawed_for_its_client() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("hello");
    scene.systemd.freeze();
    daemon.wait_log(&["put to rest by somebody else", "Paused"]);
    scene.client().echo("thawed");
    assert_eq!(scene.systemd.starts(), 1);
}

#[test]
fn a_unit_that_is_not_there_is_told_and_served_once_it_is() {
    let scene = Scene::new();
    scene.systemd.load("not-found");
    let daemon = scene.daemon(&[]);
    daemon.wait_log(&["there is no unit app.service"]);
    scene.systemd.load("loaded");
    wait_until("it is served", || scene.client().try_echo("hello").is_ok());
}

#[test]
fn a_masked_unit_is_told_when_it_is_wanted() {
    let scene = Scene::new();
    scene.systemd.load("masked");
    let output = scene.launch(&["check"], &[]).output();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("systemctl unmask app.service"), "{said}");
    let daemon = scene.daemon(&[]);
    scene.client().expect_reset();
    daemon.wait_log(&["the wake failed", "masked", "systemctl unmask"]);
    scene.systemd.load("loaded");
    wait_until("it is served", || scene.client().try_echo("hello").is_ok());
}

#[test]
fn nonsense_is_waited_out() {
    let scene = Scene::new();
    scene.systemd.talk_nonsense();
    let daemon = scene.daemon(&[]);
    let mut waiting = scene.client();
    waiting.send(b"hello");
    holds_for(ms(200), "the client is held", || waiting.is_held());
    scene.systemd.stop_behind_our_back();
    assert_eq!(waiting.receive(5).unwrap(), b"hello");
    assert!(daemon.control_characters().is_empty());

    // A bus that is none.
    let path = scene.dir.join("nonsense");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let bus = format!("unix:path={}", path.display());
    let output = scene.launch(&["check"], &[]).env("DBUS_SYSTEM_BUS_ADDRESS", bus).output();
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn check_tells_of_the_unit_and_changes_nothing() {
    let scene = Scene::new();
    let check = |flags: &[&str]| {
        let output = scene.launch(&["check"], flags).output();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
    for words in ["systemd (system bus)", "unit app.service is stopped", "app.timer starts it, too"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    scene.systemd.load("not-found");
    let (code, said) = check(&[]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("there is no unit app.service"), "{said}");
    let (code, said) = check(&["--listen", &format!("0.0.0.0:{}", scene.app.port())]);
    assert_eq!(code, Some(78), "{said}");
    assert_eq!((scene.systemd.starts(), scene.systemd.stops()), (0, 0));
    scene.systemd.go_away();
    let (code, said) = check(&[]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("is missing: is systemd running here"), "{said}");
}

/// What one more sleeping unit costs, of two listeners; 9 KiB as measured.
#[test]
fn a_sleeping_unit_is_small() {
    const MORE: usize = 200;
    let anonymous = |count: usize| {
        let (dir, app) = (TempDir::new(), App::new());
        let others = (0..count).map(|n| format!("s{n}")).collect();
        let systemd = Systemd::with(&dir.join("bus"), &app, others);
        let notify = Notify::listen(&dir.join("notify"));
        let mut text = "[defaults]\nport = [80, 443]\n".to_owned();
        for n in 0..count {
            let (a, b) = (dir.join(format!("a{n}.sock")), dir.join(format!("b{n}.sock")));
            writeln!(
                text,
                "[services.s{n}]\nunit = \"s{n}\"\nlisten = [\"unix:{}\", \"unix:{}\"]",
                a.display(),
                b.display()
            )
            .unwrap();
        }
        let file = dir.join("config.toml");
        std::fs::write(&file, text).unwrap();
        let daemon = Launch::new()
            .args(["--log-format", "text", "--config"])
            .args([file])
            .env("DBUS_SYSTEM_BUS_ADDRESS", systemd.address())
            .env("NOTIFY_SOCKET", dir.join("notify"))
            .spawn();
        wait_until("READY=1", || notify.count("READY=1") > 0);
        let looked_at = || (daemon.count_log(&["asleep"]) == count).then_some(());
        wait_for_within(ms(60_000), "all to be looked at", looked_at);
        daemon.anonymous_kib()
    };
    let few = anonymous(50);
    let each = (anonymous(50 + MORE) - few) / MORE;
    assert!(each <= 16, "{each} KiB per sleeping unit");
}
