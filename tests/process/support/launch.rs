//! How the daemon is started: flags, environment, inherited sockets, user and limits.
#![allow(clippy::unwrap_used, reason = "a test without processes cannot go on")]

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::daemon::Daemon;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_ondemand-container");

/// A user and group without any right: nobody and nogroup on Debian.
const NOBODY: u32 = 65534;

/// One launch of the binary, to be adjusted and then run.
#[derive(Debug, Default)]
pub(crate) struct Launch {
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    sockets: Vec<OwnedFd>,
    listen_pid: Option<&'static str>,
    watchdog: bool,
    nobody: bool,
    open_files: Option<u32>,
    file_size: Option<u32>,
    trace: Option<PathBuf>,
}

impl Launch {
    /// The bare binary: no flag, an environment with nothing but PATH, and no control socket in the
    /// place that the machine's own daemon may have.
    pub(crate) fn new() -> Self {
        Self::default().env("ONDEMAND_CONTROL", "none")
    }

    /// Adds words to the command line.
    pub(crate) fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable.
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Takes a variable away again.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// Hands over these sockets, two at most, as systemd does.
    pub(crate) fn sockets<I: IntoIterator<Item = OwnedFd>>(mut self, sockets: I) -> Self {
        self.sockets.extend(sockets);
        self
    }

    /// Says this instead of the daemon's own process ID in `LISTEN_PID`.
    pub(crate) fn listen_pid(mut self, pid: &'static str) -> Self {
        self.listen_pid = Some(pid);
        self
    }

    /// Asks for watchdog messages, due every this many microseconds.
    pub(crate) fn watchdog(self, microseconds: u64) -> Self {
        Self { watchdog: true, ..self }.env("WATCHDOG_USEC", microseconds.to_string())
    }

    /// Runs as somebody without any right, if we can; else as we are.
    pub(crate) fn nobody(mut self) -> Self {
        self.nobody = rustix::process::geteuid().is_root();
        self
    }

    /// Sets both limits of open files.
    pub(crate) fn open_files(mut self, limit: u32) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Has no file grow beyond that, in blocks of 512 bytes: writes fail, as on a full disk, instead of
    /// killing it.
    pub(crate) fn file_size(mut self, limit: u32) -> Self {
        self.file_size = Some(limit);
        self
    }

    /// Has strace(1) write its system calls there.
    pub(crate) fn traced(mut self, path: &Path) -> Self {
        self.trace = Some(path.to_owned());
        self
    }

    /// Runs it to its end.
    pub(crate) fn output(self) -> Output {
        let child = self.command().stdout(Stdio::piped()).spawn().unwrap();
        child.wait_with_output().unwrap()
    }

    /// Leaves it running.
    pub(crate) fn spawn(self) -> Daemon {
        let needs = if self.trace.is_some() { "strace" } else { "the binary" };
        let child = self.command().spawn();
        Daemon::new(child.unwrap_or_else(|err| panic!("{needs} cannot be run: {err}")))
    }

    /// The command. A shell puts inherited sockets where systemd does, from 3 up, and fills in the
    /// process ID, which `exec` keeps. The sockets travel as standard input and output, because
    /// only those reach this child and no other that a test beside us starts at the same moment.
    fn command(self) -> Command {
        let pid = self.listen_pid.unwrap_or("$$");
        let count = self.sockets.len();
        let mut script = match count {
            0 => String::new(),
            1 => format!("exec 3<&0 </dev/null; export LISTEN_FDS={count} LISTEN_PID={pid}; "),
            2 => format!(
                "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_FDS={count} LISTEN_PID={pid}; "
            ),
            _ => panic!("more than two sockets do not fit"),
        };
        if self.watchdog {
            script += "export WATCHDOG_PID=$$; ";
        }
        if let Some(limit) = self.open_files {
            script = format!("{script}ulimit -n {limit}; ");
        }
        if let Some(limit) = self.file_size {
            script = format!("{script}trap '' XFSZ; ulimit -f {limit}; ");
        }
        let mut command = if let Some(path) = &self.trace {
            let mut command = Command::new("strace");
            // -D leaves the daemon our child.
            command.args(["-D", "-f", "-qq", "-o"]).arg(path).arg(BINARY);
            command
        } else if script.is_empty() {
            Command::new(BINARY)
        } else {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(script + "exec \"$0\" \"$@\"").arg(BINARY);
            command
        };
        command.args(self.args).env_clear().envs(self.env);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if self.nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut sockets = self.sockets.into_iter();
        command.stdin(sockets.next().map_or_else(Stdio::null, Stdio::from));
        command.stdout(sockets.next().map_or_else(Stdio::null, Stdio::from));
        command.stderr(Stdio::piped());
        command
    }
}
