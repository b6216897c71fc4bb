//! What administrators ask of a service beside what its clients do: how it stands and why, a sleep
//! before its time, and a lease that is no client's.

use std::sync::Arc;
use std::time::Duration;

use super::history::{Wake, Waker};
use super::{Held, Lease, ServiceHandle, Status};
use crate::activation::{Event, Idle, Phase, Window};
use crate::clock::unix_time;
use crate::config::rules::Auto;
use crate::history::{Asleep, Hold, Record, Told};

/// What a service is doing, and what has become of it so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// What it is doing.
    pub status: Status,
    /// How many of the leases are no client's.
    pub kept: u32,
    /// Whether one of these is the clock's.
    pub by_the_clock: bool,
    /// How long its hours keep it asleep yet, if they do.
    pub kept_asleep: Option<Duration>,
    /// How long it has stood there.
    pub since: Duration,
    /// When it sleeps if nobody comes; `None` unless an idle window runs.
    pub sleeps_in: Option<Duration>,
    /// When it is stopped if nobody comes; of a paused target that is to sleep deeper.
    pub deeper_in: Option<Duration>,
    /// How often it was woken by us.
    pub woken: u64,
    /// How long the last of these took.
    pub last_wake: Option<Wake>,
    /// Why the wake after that failed, if it did.
    pub failure: Option<Arc<str>>,
    /// The idle window in force.
    pub window: Window,
    /// Who wakes it, or waits for it first, while somebody does.
    pub asked_by: Option<Waker>,
    /// Who has woken it last, and how long ago it was awake.
    pub woken_by: Option<(Waker, Duration)>,
    /// Why it is not put to sleep though nobody uses it, if it is not.
    pub denied: Option<Arc<str>>,
    /// How long the hold goes on, if there is one and it has an end.
    pub held_for: Option<Duration>,
    /// What is remembered of it, over lives of the daemon.
    pub so_far: SoFar,
}

/// What is remembered of a service.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SoFar {
    /// How often it was woken.
    pub woken: u64,
    /// How long it has slept.
    pub asleep: Asleep,
    /// What that has saved: gibibytes of memory times hours.
    pub saved_gib_hours: f64,
    /// How long half of the last wakes took at most.
    pub wake_p50: Option<Duration>,
    /// How long 95 of 100 did.
    pub wake_p95: Option<Duration>,
}

/// What a sleep that is asked for means to those who use the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clients {
    /// While they are there, it stays awake.
    #[default]
    ComeFirst,
    /// It is stopped under them.
    AreCutOff,
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
    /// Services that depend on it are awake, or its companions' entrance is: it is not stopped under
    /// them, whatever was asked.
    Needed,
    /// It is being started with nobody there any more, or nobody has looked yet.
    NotYet,
}

/// A lease that is no client's: somebody wants the target awake, used or not.
#[derive(Debug)]
pub struct Kept {
    held: Held,
    keeper: Keeper,
}

/// Who that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeper {
    Administrator,
    /// The hours of the service.
    Clock,
}

impl ServiceHandle {
    /// What it is doing, and what has become of it so far.
    pub fn details(&self) -> Details {
        let mut state = self.shared().lock();
        let now = self.shared().clock.now();
        let (since, woken, last_wake) = state.history.facts();
        let idle = state.core.phase().idle().and_then(Idle::at);
        let deeper =
            if let Phase::Asleep { deeper_at, .. } = state.core.phase() { deeper_at } else { None };
        let record = state.history.past.seen(now);
        let held_for = record.hold.and_then(|hold| hold.left(unix_time()));
        let so_far = SoFar {
            woken: record.woken,
            asleep: record.asleep,
            saved_gib_hours: record.saved_gib_hours(),
            wake_p50: record.wake_percentile(50),
            wake_p95: record.wake_percentile(95),
        };
        let woken_by = state.history.waker();
        let awaited = state.core.waiting() > 0;
        Details {
            status: state.status(),
            kept: state.kept,
            by_the_clock: state.by_the_clock > 0,
            kept_asleep: state.curfew.map(|curfew| curfew.until.since(now)),
            since: now.since(since),
            sleeps_in: idle.map(|at| at.since(now)),
            deeper_in: deeper.map(|at| at.since(now)),
            woken,
            last_wake,
            failure: state.history.failure(),
            window: state.history.window,
            asked_by: state.history.asking().filter(|_| awaited),
            woken_by: woken_by.map(|(who, at)| (who, now.since(at))),
            denied: state.history.denial(),
            held_for,
            so_far,
        }
    }

