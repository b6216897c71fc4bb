//! What is said of a service: the one schema of status, events and answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Administered;
use crate::activation::{Phase, Rest};
use crate::driver::{Details, Wake};

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
    /// Connections and UDP flows that use it; a hold is none.
    pub connections: u32,
    /// Who waits for it, a wake that was asked for included.
    pub waiting: usize,
    /// When it sleeps if nobody comes; none unless an idle window runs.
    pub sleeps_in_seconds: Option<f64>,
    /// Why it is awake, or being woken.
    pub awake_because: Option<Because>,
    /// How often the daemon has woken it.
    pub woken: u64,
    /// How long the last of these took.
    pub last_wake: Option<WakeView>,
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
    /// Its idle window has no end.
    #[serde(rename = "never sleeps")]
    NeverSleeps,
    /// A hold.
    Held,
}

/// How long a wake took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WakeView {
    /// The engine's start.
    pub engine_seconds: f64,
    /// From there to readiness.
    pub ready_seconds: f64,
    /// Both.
    pub total_seconds: f64,
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
            awake_because: because(&details),
            woken: details.woken,
            last_wake: details.last_wake.map(WakeView::of),
        }
    }

    /// Whether it says otherwise than `earlier` where an event is due.
    pub(super) fn differs(&self, earlier: &Self) -> bool {
        (self.state, self.connections, self.waiting, self.awake_because)
            != (earlier.state, earlier.connections, earlier.waiting, earlier.awake_because)
    }
}

impl StateWord {
    fn of(phase: Phase) -> Self {
        match phase {
            Phase::Unknown => Self::Unknown,
            Phase::Asleep(Rest::Stopped) => Self::Asleep,
            Phase::Asleep(Rest::Paused) => Self::Paused,
            Phase::Asleep(Rest::Missing) => Self::Missing,
            Phase::Starting { .. } => Self::Starting,
            Phase::Probing { .. } => Self::Probing,
            Phase::Awake { .. } | Phase::Found { .. } => Self::Awake,
            Phase::Stopping => Self::Stopping,
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
            Self::NeverSleeps => "never sleeps",
            Self::Held => "held",
        }
    }
}

impl WakeView {
    fn of(wake: Wake) -> Self {
        Self {
            engine_seconds: seconds(wake.engine),
            ready_seconds: seconds(wake.ready),
            total_seconds: seconds(wake.engine + wake.ready),
        }
    }
}

fn connections(details: &Details) -> u32 {
    details.status.leases.saturating_sub(details.kept)
}

fn because(details: &Details) -> Option<Because> {
    let in_use = if connections(details) > 0 {
        Some(Because::Connections)
    } else if details.status.waiting > 0 {
        Some(Because::Waiting)
    } else if details.kept > 0 {
        Some(Because::Held)
    } else {
        None
    };
    match details.status.phase {
        Phase::Starting { .. } | Phase::Probing { .. } => in_use,
        Phase::Awake { idle_at } | Phase::Found { idle_at } => in_use.or(Some(match idle_at {
            Some(_) => Because::IdleWindow,
            None => Because::NeverSleeps,
        })),
        Phase::Unknown | Phase::Asleep(_) | Phase::Stopping | Phase::Failed(_) => None,
    }
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
