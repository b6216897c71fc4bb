//! From the services that run to those that are wanted: a difference by name.
//!
//! What can fail is tried first, so that a configuration that cannot be had changes nothing. Services
//! that stay as they are notice nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Host;
use super::engines::EnginesError;
use super::one_shots::RunningOneShot;
use super::running::Running;
use super::sockets::{Allocation, Current, Failure, SocketError};
use crate::admin::Changes;
use crate::config::{Bonds, Origin, Role, Service};
use crate::driver::{AfterUse, Tied, tie};
use crate::engine::Engine as _;
use crate::listen::{Place, Sockets};
use crate::port::Protocol;
use crate::server::AtOnce;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Sockets that cannot be had.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Sockets(Vec<SocketError>),
    /// An engine that cannot be had.
    #[error(transparent)]
    Engines(#[from] EnginesError),
    /// The process would not be started again for sockets that end with it.
    #[error(
        "--exit-idle-time needs sockets from systemd, which would start the daemon again, and none \
         were handed over for {0} (LISTEN_FDS): start it by its socket unit, or leave the flag out"
    )]
    OwnSockets(String),
}

/// How each service is to be treated.
struct Difference {
    /// By the name that it has now, and the one it is to have.
    kept: BTreeMap<String, String>,
    /// Of these, by the names to be: those that are told something new.
    changed: BTreeSet<String>,
    added: Vec<String>,
    removed: Vec<String>,
}

impl Host {
    /// Serves just `wanted` from now on.
    pub(super) async fn apply(
        &mut self,
        wanted: Vec<Service>,
        failure: Failure,
    ) -> Result<Changes, ApplyError> {
        let mut allocation =
            Allocation::new(&wanted, &self.current(), failure).map_err(ApplyError::Sockets)?;
        if let (Some(_), Some(own)) = (self.plan.exit_idle_time, allocation.own()) {
            return Err(ApplyError::OwnSockets(own.to_owned()));
        }
        // Clients that come while the engines are asked wait in the listen queues.
        let words = wanted.iter().map(|service| service.settings.engine.as_str());
        self.engines.know(words).await?;

        let mut wanted: BTreeMap<String, Service> =
            wanted.into_iter().map(|service| (service.name.clone(), service)).collect();
        let mut refused = BTreeSet::new();
        // One that others need is there for them, without sockets.
        for (name, why) in std::mem::take(&mut allocation.refused) {
            let needs = |service: &Service| {
                let Bonds { before, beside } = &service.bonds;
                before.iter().chain(beside).any(|bond| bond.to == name)
            };
            let running = self.running.get(&name);
            match running.filter(|running| running.service.origin == Origin::Operator) {
                // Rather as it was than not at all.
                Some(running) => {
                    allocation.leave(&name, running.server.known());
                    wanted.insert(name.clone(), running.service.clone());
                }
                None if wanted.values().any(needs) => {}
                None => drop(wanted.remove(&name)),
            }
            refused.insert((name, why.to_string()));
        }
        for (name, why) in refused.difference(&self.refused) {
            error!(service = name, %why, "its sockets cannot be had; the other services are served");
        }
        self.refused = refused;
        self.room.fit(&wanted);
        let difference = self.difference(&wanted, &allocation);
        let mut stash = self.stop_accepting(&difference, &allocation).await;

        let mut running = std::mem::take(&mut self.running);
        let removed: Vec<Running> =
            difference.removed.iter().filter_map(|name| running.remove(name)).collect();
        for of in &removed {
            of.handle.remember_hold(None);
            self.history.leave(&of.service.name, of.handle.record());
        }
        let retired = self.retire(removed, &wanted);
        let over = self.renew_one_shots(&wanted);
        for (name, to_be) in &difference.kept {
            let (Some(mut service), Some(settings)) = (running.remove(name), wanted.get(to_be))
            else {
                continue;
            };
            if difference.changed.contains(to_be) {
                let sockets = allocation.take(settings, &mut stash);
                service.renew(settings.clone(), sockets, &self.room);
            }
            self.running.insert(to_be.clone(), service);
        }
        for name in &difference.added {
            let Some(service) = wanted.get(name) else { continue };
            let sockets = allocation.take(service, &mut stash);
            self.add(service.clone(), sockets);
        }
        for (name, why) in std::mem::take(&mut allocation.refused) {
            error!(service = name, %why, "a socket of it is missing, and tried again");
            self.refused.insert((name, why.to_string()));
        }
        self.bind(&wanted);
        // Nobody depends on them any more.
        over.iter().for_each(RunningOneShot::end);
        for (service, over) in retired {
            let leave = service.leave(self.ending.clone(), self.plan.drain_timeout);
            self.leaving.spawn(async move {
                leave.await;
                over.cancel();
            });
        }
        // From systemd, and nobody's for now: closed, they could not be had again.
        self.idle = stash;
        self.begin_accepting();
        let renamed = difference.kept.iter().filter(|(name, to_be)| name != to_be);
        for (name, _) in renamed.filter(|(name, _)| !self.running.contains_key(*name)) {
            self.history.forget(name);
        }
        Ok(Changes {
            unchanged: difference.kept.len() - difference.changed.len(),
            added: difference.added,
            changed: difference.changed.into_iter().collect(),
            removed: difference.removed,
        })
    }

    /// The sockets that there are.
    fn current(&self) -> Current {
        let mut current = Current::new();
        for (name, service) in &self.running {
            let known = service.server.known().iter().cloned();
            current.extend(known.map(|known| (known, Some(name.clone()))));
        }
        for (protocol, place) in self.idle.places() {
            current.insert((protocol, place.clone()), None);
        }
        current
    }

