//! A command on the host that is asked.
//!
//! It runs in a process group of its own, which is killed as a whole when its time is up or nobody
//! waits any more. It reads nothing, and what it writes nobody reads: a flood costs no memory here.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// A killed process is gone within milliseconds, unless it is stuck in the kernel.
const KILLED_WITHIN: Duration = Duration::from_secs(1);

/// The daemon's own business with whoever started it.
const NOT_FOR_OTHERS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Runs it to its end; an error says why that was no yes.
pub(super) async fn run(
    argv: &[String],
    names: &[(&str, &str)],
    limit: Duration,
) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err("there is no command".to_owned());
    };
    // Who listens to it is woken when a child ends, and has it reaped: also one that was let go.
    let _reaping = signal(SignalKind::child());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(names.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value))))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    for variable in NOT_FOR_OTHERS {
        command.env_remove(variable);
    }
    let mut child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
    let mut group = Group::of(&child);
    let ended = timeout(limit, child.wait()).await;
    let Ok(ended) = ended else {
        drop(group);
        // Reaped by us if it can be; else it is when it ends.
        drop(timeout(KILLED_WITHIN, child.wait()).await);
        return Err(format!("{program} has not ended within {} s", limit.as_secs_f32()));
    };
    group.has_ended();
    let status = ended.map_err(|error| format!("{program}: {error}"))?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("{program} says no (status {code})")),
        (None, Some(signal)) => Err(format!("{program} was ended by signal {signal}")),
        (None, None) => Err(format!("{program} has ended without a status")),
    }
}

/// The command's process group, killed when this is dropped before the command was reaped: until then
/// its number is nobody else's.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // There is none any more, if it has just ended.
            _ = kill_process_group(group, Signal::KILL);
        }
    }
}
