//! `--accept-proxy-protocol`: whose header is believed, and what becomes of everybody else.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::thread;

use crate::support::app::pattern;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::engine::{Call, Fault};
use crate::support::header::{client_v1, client_v2, local_v2, v2};
use crate::support::scene::Scene;
use crate::support::{PATIENCE, holds_for, ms, now, wait_until};

const TRUSTED: [&str; 2] = ["--accept-proxy-protocol", "127.0.0.0/8,::1"];

/// A client far away, and where it connected to.
fn far() -> (SocketAddr, SocketAddr) {
    ("203.0.113.7:1234".parse().unwrap(), "198.51.100.1:443".parse().unwrap())
}

fn far_v6() -> (SocketAddr, SocketAddr) {
    ("[2001:db8::7]:1234".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap())
}

/// Headers of either version, of a client and of the peer itself.
fn headers() -> Vec<Vec<u8>> {
    let ((v4, to_v4), (v6, to_v6)) = (far(), far_v6());
    vec![
        client_v1(v4, to_v4),
        client_v1(v6, to_v6),
        client_v2(v4, to_v4, b""),
        client_v2(v6, to_v6, b"\x04\0\x03xyz"),
        client_v2(v4, to_v4, &[4; 4084]),
        b"PROXY UNKNOWN\r\n".to_vec(),
        local_v2(),
        v2(0x21, 0x31, &[b'/'; 216]),
    ]
}

/// The lines that say why a connection was closed.
fn complaints(daemon: &Daemon) -> Vec<String> {
    daemon.log().into_iter().filter(|line| line.contains("closed why=")).collect()
}

/// Waits for the end of a connection that is not served.
fn is_closed(client: &mut Client) {
    match client.rest() {
        Ok(bytes) => assert_eq!(bytes, b""),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

#[test]
fn a_header_is_taken_away_and_what_came_with_it_is_not() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&TRUSTED);
    for header in headers() {
        let mut client = scene.client();
        client.send(&[&header[..], b"at once"].concat());
        assert_eq!(client.receive(7).unwrap(), b"at once", "{header:?}");
        client.echo("and later");
        drop(client);
        assert!(scene.app.report().received.starts_with(b"at once"));
    }
}

#[test]
fn a_header_may_come_byte_by_byte_and_wakes_nobody_before_it_is_whole() {
    for header in [client_v1(far().0, far().1), client_v2(far().0, far().1, b"")] {
        let scene = Scene::new();
        let _daemon = scene.daemon(&TRUSTED);
        let mut client = scene.client();
        let (last, most) = header.split_last().unwrap();
        for (count, byte) in (1..).zip(most) {
            client.send(&[*byte]);
            // Now and then only: where thousands of sockets are, each look at their table takes a
            // while, and the header may take 5 s.
            if count % 16 == 0 || count == most.len() {
                client.wait_unread(count);
            }
        }
        assert_eq!(scene.engine.count(Call::Start), 0);
        client.send(&[*last]);
        client.echo("whole");
    }
}

/// What follows a header that was looked at is all there, also for a client that is held.
#[test]
fn bytes_after_the_header_of_a_held_client_stay_in_the_kernel() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let _daemon = scene.daemon(&TRUSTED);
    let mut client = scene.client();
    let sent = pattern(20_000);
    client.send(&[client_v2(far().0, far().1, b""), sent.clone()].concat());
    scene.engine.wait_count(Call::Start, 1);
    client.wait_unread(sent.len());
    holds_for(ms(200), "nothing is read", || client.unread() == Some(sent.len()));
    scene.engine.proceed();
    assert_eq!(client.receive(sent.len()).unwrap(), sent);
}

