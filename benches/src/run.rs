//! The whole: rounds over the contenders, wakes, storms, and the summary.

use std::fs;
use std::io::{self, Read};
use std::time::Instant;

use crate::args::{Args, Mode};
use crate::cleanup::Scratch;
use crate::contender::{
    ALL, DIRECT, Ground, HAPROXY_SPLICE, OURS, installed, put_binaries, start_backend,
};
use crate::engine::Engine;
use crate::machine;
use crate::measure::cold::Scene;
use crate::measure::data::Visit;
use crate::measure::{Plan, scale, scripted, storms};
use crate::plot;
use crate::process::Group;
use crate::record::Record;
use crate::report;

pub(crate) fn run(args: &Args, scratch: &Scratch) -> io::Result<()> {
    let began = Instant::now();
    machine::raise_fd_limit();
    let full = args.mode == Mode::Full;
    let mut plan = if full { Plan::FULL } else { Plan::QUICK };
    plan.rounds = args.rounds.unwrap_or(plan.rounds);
    // What a container leaves with init would stay there as zombies where init is a simple one.
    let _old_kernel = rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1));
    let daemon = put_binaries(scratch, &args.daemon)?;
    let mut record = Record::new(&args.root, machine::describe(&args.daemon))?;
    let (backend, port) = start_backend()?;
    let ground = Ground { scratch, daemon, backend: port };
    let load = machine::load();
    if load > 0.5 {
        eprintln!("note: the load average is {load}; figures of a busy machine say little");
    }

    if args.wants("data") {
        let names = contenders(args);
        let mut dice = args.seed | 1;
        for round in 0..plan.rounds {
            for name in shuffled(&names, &mut dice) {
                let record = &mut record;
                let mut visit = Visit { name, round, plan: &plan, record, backend: &backend };
                if let Err(error) = visit.run(&ground) {
                    eprintln!("{name}, round {round}: {error}");
                }
            }
            eprintln!("round {} of {} done, {:.0?}", round + 1, plan.rounds, began.elapsed());
        }
    }
    if args.wants("cold") {
        scripted::readiness(&ground, &plan, &mut record)?;
        let engines = [Engine::docker(), Engine::podman(&args.root, scratch)];
        for engine in engines.into_iter().flatten() {
            let name = engine.name;
            let woken = Scene::new(&ground, engine)
                .and_then(|mut scene| scene.measure(plan.wakes, &mut record));
            if let Err(error) = woken {
                eprintln!("{name}: {error}");
            }
        }
        eprintln!("wakes done, {:.0?}", began.elapsed());
    }
    if args.wants("storms") {
        storms::run(&ground, &plan, &mut record)?;
        eprintln!("storms done, {:.0?}", began.elapsed());
    }

    if args.wants("scale") {
        scale::run(&ground, &plan, &mut record)?;
        eprintln!("many services done, {:.0?}", began.elapsed());
    }

    let (summary, missed) = report::summary(&record);
    println!("{summary}");
    let out = record.path.with_file_name("summary.md");
    fs::write(&out, &summary)?;
    // A quick look does not replace the plots of a record.
    let plots = if full { args.root.join("docs") } else { out.with_file_name("plots") };
    plot::write(&record, &plots)?;
    println!("{missed} goals missed; raw runs in {}", record.path.display());
    Ok(())
}

/// Holds one contender for other tools to look at.
pub(crate) fn serve(args: &Args, scratch: &Scratch) -> io::Result<()> {
    let daemon = put_binaries(scratch, &args.daemon)?;
    let (backend, port) = start_backend()?;
    let ground = Ground { scratch, daemon, backend: port };
    let running = ground.start(&args.serve)?;
    let pids = running.group.as_ref().map(Group::pids);
    println!("port {} pids {:?} backend {:?}", running.port, pids, backend.pids());
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn contenders(args: &Args) -> Vec<&'static str> {
    let wanted = |name: &&str| {
        let always = *name == DIRECT || *name == OURS;
        // A variant that no goal speaks of: for the record only.
        let extra = *name == HAPROXY_SPLICE && args.mode == Mode::Quick;
        always || if args.only.is_empty() { !extra } else { args.only.iter().any(|o| o == name) }
    };
    let (here, missing): (Vec<_>, Vec<_>) =
        ALL.into_iter().filter(wanted).partition(|name| installed(name));
    if !missing.is_empty() {
        eprintln!("not installed: {} (--install brings most)", missing.join(", "));
    }
    here
}

/// Another order in each round: whoever comes after a hot one should not always be the same.
fn shuffled(names: &[&'static str], dice: &mut u64) -> Vec<&'static str> {
    let mut names = names.to_vec();
    for last in (1..names.len()).rev() {
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        names.swap(last, (*dice % (last as u64 + 1)) as usize);
    }
    names
}
