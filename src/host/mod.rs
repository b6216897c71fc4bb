//! All services of a process: their engines, their sockets, what becomes of them when they are to be
//! others, and their end.
//!
//! Services know nothing of each other. What they share is the number of clients that the process can
//! hold, and an engine's connection where they name the same engine.

mod apply;
mod discoveries;
mod engines;
mod hours;
mod one_shots;
mod room;
mod running;
mod sockets;
mod unused;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, watch};
use tokio::task::{self, AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use apply::ApplyError;
pub use engines::EnginesError;
pub use sockets::SocketError;

use crate::admin::{Admin, Changes, ControlSocket, HeldBefore, Services};
use crate::clock::{Clock, unix_time};
use crate::config::resolve::{Resolved, resolve};
use crate::config::{Bonds, ConfigErrors, Plan, Role, Service};
use crate::driver::ServiceHandle;
use crate::history::{self, Store};
use crate::listen::{InheritError, Inherited, Sockets};
use crate::notify::{keep_status, keep_watchdog_calm, notify, notify_reloading};
use crate::shutdown::{Signal, Signals};
use discoveries::Discoveries;
use engines::Engines;
use one_shots::RunningOneShot;
use room::Room;
use running::Running;
use sockets::Failure;
use unused::User;

/// How soon it is tried again to serve who could not have its sockets.
const RETRY: Duration = Duration::from_secs(5);

/// How long the last write of the history may take.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// Where the plan comes from, whenever it is read anew.
pub trait Source: Send + std::fmt::Debug {
    /// Reads it.
    fn plan(&self) -> Result<Plan, ConfigErrors>;
}

/// All services of the process.
#[derive(Debug)]
pub struct Host {
    plan: Plan,
    source: Box<dyn Source>,
    running: BTreeMap<String, Running>,
    one_shots: BTreeMap<String, RunningOneShot>,
    discoveries: Discoveries,
    /// Sockets from systemd that nobody uses.
    idle: Sockets,
    engines: Engines,
    room: Room,
    clock: Clock,
    /// One for each service that runs or leaves.
    drivers: JoinSet<()>,
    /// Those that are served no more, and have clients yet.
    leaving: JoinSet<()>,
    /// Which these are, and when they are gone.
    left: Vec<(Service, CancellationToken)>,
    /// Those that cannot have their sockets, and why.
    refused: BTreeSet<(String, String)>,
    /// The process ends.
    ending: CancellationToken,
    /// What administrators see.
    services: watch::Sender<Services>,
    /// What is remembered of them.
    history: Arc<Store>,
    /// Those that were held when the last daemon ended.
    held: mpsc::UnboundedSender<HeldBefore>,
    /// Until somebody heeds that.
    held_before: Option<mpsc::UnboundedReceiver<HeldBefore>>,
}

/// What has come of other containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rediscovered {
    /// The services are those that they were.
    Same,
    /// They are others.
    Others,
}

/// Why the process ends otherwise than it was told to.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A second signal came while it was ending.
    #[error("ended at once by a second {0}")]
    Again(&'static str),
    /// A driver has ended, which it never should.
    #[error("the driver of {0} has failed: {1}")]
    Broken(String, String),
}

/// Why it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// A signal has said so.
    Told,
    /// It is unused.
    Unused,
}

impl Host {
    /// Takes the sockets that were handed over for the services of `plan`; nothing is served yet.
    /// The process may have so many descriptors; `source` reads the plan anew.
    pub fn new(
        plan: Plan,
        source: Box<dyn Source>,
        inherited: Inherited,
        fds: u64,
    ) -> Result<Self, InheritError> {
        let (held, held_before) = mpsc::unbounded_channel();
        let mut idle = Sockets::default();
        let with_clients = plan.services.iter().filter(|service| service.role == Role::Clients);
        let with_clients: Vec<Service> = with_clients.cloned().collect();
        for sockets in inherited.hand_out(&with_clients)?.into_iter().flatten() {
            idle.append(sockets);
        }
        Ok(Self {
            history: Arc::new(Store::open(history::place(plan.history.as_deref()))),
            held,
            held_before: Some(held_before),
            plan,
            source,
            running: BTreeMap::new(),
            one_shots: BTreeMap::new(),
            discoveries: Discoveries::default(),
            idle,
            engines: Engines::default(),
            room: Room::new(fds),
            clock: Clock::new(),
            drivers: JoinSet::new(),
            leaving: JoinSet::new(),
            left: Vec::new(),
            refused: BTreeSet::new(),
            ending: CancellationToken::new(),
            services: watch::Sender::default(),
        })
    }

