//! The seam to whatever runs targets.
//!
//! The vocabulary is ours: what an engine says becomes [`Observed`] or one of the five
//! [`EngineError`]s, and nothing of a client library passes through. Methods do one call and give
//! it a time limit; trying again, and finding out what a failed call has done, is the driver's.

mod api;
mod error;
#[doc(hidden)]
pub mod fake;
mod healthcheck;
mod hello;
mod http;
mod inspect;
mod name;
mod observed;
mod select;
mod transport;
mod watch;

use std::future::Future;
use std::time::Duration;

pub use api::Api;
pub use error::{EngineError, Sent, plain};
pub use http::head_of;
#[doc(hidden)]
pub use inspect::observed_from_json;
pub use name::{BadName, ContainerName};
pub use observed::{Exit, Health, HealthCheck, Lasting, Networking, Observed, State};
pub use select::{Endpoint, SelectError, check_word, select};
use tokio::sync::Notify;

/// The verdict of one health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Healthy,
    /// It failed, with this output.
    Unhealthy(String),
    /// This engine does not let us run it.
    Forbidden(String),
}

/// Where the engine runs, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locality {
    /// On this host, with networks of the host.
    Local,
    /// On this host, with networks of its own: only published ports are reachable.
    Rootless,
    /// On that host: only ports published there are reachable.
    Remote(String),
}

/// Something that inspects, starts and stops targets by name.
pub trait Engine: Send + Sync + 'static {
    /// What is known of the target now.
    fn inspect(
        &self,
        name: &ContainerName,
    ) -> impl Future<Output = Result<Observed, EngineError>> + Send;

    /// Starts a stopped target.
    fn start(&self, name: &ContainerName) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Thaws a paused target.
    fn resume(&self, name: &ContainerName) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Stops a running target: a polite signal, and after `grace` the end. Answers when it has
    /// ended.
    fn stop(
        &self,
        name: &ContainerName,
        grace: Duration,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Runs the target's own health check once, now.
    fn check_health(
        &self,
        name: &ContainerName,
        check: &HealthCheck,
    ) -> impl Future<Output = Result<Verdict, EngineError>> + Send;

    /// The last lines the target wrote, oldest first; at most `lines`.
    fn last_output(
        &self,
        name: &ContainerName,
        lines: u8,
    ) -> impl Future<Output = Result<Vec<String>, EngineError>> + Send;

    /// Where the engine runs.
    fn locality(&self) -> impl Future<Output = Locality> + Send;

    /// Notifies `look` whenever something may have happened to the target, and after every gap in
    /// which something may have been missed. Never ends; hints only, an inspect tells the truth.
    fn watch(&self, name: &ContainerName, look: &Notify) -> impl Future<Output = ()> + Send;

    /// What an operator calls it: `docker at unix:///var/run/docker.sock`.
    fn describe(&self) -> String;
}
