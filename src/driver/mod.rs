//! One task per service: it owns the engine calls, feeds their answers to the core and does what
//! the core asks.
//!
//! Whoever wants the target holds a [`ServiceHandle`] and calls [`ServiceHandle::acquire`]; the
//! phase of the service is nobody else's business.

mod address;
mod bonds;
mod counted;
mod curfew;
mod held;
mod history;
mod hours;
mod lease;
mod listening;
mod may_sleep;
mod networks;
mod oneshot;
mod operation;
mod past;
mod pin;
mod readiness;
mod reclaim;
mod reconfigure;
mod report;
mod spare;
mod standing;
mod task;
mod tie;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use address::{Upstream, Via, of as addresses_of};
pub use bonds::{AfterUse, Bonds, Needed, On, Optional, Until};
pub use held::{Held, Lease};
pub use history::{Wake, Waker};
pub use hours::Timekeeper;
pub use lease::{ServiceHandle, Status};
pub use oneshot::{OneShot, OneShotHandle, Uncompleted};
pub use pin::Pinned;
pub use reconfigure::Setup;
pub use report::refusal;
pub use standing::{Clients, Details, Kept, Slept, SoFar};
pub use task::Driver;
pub use tie::{Tied, tie};

use crate::config::rules::{MaySleep, Switch};
use crate::config::{GivenUpstream, Ports, Ready, Settings};
use crate::engine::TargetName;
use crate::port::Protocol;
use crate::proxy::header::Version;

/// What the driver needs to know of its service.
#[derive(Debug, Clone)]
pub struct Target {
    /// The service's name.
    pub service: String,
    /// The container.
    pub name: TargetName,
    /// The application's ports in it; none if nobody connects to it.
    pub ports: Ports,
    /// Where to connect, outranking what the engine says.
    pub upstream: Option<GivenUpstream>,
    /// The network to reach it on.
    pub network: Option<String>,
    /// When it counts as ready.
    pub ready: Ready,
    /// The grace of a stop; `None` is the container's own.
    pub stop_timeout: Option<Duration>,
    /// Keepalive of connections to it.
    pub keepalive: Duration,
    /// The PROXY header it expects.
    pub announce: Option<Version>,
    /// Where the daemon itself listens, so that it never connects to itself.
    pub own_addresses: Vec<(Protocol, SocketAddr)>,
    /// What is asked before a sleep.
    pub may_sleep: MaySleep,
    /// Whether its memory is taken back while it is paused.
    pub reclaim: Switch,
    /// What it has to do with other services.
    pub bonds: Arc<Bonds>,
}

impl Target {
    /// The target of the service of that name, and of those `settings`.
    pub fn new(
        service: &str,
        settings: &Settings,
        own_addresses: Vec<(Protocol, SocketAddr)>,
    ) -> Self {
        Self {
            service: service.to_owned(),
            name: settings.target.clone(),
            ports: settings.ports.clone(),
            upstream: settings.upstream.clone(),
            network: settings.network.clone(),
            ready: settings.ready.clone(),
            stop_timeout: settings.stop_timeout,
            keepalive: settings.connection.keepalive,
            announce: settings.proxy_protocol,
            own_addresses,
            may_sleep: settings.may_sleep.clone(),
            reclaim: settings.reclaim,
            bonds: Arc::default(),
        }
    }
}
