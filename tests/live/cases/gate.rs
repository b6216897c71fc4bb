//! What may wake, and what does not.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::live::client::{self, Answer, assert_reset, leave_with_reset, pattern};
use crate::live::clock::{ms, secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: git.example.org\r\n\r\n";

/// Those who may, and those who may not.
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 9));
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 2, 0, 9));

/// A client with that address.
fn connect_from(own: IpAddr, daemon: &Daemon) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((own, 0)).into())?;
    // One who is turned away may hear of it here already.
    socket.connect(&daemon.address.into())?;
    socket.set_read_timeout(Some(secs(60)))?;
    Ok(socket.into())
}

/// One request on a connection from there.
fn get_from(own: IpAddr, daemon: &Daemon) -> io::Result<Answer> {
    client::get_on(&mut connect_from(own, daemon)?, "/")
}

/// The first message of a TLS client that wants the host `git.example.org` (RFC 8446, 4.1.2).
fn client_hello() -> Vec<u8> {
    let named = b"\0\0\0\x14\0\x12\0\0\x0fgit.example.org";
    let fields = [&[3, 3][..], &[0x5a; 32], b"\0\0\x02\x13\x01\x01\0\0\x18", named].concat();
    assert_eq!(fields.len(), 67);
    [b"\x16\x03\x01\0\x47\x01\0\0\x43", &fields[..]].concat()
}

/// Connects, sends that, and goes in each way there is; those who stay are held or reset.
fn scan(daemon: &Daemon, beginnings: &[&[u8]]) -> Vec<TcpStream> {
    let mut stay = Vec::new();
    for bytes in beginnings {
        let begin = || {
            let mut stream = daemon.connect();
            // Those who are no good are gone already.
            drop(stream.write_all(bytes));
            stream
        };
        drop(begin());
        leave_with_reset(begin());
        stay.push(begin());
    }
    stay
}

/// It has never been started.
#[track_caller]
fn is_untouched(container: &Container<'_>) {
    thread::sleep(ms(700));
    assert_eq!(container.state(), "created");
}

/// Sends what wakes and much more, and gets all of it back.
fn echoes(daemon: &Daemon, begins: &[u8]) {
    let sent = [begins, &pattern(4 << 20)].concat();
    let mut stream = daemon.connect();
    let mut writer = stream.try_clone().unwrap();
    let mut answer = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut answer).unwrap();
    });
    assert!(answer == sent, "the echo differs");
}

/// `--wake-on data`.
pub(crate) fn who_says_nothing_wakes_nobody(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let daemon = Daemon::start(engine, &container, "--wake-on data");
    let _held = scan(&daemon, &[b""]);
    is_untouched(&container);
    echoes(&daemon, b"?");
}

/// `--wake-on tls:HOST`.
pub(crate) fn only_a_hello_for_a_host_of_ours_wakes(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let daemon = Daemon::start(engine, &container, "--wake-on tls:*.example.org");
    let hello = client_hello();
    let foreign: Vec<u8> =
        hello.iter().map(|byte| if *byte == b'x' { b'y' } else { *byte }).collect();
    let _held = scan(&daemon, &[b"", &hello[..40], &foreign, HEAD, b"\0"]);
    is_untouched(&container);
    echoes(&daemon, &hello);
}

/// `--wake-on http`.
pub(crate) fn only_a_whole_head_wakes(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--wake-on http");
    let _held = scan(&daemon, &[b"", &HEAD[..20], &client_hello(), b"SSH-2.0-x\r\n"]);
    is_untouched(&container);
    assert_eq!(daemon.get("/").boot(), 1);
}

/// `--wake-from`.
pub(crate) fn others_are_refused_asleep_and_served_awake(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let flags = "--wake-from 127.1.0.0/16 --idle-timeout 1s";
    let daemon = Daemon::start(engine, &container, flags);
    let ask = |own| get_from(own, &daemon);
    assert_reset(ask(OUTSIDE));
    is_untouched(&container);
    let mut stays = connect_from(INSIDE, &daemon).unwrap();
    assert_eq!(client::ask_on(&mut stays, "/").unwrap().boot(), 1);
    assert_eq!(ask(OUTSIDE).unwrap().boot(), 1);
    drop(stays);
    container.wait_asleep();
    assert_reset(ask(OUTSIDE));
    assert_eq!(ask(INSIDE).unwrap().boot(), 2);
}

/// `--allow-from`.
pub(crate) fn others_are_never_served(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "--allow-from 127.1.0.0/16");
    let ask = |own| get_from(own, &daemon);
    assert_reset(ask(OUTSIDE));
    is_untouched(&container);
    assert_eq!(ask(INSIDE).unwrap().boot(), 1);
    assert_reset(ask(OUTSIDE));
    assert_eq!(ask(INSIDE).unwrap().boot(), 1);
}

/// `--wake-rate` and `--wake-rate-total`.
pub(crate) fn it_is_woken_so_often_by_one_and_by_all(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let flags = "--wake-rate 1/h --wake-rate-total 2/h --idle-timeout 500ms";
    let daemon = Daemon::start(engine, &container, flags);
    let ask = |own| get_from(own, &daemon);
    for (own, boot) in [(INSIDE, 1), (OUTSIDE, 2)] {
        let mut stays = connect_from(own, &daemon).unwrap();
        assert_eq!(client::ask_on(&mut stays, "/").unwrap().boot(), boot);
        assert_eq!(ask(INSIDE).unwrap().boot(), boot);
        drop(stays);
        container.wait_asleep();
        assert_reset(ask(own));
    }
    assert_reset(ask(Ipv4Addr::new(127, 3, 0, 9).into()));
}

/// `--http-rule`: however often it asks, it is no use.
pub(crate) fn a_monitor_is_answered_asleep_and_passed_on_awake(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let flags = "--http-rule path=/health* --idle-timeout 2s";
    let daemon = Daemon::start(engine, &container, flags);
    let asleep = daemon.get("/healthz");
    assert_eq!((asleep.status, asleep.text()), (503, String::new()));
    is_untouched(&container);
    let mut stays = daemon.connect();
    assert_eq!(client::ask_on(&mut stays, "/").unwrap().boot(), 1);
    let awake = daemon.get("/healthz");
    assert_eq!((awake.status, awake.boot()), (200, 1));
    drop(stays);
    wait_for("the container sleeps under the monitor", secs(20), || {
        // In the moment of the sleep it may be cut off.
        drop(client::get(daemon.address, "/healthz"));
        container.sleeps()
    });
    assert_eq!(daemon.get("/").boot(), 2);
}
