//! What is said of a service: the one schema of status, events and answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Administered;
use super::why::why;
use crate::activation::{Idle, Phase, Rest, Window};
use crate::driver::{Details, SoFar, Wake};

/// All services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// In the order of their names.
    pub services: Vec<ServiceView>,
}

/// One service; durations are in seconds, to the millisecond.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name in the configuration.
    pub name: String,
    /// Its container.
    pub container: String,
    /// Where it stands.
    pub state: StateWord,
    /// How long it has stood there.
    pub since_seconds: f64,
    /// Connections and UDP flows that use it; a hold is none, nor a service that depends on it.
    pub connections: u32,
    /// Who waits for it, a wake that was asked for included.
    pub waiting: usize,
    /// When it sleeps if nobody comes; none unless an idle window runs.
    pub sleeps_in_seconds: Option<f64>,
    /// How long its hours keep it asleep yet, if they do.
    pub kept_asleep_seconds: Option<f64>,
    /// Why it is awake, or being woken.
    pub awake_because: Option<Because>,
    /// How often the daemon has woken it.
    pub woken: u64,
    /// How long the last of these took.
    pub last_wake: Option<WakeView>,
    /// Why the wake after that failed, if it did.
    pub last_failure: Option<String>,
    /// The idle window in force; none if it has no end.
    pub idle_window_seconds: Option<f64>,
    /// What keeps it awake or has woken it last, and when it will sleep: a sentence.
    pub why: String,
    /// What is remembered of it.
    pub so_far: SoFarView,
}

/// What is remembered of a service, over lives of the daemon where a history is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SoFarView {
    /// How often it was woken.
    pub woken: u64,
    /// How long it has slept, stopped or paused.
    pub asleep_seconds: f64,
    /// How long of that it was paused.
    pub paused_seconds: f64,
    /// What its sleep has saved: gibibytes of memory times hours.
    pub saved_gib_hours: f64,
    /// How long half of the last 64 wakes took at most; none before the first.
    pub wake_p50_seconds: Option<f64>,
    /// How long 95 of 100 did.
    pub wake_p95_seconds: Option<f64>,
}

/// A state's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateWord {
    /// Stopped.
    Asleep,
    /// Frozen; it is thawed for the next client.
    Paused,
    /// There is no such container.
    Missing,
    /// The engine starts it.
    Starting,
    /// It runs and is not ready yet.
    Probing,
    /// It runs.
    Awake,
    /// The engine stops it.
    Stopping,
    /// The last wake failed.
    Failed,
    /// Nobody has looked yet.
    Unknown,
}

/// What keeps it awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Because {
    /// Clients use it.
    Connections,
    /// Clients wait for it.
    Waiting,
    /// The idle window has not passed.
    #[serde(rename = "idle window")]
    IdleWindow,
    /// It is being asked whether it may sleep.
    Asking,
    /// It would sleep by now, but nothing is put to sleep.
    #[serde(rename = "dry run")]
    DryRun,
    /// Its idle window has no end.
    #[serde(rename = "never sleeps")]
    NeverSleeps,
    /// A hold.
    Held,
    /// The hours in which it is kept awake.
    Hours,
    /// A service that depends on it, or whose companion it is, is awake.
    Dependents,
}

/// How long a wake took, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WakeView {
    /// Until what it depends on was there.
    pub needs_seconds: f64,
    /// The engine's start.
    pub engine_seconds: f64,
    /// The application's time to become ready.
    pub ready_seconds: f64,
    /// The rest: the daemon's own.
    pub ours_seconds: f64,
    /// All of them.
    pub total_seconds: f64,
}

/// What has become of the services, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// New ones.
    pub added: Vec<String>,
    /// Those that go on, told something new.
    pub changed: Vec<String>,
    /// Those that are served no more.
    pub removed: Vec<String>,
    /// How many have noticed nothing.
    pub unchanged: usize,
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What and why.
    pub error: String,
}

impl ServiceView {
    /// The service as it is now.
    pub(super) fn of(name: &str, service: &Administered) -> Self {
        let details = service.handle.details();
        Self {
            name: name.to_owned(),
            container: service.container.clone(),
            state: StateWord::of(details.status.phase),
            since_seconds: seconds(details.since),
            connections: connections(&details),
            waiting: details.status.waiting,
            sleeps_in_seconds: details.sleeps_in.map(seconds),
            kept_asleep_seconds: details.kept_asleep.map(seconds),
            awake_because: because(&details),
            woken: details.woken,
            last_wake: details.last_wake.map(WakeView::of),
            last_failure: details.failure.as_deref().map(str::to_owned),
            idle_window_seconds: match details.window {
                Window::After(window) => Some(seconds(window)),
                Window::Never => None,
            },
            why: why(name, &details, &service.needed_by),
            so_far: SoFarView::of(details.so_far),
        }
    }

