//! A container that runs to its end before others begin: a migration, a seed.
//!
//! Once it has ended with exit code 0 it is not started again. Whoever asks while it runs waits for
//! the same run.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::bonds::{AfterUse, Bonds, Needed};
use super::operation::transient;
use super::pin::Pinned;
use super::report::last_output;
use crate::activation::Pauses;
use crate::engine::{Engine, EngineError, Observed, State, TargetName};

/// Beside the events it is looked at this often while it runs: an event lost on the way must not
/// cost those who wait for it their whole wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The one task that runs it.
#[derive(Debug)]
pub struct OneShot<E> {
    engine: Arc<E>,
    name: TargetName,
    handle: OneShotHandle,
}

/// What those who need it use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OneShotHandle {
    asked: Arc<Asked>,
}

/// Why it has not run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncompleted {
    /// There is no such container.
    Missing,
    /// It could not be started, or has ended with another exit code.
    Failed(String),
    /// The daemon ends.
    ShuttingDown,
}

type Completion = Result<(), Uncompleted>;

#[derive(Debug, Default)]
struct Asked {
    state: Mutex<Asking>,
    /// Somebody has asked.
    work: Notify,
}

#[derive(Debug, Default)]
struct Asking {
    waiting: Vec<oneshot::Sender<Completion>>,
    closed: bool,
    /// What it depends on itself.
    bonds: Arc<Bonds>,
}

impl OneShotHandle {
    /// Waits until it has run to its end, and runs it if it has not yet. Dropping the future ends the
    /// wait, not the run.
    pub async fn completed(&self) -> Result<(), Uncompleted> {
        let (ask, answer) = oneshot::channel();
        {
            let mut state = self.asked.lock();
            if state.closed {
                return Err(Uncompleted::ShuttingDown);
            }
            state.waiting.push(ask);
        }
        self.asked.work.notify_one();
        answer.await.unwrap_or(Err(Uncompleted::ShuttingDown))
    }

    /// What it depends on itself from now on: [`Bonds::before`]. It has no companions. A run that is
    /// under way goes on.
    pub fn bind(&self, bonds: Bonds) {
        let mut state = self.asked.lock();
        if !state.bonds.same(&bonds) {
            state.bonds = Arc::new(bonds);
        }
    }

    /// Whether `other` is of the same container.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.asked, &other.asked)
    }
}

impl<E: Engine> OneShot<E> {
    /// That container; nobody has asked for it yet.
    pub fn new(engine: Arc<E>, name: TargetName) -> Self {
        let handle = OneShotHandle { asked: Arc::default() };
        Self { engine, name, handle }
    }

    /// What those who need it use.
    pub fn handle(&self) -> OneShotHandle {
        self.handle.clone()
    }

    /// Serves those who ask, until `ended`. A run under way then is left to the engine.
    pub async fn run(self, ended: CancellationToken) {
        let look = Notify::new();
        tokio::select! {
            () = self.engine.watch(&self.name, &look) => {}
            () = self.answer(&look) => {}
            () = ended.cancelled() => {}
        }
        let mut state = self.handle.asked.lock();
        state.closed = true;
        state.waiting.clear();
    }

    async fn answer(&self, look: &Notify) {
        let asked = &self.handle.asked;
        loop {
            while !asked.has_waiting() {
                asked.work.notified().await;
            }
            let end = self.complete(look).await;
            for ask in mem::take(&mut asked.lock().waiting) {
                // Who has left needs no answer.
                drop(ask.send(end.clone()));
            }
        }
    }

    async fn complete(&self, look: &Notify) -> Completion {
        let before = self.look().await?;
        if has_completed(&before) {
            return Ok(());
        }
        let (pins, seen) = match before.state {
            State::Running | State::Restarting => (pins(&self.handle.asked.bonds()), before),
            State::Stopped | State::Paused => {
                let pins = self.needs().await.map_err(Uncompleted::Failed)?;
                info!(container = %self.name, "running it once");
                (pins, self.start(before).await?)
            }
        };
        self.ended(look, seen).await?;
        info!(container = %self.name, "it has run to its end");
        for (pinned, after) in pins {
            match after {
                AfterUse::Sleep => pinned.let_sleep(),
                AfterUse::IdleWindow => drop(pinned),
            }
        }
        Ok(())
    }

