//! Several services in one daemon, from a file.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::daemon::Daemon;
use crate::support::engine::Call;
use crate::support::launch::Launch;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, wait_for_within};

/// The lines of a service before this scene's container.
fn service(name: &str, scene: &Scene, more: &str) -> String {
    format!(
        "[services.{name}]\ncontainer = \"app\"\nengine = \"{}\"\nport = {}\n{more}\n",
        scene.engine.url(),
        scene.app.port(),
    )
}

fn listen(scene: &Scene) -> String {
    format!("listen = \"{}\"", scene.address())
}

fn write(scene: &Scene, text: &str) -> PathBuf {
    let path = scene.dir.join("config.toml");
    fs::write(&path, text).unwrap();
    path
}

/// A daemon of the first scene's file, telling its notify socket.
fn launch(scene: &Scene, file: PathBuf) -> Launch {
    Launch::new()
        .args(["--log-format", "text", "-v", "--config"])
        .args([file])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"))
}

/// Two services with an engine each.
fn two(more: &str) -> (Scene, Scene, Daemon) {
    let (first, second) = (Scene::new(), Scene::new());
    let text = format!(
        "[defaults]\nidle-timeout = \"200ms\"\n{more}\n{}{}",
        service("one", &first, &listen(&first)),
        service("two", &second, &listen(&second)),
    );
    let file = write(&first, &text);
    let daemon = first.run(launch(&first, file));
    (first, second, daemon)
}

#[test]
fn each_service_wakes_and_sleeps_on_its_own() {
    let (first, second, _daemon) = two("");
    first.client().echo("one");
    assert_eq!(second.engine.count(Call::Start), 0);
    second.client().echo("two");
    let mut used = second.client();
    used.echo("still");
    first.engine.wait_status(Status::Exited);
    assert_eq!(second.engine.status(), Some(Status::Running));
    used.echo("and still");
    assert_eq!(first.engine.count(Call::Start), 1);
    first.client().echo("one again");
}

#[test]
fn an_engine_that_is_away_disturbs_no_other() {
    let (first, second) = (Scene::new(), Scene::new());
    second.engine.go_away();
    let text = format!(
        "[defaults]\nstart-timeout = \"20s\"\n{}{}",
        service("one", &first, &listen(&first)),
        service("two", &second, &listen(&second)),
    );
    let file = write(&first, &text);
    let _daemon = first.run(launch(&first, file));
    let mut waiting = second.client();
    waiting.send(b"hello");
    first.client().echo("one");
    holds_for(ms(200), "the other is held", || waiting.is_held());
    second.engine.come_back();
    assert_eq!(waiting.receive(5).unwrap(), b"hello");
}

/// One that may not be used is told and left alone; if there is no other, the daemon does not start.
#[test]
fn an_engine_that_is_forbidden_disturbs_no_other() {
    let (first, second) = (Scene::new(), Scene::new());
    second.engine.lock_out();
    let two = service("two", &second, &listen(&second));
    let file = write(&first, &format!("{}{two}", service("one", &first, &listen(&first))));
    // Root may use everything.
    let open = |file: PathBuf| launch(&first, file).nobody();
    for socket in ["engine.sock", "notify"] {
        fs::set_permissions(first.dir.join(socket), fs::Permissions::from_mode(0o666)).unwrap();
    }
    let daemon = first.run(open(file));
    daemon.wait_log(&["an engine may not be used", "permission denied"]);
    first.client().echo("one");
    drop(daemon);
    let file = write(&first, &two);
    let mut daemon = open(file).spawn();
    assert_eq!(daemon.wait_exit(), 77);
}

