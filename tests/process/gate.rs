//! What may wake: `--wake-on`, `--wake-from`, `--allow-from` and the rates.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::thread;

use crate::reload::{Changing, service};
use crate::support::app::{Behaviour, pattern};
use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::engine::{Call, Fault};
use crate::support::header::client_v1;
use crate::support::scene::Scene;
use crate::support::tls::client_hello;
use crate::support::{PATIENCE, holds_for, ms, now, wait_until};

const HEAD: &[u8] = b"POST /upload HTTP/1.1\r\nHost: git.example.org\r\nContent-Length: 9\r\n\r\n";

/// Another client than the tests' usual one.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

fn other(scene: &Scene) -> Client {
    Client::connect_from(OTHER, scene.address())
}

/// Watches that nobody has woken it.
fn sleeps_on(scene: &Scene) {
    holds_for(ms(250), "asleep", || scene.engine.count(Call::Start) == 0);
    assert_eq!(scene.app.accepted(), 0);
}

/// Sends what wakes and a body of several MiB, and gets all of it back.
fn echoes_with_a_body(mut client: Client, begins: &[u8]) {
    let sent = [begins, &pattern(6 * 1024 * 1024 + 4321)].concat();
    let mut writer = client.stream().try_clone().unwrap();
    let all = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&all).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert!(client.rest().unwrap() == sent, "the echo differs");
    writing.join().unwrap();
}

/// Comes and goes as scanners do, with and without these bytes; those that stay are held.
fn scan(scene: &Scene, beginnings: &[&[u8]]) -> Vec<Client> {
    let mut stay = vec![scene.client()];
    drop(scene.client());
    scene.client().reset();
    let silent = scene.client();
    silent.finish();
    stay.push(silent);
    for bytes in beginnings {
        let begin = || {
            let mut client = scene.client();
            client.send(bytes);
            client
        };
        drop(begin());
        begin().reset();
        let mut slow = scene.client();
        for (count, byte) in (1..).zip(bytes.iter().take(8)) {
            slow.send(&[*byte]);
            slow.wait_unread(count);
        }
        slow.finish();
        assert_eq!(slow.rest().unwrap_or_default(), b"");
        let stays = begin();
        stays.wait_unread(bytes.len());
        stay.push(stays);
    }
    stay
}

/// Ends with a reset at once, whatever it has sent.
fn are_reset(scene: &Scene, garbage: &[&[u8]]) {
    for bytes in garbage {
        let mut client = scene.client();
        client.send_in_vain(bytes);
        client.expect_reset();
    }
}

#[test]
fn with_data_whoever_says_nothing_wakes_nobody() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--wake-on", "data", "--start-timeout", "1m"]);
    let mut held = scan(&scene, &[]);
    sleeps_on(&scene);
    let mute = held.remove(0);
    assert!(mute.is_held());
    echoes_with_a_body(scene.client(), b"?");
    assert_eq!(scene.engine.count(Call::Start), 1);
}

