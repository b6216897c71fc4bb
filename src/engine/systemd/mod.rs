//! Units of systemd, of the machine's manager or of a user's, over D-Bus.
//!
//! A unit is any program, and that of a Quadlet file a container, whose stop deletes it: which is
//! why that container is never asked for by an engine's API.

mod accounting;
mod bus;
mod error;
mod job;
mod journal;
mod unit;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use zbus::zvariant::ObjectPath;

pub use bus::Manager;
use bus::{Bus, MANAGER, MANAGER_PATH, PROPERTIES, SERVICE, UNIT};
use error::Doing;
use unit::{Ended, Properties, path_of};

use super::watch::Watchers;
use super::{
    Engine, EngineError, HealthCheck, Locality, NOT_RUN, Observed, State, TargetName, Usage,
    Verdict,
};

/// After a reconnect every unit is looked at, with three calls at the most at once, and a bus lets a
/// connection wait for 128 answers (`max_replies_per_connection`, dbus-daemon(1)).
const INSPECTS_AT_ONCE: usize = 32;

/// The signal that no program can refuse.
const SIGKILL: i32 = 9;

/// A systemd manager.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
    watchers: Watchers,
    /// The path of a unit by its first name, and our name for it, where that is another.
    aliases: Mutex<BTreeMap<String, TargetName>>,
    /// One for each inspect there may be at once.
    inspects: Semaphore,
}

impl Systemd {
    /// The manager on the bus that the environment, read by `env`, names; nothing is sent yet.
    pub fn new(manager: Manager, env: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            bus: Bus::new(manager, env),
            watchers: Watchers::default(),
            aliases: Mutex::default(),
            inspects: Semaphore::new(INSPECTS_AT_ONCE),
        }
    }

    /// Whose units it runs.
    pub fn manager(&self) -> Manager {
        self.bus.manager()
    }

    /// Connects anew, and answers what systemd it is.
    pub async fn connect(&self) -> Result<String, EngineError> {
        self.bus.forget().await;
        Box::pin(async {
            let path = ObjectPath::from_static_str_unchecked(MANAGER_PATH);
            let version: String =
                self.bus.property(path, MANAGER, "Version", Doing::Asking).await?;
            Ok(format!("systemd {}", super::plain(&version)))
        })
        .await
    }

    /// What stands in the way of that unit, and the units that start it by themselves: sockets,
    /// timers, paths.
    pub async fn circumstances(&self, name: &TargetName) -> (Option<String>, Vec<String>) {
        match Box::pin(self.properties(name)).await {
            Ok(unit) => {
                (unit.trouble(name.as_str(), self.manager()), unit.triggered_by.unwrap_or_default())
            }
            Err(error) => (Some(error.to_string()), Vec::new()),
        }
    }

    /// What it takes for this user to start and stop that unit.
    pub fn right_needed(name: &TargetName) -> String {
        error::right_needed(name.as_str())
    }

    fn bus(&self) -> &Bus {
        &self.bus
    }

    fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Whether the object at `path` is that unit, by this name or its first one.
    fn is_at(&self, name: &TargetName, path: &str) -> bool {
        path == path_of(name.as_str())
            || self.aliases.lock().unwrap_or_else(PoisonError::into_inner).get(path) == Some(name)
    }

    /// Asking loads a unit that is not loaded, as `LoadUnit` would.
    async fn properties(&self, name: &TargetName) -> Result<Properties, EngineError> {
        let path = ObjectPath::from_string_unchecked(path_of(name.as_str()));
        let unit: Properties =
            self.bus.call(path, PROPERTIES, "GetAll", &UNIT, Doing::Asking).await?;
        unit.exists(name.as_str())?;
        if let Some(first) = unit.id.as_deref().filter(|first| *first != name.as_str()) {
            let mut aliases = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
            aliases.entry(path_of(first)).or_insert_with(|| name.clone());
        }
        Ok(unit)
    }

    /// How the last run of a service has ended; nothing of what is no service.
    async fn ended(&self, name: &TargetName) -> Option<Ended> {
        let path = path_of(name.as_str());
        let path = || ObjectPath::from_str_unchecked(&path);
        let bus = &self.bus;
        let (result, code, status) = tokio::join!(
            bus.property(path(), SERVICE, "Result", Doing::Asking),
            bus.property(path(), SERVICE, "ExecMainCode", Doing::Asking),
            bus.property(path(), SERVICE, "ExecMainStatus", Doing::Asking),
        );
        Some(Ended { result: result.ok()?, code: code.ok()?, status: status.ok()? })
    }
}

