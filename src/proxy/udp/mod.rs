//! Datagrams: a flow per client address.
//!
//! The first datagrams of a flow are kept while the target wakes, and delivered in their order once
//! it is ready; if nobody was bound to its port yet, they are delivered again. A flow holds a lease
//! until it has been silent both ways for its idle time. Answers come from the address that the
//! client spoke to. Datagrams are received and sent by the batch; no datagram is ever waited for
//! to be sent: like a router, what finds no room drops it, and counts it. So is dropped what comes from
//! somebody who is not let in.

mod batch;
mod dropped;
mod flow;
mod held;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use batch::prepare;
use batch::{Ends, Train};
use dropped::{Dropped, Why};
use flow::Flow;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span};

use crate::clock::Clock;
use crate::driver::ServiceHandle;
use crate::listen::{Datagrams, Place};
use crate::port::Port;
use crate::proxy::Keeper;

/// A receiving socket that fails is left alone for so long.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// After so many batches in a row the others of the thread have a turn: a socket that is never empty
/// would keep it for ever.
const BATCHES: u32 = 4;

/// What the kernel counts at least for a datagram in a socket's buffer, in bytes.
const LEAST_COUNTED: usize = 512;

/// How long a flow waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For its target.
    pub start_timeout: Duration,
    /// For a datagram, from either side.
    pub idle: Duration,
}

/// What the flows of one service have in common.
#[derive(Debug)]
pub struct Flows {
    service: ServiceHandle,
    patience: Mutex<Patience>,
    /// Who begins one.
    gate: Mutex<Option<Arc<Keeper>>>,
    clock: Clock,
    tasks: TaskTracker,
    /// Ends them all.
    cut: CancellationToken,
    /// Lets them end as soon as they owe no answer.
    draining: CancellationToken,
    /// One for each flow there may be.
    places: Arc<Semaphore>,
    /// Bytes kept by all of them.
    held: Arc<AtomicUsize>,
    dropped: Dropped,
}

impl Flows {
    /// Flows that take their places from `places`, whose tasks are tracked by `tasks` and ended by
    /// `cut`.
    pub fn new(
        service: ServiceHandle,
        patience: Patience,
        gate: Option<Arc<Keeper>>,
        places: Arc<Semaphore>,
        (tasks, cut): (TaskTracker, CancellationToken),
        clock: Clock,
    ) -> Self {
        Self {
            service,
            patience: Mutex::new(patience),
            gate: Mutex::new(gate),
            clock,
            tasks,
            cut,
            draining: CancellationToken::new(),
            places,
            held: Arc::default(),
            dropped: Dropped::default(),
        }
    }

    /// From now on a flow ends as soon as it owes its client no answer.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// From now on they wait for so long.
    pub fn set_patience(&self, patience: Patience) {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = patience;
    }

