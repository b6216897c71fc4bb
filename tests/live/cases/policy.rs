//! When it may sleep, how deep, and what silent connections are worth.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::live::client;
use crate::live::clock::{ms, now, secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::{BINARY, Daemon};
use crate::live::engine::Engine;
use crate::live::scratch::{self, Dir};

/// A daemon with flags that have words with spaces in them.
fn start(engine: &Engine, container: &Container<'_>, flags: &[&str]) -> Daemon {
    let address = SocketAddr::from((scratch::address(), 1024 + scratch::number()));
    let mut command = Command::new(BINARY);
    command.args(["--engine", &engine.url(), "--container", &container.name, "--port", "8080"]);
    command.args(["--listen", &address.to_string()]).args(flags);
    Daemon::spawn(command, address)
}

fn wait_paused(container: &Container<'_>) {
    wait_for("the container is paused", secs(20), || container.state() == "paused");
}

/// Frozen, and thawed for the next client: the same life goes on.
pub(crate) fn a_paused_sleep_is_ended_by_a_client(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--sleep pause --idle-timeout 500ms");
    let run = daemon.get("/").run();
    for _ in 0..3 {
        wait_paused(&container);
        let answer = daemon.get("/");
        assert_eq!((answer.boot(), answer.run()), (1, run.clone()));
    }
    wait_paused(&container);
}

/// Frozen, then stopped, of which the application hears; the next client is served by another life.
pub(crate) fn a_paused_one_is_stopped_in_the_end(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let flags = "--sleep pause,stop=6s --idle-timeout 500ms";
    let daemon = Daemon::start(engine, &container, flags);
    for boot in 1..=2 {
        assert_eq!(daemon.get("/").boot(), boot);
        wait_paused(&container);
        assert_eq!(daemon.get("/").boot(), boot, "it is thawed");
        wait_paused(&container);
        container.wait_asleep();
        let told = container.output().matches("SIGTERM, ending").count() as u64;
        assert_eq!(told, boot, "it was thawed, told, and ended by itself");
    }
}

/// A container of the labels is frozen as one of the command line.
pub(crate) fn labels_tell_how_deep(engine: &Engine) {
    let address = SocketAddr::from((scratch::address(), 1024 + scratch::number()));
    let listen = format!("ondemand.listen={address}->8080");
    let labels = [
        "ondemand.enable=true",
        "ondemand.sleep=pause",
        "ondemand.idle-timeout=500ms",
        listen.as_str(),
    ];
    let options: Vec<&str> = labels.into_iter().flat_map(|label| ["--label", label]).collect();
    let container = Container::create_with(engine, &options, "http:8080");
    let mut command = Command::new(BINARY);
    command.args(["--control", "none", "--labels", &engine.url()]);
    let daemon = Daemon::spawn(command, address);
    daemon.wait_listens(address, &container.name);
    let run = daemon.get("/").run();
    wait_paused(&container);
    assert_eq!(daemon.get("/").run(), run);
}

/// With its memory given back as far as this machine can, it goes on where it was.
pub(crate) fn a_reclaimed_one_is_served_again(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let flags = "--sleep pause --reclaim --idle-timeout 300ms";
    let daemon = Daemon::start(engine, &container, flags);
    let run = daemon.get("/").run();
    for _ in 0..3 {
        wait_paused(&container);
        assert_eq!(daemon.get("/").run(), run);
    }
}

/// Asked by a command in the container, which says no until the application is well.
pub(crate) fn a_command_in_the_container_may_say_no(engine: &Engine) {
    says_no_until_it_is_well(engine, "exec:/fixture health", "/fixture in the container says no");
}

/// Asked by a path of the application.
pub(crate) fn a_path_of_the_application_may_say_no(engine: &Engine) {
    says_no_until_it_is_well(engine, "http:/healthz", "GET /healthz answers 503");
}

fn says_no_until_it_is_well(engine: &Engine, condition: &str, no: &str) {
    let container = Container::create(engine, "http:8080 --healthy-after 8000");
    let flags = ["--stop-condition", condition, "--idle-timeout", "500ms"];
    let daemon = start(engine, &container, &flags);
    assert_eq!(daemon.get("/").boot(), 1);
    daemon.wait_log(no);
    assert_eq!(daemon.get("/").boot(), 1, "a client is served between two questions");
    container.wait_asleep();
    let output = container.output();
    assert!(output.lines().any(|line| line == "healthy"), "it slept against a no: {output}");
}

/// Asked by a command of the host.
pub(crate) fn a_command_of_the_host_may_say_no(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let dir = Dir::new();
    let yes = dir.join("yes");
    let condition = format!("/usr/bin/test -e {}", yes.display());
    let flags = ["--stop-condition", &condition, "--idle-timeout", "300ms"];
    let daemon = start(engine, &container, &flags);
    assert_eq!(daemon.get("/").boot(), 1);
    daemon.wait_log("/usr/bin/test says no (status 1)");
    assert!(container.runs());
    std::fs::write(yes, "").unwrap();
    container.wait_asleep();
}

/// While it works for somebody who does not come through the daemon, it stays awake.
pub(crate) fn what_works_without_clients_stays_awake(engine: &Engine) {
    for (flag, most, why) in
        [("--busy-cpu", "1%", "busy: cpu"), ("--busy-net", "1MiB/s", "busy: net")]
    {
        let container = Container::create(engine, "http:8080");
        let daemon = start(engine, &container, &[flag, most, "--idle-timeout", "2s"]);
        let mut stays = daemon.connect();
        assert_eq!(client::ask_on(&mut stays, "/").unwrap().boot(), 1);
        let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = SocketAddr::new(container.inspect(template).parse().unwrap(), 8080);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    // The last one may be cut off, if this test fails.
                    _ = client::get(address, "/size?n=10000000");
                }
            });
            // Its work is under way when the last client leaves.
            client::get(address, "/size?n=10000000").unwrap();
            drop(stays);
            let seen =
                crate::live::clock::poll(secs(20), || daemon.log().contains(why).then_some(()));
            let runs = container.runs();
            over.store(true, Ordering::SeqCst);
            assert!(seen.is_some() && runs, "{why:?} is not said, or it sleeps");
        });
        container.wait_asleep();
    }
}

