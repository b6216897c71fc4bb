//! Accepting, within the limits of what can be held.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Listener;
use crate::activation::{Moment, Pauses};
use crate::clock::Clock;
use crate::port::Port;
use crate::proxy::Stream;

/// The same trouble is told once in this time.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Who takes accepted connections.
pub trait Acceptor: Send + Sync + 'static {
    /// Takes one, which leads to that port; the permit is given back with it.
    fn accepted(&self, stream: Stream, port: Port, permit: OwnedSemaphorePermit);
}

/// What is left when accepting stops.
#[derive(Debug)]
pub struct Accepted {
    /// The listeners.
    pub listeners: Vec<Listener>,
    /// A client that was accepted and has no place yet, and the port it leads to.
    pub late: Option<(Stream, Port)>,
}

/// Accepts on all of `listeners` until `stop`.
///
/// At the limit one client is accepted and waits for a place, and the others wait in the listen
/// queue: nobody is accepted and closed, and a service without a client takes no place from those
/// that share them. When the process is out of descriptors or memory, accepting pauses.
pub async fn accept_all(
    listeners: Vec<Listener>,
    places: Arc<Semaphore>,
    acceptor: Arc<impl Acceptor>,
    stop: CancellationToken,
    clock: Clock,
) -> Accepted {
    let mut pauses = Pauses::accept();
    let mut told: Option<Moment> = None;
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return Accepted { listeners, late: None },
            accepted = accept_one(&listeners, &mut turn) => accepted,
        };
        match accepted {
            Ok((stream, port)) => {
                pauses = Pauses::accept();
                let permit = tokio::select! {
                    biased;
                    permit = Arc::clone(&places).acquire_owned() => permit,
                    () = stop.cancelled() => {
                        return Accepted { listeners, late: Some((stream, port)) };
                    }
                };
                // Nobody closes it.
                if let Ok(permit) = permit {
                    acceptor.accepted(stream, port, permit);
                }
            }
            Err(error) if is_of_the_client(&error) => debug!(%error, "a client left unaccepted"),
            Err(error) => {
                if told.is_none_or(|last| clock.now().since(last) > TELL_AGAIN_AFTER) {
                    told = Some(clock.now());
                    warn!(
                        %error,
                        "cannot accept for now; clients wait in the listen queue (raise the file \
                         descriptor limit, or lower --max-connections)"
                    );
                }
                tokio::select! {
                    () = stop.cancelled() => return Accepted { listeners, late: None },
                    () = sleep(pauses.pause()) => {}
                }
            }
        }
    }
}

/// Takes the connections that the kernel has completed and nobody has accepted, as far as there
/// are places: closing the listening socket would reset them.
pub fn accept_rest(listener: &Listener, places: &Arc<Semaphore>, acceptor: &impl Acceptor) {
    while let Ok(permit) = Arc::clone(places).try_acquire_owned()
        && let Ok(stream) = listener.accept_now()
    {
        acceptor.accepted(stream, listener.port, permit);
    }
}

/// The next client of any listener, and the place of its port; each begins in its turn.
async fn accept_one(listeners: &[Listener], turn: &mut usize) -> io::Result<(Stream, Port)> {
    poll_fn(|cx| {
        for step in 0..listeners.len() {
            let index = (*turn + step) % listeners.len();
            if let Poll::Ready(accepted) = listeners[index].poll_accept(cx) {
                *turn = index + 1;
                return Poll::Ready(accepted.map(|stream| (stream, listeners[index].port)));
            }
        }
        Poll::Pending
    })
    .await
}

/// Errors of one connection, not of the socket (accept(2)).
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
    )
}
