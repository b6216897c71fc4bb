//! What an inspect said, in our words.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::port::Port;

/// Whether the target runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It has ended and the engine is about to start it again.
    Restarting,
    /// It is frozen.
    Paused,
    /// It does not run.
    Stopped,
}

/// How the last run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// The exit code; 128 + N after signal N.
    pub code: i64,
    /// The engine's own words, when it could not start it; else empty.
    pub error: String,
    /// It was killed for want of memory.
    pub out_of_memory: bool,
}

/// A declared health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// The engine's own verdict on the target's health.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// It says healthy.
    pub healthy: bool,
    /// When the last check ended, as the engine writes it; tells an old verdict from a new one.
    pub last: Option<String>,
    /// What the last check wrote.
    pub output: String,
}

/// How the target's network is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Networking {
    /// It uses the host's own.
    Host,
    /// It is reached at the host's ports, by a forwarder that may accept before it listens.
    Forwarded,
    /// It uses that container's.
    Container(String),
    /// Networks of the engine, with the target's address in each, by the network's name.
    Own(BTreeMap<String, IpAddr>),
    /// It has none.
    #[default]
    None,
}

/// Whether a stop leaves something to start again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Lasting {
    /// It does.
    #[default]
    Yes,
    /// The engine removes it when it ends (`--rm`).
    AutoRemove,
    /// That systemd unit made it and removes it when it ends (Quadlet).
    Unit(String),
}

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The engine's ID: changes when the target is made anew.
    pub id: String,
    /// Its present name.
    pub name: String,
    /// When it was last started, as the engine writes it: with the ID it names one life.
    pub started_at: String,
    /// Its first process, as numbered where the engine runs; `None` while it does not run.
    pub pid: Option<u32>,
    /// Whether it runs.
    pub state: State,
    /// How the last run ended.
    pub exit: Exit,
    /// The declared health check.
    pub check: Option<HealthCheck>,
    /// The engine's verdict.
    pub health: Health,
    /// How to reach it.
    pub networking: Networking,
    /// The names of its networks, known also while it does not run.
    pub networks: Vec<String>,
    /// Container port → where the engine publishes it.
    pub published: BTreeMap<Port, Vec<SocketAddr>>,
    /// Container port → where it asked to be published, known also while it does not run.
    /// Port 0 is one of the engine's choice.
    pub publishes: BTreeMap<Port, Vec<SocketAddr>>,
    /// How long it may take to stop; `None` is the engine's default of 10 s.
    pub stop_timeout: Option<Duration>,
    /// Whether a stop leaves something to start again.
    pub lasting: Lasting,
    /// `no`, `always`, `unless-stopped`, `on-failure`, or empty.
    pub restart_policy: String,
}

impl Observed {
    /// Whether it was ever started: for one that was not, the engines write the first moment of the
    /// year 1, Go's zero time, or nothing.
    pub fn was_started(&self) -> bool {
        !self.started_at.is_empty() && !self.started_at.starts_with("0001-01-01")
    }

    /// Whether `other` is the same life of the same container.
    pub fn same_life(&self, other: &Self) -> bool {
        self.id == other.id && self.started_at == other.started_at
    }
}
