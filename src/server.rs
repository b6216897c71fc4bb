//! Sockets and clients of one service: accept and receive, take on other sockets, and drain at the
//! end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, warn};

use crate::clock::Clock;
use crate::driver::Lease;
use crate::listen::{self, Accepted, Acceptor, Listener, Place, Sockets};
use crate::port::{Port, Protocol};
use crate::proxy::udp::{Flows, Patience, Relay};
use crate::proxy::{Proxy, Stream};

/// How many clients there may be at once, perhaps together with other services.
#[derive(Debug, Clone)]
pub struct Places {
    /// Connections.
    pub connections: Arc<Semaphore>,
    /// Flows of datagrams.
    pub flows: Arc<Semaphore>,
}

/// On what terms clients are served.
#[derive(Debug)]
pub struct Terms {
    /// How a connection is served.
    pub proxy: Proxy,
    /// How many there may be; those of flows are those that it began with.
    pub places: Places,
    /// A UDP client that is silent for so long is forgotten.
    pub udp_idle: Duration,
}

impl Terms {
    fn patience(&self) -> Patience {
        Patience { start_timeout: self.proxy.start_timeout, idle: self.udp_idle }
    }
}

/// Whether a UDP socket has to be closed before its clients have their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    /// Another one is to be bound where it is.
    Yes,
    /// It ends with its last answer.
    No,
}

/// One service's sockets and clients.
#[derive(Debug)]
pub struct Server {
    /// None while it accepts.
    listeners: Vec<Listener>,
    /// What its sockets are known by.
    known: Vec<(Protocol, Place)>,
    relays: Vec<Arc<Relay>>,
    flows: Arc<Flows>,
    places: Arc<Semaphore>,
    connections: Arc<Connections>,
    accepting: Option<Accepting>,
    clock: Clock,
}

/// The connections under way.
#[derive(Debug)]
struct Connections {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

/// What each of them needs, under one count.
#[derive(Debug)]
struct Shared {
    proxy: Proxy,
    /// Ends them all.
    cut: CancellationToken,
}

/// What takes clients in.
#[derive(Debug)]
struct Accepting {
    stop: CancellationToken,
    streams: JoinHandle<Accepted>,
    datagrams: JoinSet<()>,
}

impl Server {
    /// A server that does not accept yet.
    pub fn new(sockets: Sockets, terms: Terms, clock: Clock) -> Self {
        let tasks = TaskTracker::new();
        let cut = CancellationToken::new();
        let patience = terms.patience();
        let Terms { proxy, places, udp_idle: _ } = terms;
        let service = proxy.service.clone();
        let end = (tasks.clone(), cut.clone());
        let gate = proxy.gate.clone();
        let flows = Arc::new(Flows::new(service, patience, gate, places.flows, end, clock));
        let relay = |datagrams| Arc::new(Relay::new(datagrams, Arc::clone(&flows)));
        Self {
            known: known(&sockets),
            listeners: sockets.streams,
            relays: sockets.datagrams.into_iter().map(relay).collect(),
            flows,
            places: places.connections,
            connections: Arc::new(Connections { shared: Arc::new(Shared { proxy, cut }), tasks }),
            accepting: None,
            clock,
        }
    }

    /// How many connections and flows are under way.
    pub fn count(&self) -> usize {
        self.connections.tasks.len()
    }

    /// The same, counted without the server at hand.
    pub fn connected(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let tasks = self.connections.tasks.clone();
        move || tasks.len()
    }

    /// What its sockets are known by, whether it accepts or not.
    pub fn known(&self) -> &[(Protocol, Place)] {
        &self.known
    }

    /// Accepts from now on.
    pub fn begin(&mut self) {
        if self.accepting.is_some() {
            return;
        }
        let stop = CancellationToken::new();
        let streams = tokio::spawn(listen::accept_all(
            std::mem::take(&mut self.listeners),
            Arc::clone(&self.places),
            Arc::clone(&self.connections),
            stop.clone(),
            self.clock,
        ));
        let mut datagrams = JoinSet::new();
        for relay in &self.relays {
            datagrams.spawn(Arc::clone(relay).receive_until(stop.clone()));
        }
        self.accepting = Some(Accepting { stop, streams, datagrams });
    }

