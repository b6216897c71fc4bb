//! The two engine operations: make it run, make it stop.
//!
//! Each looks, acts and looks again; what it answers is what was seen at the end, never what a
//! status code promised. A call that was not answered may still be carried out, so the operation
//! goes on until the engine has said how the target stands. A thaw alone need not look again where
//! the kernel says what the look would be for.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use super::{Target, listening};
use crate::activation::{Cause, Depth, Moment, Pauses, Rest, Seen};
use crate::clock::Clock;
use crate::engine::{Engine, EngineError, Locality, Networking, Observed, Sent, State};

/// The grace that engines give a container without a stop timeout of its own.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How often a stop that was not answered is asked for again before it counts as failed.
const STOP_ROUNDS: u32 = 3;

/// So long after a start was asked for, the engine is busy with it: within 1 ms Docker's was in 12 of
/// 12 tries, at once in 8. No engine is done with a start so soon.
const LOOK_BESIDE_AFTER: Duration = Duration::from_millis(5);

/// How an operation ended.
#[derive(Debug)]
pub(super) struct End {
    /// How the target was seen at the end; an error if the engine could not be asked, or said
    /// yes to a start and the target has ended since.
    pub(super) seen: Result<Seen, Cause>,
    /// What was seen, if it exists.
    pub(super) observed: Option<Arc<Observed>>,
    /// The end of the last health check before the operation: a verdict no younger is not of the
    /// run that it opened.
    pub(super) stale_verdict: Option<String>,
    /// What went wrong on the way.
    pub(super) error: Option<EngineError>,
    /// Whether the engine was asked at the end.
    pub(super) looked: Looked,
}

impl End {
    /// Of an operation that ended with a look.
    fn looked(
        seen: Result<Seen, Cause>,
        observed: Option<Arc<Observed>>,
        error: Option<EngineError>,
    ) -> Self {
        Self { seen, observed, stale_verdict: None, error, looked: Looked::Yes }
    }
}

/// Whether the engine was asked how the target stands after it was asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// It was.
    Yes,
    /// It said yes to a thaw, and the kernel the rest: it is to be asked beside what follows.
    NotYet,
}

/// Makes the target run. While the engine cannot be asked, tries again until `give_up`.
///
/// `known` is how the target was last seen at rest: the first try believes it, which saves an
/// inspect on the way of the first client. Whatever comes of that is looked at.
pub(super) async fn start<E: Engine>(
    engine: &E,
    target: &Target,
    clock: Clock,
    mut known: Option<Arc<Observed>>,
    give_up: Moment,
) -> End {
    let mut pauses = Pauses::engine();
    // What the last call found, and what came of it.
    let mut acted: Option<(State, Result<(), EngineError>)> = None;
    let mut stale_verdict = None;
    loop {
        let looked = match known.take() {
            Some(known) => Ok(known),
            None => engine.inspect(&target.name).await.map(Arc::new),
        };
        let observed = match looked {
            Ok(observed) => observed,
            Err(error @ EngineError::Missing(_)) => {
                return End::looked(Ok(Seen::Resting(Rest::Missing)), None, Some(error));
            }
            Err(error) if !transient(&error) || clock.now() >= give_up => {
                let cause = if transient(&error) { Cause::EngineAway } else { Cause::StartFailed };
                return End::looked(Err(cause), None, Some(error));
            }
            Err(error) => {
                debug!(%error, "the engine cannot be asked, trying again");
                tokio::time::sleep(pauses.pause()).await;
                continue;
            }
        };
        // An unanswered call may be carried out yet; then it is asked again, which does no harm.
        // One that found the target in another state than this has settled nothing about it.
        let answered = match acted.take() {
            Some((found, Ok(()))) if found == observed.state => Some(None),
            Some((found, Err(error))) if found == observed.state && !transient(&error) => {
                Some(Some(error))
            }
            Some(_) | None => None,
        };
        match (observed.state, answered) {
            (State::Running | State::Restarting, answer) => {
                return End {
                    seen: Ok(Seen::Running),
                    observed: Some(observed),
                    stale_verdict,
                    error: answer.flatten(),
                    looked: Looked::Yes,
                };
            }
            // It was asked to run, the engine has answered, and it does not.
            (State::Stopped, Some(error)) => {
                let seen = match &error {
                    None => Err(Cause::Exited),
                    Some(_) => Ok(Seen::Resting(Rest::Stopped)),
                };
                return End::looked(seen, Some(observed), error);
            }
            (State::Paused, Some(error)) => {
                return End::looked(Ok(Seen::Resting(Rest::Paused)), Some(observed), error);
            }
            (State::Stopped | State::Paused, None) => {
                stale_verdict.clone_from(&observed.health.last);
                let answer = if observed.state == State::Paused {
                    engine.resume(&target.name).await
                } else {
                    let (answer, seen) = start_and_look(engine, target, &observed).await;
                    known = seen;
                    answer
                };
                if observed.state == State::Paused
                    && answer.is_ok()
                    && keeps_its_addresses(engine, target, &observed).await
                {
                    let thawed = Observed { state: State::Running, ..(*observed).clone() };
                    return End {
                        seen: Ok(Seen::Running),
                        observed: Some(Arc::new(thawed)),
                        stale_verdict,
                        error: None,
                        looked: Looked::NotYet,
                    };
                }
                if let Err(error) = &answer {
                    debug!(%error, "the start was not answered with yes");
                    if transient(error) {
                        if clock.now() >= give_up {
                            return End::looked(Err(Cause::EngineAway), None, Some(error.clone()));
                        }
                        tokio::time::sleep(pauses.pause()).await;
                    }
                }
                acted = Some((observed.state, answer));
            }
        }
    }
}