    /// Begins to serve what the plan says, and what engines that answer soon have.
    pub async fn begin(&mut self) -> Result<(), ApplyError> {
        self.apply_plan(Failure::OfAll).await.map(drop)
    }

    /// Serves what the plan says of what the engines have.
    async fn apply_plan(&mut self, failure: Failure) -> Result<Changes, ApplyError> {
        let words = self.plan.discovered();
        self.engines.know(words.iter().copied()).await?;
        self.discoveries.follow(&words, &self.engines).await;
        let latest = self.discoveries.latest(&words);
        let Resolved { services, complaints } = resolve(&self.plan, &latest);
        let changes = self.apply(services, failure).await?;
        self.discoveries.keep_only(&self.plan.discovered());
        self.discoveries.tell(complaints);
        Ok(changes)
    }

    /// An engine has other containers now.
    async fn rediscover(&mut self) -> Rediscovered {
        match self.apply_plan(Failure::OfOne).await {
            Ok(Changes { added, changed, removed, unchanged }) => {
                if added.is_empty() && changed.is_empty() && removed.is_empty() {
                    return Rediscovered::Same;
                }
                info!(?added, ?changed, ?removed, unchanged, "other containers");
                Rediscovered::Others
            }
            Err(error) => {
                error!(%error, "what has changed of the containers is not heeded");
                Rediscovered::Same
            }
        }
    }

    /// Waits until all services of now have slept unused for the plan's time; for ever, where one is to
    /// be woken without a client.
    fn unused(&self) -> impl Future<Output = ()> + use<> {
        let mut all = self.running.values();
        let by_the_clock = all.any(|running| !running.service.settings.hours.awake.is_empty());
        let time = self.plan.exit_idle_time.filter(|_| !by_the_clock);
        unused::slept_unused(unused::users(self), time)
    }

    /// Serves until a signal, or until all services have slept unused for the plan's time.
    pub async fn serve(
        mut self,
        control: Option<ControlSocket>,
        signals: &mut Signals,
    ) -> Result<(), HostError> {
        // Where nobody could release them, nothing is held again.
        let (admin, mut reloads) = match (control, self.held_before.take()) {
            (Some(control), Some(held)) => {
                let (admin, reloads) = Admin::begin(control, self.services.subscribe(), held);
                (Some(admin), Some(reloads))
            }
            (_, _) => (None, None),
        };
        let ended = CancellationToken::new();
        let keeper = tokio::spawn(self.keep_history(ended.clone()));
        let calm = tokio::spawn(keep_watchdog_calm());
        let status = tokio::spawn(keep_status(self.services.subscribe()));
        notify(&[NotifyState::Ready]);

        let mut unused = Box::pin(self.unused());
        let end = loop {
            let asked = async {
                match &mut reloads {
                    Some(reloads) => reloads.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Reload => {
                        drop(self.reload().await);
                        unused.set(self.unused());
                    }
                    Signal::End(name) => {
                        info!(signal = name, "ending");
                        break Ok(Ending::Told);
                    }
                },
                Some(answer) = asked => {
                    // Who has asked may have gone meanwhile.
                    drop(answer.send(self.reload().await));
                    unused.set(self.unused());
                }
                () = &mut unused => {
                    if self.stop_unused().await {
                        info!("asleep and unused, exiting until the next client");
                        break Ok(Ending::Unused);
                    }
                    unused.set(self.unused());
                }
                Some(ended) = self.drivers.join_next_with_id() => {
                    let (id, failed) = match ended {
                        Ok((id, ())) => (id, "it ended".to_owned()),
                        Err(error) => (error.id(), error.to_string()),
                    };
                    // Those of services that have left end as they should.
                    if let Some(name) = self.driven_by(id) {
                        break Err(HostError::Broken(name.to_owned(), failed));
                    }
                }
                Some(_) = self.leaving.join_next() => {}
                // Whoever has the port may give it up, and nothing tells.
                () = sleep(RETRY), if !self.refused.is_empty() => {
                    if self.rediscover().await == Rediscovered::Others {
                        unused.set(self.unused());
                    }
                }
                () = self.discoveries.changed() => {
                    // Where containers come and go that are none of ours, time goes on.
                    if self.rediscover().await == Rediscovered::Others {
                        unused.set(self.unused());
                    }
                }
            }
        };
        // Who has asked for a reload meanwhile is told that there is none.
        drop(reloads);
        let ending = end?;
        notify(&[NotifyState::Stopping]);
        if let Some(admin) = &admin {
            admin.drain();
        }
        let end = self.end(signals, ending).await;
        if let (Some(admin), Ok(())) = (admin, &end) {
            admin.end().await;
        }
        ended.cancel();
        if timeout(LAST_WRITE, keeper).await.is_err() {
            warn!("the history takes too long to be written, and is left as it was");
        }
        calm.abort();
        status.abort();
        end
    }

