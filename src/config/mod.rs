//! From what the operator wrote to checked [`Settings`].
//!
//! Parse, don't validate: whoever holds a `Settings` need not check it again. Everything that is
//! wrong is told at once.

mod bonds;
pub mod bytes;
mod circles;
mod clashes;
mod complaint;
mod compose;
mod control;
pub mod duration;
pub mod file;
mod groups;
pub mod keys;
pub mod labels;
mod listen;
mod options;
mod plan;
mod ports;
mod ready;
pub mod resolve;
pub mod rules;
pub mod schema;
mod settings;
mod trusted;
mod upstream;
pub mod words;

use std::fmt;

pub use bonds::{Bond, Bonds, Condition};
use clap::ValueEnum;
pub use complaint::{Complaint, Level};
pub use compose::Compose;
pub use control::{Control, NO_CONTROL, usual_control};
pub use listen::ListenAddress;
pub use options::Options;
pub use plan::{Given, Origin, Plan, Role, Service};
pub use ports::{Listen, Ports, Socket};
pub use ready::Ready;
pub use settings::{ConnectionLimits, Settings, Wrong, default};
use thiserror::Error;
pub use trusted::Trusted;
pub use upstream::GivenUpstream;

/// What becomes of the container when the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnExit {
    /// It goes on as it is
    Leave,
    /// It is stopped
    Stop,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text; under systemd each line begins with its priority
    Auto,
    /// Lines for people, on standard error
    Text,
    /// One JSON object a line, on standard error
    Json,
    /// The journal's native protocol, with the facts in fields of their own
    Journald,
}

/// Everything that is wrong with a configuration, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigErrors(pub Vec<String>);

impl ConfigErrors {
    /// As whatever is wrong says it.
    pub fn of<T: fmt::Display>(wrong: &[T]) -> Self {
        Self(wrong.iter().map(T::to_string).collect())
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}
