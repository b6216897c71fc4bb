//! Whether anybody needs the process.

use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Host;
use crate::activation::Phase;
use crate::clock;
use crate::driver::ServiceHandle;

/// How soon a sleeping service with connections is looked at again.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// Those who use one service.
pub(super) struct User {
    handle: ServiceHandle,
    connected: Box<dyn Fn() -> usize + Send + Sync>,
}

impl User {
    /// Whether somebody is connected, or uses the service or waits for it: an administrator has no
    /// connection.
    pub(super) fn is_there(&self) -> bool {
        let status = self.handle.status();
        status.leases > 0 || status.waiting > 0 || (self.connected)() > 0
    }

    fn lets_it_sleep(&self) -> bool {
        let status = self.handle.status();
        let rests = matches!(status.phase, Phase::Asleep { .. } | Phase::Failed(_));
        rests && status.leases == 0 && status.waiting == 0
    }
}

/// Of all services; of none if it is of no account.
pub(super) fn users(host: &Host) -> Vec<User> {
    if host.plan.exit_idle_time.is_none() {
        return Vec::new();
    }
    let user = |service: &super::Running| User {
        handle: service.handle.clone(),
        connected: Box::new(service.server.connected()),
    };
    host.running.values().map(user).collect()
}

/// Waits until all services have slept, with nobody connected, for `time`; for ever without one.
pub(super) async fn slept_unused(users: Vec<User>, time: Option<Duration>) {
    let Some(time) = time else { return std::future::pending().await };
    let mut changes: Vec<_> = users.iter().map(|user| user.handle.changes()).collect();
    let mut since: Option<Instant> = None;
    loop {
        changes.iter_mut().for_each(watch::Receiver::mark_unchanged);
        let asleep = users.iter().all(User::lets_it_sleep);
        let unused = asleep && !users.iter().any(User::is_there);
        // A look that finds it asleep still is a change that changes nothing.
        since = if unused { since.or_else(|| Some(clock::instant())) } else { None };
        let over = async {
            match since {
                Some(since) => sleep(time.saturating_sub(since.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            if changes.is_empty() {
                return std::future::pending().await;
            }
            select_all(changes.iter_mut().map(|changes| Box::pin(changes.changed()))).await.0
        };
        tokio::select! {
            changed = changed => if changed.is_err() { return },
            () = over => return,
            // A task ends a moment after its lease, which nothing tells.
            () = sleep(LAST_TASKS), if asleep && !unused => {}
        }
    }
}
