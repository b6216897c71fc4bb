//! From a lease to a connection to the target.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::dial::Dialled;
use super::{Proxy, Stream};
use crate::activation::{Pauses, Refused};
use crate::driver::{Lease, Upstream};

/// So many unanswered connects of one client are a far target rather than a full backlog.
const PATIENCE: u32 = 8;

/// How far a client gets without waiting, short of the target.
pub(super) enum Begun {
    /// A lease; the connect is not answered yet, has failed, or has no place yet.
    Leased(Lease, Option<Box<Attempt>>),
    /// Not even a lease.
    Nothing,
}

/// A connect that was begun, and its place among those that are on the way.
pub(super) struct Attempt {
    dialled: io::Result<Dialled>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Goes as far as it goes without waiting: on an awake target within this host, all the way.
pub(super) fn begin(proxy: &Proxy) -> Result<(Lease, Stream), Begun> {
    let lease = proxy.service.acquire_now().ok_or(Begun::Nothing)?;
    let Some(upstream) = lease.upstream() else { return Err(Begun::Leased(lease, None)) };
    let Ok(place) = Arc::clone(lease.connects()).try_acquire_owned() else {
        return Err(Begun::Leased(lease, None));
    };
    match Attempt::begin(proxy, upstream, Some(place)) {
        Attempt { dialled: Ok(Dialled::Connected(stream)), .. } => Ok((lease, stream)),
        attempt => Err(Begun::Leased(lease, Some(Box::new(attempt)))),
    }
}

/// A lease and a connection to the target; wakes it as often as it takes. The caller sets the
/// time limit.
pub(super) async fn reach(proxy: &Proxy, begun: Begun) -> Result<(Lease, Stream), Refused> {
    let mut begun = match begun {
        Begun::Leased(lease, attempt) => Some((lease, attempt)),
        Begun::Nothing => None,
    };
    loop {
        let (mut lease, attempt) = match begun.take() {
            Some(begun) => begun,
            None => (proxy.service.acquire().await?, None),
        };
        if let Some(spare) = lease.take_spare()
            && !spare.is_dead()
        {
            return Ok((lease, spare));
        }
        if let Some(stream) = connect(proxy, &lease, attempt).await {
            return Ok((lease, stream));
        }
        debug!("the target has gone since, asking again");
    }
}

/// Connects, as often as it takes; `None` once the run is over.
async fn connect(proxy: &Proxy, lease: &Lease, begun: Option<Box<Attempt>>) -> Option<Stream> {
    let upstream = lease.upstream()?.clone();
    let mut begun = begun;
    let mut pauses = Pauses::connect();
    let mut unanswered = 0;
    loop {
        let limit = lease.connect_limit();
        let attempt = if let Some(begun) = begun.take() {
            *begun
        } else {
            // Never closed, so an error cannot be; without a place the connect goes on unbounded.
            let place = Arc::clone(lease.connects()).acquire_owned().await.ok();
            Attempt::begin(proxy, &upstream, place)
        };
        match attempt.end(limit).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => {
                debug!(%error, address = %upstream.address, "cannot connect");
                sleep(pauses.pause()).await;
            }
            Err(_) => {
                unanswered += 1;
                debug!(address = %upstream.address, ?limit, "a connect was not answered");
                if unanswered % PATIENCE == 0 {
                    lease.raise_connect_limit(limit);
                }
            }
        }
        if !lease.goes_on().await {
            return None;
        }
    }
}

impl Attempt {
    fn begin(proxy: &Proxy, upstream: &Upstream, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { dialled: upstream.address.dial(proxy.limits.keepalive), _place: place }
    }

    /// Waits for the answer, for at most `limit`, and gives the place back.
    async fn end(self, limit: Duration) -> Result<io::Result<Stream>, Elapsed> {
        match self.dialled {
            Ok(Dialled::Connected(stream)) => Ok(Ok(stream)),
            Ok(Dialled::OnTheWay(connecting)) => timeout(limit, connecting.wait()).await,
            Err(error) => Ok(Err(error)),
        }
    }
}
