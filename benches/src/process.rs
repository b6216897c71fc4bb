//! The processes of one contender: started together, accounted together, ended together.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, geteuid, kill_process_group, waitpgid};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::cleanup::{self, Leftover};

/// Debian's `nobody`.
const NOBODY: &str = "65534";

/// As whom a process runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Ours,
    /// Nobody, if we are root: so do proxies in the field, and pipes are rationed for them.
    Nobody,
}

/// Process groups that live.
static LIVE: Mutex<Vec<i32>> = Mutex::new(Vec::new());
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A process and all of its descendants.
pub(crate) struct Group {
    child: Child,
    /// Where the kernel counts their processor time, if we may have that.
    cgroup: Option<PathBuf>,
}

impl Group {
    /// Starts `words`. The kernel kills the process when this one ends without a word.
    pub(crate) fn start(words: &[String], user: User, output: Stdio) -> io::Result<Self> {
        let cgroup = make_cgroup();
        let join = match &cgroup {
            Some(path) => format!("echo $$ >{}/cgroup.procs; ", path.display()),
            None => String::new(),
        };
        let become_nobody = if user == User::Nobody && geteuid().is_root() {
            format!("--reuid={NOBODY} --regid={NOBODY} --clear-groups ")
        } else {
            String::new()
        };
        let script = format!("{join}exec setpriv --pdeathsig KILL {become_nobody}-- \"$@\"");
        let child = Command::new("sh")
            .args(["-c", &script, "sh"])
            .args(words)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(Stdio::inherit())
            .spawn()?;
        LIVE.lock().unwrap_or_else(PoisonError::into_inner).push(child.id().cast_signed());
        Ok(Self { child, cgroup })
    }

    pub(crate) fn start_logged(words: &[String], user: User, log: &Path) -> io::Result<Self> {
        // The daemon logs on standard error, others on either.
        let line = format!("exec \"$@\" >{} 2>&1", log.display());
        let mut all = vec!["sh".to_owned(), "-c".to_owned(), line, "sh".to_owned()];
        fs::File::create(log)?;
        fs::set_permissions(log, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        all.extend_from_slice(words);
        Self::start(&all, user, Stdio::null())
    }

    /// Its standard output, line by line; `None` the second time.
    pub(crate) fn lines(&mut self) -> Option<BufReader<ChildStdout>> {
        self.child.stdout.take().map(BufReader::new)
    }

    /// Ends its standard input.
    pub(crate) fn release(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn wait(&mut self) -> io::Result<()> {
        self.child.wait().map(drop)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let from_cgroup = self.cgroup.as_ref().and_then(|path| {
            let text = fs::read_to_string(path.join("cgroup.procs")).ok()?;
            Some(text.lines().filter_map(|line| line.parse().ok()).collect())
        });
        from_cgroup.unwrap_or_else(|| vec![self.child.id()])
    }

    /// Processor seconds so far, those of ended children included.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let Some(path) = &self.cgroup else { return schedstat(self.child.id()) };
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        if let Ok(nanos) = read("cpuacct.usage").trim().parse::<f64>() {
            return nanos / 1e9;
        }
        let stat = read("cpu.stat");
        let micros = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        micros.and_then(|micros| micros.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e6
    }

    /// A figure of all `smaps_rollup`s, in KiB: `Pss`, `Pss_Anon`.
    pub(crate) fn memory_kib(&self, name: &str) -> f64 {
        let of = |pid: u32| -> f64 {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0)
        };
        self.pids().into_iter().map(of).sum()
    }

    pub(crate) fn fds(&self) -> f64 {
        let of = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.pids().into_iter().map(of).sum::<usize>() as f64
    }

    /// Restricts all of its threads to `cpus`.
    pub(crate) fn pin(&self, cpus: &[usize]) {
        for pid in self.pids() {
            pin(pid, cpus);
        }
    }
}

/// Restricts all threads of a process to `cpus`; one that has ended meanwhile does not matter.
pub(crate) fn pin(pid: u32, cpus: &[usize]) {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for task in tasks.flatten() {
        let name = task.file_name();
        let tid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let _ended = sched_setaffinity(tid, &set);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.child.id().cast_signed();
        if let Some(group) = Pid::from_raw(id) {
            // Politely first: a master then buries its own workers.
            let _gone = kill_process_group(group, Signal::TERM);
            let began = Instant::now();
            while !self.has_ended() && began.elapsed() < Duration::from_millis(150) {
                thread::sleep(Duration::from_millis(2));
            }
            let _gone = kill_process_group(group, Signal::KILL);
            drop(self.child.wait());
            // What it has left us, being its subreaper.
            while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
        }
        LIVE.lock().unwrap_or_else(PoisonError::into_inner).retain(|live| *live != id);
        if let Some(path) = &self.cgroup {
            cleanup::now(&Leftover::Cgroup(path.clone()));
        }
    }
}

/// Kills what lives: for the end by a signal.
pub(crate) fn kill_all() {
    for id in std::mem::take(&mut *LIVE.lock().unwrap_or_else(PoisonError::into_inner)) {
        if let Some(group) = Pid::from_raw(id) {
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs this binary's load generator and hands back what it found.
pub(crate) fn load(words: &[String], cpus: Option<&[usize]>) -> io::Result<serde_json::Value> {
    let mut all = vec![own_path()?, "load".to_owned()];
    all.extend_from_slice(words);
    let mut command = Command::new(&all[0]);
    if let Some(cpus) = cpus {
        let list: Vec<String> = cpus.iter().map(ToString::to_string).collect();
        command = Command::new("taskset");
        command.args(["-c", &list.join(","), &all[0]]);
    }
    let output = command.args(&all[1..]).stderr(Stdio::inherit()).output()?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| io::Error::other(format!("load {}: {error}", words.join(" "))))
}

pub(crate) fn own_path() -> io::Result<String> {
    Ok(std::env::current_exe()?.display().to_string())
}

/// Reads one line of a process that was started with a pipe.
pub(crate) fn first_line(group: &mut Group) -> io::Result<String> {
    let mut line = String::new();
    let mut lines = group.lines().ok_or_else(|| io::Error::other("no standard output"))?;
    lines.read_line(&mut line)?;
    // Kept open: whoever writes to a closed pipe ends.
    std::mem::forget(lines);
    Ok(line.trim().to_owned())
}

fn make_cgroup() -> Option<PathBuf> {
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let name = format!("ondemand-bench-{}-{serial}", std::process::id());
    let unified = Path::new("/sys/fs/cgroup");
    let parent = if unified.join("cgroup.controllers").exists() {
        unified.to_owned()
    } else {
        unified.join("cpuacct")
    };
    let path = parent.join(name);
    fs::create_dir(&path).ok()?;
    cleanup::later(Leftover::Cgroup(path.clone()));
    Some(path)
}

/// Seconds on a processor of all threads of one process.
fn schedstat(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return f64::NAN };
    let of = |path: PathBuf| -> f64 {
        let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0)
    };
    tasks.flatten().map(|task| of(task.path())).sum::<f64>() / 1e9
}

/// The words of one load, of whatever can be shown.
#[macro_export]
macro_rules! load_words {
    ($($word:expr),+ $(,)?) => { [$($word.to_string()),+] };
}
