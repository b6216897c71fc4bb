//! What has become of a service so far: facts for people, and what windows are chosen by. The core knows
//! none of it.

use std::mem::discriminant;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::past::Past;
use crate::activation::{Moment, Phase, Service, Window};

/// When it last changed, how it was woken, and what is remembered of it.
#[derive(Debug)]
pub(super) struct History {
    phase: Phase,
    since: Moment,
    woken: u64,
    last_wake: Option<Wake>,
    /// Why the wake after that failed.
    failed: Option<Arc<str>>,
    /// Whoever waits first is who wakes it.
    asked_by: Option<Waker>,
    /// Who has woken it last, and when it was awake.
    woken_by: Option<(Waker, Moment)>,
    /// Why it was not put to sleep.
    denied: Option<Arc<str>>,
    /// The idle window in force.
    pub(super) window: Window,
    /// What outlives the daemon.
    pub(super) past: Past,
}

/// Who has woken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waker {
    /// A client, with its address; that of a Unix socket has none.
    Client(Option<IpAddr>),
    /// Somebody who has asked for that.
    Administrator,
    /// A service that needs it.
    Dependent,
    /// The hours in which it is to be awake.
    Hours,
    /// Nobody has said.
    Unknown,
}

/// How long a wake took, from the first client to the moment when all that waited were let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// Until what it depends on was there.
    pub needs: Duration,
    /// The engine's start.
    pub engine: Duration,
    /// The questions whether it is ready.
    pub ready: Duration,
    /// The rest: our own.
    pub ours: Duration,
}

impl Wake {
    /// The whole.
    pub fn total(&self) -> Duration {
        self.needs + self.engine + self.ready + self.ours
    }
}

/// A wake under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waking {
    /// When the first client asked.
    pub(super) asked: Moment,
    /// How long its parts have taken, as far as they are over.
    pub(super) needs: Duration,
    pub(super) engine: Duration,
}

impl Waking {
    /// It is over.
    pub(super) fn end(self, ready: Duration, now: Moment) -> Wake {
        let Self { asked, needs, engine } = self;
        let ours = now.since(asked).saturating_sub(needs + engine + ready);
        Wake { needs, engine, ready, ours }
    }
}

impl History {
    pub(super) fn new(now: Moment, phase: Phase, window: Window) -> Self {
        Self {
            phase,
            since: now,
            woken: 0,
            last_wake: None,
            failed: None,
            asked_by: None,
            woken_by: None,
            denied: None,
            window,
            past: Past::default(),
        }
    }

    /// Notes where it stands now and whether it is used; deadlines within a phase are no change.
    pub(super) fn note(&mut self, core: &Service, now: impl FnOnce() -> Moment) {
        let (before, phase) = (self.phase, core.phase());
        let used = core.leases() > 0 || core.waiting() > 0;
        let other = match (before, phase) {
            (Phase::Asleep { rest: before, .. }, Phase::Asleep { rest: after, .. }) => {
                before != after
            }
            (before, after) => discriminant(&before) != discriminant(&after),
        };
        if core.curfew().is_some() && !used {
            self.past.not_chosen();
        }
        if !other && !self.past.is_news(used) {
            return;
        }
        let now = now();
        if used {
            self.past.used(now);
        } else {
            self.past.unused(now);
        }
        if other {
            self.past.phase(before, phase, now);
            self.phase = phase;
            self.since = now;
            match (before, phase) {
                (_, Phase::Asleep { .. } | Phase::Stopping { .. }) => self.denied = None,
                // By somebody else.
                (Phase::Asleep { .. } | Phase::Failed(_), Phase::Found { .. }) => {
                    self.woken_by = None;
                }
                _ => {}
            }
        }
    }

    /// Somebody uses it again: the little that a client of an awake service costs.
    pub(super) fn used(&mut self, now: Moment) {
        if self.past.is_news(true) {
            self.past.used(now);
        }
    }

    /// Who waits first.
    pub(super) fn asked(&mut self, by: Waker) {
        self.asked_by = Some(by);
    }

    pub(super) fn woken(&mut self, wake: Wake, now: Moment) {
        self.woken += 1;
        self.last_wake = Some(wake);
        self.failed = None;
        self.woken_by = Some((self.asked_by.take().unwrap_or(Waker::Unknown), now));
        self.past.woken(wake);
    }

    pub(super) fn failed(&mut self, why: String) {
        self.failed = Some(why.into());
    }

    /// Why it is not put to sleep though nobody uses it; that holds until it sleeps.
    pub(super) fn denied(&mut self, why: String) {
        self.denied = Some(why.into());
    }

    /// Why the last wake failed, if it did.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.failed.clone()
    }

    /// Why it was not put to sleep, if it was not.
    pub(super) fn denial(&self) -> Option<Arc<str>> {
        self.denied.clone()
    }

    /// Who wakes it, or waits for it first.
    pub(super) fn asking(&self) -> Option<Waker> {
        self.asked_by
    }

    /// Who has woken it last, and when it was awake.
    pub(super) fn waker(&self) -> Option<(Waker, Moment)> {
        self.woken_by
    }

    /// When it last changed, how often it was woken, and how long the last wake took.
    pub(super) fn facts(&self) -> (Moment, u64, Option<Wake>) {
        (self.since, self.woken, self.last_wake)
    }
}
