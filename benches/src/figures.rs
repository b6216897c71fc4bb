//! `--figures`: the three figures of the README, in half a minute, as Markdown lines.

use std::io;

use crate::args::Args;
use crate::cleanup::Scratch;
use crate::contender::{DIRECT, Ground, OURS, put_binaries, start_backend, works};
use crate::engine::Engine;
use crate::load_words;
use crate::measure::cold::Scene;
use crate::process::{Group, load, pin};
use crate::record::Spread;

const WAKES: usize = 9;
const ROUNDS: usize = 9;
const PIECE_MS: u64 = 300;

pub(crate) fn print(args: &Args, scratch: &Scratch) -> io::Result<()> {
    let daemon = put_binaries(scratch, &args.daemon)?;
    let (backend, port) = start_backend()?;
    let ground = Ground { scratch, daemon, backend: port };
    let added = added_latency(&ground, &backend)?;

    let engine = Engine::docker().or_else(|| Engine::podman(&args.root, scratch));
    let engine =
        engine.ok_or_else(|| io::Error::other("no engine with the test image; make setup"))?;
    let engine_name = engine.name;
    let mut scene = Scene::new(&ground, engine)?;
    let memory = scene.pss_mib();
    let mut starts = scene.starts(WAKES + 1)?;
    // The first one reads everything from disk.
    starts.remove(0);

    println!(
        "- cold start ({engine_name}): {} after the engine's own start and the application's boot",
        show(starts, "ms")
    );
    println!("- awake, one small request: {} more than a direct connection", show(added, "µs"));
    println!("- asleep: {memory:.1} MiB of memory (PSS)");
    Ok(())
}

/// The p50 of a request through the daemon minus that of a direct one, round by round, in µs.
fn added_latency(ground: &Ground<'_>, backend: &Group) -> io::Result<Vec<f64>> {
    let direct = ground.start(DIRECT)?;
    let ours = ground.start(OURS)?;
    if !works(ours.port) {
        return Err(io::Error::other("a request through the daemon is not answered"));
    }
    let one = [0];
    backend.pids().into_iter().for_each(|pid| pin(pid, &one));
    ours.group.as_ref().inspect(|group| group.pin(&one));
    let p50 = |port: u16| -> io::Result<f64> {
        let found = load(&load_words!("single", port, PIECE_MS), Some(&one))?;
        Ok(found["p50_us"].as_f64().unwrap_or(f64::NAN))
    };
    (0..ROUNDS).map(|_| Ok(p50(ours.port)? - p50(direct.port)?)).collect()
}

fn show(values: Vec<f64>, unit: &str) -> String {
    match Spread::of(values) {
        Some(s) => format!("{:.1} {unit} ({:.1}–{:.1})", s.median, s.min, s.max),
        None => "not measured".to_owned(),
    }
}
