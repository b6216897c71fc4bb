//! What the operator asked of one service.

use std::time::Duration;

/// How long a service may be unused before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// Sleep after this long; zero is with the last connection.
    After(Duration),
    /// Never sleep by idleness (`infinity`).
    Never,
}

/// The rules of one service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The idle window: from the last lease's end to the sleep.
    pub idle: Window,
    /// The longest one client waits, over a stop in progress, the start and the readiness.
    pub start_timeout: Duration,
}
