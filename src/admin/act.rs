//! Wake, sleep, hold, release.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Response, StatusCode};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::Desk;
use super::answer::{Body, json, problem};
use super::holds::HeldBefore;
use super::route::{Asking, Subject};
use crate::activation::Refused;
use crate::clock::unix_time;
use crate::driver::{self, Clients, Kept, Lease, ServiceHandle, Slept, Waker};
use crate::history::Hold;

/// How long an answer may take once there is one.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What the answer to a wake waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Waits {
    /// Nothing: the start is under way.
    #[default]
    ForTheBeginning,
    /// It is awake, or will not be.
    ForTheEnd,
}

/// Wakes it; unused it sleeps again after its idle window.
pub(super) async fn wake(asking: &Asking, subject: Subject, waits: Waits) -> Response<Body> {
    if let Some(ends) = ends(asking) {
        return ends;
    }
    info!(service = subject.name, uid = asking.uid, "a wake is asked for");
    if waits == Waits::ForTheEnd {
        return match acquire(asking, &subject).await {
            Ok(lease) => {
                drop(lease);
                standing(&subject, StatusCode::OK)
            }
            Err(refused) => failure(&subject, refused),
        };
    }
    let Some(waking) = asking.desk.holds.waking(&subject.name) else {
        return standing(&subject, StatusCode::ACCEPTED);
    };
    let handle = subject.service.handle.clone();
    let mut acquiring = Box::pin(async move { handle.wake_as(Waker::Administrator).await });
    tokio::select! {
        biased;
        at_once = &mut acquiring => match at_once {
            Ok(lease) => {
                drop(lease);
                standing(&subject, StatusCode::OK)
            }
            Err(refused) => failure(&subject, refused),
        },
        () = std::future::ready(()) => {
            let ended = asking.desk.draining.clone();
            asking.tasks.spawn(async move {
                // Why it fails is told by the driver.
                tokio::select! {
                    lease = acquiring => drop(lease),
                    () = ended.cancelled() => {}
                }
                drop(waking);
            });
            standing(&subject, StatusCode::ACCEPTED)
        }
    }
}

/// Puts it to sleep without waiting for the end of the idle window; who holds it or uses it is in the
/// way, or is cut off.
pub(super) fn sleep(asking: &Asking, subject: &Subject, clients: Clients) -> Response<Body> {
    let slept = subject.service.handle.sleep(clients);
    let released = match (clients, slept) {
        (Clients::ComeFirst, _) | (_, Slept::Needed) => false,
        (Clients::AreCutOff, Slept::Begins | Slept::Already | Slept::Used | Slept::NotYet) => {
            end_hold(asking, subject)
        }
    };
    let needed = || {
        let by = subject.service.needed_by.join(", ");
        format!("a service that depends on it is awake; put that to sleep first: {by}")
    };
    let why_not = match slept {
        Slept::Begins => {
            info!(
                service = subject.name,
                uid = asking.uid,
                forced = clients == Clients::AreCutOff,
                released,
                "going to sleep, as it was asked to"
            );
            return standing(subject, StatusCode::ACCEPTED);
        }
        Slept::Already => return standing(subject, StatusCode::OK),
        Slept::Needed => needed(),
        Slept::NotYet => "it is being woken, or was not looked at yet: try again".to_owned(),
        Slept::Used => {
            let (view, details) = (subject.view(), subject.service.handle.details());
            let by_the_clock = details.by_the_clock;
            let held = details.kept > u32::from(by_the_clock);
            let pinned = details.status.pinned > 0;
            let reasons = [
                (view.connections > 0).then(|| format!("{} connections use it", view.connections)),
                (view.waiting > 0).then(|| format!("{} wait for it", view.waiting)),
                held.then(|| "it is held, release it first".to_owned()),
                by_the_clock.then(|| {
                    "its hours keep it awake (--awake): only a forced sleep ends that".to_owned()
                }),
                pinned.then(needed),
            ];
            let reasons: Vec<String> = reasons.into_iter().flatten().collect();
            // Who was in the way may have left since.
            if reasons.is_empty() { "it was used just now".to_owned() } else { reasons.join("; ") }
        }
    };
    problem(StatusCode::CONFLICT, format!("{} is not put to sleep: {why_not}", subject.name))
}

/// Wakes it and keeps it awake for `time`, or until it is released.
pub(super) async fn hold(
    asking: &Asking,
    subject: Subject,
    time: Option<Duration>,
) -> Response<Body> {
    if let Some(ends) = ends(asking) {
        return ends;
    }
    let lease = match acquire(asking, &subject).await {
        Ok(lease) => lease.keep(),
        Err(refused) => return failure(&subject, refused),
    };
    let span = time.map(|time| humantime::format_duration(time).to_string());
    info!(service = subject.name, uid = asking.uid, time = span, "held");
    let hold = Hold::new(time.map(|time| unix_time().saturating_add(time)));
    let service = &subject.service.handle;
    keep(&asking.desk, &asking.tasks, &subject.name, service, lease, hold);
    if let Some(ends) = ends(asking) {
        // The end came in between.
        asking.desk.holds.release_all();
        service.remember_hold(None);
        return ends;
    }
    standing(&subject, StatusCode::OK)
}

