//! Asking for the target: the handle, the wait and the lease.
//!
//! The core sits behind one lock that is held for the length of a decision and never across an
//! await. So the decision to stop and the admission of a client are one step each, and a client of
//! an awake service is admitted without a task switch, an engine call or an allocation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot, watch};

use super::held::{Held, Lease, Worth};
use super::history::{History, Waker};
use super::spare::Spare;
use super::{Setup, Upstream};
use crate::activation::{
    Action, Admission, Client, Curfew, Event, Moment, Phase, Policy, Reach, Refused, Run, Service,
};
use crate::clock::Clock;
use crate::port::Port;

/// How many connects to the target may be on the way at once. A listen backlog of 128 is common
/// and 9 is seen; a burst beyond it falls back on the kernel's one-second SYN retransmission.
const CONNECTS_AT_ONCE: usize = 64;

/// A service, as connection tasks see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceHandle {
    shared: Arc<Shared>,
}

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Where it stands.
    pub phase: Phase,
    /// How many clients use the target, and services depend on it.
    pub leases: u32,
    /// How many clients are connected that keep it awake no longer.
    pub silent: u32,
    /// How many of these are services that depend on it.
    pub pinned: u32,
    /// How many clients wait for it.
    pub waiting: usize,
}

impl ServiceHandle {
    /// A service nobody has looked at yet, and what its driver needs of it.
    pub(super) fn new(policy: Policy, clock: Clock) -> Self {
        let window = policy.idle;
        let core = Service::new(policy);
        let state = State {
            kept: 0,
            by_the_clock: 0,
            curfew: None,
            pinned: 0,
            history: History::new(clock.now(), core.phase(), window),
            core,
            out: Vec::new(),
            todo: Vec::new(),
            claims: HashMap::new(),
            next_client: 0,
            upstreams: Vec::new(),
            spare: None,
            armed: None,
            closed: false,
            over: false,
            vouched: None,
            setup: None,
        };
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::new(state),
                work: Notify::new(),
                look: Notify::new(),
                suspicion: Notify::new(),
                looked: Notify::new(),
                connect_limit: ConnectLimit(AtomicU32::new(25)),
                connects: Arc::new(Semaphore::new(CONNECTS_AT_ONCE)),
                changes: watch::Sender::new(()),
                runs: watch::Sender::new(Run::default()),
            }),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The same for somebody who connects to none of its ports.
    pub async fn wake(&self) -> Result<Lease, Refused> {
        self.acquire(None).await
    }

    /// The same for somebody who says who it is.
    pub async fn wake_as(&self, who: Waker) -> Result<Lease, Refused> {
        self.acquire_as(None, || who).await
    }

    /// Asks for the target and waits until it is ready; `port` is the one that is to be connected
    /// to, if any is. Dropping the future is leaving.
    pub async fn acquire(&self, port: Option<Port>) -> Result<Lease, Refused> {
        self.acquire_as(port, || Waker::Unknown).await
    }

    /// The same of somebody who says who it is if it is what wakes the target.
    pub async fn acquire_as(
        &self,
        port: Option<Port>,
        who: impl FnOnce() -> Waker,
    ) -> Result<Lease, Refused> {
        let mut wait = {
            let who = who;
            let mut state = self.shared.lock();
            if state.closed {
                return Err(Refused::ShuttingDown);
            }
            let client = state.next_client();
            let now = self.shared.clock.now();
            let State { core, out, .. } = &mut *state;
            // Who connects to no port is no client.
            let admission = match port {
                Some(_) => core.acquire(now, client, out),
                None => core.acquire_anyway(now, client, out),
            };
            match admission {
                Admission::Granted => {
                    state.history.used(now);
                    let granted = state.granted(port, None);
                    self.shared.settle(&mut state);
                    drop(state);
                    self.shared.changed();
                    return Ok(self.lease(granted, Worth::Use));
                }
                Admission::Refused(refused) => return Err(refused),
                Admission::Waiting => {
                    if state.core.waiting() == 1 {
                        state.history.asked(who());
                    }
                    let (claim, answer) = oneshot::channel();
                    state.claims.insert(client, (port, claim));
                    self.shared.settle(&mut state);
                    Wait { shared: &self.shared, client, answer, over: false }
                }
            }
        };
        self.shared.changed();
        let answer = (&mut wait.answer).await;
        wait.over = true;
        match answer {
            Ok(Ok(granted)) => Ok(self.lease(granted, Worth::Use)),
            Ok(Err(refused)) => Err(refused),
            Err(_) => Err(Refused::ShuttingDown),
        }
    }

    /// A lease for that port, if there is one to be had at once: that of an awake target.
    pub fn acquire_now(&self, port: Port) -> Option<Lease> {
        let mut state = self.shared.lock();
        if state.closed || !state.core.admits_at_once() {
            return None;
        }
        let client = state.next_client();
        let now = self.shared.clock.now();
        let State { core, out, .. } = &mut *state;
        let granted = match core.acquire(now, client, out) {
            Admission::Granted => {
                state.history.used(now);
                state.granted(Some(port), None)
            }
            // Not what an awake service says.
            Admission::Refused(_) | Admission::Waiting => return None,
        };
        if !state.out.is_empty() {
            // Somebody was being asked whether it may sleep.
            self.shared.settle(&mut state);
        }
        drop(state);
        self.shared.changed();
        Some(self.lease(granted, Worth::Use))
    }

    /// The same for a client that is no use: it keeps the target no longer awake, and is cut off when
    /// that sleeps.
    pub fn acquire_uncounted(&self, port: Port) -> Option<Lease> {
        let mut state = self.shared.lock();
        if state.closed {
            return None;
        }
        state.core.acquire_uncounted()?;
        let granted = state.granted(Some(port), None);
        drop(state);
        self.shared.changed();
        Some(self.lease(granted, Worth::Nothing))
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        self.shared.lock().status()
    }

    /// Changes whenever [`ServiceHandle::status`] may have.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changes.subscribe()
    }

    /// Where it stands, and in which run.
    pub(super) fn stands(&self) -> (Phase, Run) {
        let state = self.shared.lock();
        (state.core.phase(), state.core.run())
    }

    /// Whether it admits nobody any more.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Whether its driver has ended.
    pub(super) fn is_over(&self) -> bool {
        self.shared.lock().over
    }

    /// Whether `other` is of the same service.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn lease(&self, granted: Granted, worth: Worth) -> Lease {
        Lease { held: Held { shared: Arc::clone(&self.shared), worth }, granted }
    }
}

