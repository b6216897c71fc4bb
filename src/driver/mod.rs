//! One task per service: it owns the engine calls, feeds their answers to the core and does what
//! the core asks.
//!
//! Whoever wants the target holds a [`ServiceHandle`] and calls [`ServiceHandle::acquire`]; the
//! phase of the service is nobody else's business.

mod address;
mod history;
mod lease;
mod listening;
mod operation;
mod readiness;
mod report;
mod spare;
mod standing;
mod task;

use std::net::SocketAddr;
use std::time::Duration;

pub use address::{Upstream, Via, of as addresses_of};
pub use history::Wake;
pub use lease::{Held, Lease, ServiceHandle, Status};
pub use standing::{Details, Kept, Slept};
pub use task::Driver;

use crate::config::{GivenUpstream, Ports, Ready, Settings};
use crate::engine::ContainerName;
use crate::port::Protocol;
use crate::proxy::header::Version;

/// What the driver needs to know of its service.
#[derive(Debug, Clone)]
pub struct Target {
    /// The container.
    pub name: ContainerName,
    /// The application's ports in it.
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
}

impl Target {
    /// The target of `settings`.
    pub fn new(settings: &Settings, own_addresses: Vec<(Protocol, SocketAddr)>) -> Self {
        Self {
            name: settings.container.clone(),
            ports: settings.ports.clone(),
            upstream: settings.upstream.clone(),
            network: settings.network.clone(),
            ready: settings.ready.clone(),
            stop_timeout: settings.stop_timeout,
            keepalive: settings.connection.keepalive,
            announce: settings.proxy_protocol,
            own_addresses,
        }
    }
}