#[test]
fn with_tls_only_a_whole_hello_for_a_host_of_ours_wakes() {
    let scene = Scene::new();
    let _daemon =
        scene.daemon(&["--wake-on", "tls:git.example.org,*.example.net", "--start-timeout", "1m"]);
    let hello = client_hello("Git.Example.org");
    let (half, most) = (&hello[..hello.len() / 2], &hello[..hello.len() - 1]);
    let held = scan(&scene, &[&hello[..1], &hello[..5], half, most]);
    let foreign = [client_hello("example.com"), client_hello("a.b.example.net")];
    let garbage: [&[u8]; 6] =
        [HEAD, b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x00", &[0xff; 40], &foreign[0], &foreign[1]];
    are_reset(&scene, &garbage);
    sleeps_on(&scene);
    assert!(held[0].is_held());
    echoes_with_a_body(scene.client(), &hello);
    assert_eq!(scene.engine.count(Call::Start), 1);

    drop(held);
    scene.engine.wait_status(Status::Exited);
    echoes_with_a_body(scene.client(), &client_hello("a.example.net"));
}

#[test]
fn with_http_only_a_whole_head_wakes() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--wake-on", "http", "--start-timeout", "1m"]);
    let held = scan(&scene, &[b"G", b"GET /", &HEAD[..30], &HEAD[..HEAD.len() - 1]]);
    let too_long = [b"GET / HTTP/1.1\r\nX: ", &vec![b'x'; 17_000][..]].concat();
    let hello = client_hello("git.example.org");
    let garbage: [&[u8]; 6] = [
        b"\0",
        b"get / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        &too_long,
        &hello,
    ];
    are_reset(&scene, &garbage);
    sleeps_on(&scene);
    assert!(held[0].is_held());
    drop(held);
    for begins in [HEAD, b"GET / HTTP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let starts = scene.engine.count(Call::Start);
        echoes_with_a_body(scene.client(), begins);
        assert_eq!(scene.engine.count(Call::Start), starts + 1);
        scene.engine.wait_status(Status::Exited);
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_wakes_with_its_last() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--wake-on", "http", "--start-timeout", "1m"]);
    let mut client = scene.client();
    let (last, most) = HEAD.split_last().unwrap();
    for (count, byte) in (1..).zip(most) {
        client.send(&[*byte]);
        if count % 16 == 0 || count == most.len() {
            client.wait_unread(count);
        }
    }
    sleeps_on(&scene);
    client.send(&[*last]);
    assert_eq!(client.receive(HEAD.len()).unwrap(), HEAD);
    client.echo("and on");
}

/// The bytes that were looked at, and found too few, are the first that the application gets.
#[test]
fn who_waits_at_the_gate_is_let_in_when_somebody_else_wakes_it() {
    for on in ["data", "http", "tls"] {
        let scene = Scene::new();
        let _daemon = scene.daemon(&["--wake-on", on, "--idle-timeout", "1m"]);
        let (mut mute, mut half) = (scene.client(), scene.client());
        let begins: &[u8] = match on {
            "http" => &HEAD[..20],
            "tls" => b"\x16\x03",
            _ => b"",
        };
        half.send(begins);
        half.wait_unread(begins.len());
        let hello = client_hello("a");
        let whole: &[u8] = if on == "tls" { &hello } else { HEAD };
        let mut wakes = scene.client();
        wakes.send(whole);
        assert_eq!(wakes.receive(whole.len()).unwrap(), whole);
        assert_eq!(half.receive(begins.len()).unwrap(), begins);
        mute.echo("whatever");
        echoes_with_a_body(half, b"");
        assert_eq!(scene.engine.count(Call::Start), 1);
    }
}

#[test]
fn a_mute_client_is_ended_after_the_start_timeout_and_costs_no_processor_time() {
    let scene = Scene::new();
    let daemon = scene.daemon(&["--wake-on", "http", "--start-timeout", "3s"]);
    let began = now();
    let (mut mute, mut half) = (scene.client(), scene.client());
    half.send(&HEAD[..10]);
    let before = daemon.cpu_ticks();
    holds_for(ms(500), "both are waited for", || mute.is_held() && half.is_held());
    let used = daemon.cpu_ticks().checked_sub(before).unwrap_or_default();
    assert!(used < ms(100), "{used:?} of processor time in half a second");
    mute.expect_reset();
    half.expect_reset();
    assert!(began.elapsed() >= ms(2990), "{:?}", began.elapsed());
    sleeps_on(&scene);
}

#[test]
fn an_end_of_the_daemon_does_not_wait_for_who_says_nothing() {
    let scene = Scene::new();
    let flags = ["--wake-on", "data", "--drain-timeout", "100ms", "--start-timeout", "1m"];
    let mut daemon = scene.daemon(&flags);
    let mut mute = scene.client();
    // It has been accepted when a later client is let in.
    scene.engine.once(Call::Start, Fault::Gated);
    scene.client().send(b"?");
    scene.engine.wait_count(Call::Start, 1);
    let began = now();
    daemon.terminate();
    mute.expect_reset();
    assert!(began.elapsed() < ms(9000), "{:?}", began.elapsed());
    scene.engine.proceed();
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn a_server_that_speaks_first_is_heard_with_connect() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::Greet("220 ready\r\n"));
    let _daemon = scene.daemon(&["--wake-on", "connect", "--wake-from", "127.0.0.1"]);
    let mut client = scene.client();
    assert_eq!(client.receive(11).unwrap(), b"220 ready\r\n");
    client.echo("and back");
}

#[test]
fn who_is_not_in_wake_from_is_refused_asleep_and_served_awake() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--wake-from", "10.0.0.0/8,127.0.0.9"]);
    for _ in 0..3 {
        scene.client().expect_reset();
    }
    sleeps_on(&scene);
    let mut wakes = other(&scene);
    wakes.echo("wakes");
    scene.client().echo("served");
    drop(wakes);
    scene.engine.wait_status(Status::Exited);
    scene.client().expect_reset();
}

/// Nobody knows at its start whether the target runs.
#[test]
fn a_container_that_runs_at_the_start_of_the_daemon_serves_all() {
    let scene = Scene::new();
    scene.engine.start_container();
    wait_until("the application to listen", || scene.app.listens());
    scene.engine.once(Call::Inspect, Fault::Gated);
    let _daemon = scene.daemon(&["--wake-from", "127.0.0.9", "--idle-timeout", "1m"]);
    let mut early = scene.client();
    early.send(b"early");
    holds_for(ms(100), "held until that is known", || early.is_held());
    scene.engine.proceed();
    assert_eq!(early.receive(5).unwrap(), b"early");
    assert_eq!(scene.engine.count(Call::Start), 0);
}

#[test]
fn who_is_not_in_allow_from_is_never_served() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--allow-from", "127.0.0.9,unix"]);
    scene.client().expect_reset();
    sleeps_on(&scene);
    let mut served = other(&scene);
    served.echo("served");
    scene.client().expect_reset();
    served.echo("undisturbed");
    assert_eq!(scene.app.live(), 1);
}

