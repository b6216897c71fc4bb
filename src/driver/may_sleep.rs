//! What is asked before a sleep: whether the target is busy without clients, and whether whoever
//! knows better says yes.
//!
//! No answer is a no: what cannot be measured, a check that is broken or does not end. Whoever drops
//! the question ends it with all that it has begun; a command in a container that cannot be reached
//! from here apart (`engine/exec.rs`).

mod command;
mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use load::Load;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{Target, Upstream, address};
use crate::config::rules::Condition;
use crate::engine::{Engine, NOT_RUN, Observed, head_of, plain};
use crate::proxy::header;

/// How long whoever is asked may take.
const LIMIT: Duration = Duration::from_secs(10);

/// One question.
#[derive(Debug)]
pub(super) struct Question<E> {
    pub(super) engine: Arc<E>,
    pub(super) target: Arc<Target>,
    /// How it was last seen running; without it the engine is asked.
    pub(super) observed: Option<Arc<Observed>>,
    /// Where its first TCP port is, if that is known.
    pub(super) upstream: Option<Upstream>,
    /// How long the idle window goes on: that is what is measured over.
    pub(super) lead: Duration,
    /// Whether it was said already that its use cannot be measured.
    pub(super) said: Arc<AtomicBool>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Permission {
    /// It may sleep.
    Given,
    /// It may not, and why: `busy: cpu 12.0% > 5%`.
    Denied(String),
}

/// Waits out the lead, and answers whether the target may sleep.
pub(super) async fn ask<E: Engine>(question: Question<E>) -> Permission {
    match question.answer().await {
        Ok(()) => Permission::Given,
        Err(why) => Permission::Denied(why),
    }
}

impl<E: Engine> Question<E> {
    async fn answer(mut self) -> Result<(), String> {
        let target = Arc::clone(&self.target);
        if target.may_sleep.busy.measures() {
            self.quiet().await?;
        } else {
            sleep(self.lead).await;
        }
        match &target.may_sleep.condition {
            None => Ok(()),
            Some(Condition::Command(argv)) => self.command(argv).await,
            Some(Condition::Exec(argv)) => self.exec(argv).await,
            Some(Condition::Http(path)) => self.http(path).await,
        }
    }

    async fn quiet(&mut self) -> Result<(), String> {
        let observed = self.seen().await?;
        match load::over(self.lead, &*self.engine, &self.target, &observed).await {
            Load::Quiet => Ok(()),
            Load::Busy(why) => Err(format!("busy: {why}")),
            Load::Unread { what, why, to_do } => {
                if !self.said.swap(true, Ordering::Relaxed) {
                    warn!(
                        container = %self.target.name, reason = why,
                        "{what} cannot be read, so it counts as busy and stays awake: {to_do}"
                    );
                }
                Err(format!("busy: {what} cannot be read"))
            }
        }
    }

    async fn command(&self, argv: &[String]) -> Result<(), String> {
        let names = [
            ("ONDEMAND_SERVICE", self.target.service.as_str()),
            ("ONDEMAND_CONTAINER", self.target.name.as_str()),
        ];
        command::run(argv, &names, LIMIT).await
    }

    async fn exec(&self, argv: &[String]) -> Result<(), String> {
        let program = argv.first().map_or("", String::as_str);
        match self.engine.exec(&self.target.name, argv, LIMIT).await {
            Ok(0) => Ok(()),
            Ok(NOT_RUN) => Err(format!("{program} cannot be run in the container")),
            Ok(status) => Err(format!("{program} in the container says no (status {status})")),
            Err(error) => Err(format!("{program} in the container: {error}")),
        }
    }

    async fn http(&mut self, path: &str) -> Result<(), String> {
        let request = async {
            let mut why = String::from("it has no address");
            for upstream in self.upstreams().await? {
                match self.get(&upstream, path).await {
                    Ok(200..=299) => return Ok(()),
                    Ok(status) => return Err(format!("GET {path} answers {status}")),
                    Err(error) => why = error,
                }
            }
            Err(format!("GET {path}: {}", plain(&why)))
        };
        let late = || Err(format!("GET {path} has no answer within {} s", LIMIT.as_secs()));
        timeout(LIMIT, request).await.unwrap_or_else(|_| late())
    }

    /// Where its first TCP port may be.
    async fn upstreams(&mut self) -> Result<Vec<Upstream>, String> {
        if let Some(upstream) = self.upstream.take() {
            return Ok(vec![upstream]);
        }
        let observed = self.seen().await?;
        let mut found = address::find(&*self.engine, &self.target, &observed).await?;
        let first = self.target.ports.first();
        Ok(if first < found.len() { found.swap_remove(first) } else { Vec::new() })
    }

    async fn get(&self, upstream: &Upstream, path: &str) -> Result<u16, String> {
        let host = upstream.address.host();
        let connect = upstream.address.connect(self.target.keepalive).await;
        let stream = connect.map_err(|error| format!("{host}: {error}"))?;
        if let Some(version) = self.target.announce {
            let announced = stream.announce(header::local(version));
            announced.map_err(|error| format!("{host}: {error}"))?;
        }
        let answer = head_of(stream, &host, path, LIMIT).await;
        answer.map(|(status, _)| status).map_err(|error| error.to_string())
    }

    async fn seen(&mut self) -> Result<Arc<Observed>, String> {
        if let Some(observed) = &self.observed {
            return Ok(Arc::clone(observed));
        }
        let looked = self.engine.inspect(&self.target.name).await;
        let observed = Arc::new(looked.map_err(|error| error.to_string())?);
        self.observed = Some(Arc::clone(&observed));
        Ok(observed)
    }
}

#[cfg(test)]
mod tests;
