//! What the process tests stand on: a scripted engine, an application that listens only while its
//! container runs, the daemon as a child process, and clients.
//!
//! Nothing here sleeps to let something happen: every wait is for a condition, and a wait that is
//! not met names it.

pub(crate) mod admin;
pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod container;
pub(crate) mod daemon;
pub(crate) mod datagrams;
pub(crate) mod engine;
pub(crate) mod header;
pub(crate) mod http;
pub(crate) mod launch;
pub(crate) mod notify;
pub(crate) mod port;
pub(crate) mod scene;
pub(crate) mod systemd;
pub(crate) mod tls;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait may last before the test fails. Far longer than anything scripted here takes,
/// because the machine may be busy with a compiler.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The present moment.
#[expect(clippy::disallowed_methods, reason = "the tests measure the real daemon in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds, short because nearly every test scripts some.
pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Waits until `check` gives something; panics with `what` when [`PATIENCE`] is over.
pub(crate) fn wait_for<T>(what: &str, check: impl FnMut() -> Option<T>) -> T {
    wait_for_within(PATIENCE, what, check)
}

/// As [`wait_for`], for what takes its time.
pub(crate) fn wait_for_within<T>(
    limit: Duration,
    what: &str,
    mut check: impl FnMut() -> Option<T>,
) -> T {
    let since = now();
    loop {
        // Asked first: however long the machine stands still, a look follows the limit.
        let late = since.elapsed() >= limit;
        if let Some(found) = check() {
            return found;
        }
        assert!(!late, "waited {limit:?} in vain: {what}");
        thread::sleep(ms(1));
    }
}

/// Waits until `check` holds.
pub(crate) fn wait_until(what: &str, mut check: impl FnMut() -> bool) {
    wait_for(what, || check().then_some(()));
}

/// Watches for `span` that `check` holds all the time: for things that must *not* happen.
pub(crate) fn holds_for(span: Duration, what: &str, mut check: impl FnMut() -> bool) {
    let since = now();
    while since.elapsed() < span {
        assert!(check(), "did not hold for {span:?}: {what}");
        thread::sleep(ms(2));
    }
}

/// Locks even after another thread panicked: the first failure is the one worth reading.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory of one test, gone with it.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// Makes a new one. The path is short: a Unix socket's address has 107 bytes at most.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("odc-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // In memory, where there is some: a busy disk takes seconds for what a test waits for.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = place.join(name);
        // Left behind by a killed test that had our number.
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        Self(path)
    }

    /// A path in it.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