/// A client's place in the wait; dropping it before the answer is leaving.
struct Wait<'a> {
    shared: &'a Shared,
    client: Client,
    answer: oneshot::Receiver<Answer>,
    over: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let left = self.shared.lock().claims.remove(&self.client).is_some();
        if left {
            self.shared.feed(Event::Leave(self.client));
        } else if let Ok(Ok(_granted)) = self.answer.try_recv() {
            // Granted, but nobody was there any more to take it.
            self.shared.feed(Event::Release);
        }
    }
}

/// Granted or refused.
type Answer = Result<Granted, Refused>;

/// What was granted, as things stood at that moment: when the client gets to see it, the run may
/// be over.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) run: Run,
    pub(super) upstream: Option<Upstream>,
    /// The connection that proved the target ready, for the first client.
    pub(super) spare: Option<Spare>,
}

/// What the handle, the leases and the driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    state: Mutex<State>,
    /// The driver has something to do.
    pub(super) work: Notify,
    /// Something may have happened to the target.
    pub(super) look: Notify,
    /// Somebody could not connect to the target.
    pub(super) suspicion: Notify,
    /// A look has ended.
    pub(super) looked: Notify,
    pub(super) connect_limit: ConnectLimit,
    pub(super) connects: Arc<Semaphore>,
    changes: watch::Sender<()>,
    /// The present run: who depends on the target is told of its end, and not of every client.
    pub(super) runs: watch::Sender<Run>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Service,
    pub(super) history: History,
    /// How many leases are no client's.
    pub(super) kept: u32,
    /// How many of these are the clock's.
    pub(super) by_the_clock: u32,
    /// What the hours of the service say; the core hears of it with regard to holds.
    pub(super) curfew: Option<Curfew>,
    /// How many of them are services that depend on it.
    pub(super) pinned: u32,
    pub(super) out: Vec<Action>,
    /// What the driver has yet to do.
    pub(super) todo: Vec<Action>,
    /// Who waits, and for which port.
    claims: HashMap<Client, (Option<Port>, oneshot::Sender<Answer>)>,
    next_client: u64,
    /// Where each port of the target is, once this run was seen ready.
    pub(super) upstreams: Vec<(Port, Upstream)>,
    /// The connection that proved it, and to which port, until the first client takes it.
    pub(super) spare: Option<(Port, Spare)>,
    /// When the driver looks at its deadline next.
    pub(super) armed: Option<Moment>,
    /// Nobody is admitted any more.
    pub(super) closed: bool,
    /// The driver has ended.
    pub(super) over: bool,
    /// When the last look began that saw the present run go on.
    pub(super) vouched: Option<Moment>,
    /// What the driver is to take on.
    pub(super) setup: Option<Setup>,
}