#[test]
fn after_the_header_bulk_is_exact_in_both_directions() {
    for cut in [0, 20] {
        let scene = Scene::new();
        let _daemon = scene.daemon(&TRUSTED);
        let sent = pattern(8 * 1024 * 1024 + 4321);
        let mut client = scene.client();
        let all = [client_v1(far().0, far().1), sent.clone()].concat();
        client.send(&all[..cut]);
        client.wait_unread(cut);
        let mut writer = client.stream().try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&all[cut..]).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        assert!(client.rest().unwrap() == sent, "the echo differs");
        writing.join().unwrap();
    }
}

#[test]
fn somebody_who_is_not_trusted_is_closed_and_wakes_nobody() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--accept-proxy-protocol", "10.0.0.0/8"]);
    for sent in [&client_v1(far().0, far().1)[..], b"GET / HTTP/1.1\r\n\r\n", b""] {
        let mut client = scene.client();
        // It may be closed already.
        drop(client.stream().write_all(sent));
        is_closed(&mut client);
    }
    wait_until("a line for each", || complaints(&daemon).len() == 3);
    assert!(complaints(&daemon).iter().all(|line| line.contains("peer=127.0.0.1:")));
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn whatever_is_no_header_is_closed_with_one_line_and_disturbs_nobody() {
    let scene = Scene::new();
    let daemon = scene.daemon(&TRUSTED);
    let (from, to) = far();
    let too_long = v2(0x21, 0x11, &[0; 4097]);
    let bad: [(&[u8], &str); 8] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "no PROXY header"),
        (b"\x16\x03\x01\x02\x00", "no PROXY header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 1\r\n", "cannot be understood"),
        (&[&b"PROXY UNKNOWN "[..], &[b'x'; 93]].concat(), "too long"),
        (&too_long, "too long"),
        (&v2(0x21, 0x12, &[0; 12]), "datagrams"),
        (&v2(0x31, 0x11, &[0; 12]), "version"),
        (&v2(0x21, 0x11, &[0; 11]), "shorter"),
    ];
    for (number, (sent, why)) in (1..).zip(bad) {
        let mut client = scene.client();
        drop(client.stream().write_all(sent));
        is_closed(&mut client);
        wait_until("its line", || complaints(&daemon).len() == number);
        assert!(complaints(&daemon)[number - 1].contains(why), "{:?}", complaints(&daemon));
    }
    assert_eq!(scene.engine.count(Call::Start), 0, "garbage wakes nobody");

    let mut good = scene.client();
    good.send(&client_v1(from, to));
    good.echo("served");
    let header = client_v2(from, to, b"");
    for cut in [0, 1, 15, 20, header.len() - 1] {
        let before = complaints(&daemon).len();
        let mut ends = scene.client();
        ends.send(&header[..cut]);
        ends.finish();
        is_closed(&mut ends);
        wait_until("its line", || complaints(&daemon).len() == before + 1);
        assert!(complaints(&daemon)[before].contains("it ended before"), "{cut}");
        let resets = scene.client();
        resets.stream().write_all(&header[..cut]).unwrap();
        resets.wait_unread(cut);
        resets.reset();
        wait_until("its line", || complaints(&daemon).len() == before + 2);
        good.echo("undisturbed");
    }
    assert_eq!(scene.app.accepted(), 1);
    assert_eq!(daemon.count_log(&["closed"]), 0, "only for those who debug");
}