#[test]
fn at_the_end_all_are_drained() {
    let (first, second, mut daemon) = two("[daemon]\ndrain-timeout = \"5s\"");
    let (mut one, mut two) = (first.client(), second.client());
    one.echo("one");
    two.echo("two");
    daemon.terminate();
    daemon.wait_log(&["draining"]);
    one.echo("one goes on");
    two.echo("two goes on");
    drop((one, two));
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn everything_wrong_in_all_files_is_told_with_its_line() {
    let scene = Scene::new();
    let file = write(&scene, "[services.one]\nport = 0\nidle_timeout = \"5m\"\n[service.x]\n");
    fs::create_dir(scene.dir.join("conf.d")).unwrap();
    fs::write(scene.dir.join("conf.d/two.toml"), "[services.two]\nready = 5\n").unwrap();
    fs::write(scene.dir.join("conf.d/ignored.txt"), "nonsense").unwrap();
    fs::write(scene.dir.join("conf.d/.two.toml"), "nonsense").unwrap();
    let mut daemon = launch(&scene, file.clone()).spawn();
    assert_eq!(daemon.wait_exit(), 78);
    for words in [
        ["config.toml:2: services.one.port", "no port"],
        ["config.toml:3: services.one.idle_timeout", "is idle-timeout meant?"],
        ["config.toml:4: service", "[services.NAME]"],
        ["two.toml:2: services.two.ready", "a number where a text is wanted"],
    ] {
        assert_eq!(daemon.count_log(&words), 1, "{words:?} in {:#?}", daemon.log());
    }
    assert_eq!(daemon.count_log(&["conf.d/.two.toml"]), 0, "hidden: {:#?}", daemon.log());
    let launch = launch(&scene, scene.dir.join("missing.toml"));
    let mut daemon = launch.spawn();
    assert_eq!(daemon.wait_exit(), 78);
    assert!(daemon.count_log(&["missing.toml", "cannot be read"]) > 0);
    let both = Launch::new().args(["--idle-timeout", "5m", "--config"]).args([file]);
    let mut daemon = both.env("ONDEMAND_PORT", "1").spawn();
    assert_eq!(daemon.wait_exit(), 78);
    let words = ["--config", "--port, --idle-timeout", "[defaults]"];
    assert!(daemon.count_log(&words) > 0, "{:?}", daemon.log());
}

#[test]
fn services_are_found_in_the_folder_beside_the_file() {
    let (first, second) = (Scene::new(), Scene::new());
    let file = write(&first, &service("one", &first, &listen(&first)));
    fs::create_dir(first.dir.join("conf.d")).unwrap();
    let more = service("two", &second, &listen(&second));
    fs::write(first.dir.join("conf.d/two.toml"), more).unwrap();
    let _daemon = first.run(launch(&first, file));
    first.client().echo("one");
    second.client().echo("two");
}

#[test]
fn sockets_of_systemd_go_to_the_services_of_their_names() {
    let (first, second) = (Scene::new(), Scene::new());
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [0, 1].map(|n: usize| sockets[n].local_addr().unwrap());
    let map = format!("map = \"web={}\"", second.app.port());
    let text = format!("{}{}", service("one", &first, ""), service("two", &second, &map));
    let file = write(&first, &text);
    let names = |names: &str| launch(&first, file.clone()).env("LISTEN_FDNAMES", names);
    let copies = || sockets.each_ref().map(|socket| socket.try_clone().unwrap().into());
    {
        let _daemon = first.run(names("web:one.socket").sockets(copies()));
        Client::connect(addresses[0]).echo("by its mapped name");
        assert_eq!(first.engine.count(Call::Start), 0);
        Client::connect(addresses[1]).echo("by the service's own");
        assert_eq!(second.engine.count(Call::Start), 1);
    }
    // An exit would close the port of whoever has no socket from systemd.
    let mixed = format!("{text}{}", "[services.own]\nport = 1\nlisten = \"unix:/nowhere/x\"\n");
    let mixed =
        mixed.replace("/nowhere", first.dir.join("").to_str().unwrap().trim_end_matches('/'));
    let mixed = write(&first, &mixed);
    let launch = launch(&first, mixed).args(["--exit-idle-time", "1s"]);
    let mut daemon = launch.env("LISTEN_FDNAMES", "web:one").sockets(copies()).spawn();
    assert_eq!(daemon.wait_exit(), 78);
    assert!(daemon.count_log(&["--exit-idle-time", "for own"]) > 0, "{:?}", daemon.log());
    write(&first, &text);
    let mut daemon = names("web:other").sockets(copies()).spawn();
    assert_eq!(daemon.wait_exit(), 78);
    assert!(daemon.count_log(&["other", "FileDescriptorName="]) > 0, "{:?}", daemon.log());
}

#[test]
fn check_looks_at_every_service() {
    let (first, second) = (Scene::new(), Scene::new());
    second.engine.alter(|container| container.auto_remove = true);
    let text = format!(
        "{}{}",
        service("one", &first, &listen(&first)),
        service("two", &second, &listen(&second)),
    );
    let file = write(&first, &text);
    let output = Launch::new().args(["check", "--config"]).args([file]).output();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("one: container app is stopped"), "{said}");
    assert!(
        said.lines().any(|line| line.starts_with("PROBLEM") && line.contains("two: ")),
        "{said}"
    );
    assert!(
        !said.lines().any(|line| line.starts_with("PROBLEM") && line.contains("one: ")),
        "{said}"
    );
}

