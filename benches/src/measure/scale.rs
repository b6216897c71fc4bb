//! How cost grows with the number of services: their start, a reload, a status, and their memory.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::Plan;
use super::scripted::PATIENCE;
use crate::clock::{ms_between, now_ns};
use crate::contender::{Ground, OURS};
use crate::fake_engine::{App, FakeEngine};
use crate::http::Connection;
use crate::process::{Group, User};
use crate::record::Record;

/// Services of two listeners each.
pub(crate) const STEPS: [usize; 3] = [10, 100, 1000];

/// Each look is a status, and so a part of what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One status may be too short for the clock of the processor's time.
const STATUSES: usize = 20;

pub(crate) fn run(ground: &Ground<'_>, plan: &Plan, record: &mut Record) -> io::Result<()> {
    for round in 0..plan.storms {
        let mut least = None;
        for services in STEPS {
            let host = Host::start(ground, services)?;
            let found = host.measure()?;
            record.raw("scale", OURS, round, &found);
            for (name, value) in found.as_object().into_iter().flatten() {
                let value = value.as_f64().unwrap_or(f64::NAN);
                record.sample(&format!("scale.{name}.{services}"), OURS, round, value);
            }
            let anonymous = found["anonymous_kib"].as_f64().unwrap_or(f64::NAN);
            // What one more costs, beside what the first few have cost.
            let (fewest, before) = *least.get_or_insert((services, anonymous));
            if services > fewest {
                let each = (anonymous - before) / (services - fewest) as f64;
                record.sample(&format!("scale.kib_each.{services}"), OURS, round, each);
            }
        }
    }
    Ok(())
}

/// A daemon of so many sleeping services, before a scripted engine.
struct Host {
    daemon: Group,
    services: usize,
    dir: PathBuf,
    engine: FakeEngine,
    /// From its start until all were known to sleep.
    start_s: f64,
}

impl Host {
    fn start(ground: &Ground<'_>, services: usize) -> io::Result<Self> {
        let dir = ground.scratch.join(format!("scale-{services}-{}", now_ns()));
        fs::create_dir(&dir)?;
        let socket = dir.join("engine.sock");
        let engine = FakeEngine::asleep(&socket, App { port: 1, backlog: 1, boot_ms: 0 })?;
        fs::write(dir.join("config.toml"), config(&dir, services, "15m"))?;
        let words = [
            &ground.daemon,
            Path::new("--config"),
            &dir.join("config.toml"),
            Path::new("--control"),
            &dir.join("control.sock"),
        ]
        .map(|word| word.display().to_string());
        let began = now_ns();
        let daemon = Group::start_logged(&words, User::Ours, &dir.join("log"))?;
        let mut host = Self { daemon, services, dir, engine, start_s: 0.0 };
        while !host.all_asleep() {
            if ms_between(began, now_ns()) > PATIENCE.as_secs_f64() * 1e3 {
                return Err(io::Error::other("they are not all asleep"));
            }
            thread::sleep(LOOK_EVERY);
        }
        host.start_s = ms_between(began, now_ns()) / 1e3;
        Ok(host)
    }

    fn measure(&self) -> io::Result<Value> {
        let start_cpu_s = self.daemon.cpu_seconds();
        let anonymous_kib = self.daemon.memory_kib("Pss_Anon");
        let reload_cpu_s = self.reload("15m")?;
        let reload_all_cpu_s = self.reload("14m")?;
        let before = self.daemon.cpu_seconds();
        for _ in 0..STATUSES {
            self.ask("GET", "/v1/status")?;
        }
        let status_cpu_ms = (self.daemon.cpu_seconds() - before) * 1e3 / STATUSES as f64;
        Ok(json!({
            "start_s": self.start_s,
            "start_cpu_s": start_cpu_s,
            "engine_calls": self.engine.calls(),
            "reload_cpu_s": reload_cpu_s,
            "reload_all_cpu_s": reload_all_cpu_s,
            "status_cpu_ms": status_cpu_ms,
            "anonymous_kib": anonymous_kib,
        }))
    }

    /// The processor's seconds for a reload with that idle window.
    fn reload(&self, window: &str) -> io::Result<f64> {
        fs::write(self.dir.join("config.toml"), config(&self.dir, self.services, window))?;
        let before = self.daemon.cpu_seconds();
        let changes = self.ask("POST", "/v1/reload")?;
        let all = changes["unchanged"].as_u64().unwrap_or(0)
            + changes["changed"].as_array().map_or(0, |changed| changed.len() as u64);
        if all != self.services as u64 {
            return Err(io::Error::other(format!("the reload has gone wrong: {changes}")));
        }
        Ok(self.daemon.cpu_seconds() - before)
    }

    fn all_asleep(&self) -> bool {
        let asleep = |status: Value| {
            let services = status["services"].as_array().cloned().unwrap_or_default();
            let sleeps = |service: &&Value| service["state"] == "asleep";
            services.iter().filter(sleeps).count() == self.services
        };
        self.ask("GET", "/v1/status").is_ok_and(asleep)
    }

    fn ask(&self, method: &str, path: &str) -> io::Result<Value> {
        let mut connection = Connection::open(&self.dir.join("control.sock"))?;
        match connection.call(method, path)? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(io::Error::other(format!("{path}: {status} {answer}"))),
        }
    }
}

fn config(dir: &Path, services: usize, window: &str) -> String {
    let mut text = format!(
        "[defaults]\nengine = \"unix://{}\"\nport = [80, 443]\nidle-timeout = \"{window}\"\n",
        dir.join("engine.sock").display()
    );
    for n in 0..services {
        // Loopback addresses that nobody else listens on. Unix sockets would measure the file system.
        let at = format!("127.99.{}.{}", n / 200, n % 200 + 1);
        let lines = writeln!(text, "[services.s{n}]\nlisten = [\"{at}:8080\", \"{at}:8443\"]");
        debug_assert!(lines.is_ok(), "a text takes everything");
    }
    text
}