    /// From now on those begin one whom `gate` lets in.
    pub fn set_gate(&self, gate: Option<Arc<Keeper>>) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = gate;
    }

    /// Whether a client without a flow is to have one.
    fn admits(&self, client: IpAddr) -> bool {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gate.is_none_or(|keeper| keeper.takes_datagram(&self.service, client))
    }

    fn patience(&self) -> Patience {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One receiving socket and the flows through it.
#[derive(Debug)]
pub struct Relay {
    receiving: Datagrams,
    /// The port it leads to.
    port: Mutex<Port>,
    common: Arc<Flows>,
    flows: Mutex<HashMap<Ends, Arc<Flow>>>,
    /// Those of its flows, each of which keeps the socket.
    tasks: TaskTracker,
    /// Ends them.
    over: CancellationToken,
}

impl Relay {
    /// Nothing is received yet.
    pub fn new(datagrams: Datagrams, common: Arc<Flows>) -> Self {
        let port = Mutex::new(datagrams.port);
        let (tasks, over) = (TaskTracker::new(), CancellationToken::new());
        Self { receiving: datagrams, port, common, flows: Mutex::default(), tasks, over }
    }

    /// Whether it receives from that socket.
    pub fn is_of(&self, datagrams: &Datagrams) -> bool {
        Arc::ptr_eq(&self.receiving.socket, &datagrams.socket)
    }

    /// Its socket.
    pub fn datagrams(&self) -> Datagrams {
        let mut datagrams = self.receiving.clone();
        datagrams.port = self.port();
        datagrams
    }

    /// What its socket is known by.
    pub fn place(&self) -> &Place {
        self.receiving.place()
    }

    /// The flows that begin from now on lead to that port.
    pub fn lead_to(&self, port: Port) {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner) = port;
    }

    fn port(&self) -> Port {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends its flows: nothing is received from their clients any more.
    pub fn end(&self) {
        self.over.cancel();
    }

    /// Ends its flows and gives up the socket, which is closed then unless somebody else has it.
    pub async fn close(self: Arc<Self>) {
        self.end();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Receives until `stop`. What comes after that waits in the socket's buffer.
    pub async fn receive_until(self: Arc<Self>, stop: CancellationToken) {
        let mut in_a_row = 0;
        loop {
            let ready = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                ready = self.receiving.socket.readable() => ready,
            };
            let received = ready.and_then(|()| {
                self.receiving.socket.try_io(Interest::READABLE, || self.receive_some())
            });
            match received {
                Ok(()) if in_a_row < BATCHES => in_a_row += 1,
                Ok(()) => {
                    in_a_row = 0;
                    yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => in_a_row = 0,
                Err(error) => {
                    debug!(%error, "no datagram could be received");
                    sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    /// Receives what is in the socket's buffer already: it ends with the socket. No more than the
    /// buffer can hold, whatever comes meanwhile.
    pub fn receive_rest(self: &Arc<Self>) {
        let most =
            SockRef::from(&self.receiving.socket).recv_buffer_size().unwrap_or(0) / LEAST_COUNTED;
        let mut batches = 0..=most / batch::BATCH;
        while batches.next().is_some() && self.receive_some().is_ok() {}
    }

    fn receive_some(self: &Arc<Self>) -> io::Result<()> {
        batch::receive(&self.receiving.socket, |ends, trains| self.take(ends, trains))
    }

    /// Passes on what came from one client.
    fn take(self: &Arc<Self>, ends: Ends, trains: &[Train<'_>]) {
        let mut flows = self.flows();
        if flows.get(&ends).is_some_and(|flow| flow.forward(trains)) {
            return;
        }
        let common = &self.common;
        let drop_all = |why| {
            let dropped = trains.iter().flat_map(|train| train.datagrams()).count();
            common.dropped.some(why, dropped as u64, common.clock.now());
        };
        // A place first: a wake that finds none would count.
        let Ok(place) = Arc::clone(&common.places).try_acquire_owned() else {
            return drop_all(Why::NoPlace);
        };
        if !common.admits(ends.client.ip()) {
            return drop_all(Why::NotLetIn);
        }
        let flow = Arc::new(Flow::new(ends, Arc::clone(common)));
        flow.forward(trains);
        flows.insert(ends, Arc::clone(&flow));
        let relay = Arc::clone(self);
        let port = self.port();
        let client = ends.client.ip().to_canonical();
        let span = debug_span!("flow", %client, port = ends.client.port());
        let serve = async move {
            tokio::select! {
                biased;
                () = relay.common.cut.cancelled() => {}
                () = relay.over.cancelled() => {}
                () = flow.serve(port, &relay.receiving.socket) => {}
            }
            flow.end();
            relay.forget(&flow);
            drop(place);
        };
        let serve = self.tasks.track_future(serve.instrument(span));
        common.tasks.spawn(serve);
    }

    /// Another flow may have taken its place already.
    fn forget(&self, flow: &Arc<Flow>) {
        let mut flows = self.flows();
        if flows.get(&flow.ends).is_some_and(|known| Arc::ptr_eq(known, flow)) {
            flows.remove(&flow.ends);
        }
    }

    fn flows(&self) -> MutexGuard<'_, HashMap<Ends, Arc<Flow>>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
