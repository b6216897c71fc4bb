//! The seam to whatever runs targets.
//!
//! The vocabulary is ours: what an engine says becomes [`Observed`] or one of the five
//! [`EngineError`]s, and nothing of a client library passes through. Methods do one call and give
//! it a time limit; trying again, and finding out what a failed call has done, is the driver's.

mod any;
mod api;
mod error;
mod exec;
#[doc(hidden)]
pub mod fake;
mod healthcheck;
mod hello;
mod http;
mod inspect;
mod listing;
mod name;
mod observed;
mod select;
mod systemd;
mod transport;
mod usage;
mod watch;

use std::future::Future;
use std::time::Duration;

pub use any::AnyEngine;
pub use api::Api;
pub use error::{EngineError, Sent, plain};
pub use http::head_of;
#[doc(hidden)]
pub use inspect::observed_from_json;
#[doc(hidden)]
pub use listing::snapshot_from_json;
pub use listing::{Listed, Snapshot};
pub use name::{BadName, TargetName};
pub use observed::{Exit, Health, HealthCheck, Lasting, Networking, Observed, State};
pub use select::{Endpoint, Found, SelectError, check_labels_word, check_word, select};
pub use systemd::{Manager, Systemd};
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

/// The exit status of what could not be run, as shells have it.
pub const NOT_RUN: i64 = 127;

/// What a target has used since it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Time of processors.
    pub cpu: Option<Duration>,
    /// Bytes received and sent on networks of its own.
    pub net: Option<u64>,
    /// Bytes of memory that it has now.
    pub memory: Option<u64>,
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
        name: &TargetName,
    ) -> impl Future<Output = Result<Observed, EngineError>> + Send;

    /// Starts a stopped target.
    fn start(&self, name: &TargetName) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Thaws a paused target.
    fn resume(&self, name: &TargetName) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Stops a running target: a polite signal, and after `grace` the end. Answers when it has
    /// ended.
    fn stop(
        &self,
        name: &TargetName,
        grace: Duration,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Freezes a running target: it keeps its memory.
    fn pause(&self, name: &TargetName) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Ends a running target at once (SIGKILL), under a stop that is on its way.
    fn kill(&self, name: &TargetName) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Runs a command in the running target, and answers its exit status. What it writes is dropped.
    /// A command that cannot be run is an answer of [`NOT_RUN`].
    fn exec(
        &self,
        name: &TargetName,
        argv: &[String],
        limit: Duration,
    ) -> impl Future<Output = Result<i64, EngineError>> + Send;

    /// What the running target has used so far, as the engine counts it.
    fn usage(&self, name: &TargetName) -> impl Future<Output = Result<Usage, EngineError>> + Send;

    /// The target's control group, where the engine names it and not a process in it: units.
    fn control_group(&self, _name: &TargetName) -> impl Future<Output = Option<String>> + Send {
        std::future::ready(None)
    }

    /// Runs the target's own health check once, now.
    fn check_health(
        &self,
        name: &TargetName,
        check: &HealthCheck,
    ) -> impl Future<Output = Result<Verdict, EngineError>> + Send;

    /// The last lines the target wrote, oldest first; at most `lines`.
    fn last_output(
        &self,
        name: &TargetName,
        lines: u8,
    ) -> impl Future<Output = Result<Vec<String>, EngineError>> + Send;

    /// Where the engine runs.
    fn locality(&self) -> impl Future<Output = Locality> + Send;

    /// Notifies `look` whenever something may have happened to the target, and after every gap in
    /// which something may have been missed. Never ends; hints only, an inspect tells the truth.
    fn watch(&self, name: &TargetName, look: &Notify) -> impl Future<Output = ()> + Send;

    /// What to say, and to do, about a name that nothing has.
    fn missing(&self, name: &TargetName) -> String {
        format!(
            "there is no container {name}: create it (docker create, podman create, compose up \
             --no-start) or mend --container"
        )
    }

    /// What an operator calls it: `docker at unix:///var/run/docker.sock`.
    fn describe(&self) -> String;
}
