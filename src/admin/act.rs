//! Wake, sleep, hold, release.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Response, StatusCode};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::answer::{Body, json, problem};
use super::route::{Asking, Subject};
use crate::activation::{Cause, Refused};
use crate::driver::{Lease, Slept};

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
            Err(refused) => refusal(refused),
        };
    }
    let Some(waking) = asking.desk.holds.waking(&subject.name) else {
        return standing(&subject, StatusCode::ACCEPTED);
    };
    let handle = subject.service.handle.clone();
    let mut acquiring = Box::pin(async move { handle.acquire(0).await });
    tokio::select! {
        biased;
        at_once = &mut acquiring => match at_once {
            Ok(lease) => {
                drop(lease);
                standing(&subject, StatusCode::OK)
            }
            Err(refused) => refusal(refused),
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

/// Puts it to sleep without waiting for the end of the idle window, unless somebody uses it.
pub(super) fn sleep(asking: &Asking, subject: &Subject) -> Response<Body> {
    let why_not = match subject.service.handle.sleep() {
        Slept::Begins => {
            info!(service = subject.name, uid = asking.uid, "going to sleep, as it was asked to");
            return standing(subject, StatusCode::ACCEPTED);
        }
        Slept::Already => return standing(subject, StatusCode::OK),
        Slept::NotYet => "it is being woken, or was not looked at yet: try again".to_owned(),
        Slept::Used => {
            let (view, held) = (subject.view(), subject.service.handle.details().kept > 0);
            let reasons = [
                (view.connections > 0).then(|| format!("{} connections use it", view.connections)),
                (view.waiting > 0).then(|| format!("{} wait for it", view.waiting)),
                held.then(|| "it is held, release it first".to_owned()),
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
        Err(refused) => return refusal(refused),
    };
    let span = time.map(|time| humantime::format_duration(time).to_string());
    info!(service = subject.name, uid = asking.uid, time = span, "held");
    let released = CancellationToken::new();
    let number = asking.desk.holds.put(&subject.name, lease, released.clone());
    if let Some(time) = time {
        let holds = Arc::clone(&asking.desk.holds);
        let name = subject.name.clone();
        asking.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(time) => {
                    info!(service = name, "the time of its hold is over");
                    holds.end(&name, number);
                }
                () = released.cancelled() => {}
            }
        });
    }
    if let Some(ends) = ends(asking) {
        // The end came in between.
        asking.desk.holds.release_all();
        return ends;
    }
    standing(&subject, StatusCode::OK)
}

/// Ends the hold; the idle window begins if nobody else uses it.
pub(super) fn release(asking: &Asking, subject: &Subject) -> Response<Body> {
    if asking.desk.holds.release(&subject.name) {
        info!(service = subject.name, uid = asking.uid, "released");
    }
    standing(subject, StatusCode::OK)
}

/// A lease, for as long as the core lets its clients wait.
async fn acquire(asking: &Asking, subject: &Subject) -> Result<Lease, Refused> {
    asking.limit.send_replace(None);
    let lease = tokio::select! {
        lease = subject.service.handle.acquire(0) => lease,
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

fn refusal(refused: Refused) -> Response<Body> {
    let why = match refused {
        Refused::Failed(cause) => format!("the wake failed: {}", reason(cause)),
        Refused::BackOff(left) => format!(
            "the last wake failed; the next is tried no sooner than in {:.1} s",
            left.as_secs_f32()
        ),
        Refused::TimedOut => "it was not awake within the start timeout".to_owned(),
        Refused::ShuttingDown => "the daemon ends".to_owned(),
    };
    problem(StatusCode::SERVICE_UNAVAILABLE, format!("{why}; its log says more"))
}

const fn reason(cause: Cause) -> &'static str {
    match cause {
        Cause::StartFailed => "the engine did not start it",
        Cause::Exited => "it ended before it was ready",
        Cause::Missing => "there is no such container",
        Cause::NotReady => "it was not ready within the start timeout",
        Cause::Unreachable => "it cannot be reached",
        Cause::EngineAway => "the engine could not be asked",
    }
}
