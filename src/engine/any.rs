//! Whatever `--engine` names: an engine of containers, or a manager of units.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{
    Api, Engine, EngineError, Found, HealthCheck, Locality, Manager, Observed, SelectError,
    Systemd, TargetName, Usage, Verdict, select,
};

/// One of the engines there are. Cheap to clone.
#[derive(Debug, Clone)]
pub enum AnyEngine {
    /// Docker or Podman.
    Api(Arc<Api>),
    /// systemd.
    Systemd(Arc<Systemd>),
}

impl AnyEngine {
    /// The engine that the word of `--engine` means, and by what it was chosen; see
    /// [`select()`].
    pub fn choose(
        word: &str,
        env: impl Fn(&str) -> Option<String>,
        found: impl Fn(&Path) -> Found,
    ) -> Result<(Self, &'static str), SelectError> {
        if let Some(manager) = Manager::of_word(word) {
            let why = match manager {
                Manager::System => "a unit",
                Manager::User => "--engine systemd-user",
            };
            return Ok((Self::Systemd(Arc::new(Systemd::new(manager, env))), why));
        }
        let (endpoint, why) = select(word, env, found)?;
        Ok((Self::Api(Arc::new(Api::new(endpoint))), why))
    }

    /// Connects anew, and answers what engine it is.
    pub async fn connect(&self) -> Result<String, EngineError> {
        match self {
            Self::Api(api) => api.connect().await,
            Self::Systemd(systemd) => systemd.connect().await,
        }
    }
}

impl Engine for AnyEngine {
    async fn inspect(&self, name: &TargetName) -> Result<Observed, EngineError> {
        match self {
            Self::Api(api) => api.inspect(name).await,
            Self::Systemd(systemd) => systemd.inspect(name).await,
        }
    }

    async fn start(&self, name: &TargetName) -> Result<(), EngineError> {
        match self {
            Self::Api(api) => api.start(name).await,
            Self::Systemd(systemd) => systemd.start(name).await,
        }
    }

    async fn resume(&self, name: &TargetName) -> Result<(), EngineError> {
        match self {
            Self::Api(api) => api.resume(name).await,
            Self::Systemd(systemd) => systemd.resume(name).await,
        }
    }

    async fn stop(&self, name: &TargetName, grace: Duration) -> Result<(), EngineError> {
        match self {
            Self::Api(api) => api.stop(name, grace).await,
            Self::Systemd(systemd) => systemd.stop(name, grace).await,
        }
    }

    async fn pause(&self, name: &TargetName) -> Result<(), EngineError> {
        match self {
            Self::Api(api) => api.pause(name).await,
            Self::Systemd(systemd) => systemd.pause(name).await,
        }
    }

    async fn kill(&self, name: &TargetName) -> Result<(), EngineError> {
        match self {
            Self::Api(api) => api.kill(name).await,
            Self::Systemd(systemd) => systemd.kill(name).await,
        }
    }

    async fn exec(
        &self,
        name: &TargetName,
        argv: &[String],
        limit: Duration,
    ) -> Result<i64, EngineError> {
        match self {
            Self::Api(api) => api.exec(name, argv, limit).await,
            Self::Systemd(systemd) => systemd.exec(name, argv, limit).await,
        }
    }

    async fn usage(&self, name: &TargetName) -> Result<Usage, EngineError> {
        match self {
            Self::Api(api) => api.usage(name).await,
            Self::Systemd(systemd) => systemd.usage(name).await,
        }
    }

    async fn control_group(&self, name: &TargetName) -> Option<String> {
        match self {
            Self::Api(api) => api.control_group(name).await,
            Self::Systemd(systemd) => systemd.control_group(name).await,
        }
    }

    async fn check_health(
        &self,
        name: &TargetName,
        check: &HealthCheck,
    ) -> Result<Verdict, EngineError> {
        match self {
            Self::Api(api) => api.check_health(name, check).await,
            Self::Systemd(systemd) => systemd.check_health(name, check).await,
        }
    }

    async fn last_output(&self, name: &TargetName, lines: u8) -> Result<Vec<String>, EngineError> {
        match self {
            Self::Api(api) => api.last_output(name, lines).await,
            Self::Systemd(systemd) => systemd.last_output(name, lines).await,
        }
    }

    async fn locality(&self) -> Locality {
        match self {
            Self::Api(api) => api.locality().await,
            Self::Systemd(systemd) => systemd.locality().await,
        }
    }

    async fn watch(&self, name: &TargetName, look: &Notify) {
        match self {
            Self::Api(api) => api.watch(name, look).await,
            Self::Systemd(systemd) => systemd.watch(name, look).await,
        }
    }

    fn missing(&self, name: &TargetName) -> String {
        match self {
            Self::Api(api) => api.missing(name),
            Self::Systemd(systemd) => systemd.missing(name),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Api(api) => api.describe(),
            Self::Systemd(systemd) => systemd.describe(),
        }
    }
}
