//! The data path: one visit to one contender, freshly started.

use std::io;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::Plan;
use crate::contender::{Ground, Running, holds, works};
use crate::load_words;
use crate::process::{Group, User, first_line, load, own_path, pin};
use crate::record::Record;

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// What a fresh process does in its first moments is not idleness.
const SETTLE: Duration = Duration::from_millis(60);

/// The number of idle connections that goals speak of.
const MANY: usize = 1000;

pub(crate) struct Visit<'a> {
    pub(crate) name: &'static str,
    pub(crate) round: usize,
    pub(crate) plan: &'a Plan,
    pub(crate) record: &'a mut Record,
    pub(crate) backend: &'a Group,
}

impl Visit<'_> {
    pub(crate) fn run(&mut self, ground: &Ground<'_>) -> io::Result<()> {
        let proxy = ground.start(self.name)?;
        if !works(proxy.port) {
            return Err(io::Error::other("a request through it is not answered"));
        }
        thread::sleep(SETTLE);
        // Memory first: of a process that has been busy, an unknown part is kept from before.
        self.idle_connections(&proxy)?;
        for connections in [1, 8] {
            self.down(&proxy, connections, "bulk")?;
            self.up(&proxy, connections)?;
        }
        self.round_trips(&proxy)?;
        self.rates(&proxy)?;
        self.correctness(&proxy)?;
        drop(proxy);
        match ground.start_datagrams(self.name)? {
            Some(proxy) => self.datagrams(&proxy),
            None => Ok(()),
        }
    }

    fn datagrams(&mut self, proxy: &Running) -> io::Result<()> {
        let time = self.plan.piece.as_millis();
        let single =
            self.on_one_core(proxy, |one| load(&load_words!("datagrams1", proxy.port, time), one))?;
        self.sample("udp1.p50_us", number(&single, "p50_us"));
        self.raw("udp1", &single);
        let before = cpu(proxy);
        let mut found = load(&load_words!("datagrams", proxy.port, 16, time), None)?;
        let per = (cpu(proxy) - before) * 1e6 / number(&found, "answered");
        found["proxy_cpu_us_each"] = json!(per);
        self.sample("udp16.per_second", number(&found, "per_second"));
        self.sample("udp16.cpu_us", per);
        self.raw("udp16", &found);
        Ok(())
    }

    fn idle_connections(&mut self, proxy: &Running) -> io::Result<()> {
        let Some(group) = &proxy.group else { return Ok(()) };
        let empty = group.memory_kib("Pss_Anon");
        let fds = group.fds();
        self.sample("idle.pss_mib", group.memory_kib("Pss") / 1024.0);
        self.sample("memory.at.0", empty);
        let mut holders = Vec::new();
        let mut held = 0;
        for step in self.plan.idle_steps {
            let wanted = holds(self.name, *step);
            if wanted == held {
                continue;
            }
            holders.push(hold(proxy.port, wanted - held)?);
            held = wanted;
            thread::sleep(SETTLE);
            let memory = group.memory_kib("Pss_Anon");
            self.sample(&format!("memory.at.{held}"), memory);
            if held == holds(self.name, MANY) {
                self.sample("idle.bytes_per_conn", (memory - empty) * 1024.0 / held as f64);
                self.sample("idle.fds_per_conn", (group.fds() - fds) / held as f64);
                self.down(proxy, 1, "bulk_idle")?;
            }
            self.raw("idle", &json!({ "held": held, "pss_anon_kib": memory, "empty_kib": empty }));
        }
        for holder in &mut holders {
            holder.release();
            holder.wait()?;
        }
        Ok(())
    }

    /// Downloads for about the piece's length, as much as a short try suggests.
    fn down(&mut self, proxy: &Running, connections: usize, metric: &str) -> io::Result<()> {
        let per_connection = |bytes: f64| ((bytes / connections as f64) as u64).max(4 << 20);
        let try_out = load(&load_words!("down", proxy.port, connections, 8 << 20), None)?;
        let rate = rate(&try_out);
        let bytes = per_connection(rate * GIB * self.plan.piece.as_secs_f64());
        let before = cpu(proxy);
        let found = load(&load_words!("down", proxy.port, connections, bytes), None)?;
        self.bulk_samples(&format!("{metric}{connections}"), &found, cpu(proxy) - before);
        Ok(())
    }

    fn up(&mut self, proxy: &Running, connections: usize) -> io::Result<()> {
        let before = cpu(proxy);
        let time = self.plan.piece.as_millis();
        let found = load(&load_words!("up", proxy.port, connections, time), None)?;
        self.bulk_samples(&format!("up{connections}"), &found, cpu(proxy) - before);
        Ok(())
    }

    fn bulk_samples(&mut self, metric: &str, found: &Value, cpu: f64) {
        let gib = found["bytes"].as_f64().unwrap_or(0.0) / GIB;
        let whole = number(found, "whole") / number(found, "connections");
        self.sample(&format!("{metric}.gibps"), rate(found));
        self.sample(&format!("{metric}.cpu_per_gib"), cpu / gib);
        self.sample(&format!("{metric}.whole"), whole);
        let mut found = found.clone();
        found["proxy_cpu_seconds"] = json!(cpu);
        self.raw(metric, &found);
    }

    /// Everybody on one core: free to wander, two processes sometimes share one and sometimes do
    /// not, and the distribution has two humps.
    fn on_one_core<T>(
        &self,
        proxy: &Running,
        measure: impl FnOnce(Option<&[usize]>) -> io::Result<T>,
    ) -> io::Result<T> {
        let one = [0];
        let all: Vec<usize> = (0..std::thread::available_parallelism()?.get()).collect();
        let place = |cpus: &[usize]| {
            self.backend.pids().into_iter().for_each(|pid| pin(pid, cpus));
            proxy.group.as_ref().inspect(|group| group.pin(cpus));
        };
        place(&one);
        let found = measure(Some(&one));
        place(&all);
        found
    }

    fn round_trips(&mut self, proxy: &Running) -> io::Result<()> {
        let time = self.plan.piece.as_millis();
        let (whole, split) = self.on_one_core(proxy, |one| {
            let whole = load(&load_words!("single", proxy.port, time), one)?;
            Ok((whole, load(&load_words!("split", proxy.port, time), one)?))
        })?;
        self.raw("single", &whole);
        self.raw("split", &split);
        self.sample("single.p50_us", number(&whole, "p50_us"));
        self.sample("single.p99_us", number(&whole, "p99_us"));
        self.sample("split.p50_us", number(&split, "p50_us"));
        let percentiles = whole["percentiles_us"].as_array().cloned().unwrap_or_default();
        for (percent, value) in crate::load::PERCENTILES.iter().zip(&percentiles) {
            self.sample(&format!("latency.at.{percent}"), value.as_f64().unwrap_or(f64::NAN));
        }
        Ok(())
    }

    fn rates(&mut self, proxy: &Running) -> io::Result<()> {
        let time = self.plan.piece.as_millis();
        let calls = || proxy.engine.as_ref().map_or(0, crate::fake_engine::FakeEngine::calls);
        let calls_before = calls();
        for (metric, words) in [
            ("kept64", load_words!("kept", proxy.port, 64, time).to_vec()),
            ("connect", load_words!("connect", proxy.port, time).to_vec()),
        ] {
            let before = cpu(proxy);
            let mut found = load(&words, None)?;
            let per = (cpu(proxy) - before) * 1e6 / number(&found, "answered");
            found["proxy_cpu_us_each"] = json!(per);
            self.sample(&format!("{metric}.per_second"), number(&found, "per_second"));
            self.sample(&format!("{metric}.cpu_us"), per);
            self.sample(&format!("{metric}.lost"), number(&found, "lost"));
            self.raw(metric, &found);
        }
        if proxy.engine.is_some() {
            self.sample("engine_calls", (calls() - calls_before) as f64);
        }
        Ok(())
    }

    fn correctness(&mut self, proxy: &Running) -> io::Result<()> {
        let halves = load(&load_words!("halves", proxy.port, 10), None)?;
        self.sample("halves", number(&halves, "replies") / number(&halves, "connections"));
        self.raw("halves", &halves);
        let echo = load(&load_words!("echo", proxy.port, self.plan.echo_bytes), None)?;
        self.sample("echo", f64::from(u8::from(echo["whole"] == json!(true))));
        self.raw("echo", &echo);
        Ok(())
    }

    fn sample(&mut self, metric: &str, value: f64) {
        self.record.sample(metric, self.name, self.round, value);
    }

    fn raw(&mut self, what: &str, found: &Value) {
        self.record.raw(what, self.name, self.round, found);
    }
}

/// Holds so many connections, each of which has asked once, until it is released.
pub(crate) fn hold(port: u16, connections: usize) -> io::Result<Group> {
    let mut words = vec![own_path()?, "load".into()];
    words.extend(load_words!("hold", port, connections));
    let mut holder = Group::start(&words, User::Ours, Stdio::piped())?;
    first_line(&mut holder)?;
    Ok(holder)
}

fn cpu(proxy: &Running) -> f64 {
    proxy.group.as_ref().map_or(f64::NAN, Group::cpu_seconds)
}

fn rate(found: &Value) -> f64 {
    number(found, "bytes") / GIB / number(found, "seconds")
}

fn number(found: &Value, key: &str) -> f64 {
    found[key].as_f64().unwrap_or(f64::NAN)
}
