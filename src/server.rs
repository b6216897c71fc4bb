//! Listeners and connections of one service: accept, and drain at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span, info, warn};

use crate::clock::Clock;
use crate::listen::{self, Acceptor, Listener};
use crate::proxy::{Proxy, Stream};

/// What becomes of clients that have connected but are not accepted when a listener is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// The socket lives on elsewhere, with its queue: they are left to whoever accepts next.
    LivesOn,
    /// They would be reset: they are accepted and drained with the others.
    Dies,
}

/// One service's listeners and connections.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
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
    /// A server with room for `places` connections at once.
    pub fn new(
        listeners: Vec<Listener>,
        queue: Queue,
        places: usize,
        proxy: Proxy,
        clock: Clock,
    ) -> Self {
        let connections = Connections {
            shared: Arc::new(Shared { proxy, cut: CancellationToken::new() }),
            tasks: TaskTracker::new(),
        };
        Self {
            listeners,
            queue,
            places: Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS))),
            connections: Arc::new(connections),
            clock,
        }
    }

    /// How many connections are under way, counted without the server at hand.
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
        let end = end.await;
        stop.cancel();
        match accepting.await {
            Ok(listeners) => self.listeners = listeners,
            Err(error) => warn!(%error, "the listeners were lost"),
        }
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
    fn accepted(&self, stream: Stream, permit: OwnedSemaphorePermit) {
        let span = debug_span!("connection", client = %stream.peer());
        self.tasks.spawn(serve(Arc::clone(&self.shared), stream, permit).instrument(span));
    }
}

/// One connection, with its place.
#[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
fn serve(
    shared: Arc<Shared>,
    stream: Stream,
    permit: OwnedSemaphorePermit,
) -> impl Future<Output = ()> {
    async move {
        shared.proxy.serve(stream, shared.cut.cancelled()).await;
        drop(permit);
    }
}

/// The bytes of a connection's future, for a test that bounds them.
#[doc(hidden)]
pub fn connection_size() -> usize {
    const fn of<F, C>(_: F) -> usize
    where
        F: Fn(Arc<Shared>, Stream, OwnedSemaphorePermit) -> C + Copy,
    {
        size_of::<C>()
    }
    of(serve)
}
