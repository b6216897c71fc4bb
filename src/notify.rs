//! Telling systemd how it goes (`sd_notify(3)`). Does nothing without `NOTIFY_SOCKET`.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;

use crate::activation::{Phase, Rest};
use crate::driver::{ServiceHandle, Status};

/// A status line is written at most this often.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// Sends one message; that nobody listens is no fault of ours.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager cannot be notified");
    }
}

/// Keeps the status line true, for ever.
pub async fn keep_status(service: &ServiceHandle, name: &str) -> Infallible {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let mut changes = service.changes();
    loop {
        notify(&[NotifyState::Status(&line(name, service.status()))]);
        // The changes of a pause are one.
        sleep(STATUS_PAUSE).await;
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Tells the watchdog that the runtime turns, twice in the time it allows, for ever.
pub async fn keep_watchdog_calm() -> Infallible {
    let Some(allowed) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = interval(allowed / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

/// What it is doing, in a line.
fn line(name: &str, status: Status) -> String {
    let phase = match status.phase {
        Phase::Unknown => "not looked at yet",
        Phase::Asleep(Rest::Stopped) => "asleep",
        Phase::Asleep(Rest::Paused) => "asleep (paused)",
        Phase::Asleep(Rest::Missing) => "missing",
        Phase::Starting { .. } => "starting",
        Phase::Probing { .. } => "started, not ready yet",
        Phase::Awake { .. } => "awake",
        Phase::Found { .. } => "awake, not asked yet",
        Phase::Stopping => "stopping",
        Phase::Failed(_) => "failed to wake",
    };
    format!("{name}: {phase}, {} connections, {} waiting", status.leases, status.waiting)
}