#[test]
fn a_header_that_does_not_come_to_its_end_is_not_waited_for_longer_than_5_s() {
    let scene = Scene::new();
    let daemon = scene.daemon(&TRUSTED);
    let began = now();
    let (mut silent, mut slow) = (scene.client(), scene.client());
    slow.send(&client_v1(far().0, far().1)[..30]);
    let before = daemon.cpu_ticks();
    holds_for(ms(4500), "both are waited for", || silent.is_held() && slow.is_held());
    let used = daemon.cpu_ticks().checked_sub(before).unwrap_or_default();
    assert!(used < ms(150), "{used:?} of processor time in 4.5 s");
    is_closed(&mut silent);
    is_closed(&mut slow);
    let took = began.elapsed();
    assert!((ms(4900)..ms(14_000)).contains(&took), "closed after {took:?}");
    wait_until("a line for each", || complaints(&daemon).len() == 2);
    assert!(complaints(&daemon).iter().all(|line| line.contains("within 5 s")));
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn who_has_not_said_its_header_takes_a_place() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[&TRUSTED[..], &["--max-connections", "1"]].concat());
    let silent = scene.client();
    let mut next = scene.client();
    next.send(&client_v1(far().0, far().1));
    next.send(b"ping");
    holds_for(ms(300), "held in the queue", || {
        next.is_held() && scene.engine.count(Call::Start) == 0
    });
    drop(silent);
    assert_eq!(next.receive(4).unwrap(), b"ping");
}

#[test]
fn an_end_of_the_daemon_does_not_wait_for_headers() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(&[&TRUSTED[..], &["--drain-timeout", "100ms"]].concat());
    let mut silent = scene.client();
    silent.send(b"PROXY");
    silent.wait_unread(5);
    let began = now();
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert!(began.elapsed() < ms(4800), "{:?}", began.elapsed());
    silent.expect_reset();
}

#[test]
fn the_peers_of_a_unix_socket_are_trusted_by_that_word_alone() {
    for (trusted, served) in [("unix", true), ("10.0.0.1,unix", true), ("0.0.0.0/0,::/0", false)] {
        let scene = Scene::new();
        let path = scene.dir.join("held.sock");
        let listen = format!("unix:{}", path.display());
        let flags = ["--listen", &listen, "--accept-proxy-protocol", trusted];
        let daemon = scene.run(scene.launch().args(flags));
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (most, rest) = (client_v2(far().0, far().1, b""), b"after it");
        if served {
            client.write_all(&most[..20]).unwrap();
            client.write_all(&[&most[20..], rest].concat()).unwrap();
            let mut answer = [0; 8];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, rest);
        } else {
            wait_until("its line", || complaints(&daemon).len() == 1);
            assert_eq!(scene.engine.count(Call::Start), 0);
        }
    }
}

/// The whole chain: what the trusted peer says is what the application is told, in the version it
/// expects; of the peer's own connections the real ends.
#[test]
fn the_client_that_a_header_tells_is_the_one_the_application_is_told() {
    let scene = Scene::new();
    let launch = scene.launch_with(&["--idle-timeout", "1m"]);
    let launch = launch.env("ONDEMAND_ACCEPT_PROXY_PROTOCOL", "192.0.2.1, 127.0.0.1");
    let daemon = scene.run(launch.env("ONDEMAND_PROXY_PROTOCOL", "v2"));
    let ((v4, to_v4), (v6, to_v6)) = (far(), far_v6());
    for (header, told) in [
        (client_v1(v4, to_v4), Some((v4, to_v4))),
        (client_v2(v4, to_v4, b"\x04\0\0"), Some((v4, to_v4))),
        (client_v1(v6, to_v6), Some((v6, to_v6))),
        (client_v2(v6, to_v6, b""), Some((v6, to_v6))),
        (b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:198.51.100.1 1234 443\r\n".to_vec(), Some(far())),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (local_v2(), None),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
    ] {
        let mut client = scene.client();
        client.send(&[&header[..], b"hello"].concat());
        let own = (client.stream().local_addr().unwrap(), scene.address());
        let (source, destination) = told.unwrap_or(own);
        let expected = [&client_v2(source, destination, b"")[..], b"hello"].concat();
        assert_eq!(client.receive(expected.len()).unwrap(), expected, "{header:?}");
        drop(client);
        let span = format!("client={source}");
        let peer = format!("peer={}", own.0);
        wait_until("its last line", || {
            daemon.log().iter().any(|line| {
                line.contains("connection ended") && line.contains(&peer) && line.contains(&span)
            })
        });
    }
}
