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

use super::Upstream;
use super::history::History;
use super::spare::Spare;
use crate::activation::{
    Action, Admission, Client, Event, Moment, Phase, Policy, Refused, Run, Service,
};
use crate::clock::Clock;
use crate::proxy::Stream;

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
    /// How many clients use the target.
    pub leases: u32,
    /// How many clients wait for it.
    pub waiting: usize,
}

/// The right to use the target: while it is held, the target is not put to sleep. Dropping it
/// gives it back.
#[derive(Debug)]
pub struct Lease {
    held: Held,
    granted: Granted,
}

/// A lease without what a connect needs to know: small, for as long as bytes flow.
#[derive(Debug)]
pub struct Held {
    pub(super) shared: Arc<Shared>,
}

impl ServiceHandle {
    /// A service nobody has looked at yet, and what its driver needs of it.
    pub(super) fn new(policy: Policy, clock: Clock) -> Self {
        let core = Service::new(policy);
        let state = State {
            kept: 0,
            history: History::new(clock.now(), core.phase()),
            core,
            out: Vec::new(),
            todo: Vec::new(),
            claims: HashMap::new(),
            next_client: 0,
            upstreams: Vec::new(),
            spare: None,
            armed: None,
            closed: false,
            vouched: None,
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
            }),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Asks for the target and waits until it is ready; `port` is the place of the port that is to
    /// be connected to. Dropping the future is leaving.
    pub async fn acquire(&self, port: usize) -> Result<Lease, Refused> {
        let mut wait = {
            let mut state = self.shared.lock();
            if state.closed {
                return Err(Refused::ShuttingDown);
            }
            let client = state.next_client();
            let now = self.shared.clock.now();
            let State { core, out, .. } = &mut *state;
            match core.acquire(now, client, out) {
                Admission::Granted => {
                    let granted = state.granted(port, None);
                    drop(state);
                    self.shared.changed();
                    return Ok(self.lease(granted));
                }
                Admission::Refused(refused) => return Err(refused),
                Admission::Waiting => {
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
            Ok(Ok(granted)) => Ok(self.lease(granted)),
            Ok(Err(refused)) => Err(refused),
            Err(_) => Err(Refused::ShuttingDown),
        }
    }

    /// A lease for that port, if there is one to be had at once: that of an awake target.
    pub fn acquire_now(&self, port: usize) -> Option<Lease> {
        let mut state = self.shared.lock();
        let awake = matches!(state.core.phase(), Phase::Awake { .. });
        if state.closed || !awake {
            return None;
        }
        let client = state.next_client();
        let now = self.shared.clock.now();
        let State { core, out, .. } = &mut *state;
        let granted = match core.acquire(now, client, out) {
            Admission::Granted => state.granted(port, None),
            // Not what an awake service says.
            Admission::Refused(_) | Admission::Waiting => return None,
        };
        drop(state);
        self.shared.changed();
        Some(self.lease(granted))
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        self.shared.lock().status()
    }

    /// Changes whenever [`ServiceHandle::status`] may have.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changes.subscribe()
    }

    fn lease(&self, granted: Granted) -> Lease {
        Lease { held: Held { shared: Arc::clone(&self.shared) }, granted }
    }
}

impl Lease {
    /// Where the target is, in this run.
    pub fn upstream(&self) -> Option<&Upstream> {
        self.granted.upstream.as_ref()
    }

    /// The connection that proved the target ready, for the first client of a run.
    pub fn take_spare(&mut self) -> Option<Stream> {
        self.granted.spare.take().and_then(Spare::take)
    }

    /// Whether the run it was granted for goes on, as far as is known.
    pub fn is_current(&self) -> bool {
        let state = self.held.shared.lock();
        state.core.run() == self.granted.run && matches!(state.core.phase(), Phase::Awake { .. })
    }

    /// After a connect has failed: waits for a look at the target that begins now, and tells
    /// whether the run goes on.
    ///
    /// Until then its address is not to be dialled again: the target may have gone, and another
    /// container may own the address by now. While the engine is away nobody can tell.
    pub async fn goes_on(&self) -> bool {
        let failed = self.held.shared.clock.now();
        self.suspect();
        loop {
            let looked = self.held.shared.looked.notified();
            if !self.is_current() {
                return false;
            }
            if self.held.shared.lock().vouched.is_some_and(|began| began >= failed) {
                return true;
            }
            looked.await;
        }
    }

    /// Has the target looked at: somebody could not reach it.
    pub fn suspect(&self) {
        self.held.shared.suspicion.notify_one();
    }

    /// How long a connect may take before it is sent again; it may be raised for all.
    pub fn connect_limit(&self) -> Duration {
        self.held.shared.connect_limit.get()
    }

    /// Says that connects take longer than that: the target is far rather than its backlog full.
    pub fn raise_connect_limit(&self, from: Duration) {
        self.held.shared.connect_limit.set(self.held.shared.connect_limit.get().max(from * 2));
    }

    /// The lease alone, once the target is reached.
    pub fn hold(self) -> Held {
        self.held
    }

    /// The places for connects that are on the way.
    pub fn connects(&self) -> &Arc<Semaphore> {
        &self.held.shared.connects
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.feed(Event::Release);
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
struct Granted {
    run: Run,
    upstream: Option<Upstream>,
    /// The connection that proved the target ready, for the first client.
    spare: Option<Spare>,
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
    connects: Arc<Semaphore>,
    changes: watch::Sender<()>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Service,
    pub(super) history: History,
    /// How many leases are no client's.
    pub(super) kept: u32,
    out: Vec<Action>,
    /// What the driver has yet to do.
    pub(super) todo: Vec<Action>,
    /// Who waits, and for which port.
    claims: HashMap<Client, (usize, oneshot::Sender<Answer>)>,
    next_client: u64,
    /// Where each port of the target is, once this run was seen ready.
    pub(super) upstreams: Vec<Upstream>,
    /// The connection that proved it, and to which port, until the first client takes it.
    pub(super) spare: Option<(usize, Spare)>,
    /// When the driver looks at its deadline next.
    pub(super) armed: Option<Moment>,
    /// Nobody is admitted any more.
    pub(super) closed: bool,
    /// When the last look began that saw the present run go on.
    pub(super) vouched: Option<Moment>,
}

impl State {
    pub(super) fn status(&self) -> Status {
        Status {
            phase: self.core.phase(),
            leases: self.core.leases(),
            waiting: self.core.waiting(),
        }
    }

    fn next_client(&mut self) -> Client {
        self.next_client += 1;
        Client(self.next_client)
    }

    fn granted(&self, port: usize, spare: Option<Spare>) -> Granted {
        Granted { run: self.core.run(), upstream: self.upstreams.get(port).cloned(), spare }
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

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed).into())
    }

    fn set(&self, limit: Duration) {
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

    pub(super) fn changed(&self) {
        if self.changes.receiver_count() > 0 {
            self.changes.send_replace(());
        }
    }

    /// Answers the clients, and leaves the rest to the driver.
    fn settle(&self, state: &mut State) {
        let mut next = 0;
        while let Some(action) = state.out.get(next).copied() {
            next += 1;
            match action {
                Action::Grant(client) => {
                    let taken = state.claims.remove(&client).is_some_and(|(port, claim)| {
                        let spare = state.spare.take_if(|(of, _)| *of == port);
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
                | Action::Probe { .. }
                | Action::Report(_) => {
                    state.todo.push(action);
                }
            }
        }
        state.out.clear();
        state.history.note(state.core.phase(), || self.clock.now());
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
