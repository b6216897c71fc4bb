//! The orchestrator's command line.

use std::env::consts::ARCH;
use std::io;
use std::path::PathBuf;

const USAGE: &str = "\
usage: ondemand-bench [--quick | --full | --figures | --serve NAME] [--install] [option...]

  --quick             three short rounds, about a minute (the default)
  --full              seven rounds of seconds, for the record; writes docs/bench-*.svg
  --figures           only the three figures of the README, as Markdown lines
  --serve NAME        start one contender, say where, and hold it until standard input ends:
                      for strace, perf and `ondemand-bench load`
  --install           apt-install haproxy, nginx, socat first (root, Debian); alone: only that
  --daemon PATH       the daemon's binary
  --only A,B          only these contenders (direct and ondemand always take part)
  --parts A,B         only these parts: data, cold, storms, scale
  --rounds N          so many rounds
  --seed N            the order of the contenders";

pub(crate) struct Args {
    pub(crate) mode: Mode,
    pub(crate) install: bool,
    pub(crate) daemon: PathBuf,
    /// Whom to serve with.
    pub(crate) serve: String,
    pub(crate) only: Vec<String>,
    pub(crate) parts: Vec<String>,
    pub(crate) rounds: Option<usize>,
    pub(crate) seed: u64,
    /// The repository.
    pub(crate) root: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Quick,
    Full,
    Figures,
    Serve,
    InstallOnly,
}

impl Args {
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

pub(crate) fn parse(words: &[String]) -> io::Result<Args> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut mode = None;
    let mut args = Args {
        mode: Mode::Quick,
        install: false,
        daemon: root.join(format!("target/{ARCH}-unknown-linux-gnu/release/ondemand-container")),
        serve: String::new(),
        only: Vec::new(),
        parts: Vec::new(),
        rounds: None,
        seed: crate::clock::now_ns(),
        root,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| wrong(word));
        match word.as_str() {
            "--quick" => mode = Some(Mode::Quick),
            "--full" => mode = Some(Mode::Full),
            "--figures" => mode = Some(Mode::Figures),
            "--serve" => {
                args.serve.clone_from(value()?);
                mode = Some(Mode::Serve);
            }
            "--install" => args.install = true,
            "--daemon" => args.daemon = value()?.into(),
            "--only" => args.only = list(value()?),
            "--parts" => args.parts = list(value()?),
            "--rounds" => args.rounds = Some(value()?.parse().map_err(|_| wrong(word))?),
            "--seed" => args.seed = value()?.parse().map_err(|_| wrong(word))?,
            _ => return Err(wrong(word)),
        }
    }
    args.mode = mode.unwrap_or(if args.install { Mode::InstallOnly } else { Mode::Quick });
    Ok(args)
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::to_owned).collect()
}

fn wrong(word: &str) -> io::Error {
    io::Error::other(format!("{word}: not understood\n{USAGE}"))
}
