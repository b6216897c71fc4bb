//! Sockets and clients of one service: accept and receive, and drain at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, warn};

use crate::clock::Clock;
use crate::listen::{self, Accepted, Acceptor, Listener, Sockets};
use crate::proxy::udp::{Flows, Relay};
use crate::proxy::{Proxy, Stream};

/// What becomes of clients that have connected but are not accepted when a listener is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// The socket lives on elsewhere, with its queue: they are left to whoever accepts next.
    LivesOn,
    /// They would be reset: they are accepted and drained with the others.
    Dies,
}

/// How many clients there may be at once, perhaps together with other services.
#[derive(Debug, Clone)]
pub struct Places {
    /// Connections.
    pub connections: Arc<Semaphore>,
    /// Flows of datagrams.
    pub flows: Arc<Semaphore>,
}

/// One service's sockets and clients.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    relays: Vec<Arc<Relay>>,
    flows: Arc<Flows>,
    queue: Queue,
    places: Arc<Semaphore>,
    connections: Arc<Connections>,
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

impl Server {
    /// A server with room for so many clients at once; a UDP client that is silent for `udp_idle`
    /// is forgotten.
    pub fn new(
        sockets: Sockets,
        queue: Queue,
        places: Places,
        proxy: Proxy,
        udp_idle: Duration,
        clock: Clock,
    ) -> Self {
        let tasks = TaskTracker::new();
        let cut = CancellationToken::new();
        let flows = Arc::new(Flows::new(
            proxy.service.clone(),
            proxy.start_timeout,
            udp_idle,
            places.flows,
            (tasks.clone(), cut.clone()),
            clock,
        ));
        let relay = |datagrams| Arc::new(Relay::new(datagrams, Arc::clone(&flows)));
        Self {
            listeners: sockets.streams,
            relays: sockets.datagrams.into_iter().map(relay).collect(),
            flows,
            queue,
            places: places.connections,
            connections: Arc::new(Connections { shared: Arc::new(Shared { proxy, cut }), tasks }),
            clock,
        }
    }

    /// How many connections and flows are under way, counted without the server at hand.
    pub fn connected(&self) -> impl Fn() -> usize + use<> {
        let connections = Arc::clone(&self.connections);
        move || connections.tasks.len()
    }

    /// Accepts until `end` is there. Clients that come after that wait in the listen queue.
    pub async fn accept_until<T>(&mut self, end: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(listen::accept_all(
            std::mem::take(&mut self.listeners),
            Arc::clone(&self.places),
            Arc::clone(&self.connections),
            stop.clone(),
            self.clock,
        ));
        let mut receiving = JoinSet::new();
        for relay in &self.relays {
            receiving.spawn(Arc::clone(relay).receive_until(stop.clone()));
        }
        let end = end.await;
        stop.cancel();
        match accepting.await {
            Ok(Accepted { listeners, late }) => {
                self.listeners = listeners;
                if let Some((stream, port)) = late {
                    // One more than there is room for, rather than one that is closed.
                    self.connections.serve(stream, port, None);
                }
            }
            Err(error) => warn!(%error, "the listeners were lost"),
        }
        receiving.join_all().await;
        end
    }

    /// Closes the listeners and waits for the connections, for at most `limit`; then ends them.
    pub async fn drain(mut self, limit: Duration) {
        for listener in self.listeners.drain(..) {
            match self.queue {
                Queue::Dies => listen::accept_rest(&listener, &self.places, &*self.connections),
                Queue::LivesOn => {}
            }
        }
        for relay in &self.relays {
            match self.queue {
                Queue::Dies => relay.receive_rest(),
                Queue::LivesOn => {}
            }
        }
        self.flows.drain();
        let Connections { shared, tasks } = &*self.connections;
        tasks.close();
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

impl Acceptor for Connections {
    fn accepted(&self, stream: Stream, port: usize, permit: OwnedSemaphorePermit) {
        self.serve(stream, port, Some(permit));
    }
}

impl Connections {
    fn serve(&self, stream: Stream, port: usize, permit: Option<OwnedSemaphorePermit>) {
        let span = self.shared.proxy.span(&stream);
        let serve = serve(Arc::clone(&self.shared), stream, port, permit);
        self.tasks.spawn(serve.instrument(span));
    }
}

/// One connection, with its place.
#[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
fn serve(
    shared: Arc<Shared>,
    stream: Stream,
    port: usize,
    permit: Option<OwnedSemaphorePermit>,
) -> impl Future<Output = ()> {
    async move {
        shared.proxy.serve(stream, port, shared.cut.cancelled()).await;
        drop(permit);
    }
}

/// The bytes of a connection's future, for a test that bounds them.
#[doc(hidden)]
pub fn connection_size() -> usize {
    const fn of<F, C>(_: F) -> usize
    where
        F: Fn(Arc<Shared>, Stream, usize, Option<OwnedSemaphorePermit>) -> C + Copy,
    {
        size_of::<C>()
    }
    of(serve)
}