/// The services share the places; one that has no client takes none from the others.
#[test]
fn a_service_without_clients_takes_no_place_from_the_others() {
    let (first, second) = (Scene::new(), Scene::new());
    let text = format!(
        "{}{}",
        service("one", &first, &listen(&first)),
        service("two", &second, &listen(&second)),
    );
    let file = write(&first, &text);
    // 26 descriptors are left for clients: six connections, as half of the rest is the daemon's.
    let _daemon = first.run(launch(&first, file).open_files(28));
    let mut clients: Vec<_> = (0..6).map(|_| first.client()).collect();
    for client in &mut clients {
        client.echo("all places");
    }
    let mut held = second.client();
    held.send(b"hello");
    holds_for(ms(150), "there is no place", || held.is_held());
    clients.pop();
    assert_eq!(held.receive(5).unwrap(), b"hello");
}

/// The first to watch follows the stream for all of the engine's services.
#[test]
fn one_event_stream_serves_all_services_of_an_engine() {
    let scene = Scene::new();
    let none = format!(
        "[services.a]\ncontainer = \"none\"\nengine = \"{}\"\nport = 1\nlisten = \"unix:{}\"\n",
        scene.engine.url(),
        scene.dir.join("none.sock").display()
    );
    let text = format!("{none}{}idle-timeout = \"1m\"\n", service("one", &scene, &listen(&scene)));
    let file = write(&scene, &text);
    let daemon = scene.run(launch(&scene, file));
    scene.client().echo("awake");
    scene.engine.settled();
    assert_eq!(scene.engine.count(Call::Events), 1);
    scene.engine.end_container(143, &["kill", "die", "stop"]);
    daemon.wait_log(&["put to rest"]);
    scene.client().echo("awake again");
}

/// What one more sleeping service costs, of two listeners; 9.6 KiB as measured.
#[test]
fn a_sleeping_service_is_small() {
    const MORE: usize = 400;
    let scene = Scene::new();
    let anonymous = |count: usize| {
        let mut text =
            format!("[defaults]\nengine = \"{}\"\nport = [80, 443]\n", scene.engine.url());
        for n in 0..count {
            let path = |which: &str| scene.dir.join(format!("{which}{n}.sock"));
            let (a, b) = (path("a"), path("b"));
            writeln!(
                text,
                "[services.s{n}]\nlisten = [\"unix:{}\", \"unix:{}\"]",
                a.display(),
                b.display()
            )
            .unwrap();
        }
        let daemon = scene.run(launch(&scene, write(&scene, &text)));
        let looked_at = || (daemon.count_log(&["there is no container"]) == count).then_some(());
        wait_for_within(ms(60_000), "all to be looked at", looked_at);
        daemon.anonymous_kib()
    };
    let few = anonymous(50);
    let each = (anonymous(50 + MORE) - few) / MORE;
    assert!(each <= 16, "{each} KiB per sleeping service");
}