/// Starts it, and asks beside how it stands: an engine that is busy with a container answers an
/// inspect of it when it is done, so the answer is on its way with that of the start. One that comes
/// sooner, and tells of no new life, says nothing.
async fn start_and_look<E: Engine>(
    engine: &E,
    target: &Target,
    before: &Observed,
) -> (Result<(), EngineError>, Option<Arc<Observed>>) {
    let mut start = pin!(engine.start(&target.name));
    if let Ok(answer) = timeout(LOOK_BESIDE_AFTER, &mut start).await {
        return (answer, None);
    }
    let mut look = pin!(engine.inspect(&target.name));
    let (answer, seen) = tokio::select! {
        biased;
        answer = &mut start => match answer {
            Ok(()) => (answer, look.await),
            Err(_) => return (answer, None),
        },
        seen = &mut look => (start.await, seen),
    };
    let seen = match (&answer, seen) {
        (Ok(()), Ok(seen)) if seen.state == State::Running && !seen.same_life(before) => Some(seen),
        (Ok(()) | Err(_), _) => None,
    };
    (answer, seen.map(Arc::new))
}

/// Whether the target is reached at addresses of its own, all of which its first process has at this
/// moment, says the kernel. An address that is only remembered may be somebody else's by now.
async fn keeps_its_addresses<E: Engine>(engine: &E, target: &Target, paused: &Observed) -> bool {
    let (None, Some(pid), Networking::Own(addresses)) =
        (&target.upstream, paused.pid, &paused.networking)
    else {
        return false;
    };
    engine.locality().await == Locality::Local
        && !addresses.is_empty()
        && addresses.values().all(|address| listening::has_address(pid, &paused.id, *address))
}

/// Puts the target to sleep, so deep at least. What is paused is thawed before it is stopped: only so
/// it hears of it, and Podman stops it at all.
pub(super) async fn stop<E: Engine>(engine: &E, target: &Target, depth: Depth) -> End {
    let mut pauses = Pauses::engine();
    let mut rounds = 0;
    let mut thaws = 0;
    let mut asked = false;
    let mut last_error = None;
    loop {
        let observed = match engine.inspect(&target.name).await {
            Ok(observed) => Arc::new(observed),
            Err(EngineError::Missing(_)) => {
                return End::looked(Ok(Seen::Resting(Rest::Missing)), None, None);
            }
            // Nothing was asked yet: it runs on, and its clients can be served.
            Err(error) if !asked => return End::looked(Err(Cause::EngineAway), None, Some(error)),
            Err(error) => {
                debug!(%error, "the engine cannot be asked how the stop went, trying again");
                tokio::time::sleep(pauses.pause()).await;
                continue;
            }
        };
        let seen = match (observed.state, depth) {
            (State::Stopped, _) => {
                return End::looked(Ok(Seen::Resting(Rest::Stopped)), Some(observed), None);
            }
            (State::Paused, Depth::Pause) => {
                return End::looked(Ok(Seen::Resting(Rest::Paused)), Some(observed), None);
            }
            (State::Paused, Depth::Stop) => Seen::Resting(Rest::Paused),
            (State::Running | State::Restarting, _) => Seen::Running,
        };
        if rounds == STOP_ROUNDS || last_error.as_ref().is_some_and(|error| !transient(error)) {
            return End::looked(Ok(seen), Some(observed), last_error);
        }
        rounds += 1;
        let answer = match (observed.state, depth) {
            (State::Paused, _) => engine.resume(&target.name).await,
            (_, Depth::Pause) => engine.pause(&target.name).await,
            (_, Depth::Stop) => {
                let grace = target.stop_timeout.or(observed.stop_timeout).unwrap_or(DEFAULT_GRACE);
                engine.stop(&target.name, grace).await
            }
        };
        match answer {
            // Thawed, and yet to be stopped.
            Ok(()) if observed.state == State::Paused => {
                asked = true;
                rounds -= 1;
                thaws += 1;
                if thaws > STOP_ROUNDS {
                    return End::looked(Ok(seen), Some(observed), None);
                }
            }
            Ok(()) => asked = true,
            Err(error) => {
                debug!(%error, "the stop was not answered with yes");
                let unsent = matches!(error, EngineError::Unavailable { sent: Sent::No, .. });
                if unsent && !asked {
                    return End::looked(Err(Cause::EngineAway), Some(observed), Some(error));
                }
                asked |= !unsent;
                last_error = Some(error);
            }
        }
    }
}

