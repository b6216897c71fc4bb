//! What administrators ask of a service beside what its clients do: how it stands and why, a sleep
//! before its time, and a lease that is no client's.

use std::time::Duration;

use super::history::Wake;
use super::{Held, Lease, ServiceHandle, Status};
use crate::activation::{Due, Event, Phase};

/// What a service is doing, and what has become of it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Details {
    /// What it is doing.
    pub status: Status,
    /// How many of the leases are no client's.
    pub kept: u32,
    /// How long it has stood there.
    pub since: Duration,
    /// When it sleeps if nobody comes; `None` unless an idle window runs.
    pub sleeps_in: Option<Duration>,
    /// How often it was woken by us.
    pub woken: u64,
    /// How long the last of these took.
    pub last_wake: Option<Wake>,
}

/// What comes of asking for a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slept {
    /// The stop is under way.
    Begins,
    /// It sleeps, or was going to.
    Already,
    /// Somebody uses it or waits for it.
    Used,
    /// It is being woken with nobody there any more, or nobody has looked yet.
    NotYet,
}

/// A lease that is no client's: somebody wants the target awake, used or not.
#[derive(Debug)]
pub struct Kept {
    held: Held,
}

impl ServiceHandle {
    /// What it is doing, and what has become of it so far.
    pub fn details(&self) -> Details {
        let state = self.shared().lock();
        let now = self.shared().clock.now();
        let (since, woken, last_wake) = state.history.facts();
        let idle = state.core.deadline().filter(|(_, due)| *due == Due::Idle);
        Details {
            status: state.status(),
            kept: state.kept,
            since: now.since(since),
            sleeps_in: idle.map(|(at, _)| at.since(now)),
            woken,
            last_wake,
        }
    }

    /// Asks for a sleep without waiting for the end of the idle window.
    pub fn sleep(&self) -> Slept {
        let mut state = self.shared().lock();
        if state.closed {
            return Slept::NotYet;
        }
        let before = state.core.phase();
        self.shared().feed_locked(&mut state, Event::Sleep);
        let after = state.core.phase();
        let used = state.core.leases() > 0 || state.core.waiting() > 0;
        drop(state);
        self.shared().changed();
        match (before, after) {
            (Phase::Awake { .. } | Phase::Found { .. }, Phase::Stopping) => Slept::Begins,
            // A lease of a life that is over keeps nothing awake.
            (Phase::Asleep(_) | Phase::Failed(_), _) => Slept::Already,
            _ if used => Slept::Used,
            (Phase::Stopping, _) => Slept::Already,
            (
                Phase::Unknown
                | Phase::Starting { .. }
                | Phase::Probing { .. }
                | Phase::Awake { .. }
                | Phase::Found { .. },
                _,
            ) => Slept::NotYet,
        }
    }
}

impl Lease {
    /// The lease alone, as no client's.
    pub fn keep(self) -> Kept {
        let held = self.hold();
        held.shared.lock().kept += 1;
        held.shared.changed();
        Kept { held }
    }
}

impl Drop for Kept {
    /// The lease itself ends right after.
    fn drop(&mut self) {
        let mut state = self.held.shared.lock();
        state.kept = state.kept.saturating_sub(1);
    }
}
