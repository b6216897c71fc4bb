//! The five ways an engine call fails.

use std::io;

use thiserror::Error;

use super::transport::Unreached;

/// Whether a call that was not answered may have reached the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It did not: nothing has been done.
    No,
    /// It may have, and may still be carried out.
    Maybe,
}

/// Why an engine call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EngineError {
    /// The engine could not be asked, or did not answer in time.
    #[error("{reason}")]
    Unavailable {
        /// What went wrong, and what to do.
        reason: String,
        /// Whether the call may have reached it.
        sent: Sent,
    },
    /// Nothing of that name exists.
    #[error("{0}")]
    Missing(String),
    /// The target is in a state in which this cannot be done.
    #[error("{0}")]
    Conflict(String),
    /// The engine said no.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// The answer made no sense.
    #[error("the engine's answer makes no sense: {0}")]
    Garbled(String),
}

impl EngineError {
    /// A call that took longer than it may.
    pub(super) fn timed_out(call: &str, limit: std::time::Duration) -> Self {
        Self::Unavailable {
            reason: format!("the engine has not answered '{call}' for {} s", limit.as_secs()),
            sent: Sent::Maybe,
        }
    }

    /// A connect that failed: nothing was sent.
    pub(super) fn from_connect(error: &std::io::Error, endpoint: &super::Endpoint) -> Self {
        Self::Unavailable { reason: reason_of(error, endpoint), sent: Sent::No }
    }

    /// The engine's words, if it forbids the call: 401 and 403 are what filtering sockets answer.
    pub(super) fn forbidden(&self) -> Option<String> {
        match self {
            Self::Refused { status: 401 | 403, message } => Some(message.clone()),
            Self::Refused { .. }
            | Self::Unavailable { .. }
            | Self::Missing(_)
            | Self::Conflict(_)
            | Self::Garbled(_) => None,
        }
    }

    /// Whether it says that this user may not talk to the engine at all.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Unavailable { reason, .. } if reason.contains(PERMISSION))
    }
}

/// Somebody else's words, made fit for a log line: no control characters, no endless text.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.trim().chars().take(MOST_WORDS) {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// More characters than this of somebody else's words are not repeated.
const MOST_WORDS: usize = 500;

/// Stands in the reason when the engine's socket may not be opened.
pub(super) const PERMISSION: &str = "permission denied";

/// Translates the client library's error.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum: all others got no answer")]
pub(super) fn translate(error: bollard::errors::Error, endpoint: &super::Endpoint) -> EngineError {
    use bollard::errors::Error as Bollard;
    match error {
        Bollard::DockerResponseServerError { status_code: 404, message } => {
            EngineError::Missing(plain(&message))
        }
        Bollard::DockerResponseServerError { status_code: 409, message } => {
            EngineError::Conflict(plain(&message))
        }
        Bollard::DockerResponseServerError { status_code, message } => {
            EngineError::Refused { status: status_code, message: plain(&message) }
        }
        Bollard::JsonDataError { message, .. } => EngineError::Garbled(plain(&message)),
        Bollard::JsonSerdeError { err } => EngineError::Garbled(err.to_string()),
        Bollard::APIVersionParseError {} => {
            EngineError::Garbled("it names no API version".to_owned())
        }
        error => unanswered(&error, endpoint),
    }
}

/// A call that got no answer.
pub(super) fn unanswered(
    error: &(dyn std::error::Error + 'static),
    endpoint: &super::Endpoint,
) -> EngineError {
    let connecting = chain(error).any(|error| {
        error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
    });
    let connecting = connecting || is_unreached(error);
    let sent = if connecting { Sent::No } else { Sent::Maybe };
    EngineError::Unavailable { reason: reason_of(error, endpoint), sent }
}

/// What happened, from the I/O error at the bottom, and what to do.
fn reason_of(error: &(dyn std::error::Error + 'static), endpoint: &super::Endpoint) -> String {
    let io = chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).last();
    let is = |kind| io.is_some_and(|io| io.kind() == kind);
    if is(io::ErrorKind::NotFound) {
        format!("{endpoint} is missing: is the engine running?")
    } else if is(io::ErrorKind::PermissionDenied) {
        format!(
            "{PERMISSION} on {endpoint}: run as a user of the socket's group \
             (SupplementaryGroups=docker under systemd)"
        )
    } else if is(io::ErrorKind::ConnectionRefused) {
        format!("{endpoint} refuses connections: is the engine running?")
    } else {
        let deepest = chain(error).last().map(ToString::to_string).unwrap_or_default();
        format!("{endpoint} did not answer: {}", plain(&deepest))
    }
}

/// Whether the engine's Unix socket could not be connected to.
fn is_unreached(error: &(dyn std::error::Error + 'static)) -> bool {
    let Some(bollard::errors::Error::IOError { err }) = error.downcast_ref() else { return false };
    err.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Unreached>)
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
