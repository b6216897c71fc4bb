//! A configuration that is read anew while clients are there.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::admin::Control;
use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::daemon::Daemon;
use crate::support::datagrams::{DatagramApp, DatagramClient, free_address};
use crate::support::engine::{Call, Fault};
use crate::support::launch::Launch;
use crate::support::port::Port;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, wait_until};

/// A daemon of a file that changes.
pub(crate) struct Changing {
    pub(crate) daemon: Daemon,
    pub(crate) control: Control,
    file: std::path::PathBuf,
}

/// The lines of a service before that scene's container.
pub(crate) fn service(name: &str, scene: &Scene, more: &str) -> String {
    let (engine, port, at) = (scene.engine.url(), scene.app.port(), scene.address());
    format!(
        "[services.{name}]\ncontainer = \"app\"\nengine = \"{engine}\"\nport = {port}\n\
         listen = \"{at}\"\n{more}\n"
    )
}

impl Changing {
    pub(crate) fn new(scene: &Scene, text: &str) -> Self {
        let file = scene.dir.join("config.toml");
        let control = Control::at(&scene.dir.join("control"));
        fs::write(&file, text).unwrap();
        let launch = Launch::new()
            .args(["--log-format", "text", "-v", "--control", control.path(), "--config"])
            .args([&file])
            .env("NOTIFY_SOCKET", scene.dir.join("notify"));
        let daemon = scene.run(launch);
        control.wait_state("asleep");
        Self { daemon, control, file }
    }

    pub(crate) fn reload(&self, text: &str) -> (u16, Value) {
        fs::write(&self.file, text).unwrap();
        self.control.post("/v1/reload")
    }

    /// What has changed.
    pub(crate) fn reloaded(&self, text: &str) -> Value {
        let (status, changes) = self.reload(text);
        assert_eq!(status, 200, "{changes}");
        changes
    }
}

#[test]
fn services_come_and_go_and_the_others_notice_nothing() {
    let (first, second) = (Scene::new(), Scene::new());
    let one = service("app", &first, "idle-timeout = \"1h\"");
    let two = service("two", &second, "idle-timeout = \"200ms\"");
    let changing = Changing::new(&first, &one);
    let mut used = first.client();
    used.echo("before");
    let asked = first.engine.settled();

    let changes = changing.reloaded(&format!("{one}{two}"));
    assert_eq!(changes["added"], serde_json::json!(["two"]));
    assert_eq!(changes["unchanged"], 1);
    second.client().echo("the new one");
    used.echo("between");
    let mut last = second.client();
    last.echo("it goes on");

    let changes = changing.reloaded(&one);
    assert_eq!(changes["removed"], serde_json::json!(["two"]));
    assert!(Client::try_connect(second.address()).is_err(), "its port is given up");
    last.echo("who is there is served to the end");
    used.echo("after");
    // Neither its connection nor its engine was bothered.
    assert_eq!(first.engine.count_all(), asked);
    drop(last);
    // Nobody puts it to sleep any more: it is nobody's business.
    holds_for(ms(500), "left alone", || second.engine.status() == Some(Status::Running));
}

#[test]
fn a_broken_file_changes_nothing_and_says_so() {
    let scene = Scene::new();
    let one = service("app", &scene, "");
    let changing = Changing::new(&scene, &one);
    let mut used = scene.client();
    used.echo("before");
    let (status, wrong) = changing.reload("[services.app]\nprot = 1\n[services.two]\n");
    assert_eq!(status, 422);
    let wrong = wrong["error"].as_str().unwrap();
    for words in ["nothing is changed", "config.toml:2: services.app.prot"] {
        assert!(wrong.contains(words), "{words} in {wrong}");
    }
    changing.daemon.wait_log(&["config.toml:2: services.app.prot"]);
    // A place that another process has.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let two = format!("[services.two]\nport = 1\nlisten = \"{}\"\n", taken.local_addr().unwrap());
    let moved = one.replace(&scene.address().to_string(), &Port::reserve().address().to_string());
    let (status, wrong) = changing.reload(&format!("{moved}{two}"));
    assert_eq!(status, 422);
    assert!(wrong["error"].as_str().unwrap().contains("another process"), "{wrong}");
    used.echo("goes on");
    scene.client().echo("where it was");
    assert_eq!(changing.reloaded(&one)["unchanged"], 1);
}

