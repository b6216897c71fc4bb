//! Telling the operator, once, why a wake failed.

use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::Target;
use crate::activation::Cause;
use crate::engine::{Engine, EngineError, State, plain};

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

/// Logs the failure with the target's exit code and last lines. Everything that comes from the
/// container or the engine is escaped.
pub(super) async fn failure<E: Engine>(engine: Arc<E>, target: Arc<Target>, failure: Failure) {
    let name = &target.name;
    let again = format!("{:.0} s", failure.back_off.as_secs_f32());
    let reason = match failure.cause {
        Cause::StartFailed => format!("the engine did not start it: {}", failure.detail),
        Cause::Exited => "it ended before it was ready".to_owned(),
        Cause::Missing => {
            error!(
                container = %name, engine = %engine.describe(),
                "there is no container {name}: create it (docker create, podman create, compose \
                 up --no-start) or mend --container; it is served as soon as it exists"
            );
            return;
        }
        Cause::NotReady => format!(
            "it was not ready within the start timeout and was stopped ({}): see its log, or \
             raise --start-timeout",
            failure.detail
        ),
        Cause::Unreachable => format!("it cannot be reached: {}", failure.detail),
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
    let lines = match engine.last_output(name, LINES).await {
        Ok(lines) => lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join(" | "),
        Err(EngineError::Missing(_)) => String::new(),
        Err(error) => format!("(its log cannot be read: {error})"),
    };
    error!(
        container = %name, exit_code = code, error = engine_error.map(tracing::field::debug),
        out_of_memory, last_output = %lines,
        "the wake failed: {reason}; clients are refused for {again}"
    );
}
