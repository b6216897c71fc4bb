//! The end of the daemon: signals, draining, exit codes, and what the service manager is told.

use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

#[test]
fn without_connections_the_end_is_at_once_and_the_container_left_as_it_is() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("awake");
    wait_until("nobody connected", || scene.app.live() == 0);
    let asked = now();
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert!(asked.elapsed() < ms(9000), "took {:?}", asked.elapsed());
    assert_eq!(scene.engine.status(), Some(Status::Running));
    assert_eq!(scene.engine.count(Call::Stop), 0);
}

#[test]
fn live_connections_are_drained_and_new_ones_refused() {
    for signal in [Signal::TERM, Signal::INT] {
        let scene = Scene::new();
        let mut daemon = scene.daemon(&["--drain-timeout", "8s"]);
        let mut live = scene.client();
        live.echo("before");
        daemon.signal(signal);
        wait_until("new connections to be refused", || {
            Client::try_connect(scene.address()).is_err()
        });
        live.echo("during the drain");
        assert!(daemon.runs());
        drop(live);
        assert_eq!(daemon.wait_exit(), 0);
    }
}

#[test]
fn a_held_client_is_still_served_during_the_drain() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let mut daemon = scene.daemon(&["--drain-timeout", "8s"]);
    let mut client = scene.client();
    client.send(b"held");
    scene.engine.wait_count(Call::Start, 1);
    daemon.terminate();
    wait_until("STOPPING=1", || scene.notify.count("STOPPING=1") == 1);
    scene.engine.proceed();
    assert_eq!(client.receive(4).unwrap(), b"held");
    drop(client);
    assert_eq!(daemon.wait_exit(), 0);
}

/// The kernel has completed their connections, so closing the listening socket would reset them.
#[test]
fn clients_that_the_kernel_had_accepted_before_the_signal_are_served() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&["--drain-timeout", "8s"]);
    daemon.signal(Signal::STOP);
    let mut clients: Vec<_> = (0..20).map(|_| scene.client()).collect();
    daemon.terminate();
    daemon.signal(Signal::CONT);
    for client in &mut clients {
        client.echo("just in time");
    }
    drop(clients);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn the_drain_ends_with_its_timeout() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&["--drain-timeout", "300ms"]);
    let mut live = scene.client();
    live.echo("before");
    let asked = now();
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    let took = asked.elapsed();
    assert!(took >= ms(280) && took < ms(9000), "drained for {took:?} instead of 0.3 s");
    // What was cut off must not look like all there was.
    live.expect_reset();
}

#[test]
fn a_second_signal_ends_at_once() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&["--drain-timeout", "1m"]);
    let mut live = scene.client();
    live.echo("before");
    daemon.terminate();
    wait_until("STOPPING=1", || scene.notify.count("STOPPING=1") == 1);
    holds_for(ms(100), "still draining", || daemon.runs());
    let asked = now();
    daemon.terminate();
    daemon.wait_exit();
    assert!(asked.elapsed() < ms(9000), "took {:?}", asked.elapsed());
}

#[test]
fn on_exit_stop_stops_the_container() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&["--idle-timeout", "1m", "--on-exit", "stop"]);
    let mut live = scene.client();
    live.echo("before");
    daemon.terminate();
    wait_until("STOPPING=1", || scene.notify.count("STOPPING=1") == 1);
    holds_for(ms(100), "no stop during the drain", || scene.engine.count(Call::Stop) == 0);
    drop(live);
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(scene.engine.status(), Some(Status::Exited));
    assert_eq!(scene.engine.count(Call::Stop), 1);
}

#[test]
fn on_exit_stop_leaves_a_sleeping_container_alone() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&["--on-exit", "stop"]);
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(scene.engine.count(Call::Stop), 0);
}

#[test]
fn on_exit_stop_lets_a_stop_in_flight_finish() {
    let scene = Scene::new();
    scene.engine.once(Call::Stop, Fault::Gated);
    let mut daemon = scene.daemon(&["--idle-timeout", "100ms", "--on-exit", "stop"]);
    scene.client().echo("before");
    scene.engine.wait_count(Call::Stop, 1);
    daemon.terminate();
    wait_until("STOPPING=1", || scene.notify.count("STOPPING=1") == 1);
    holds_for(ms(100), "the stop is waited for", || daemon.runs());
    scene.engine.proceed();
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(scene.engine.status(), Some(Status::Exited));
    assert_eq!(scene.engine.count(Call::Stop), 1);
}