/// Once awake, for so long at least.
pub(crate) fn it_is_awake_for_so_long_at_least(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--min-awake 3s --idle-timeout 0s");
    let before = now();
    assert_eq!(daemon.get("/").boot(), 1);
    container.wait_asleep();
    assert!(before.elapsed() >= secs(3), "{:?}", before.elapsed());
}

/// One that is silent keeps it awake no longer, unless it is heard of again in time.
pub(crate) fn a_silent_connection_keeps_it_awake_no_longer(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let flags = "--silent-after 1s --idle-timeout 5s";
    let daemon = Daemon::start(engine, &container, flags);
    let mut stream = daemon.connect();
    for _ in 0..2 {
        exchange(&mut stream);
        thread::sleep(ms(1500));
    }
    let last = now();
    exchange(&mut stream);
    container.wait_asleep();
    assert!(last.elapsed() >= secs(6));
    assert_closed(stream);
    exchange(&mut daemon.connect());
}

/// Bytes are use, and an open connection without them is none.
pub(crate) fn an_open_connection_without_bytes_is_no_use(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let flags = "--activity traffic --idle-timeout 4s";
    let daemon = Daemon::start(engine, &container, flags);
    let (mut silent, mut talks) = (daemon.connect(), daemon.connect());
    exchange(&mut silent);
    let since = now();
    let mut last = since;
    while since.elapsed() < secs(7) {
        last = now();
        exchange(&mut talks);
        thread::sleep(ms(50));
    }
    let runs = container.runs();
    assert!(runs || last.elapsed() >= secs(4), "it was used");
    container.wait_asleep();
    assert_closed(silent);
    assert_closed(talks);
}

fn exchange(stream: &mut TcpStream) {
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

fn assert_closed(mut stream: TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "an end in order");
}

/// An application that ignores SIGTERM is ended once a client has waited for so long.
pub(crate) fn a_waiting_client_may_end_a_stubborn_stop(engine: &Engine) {
    let container =
        Container::create_with(engine, &["--stop-timeout", "300"], "http:8080 --stop ignore");
    let flags = "--idle-timeout 200ms --on-waiting-stop kill=1s";
    let daemon = Daemon::start(engine, &container, flags);
    assert_eq!(daemon.get("/").boot(), 1);
    container.wait_output("SIGTERM ignored");
    let came = now();
    assert_eq!(daemon.get("/").boot(), 2);
    assert!(came.elapsed() >= ms(900) && came.elapsed() < secs(20), "{:?}", came.elapsed());
    daemon.wait_log("clients wait and it has not stopped yet: killing it");
}

/// It is said what would be done, and nothing is.
pub(crate) fn a_dry_run_puts_nothing_to_sleep(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--dry-run --idle-timeout 300ms");
    let run = daemon.get("/").run();
    daemon.wait_log("dry run: it would go to sleep now");
    thread::sleep(secs(1));
    assert!(container.runs());
    assert_eq!(daemon.get("/").run(), run);
}