/// Whether asking again may help: the engine was away, or spoke nonsense.
pub(super) fn transient(error: &EngineError) -> bool {
    match error {
        EngineError::Unavailable { .. } | EngineError::Garbled(_) => true,
        EngineError::Missing(_) | EngineError::Conflict(_) | EngineError::Refused { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::config::rules::{MaySleep, Switch};
    use crate::config::{Ports, Ready};
    use crate::engine::TargetName;
    use crate::engine::fake::{Delays, FakeEngine};
    use crate::port::Port;

    fn target() -> Target {
        Target {
            service: "web".to_owned(),
            name: TargetName::container("web").unwrap(),
            ports: Ports::one(Port::tcp(80)),
            upstream: None,
            network: None,
            ready: Ready::Tcp,
            stop_timeout: None,
            keepalive: Duration::from_secs(60),
            announce: None,
            own_addresses: Vec::new(),
            may_sleep: MaySleep::default(),
            reclaim: Switch::No,
            bonds: Arc::default(),
        }
    }

    /// Starts a stopped container, with inspects that take so long; how often it was looked at, and
    /// how long that took over the start.
    async fn wake(inspect: Duration) -> (End, u64, Duration) {
        let ms = Duration::from_millis;
        let exactly = |time: Duration| time..time + Duration::from_micros(1);
        let delays =
            Delays { start: exactly(ms(100)), inspect: exactly(inspect), ..Delays::default() };
        let engine = FakeEngine::new(1, delays);
        let target = target();
        let known = Arc::new(engine.inspect(&target.name).await.unwrap());
        let clock = Clock::new();
        let began = clock.now();
        let give_up = began + Duration::from_secs(20);
        let end = start(&engine, &target, clock, Some(known), give_up).await;
        (end, engine.counts().inspects - 1, clock.now().since(began + ms(100)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_inspect_beside_the_start_that_ends_with_it_is_enough() {
        let (end, inspects, over) = wake(Duration::from_millis(97)).await;
        assert_eq!((end.seen, inspects), (Ok(Seen::Running), 1));
        assert_eq!(end.observed.map(|seen| seen.state), Some(State::Running));
        assert!(over < Duration::from_millis(5), "{over:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_answered_too_soon_is_asked_again() {
        let (end, inspects, _) = wake(Duration::from_millis(3)).await;
        assert_eq!((end.seen, inspects), (Ok(Seen::Running), 2));
        assert_eq!(end.observed.map(|seen| seen.state), Some(State::Running));
    }

    /// Thaws a container that was last seen paused as this very process, at that address; every
    /// cgroup has a slash in its path.
    async fn thaw(address: &str) -> (End, u64) {
        let engine = FakeEngine::new(1, Delays::default());
        let target = target();
        engine.start_behind_our_back();
        engine.pause_behind_our_back();
        let address: IpAddr = address.parse().unwrap();
        let known = Observed {
            id: "/".to_owned(),
            pid: Some(std::process::id()),
            networking: Networking::Own([("net".to_owned(), address)].into()),
            ..engine.inspect(&target.name).await.unwrap()
        };
        let before = engine.counts().inspects;
        let clock = Clock::new();
        let give_up = clock.now() + Duration::from_secs(20);
        let end = start(&engine, &target, clock, Some(Arc::new(known)), give_up).await;
        assert_eq!((engine.state(), engine.counts().resumes), (State::Running, 1));
        (end, engine.counts().inspects - before)
    }

    #[tokio::test(start_paused = true)]
    async fn a_thaw_is_believed_where_the_kernel_knows_the_address() {
        let (end, inspects) = thaw("127.0.0.1").await;
        assert_eq!((end.seen, end.looked, inspects), (Ok(Seen::Running), Looked::NotYet, 0));
        assert_eq!(end.observed.map(|seen| seen.state), Some(State::Running));
    }

    #[tokio::test(start_paused = true)]
    async fn a_remembered_address_is_looked_up_again() {
        let (end, inspects) = thaw("192.0.2.1").await;
        assert_eq!((end.seen, end.looked, inspects), (Ok(Seen::Running), Looked::Yes, 1));
    }
}
