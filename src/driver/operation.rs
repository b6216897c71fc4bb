//! The two engine operations: make it run, make it stop.
//!
//! Each looks, acts and looks again; what it answers is what was seen at the end, never what a
//! status code promised. A call that was not answered may still be carried out, so the operation
//! goes on until the engine has said how the target stands.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::Target;
use crate::activation::{Cause, Moment, Pauses, Rest, Seen};
use crate::clock::Clock;
use crate::engine::{Engine, EngineError, Observed, Sent, State};

/// The grace that engines give a container without a stop timeout of its own.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How often a stop that was not answered is asked for again before it counts as failed.
const STOP_ROUNDS: u32 = 3;

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
        let end = |seen, observed, error| End { seen, observed, stale_verdict: None, error };
        let looked = match known.take() {
            Some(known) => Ok(known),
            None => engine.inspect(&target.name).await.map(Arc::new),
        };
        let observed = match looked {
            Ok(observed) => observed,
            Err(error @ EngineError::Missing(_)) => {
                return end(Ok(Seen::Resting(Rest::Missing)), None, Some(error));
            }
            Err(error) if !transient(&error) || clock.now() >= give_up => {
                let cause = if transient(&error) { Cause::EngineAway } else { Cause::StartFailed };
                return end(Err(cause), None, Some(error));
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
                };
            }
            // It was asked to run, the engine has answered, and it does not.
            (State::Stopped, Some(error)) => {
                let seen = match &error {
                    None => Err(Cause::Exited),
                    Some(_) => Ok(Seen::Resting(Rest::Stopped)),
                };
                return end(seen, Some(observed), error);
            }
            (State::Paused, Some(error)) => {
                return end(Ok(Seen::Resting(Rest::Paused)), Some(observed), error);
            }
            (State::Stopped | State::Paused, None) => {
                stale_verdict.clone_from(&observed.health.last);
                let answer = if observed.state == State::Paused {
                    engine.resume(&target.name).await
                } else {
                    engine.start(&target.name).await
                };
                if let Err(error) = &answer {
                    debug!(%error, "the start was not answered with yes");
                    if transient(error) {
                        if clock.now() >= give_up {
                            return end(Err(Cause::EngineAway), None, Some(error.clone()));
                        }
                        tokio::time::sleep(pauses.pause()).await;
                    }
                }
                acted = Some((observed.state, answer));
            }
        }
    }
}

/// Makes the target stop.
pub(super) async fn stop<E: Engine>(engine: &E, target: &Target) -> End {
    let mut pauses = Pauses::engine();
    let mut rounds = 0;
    let mut asked = false;
    let mut last_error = None;
    loop {
        let end = |seen, observed, error| End { seen, observed, stale_verdict: None, error };
        let observed = match engine.inspect(&target.name).await {
            Ok(observed) => Arc::new(observed),
            Err(EngineError::Missing(_)) => {
                return end(Ok(Seen::Resting(Rest::Missing)), None, None);
            }
            // Nothing was asked yet: it runs on, and its clients can be served.
            Err(error) if !asked => return end(Err(Cause::EngineAway), None, Some(error)),
            Err(error) => {
                debug!(%error, "the engine cannot be asked how the stop went, trying again");
                tokio::time::sleep(pauses.pause()).await;
                continue;
            }
        };
        match observed.state {
            State::Stopped => {
                return end(Ok(Seen::Resting(Rest::Stopped)), Some(observed), None);
            }
            State::Paused => return end(Ok(Seen::Resting(Rest::Paused)), Some(observed), None),
            State::Running | State::Restarting => {}
        }
        if rounds == STOP_ROUNDS || last_error.as_ref().is_some_and(|error| !transient(error)) {
            return end(Ok(Seen::Running), Some(observed), last_error);
        }
        rounds += 1;
        let grace = target.stop_timeout.or(observed.stop_timeout).unwrap_or(DEFAULT_GRACE);
        match engine.stop(&target.name, grace).await {
            Ok(()) => asked = true,
            Err(error) => {
                debug!(%error, "the stop was not answered with yes");
                let unsent = matches!(error, EngineError::Unavailable { sent: Sent::No, .. });
                if unsent && !asked {
                    return end(Err(Cause::EngineAway), Some(observed), Some(error));
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
