//! Accepting and speaking HTTP, within limits: whoever is slow, mute or greedy ends alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::Desk;
use super::act::hold_again;
use super::holds::HeldBefore;
use super::route::{Asking, route};
use crate::activation::Pauses;

/// How many clients at once; more wait in the listen queue.
const CLIENTS: usize = 16;

/// How many of them may follow the events: the others are for requests that end.
const STREAMS: usize = 8;

/// A request's head has to be there within this time, and the whole exchange, waiting for a wake
/// apart, within twice as long.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// The largest head of a request, in bytes.
const HEAD_SIZE: usize = 16 * 1024;

/// How long exchanges may take at the end of the process.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Serves until the desk's end; then ends everybody.
pub(super) async fn serve(
    listener: UnixListener,
    desk: Arc<Desk>,
    mut held: mpsc::UnboundedReceiver<HeldBefore>,
) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    let streams = Arc::new(Semaphore::new(STREAMS));
    let tasks = TaskTracker::new();
    let mut pauses = Pauses::accept();
    let holding = async {
        while let Some(before) = held.recv().await {
            hold_again(&desk, &tasks, before);
        }
        std::future::pending::<()>().await;
    };
    let accepting = async {
        // Nobody closes it.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    pauses = Pauses::accept();
                    let streams = Arc::clone(&streams);
                    tasks.spawn(client(stream, Arc::clone(&desk), streams, tasks.clone(), place));
                }
                Err(error) => {
                    debug!(%error, "an admin client cannot be accepted");
                    sleep(pauses.pause()).await;
                }
            }
        }
    };
    // What is lost with the first arm is a client that was not accepted yet.
    tokio::select! {
        () = desk.ended.cancelled() => {}
        () = accepting => {}
        () = holding => {}
    }
    desk.holds.release_all();
    tasks.close();
    tasks.wait().await;
}

/// One client: one request, as there is no hurry here.
async fn client(
    stream: UnixStream,
    desk: Arc<Desk>,
    streams: Arc<Semaphore>,
    tasks: TaskTracker,
    _place: OwnedSemaphorePermit,
) {
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let (limit, mut limits) = watch::channel(Some(HEAD_LIMIT * 2));
    let asking = Arc::new(Asking { desk: Arc::clone(&desk), streams, tasks, uid, limit });
    let answer = service_fn(move |request| {
        let asking = Arc::clone(&asking);
        async move { Ok::<_, Infallible>(route(request, asking).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_SIZE)
        .keep_alive(false);
    let mut exchange = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
    let too_slow = async {
        loop {
            let limit = *limits.borrow_and_update();
            let passed = async {
                match limit {
                    Some(limit) => sleep(limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                changed = limits.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    };
    tokio::select! {
        end = exchange.as_mut() => if let Err(error) = end {
            debug!(%error, "an admin client's exchange has failed");
        },
        () = too_slow => debug!("an admin client was too slow"),
        () = desk.ended.cancelled() => {
            exchange.as_mut().graceful_shutdown();
            // Who takes longer is cut off.
            drop(timeout(LAST_WORDS, exchange).await);
        }
    }
}