#[test]
fn sighup_and_the_command_do_the_same_and_systemd_is_told() {
    let (first, second) = (Scene::new(), Scene::new());
    let one = service("app", &first, "");
    let changing = Changing::new(&first, &one);
    let ready = first.notify.count("READY=1");
    let two = format!("{one}{}", service("two", &second, ""));
    fs::write(&changing.file, &two).unwrap();
    changing.daemon.signal(Signal::HUP);
    wait_until("ready again", || first.notify.count("READY=1") > ready);
    assert_eq!(first.notify.count("RELOADING=1"), 1);
    let monotonic = |line: &String| line.starts_with("MONOTONIC_USEC=");
    assert!(first.notify.lines().iter().any(monotonic));
    second.client().echo("added");
    fs::write(&changing.file, &one).unwrap();
    let reload = || Launch::new().args(["reload", "--control", changing.control.path()]).output();
    let output = reload();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "removed: two\nunchanged: 1\n");
    fs::write(&changing.file, "[services.app]\n").unwrap();
    let output = reload();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("config.toml:1: services.app.port"), "{said}");
}

#[test]
fn without_a_file_there_is_nothing_to_read_anew() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&[]);
    daemon.signal(Signal::HUP);
    daemon.wait_log(&["nothing to read anew", "--config"]);
    assert!(daemon.runs());
    scene.client().echo("served");
}