    /// Whether it says otherwise than `earlier` where an event is due.
    pub(super) fn differs(&self, earlier: &Self) -> bool {
        (self.state, self.connections, self.waiting, self.awake_because)
            != (earlier.state, earlier.connections, earlier.waiting, earlier.awake_because)
    }
}

impl StateWord {
    /// The word for a phase.
    pub(crate) fn of(phase: Phase) -> Self {
        match phase {
            Phase::Unknown => Self::Unknown,
            Phase::Asleep { rest: Rest::Stopped, .. } => Self::Asleep,
            Phase::Asleep { rest: Rest::Paused, .. } => Self::Paused,
            Phase::Asleep { rest: Rest::Missing, .. } => Self::Missing,
            Phase::Starting { .. } => Self::Starting,
            Phase::Probing { .. } => Self::Probing,
            Phase::Awake { .. } | Phase::Found { .. } => Self::Awake,
            Phase::Stopping { .. } => Self::Stopping,
            Phase::Failed(_) => Self::Failed,
        }
    }

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asleep => "asleep",
            Self::Paused => "paused",
            Self::Missing => "missing",
            Self::Starting => "starting",
            Self::Probing => "probing",
            Self::Awake => "awake",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl Because {
    /// As it is written.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Waiting => "waiting",
            Self::IdleWindow => "idle window",
            Self::Asking => "asking",
            Self::DryRun => "dry run",
            Self::NeverSleeps => "never sleeps",
            Self::Held => "held",
            Self::Hours => "hours",
            Self::Dependents => "dependents",
        }
    }
}

impl WakeView {
    fn of(wake: Wake) -> Self {
        Self {
            needs_seconds: fine_seconds(wake.needs),
            engine_seconds: fine_seconds(wake.engine),
            ready_seconds: fine_seconds(wake.ready),
            ours_seconds: fine_seconds(wake.ours),
            total_seconds: fine_seconds(wake.total()),
        }
    }
}

impl SoFarView {
    fn of(so_far: SoFar) -> Self {
        let SoFar { woken, asleep, saved_gib_hours, wake_p50, wake_p95 } = so_far;
        Self {
            woken,
            asleep_seconds: seconds(asleep.total()),
            paused_seconds: seconds(Duration::from_millis(asleep.paused_ms)),
            saved_gib_hours: (saved_gib_hours * 1e6).round() / 1e6,
            wake_p50_seconds: wake_p50.map(fine_seconds),
            wake_p95_seconds: wake_p95.map(fine_seconds),
        }
    }
}

/// Connections and UDP flows that use it.
pub(super) fn connections(details: &Details) -> u32 {
    let counted = details.status.leases.saturating_sub(details.kept + details.status.pinned);
    counted + details.status.silent
}

/// What keeps it awake.
pub(super) fn because(details: &Details) -> Option<Because> {
    let in_use = if connections(details) > details.status.silent {
        Some(Because::Connections)
    } else if details.status.waiting > 0 {
        Some(Because::Waiting)
    } else if details.kept > u32::from(details.by_the_clock) {
        Some(Because::Held)
    } else if details.by_the_clock {
        Some(Because::Hours)
    } else if details.status.pinned > 0 {
        Some(Because::Dependents)
    } else {
        None
    };
    match details.status.phase {
        Phase::Starting { .. } | Phase::Probing { .. } => in_use,
        Phase::Awake { idle } | Phase::Found { idle } => in_use.or(Some(match idle {
            Idle::At(_) => Because::IdleWindow,
            Idle::Asking(..) => Because::Asking,
            Idle::Dry => Because::DryRun,
            Idle::Never => Because::NeverSleeps,
        })),
        Phase::Unknown | Phase::Asleep { .. } | Phase::Stopping { .. } | Phase::Failed(_) => None,
    }
}

/// To the microsecond: our own part of a wake is less than a millisecond.
fn fine_seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::why::example;

    #[test]
    fn those_that_depend_on_it_are_no_connections_and_the_last_reason_but_for_its_window() {
        let of = |leases, pinned, kept, by_the_clock| {
            let mut details = example(Phase::Awake { idle: Idle::Never });
            (details.status.leases, details.status.pinned) = (leases, pinned);
            (details.kept, details.by_the_clock) = (kept, by_the_clock);
            (connections(&details), because(&details))
        };
        assert_eq!(of(2, 2, 0, false), (0, Some(Because::Dependents)));
        assert_eq!(of(2, 1, 1, false), (0, Some(Because::Held)));
        assert_eq!(of(3, 1, 2, true), (0, Some(Because::Held)));
        assert_eq!(of(2, 1, 1, true), (0, Some(Because::Hours)));
        assert_eq!(of(2, 1, 0, false), (1, Some(Because::Connections)));
        assert_eq!(of(0, 0, 0, false), (0, Some(Because::NeverSleeps)));
    }
}
