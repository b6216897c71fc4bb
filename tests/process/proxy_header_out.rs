//! `--proxy-protocol`: what the application is told of its clients, and of our own probes.
//!
//! The application echoes, so a client gets to see the header that came before its own bytes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use socket2::{Domain, Protocol, Socket, Type};

use crate::support::app::{Behaviour, Ending, pattern};
use crate::support::client::Client;
use crate::support::container::{Boot, Health, Network};
use crate::support::engine::Call;
use crate::support::header::{client_v1, client_v2, local_v2, v2};
use crate::support::scene::Scene;
use crate::support::{ms, wait_until};

/// The header that this client's connection begins with.
fn header_of(client: &Client, version: &str) -> Vec<u8> {
    let source = client.stream().local_addr().unwrap();
    let destination = client.stream().peer_addr().unwrap();
    match version {
        "v1" => client_v1(source, destination),
        "v2" => client_v2(source, destination, b""),
        _ => panic!("{version}"),
    }
}

/// Gets the header without having sent anything, and is served then.
fn is_announced(client: &mut Client, version: &str) {
    let header = header_of(client, version);
    assert_eq!(client.receive(header.len()).unwrap(), header, "{version}");
    client.echo("and what follows");
}

#[test]
fn the_application_is_told_the_client_before_all_else_cold_and_warm() {
    for version in ["v1", "v2"] {
        let scene = Scene::new();
        let _daemon = scene.daemon(&["--proxy-protocol", version, "--idle-timeout", "1m"]);
        let mut first = scene.client();
        is_announced(&mut first, version);
        assert_eq!(scene.app.accepted(), 1, "the probe is the first client's connection");
        for _ in 0..2 {
            is_announced(&mut scene.client(), version);
        }
        assert_eq!(scene.app.accepted(), 3);
        let header = header_of(&first, version);
        first.finish();
        drop(first.rest());
        let sent = [&header, &b"and what follows"[..]].concat();
        wait_until("the report", || scene.app.report().received.len() == sent.len());
    }
}

#[test]
fn without_the_flag_nothing_is_told() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.echo("x");
    client.finish();
    assert_eq!(scene.app.report().received, b"x");
}

#[test]
fn an_application_that_speaks_first_is_told_although_the_client_is_silent() {
    for version in ["v1", "v2"] {
        let scene = Scene::new();
        scene.app.behave(Behaviour::Greet("220 ready\r\n"));
        let _daemon = scene.daemon(&["--proxy-protocol", version]);
        for _cold_then_warm in 0..2 {
            let mut client = scene.client();
            assert_eq!(client.receive(11).unwrap(), b"220 ready\r\n");
            is_announced(&mut client, version);
        }
    }
}

#[test]
fn clients_over_ipv6_are_told_as_such() {
    for version in ["v1", "v2"] {
        let scene = Scene::new();
        let address = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], scene.port.number()));
        let listen = ["--listen", &address.to_string()];
        let launch = scene.launch().args(["--proxy-protocol", version]).args(listen);
        let _daemon = scene.run(launch);
        is_announced(&mut Client::connect(address), version);
    }
}

/// As systemd's sockets are, with `BindIPv6Only=default`.
#[test]
fn ipv4_over_a_socket_of_both_families_is_told_as_ipv4() {
    let scene = Scene::new();
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.bind(&SocketAddr::from(([0; 8], 0)).into()).unwrap();
    socket.listen(16).unwrap();
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().unwrap().port();
    let launch = scene.launch().args(["--proxy-protocol", "v1"]).sockets([listener.into()]);
    let _daemon = scene.run(launch);
    is_announced(&mut Client::connect(([127, 0, 0, 1], port).into()), "v1");
}

