//! `advise`: what other windows and depths of sleep would have been, by what has been.

mod args;
mod past;
mod plot;
mod rows;
mod stamp;
mod table;

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;

pub use args::AdviseArgs;

use super::Failure;
use crate::config::rules::Auto;
use crate::economy::{Scene, Terms};
use past::Past;
use rows::Advice;

/// Taken where neither the history nor an option tells.
const USUAL_START: Duration = Duration::from_secs(3);
const USUAL_MEMORY: u64 = 512 << 20;

/// Replays, and prints a table.
pub(super) fn advise(args: &AdviseArgs) -> Result<(), Failure> {
    if args.idle_min > args.idle_max {
        let text = "--idle-min is longer than --idle-max: no window lies between them";
        return Err(Failure::config(anyhow::anyhow!(text)));
    }
    let past = match &args.history {
        Some(path) => past::of_history(path, args.name.as_deref()),
        None => past::of_logs(&args.log),
    };
    let past = past.map_err(Failure::runtime)?;
    let start = args.cold_start.or(past.start).unwrap_or(USUAL_START);
    let memory = args.memory.or(past.freed).unwrap_or(USUAL_MEMORY);
    let scene = scene(args, start, memory);
    let advice = Advice::new(&past, args, &scene, memory);
    let text = if args.json { advice.json() } else { Ok(table::table(&advice)) };
    let text = text.map_err(Failure::runtime)?;
    if let Some(path) = &args.plot {
        let svg = plot::svg(&past, &advice, &scene);
        let written = fs::write(path, svg);
        let written = written.with_context(|| format!("{} cannot be written", path.display()));
        written.map_err(Failure::runtime)?;
    }
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::runtime(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn scene(args: &AdviseArgs, start: Duration, memory: u64) -> Scene {
    let auto = Auto { least: args.idle_min, most: args.idle_max, worth: args.cold_start_worth };
    let terms = Terms::new(&auto, Some(memory), Some(start));
    Scene { terms, start: start.as_secs_f64(), reclaimed: args.reclaimed }
}
