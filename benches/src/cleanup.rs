//! Nothing stays behind: not at the end, not after an error, not after a signal.
//!
//! Processes of a run are told by the kernel to end with it (see [`crate::process`]); the rest is
//! in one list that the end and the signals share.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Something to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leftover {
    Dir(PathBuf),
    Cgroup(PathBuf),
    /// A command line that removes it, such as `docker rm -f NAME`.
    Command(Vec<String>),
}

static LEFT: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

pub(crate) fn later(what: Leftover) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

/// Removes one thing now.
pub(crate) fn now(what: &Leftover) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).retain(|left| left != what);
    remove(what);
}

fn everything() {
    let left = std::mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner));
    for what in left.iter().rev() {
        remove(what);
    }
}

fn remove(what: &Leftover) {
    match what {
        Leftover::Dir(path) => drop(fs::remove_dir_all(path)),
        Leftover::Cgroup(path) => {
            // The kernel takes a moment to bury the last process.
            for _ in 0..50 {
                if fs::remove_dir(path).is_ok() || !path.exists() {
                    return;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        Leftover::Command(words) => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null());
            drop(command.status());
        }
    }
}

/// Cleans up on SIGINT and SIGTERM, then ends.
pub(crate) fn on_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        crate::process::kill_all();
        everything();
        std::process::exit(130);
    });
    Ok(())
}

/// A directory of the run's own; with it goes everything that is left.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("odb-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        later(Leftover::Dir(path.clone()));
        Ok(Self { path })
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        crate::process::kill_all();
        everything();
    }
}