    /// Takes up what is remembered of it, and tells of changes from now on.
    pub fn restore(&self, record: Record, told: Arc<Told>) {
        let mut state = self.shared().lock();
        let now = self.shared().clock.now();
        state.history.past.restore(record, told, now, unix_time().as_secs());
    }

    /// What is to be remembered of it.
    pub fn record(&self) -> Record {
        let mut state = self.shared().lock();
        let now = self.shared().clock.now();
        state.history.past.record(now, unix_time().as_secs())
    }

    /// The idle window is chosen so from now on, or no longer.
    pub fn choose_window(&self, auto: Option<Auto>) {
        self.shared().lock().history.past.set_auto(auto);
        self.shared().work.notify_one();
    }

    /// Remembers that somebody wants it awake, or nobody any more.
    pub fn remember_hold(&self, hold: Option<Hold>) {
        self.shared().lock().history.past.held(hold);
    }

    /// A lease that is no client's and that wakes nothing.
    pub fn keep(&self) -> Kept {
        let mut state = self.shared().lock();
        state.kept += 1;
        self.shared().feed_locked(&mut state, Event::Pin);
        self.shared().heed_curfew(&mut state);
        drop(state);
        self.shared().changed();
        Kept { held: Held::of(self), keeper: Keeper::Administrator }
    }

    /// Asks for a sleep without waiting for the end of the idle window, perhaps under its clients.
    pub fn sleep(&self, clients: Clients) -> Slept {
        let mut state = self.shared().lock();
        if state.closed {
            return Slept::NotYet;
        }
        let before = state.core.phase();
        let runs =
            matches!(before, Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. });
        if clients == Clients::AreCutOff && state.pinned > 0 && runs {
            return Slept::Needed;
        }
        let event = match clients {
            Clients::ComeFirst => Event::Sleep,
            Clients::AreCutOff => Event::SleepAnyway,
        };
        self.shared().feed_locked(&mut state, event);
        let after = state.core.phase();
        if after.is_stopping() {
            state.history.past.not_chosen();
        }
        let used = state.core.leases() > 0 || state.core.waiting() > 0;
        drop(state);
        self.shared().changed();
        match (before, after) {
            (
                Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. },
                Phase::Stopping { .. },
            ) => Slept::Begins,
            // A lease of a life that is over keeps nothing awake.
            (Phase::Asleep { .. } | Phase::Failed(_), _) => Slept::Already,
            _ if used => Slept::Used,
            (Phase::Stopping { .. }, _) => Slept::Already,
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
        self.keep_for(Keeper::Administrator)
    }

    /// The same, as that of the hours in which the target is kept awake.
    pub fn keep_by_the_clock(self) -> Kept {
        self.keep_for(Keeper::Clock)
    }

    fn keep_for(self, keeper: Keeper) -> Kept {
        let held = self.hold();
        let mut state = held.shared.lock();
        state.kept += 1;
        match keeper {
            Keeper::Administrator => {}
            Keeper::Clock => state.by_the_clock += 1,
        }
        held.shared.heed_curfew(&mut state);
        drop(state);
        held.shared.changed();
        Kept { held, keeper }
    }
}

impl Kept {
    /// Whether it is of that service.
    pub fn is_of(&self, service: &ServiceHandle) -> bool {
        Arc::ptr_eq(&self.held.shared, service.shared())
    }
}

impl Drop for Kept {
    /// The lease itself ends right after.
    fn drop(&mut self) {
        let mut state = self.held.shared.lock();
        state.kept = state.kept.saturating_sub(1);
        match self.keeper {
            Keeper::Administrator => {}
            Keeper::Clock => state.by_the_clock = state.by_the_clock.saturating_sub(1),
        }
        self.held.shared.heed_curfew(&mut state);
    }
}
