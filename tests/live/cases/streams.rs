//! Bytes: every one of them, in both directions, to the end of each.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;

use crate::live::client::{assert_reset, checksum, pattern};
use crate::live::clock::{secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

/// A client that shuts down writing still gets its answer, from a cold container and a warm one.
/// (One that does so while it is held, without having said anything, is taken for one that left.)
pub(crate) fn a_half_closed_client_gets_its_answer(engine: &Engine) {
    let container = Container::create(engine, "count:8080 --boot 300");
    let daemon = Daemon::start(engine, &container, "");
    for length in [1, 0, 100_000, 5_000_000] {
        let bytes = pattern(length);
        let mut stream = daemon.connect();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, format!("count={length} checksum={}\n", checksum(&bytes)));
    }
}

/// Nothing is lost, doubled or swapped while both directions are busy.
pub(crate) fn both_directions_carry_every_byte(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let daemon = Daemon::start(engine, &container, "");
    let clients: Vec<_> = (0..4).map(|_| thread::spawn(echo_many(daemon.connect()))).collect();
    for client in clients {
        client.join().unwrap();
    }
}

fn echo_many(mut stream: TcpStream) -> impl FnOnce() + Send {
    move || {
        let bytes = pattern(8 << 20);
        let mut writer = stream.try_clone().unwrap();
        let sent = bytes.clone();
        let sender = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        sender.join().unwrap();
        assert!(back == bytes, "{} bytes came back", back.len());
    }
}

/// A large answer arrives whole.
pub(crate) fn a_large_answer_arrives_whole(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let daemon = Daemon::start(engine, &container, "");
    let answer = daemon.get("/size?n=30000000");
    assert_eq!(answer.body.len(), 30_000_000);
    assert!(answer.body.iter().zip((0..=u8::MAX).cycle()).all(|(got, wanted)| *got == wanted));
}

/// A reset is passed on as a reset.
pub(crate) fn a_reset_is_passed_on(engine: &Engine) {
    let container = Container::create(engine, "reset:8080");
    let daemon = Daemon::start(engine, &container, "");
    for _ in 0..5 {
        let mut stream = daemon.connect();
        stream.write_all(b"x").unwrap();
        assert_reset(stream.read(&mut [0]));
    }
}

/// Keepalive is on for both legs: the kernel's tables show its timer.
pub(crate) fn both_legs_are_kept_alive(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let daemon = Daemon::start(engine, &container, "");
    let mut stream = daemon.connect();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let pid = format!("pid={},", daemon.id());
    // What was sent last may be unacknowledged for a moment, which has a timer of its own.
    wait_for("both legs have the timer", secs(20), || {
        let table = Command::new("ss").args(["-tnpoH", "state", "established"]).output().unwrap();
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        let legs: Vec<_> = table.lines().filter(|line| line.contains(&pid)).collect();
        legs.len() == 2 && legs.iter().all(|line| line.contains("timer:(keepalive"))
    });
}

/// A half-open dead peer does not hold the service for ever.
pub(crate) fn a_dead_peer_is_given_up(engine: &Engine) {
    let container = Container::create(engine, "echo:8080");
    let daemon = Daemon::start(engine, &container, "--keepalive 2s --idle-timeout 500ms");
    let mut stream = daemon.connect();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let _hole = BlackHole::between(stream.local_addr().unwrap(), daemon.address);
    container.wait_asleep();
    drop(stream);
}

/// Drops every packet of one connection, as a peer does whose power is gone.
struct BlackHole(Vec<String>);

impl BlackHole {
    fn between(client: SocketAddr, server: SocketAddr) -> Self {
        let rule = format!(
            "OUTPUT -p tcp -s {} --sport {} -d {} --dport {} -j DROP",
            server.ip(),
            server.port(),
            client.ip(),
            client.port()
        );
        let back = format!(
            "OUTPUT -p tcp -s {} --sport {} -d {} --dport {} -j DROP",
            client.ip(),
            client.port(),
            server.ip(),
            server.port()
        );
        let hole = BlackHole(vec![rule, back]);
        hole.tell("-I");
        hole
    }

    fn tell(&self, verb: &str) {
        for rule in &self.0 {
            let words = rule.split_whitespace();
            let done = Command::new("iptables").args(["-w", verb]).args(words).status().unwrap();
            assert!(done.success(), "iptables {verb} {rule}");
        }
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.tell("-D");
    }
}
