//! The daemon as a child process: its log, its signals, its end.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test without processes cannot go on, and a failed one shows the daemon's log"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{lock, wait_for, wait_until};

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<Vec<u8>>>>,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Takes over a child whose standard error is piped.
    pub(super) fn new(mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().unwrap();
        let reader = thread::spawn({
            let log = Arc::clone(&log);
            move || collect(stderr, &log)
        });
        Self { child, log, reader: Some(reader) }
    }

    /// The log so far, line by line, lossily.
    pub(crate) fn log(&self) -> Vec<String> {
        let lines = lock(&self.log);
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// How many log lines for the operator, debugging aside, contain all of `words`, whatever
    /// their case.
    pub(crate) fn count_log(&self, words: &[&str]) -> usize {
        let fits = |line: &String| {
            let line = line.to_lowercase();
            !line.contains(" debug ")
                && !line.contains(" trace ")
                && words.iter().all(|word| line.contains(&word.to_lowercase()))
        };
        self.log().iter().filter(|line| fits(line)).count()
    }

    /// Waits for a log line with all of `words`.
    pub(crate) fn wait_log(&self, words: &[&str]) {
        wait_until(&format!("a log line with {words:?}"), || self.count_log(words) > 0);
    }

    /// The control characters in the log: none should be there.
    pub(crate) fn control_characters(&self) -> Vec<u8> {
        let lines = lock(&self.log);
        lines.iter().flatten().copied().filter(u8::is_ascii_control).collect()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end and gives the exit code; death by a signal fails the test. The log is
    /// complete afterwards.
    pub(crate) fn wait_exit(&mut self) -> i32 {
        let status = wait_for("the daemon's end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code().unwrap_or_else(|| panic!("ended by {status}"))
    }

    /// How much memory it has that is no file's, in KiB.
    pub(crate) fn anonymous_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Its children that run, or have ended and were not asked for.
    pub(crate) fn children(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |task: PathBuf| std::fs::read_to_string(task.join("children")).unwrap_or_default();
        let all: String = tasks.map(|task| of(task.unwrap().path())).collect();
        all.split_whitespace().map(str::to_owned).collect()
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// How many descriptors it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Sets the soft limit of open files of the running daemon so that `spare` more can be opened.
    /// The hard one stays: raising that again needs a capability.
    ///
    /// The limit is one of numbers, not of how many are open: those in use may have gaps, and some
    /// far up may be inherited.
    pub(crate) fn squeeze_files(&self, spare: usize) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let used: Vec<u64> =
            open.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect();
        let limit = (0..).filter(|number| !used.contains(number)).nth(spare).unwrap();
        let status = Command::new("prlimit")
            .arg(format!("--pid={}", self.child.id()))
            .arg(format!("--nofile={limit}:"))
            .status()
            .unwrap();
        assert!(status.success(), "prlimit: {status}");
    }

    /// The processor time it has used, in clock ticks (100 a second).
    pub(crate) fn cpu_ticks(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The command name, in parentheses, is the only field that may hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        if thread::panicking() {
            for line in self.log() {
                eprintln!("daemon: {}", line.escape_debug());
            }
        }
    }
}

fn collect(stderr: ChildStderr, log: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if line.ends_with(b"\n") {
                    line.pop();
                }
                lock(log).push(line);
            }
        }
    }
}
