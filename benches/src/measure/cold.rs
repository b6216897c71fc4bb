//! The cold start of a real container: what the daemon adds to the engine and the application.
//!
//! Two containers of the same image take turns. One is woken by the daemon; the other by hand, as
//! directly as it can be done: POST start, inspect, connect until it works. From both the time
//! that the engine itself took for this very start is subtracted, so that its jitter, which is
//! many times larger than what is looked for, cancels.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::scripted::{PATIENCE, wait_for};
use crate::clock::{ms_between, now_ns};
use crate::contender::{Ground, OURS, free_port, listens};
use crate::engine::{Container, Engine, PORT, act, address};
use crate::http::Connection;
use crate::process::{Group, User};
use crate::record::Record;
use crate::tap::{Call, Tap};

/// The contender that is no daemon.
pub(crate) const FLOOR: &str = "by hand";

/// Engine events reach the daemon within this.
const NOTICED: Duration = Duration::from_millis(150);

/// How a container is woken.
#[derive(Clone, Copy)]
enum Wake {
    Start,
    Unpause,
}

impl Wake {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Unpause => "unpause",
        }
    }

    /// Puts it to rest.
    fn undo(self) -> &'static str {
        match self {
            Self::Start => "stop?t=2",
            Self::Unpause => "pause",
        }
    }
}

/// A real engine, a daemon before one container, and another container beside it.
pub(crate) struct Scene {
    engine: Engine,
    api: Connection,
    tap: Tap,
    daemon: Group,
    port: u16,
    ours: Container,
    other: Container,
    log: PathBuf,
    /// What was asked of the engine in the last wake.
    timeline: Value,
}

impl Scene {
    pub(crate) fn new(ground: &Ground<'_>, engine: Engine) -> io::Result<Self> {
        let tap = Tap::new(ground.scratch.join(format!("{}-tap", engine.name)), &engine.socket)?;
        let (ours, other) = (engine.create()?, engine.create()?);
        let port = free_port()?;
        let socket = tap.socket.display().to_string();
        let words = ground.daemon_words(&socket, &ours.name, PORT, port);
        let log = ground.scratch.join(format!("{}-daemon.log", engine.name));
        let daemon = Group::start_logged(&words, User::Ours, &log)?;
        wait_for(|| listens(port))?;
        thread::sleep(NOTICED);
        Ok(Self {
            // By hand through the tap, too: it is a few task switches per call.
            api: Connection::open(&tap.socket)?,
            engine,
            tap,
            daemon,
            port,
            ours,
            other,
            log,
            timeline: Value::Null,
        })
    }

    /// The proportional memory of the daemon, in MiB.
    pub(crate) fn pss_mib(&self) -> f64 {
        self.daemon.memory_kib("Pss") / 1024.0
    }

    /// `wakes` cold starts and as many wakes from pause, each by the daemon and by hand.
    pub(crate) fn measure(&mut self, wakes: usize, record: &mut Record) -> io::Result<()> {
        for wake in [Wake::Start, Wake::Unpause] {
            for round in 0..=wakes {
                self.pair(wake, round, record)?;
            }
        }
        let (ours, other) = (self.ours.name.clone(), self.other.name.clone());
        for name in [ours, other] {
            act(&mut self.api, &name, "unpause")?;
        }
        Ok(())
    }

    /// `wakes` cold starts by the daemon alone: what each adds to the engine's time, in ms.
    pub(crate) fn starts(&mut self, wakes: usize) -> io::Result<Vec<f64>> {
        let mut added = Vec::new();
        for _ in 0..wakes {
            added.push(self.by_daemon()?.0);
            self.rest(Wake::Start)?;
        }
        Ok(added)
    }

    /// The first round warms caches and is not counted.
    fn pair(&mut self, wake: Wake, round: usize, record: &mut Record) -> io::Result<()> {
        if matches!(wake, Wake::Unpause) && round == 0 {
            for name in [self.ours.name.clone(), self.other.name.clone()] {
                act(&mut self.api, &name, "start")?;
            }
            thread::sleep(NOTICED);
            self.rest(wake)?;
        }
        let daemon = self.by_daemon()?;
        let hand = self.by_hand(wake)?;
        self.rest(wake)?;
        if round == 0 {
            return Ok(());
        }
        let metric = format!("{}.{}", self.engine.name, wake.name());
        for (contender, (over, engine)) in [(OURS, daemon), (FLOOR, hand)] {
            record.sample(&format!("{metric}.over_ms"), contender, round, over);
            record.sample(&format!("{metric}.engine_ms"), contender, round, engine);
            let mut found = json!({ "over_ms": over, "engine_ms": engine });
            if contender == OURS {
                found["timeline"] = self.timeline.clone();
            }
            record.raw(&metric, contender, round, &found);
        }
        record.sample(&format!("{metric}.added_ms"), OURS, round, daemon.0 - hand.0);
        Ok(())
    }

    /// First byte through the daemon, minus the engine's operation; and that.
    fn by_daemon(&mut self) -> io::Result<(f64, f64)> {
        self.tap.take();
        let began = now_ns();
        let answered = ask(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))?;
        let calls = self.tap.take();
        let wake = calls.iter().find(|call| call.wakes());
        let wake = wake.ok_or_else(|| io::Error::other("the daemon woke nothing"))?;
        let engine = ms_between(wake.asked, wake.answered);
        self.timeline = timeline(&calls, began, answered);
        Ok((ms_between(began, answered) - engine, engine))
    }

    fn by_hand(&mut self, wake: Wake) -> io::Result<(f64, f64)> {
        let began = now_ns();
        let engine = act(&mut self.api, &self.other.name, wake.name())?.as_secs_f64() * 1e3;
        let address = address(&mut self.api, &self.other.name)?;
        let answered = loop {
            match ask(address) {
                Ok(answered) => break answered,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    thread::sleep(Duration::from_micros(100));
                }
                Err(error) => return Err(error),
            }
        };
        Ok((ms_between(began, answered) - engine, engine))
    }

    fn rest(&mut self, wake: Wake) -> io::Result<()> {
        let seen = self.rests_seen();
        act(&mut self.api, &self.ours.name, wake.undo())?;
        // A client that comes before the daemon has heard of it would be led to a container that
        // rests.
        wait_for(|| self.rests_seen() > seen)?;
        if !matches!(wake, Wake::Start) || self.is_running()? {
            act(&mut self.api, &self.other.name, wake.undo())?;
        }
        thread::sleep(NOTICED);
        Ok(())
    }

    /// How often the daemon has seen that somebody else put its container to rest.
    fn rests_seen(&self) -> usize {
        std::fs::read_to_string(&self.log)
            .map_or(0, |log| log.matches("put to rest by somebody else").count())
    }

    fn is_running(&mut self) -> io::Result<bool> {
        let path = format!("/v1.41/containers/{}/json", self.other.name);
        Ok(self.api.call("GET", &path)?.1["State"]["Running"] == json!(true))
    }
}

/// The calls of one wake, in milliseconds after the client came.
fn timeline(calls: &[Call], began: u64, answered: u64) -> Value {
    let call = |call: &Call| {
        let (asked, answered) = (ms_between(began, call.asked), ms_between(began, call.answered));
        json!({ "call": call.what, "asked": asked, "answered": answered })
    };
    let calls: Vec<Value> = calls.iter().map(call).collect();
    json!({ "first_byte": ms_between(began, answered), "calls": calls })
}

/// One byte there and back; the moment it is back.
fn ask(to: SocketAddr) -> io::Result<u64> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])?;
    Ok(now_ns())
}