/// The bus library's futures are several KiB each: on the heap, so that whoever waits for one stays
/// small.
impl Engine for Systemd {
    async fn inspect(&self, name: &TargetName) -> Result<Observed, EngineError> {
        // Never closed, so an error cannot be.
        let _place = self.inspects.acquire().await;
        Box::pin(async {
            let unit = self.properties(name).await?;
            let ended = match unit.state()? {
                State::Stopped => self.ended(name).await,
                State::Running | State::Restarting | State::Paused => None,
            };
            unit.observed(name.as_str(), self.manager(), ended.as_ref())
        })
        .await
    }

    async fn start(&self, name: &TargetName) -> Result<(), EngineError> {
        Box::pin(job::start(self, name)).await
    }

    async fn resume(&self, name: &TargetName) -> Result<(), EngineError> {
        let doing = Doing::Managing("thaw", name.as_str());
        let body = name.as_str();
        Box::pin(self.bus.manager_call("ThawUnit", &body, doing)).await
    }

    /// The grace is the unit's own `TimeoutStopSec=`.
    async fn stop(&self, name: &TargetName, _grace: Duration) -> Result<(), EngineError> {
        Box::pin(job::stop(self, name)).await
    }

    async fn pause(&self, name: &TargetName) -> Result<(), EngineError> {
        let doing = Doing::Managing("freeze", name.as_str());
        let body = name.as_str();
        Box::pin(self.bus.manager_call("FreezeUnit", &body, doing)).await
    }

    async fn kill(&self, name: &TargetName) -> Result<(), EngineError> {
        let doing = Doing::Managing("kill", name.as_str());
        let body = (name.as_str(), "all", SIGKILL);
        Box::pin(self.bus.manager_call("KillUnit", &body, doing)).await
    }

    /// A unit is no container; the configuration knows that.
    async fn exec(
        &self,
        _name: &TargetName,
        _argv: &[String],
        _limit: Duration,
    ) -> Result<i64, EngineError> {
        Ok(NOT_RUN)
    }

    async fn usage(&self, name: &TargetName) -> Result<Usage, EngineError> {
        Box::pin(accounting::usage(&self.bus, name)).await
    }

    async fn control_group(&self, name: &TargetName) -> Option<String> {
        Box::pin(accounting::control_group(&self.bus, name)).await
    }

    /// A unit's check is whether it has got active.
    async fn check_health(
        &self,
        name: &TargetName,
        _check: &HealthCheck,
    ) -> Result<Verdict, EngineError> {
        let unit = Box::pin(self.properties(name)).await?;
        if unit.is_ready() {
            Ok(Verdict::Healthy)
        } else {
            Ok(Verdict::Unhealthy(format!("the unit is {}", unit.shown())))
        }
    }

    async fn last_output(&self, name: &TargetName, lines: u8) -> Result<Vec<String>, EngineError> {
        Box::pin(journal::last_lines(self.manager(), name, lines)).await
    }

    async fn locality(&self) -> Locality {
        Locality::Local
    }

    async fn watch(&self, name: &TargetName, look: &Notify) {
        watch::watch(self, name, look).await;
    }

    fn missing(&self, name: &TargetName) -> String {
        let (ctl, folder) = match self.manager() {
            Manager::System => ("systemctl", "/etc/systemd/system"),
            Manager::User => ("systemctl --user", "~/.config/systemd/user"),
        };
        format!(
            "there is no unit {name}: write it to {folder} (a Quadlet file elsewhere, see \
             podman-systemd.unit(5)) and `{ctl} daemon-reload`, or mend --unit"
        )
    }

    fn describe(&self) -> String {
        self.manager().to_string()
    }
}