    fn difference(
        &self,
        wanted: &BTreeMap<String, Service>,
        allocation: &Allocation,
    ) -> Difference {
        let mut kept = BTreeMap::new();
        for (name, service) in wanted {
            if service.role == Role::OneShot {
                continue;
            }
            let of_that_name = self.running.get(name).filter(|running| running.drives(service));
            // One that has another name now is still the same: its target is.
            let renamed = || {
                let mut all = self.running.iter();
                all.find(|(old, running)| running.drives(service) && !wanted.contains_key(*old))
            };
            let known = of_that_name.map(|_| name).or_else(|| renamed().map(|(old, _)| old));
            if let Some(known) = known {
                kept.insert(known.clone(), name.clone());
            }
        }
        let mut changed = BTreeSet::new();
        for (name, to_be) in &kept {
            let running = &self.running[name];
            let fits = allocation.fits(to_be, running.server.known());
            if running.service != wanted[to_be] || !fits {
                changed.insert(to_be.clone());
            }
        }
        let names: BTreeSet<&String> = kept.values().collect();
        Difference {
            added: wanted
                .values()
                .filter(|service| service.role != Role::OneShot && !names.contains(&service.name))
                .map(|service| service.name.clone())
                .collect(),
            removed: self
                .running
                .keys()
                .filter(|name| !kept.contains_key(*name))
                .cloned()
                .collect(),
            kept,
            changed,
        }
    }

    /// Pauses the services that are not to stay as they are. Answers the sockets that somebody wants,
    /// theirs and those that were nobody's; the others are closed.
    async fn stop_accepting(
        &mut self,
        difference: &Difference,
        allocation: &Allocation,
    ) -> Sockets {
        let is_kept = |protocol: Protocol, place: &Place| match place {
            Place::Inherited { .. } => true,
            Place::Own(_) => allocation.keeps(&(protocol, place.clone())),
        };
        let mut stash = std::mem::take(&mut self.idle);
        for (name, service) in &mut self.running {
            let to_be = difference.kept.get(name);
            if to_be.is_some_and(|to_be| !difference.changed.contains(to_be)) {
                continue;
            }
            service.server.pause().await;
            let mut sockets = service.server.take_sockets();
            stash.append(sockets.extract(is_kept));
            // A service that goes on tells its flows so; one that leaves need not, as a rule.
            let at_once = match to_be {
                None if !allocation.waits() => AtOnce::No,
                None | Some(_) => AtOnce::Yes,
            };
            service.server.close(sockets, at_once).await;
        }
        stash
    }

    /// Has just the one-shots of `wanted`, and answers those that are none of them any more.
    fn renew_one_shots(&mut self, wanted: &BTreeMap<String, Service>) -> Vec<RunningOneShot> {
        let mut earlier = std::mem::take(&mut self.one_shots);
        for (name, service) in wanted.iter().filter(|(_, of)| of.role == Role::OneShot) {
            let Some(engine) = self.engines.get(&service.settings.engine) else { continue };
            let one_shot = match earlier.remove(name) {
                // Its times are nobody's business while it runs.
                Some(mut known) if known.runs(service) => {
                    known.service = service.clone();
                    known
                }
                other => {
                    earlier.extend(other.map(|other| (name.clone(), other)));
                    RunningOneShot::new(service.clone(), Arc::clone(engine))
                }
            };
            self.one_shots.insert(name.clone(), one_shot);
        }
        earlier.into_values().collect()
    }

    /// Ties everybody to those they need, and has the new ones driven: they all exist by now, and
    /// nobody runs before all are tied. Who is tied as before notices nothing.
    fn bind(&mut self, wanted: &BTreeMap<String, Service>) {
        let all = wanted.iter().map(|(name, service)| (name.clone(), service.bonds.clone()));
        let all: BTreeMap<String, Bonds> = all.collect();
        let after_use = |role| match role {
            Role::Clients => AfterUse::IdleWindow,
            Role::Member | Role::OneShot => AfterUse::Sleep,
        };
        let services: BTreeMap<String, Tied> = self
            .running
            .iter()
            .map(|(name, of)| {
                (name.clone(), Tied::Service(of.handle.clone(), after_use(of.service.role)))
            })
            .chain(
                self.one_shots
                    .iter()
                    .map(|(name, of)| (name.clone(), Tied::OneShot(of.handle.clone()))),
            )
            .collect();
        let tied = |name: &str| tie(name, &all, |other| services.get(other).cloned());
        for (name, one_shot) in &mut self.one_shots {
            one_shot.bind(tied(name), &mut self.drivers);
        }
        for (name, running) in &mut self.running {
            running.bind(tied(name));
        }
        for running in self.running.values_mut() {
            running.drive(&mut self.drivers);
        }
    }

    /// Notes services that are to end in their own time: who uses them or waits for them goes on.
    /// Answers each with what tells that it is gone.
    fn retire(
        &mut self,
        removed: Vec<Running>,
        wanted: &BTreeMap<String, Service>,
    ) -> Vec<(Running, CancellationToken)> {
        self.left.retain(|(_, over)| !over.is_cancelled());
        let mut retired = Vec::new();
        for mut service in removed {
            info!(service = service.service.name, "served no more; who uses it goes on");
            if wanted.values().any(|other| self.same_container(&service.service, other)) {
                service.leave_to_another();
            }
            let over = CancellationToken::new();
            self.left.push((service.service.clone(), over.clone()));
            retired.push((service, over));
        }
        retired
    }

    /// Whether both stand for one container, whatever they are there for and call its engine.
    pub(super) fn same_container(&self, one: &Service, other: &Service) -> bool {
        let engine = |of: &Service| self.engines.get(&of.settings.engine).map(|of| of.describe());
        one.settings.target == other.settings.target && engine(one) == engine(other)
    }
}
