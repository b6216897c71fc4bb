//! UDP over the end of one daemon and the beginning of the next, which have the socket in common.
#![allow(clippy::unwrap_used, reason = "a test without sockets cannot go on")]

use std::net::UdpSocket;

use crate::datagrams::Datagrams;
use crate::support::container::Status;
use crate::support::engine::Call;
use crate::support::{ms, now, wait_until};

/// The service manager keeps the socket over a restart; what was sent in between waits in it, and
/// an answer that is due is waited for.
#[test]
fn no_datagram_and_no_answer_is_lost_over_a_restart() {
    assert!((0..5).any(|_| is_restarted()), "nothing was due any more, and it was waited for");
}

/// False if the machine stood still for so long that nothing can be told: an answer is due for a second.
fn is_restarted() -> bool {
    let mut it = Datagrams::new();
    let socket = UdpSocket::bind(it.address).unwrap();
    let start = |it: &Datagrams| {
        let copy = socket.try_clone().unwrap().into();
        it.scene.run(it.launch(&["--idle-timeout", "1m", "--udp-idle", "1m"]).sockets([copy]))
    };
    let mut first = start(&it);
    let client = it.client();
    client.send(b"one");
    it.boot();
    assert_eq!(client.receive(), b"re:one");
    it.app.unbind();
    let slow = UdpSocket::bind(it.app.address).unwrap();
    let sent = now();
    client.send(b"slow");
    let mut buffer = [0; 100];
    let (_, flow) = slow.recv_from(&mut buffer).unwrap();
    first.terminate();
    wait_until("STOPPING=1", || it.scene.notify.count("STOPPING=1") == 1);
    client.send(b"between");
    std::thread::sleep(ms(100));
    if !first.runs() {
        assert!(sent.elapsed() >= ms(900), "an answer was due");
        return false;
    }
    slow.send_to(b"late answer", flow).unwrap();
    if sent.elapsed() >= ms(900) {
        return false;
    }
    assert_eq!(client.receive(), b"late answer");
    assert_eq!(first.wait_exit(), 0);
    if sent.elapsed() >= ms(1000) {
        return false;
    }
    drop(slow);
    it.app.bind();
    let _second = start(&it);
    assert_eq!(client.receive(), b"re:between");
    assert_eq!(it.scene.engine.count(Call::Start), 1, "the container ran on");
    true
}

#[test]
fn with_exit_idle_time_a_datagram_starts_the_next_daemon() {
    let mut it = Datagrams::new();
    let socket = UdpSocket::bind(it.address).unwrap();
    let flags = ["--idle-timeout", "50ms", "--exit-idle-time", "50ms", "--udp-idle", "100ms"];
    let start = |it: &Datagrams| {
        it.scene.run(it.launch(&flags).sockets([socket.try_clone().unwrap().into()]))
    };
    // It waits in the queue before the daemon can have nothing to do.
    let client = it.client();
    client.send(b"one");
    let mut first = start(&it);
    it.boot();
    assert_eq!(client.receive(), b"re:one");
    assert_eq!(first.wait_exit(), 0);
    assert_eq!(it.scene.engine.status(), Some(Status::Exited));
    it.app.unbind();
    client.send(b"two");
    let _second = start(&it);
    it.scene.engine.wait_count(Call::Start, 2);
    it.boot();
    assert_eq!(client.receive(), b"re:two");
}
