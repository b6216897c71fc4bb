//! Wakes without an engine: how soon a port is seen that has just been opened?

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::Plan;
use crate::clock::{ms_between, now_ns};
use crate::contender::{Ground, OURS, free_port, listens};
use crate::fake_engine::{App, FakeEngine};
use crate::process::{Group, User};
use crate::record::Record;
use crate::wire::{FRAME, REQUESTS};

/// The longest an answer may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon before a sleeping scripted container.
pub(crate) struct Sleeper {
    pub(crate) engine: FakeEngine,
    pub(crate) daemon: Group,
    pub(crate) port: u16,
}

impl Sleeper {
    pub(crate) fn start(ground: &Ground<'_>, backlog: u32, boot_ms: u64) -> io::Result<Self> {
        let (port, behind) = (free_port()?, free_port()?);
        let socket = ground.scratch.join(format!("engine-{port}.sock"));
        let engine = FakeEngine::asleep(&socket, App { port: behind, backlog, boot_ms })?;
        let words = ground.daemon_words(&socket.display().to_string(), "bench", behind, port);
        let log = ground.scratch.join(format!("daemon-{port}.log"));
        let daemon = Group::start_logged(&words, User::Nobody, &log)?;
        wait_for(|| listens(port))?;
        // It looks at its container once before it knows that it sleeps.
        thread::sleep(Duration::from_millis(50));
        Ok(Self { engine, daemon, port })
    }

    /// Puts the container to sleep and waits until the daemon has seen it.
    pub(crate) fn sleep(&self) {
        let calls = self.engine.calls();
        self.engine.end_container();
        drop(wait_for(|| self.engine.calls() > calls));
        thread::sleep(Duration::from_millis(20));
    }
}

/// First byte after `listen()`, over boots of different lengths, so that the rhythm of the probes
/// does not coincide with them.
pub(crate) fn readiness(ground: &Ground<'_>, plan: &Plan, record: &mut Record) -> io::Result<()> {
    let sleeper = Sleeper::start(ground, 4096, 0)?;
    for round in 0..plan.scripted_wakes {
        let boot_ms = 80 + (round as u64 * 37) % 300;
        sleeper.engine.set_boot(boot_ms);
        let first_byte = ask(sleeper.port)?;
        wait_for(|| sleeper.engine.listening().is_some())?;
        let listening = sleeper.engine.listening().unwrap_or(first_byte);
        let late = ms_between(listening, first_byte);
        record.sample("ready.after_listen_ms", OURS, round, late);
        let found = json!({ "boot_ms": boot_ms, "after_listen_ms": late });
        record.raw("readiness", OURS, round, &found);
        sleeper.sleep();
    }
    Ok(())
}

/// One request, held as long as it takes; the moment of the answer.
pub(crate) fn ask(port: u16) -> io::Result<u64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[REQUESTS; FRAME])?;
    stream.read_exact(&mut [0; FRAME])?;
    Ok(now_ns())
}

/// Waits until it is so.
pub(crate) fn wait_for(what: impl Fn() -> bool) -> io::Result<()> {
    let began = now_ns();
    while !what() {
        if ms_between(began, now_ns()) > PATIENCE.as_secs_f64() * 1e3 {
            return Err(io::Error::other("waited in vain"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