#[test]
fn a_new_idle_window_holds_for_the_one_that_runs() {
    let scene = Scene::new();
    let with = |window: &str| service("app", &scene, &format!("idle-timeout = \"{window}\""));
    let changing = Changing::new(&scene, &with("1h"));
    scene.client().echo("awake");
    assert_eq!(changing.reloaded(&with("100ms"))["changed"], serde_json::json!(["app"]));
    scene.engine.wait_status(Status::Exited);
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn a_client_that_waits_is_served_over_a_change() {
    let scene = Scene::new();
    let with = |more: &str| service("app", &scene, more);
    scene.engine.once(Call::Start, Fault::Gated);
    let changing = Changing::new(&scene, &with("start-timeout = \"1m\""));
    let mut waiting = scene.client();
    waiting.send(b"hello");
    scene.engine.wait_count(Call::Start, 1);
    let changes = changing.reloaded(&with("start-timeout = \"50s\"\nready = \"tcp\""));
    assert_eq!(changes["changed"], serde_json::json!(["app"]));
    assert!(waiting.is_held());
    scene.engine.proceed();
    assert_eq!(waiting.receive(5).unwrap(), b"hello");
}

#[test]
fn listeners_that_stay_stay_others_come_and_go() {
    let scene = Scene::new();
    let other = Port::reserve();
    let unix = scene.dir.join("app.sock");
    let with = |listen: &str| {
        service("app", &scene, "").replace(&format!("\"{}\"", scene.address()), listen)
    };
    let here = format!("\"{}\"", scene.address());
    let changing = Changing::new(&scene, &with(&here));
    let mut used = scene.client();
    used.echo("before");
    let more = format!("[{here}, \"{}\", \"unix:{}\"]", other.address(), unix.display());
    changing.reloaded(&with(&more));
    Client::connect(other.address()).echo("a second place");
    drop(UnixStream::connect(&unix).unwrap());
    changing.reloaded(&with(&format!("\"{}\"", other.address())));
    assert!(Client::try_connect(scene.address()).is_err(), "it is given up");
    assert!(!unix.exists());
    used.echo("who came by it goes on");
    // Every address instead of one: the one has to be closed before.
    changing.reloaded(&with(&format!("\"{}\"", other.number())));
    Client::connect(other.address()).echo("everywhere");
    changing.reloaded(&with(&format!("\"{}\"", other.address())));
    Client::connect(other.address()).echo("one again");
    assert_eq!(changing.daemon.count_log(&["a socket is missing"]), 0);
}

#[test]
fn a_service_with_another_name_is_still_the_same() {
    let scene = Scene::new();
    let changing = Changing::new(&scene, &service("app", &scene, "idle-timeout = \"1h\""));
    scene.client().echo("awake");
    let changes = changing.reloaded(&service("web", &scene, "idle-timeout = \"1h\""));
    assert_eq!(changes["changed"], serde_json::json!(["web"]));
    let (_, status) = changing.control.get("/v1/services/web");
    assert_eq!((&status["state"], &status["woken"]), (&"awake".into(), &1.into()));
    assert_eq!(changing.control.get("/v1/services/app").0, 404);
    scene.client().echo("served");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

/// The address goes to another service: nobody finds the port closed.
#[test]
fn another_container_behind_the_same_port() {
    let (first, second) = (Scene::new(), Scene::new());
    let changing = Changing::new(&first, &service("app", &first, ""));
    let mut used = first.client();
    used.echo("first");
    let other = service("app", &second, "")
        .replace(&second.address().to_string(), &first.address().to_string());
    changing.reloaded(&other);
    used.echo("still the first");
    first.client().echo("second");
    assert_eq!((first.engine.count(Call::Start), second.engine.count(Call::Start)), (1, 1));
    drop(used);
    changing.daemon.wait_log(&["served no more"]);
}

#[test]
fn datagrams_keep_their_flows_over_a_change() {
    let (scene, mut app, at) = (Scene::new(), DatagramApp::new(), free_address());
    let address = app.address;
    let with = |more: &str| {
        format!(
            "[services.app]\ncontainer = \"app\"\nengine = \"{}\"\nready = \"none\"\n\
             port = \"{}/udp\"\nlisten = \"udp:{at}\"\nupstream = \"{}\"\n{more}\n",
            scene.engine.url(),
            address.port(),
            address.ip(),
        )
    };
    app.bind();
    let changing = Changing::new(&scene, &with("idle-timeout = \"1h\""));
    let client = DatagramClient::new(at);
    client.ask("before");
    changing.reloaded(&with("idle-timeout = \"30m\"\nudp-idle = \"30s\""));
    client.ask("after");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

/// Twenty reloads that add, change and remove beside and on a service, under a steady load of new
/// connections and beside one that lasts.
#[test]
fn no_connection_is_lost_under_reloads() {
    let (first, second) = (Scene::new(), Scene::new());
    let changing = Changing::new(&first, &service("app", &first, "idle-timeout = \"1h\""));
    let mut lasting = first.client();
    lasting.echo("begins");
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    first.client().echo("a short one");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..20 {
            let before = served.load(Ordering::Relaxed);
            // Another idle window, another limit, another way to be ready, and a second service.
            let more = ["idle-timeout = \"2h\"", "max-connections = 500", "ready = \"tcp\""];
            let mut text = service("app", &first, more[round % 3]);
            if round % 2 == 0 {
                text += &service("two", &second, "");
            }
            changing.reloaded(&text);
            lasting.echo("goes on");
            wait_until("clients are served", || served.load(Ordering::Relaxed) > before + 8);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!((first.engine.count(Call::Start), first.engine.count(Call::Stop)), (1, 0));
}

#[test]
fn a_service_that_comes_back_does_not_sleep_under_who_stayed() {
    let scene = Scene::new();
    let one = service("app", &scene, "idle-timeout = \"100ms\"");
    let changing = Changing::new(&scene, &one);
    let mut stays = scene.client();
    stays.echo("before");
    let other = Port::reserve();
    let none = format!("[services.other]\nport = 1\nlisten = \"{}\"\n", other.address());
    changing.reloaded(&none);
    changing.reloaded(&format!("{none}{one}"));
    scene.client().echo("back again");
    holds_for(ms(400), "it is in use", || scene.engine.status() == Some(Status::Running));
    stays.echo("still there");
    drop(stays);
    scene.engine.wait_status(Status::Exited);
}

#[test]
fn a_udp_address_is_widened_and_narrowed_under_its_clients() {
    let (scene, mut app, at) = (Scene::new(), DatagramApp::new(), free_address());
    let address = app.address;
    let with = |listen: &str| {
        format!(
            "[services.app]\ncontainer = \"app\"\nengine = \"{}\"\nready = \"none\"\n\
             port = \"{}/udp\"\nlisten = \"udp:{listen}\"\nupstream = \"{}\"\n",
            scene.engine.url(),
            address.port(),
            address.ip(),
        )
    };
    app.bind();
    let changing = Changing::new(&scene, &with(&at.to_string()));
    let client = DatagramClient::new(at);
    client.ask("before");
    changing.reloaded(&with(&at.port().to_string()));
    assert_eq!(changing.daemon.count_log(&["a socket is missing"]), 0);
    client.ask("everywhere");
    changing.reloaded(&with(&at.to_string()));
    assert_eq!(changing.daemon.count_log(&["a socket is missing"]), 0);
    client.ask("one again");
}

/// All addresses instead of one, while somebody else has another of them: known only when the one is
/// given up. It is told, and tried again until it can be had.
#[test]
fn a_socket_that_is_missing_is_tried_again() {
    let scene = Scene::new();
    let here = scene.address();
    let there = SocketAddr::from(([127, 0, 0, 2], here.port()));
    let taken = TcpListener::bind(there).unwrap();
    let one = service("app", &scene, "");
    let changing = Changing::new(&scene, &one);
    let mut stays = scene.client();
    stays.echo("before");
    changing.reloaded(&one.replace(&here.to_string(), &here.port().to_string()));
    changing.daemon.wait_log(&["a socket of it is missing", "another process"]);
    stays.echo("goes on");
    drop(taken);
    wait_until("it is there", || Client::try_connect(here).is_ok());
    Client::connect(there).echo("everywhere");
    stays.echo("still");
    assert_eq!(changing.daemon.count_log(&["a socket of it is missing"]), 1);
}
