//! What has become of a service so far: facts for people, which decide nothing.

use std::mem::discriminant;
use std::time::Duration;

use crate::activation::{Moment, Phase};

/// When it last changed, and how it was woken.
#[derive(Debug)]
pub(super) struct History {
    phase: Phase,
    since: Moment,
    woken: u64,
    last_wake: Option<Wake>,
}

/// How long a wake took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// The engine's start.
    pub engine: Duration,
    /// From there to readiness.
    pub ready: Duration,
}

impl History {
    pub(super) fn new(now: Moment, phase: Phase) -> Self {
        Self { phase, since: now, woken: 0, last_wake: None }
    }

    /// Notes where it stands now; deadlines within a phase are no change.
    pub(super) fn note(&mut self, phase: Phase, now: impl FnOnce() -> Moment) {
        let other = match (self.phase, phase) {
            (Phase::Asleep(before), Phase::Asleep(after)) => before != after,
            (before, after) => discriminant(&before) != discriminant(&after),
        };
        if other {
            self.phase = phase;
            self.since = now();
        }
    }

    pub(super) fn woken(&mut self, wake: Wake) {
        self.woken += 1;
        self.last_wake = Some(wake);
    }

    /// When it last changed, how often it was woken, and how long the last wake took.
    pub(super) fn facts(&self) -> (Moment, u64, Option<Wake>) {
        (self.since, self.woken, self.last_wake)
    }
}
