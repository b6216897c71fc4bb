//! Accepting, within the limits of what can be held.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Listener;
use crate::activation::{Moment, Pauses};
use crate::clock::Clock;
use crate::proxy::Stream;

/// The same trouble is told once in this time.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Who takes accepted connections.
pub trait Acceptor: Send + Sync + 'static {
    /// Takes one; the permit is given back with it.
    fn accepted(&self, stream: Stream, permit: OwnedSemaphorePermit);
}

/// Accepts until `stop`, and gives the listener back.
///
/// A permit is taken before a connection is: at the limit clients wait in the listen queue, none
/// is accepted and closed. When the process is out of descriptors or memory, accepting pauses.
pub async fn accept_all(
    listener: Listener,
    places: Arc<Semaphore>,
    acceptor: Arc<impl Acceptor>,
    stop: CancellationToken,
    clock: Clock,
) -> Listener {
    let mut pauses = Pauses::accept();
    let mut told: Option<Moment> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return listener,
            accepted = accept_one(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                pauses = Pauses::accept();
                acceptor.accepted(stream, permit);
            }
            Err(error) if is_of_the_client(&error) => debug!(%error, "a client left unaccepted"),
            Err(error) => {
                if told.is_none_or(|last| clock.now().since(last) > TELL_AGAIN_AFTER) {
                    told = Some(clock.now());
                    warn!(
                        listener = listener.name(), %error,
                        "cannot accept for now; clients wait in the listen queue (raise the file \
                         descriptor limit, or lower --max-connections)"
                    );
                }
                tokio::select! {
                    () = stop.cancelled() => return listener,
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
        acceptor.accepted(stream, permit);
    }
}

async fn accept_one(
    listener: &Listener,
    places: &Arc<Semaphore>,
) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let permit =
        Arc::clone(places).acquire_owned().await.map_err(|_| io::Error::other("closed"))?;
    Ok((listener.accept().await?, permit))
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