#[test]
fn the_peers_of_a_unix_socket_are_named_by_their_word() {
    for (from, wakes) in [("unix", true), ("0.0.0.0/0", false)] {
        let scene = Scene::new();
        let path = scene.dir.join("held.sock");
        let listen = format!("unix:{}", path.display());
        let flags = ["--listen", &listen, "--wake-from", from, "--wake-on", "data"];
        let _daemon = scene.run(scene.launch().args(flags));
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        // It may be gone already.
        drop(client.write_all(b"ping"));
        drop(client.shutdown(std::net::Shutdown::Write));
        drop(client.read_to_end(&mut answer));
        assert_eq!(answer == b"ping", wakes, "{from}");
        assert_eq!(scene.engine.count(Call::Start), usize::from(wakes));
    }
}

/// Through a trusted proxy it is the client behind it that counts.
#[test]
fn a_proxy_header_tells_who_may_wake() {
    let to: SocketAddr = "198.51.100.1:443".parse().unwrap();
    let header = |from: &str| client_v1(SocketAddr::new(from.parse().unwrap(), 1234), to);
    for (option, awake) in [("--wake-from", true), ("--allow-from", false)] {
        let scene = Scene::new();
        let flags = ["--accept-proxy-protocol", "127.0.0.0/8", option, "203.0.113.0/24"];
        let _daemon = scene.daemon(&[&flags[..], &["--wake-on", "data"]].concat());
        let come = |from: &str, text: &[u8]| {
            let mut client = scene.client();
            client.send(&header(from));
            client.send(text);
            client
        };
        come("192.0.2.1", b"").expect_reset();
        come("127.0.0.1", b"").expect_reset();
        let _mute = come("203.0.113.9", b"");
        sleeps_on(&scene);
        let mut wakes = come("203.0.113.7", b"hello");
        assert_eq!(wakes.receive(5).unwrap(), b"hello");
        let mut outside = come("192.0.2.1", b"");
        if awake {
            outside.echo("served");
        } else {
            outside.expect_reset();
        }
    }
}

#[test]
fn an_address_may_wake_so_often_and_costs_the_others_nothing() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--wake-rate", "2/h"]);
    for _ in 0..2 {
        let mut wakes = scene.client();
        wakes.echo("wakes");
        // These wake nobody, as it is awake.
        (0..5).for_each(|_| scene.client().echo("served"));
        drop(wakes);
        scene.engine.wait_status(Status::Exited);
    }
    scene.client().expect_reset();
    scene.client().expect_reset();
    let mut another = other(&scene);
    another.echo("may");
    scene.client().echo("served while it is awake");
    assert_eq!(scene.engine.count(Call::Start), 3);
}

#[test]
fn who_comes_while_another_wakes_it_does_not_count() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Gated);
    let _daemon = scene.daemon(&["--wake-rate", "1/h", "--wake-rate-total", "1/h"]);
    let mut clients = vec![scene.client()];
    scene.engine.wait_count(Call::Start, 1);
    clients.extend((0..5).map(|_| scene.client()));
    for client in &mut clients {
        client.send(b"ping");
    }
    scene.engine.proceed();
    for client in &mut clients {
        assert_eq!(client.receive(4).unwrap(), b"ping");
    }
}

#[test]
fn all_addresses_together_may_wake_so_often() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--wake-rate-total", "2/h"]);
    scene.client().echo("one");
    scene.engine.wait_status(Status::Exited);
    other(&scene).echo("two");
    scene.engine.wait_status(Status::Exited);
    scene.client().expect_reset();
    other(&scene).expect_reset();
    assert_eq!(scene.engine.count(Call::Start), 2);
}

#[test]
fn a_reload_changes_what_may_wake() {
    let scene = Scene::new();
    let changing = Changing::new(&scene, &service("app", &scene, "wake-on = \"http\""));
    are_reset(&scene, &[b"\0"]);
    let mut mute = scene.client();
    changing.reloaded(&service("app", &scene, "wake-on = \"data\"\nidle-timeout = \"1m\""));
    sleeps_on(&scene);
    scene.client().echo("\0");
    mute.echo("let in with the others");
}

#[test]
fn what_is_wrong_is_told_with_its_flag() {
    let scene = Scene::new();
    for (flag, value, why) in [
        ("--wake-on", "sometimes", "none of connect, data"),
        ("--wake-on", "tls:", "is no host"),
        ("--wake-from", "10.0.0.0/33", "none of a network"),
        ("--allow-from", "example.org", "none of a network"),
        ("--wake-rate", "often", "is no rate"),
        ("--wake-rate-total", "0/min", "is no rate"),
        ("--http-rule", "status=200", "every request"),
    ] {
        let output = scene.launch_with(&[flag, value]).output();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(flag) && said.contains(why), "{said}");
    }
}
