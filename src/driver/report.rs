//! Telling the operator, once, why a wake failed.

use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::Target;
use crate::activation::{Cause, Refused};
use crate::engine::{Engine, EngineError, State, TargetName, plain};

/// How many of the target's last lines are shown.
const LINES: u8 = 10;

/// Why a wake failed, as far as the driver knows.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// The engine's answer, or what readiness was waiting for.
    pub(super) detail: String,
    /// How long new clients are refused.
    pub(super) back_off: Duration,
}

impl Failure {
    /// For people, in a sentence.
    pub(super) fn told(&self) -> String {
        match (self.cause, self.detail.as_str()) {
            // The detail names the container, as the cause does.
            (Cause::Missing, _) | (_, "") => why(self.cause).to_owned(),
            (cause, detail) => format!("{}: {}", why(cause), plain(detail)),
        }
    }
}

/// Logs the failure with the target's exit code and last lines. Everything that comes from the
/// container or the engine is escaped.
pub(super) async fn failure<E: Engine>(engine: Arc<E>, target: Arc<Target>, failure: Failure) {
    let name = &target.name;
    let again = format!("{:.0} s", failure.back_off.as_secs_f32());
    let reason = match failure.cause {
        Cause::StartFailed | Cause::Unreachable => {
            format!("{}: {}", why(failure.cause), failure.detail)
        }
        Cause::Exited => why(failure.cause).to_owned(),
        Cause::Dependency => {
            error!(
                container = %name, reason = %failure.detail,
                "the wake failed: {}; clients are refused for {again}", why(failure.cause)
            );
            return;
        }
        Cause::Missing => {
            error!(
                container = %name, engine = %engine.describe(),
                "{}; it is served as soon as it exists", engine.missing(name)
            );
            return;
        }
        Cause::NotReady => format!(
            "it was not ready within the start timeout and was stopped ({}): see its log, or \
             raise --start-timeout",
            failure.detail
        ),
        Cause::EngineAway => {
            error!(
                container = %name, engine = %engine.describe(), reason = %failure.detail,
                "the wake failed: the engine could not be asked; clients are refused for {again}"
            );
            return;
        }
    };
    let exit = match engine.inspect(name).await {
        Ok(seen) if seen.state == State::Stopped => Some(seen.exit),
        Ok(_) | Err(_) => None,
    };
    let code = exit.as_ref().map(|exit| exit.code);
    let engine_error =
        exit.as_ref().map(|exit| exit.error.as_str()).filter(|error| !error.is_empty());
    let out_of_memory = exit.as_ref().is_some_and(|exit| exit.out_of_memory).then_some(true);
    let lines = last_output(&*engine, name).await;
    error!(
        container = %name, exit_code = code, error = engine_error.map(tracing::field::debug),
        out_of_memory, last_output = %lines,
        "the wake failed: {reason}; clients are refused for {again}"
    );
}

/// The last lines that the container wrote, escaped.
pub(super) async fn last_output<E: Engine>(engine: &E, name: &TargetName) -> String {
    match engine.last_output(name, LINES).await {
        Ok(lines) => lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join(" | "),
        Err(EngineError::Missing(_)) => String::new(),
        Err(error) => format!("(its log cannot be read: {error})"),
    }
}

/// Why somebody is not served, for people.
pub fn refusal(refused: Refused) -> String {
    match refused {
        Refused::Failed(cause) => format!("the wake failed: {}", why(cause)),
        Refused::BackOff(left) => format!(
            "the last wake failed; the next is tried no sooner than in {:.1} s",
            left.as_secs_f32()
        ),
        Refused::Curfew(left) => format!(
            "it is kept asleep by its hours, for {} yet",
            humantime::format_duration(std::time::Duration::from_secs(left.as_secs()))
        ),
        Refused::TimedOut => "it was not awake within the start timeout".to_owned(),
        Refused::ShuttingDown => "the daemon ends".to_owned(),
    }
}

const fn why(cause: Cause) -> &'static str {
    match cause {
        Cause::StartFailed => "the engine did not start it",
        Cause::Exited => "it ended before it was ready",
        Cause::Missing => "there is no such container",
        Cause::NotReady => "it was not ready within the start timeout",
        Cause::Unreachable => "it cannot be reached",
        Cause::EngineAway => "the engine could not be asked",
        Cause::Dependency => "a service that it needs is not there",
    }
}
