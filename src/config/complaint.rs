//! What is told of services that nobody has written into the file, and so cannot end the daemon.

use std::fmt;

use crate::engine::plain;

/// Something that is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// How much it matters.
    pub level: Level,
    /// The service, or the container that is none.
    pub about: String,
    /// What is the matter, and what to do.
    pub text: String,
}

/// How much a complaint matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is not served as somebody wished.
    Warn,
    /// Something is as it should be, though not everybody may expect it.
    Info,
    /// For whoever looks why something is as it is.
    Debug,
}

impl Complaint {
    /// Both come from labels, and are fit for a line of a log afterwards.
    pub(super) fn new(level: Level, about: &str, text: &str) -> Self {
        Self { level, about: plain(about), text: plain(text) }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.text)
    }
}