    /// Writes down what becomes of the services until `ended`.
    fn keep_history(&self, ended: CancellationToken) -> impl Future<Output = ()> + use<> {
        let services = self.services.subscribe();
        let records = move || {
            let services = Arc::clone(&services.borrow());
            services.iter().map(|(name, of)| (name.clone(), of.handle.record())).collect()
        };
        Arc::clone(&self.history).keep(records, ended)
    }

    /// Reads the plan anew and serves what it says. If it is wrong, or cannot be had, everything
    /// stays as it is. Tells what has changed, or what is wrong, a line each.
    async fn reload(&mut self) -> Result<Changes, String> {
        let file = self.plan.file.clone();
        if file.is_none() && self.plan.labels.is_empty() && self.plan.compose.is_empty() {
            let why = "there is nothing to read anew: the daemon was started without --config";
            warn!("{why}");
            return Err(why.to_owned());
        }
        notify_reloading();
        let file = file.as_ref().map(|file| file.display());
        info!(file = file.as_ref().map(tracing::field::display), "reloading");
        let changes = self.renew().await;
        match &changes {
            Ok(Changes { added, changed, removed, unchanged }) => {
                info!(?added, ?changed, ?removed, unchanged, "reloaded");
            }
            Err(why) => {
                for line in why.lines() {
                    error!("{line}");
                }
                error!(
                    file = file.map(tracing::field::display),
                    "not reloaded: everything stays as it is"
                );
            }
        }
        notify(&[NotifyState::Ready]);
        changes
    }

    async fn renew(&mut self) -> Result<Changes, String> {
        let plan = self.source.plan().map_err(|wrong| wrong.to_string())?;
        let earlier = std::mem::replace(&mut self.plan, plan);
        let changes = self.apply_plan(Failure::OfAll).await;
        match changes {
            Ok(changes) => {
                let same = earlier.threads == self.plan.threads
                    && earlier.log_format == self.plan.log_format
                    && earlier.control == self.plan.control
                    && earlier.control_group == self.plan.control_group
                    && earlier.history == self.plan.history;
                if !same {
                    warn!("threads, log-format, control and history take effect at the next start");
                }
                Ok(changes)
            }
            Err(error) => {
                self.plan = earlier;
                Err(error.to_string())
            }
        }
    }

