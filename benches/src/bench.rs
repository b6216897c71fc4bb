//! Measures ondemand-container beside other proxies: `cargo run --release -- --quick`.
//!
//! One binary is everything: without a subcommand the orchestrator, and as `backend`, `load` and
//! `tokio-proxy` the processes that it starts.

mod args;
mod backend;
mod cleanup;
mod clock;
mod contender;
mod engine;
mod fake_engine;
mod figures;
mod goals;
mod http;
mod install;
mod load;
mod machine;
mod measure;
mod plot;
mod process;
mod record;
mod report;
mod run;
mod tap;
mod tokio_proxy;
mod wire;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use args::{Args, Mode};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ondemand-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[String]) -> io::Result<()> {
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    let port = |index: usize| number(index).unwrap_or(0) as u16;
    match words.first().map(String::as_str) {
        Some("backend") => {
            machine::raise_fd_limit();
            let backlog = number(2).unwrap_or(4096) as i32;
            backend::run(port(1), backlog, Duration::from_millis(number(3).unwrap_or(0)))
        }
        Some("load") => {
            machine::raise_fd_limit();
            load::run(&words[1..]).map(|answer| println!("{answer}"))
        }
        Some("tokio-proxy") => tokio_proxy::run(port(1), port(2)),
        _ => orchestrate(&args::parse(words)?),
    }
}

fn orchestrate(args: &Args) -> io::Result<()> {
    cleanup::on_signals()?;
    if args.install {
        install::install()?;
    }
    let scratch = cleanup::Scratch::new()?;
    match args.mode {
        Mode::InstallOnly => Ok(()),
        Mode::Figures => figures::print(args, &scratch),
        Mode::Serve => run::serve(args, &scratch),
        Mode::Quick | Mode::Full => run::run(args, &scratch),
    }
}
