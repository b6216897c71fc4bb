//! The five ways an engine call fails.

use thiserror::Error;

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

/// A call that got no answer: finds the I/O error at the bottom, and what to tell the operator.
pub(super) fn unanswered(
    error: &(dyn std::error::Error + 'static),
    endpoint: &super::Endpoint,
) -> EngineError {
    let mut io = None;
    let mut connecting = false;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut deepest = error.to_string();
    while let Some(error) = cause {
        if let Some(legacy) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            connecting |= legacy.is_connect();
        }
        if let Some(found) = error.downcast_ref::<std::io::Error>() {
            io = Some(found.kind());
        }
        deepest = error.to_string();
        cause = error.source();
    }
    if error
        .downcast_ref::<bollard::errors::Error>()
        .is_some_and(|error| matches!(error, bollard::errors::Error::SocketNotFoundError(_)))
    {
        (io, connecting) = (Some(std::io::ErrorKind::NotFound), true);
    }
    let reason = match io {
        Some(std::io::ErrorKind::NotFound) => {
            format!("{endpoint} is missing: is the engine running?")
        }
        Some(std::io::ErrorKind::PermissionDenied) => format!(
            "{PERMISSION} on {endpoint}: run as a user of the socket's group \
             (SupplementaryGroups=docker under systemd)"
        ),
        Some(std::io::ErrorKind::ConnectionRefused) => {
            format!("{endpoint} refuses connections: is the engine running?")
        }
        _ => format!("{endpoint} did not answer: {}", plain(&deepest)),
    };
    EngineError::Unavailable { reason, sent: if connecting { Sent::No } else { Sent::Maybe } }
}