#[test]
fn clients_of_a_unix_socket_are_told_as_unknown() {
    for (version, header) in [("v1", b"PROXY UNKNOWN\r\n".to_vec()), ("v2", v2(0x21, 0x00, b""))] {
        let scene = Scene::new();
        let path = scene.dir.join("held.sock");
        let listen = format!("unix:{}", path.display());
        let launch = scene.launch().args(["--listen", &listen, "--proxy-protocol", version]);
        let _daemon = scene.run(launch);
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let mut told = vec![0; header.len()];
        client.read_exact(&mut told).unwrap();
        assert_eq!(told, header, "{version}");
        client.write_all(b"ping").unwrap();
        client.read_exact(&mut told[..4]).unwrap();
        assert_eq!(&told[..4], b"ping");
    }
}

#[test]
fn behind_a_forwarder_the_probe_that_stays_open_is_the_first_clients_too() {
    let scene = Scene::new();
    scene.engine.alter(|container| {
        container.network = Network::Published;
        container.boot = Boot::Lies(ms(200));
    });
    let _daemon = scene.daemon(&["--proxy-protocol", "v2"]);
    let mut client = scene.client();
    client.send(b"early");
    let expected = [&header_of(&client, "v2")[..], b"early"].concat();
    assert_eq!(client.receive(expected.len()).unwrap(), expected);
    assert_eq!(scene.app.live(), 1);
}

#[test]
fn our_requests_for_readiness_say_that_they_are_ours() {
    for (version, local) in [("v1", b"PROXY UNKNOWN\r\n".to_vec()), ("v2", local_v2())] {
        let scene = Scene::new();
        scene.app.behave(Behaviour::Http(200));
        let _daemon = scene.daemon(&["--ready", "http:/healthz", "--proxy-protocol", version]);
        let mut client = scene.client();
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.receive(12).unwrap(), b"HTTP/1.1 200");
        let probe = scene.app.report().received;
        let expected = [&local, &b"GET /healthz HTTP/1.1\r\n"[..]].concat();
        assert!(probe.starts_with(&expected), "{version}: {probe:?}");
    }
}

#[test]
fn a_probe_that_no_client_takes_says_that_it_was_ours() {
    for (version, local) in [("v1", b"PROXY UNKNOWN\r\n".to_vec()), ("v2", local_v2())] {
        let scene = Scene::new();
        scene.engine.check_exits(Some(1));
        scene.engine.alter(|container| container.health = Health::Starting);
        // It answers nothing, so that nothing but the daemon's end of it can be seen.
        scene.app.behave(Behaviour::ResetAtEof);
        let _daemon = scene.daemon(&["--proxy-protocol", version]);
        let client = scene.client();
        // The port has accepted by then, and that connection is kept.
        scene.engine.wait_count(Call::ExecStart, 1);
        client.reset();
        scene.engine.check_exits(Some(0));
        let probe = scene.app.report();
        assert_eq!((probe.received, probe.ending), (local, Ending::Eof), "{version}");
    }
}

/// The port accepts, and the health check never passes: the question is dropped, and with it the
/// connection that was kept for the first client.
#[test]
fn a_probe_of_a_start_that_fails_says_that_it_was_ours() {
    let scene = Scene::new();
    scene.engine.check_exits(Some(1));
    scene.engine.alter(|container| container.health = Health::Starting);
    let _daemon = scene.daemon(&["--start-timeout", "500ms", "--proxy-protocol", "v2"]);
    scene.client().expect_reset();
    assert_eq!(scene.app.report().received, local_v2());
    // The application's end of the probe may outlive the daemon's for a moment.
    scene.engine.forgive();
}

#[test]
fn after_the_header_bulk_is_exact_in_both_directions() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::AnswerAtEof);
    let _daemon = scene.daemon(&["--proxy-protocol", "v1"]);
    let sent = pattern(8 * 1024 * 1024 + 4321);
    let mut client = scene.client();
    let header = header_of(&client, "v1");
    client.send(&sent);
    client.finish();
    assert!(client.rest().unwrap() == [header, sent].concat(), "the answer differs");
}
