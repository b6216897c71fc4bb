//! Sockets handed over by the service manager, and going away when idle.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::engine::Call;
use crate::support::launch::Launch;
use crate::support::port::Port;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

/// A listener that the test keeps, as the service manager does, and a duplicate to hand over.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn copy(listener: &TcpListener) -> OwnedFd {
    listener.try_clone().unwrap().into()
}

#[test]
fn several_inherited_sockets_are_served_tcp_and_unix() {
    let scene = Scene::new();
    let (tcp, address) = listener();
    let path = scene.dir.join("inherited.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let launch = scene.launch().sockets([copy(&tcp), unix.into()]);
    let _daemon = scene.run(launch);
    Client::connect(address).echo("over TCP");
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"over Unix").unwrap();
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"over Unix");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn a_client_that_connected_before_the_daemon_ran_is_served() {
    let scene = Scene::new();
    let (tcp, address) = listener();
    let mut client = Client::connect(address);
    client.send(b"early");
    let _daemon = scene.run(scene.launch().sockets([copy(&tcp)]));
    assert_eq!(client.receive(5).unwrap(), b"early");
}

/// The daemon ignores the sockets and does what it does without any: the container's port on all
/// interfaces.
#[test]
fn sockets_meant_for_another_process_are_ignored() {
    let scene = Scene::new();
    let (tcp, address) = listener();
    let held = Port::reserve();
    let upstream = format!("127.0.0.1:{}", scene.app.port());
    let launch = Launch::new()
        .args(["--container", "app", "--port", &held.number().to_string()])
        .args(["--upstream", &upstream, "--engine", &scene.engine.url()])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"))
        .sockets([copy(&tcp)])
        .listen_pid("1");
    let daemon = scene.run(launch);
    Client::connect(held.address()).echo("the default port");
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        Client::connect((Ipv6Addr::LOCALHOST, held.number()).into()).echo("over IPv6");
    }
    daemon.wait_log(&["all interfaces"]);
    let mut ignored = Client::connect(address);
    ignored.send(b"hello");
    holds_for(ms(200), "nobody accepts", || ignored.is_held());
}

