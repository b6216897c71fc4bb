//! Thousands of clients within one start, and a server that can queue nine.

use std::io;

use serde_json::json;

use super::Plan;
use super::scripted::{Sleeper, wait_for};
use crate::clock::{ms_between, now_ns};
use crate::contender::{Ground, OURS};
use crate::load_words;
use crate::process::load;
use crate::record::Record;

struct Storm {
    name: &'static str,
    clients: u64,
    /// They come within so many milliseconds,
    over_ms: u64,
    /// of a start that takes so long.
    boot_ms: u64,
    backlog: u32,
}

/// Metrics are called after them.
const STORMS: [Storm; 3] = [
    Storm { name: "storm1000", clients: 1000, over_ms: 100, boot_ms: 600, backlog: 4096 },
    Storm { name: "storm9900", clients: 9900, over_ms: 1500, boot_ms: 3000, backlog: 4096 },
    Storm { name: "backlog9", clients: 1000, over_ms: 100, boot_ms: 600, backlog: 9 },
];

/// Who is not served so long after the first client came is lost.
const LIMIT_MS: u64 = 25_000;

pub(crate) fn run(ground: &Ground<'_>, plan: &Plan, record: &mut Record) -> io::Result<()> {
    for storm in &STORMS {
        for round in 0..plan.storms {
            let sleeper = Sleeper::start(ground, storm.backlog, storm.boot_ms)?;
            let began = now_ns();
            let words = load_words!("storm", sleeper.port, storm.clients, storm.over_ms, LIMIT_MS);
            let mut found = load(&words, None)?;
            drop(wait_for(|| sleeper.engine.listening().is_some()));
            let ready = sleeper.engine.listening().unwrap_or(began);
            let last = found["last_answer_ns"].as_u64().unwrap_or(0);
            let after = ms_between(ready, last) / 1e3;
            let lost = found["lost"].as_f64().unwrap_or(f64::NAN);
            found["last_after_ready_s"] = json!(after);
            found["daemon_cpu_seconds"] = json!(sleeper.daemon.cpu_seconds());
            record.raw(storm.name, OURS, round, &found);
            record.sample(&format!("{}.lost", storm.name), OURS, round, lost);
            record.sample(&format!("{}.last_after_ready_s", storm.name), OURS, round, after);
        }
    }
    Ok(())
}