    /// Accepts no more for now. Clients that come after that wait in the listen queue.
    pub async fn pause(&mut self) {
        let Some(Accepting { stop, streams, datagrams }) = self.accepting.take() else { return };
        stop.cancel();
        match streams.await {
            Ok(Accepted { listeners, late }) => {
                self.listeners = listeners;
                if let Some((stream, port)) = late {
                    // One more than there is room for, rather than one that is closed.
                    self.connections.serve(stream, port, None);
                }
            }
            Err(error) => warn!(%error, "the listeners were lost"),
        }
        datagrams.join_all().await;
    }

    /// Accepts until `end` is there.
    pub async fn accept_until<T>(&mut self, end: impl Future<Output = T>) -> T {
        self.begin();
        let end = end.await;
        self.pause().await;
        end
    }

    /// The sockets of a paused server, which are another's or come back from now on. Answers to those
    /// who came by them go on.
    pub fn take_sockets(&mut self) -> Sockets {
        self.known.clear();
        let datagrams = self.relays.iter().map(|relay| relay.datagrams()).collect();
        Sockets { streams: std::mem::take(&mut self.listeners), datagrams }
    }

    /// Gives a paused server its sockets, and other terms for the clients that come; those that are
    /// there go on as they are, but for UDP clients of a socket that is there no more.
    pub fn renew(&mut self, sockets: Sockets, terms: Terms) {
        self.known = known(&sockets);
        self.flows.set_patience(terms.patience());
        self.flows.set_gate(terms.proxy.gate.clone());
        let earlier = std::mem::take(&mut self.relays);
        for datagrams in sockets.datagrams {
            let relay = match earlier.iter().find(|relay| relay.is_of(&datagrams)) {
                Some(relay) => {
                    relay.lead_to(datagrams.port);
                    Arc::clone(relay)
                }
                None => Arc::new(Relay::new(datagrams, Arc::clone(&self.flows))),
            };
            self.relays.push(relay);
        }
        for relay in earlier {
            if !self.relays.iter().any(|kept| Arc::ptr_eq(kept, &relay)) {
                relay.end();
            }
        }
        self.listeners = sockets.streams;
        let Terms { proxy, places, udp_idle: _ } = terms;
        self.places = places.connections;
        let Connections { shared, tasks } = &*self.connections;
        let shared = Arc::new(Shared { proxy, cut: shared.cut.clone() });
        self.connections = Arc::new(Connections { shared, tasks: tasks.clone() });
    }

    /// Takes in who waits at sockets that were taken from this paused server, and closes them: who
    /// waits would be reset. A UDP socket is kept for the answers that are on their way, unless it is
    /// to be closed `at_once`.
    pub async fn close(&mut self, sockets: Sockets, at_once: AtOnce) {
        for listener in &sockets.streams {
            listen::accept_rest(listener, &self.places, &*self.connections);
        }
        for relay in &self.relays {
            if sockets.datagrams.iter().any(|datagrams| relay.is_of(datagrams)) {
                relay.receive_rest();
            }
        }
        match at_once {
            AtOnce::No => {}
            AtOnce::Yes => {
                let is =
                    |relay: &mut Arc<Relay>| sockets.datagrams.iter().any(|of| relay.is_of(of));
                let closed: Vec<Arc<Relay>> = self.relays.extract_if(.., is).collect();
                for relay in closed {
                    relay.close().await;
                }
            }
        }
    }

