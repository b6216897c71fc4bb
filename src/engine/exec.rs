//! Running a command in a container.
//!
//! What it writes is read and dropped, so it never waits for a reader. No engine has a call that ends
//! such a command: one that is given up is killed by its process, where that is on this host and in
//! the container's cgroup; elsewhere it goes on to its own end.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::{sleep, timeout};

use super::api::{Api, Client};
use super::{EngineError, NOT_RUN, Sent, TargetName};
use crate::cgroup;

/// What Docker answers for a program that is missing, as a shell does for one that it may not run.
const NOT_RUN_BY_DOCKER: i64 = 126;

/// The end of the output comes a moment before the exit status.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// And that is enough of a pause.
const LONGEST_BETWEEN_LOOKS: Duration = Duration::from_millis(500);

pub(super) async fn run(
    api: &Api,
    name: &TargetName,
    argv: &[String],
    limit: Duration,
) -> Result<i64, EngineError> {
    let client = api.client().await?;
    let config = ExecConfig {
        cmd: Some(argv.to_vec()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let exec = api.look("exec", client.docker.create_exec(name.as_str(), config)).await?;
    timeout(limit, to_its_end(api, &client, &exec.id)).await.unwrap_or_else(|_| {
        Err(EngineError::Unavailable {
            reason: format!("the command has not ended within {} s", limit.as_secs_f32()),
            sent: Sent::Maybe,
        })
    })
}

async fn to_its_end(api: &Api, client: &Client, id: &str) -> Result<i64, EngineError> {
    let started = api.look("exec start", client.docker.start_exec(id, None)).await;
    let mut output = match started {
        Ok(StartExecResults::Attached { output, .. }) => Some(output),
        Ok(StartExecResults::Detached) => None,
        // The program is missing, which is no fault of the engine's.
        Err(EngineError::Refused { status: 400 | 500, .. }) => return Ok(NOT_RUN),
        Err(error) => return Err(error),
    };
    // Beside the output, which may be a flood.
    let process = Process::default();
    let drained = async {
        // Bytes that make no sense are dropped as others are.
        while let Some(stream) = &mut output
            && stream.next().await.is_some()
        {}
    };
    tokio::select! {
        () = drained => {}
        error = find(api, client, id, &process) => return Err(error),
    }
    loop {
        let seen = api.look("exec", client.docker.inspect_exec(id)).await?;
        if seen.running != Some(true)
            && let Some(code) = seen.exit_code
        {
            process.set(None);
            let never_was = seen.pid.is_none_or(|pid| pid == 0);
            return Ok(if code == NOT_RUN_BY_DOCKER && never_was { NOT_RUN } else { code });
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Finds the command's process: an engine knows it a moment after it has answered the start. Ends only
/// if the engine cannot be asked.
async fn find(api: &Api, client: &Client, id: &str, process: &Process) -> EngineError {
    let mut pause = BETWEEN_LOOKS;
    loop {
        let seen = match api.look("exec", client.docker.inspect_exec(id)).await {
            Ok(seen) => seen,
            Err(error) => return error,
        };
        let pid = seen.pid.filter(|pid| *pid > 0 && seen.running == Some(true));
        if let Some(pid) = pid {
            process.set(descriptor_of(pid, &seen.container_id.unwrap_or_default()));
        }
        if pid.is_some() || seen.exit_code.is_some() {
            return std::future::pending().await;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_BETWEEN_LOOKS);
    }
}

/// The process that the engine calls `pid`, if it is one of that container as seen from here: of an
/// engine elsewhere the number is of somebody else. The descriptor is taken first, so what is then
/// found out about the number holds for it.
fn descriptor_of(pid: i64, container: &str) -> Option<OwnedFd> {
    let number = u32::try_from(pid).ok()?;
    let descriptor = pidfd_open(Pid::from_raw(pid.try_into().ok()?)?, PidfdFlags::empty()).ok()?;
    cgroup::is_of(Path::new(cgroup::PROC), number, container).then_some(descriptor)
}

/// The command's process, killed when this is dropped before it has ended.
#[derive(Debug, Default)]
struct Process(Mutex<Option<OwnedFd>>);

impl Process {
    fn set(&self, descriptor: Option<OwnedFd>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = descriptor;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(descriptor) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // Not permitted, or over: then it goes on to its own end, or has come to it.
            _ = pidfd_send_signal(descriptor, Signal::KILL);
        }
    }
}