/// Holds what was held when the last daemon ended, and wakes it if it does not run.
pub(super) fn hold_again(desk: &Arc<Desk>, tasks: &TaskTracker, before: HeldBefore) {
    let HeldBefore { name, service, lease, hold } = before;
    if desk.draining.is_cancelled() {
        return;
    }
    let left = hold.left(unix_time());
    let span = left.map(|left| humantime::format_duration(whole(left)).to_string());
    info!(service = name, time = span, "held, as it was when the last daemon ended");
    keep(desk, tasks, &name, &service, lease, hold);
    let ended = desk.draining.clone();
    tasks.spawn(async move {
        // Why it fails is told by the driver; whoever comes next wakes it, and then it is held.
        tokio::select! {
            lease = service.wake_as(Waker::Administrator) => drop(lease),
            () = ended.cancelled() => {}
        }
    });
}

/// Keeps it to the end of the hold, or until it is released.
fn keep(
    desk: &Arc<Desk>,
    tasks: &TaskTracker,
    name: &str,
    service: &ServiceHandle,
    lease: Kept,
    hold: Hold,
) {
    let released = CancellationToken::new();
    let number = desk.holds.put(service, lease, released.clone());
    service.remember_hold(Some(hold));
    let Some(left) = hold.left(unix_time()) else { return };
    let (desk, name, service) = (Arc::clone(desk), name.to_owned(), service.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(left) => {
                info!(service = name, "the time of its hold is over");
                if desk.holds.end(number) {
                    service.remember_hold(None);
                }
            }
            () = released.cancelled() => {}
        }
    });
}

/// Without what is less than a second.
fn whole(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

/// Ends the hold; the idle window begins if nobody else uses it.
pub(super) fn release(asking: &Asking, subject: &Subject) -> Response<Body> {
    if end_hold(asking, subject) {
        info!(service = subject.name, uid = asking.uid, "released");
    }
    standing(subject, StatusCode::OK)
}

/// Ends its hold, for the next daemon, too; false if there is none.
fn end_hold(asking: &Asking, subject: &Subject) -> bool {
    let service = &subject.service.handle;
    let held = asking.desk.holds.release(service);
    service.remember_hold(None);
    held
}

/// Has the configuration read anew.
pub(super) async fn reload(asking: &Asking) -> Response<Body> {
    if let Some(ends) = ends(asking) {
        return ends;
    }
    info!(uid = asking.uid, "a reload is asked for");
    asking.limit.send_replace(None);
    let (answer, changes) = oneshot::channel();
    let sent = asking.desk.reloads.try_send(answer).is_ok();
    let changes = if sent { changes.await.ok() } else { None };
    asking.limit.send_replace(Some(ANSWER_LIMIT));
    match changes {
        Some(Ok(changes)) => json(StatusCode::OK, &changes),
        Some(Err(wrong)) => {
            problem(StatusCode::UNPROCESSABLE_ENTITY, format!("nothing is changed:\n{wrong}"))
        }
        None => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "it is being reloaded, or ends: try again in a moment",
        ),
    }
}

/// A lease, for as long as the core lets its clients wait.
async fn acquire(asking: &Asking, subject: &Subject) -> Result<Lease, Refused> {
    asking.limit.send_replace(None);
    let lease = tokio::select! {
        lease = subject.service.handle.wake_as(Waker::Administrator) => lease,
        () = asking.desk.draining.cancelled() => Err(Refused::ShuttingDown),
    };
    asking.limit.send_replace(Some(ANSWER_LIMIT));
    lease
}

fn ends(asking: &Asking) -> Option<Response<Body>> {
    asking.desk.draining.is_cancelled().then(|| refusal(Refused::ShuttingDown))
}

fn standing(subject: &Subject, status: StatusCode) -> Response<Body> {
    json(status, &subject.view())
}

/// Why it is not woken, and why its last wake failed where that is the reason.
fn failure(subject: &Subject, refused: Refused) -> Response<Body> {
    let last = subject.service.handle.details().failure;
    match (refused, last) {
        (Refused::Failed(_), Some(why)) => {
            let why = format!("the wake failed: {why}; its log says more");
            problem(StatusCode::SERVICE_UNAVAILABLE, why)
        }
        (Refused::BackOff(_), Some(why)) => {
            let why = format!("{} ({why}); its log says more", driver::refusal(refused));
            problem(StatusCode::SERVICE_UNAVAILABLE, why)
        }
        (
            Refused::Failed(_)
            | Refused::BackOff(_)
            | Refused::Curfew(_)
            | Refused::TimedOut
            | Refused::ShuttingDown,
            _,
        ) => refusal(refused),
    }
}

fn refusal(refused: Refused) -> Response<Body> {
    let why = driver::refusal(refused);
    problem(StatusCode::SERVICE_UNAVAILABLE, format!("{why}; its log says more"))
}
