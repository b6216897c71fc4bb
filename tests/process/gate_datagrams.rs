//! What may wake, of datagrams: the addresses and the rates hold for them, too.

use std::net::{IpAddr, Ipv4Addr};

use crate::datagrams::Datagrams;
use crate::support::container::Status;
use crate::support::datagrams::DatagramClient;
use crate::support::engine::Call;
use crate::support::{holds_for, ms};

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

#[test]
fn a_datagram_from_elsewhere_is_dropped_and_counted_until_it_is_awake() {
    let mut it = Datagrams::new();
    let daemon = it.daemon(&["--wake-from", "127.0.0.9", "--wake-on", "tls", "--udp-idle", "1m"]);
    let outside = it.client();
    (0..3).for_each(|_| outside.send(b"may I"));
    daemon.wait_log(&["datagrams were dropped", "not_let_in="]);
    holds_for(ms(200), "asleep", || it.scene.engine.count(Call::Start) == 0);
    let inside = DatagramClient::from(OTHER, it.address);
    inside.send(b"wakes");
    it.boot();
    assert_eq!(inside.receive(), b"re:wakes");
    outside.ask("now");
    assert_eq!(it.app.received()[0], b"wakes", "nothing of before was kept");
}

#[test]
fn who_is_not_in_allow_from_has_no_flow_ever() {
    let mut it = Datagrams::new();
    let _daemon = it.daemon(&["--allow-from", "127.0.0.9"]);
    let inside = DatagramClient::from(OTHER, it.address);
    inside.send(b"wakes");
    it.boot();
    assert_eq!(inside.receive(), b"re:wakes");
    let outside = it.client();
    outside.send(b"and I");
    assert_eq!(outside.receive_within(ms(200)), None);
    inside.ask("still there");
    assert!(!it.app.received().contains(&b"and I".to_vec()));
}

#[test]
fn an_address_may_wake_so_often_by_datagrams() {
    let mut it = Datagrams::new();
    let _daemon = it.daemon(&["--wake-rate", "1/h", "--udp-idle", "2s"]);
    let first = it.client();
    first.send(b"wakes");
    it.boot();
    assert_eq!(first.receive(), b"re:wakes");
    it.client().ask("another flow, and awake");
    it.app.unbind();
    it.scene.engine.wait_status(Status::Exited);
    it.client().send(b"again");
    holds_for(ms(200), "asleep", || it.scene.engine.count(Call::Start) == 1);
    let other = DatagramClient::from(OTHER, it.address);
    other.send(b"may");
    it.scene.engine.wait_count(Call::Start, 2);
}
