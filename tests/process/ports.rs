//! Several ports of one container, each with sockets of its own.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::container::Network;
use crate::support::datagrams::{DatagramApp, DatagramClient, free_address};
use crate::support::engine::Call;
use crate::support::launch::Launch;
use crate::support::port::Port;
use crate::support::scene::Scene;
use crate::support::{ms, now};

/// A second application of the container, on a port of its own: it says `second` and closes.
fn second() -> Port {
    second_after(Duration::ZERO)
}

/// The same behind a forwarder: for so long after its first connection it accepts and closes.
fn second_after(time: Duration) -> Port {
    let port = Port::reserve();
    let listener: TcpListener = port.listen().into();
    thread::spawn(move || {
        let mut first = None;
        while let Ok((mut stream, _)) = listener.accept() {
            if first.get_or_insert_with(now).elapsed() >= time {
                drop(stream.write_all(b"second"));
            }
        }
    });
    port
}

fn says_second(address: std::net::SocketAddr) {
    let mut text = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "second");
}

#[test]
fn several_ports_are_told_apart_by_their_order_and_by_arrows() {
    let scene = Scene::new();
    let (second, own) = (second(), Port::reserve());
    let (first, other) = (scene.address().to_string(), own.address().to_string());
    let port = second.number().to_string();
    {
        let flags = ["--port", &port, "--listen", &other];
        let _daemon = scene.daemon(&flags);
        says_second(own.address());
        scene.client().echo("first");
        assert_eq!(scene.engine.count(Call::Start), 1);
    }
    let arrows = [format!("{other}->{port}"), format!("{first}->{}", scene.app.port())];
    let launch = scene.launch().args(["--port", &port]);
    let _daemon = scene.run(launch.args(["--listen", &arrows[0], "--listen", &arrows[1]]));
    says_second(own.address());
    scene.client().echo("first");
}

#[test]
fn another_published_port_that_accepts_and_closes_is_waited_for() {
    let scene = Scene::new();
    let (second, own) = (second_after(ms(200)), Port::reserve());
    scene.engine.alter(|container| {
        container.network = Network::Published;
        container.second_port = Some(second.number());
    });
    let (port, listen) = (second.number().to_string(), own.address().to_string());
    let _daemon = scene.daemon(&["--port", &port, "--listen", &listen]);
    says_second(own.address());
    scene.client().echo("first");
}

#[test]
fn streams_and_datagrams_of_one_container_share_one_daemon() {
    let scene = Scene::new();
    let mut app = DatagramApp::new();
    let listen = free_address();
    let udp = format!("{}/udp", app.address.port());
    // The container is on the host's network, so its UDP port is one of 127.0.0.1.
    app.address.set_ip([127, 0, 0, 1].into());
    app.bind();
    let _daemon = scene.daemon(&["--port", &udp, "--listen", &format!("udp:{listen}")]);
    let datagrams = DatagramClient::new(listen);
    datagrams.ask("over UDP");
    scene.client().echo("over TCP");
    datagrams.ask("over UDP again");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn inherited_sockets_are_told_by_their_kind_and_by_their_names() {
    let scene = Scene::new();
    let mut app = DatagramApp::new();
    app.address.set_ip([127, 0, 0, 1].into());
    app.bind();
    let udp = format!("{}/udp", app.address.port());
    let tcp_socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp_socket = UdpSocket::bind(free_address()).unwrap();
    let sockets = || -> [OwnedFd; 2] {
        [udp_socket.try_clone().unwrap().into(), tcp_socket.try_clone().unwrap().into()]
    };
    let ask = || {
        Client::connect(tcp_socket.local_addr().unwrap()).echo("over TCP");
        DatagramClient::new(udp_socket.local_addr().unwrap()).ask("over UDP");
    };
    {
        let _daemon = scene.run(scene.launch().args(["--port", &udp]).sockets(sockets()));
        ask();
    }
    let maps = [format!("web={}", scene.app.port()), format!("dns={udp}")];
    let launch = Launch::new()
        .args(["--container", "app", "--engine", &scene.engine.url()])
        .args(["--map", &maps[0], "--map", &maps[1]])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"))
        .env("LISTEN_FDNAMES", "dns:web");
    let _daemon = scene.run(launch.sockets(sockets()));
    ask();
}

#[test]
fn two_streams_are_told_by_their_names_against_their_order() {
    let scene = Scene::new();
    let second = second();
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [0, 1].map(|n: usize| listeners[n].local_addr().unwrap());
    let maps = [format!("app={}", scene.app.port()), format!("other={}", second.number())];
    let launch = Launch::new()
        .args(["--container", "app", "--engine", &scene.engine.url()])
        .args(["--map", &maps[0], "--map", &maps[1]])
        .env("NOTIFY_SOCKET", scene.dir.join("notify"))
        .env("LISTEN_FDNAMES", "other:app");
    let _daemon = scene.run(launch.sockets(listeners.map(OwnedFd::from)));
    says_second(addresses[0]);
    Client::connect(addresses[1]).echo("app");
}

#[test]
fn sockets_that_do_not_fit_are_refused_with_what_to_do() {
    let scene = Scene::new();
    let datagram = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut daemon = scene.launch().sockets([datagram().into()]).spawn();
    assert_eq!(daemon.wait_exit(), 78);
    assert!(daemon.count_log(&["--port N/udp"]) > 0, "{:?}", daemon.log());

    let stream = || TcpListener::bind("127.0.0.1:0").unwrap();
    let launch = scene.launch().args(["--port", "1/udp"]).sockets([stream().into()]);
    let mut daemon = launch.spawn();
    assert_eq!(daemon.wait_exit(), 78);
    assert!(daemon.count_log(&["no socket leads to port 1/udp"]) > 0, "{:?}", daemon.log());

    let launch = Launch::new().args(["--container", "app", "--map", "web=80"]);
    let mut daemon = launch.args(["--engine", &scene.engine.url()]).spawn();
    assert_eq!(daemon.wait_exit(), 78);
    assert!(daemon.count_log(&["--map", "LISTEN_FDS"]) > 0, "{:?}", daemon.log());
}
