//! The last lines of a unit, from the journal.
//!
//! By `journalctl`, a child that is only there while a failed wake is reported: the journal's files
//! are for its own library, which would be one more thing to link to.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::bus::Manager;
use crate::engine::{EngineError, Sent, TargetName, plain};

/// A large journal on a slow disk takes a second; a report is not worth more than a few.
const LIMIT: Duration = Duration::from_secs(5);

/// journald stores a line some time after it was written.
const STORED_WITHIN: Duration = Duration::from_millis(300);

/// The last `lines` that the journal has of the unit, oldest first.
pub(super) async fn last_lines(
    manager: Manager,
    name: &TargetName,
    lines: u8,
) -> Result<Vec<String>, EngineError> {
    let unit = match manager {
        Manager::System => "--unit",
        Manager::User => "--user-unit",
    };
    // These are the last words of what has just ended, and nobody waits for them.
    sleep(STORED_WITHIN).await;
    let output = Command::new("journalctl")
        .args(["--no-pager", "--quiet", "--output=cat", "--lines", &lines.to_string()])
        .args([unit, name.as_str()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let unread = |reason: String| EngineError::Unavailable { reason, sent: Sent::Maybe };
    match timeout(LIMIT, output).await {
        Err(_) => Err(unread(format!("journalctl takes longer than {} s", LIMIT.as_secs()))),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Ok(Err(error)) => Err(unread(format!("journalctl: {error}"))),
        Ok(Ok(output)) if !output.status.success() => {
            let why = plain(&String::from_utf8_lossy(&output.stderr));
            Err(unread(format!("journalctl: {why} (the group systemd-journal may read it)")))
        }
        Ok(Ok(output)) => {
            Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
        }
    }
}
