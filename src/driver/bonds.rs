//! What a service has to do with others: what it waits for when it wakes, and what before it sleeps.
//!
//! Every one of them is a service with a core and a driver of its own. So whether another may sleep
//! is decided where it always is, by its leases; here it is only asked for, and waited for.

use std::pin::pin;

use futures_util::future::{join_all, select_all, try_join_all};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::oneshot::{OneShotHandle, Uncompleted};
use super::report::refusal;
use super::{Clients, ServiceHandle, Slept, Waker};
use crate::activation::{Cause, Phase, Refused, Rest, Run};

/// The services that are awake with a service. Apart from [`On::Entrance`] they form no circle.
#[derive(Debug, Clone, Default)]
pub struct Bonds {
    /// What it depends on: woken before it, asleep after it.
    pub before: Vec<Needed>,
    /// Its companions: woken beside it, asleep before it. Those of them that do not come up fail its
    /// wake.
    pub beside: Vec<Needed>,
    /// Those of its companions that depend on it, through [`On::Entrance`]: woken once it is awake,
    /// asleep before it.
    pub after: Vec<Needed>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Needed {
    /// Its name, for people.
    pub name: String,
    /// Which it is.
    pub on: On,
    /// Whether it is done without if there is no such container.
    pub optional: Optional,
}

/// What it is that is needed.
#[derive(Debug, Clone)]
pub enum On {
    /// A service, which is pinned as long as the one that needs it may run.
    Service {
        /// That service.
        handle: ServiceHandle,
        /// How far it has to come.
        until: Until,
        /// What becomes of it when nobody needs it any more.
        after: AfterUse,
    },
    /// The service that this one is a companion of: waited for, but not pinned, as it pins this one
    /// and neither would ever sleep.
    Entrance {
        /// That service.
        handle: ServiceHandle,
        /// How far it has to come.
        until: Until,
    },
    /// A container that has to have run to its end, with exit code 0.
    OneShot(OneShotHandle),
}

/// When a needed service has come far enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It runs.
    Started,
    /// It is ready.
    Healthy,
}

/// What becomes of a service when the last one that needed it has been put to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterUse {
    /// It is a mere member of groups: it sleeps at once.
    Sleep,
    /// It has clients of its own: its idle window begins.
    IdleWindow,
}

/// Whether a service can be done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optional {
    /// It cannot.
    No,
    /// If there is no such container, it can.
    Yes,
}

/// What of that which it depends on has come far enough.
#[derive(Debug, Default)]
pub(super) struct Met {
    live: Vec<Live>,
    completed: Vec<OneShotHandle>,
}

/// The life of a service in which it has come far enough.
#[derive(Debug)]
struct Live {
    name: String,
    service: ServiceHandle,
    runs: watch::Receiver<Run>,
    run: Run,
}

/// What has come far enough.
enum Enough {
    Live(Live),
    Completed(OneShotHandle),
}