#[test]
fn a_hung_engine_does_not_keep_the_daemon_from_ending() {
    let scene = Scene::new();
    scene.engine.freeze();
    let mut daemon = scene.daemon(&["--drain-timeout", "300ms"]);
    let _held = scene.client();
    let asked = now();
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert!(asked.elapsed() < ms(9000), "took {:?}", asked.elapsed());
}

#[test]
fn the_service_manager_is_told_ready_status_and_stopping() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&["--idle-timeout", "1m"]);
    assert_eq!(scene.notify.count("READY=1"), 1);
    let status = || {
        let lines = scene.notify.lines();
        lines.iter().rev().find(|line| line.starts_with("STATUS=")).cloned().unwrap_or_default()
    };
    wait_until("a status", || !status().is_empty());
    let asleep = status();
    let mut client = scene.client();
    client.echo("awake");
    wait_until("a status with the count of connections", || {
        status() != asleep && status().contains('1')
    });
    drop(client);
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    wait_until("STOPPING=1", || scene.notify.count("STOPPING=1") == 1);
    assert_eq!(scene.notify.count("READY=1"), 1);
    assert_eq!(scene.notify.count("WATCHDOG=1"), 0, "nobody asked for a watchdog");
}

#[test]
fn the_watchdog_is_fed_in_time() {
    let scene = Scene::new();
    let launch = scene.launch_with(&[]).watchdog(300_000);
    let _daemon = scene.run(launch);
    let mut fed = Vec::new();
    wait_until("nine messages", || {
        fed.resize_with(scene.notify.count("WATCHDOG=1"), now);
        fed.len() >= 9
    });
    // Some may be late where the machine stands still, and most where they are sent too seldom.
    let late = fed.windows(2).filter(|pair| pair[1] - pair[0] >= ms(300)).count();
    assert!(late <= 4, "{late} of 8 gaps are too long for it");
    // Also while the engine hangs: that is no reason to be killed.
    scene.engine.freeze();
    let fed = scene.notify.count("WATCHDOG=1");
    wait_until("four more", || scene.notify.count("WATCHDOG=1") >= fed + 4);
}

#[test]
fn the_watchdog_is_fed_during_the_drain() {
    let scene = Scene::new();
    let mut daemon = scene.run(scene.launch_with(&["--drain-timeout", "9s"]).watchdog(300_000));
    let mut live = scene.client();
    live.echo("before");
    daemon.terminate();
    wait_until("STOPPING=1", || scene.notify.count("STOPPING=1") == 1);
    let fed = scene.notify.count("WATCHDOG=1");
    wait_until("four more", || scene.notify.count("WATCHDOG=1") >= fed + 4);
    drop(live);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let scene = Scene::new();
    let _taken = scene.port.listen();
    let mut daemon = scene.launch_with(&[]).spawn();
    let code = daemon.wait_exit();
    assert!(matches!(code, 1 | 78), "exit code {code}");
    assert!(daemon.count_log(&[&scene.address().to_string(), "in use"]) > 0);
    assert_eq!(scene.notify.count("READY=1"), 0);
}

#[test]
fn a_unix_socket_is_removed_at_the_end_and_one_left_behind_is_taken_over() {
    let scene = Scene::new();
    let path = scene.dir.join("held.sock");
    let listen = format!("unix:{}", path.display());
    let launch = || scene.launch().args(["--listen", &listen]);
    let mut first = scene.run(launch());
    first.terminate();
    assert_eq!(first.wait_exit(), 0);
    assert!(!path.exists());

    // Killed when dropped, so it cannot clean up.
    drop(scene.run(launch()));
    assert!(path.exists());
    let _second = scene.run(launch());
    drop(UnixStream::connect(&path).unwrap());

    let mut third = launch().spawn();
    assert!(matches!(third.wait_exit(), 1 | 78));
    assert!(third.count_log(&["held.sock", "another process"]) > 0);
    assert!(path.exists(), "the path of the living one is left alone");
}
