//! What warm connections and bulk transfers cost in system calls: counted by strace(1), as counts
//! hold on a busy machine and times do not. Heap and engine calls are counted in `tests/counts.rs`.
#![allow(clippy::unwrap_used, reason = "a test without a trace cannot go on")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::support::app::{Behaviour, pattern};
use crate::support::daemon::Daemon;
use crate::support::scene::Scene;
use crate::support::wait_until;

/// Connections that are counted, one after the other.
const CONNECTIONS: usize = 200;

/// System calls of one warm connection with its request, its answer and its end, one connection at
/// a time. Those after which something may or may not be there yet have room.
const PER_CONNECTION: [(&str, f64); 10] = [
    // The second says that nobody else waits.
    ("accept4", 2.1),
    ("socket", 1.1),
    ("setsockopt", 5.1),
    // The second asks how the first one went.
    ("connect", 2.1),
    // Entry and removal of two sockets.
    ("epoll_ctl", 4.1),
    // Bytes and end of both sides; once more if the client is slower than the daemon.
    ("recvfrom", 5.2),
    ("sendto", 2.1),
    ("shutdown", 1.1),
    ("close", 2.1),
    // Four, as measured, if nothing comes in two pieces.
    ("epoll_wait", 7.0),
];

/// All others together, timers among them.
const OTHERS: f64 = 0.2;

/// What debug builds of the runtime make sure of.
const DEBUG: &str = "fcntl";

/// More than all buffers on the way, and not a multiple of any.
const BULK: usize = 24 * 1024 * 1024 + 4321;

/// System calls for 64 KiB of a bulk transfer; 0.4 as measured. Copying takes at least 2: splice(2)
/// moves more at once.
const PER_64_KIB: f64 = 1.0;

#[test]
fn a_warm_connection_takes_few_system_calls() {
    let counts = warm(&[]);
    let each = |name: &str| per(counts.get(name).copied().unwrap_or_default(), CONNECTIONS);
    for (name, most) in PER_CONNECTION {
        assert!(each(name) <= most, "{name}: {:.2} each\n{counts:#?}", each(name));
    }
    assert!(others(&counts) <= OTHERS, "others: {:.2} each\n{counts:#?}", others(&counts));
}

/// What may wake is nobody's business while it is awake; who is served at all costs the question who
/// it is.
#[test]
fn a_gate_takes_no_system_calls_of_a_warm_connection() {
    let on_waking = ["--wake-on", "data", "--wake-from", "127.0.0.1", "--wake-rate", "1000/s"];
    let counts = warm(&on_waking);
    let each = |name: &str| per(counts.get(name).copied().unwrap_or_default(), CONNECTIONS);
    for (name, most) in PER_CONNECTION {
        assert!(each(name) <= most, "{name}: {:.2} each\n{counts:#?}", each(name));
    }
    assert!(others(&counts) <= OTHERS, "others: {:.2} each\n{counts:#?}", others(&counts));
    let counts = warm(&["--allow-from", "127.0.0.1"]);
    assert!(others(&counts) <= OTHERS + 2.0, "others: {:.2} each\n{counts:#?}", others(&counts));
}

/// The system calls of that many warm connections, by their names.
fn warm(flags: &[&str]) -> BTreeMap<String, usize> {
    let traced = Traced::with(flags);
    for _ in 0..20 {
        traced.exchange();
    }
    let before = traced.settled();
    for _ in 0..CONNECTIONS {
        traced.exchange();
    }
    let after = traced.settled();
    tally(&after[before.len()..])
}

/// Those that no connection needs, for each of them.
fn others(counts: &BTreeMap<String, usize>) -> f64 {
    let known = |name: &str| name == DEBUG || PER_CONNECTION.iter().any(|(own, _)| *own == name);
    let others = counts.iter().filter(|(name, _)| !known(name)).map(|(_, count)| count);
    per(others.sum(), CONNECTIONS)
}

#[test]
fn a_bulk_download_takes_few_system_calls() {
    let traced = Traced::new();
    traced.exchange();
    traced.scene.app.behave(Behaviour::SendThenListen(BULK));
    bulk_is_cheap(&traced, || {
        let mut client = traced.scene.client();
        assert!(client.rest().unwrap() == pattern(BULK), "the download differs");
    });
}

#[test]
fn a_bulk_upload_takes_few_system_calls() {
    let traced = Traced::new();
    traced.exchange();
    traced.scene.app.behave(Behaviour::SendThenListen(0));
    bulk_is_cheap(&traced, || {
        let mut client = traced.scene.client();
        client.send(&pattern(BULK));
        client.finish();
        assert_eq!(client.rest().unwrap(), b"");
    });
}

/// At its best of three: pieces are small while the other side has no processor.
fn bulk_is_cheap(traced: &Traced, transfer: impl Fn()) {
    let mut last = BTreeMap::new();
    let cheap = (0..3).any(|_| {
        let before = traced.settled();
        transfer();
        let calls = traced.settled().split_off(before.len());
        last = tally(&calls);
        per(calls.len(), BULK / (64 * 1024)) <= PER_64_KIB
    });
    assert!(cheap, "never at most {PER_64_KIB} for 64 KiB\n{last:#?}");
}

/// A daemon under strace, its target awake.
struct Traced {
    scene: Scene,
    trace: PathBuf,
    _daemon: Daemon,
}

impl Traced {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(flags: &[&str]) -> Self {
        let scene = Scene::new();
        let trace = scene.dir.join("trace");
        let flags = [&["--idle-timeout", "1m"], flags].concat();
        let daemon = scene.run(scene.launch_with(&flags).env("RUST_LOG", "info").traced(&trace));
        let traced = Self { scene, trace, _daemon: daemon };
        traced.exchange();
        traced
    }

    /// A request and its answer on a connection of its own, to its end on both sides.
    fn exchange(&self) {
        self.scene.client().echo("question");
        wait_until("the end of the connection", || self.scene.app.live() == 0);
    }

    /// The calls so far, once no more are made.
    fn settled(&self) -> Vec<String> {
        let (mut calls, mut quiet) = (self.calls(), 0);
        // Counted in looks, of which there is one a millisecond at most: a stall is no quiet.
        wait_until("the daemon to be left alone", || {
            let now_there = self.calls();
            quiet = if now_there.len() == calls.len() { quiet + 1 } else { 0 };
            calls = now_there;
            quiet > 100
        });
        calls
    }

    /// The names of the calls so far.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.trace).unwrap();
        text.lines()
            .filter_map(|line| {
                // "PID name(…": lines of signals, ends and continuations look otherwise.
                let (name, _) = line.split_once(' ')?.1.trim_start().split_once('(')?;
                name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then(|| name.to_owned())
            })
            .collect()
    }
}

fn tally(calls: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.clone()).or_default() += 1;
    }
    counts
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn per(calls: usize, count: usize) -> f64 {
    calls as f64 / count as f64
}