impl Bonds {
    /// Whether there are none at all.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.beside.is_empty() && self.after.is_empty()
    }

    /// Whether both are bonds to the same services, on the same terms.
    pub fn same(&self, other: &Self) -> bool {
        let same = |own: &[Needed], theirs: &[Needed]| {
            own.len() == theirs.len() && own.iter().zip(theirs).all(|(own, one)| own.same(one))
        };
        same(&self.before, &other.before)
            && same(&self.beside, &other.beside)
            && same(&self.after, &other.after)
    }

    /// Waits until everything that it depends on has come far enough, for all at once, and until
    /// `give_up` at most. The error says which has not, and why.
    pub(super) async fn needs(&self, give_up: Option<Instant>) -> Result<Met, String> {
        let met = try_join_all(self.before.iter().map(|needed| needed.within(give_up))).await?;
        let mut all = Met::default();
        for enough in met.into_iter().flatten() {
            match enough {
                Enough::Live(live) => all.live.push(live),
                Enough::Completed(one_shot) => all.completed.push(one_shot),
            }
        }
        Ok(all)
    }

    /// Waits until its companions have come far enough, apart from those that depend on it.
    pub(super) async fn companions(&self) -> Result<(), String> {
        try_join_all(self.beside.iter().map(|needed| needed.within(None))).await.map(drop)
    }

    /// Does `start`, and wakes its companions meanwhile. Answers also what came of them, if they are
    /// done; else they are to be waited for anew.
    pub(super) async fn companions_beside<T>(
        &self,
        start: impl Future<Output = T>,
    ) -> (T, Option<Result<(), String>>) {
        if self.beside.is_empty() {
            return (start.await, Some(Ok(())));
        }
        let mut start = pin!(start);
        tokio::select! {
            end = &mut start => (end, None),
            done = self.companions() => (start.await, Some(done)),
        }
    }

    /// Wakes the companions that depend on it. One that fails is told of.
    pub(super) async fn dependents(&self, container: &str) {
        join_all(self.after.iter().map(async |needed| {
            if let Err(reason) = needed.within(None).await {
                warn!(container, reason, "a companion of it is not there");
            }
        }))
        .await;
    }

    /// Puts its companions to sleep and waits until they do, but for those that somebody else uses.
    pub(super) async fn companions_asleep(&self) {
        let beside = self.beside.iter().map(|needed| (needed, Circle::Open));
        let after = self.after.iter().map(|needed| (needed, Circle::Closed));
        join_all(beside.chain(after).map(async |(needed, circle)| match &needed.on {
            On::Service { handle, .. } => asleep(handle, circle).await,
            On::Entrance { .. } | On::OneShot(_) => {}
        }))
        .await;
    }
}

impl Needed {
    /// The service to pin.
    pub(super) fn pinned(&self) -> Option<(&ServiceHandle, AfterUse)> {
        match &self.on {
            On::Service { handle, after, .. } => Some((handle, *after)),
            On::Entrance { .. } | On::OneShot(_) => None,
        }
    }

    fn same(&self, other: &Self) -> bool {
        let on = match (&self.on, &other.on) {
            (
                On::Service { handle, until, after },
                On::Service { handle: theirs, until: far, after: then },
            ) => handle.is(theirs) && until == far && after == then,
            (On::Entrance { handle, until }, On::Entrance { handle: theirs, until: far }) => {
                handle.is(theirs) && until == far
            }
            (On::OneShot(own), On::OneShot(theirs)) => own.is(theirs),
            (On::Service { .. } | On::Entrance { .. } | On::OneShot(_), _) => false,
        };
        on && self.name == other.name && self.optional == other.optional
    }

    async fn within(&self, give_up: Option<Instant>) -> Result<Option<Enough>, String> {
        let far_enough = match give_up {
            None => self.far_enough().await,
            Some(at) => timeout_at(at, self.far_enough())
                .await
                .unwrap_or_else(|_| Err(refusal(Refused::TimedOut))),
        };
        far_enough.map_err(|why| format!("{}: {why}", self.name))
    }

    async fn far_enough(&self) -> Result<Option<Enough>, String> {
        let (handle, until) = match &self.on {
            On::Service { handle, until, .. } | On::Entrance { handle, until } => (handle, *until),
            On::OneShot(one_shot) => {
                return match one_shot.completed().await {
                    Ok(()) => Ok(Some(Enough::Completed(one_shot.clone()))),
                    Err(Uncompleted::Missing) if self.optional == Optional::Yes => Ok(None),
                    Err(error) => Err(error.to_string()),
                };
            }
        };
        let optional = self.optional == Optional::Yes;
        if optional {
            looked_at(handle).await;
            if is_missing(handle) {
                debug!(name = self.name, "there is no such container; it is done without");
                return Ok(None);
            }
        }
        let run = match until {
            Until::Healthy => handle.wake_as(Waker::Dependent).await.map(|lease| lease.run()),
            Until::Started => started(handle).await,
        };
        match run {
            Ok(run) => Ok(Some(Enough::Live(Live {
                name: self.name.clone(),
                service: handle.clone(),
                runs: handle.shared().runs.subscribe(),
                run,
            }))),
            // It was removed in between.
            Err(_) if optional && is_missing(handle) => Ok(None),
            Err(refused) => Err(refusal(refused)),
        }
    }
}