    fn add(&mut self, service: Service, sockets: Sockets) {
        if service.role == Role::Clients && !sockets.is_empty() {
            sockets::tell(&service, &sockets);
        }
        // `apply` has made it known.
        let Some(engine) = self.engines.get(&service.settings.engine) else { return };
        let name = service.name.clone();
        let engine = Arc::clone(engine);
        let running = Running::new(service, sockets, engine, &self.room, self.clock, &self.history);
        self.hold_again(&name, &running.handle);
        // It does not sleep under those who came when it was another service's.
        let same = |(left, _): &&(Service, _)| self.same_container(&running.service, left);
        let earlier: Vec<CancellationToken> =
            self.left.iter().filter(same).map(|(_, over)| over.clone()).collect();
        for over in earlier {
            let pin = running.handle.pin();
            self.leaving.spawn(async move {
                over.cancelled().await;
                drop(pin);
            });
        }
        self.running.insert(name, running);
    }

    /// Holds it if it was held when the last daemon ended, and that is not over.
    fn hold_again(&self, name: &str, service: &ServiceHandle) {
        let Some(hold) = self.history.recall(name).hold else { return };
        if hold.left(unix_time()).is_some_and(|left| left.is_zero()) {
            return service.remember_hold(None);
        }
        let (name, service, lease) = (name.to_owned(), service.clone(), service.keep());
        // Before it could sleep; where nobody heeds it, it ends with this.
        drop(self.held.send(HeldBefore { name, service, lease, hold }));
    }

    /// Whose driver that is.
    fn driven_by(&self, id: task::Id) -> Option<&str> {
        let is = |task: &Option<AbortHandle>| task.as_ref().is_some_and(|task| task.id() == id);
        let service = self.running.iter().find(|(_, of)| is(&of.task)).map(|(name, _)| name);
        let one_shot = || self.one_shots.iter().find(|(_, of)| is(&of.task)).map(|(name, _)| name);
        service.or_else(one_shot).map(String::as_str)
    }

    /// Accepts wherever it is not accepted yet, and shows administrators what there is.
    fn begin_accepting(&mut self) {
        for service in self.running.values_mut() {
            service.server.begin();
        }
        let mut needed_by: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, of) in &self.running {
            let Bonds { before, beside } = &of.service.bonds;
            for bond in before.iter().chain(beside) {
                needed_by.entry(&bond.to).or_default().push(name.clone());
            }
        }
        let all = self.running.iter().map(|(name, of)| {
            let needed_by = needed_by.remove(name.as_str()).unwrap_or_default();
            (name.clone(), of.administered(needed_by))
        });
        self.services.send_replace(Arc::new(all.collect()));
    }

    /// Stops to accept if nobody is there; a client that came in the very moment is not left behind.
    async fn stop_unused(&mut self) -> bool {
        for service in self.running.values_mut() {
            service.server.pause().await;
        }
        if !self.leaving.is_empty() || unused::users(self).iter().any(User::is_there) {
            self.running.values_mut().for_each(|service| service.server.begin());
            return false;
        }
        true
    }

    /// Ends all services: drains their connections, then does with the targets what was asked.
    async fn end(&mut self, signals: &mut Signals, ending: Ending) -> Result<(), HostError> {
        self.ending.cancel();
        self.discoveries = Discoveries::default();
        for one_shot in self.one_shots.values() {
            one_shot.end();
        }
        for (_, service) in std::mem::take(&mut self.running) {
            self.leaving.spawn(service.leave(self.ending.clone(), self.plan.drain_timeout));
        }
        let ended = async {
            while self.leaving.join_next().await.is_some() {}
            // As long as the targets may take to stop; a second signal ends the wait.
            while let Some(ended) = self.drivers.join_next().await {
                if let Err(error) = ended {
                    warn!(%error, "a driver has failed");
                }
            }
        };
        let again = async {
            let mut told = ending == Ending::Told;
            loop {
                match signals.next().await {
                    Signal::End(name) if told => return name,
                    // It was about to go by itself, and goes on with that.
                    Signal::End(_) => told = true,
                    Signal::Reload => {}
                }
            }
        };
        tokio::select! {
            () = ended => Ok(()),
            signal = again => {
                warn!(signal, "ending at once");
                Err(HostError::Again(signal))
            }
        }
    }
}
