//! Telling systemd how it goes (`sd_notify(3)`). Does nothing without `NOTIFY_SOCKET`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::select_all;
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
pub async fn keep_status(services: &BTreeMap<String, ServiceHandle>) -> Infallible {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let mut changes: Vec<_> = services.values().map(ServiceHandle::changes).collect();
    loop {
        notify(&[NotifyState::Status(&summary(services))]);
        // The changes of a pause are one.
        sleep(STATUS_PAUSE).await;
        let changed = changes.iter_mut().map(|changes| Box::pin(changes.changed()));
        if select_all(changed).await.0.is_err() {
            return std::future::pending().await;
        }
    }
}

/// What all of them are doing: of one, everything; of several, how many are awake.
fn summary(services: &BTreeMap<String, ServiceHandle>) -> String {
    if let (1, Some((name, service))) = (services.len(), services.first_key_value()) {
        return line(name, service.status());
    }
    let all: Vec<Status> = services.values().map(ServiceHandle::status).collect();
    let sleeps = |status: &&Status| matches!(status.phase, Phase::Asleep(_));
    let fails = |status: &&Status| matches!(status.phase, Phase::Failed(_));
    let failed = match all.iter().filter(fails).count() {
        0 => String::new(),
        failed => format!(", {failed} failed to wake"),
    };
    format!(
        "{} of {} services asleep{failed}, {} connections, {} waiting",
        all.iter().filter(sleeps).count(),
        all.len(),
        all.iter().map(|status| status.leases).sum::<u32>(),
        all.iter().map(|status| status.waiting).sum::<usize>(),
    )
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