impl Met {
    /// Whether nothing that `bonds` name is left to be asked for; what has ended once has ended.
    pub(super) fn covers(&self, bonds: &Bonds) -> bool {
        bonds.before.iter().all(|needed| match &needed.on {
            On::OneShot(one_shot) => self.completed.iter().any(|done| done.is(one_shot)),
            On::Service { handle, .. } | On::Entrance { handle, .. } => {
                self.live.iter().any(|live| live.service.is(handle))
            }
        })
    }

    /// Forgets what `bonds` do not name.
    pub(super) fn retain(&mut self, bonds: &Bonds) {
        self.live.retain(|live| {
            bonds.before.iter().any(|needed| match &needed.on {
                On::OneShot(_) => false,
                On::Service { handle, .. } | On::Entrance { handle, .. } => live.service.is(handle),
            })
        });
    }

    /// Which of them lives no more.
    pub(super) fn lost(&self) -> Option<&str> {
        let lost = self.live.iter().find(|live| *live.runs.borrow() != live.run);
        lost.map(|live| live.name.as_str())
    }

    /// Waits until one of them lives no more, and says which; for ever without any.
    pub(super) async fn broken(&mut self) -> String {
        if self.live.is_empty() {
            return std::future::pending().await;
        }
        let ends = self.live.iter_mut().map(|Live { name, runs, run, .. }| {
            let run = *run;
            Box::pin(async move {
                // The sender lives in the handle beside it.
                drop(runs.wait_for(|now| *now != run).await);
                name
            })
        });
        let (name, ..) = select_all(ends).await;
        name.clone()
    }
}

/// Whether a companion waits for the service that puts it to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circle {
    Open,
    Closed,
}

/// Waits until it runs, asking for it as long as it does not. Answers the run.
async fn started(service: &ServiceHandle) -> Result<Run, Refused> {
    let mut changes = service.changes();
    let mut waking = pin!(service.wake_as(Waker::Dependent));
    loop {
        let (phase, run) = service.stands();
        match phase {
            Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. } => return Ok(run),
            Phase::Unknown
            | Phase::Asleep { .. }
            | Phase::Starting { .. }
            | Phase::Stopping { .. }
            | Phase::Failed(_) => {}
        }
        tokio::select! {
            biased;
            awake = &mut waking => return awake.map(|lease| lease.run()),
            // The sender lives in the handle.
            _ = changes.changed() => {}
        }
    }
}

/// Puts it to sleep and waits until it rests, unless somebody uses it. At the end of the daemon its
/// own driver does, whoever uses it.
async fn asleep(service: &ServiceHandle, circle: Circle) {
    let mut changes = service.changes();
    while !service.is_over() {
        let status = service.status();
        let used = status.leases > 0 || status.waiting > 0;
        match status.phase {
            Phase::Unknown | Phase::Asleep { .. } | Phase::Failed(_) => return,
            Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. }
                if used && !service.is_closed() =>
            {
                return;
            }
            // It may wait for who would wait here for it.
            Phase::Starting { .. } if circle == Circle::Closed => return,
            Phase::Starting { .. } | Phase::Stopping { .. } => {}
            Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. } => {
                match service.sleep(Clients::ComeFirst) {
                    // A client came in this moment.
                    Slept::Used | Slept::Needed => return,
                    Slept::Begins | Slept::Already | Slept::NotYet => {}
                }
            }
        }
        drop(changes.changed().await);
    }
}

/// Waits until it has been looked at.
async fn looked_at(service: &ServiceHandle) {
    let mut changes = service.changes();
    while service.status().phase == Phase::Unknown && !service.is_over() {
        drop(changes.changed().await);
    }
}

fn is_missing(service: &ServiceHandle) -> bool {
    matches!(
        service.status().phase,
        Phase::Asleep { rest: Rest::Missing, .. } | Phase::Failed(Cause::Missing)
    )
}
