//! Telling systemd how it goes (`sd_notify(3)`). Does nothing without `NOTIFY_SOCKET`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;

use crate::activation::{Phase, Rest};
use crate::admin::Services;
use crate::driver::Status;

/// A status line is written at most this often.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// Sends one message; that nobody listens is no fault of ours.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager cannot be notified");
    }
}

/// Says that the configuration is read anew; [`NotifyState::Ready`] ends that.
pub fn notify_reloading() {
    // Both belong together, since systemd 253 (sd_notify(3)).
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// Keeps the status line true, for ever.
pub async fn keep_status(mut services: watch::Receiver<Services>) -> Infallible {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    loop {
        let now = Arc::clone(&services.borrow_and_update());
        // Subscribed before the look, so that no change falls between the two.
        let mut changes: Vec<_> = now.values().map(|of| of.handle.changes()).collect();
        notify(&[NotifyState::Status(&summary(&now))]);
        // The changes of a pause are one.
        sleep(STATUS_PAUSE).await;
        let changed = async {
            if changes.is_empty() {
                return std::future::pending().await;
            }
            drop(select_all(changes.iter_mut().map(|one| Box::pin(one.changed()))).await);
        };
        tokio::select! {
            () = changed => {}
            renewed = services.changed() => if renewed.is_err() {
                return std::future::pending().await;
            },
        }
    }
}

/// What all of them are doing: of one, everything; of several, how many are awake.
fn summary(services: &Services) -> String {
    if let (1, Some((name, service))) = (services.len(), services.first_key_value()) {
        return line(name, service.handle.status());
    }
    let all: Vec<Status> = services.values().map(|of| of.handle.status()).collect();
    let sleeps = |status: &&Status| matches!(status.phase, Phase::Asleep { .. });
    let fails = |status: &&Status| matches!(status.phase, Phase::Failed(_));
    let failed = match all.iter().filter(fails).count() {
        0 => String::new(),
        failed => format!(", {failed} failed to wake"),
    };
    format!(
        "{} of {} services asleep{failed}, {} connections, {} waiting",
        all.iter().filter(sleeps).count(),
        all.len(),
        all.iter().map(|status| status.leases.saturating_sub(status.pinned)).sum::<u32>(),
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
        Phase::Asleep { rest: Rest::Stopped, .. } => "asleep",
        Phase::Asleep { rest: Rest::Paused, .. } => "asleep (paused)",
        Phase::Asleep { rest: Rest::Missing, .. } => "missing",
        Phase::Starting { .. } => "starting",
        Phase::Probing { .. } => "started, not ready yet",
        Phase::Awake { .. } => "awake",
        Phase::Found { .. } => "awake, not asked yet",
        Phase::Stopping { .. } => "stopping",
        Phase::Failed(_) => "failed to wake",
    };
    let connections = status.leases.saturating_sub(status.pinned);
    format!("{name}: {phase}, {connections} connections, {} waiting", status.waiting)
}