    /// Closes the sockets and waits for the connections, as long as they take until `ending`, and
    /// from then on for at most `limit`; then ends them.
    pub async fn drain(mut self, ending: &CancellationToken, limit: Duration) {
        self.pause().await;
        for listener in self.listeners.drain(..) {
            match listener.place() {
                Place::Own(_) => {
                    listen::accept_rest(&listener, &self.places, &*self.connections);
                }
                // It lives on elsewhere, with its queue: they are left to whoever accepts next.
                Place::Inherited { .. } => {}
            }
        }
        for relay in self.relays.drain(..) {
            // What was taken from it is closed already, or another's.
            let known = |(of, place): &(_, _)| *of == Protocol::Udp && place == relay.place();
            match relay.place() {
                Place::Own(_) if self.known.iter().any(known) => relay.receive_rest(),
                Place::Own(_) | Place::Inherited { .. } => {}
            }
        }
        self.flows.drain();
        let Connections { shared, tasks } = &*self.connections;
        tasks.close();
        tokio::select! {
            () = tasks.wait() => return,
            () = ending.cancelled() => {}
        }
        if !tasks.is_empty() {
            let limit = humantime::format_duration(limit);
            info!(connections = tasks.len(), %limit, "draining");
        }
        if timeout(limit, tasks.wait()).await.is_err() {
            warn!(connections = tasks.len(), "the drain timeout has passed, cutting them off");
            shared.cut.cancel();
            tasks.wait().await;
        }
    }
}

fn known(sockets: &Sockets) -> Vec<(Protocol, Place)> {
    sockets.places().into_iter().map(|(protocol, place)| (protocol, place.clone())).collect()
}

impl Acceptor for Connections {
    fn accepted(&self, stream: Stream, port: Port, permit: OwnedSemaphorePermit) {
        self.serve(stream, port, Some(permit));
    }
}

impl Connections {
    fn serve(&self, stream: Stream, port: Port, permit: Option<OwnedSemaphorePermit>) {
        let span = self.shared.proxy.span(&stream);
        let shared = Arc::clone(&self.shared);
        if shared.proxy.is_guarded() {
            let tasks = self.tasks.clone();
            self.tasks.spawn(let_in(shared, tasks, stream, port, permit).instrument(span));
        } else {
            self.tasks.spawn(serve(shared, stream, port, permit).instrument(span));
        }
    }
}

/// One connection, with its place.
#[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
fn serve(
    shared: Arc<Shared>,
    stream: Stream,
    port: Port,
    permit: Option<OwnedSemaphorePermit>,
) -> impl Future<Output = ()> {
    async move {
        let cut = pin!(shared.cut.cancelled());
        shared.proxy.serve(&stream, port, cut).await;
        drop((stream, permit));
    }
}

/// As [`serve`], for a client that has to pass a gate: what serves it takes more memory, and is a task
/// of its own.
#[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
fn let_in(
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stream: Stream,
    port: Port,
    permit: Option<OwnedSemaphorePermit>,
) -> impl Future<Output = ()> {
    async move {
        let cut = pin!(shared.cut.cancelled());
        if let Some(reached) = shared.proxy.let_in(&stream, port, cut).await {
            let carry = carry(Arc::clone(&shared), stream, reached, permit);
            tasks.spawn(carry.in_current_span());
        }
    }
}

/// A connection whose target is reached.
#[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
fn carry(
    shared: Arc<Shared>,
    stream: Stream,
    (lease, upstream): (Lease, Stream),
    permit: Option<OwnedSemaphorePermit>,
) -> impl Future<Output = ()> {
    async move {
        let cut = pin!(shared.cut.cancelled());
        shared.proxy.carry(&stream, lease, upstream, cut).await;
        drop((stream, permit));
    }
}

/// The bytes of a connection's future, and of one that waits at a gate, for a test that bounds them.
#[doc(hidden)]
pub fn connection_sizes() -> (usize, usize) {
    const fn serving<F, C>(_: F) -> usize
    where
        F: Fn(Arc<Shared>, Stream, Port, Option<OwnedSemaphorePermit>) -> C + Copy,
    {
        size_of::<C>()
    }
    const fn waiting<F, C>(_: F) -> usize
    where
        F: Fn(Arc<Shared>, TaskTracker, Stream, Port, Option<OwnedSemaphorePermit>) -> C + Copy,
    {
        size_of::<C>()
    }
    (serving(serve), waiting(let_in))
}