    /// Waits for what it depends on, and keeps that awake.
    async fn needs(&self) -> Result<Vec<(Pinned, AfterUse)>, String> {
        loop {
            let bonds = self.handle.asked.bonds();
            let pins = pins(&bonds);
            match bonds.needs(None).await {
                Ok(_) => return Ok(pins),
                // It depends on others now.
                Err(_) if !Arc::ptr_eq(&bonds, &self.handle.asked.bonds()) => {}
                Err(why) => return Err(why),
            }
        }
    }

    /// Makes it run, and answers what was then seen.
    async fn start(&self, before: Observed) -> Result<Observed, Uncompleted> {
        let mut pauses = Pauses::engine();
        loop {
            let answer = match before.state {
                State::Paused => self.engine.resume(&self.name).await,
                State::Stopped | State::Running | State::Restarting => {
                    self.engine.start(&self.name).await
                }
            };
            let seen = self.look().await?;
            let begun = !seen.same_life(&before) || seen.state != before.state;
            match answer {
                Ok(()) | Err(_) if begun => return Ok(seen),
                Err(error) if transient(&error) => {
                    debug!(%error, "the start was not answered, asking again");
                    sleep(pauses.pause()).await;
                }
                Err(error) => {
                    return Err(Uncompleted::Failed(format!(
                        "the engine did not start it: {error}"
                    )));
                }
                Ok(()) => {
                    let why = "the engine says that it has started it, and it has not".to_owned();
                    return Err(Uncompleted::Failed(why));
                }
            }
        }
    }

    /// Waits for its end, which has to be one with exit code 0.
    async fn ended(&self, look: &Notify, mut seen: Observed) -> Completion {
        while seen.state != State::Stopped {
            drop(timeout(LOOK_EVERY, look.notified()).await);
            seen = self.look().await?;
        }
        if has_completed(&seen) {
            return Ok(());
        }
        let mut why = format!("it has ended with exit code {}", seen.exit.code);
        if !seen.exit.error.is_empty() {
            why = format!("{why} ({})", seen.exit.error.escape_debug());
        }
        let lines = last_output(&*self.engine, &self.name).await;
        if !lines.is_empty() {
            why = format!("{why}; its last output: {lines}");
        }
        Err(Uncompleted::Failed(why))
    }

    /// What the engine says of it, as soon as it says something and as long as somebody waits.
    async fn look(&self) -> Result<Observed, Uncompleted> {
        let mut pauses = Pauses::engine();
        loop {
            match self.engine.inspect(&self.name).await {
                Ok(observed) => return Ok(observed),
                Err(EngineError::Missing(_)) => return Err(Uncompleted::Missing),
                Err(error) if !transient(&error) || !self.handle.asked.has_waiting() => {
                    return Err(Uncompleted::Failed(format!("it cannot be looked at: {error}")));
                }
                Err(error) => debug!(%error, "the look failed, trying again"),
            }
            sleep(pauses.pause()).await;
        }
    }
}

impl Asked {
    /// Whether somebody waits; whoever has left is forgotten.
    fn has_waiting(&self) -> bool {
        let mut state = self.lock();
        state.waiting.retain(|ask| !ask.is_closed());
        !state.waiting.is_empty()
    }

    fn bonds(&self) -> Arc<Bonds> {
        Arc::clone(&self.lock().bonds)
    }

    fn lock(&self) -> MutexGuard<'_, Asking> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Uncompleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such container"),
            Self::Failed(why) => f.write_str(why),
            Self::ShuttingDown => f.write_str("the daemon ends"),
        }
    }
}

fn pins(bonds: &Bonds) -> Vec<(Pinned, AfterUse)> {
    let needed = bonds.before.iter().filter_map(Needed::pinned);
    needed.map(|(service, after)| (service.pin(), after)).collect()
}

fn has_completed(seen: &Observed) -> bool {
    seen.state == State::Stopped && seen.was_started() && seen.exit.code == 0
}
