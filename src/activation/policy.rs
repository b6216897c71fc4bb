//! What the operator asked of one service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Moment;

/// How long a service may be unused before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// Sleep after this long; zero is with the last connection.
    After(Duration),
    /// Never sleep by idleness (`infinity`).
    Never,
}

/// How deep a service sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Frozen: it keeps its memory, and is awake again within milliseconds.
    Pause,
    /// Ended.
    Stop,
}

/// How deep a service sleeps, and when deeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tiers {
    /// After the idle window.
    pub first: Depth,
    /// Once it has been paused for so long, it is stopped.
    pub deeper: Option<Duration>,
}

impl Tiers {
    /// Stopped after the idle window.
    pub const STOP: Self = Self { first: Depth::Stop, deeper: None };
}

/// Somebody is asked before a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asking {
    /// How long before the end of the idle window the question begins: so long is measured.
    pub lead: Duration,
    /// When it is asked again after a no.
    pub interval: Duration,
}

/// Whether anything is put to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Practice {
    /// It is.
    #[default]
    Real,
    /// It is only said that it would be.
    Dry,
}

/// A time in which a service is kept asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Curfew {
    /// Its end, as far as is known.
    pub until: Moment,
    /// What becomes of clients that come.
    pub clients: Latecomers,
}

/// What becomes of clients that come in a [`Curfew`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Latecomers {
    /// They are refused.
    #[default]
    Refused,
    /// They wait until it is over.
    Held,
    /// They wake the target.
    Served,
}

/// The rules of one service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The idle window: from the last lease's end to the sleep.
    pub idle: Window,
    /// The longest one client waits, over a stop in progress, the start and the readiness.
    pub start_timeout: Duration,
    /// How long it is awake at least.
    pub min_awake: Duration,
    /// How deep it sleeps.
    pub tiers: Tiers,
    /// Whether somebody is asked before it sleeps.
    pub asking: Option<Asking>,
    /// How long after the first client that waits behind a stop the target is killed.
    pub kill_after: Option<Duration>,
    /// Whether it sleeps at all.
    pub practice: Practice,
}

impl Policy {
    /// With nothing but an idle window: stopped after it, without a question.
    pub const fn new(idle: Window, start_timeout: Duration) -> Self {
        Self {
            idle,
            start_timeout,
            min_awake: Duration::ZERO,
            tiers: Tiers::STOP,
            asking: None,
            kill_after: None,
            practice: Practice::Real,
        }
    }
}