#[test]
fn a_socket_that_does_not_listen_is_refused_with_a_clear_error() {
    let scene = Scene::new();
    let (tcp, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    let (accepted, _) = tcp.accept().unwrap();
    let mut daemon = scene.launch().sockets([accepted.into()]).spawn();
    assert_eq!(daemon.wait_exit(), 78);
    assert!(daemon.count_log(&["Accept=no"]) + daemon.count_log(&["Accept=yes"]) > 0);
    drop(client);
}

#[test]
fn a_socket_of_the_wrong_kind_is_refused_with_a_clear_error() {
    let scene = Scene::new();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut daemon = scene.launch().sockets([udp.into()]).spawn();
    assert_eq!(daemon.wait_exit(), 78);
    assert!(!daemon.log().is_empty());
}

#[test]
fn the_socket_survives_the_daemon_and_its_successor_serves_the_next_client() {
    let scene = Scene::new();
    let (tcp, address) = listener();
    let flags = ["--idle-timeout", "1m"];
    let mut first = scene.run(scene.launch().args(flags).sockets([copy(&tcp)]));
    Client::connect(address).echo("first");
    first.terminate();
    assert_eq!(first.wait_exit(), 0);
    let mut between = Client::connect(address);
    between.send(b"between");
    let _second = scene.run(scene.launch().args(flags).sockets([copy(&tcp)]));
    assert_eq!(between.receive(7).unwrap(), b"between");
    assert_eq!(scene.engine.count(Call::Start), 1, "the container ran on");
}

#[test]
fn a_client_during_the_drain_is_left_to_the_successor() {
    let scene = Scene::new();
    let (tcp, address) = listener();
    let mut first = scene.run(scene.launch().sockets([copy(&tcp)]));
    let mut live = Client::connect(address);
    live.echo("live");
    first.terminate();
    wait_until("STOPPING=1", || scene.notify.count("STOPPING=1") == 1);
    let mut next = Client::connect(address);
    next.send(b"next");
    holds_for(ms(150), "left in the queue", || next.is_held());
    drop(live);
    assert_eq!(first.wait_exit(), 0);
    let _second = scene.run(scene.launch().sockets([copy(&tcp)]));
    assert_eq!(next.receive(4).unwrap(), b"next");
}

#[test]
fn with_exit_idle_time_the_daemon_ends_once_the_container_sleeps() {
    let scene = Scene::new();
    let (tcp, address) = listener();
    let flags = ["--idle-timeout", "150ms", "--exit-idle-time", "150ms"];
    // It waits in the queue before the daemon can have nothing to do.
    let mut client = Client::connect(address);
    let mut daemon = scene.run(scene.launch().args(flags).sockets([copy(&tcp)]));
    client.echo("connected");
    holds_for(ms(500), "it stays while somebody is connected", || daemon.runs());
    let left = now();
    drop(client);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(left.elapsed() >= ms(290), "ended {:?} after the last client", left.elapsed());
    assert_eq!(scene.engine.status(), Some(Status::Exited), "asleep first");
    let mut next = Client::connect(address);
    next.send(b"next");
    let _daemon = scene.run(scene.launch().args(flags).sockets([copy(&tcp)]));
    assert_eq!(next.receive(4).unwrap(), b"next");
}

#[test]
fn with_exit_idle_time_and_no_client_at_all_the_daemon_ends_too() {
    let scene = Scene::new();
    let (tcp, _) = listener();
    let flags = ["--exit-idle-time", "200ms"];
    let launch = scene.launch().args(flags).sockets([copy(&tcp)]);
    let mut daemon = launch.spawn();
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(scene.engine.count(Call::Start), 0);
}

/// The service manager may end it in the very moment in which it goes by itself: that is no second signal,
/// and no failure, which would close the port.
#[test]
fn a_signal_in_the_moment_of_its_own_exit_is_the_first() {
    let scene = Scene::new();
    let (tcp, _) = listener();
    let flags = ["--exit-idle-time", "100ms"];
    for _ in 0..20 {
        let mut daemon = scene.launch().args(flags).sockets([copy(&tcp)]).spawn();
        daemon.wait_log(&["listening"]);
        thread::sleep(ms(50));
        daemon.signal(Signal::STOP);
        thread::sleep(ms(70));
        // Both are there when it goes on.
        daemon.terminate();
        daemon.signal(Signal::CONT);
        assert_eq!(daemon.wait_exit(), 0, "{:#?}", daemon.log());
    }
}

/// The race: clients arrive around the moment the daemon decides to go. Each is served, by this
/// process or by the next, which the test starts as the service manager does: when somebody waits.
#[test]
fn no_client_is_lost_around_the_exit() {
    let scene = Scene::new();
    let (tcp, address) = listener();
    let flags = ["--idle-timeout", "20ms", "--exit-idle-time", "20ms"];
    let start = || scene.run(scene.launch().args(flags).sockets([copy(&tcp)]));
    let mut daemon = start();
    let mut exits = 0;
    for round in 0..40_u64 {
        let mut client = Client::connect(address);
        client.send(b"hello");
        if !daemon.runs() {
            exits += 1;
            daemon = start();
        }
        wait_until("the client to be served by this process or the next", || {
            if !daemon.runs() {
                exits += 1;
                daemon = start();
            }
            !client.is_held()
        });
        assert_eq!(client.receive(5).unwrap(), b"hello");
        drop(client);
        // Walks the next arrival over the end of the window, the stop and the exit.
        thread::sleep(ms(30 + round));
    }
    assert!(exits > 0, "no round met an exit");
    // A window this short may end before the application's own thread has seen the close.
    scene.engine.forgive();
}

#[test]
fn exit_idle_time_without_inherited_sockets_is_refused() {
    let scene = Scene::new();
    let mut daemon = scene.launch_with(&["--exit-idle-time", "1s"]).spawn();
    let code = daemon.wait_exit();
    assert!(matches!(code, 2 | 78), "exit code {code}");
    assert!(daemon.count_log(&["exit-idle-time", "socket"]) > 0);
}
