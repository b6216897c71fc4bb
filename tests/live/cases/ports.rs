//! UDP, several ports of one container, and what the application is told of its clients.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::networks::Network;
use crate::live::client;
use crate::live::clock::{ms, secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;
use crate::live::scratch;

/// An address of this test's own to listen at.
fn address() -> SocketAddr {
    (scratch::address(), 1024 + scratch::number()).into()
}

/// One question over UDP, asked once: its answer must not be lost to the start.
#[track_caller]
fn ask(to: SocketAddr, question: &str) -> String {
    let client = client_of(to, secs(20));
    client.send(question.as_bytes()).unwrap();
    answer_of(&client).unwrap()
}

/// A client over UDP that waits for so long.
fn client_of(to: SocketAddr, limit: Duration) -> UdpSocket {
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.connect(to).unwrap();
    client.set_read_timeout(Some(limit)).unwrap();
    client
}

fn answer_of(client: &UdpSocket) -> io::Result<String> {
    let mut answer = [0; 1000];
    let len = client.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
}

/// The one whose flow was open is served by the next life, wherever the old address leads to now.
pub(crate) fn a_flow_outlives_a_stop_by_others(engine: &Engine) {
    let network = Network::create(engine);
    let container =
        Container::create_with(engine, &["--network", &network.name], "udp:5353 --boot 300");
    let listen = address();
    let flags = format!("--idle-timeout 1h --udp-idle 1h --port 5353/udp --listen udp:{listen}");
    let _daemon = Daemon::start(engine, &container, &flags);
    let client = client_of(listen, ms(200));
    for (boot, verb) in [(1, "stop"), (2, "kill"), (3, "stop")] {
        // What was on its way when it stopped is lost, as it may be with UDP.
        let mut answer = Err(io::ErrorKind::TimedOut.into());
        wait_for("an answer of the next life", secs(30), || {
            client.send(b"hello").unwrap();
            answer = answer_of(&client);
            answer.as_ref().is_ok_and(|answer| *answer == format!("boot={boot} hello"))
        });
        container.told(verb);
    }
}

/// Twice, because the address may change with every start.
pub(crate) fn the_first_datagram_wakes_it_and_is_answered(engine: &Engine) {
    let container = Container::create(engine, "udp:5353 --boot 500");
    let listen = address();
    let flags = "--idle-timeout 3s --udp-idle 300ms --port 5353/udp";
    let _daemon = Daemon::start(engine, &container, &format!("{flags} --listen udp:{listen}"));
    for boot in 1..=2 {
        assert_eq!(ask(listen, "hello"), format!("boot={boot} hello"));
        assert_eq!(ask(listen, "again"), format!("boot={boot} again"));
        container.wait_asleep();
    }
}

/// A forwarder takes datagrams before the application is there, and says nothing.
pub(crate) fn datagrams_through_a_published_port_wait_for_the_application(engine: &Engine) {
    let published = address();
    let options = ["--publish", &format!("{published}:5353/udp")];
    let container = Container::create_with(engine, &options, "udp:5353 --boot 800");
    let listen = address();
    let flags = format!("--idle-timeout 1m --port 5353/udp --upstream {published}");
    let _daemon = Daemon::start(engine, &container, &format!("{flags} --listen udp:{listen}"));
    assert_eq!(ask(listen, "hello"), "boot=1 hello");
}

pub(crate) fn streams_and_datagrams_share_one_container(engine: &Engine) {
    let container = Container::create(engine, "http:8080 udp:5353 greet:2525 --boot 300");
    let (http, datagrams, greet) = (address(), address(), address());
    let flags = format!(
        "--port 8080 --port 5353/udp --port 2525 --idle-timeout 3s --udp-idle 300ms \
         --listen {http}->8080 --listen udp:{datagrams} --listen {greet}"
    );
    let _daemon = Daemon::start(engine, &container, &flags);
    for boot in 1..=2 {
        assert_eq!(ask(datagrams, "hello"), format!("boot={boot} hello"));
        let answer = client::get(http, "/").unwrap();
        assert_eq!((answer.status, answer.boot()), (200, boot));
        let mut greeting = [0; 11];
        client::connect(greet).unwrap().read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"220 fixture");
        container.wait_asleep();
    }
}

/// The application echoes, so the client sees what it was told: at a cold start, when the probe's
/// connection becomes the client's, and when it is awake.
pub(crate) fn the_application_is_told_who_the_client_is(engine: &Engine) {
    let container = Container::create(engine, "echo:8080 --boot 300");
    let daemon = Daemon::start(engine, &container, "--proxy-protocol v1");
    for _ in 0..2 {
        let mut client = daemon.connect();
        let own = client.local_addr().unwrap();
        client.write_all(b"hello").unwrap();
        let there = daemon.address;
        let expected = format!(
            "PROXY TCP4 {} {} {} {}\r\nhello",
            own.ip(),
            there.ip(),
            own.port(),
            there.port()
        );
        let mut told = vec![0; expected.len()];
        client.read_exact(&mut told).unwrap();
        assert_eq!(String::from_utf8_lossy(&told), expected);
    }
}