impl State {
    pub(super) fn status(&self) -> Status {
        Status {
            phase: self.core.phase(),
            leases: self.core.leases(),
            silent: self.core.silent(),
            pinned: self.pinned,
            waiting: self.core.waiting(),
        }
    }

    fn next_client(&mut self) -> Client {
        self.next_client += 1;
        Client(self.next_client)
    }

    fn granted(&self, port: Option<Port>, spare: Option<Spare>) -> Granted {
        let to = self.upstreams.iter().find(|(of, _)| Some(*of) == port);
        Granted { run: self.core.run(), upstream: to.map(|(_, to)| to.clone()), spare }
    }
}

/// How long a connect to the target may take before it is sent again.
///
/// Sooner than the kernel's own second, as a SYN that a full backlog has dropped is not answered
/// at all: with 25 ms a thousand clients of a server with a backlog of 9 are connected within a
/// second. A target that is far takes longer, which the probe has measured.
#[derive(Debug)]
pub(super) struct ConnectLimit(AtomicU32);

impl ConnectLimit {
    const LEAST: Duration = Duration::from_millis(25);
    const MOST: Duration = Duration::from_secs(3);

    pub(super) fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed).into())
    }

    pub(super) fn set(&self, limit: Duration) {
        let limit = limit.clamp(Self::LEAST, Self::MOST).as_millis();
        self.0.store(u32::try_from(limit).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// For a run whose probe took so long to connect.
    pub(super) fn reset(&self, took: Duration) {
        self.set(took * 4);
    }
}

impl Shared {
    /// The state. A panic while it was held has left it between two decisions, not within one.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits nobody any more and turns away whoever waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.claims.clear();
    }

    /// Tells the core what happened.
    pub(super) fn feed(&self, event: Event) {
        let mut state = self.lock();
        self.feed_locked(&mut state, event);
        drop(state);
        self.changed();
    }

    /// Tells the core what happened, where more has to change in the same step.
    pub(super) fn feed_locked(&self, state: &mut State, event: Event) {
        let State { core, out, .. } = state;
        core.handle(self.clock.now(), event, out);
        self.settle(state);
    }

    /// Gives the core another policy.
    pub(super) fn reconfigure_locked(&self, state: &mut State, policy: Policy, reach: Reach) {
        let State { core, out, history, .. } = state;
        history.window = policy.idle;
        core.reconfigure(self.clock.now(), policy, reach, out);
        self.settle(state);
    }

    pub(super) fn changed(&self) {
        if self.changes.receiver_count() > 0 {
            self.changes.send_replace(());
        }
    }

    /// Answers the clients, and leaves the rest to the driver.
    pub(super) fn settle(&self, state: &mut State) {
        let mut next = 0;
        while let Some(action) = state.out.get(next).copied() {
            next += 1;
            match action {
                Action::Grant(client) => {
                    let taken = state.claims.remove(&client).is_some_and(|(port, claim)| {
                        let spare = state.spare.take_if(|(of, _)| Some(*of) == port);
                        claim.send(Ok(state.granted(port, spare.map(|(_, spare)| spare)))).is_ok()
                    });
                    if !taken {
                        let State { core, out, .. } = state;
                        core.handle(self.clock.now(), Event::Release, out);
                    }
                }
                Action::Refuse(client, refused) => {
                    if let Some((_, claim)) = state.claims.remove(&client) {
                        // A client that has left in this moment needs no answer.
                        drop(claim.send(Err(refused)));
                    }
                }
                Action::Start { .. }
                | Action::Stop { .. }
                | Action::Kill
                | Action::Ask { .. }
                | Action::EndAsking
                | Action::WouldSleep
                | Action::Probe { .. }
                | Action::Report(_) => {
                    state.todo.push(action);
                }
            }
        }
        state.out.clear();
        let State { core, history, .. } = state;
        history.note(core, || self.clock.now());
        let run = state.core.run();
        if *self.runs.borrow() != run {
            self.runs.send_replace(run);
        }
        // The driver sleeps until the deadline it last saw. A later one, or none, is noticed when
        // that has passed; so taking and giving back the only lease wakes nobody.
        let deadline = state.core.deadline().map(|(at, _)| at);
        let sooner = match (deadline, state.armed) {
            (Some(at), Some(armed)) => at < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if sooner {
            state.armed = deadline;
        }
        if sooner || !state.todo.is_empty() {
            self.work.notify_one();
        }
    }
}
