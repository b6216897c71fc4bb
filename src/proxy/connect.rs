//! From a lease to a connection to the target.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::dial::Dialled;
use super::{Proxy, Stream};
use crate::activation::{Cause, Pauses, Refused};
use crate::driver::{Lease, Upstream, Waker};
use crate::port::Port;

/// So many unanswered connects of one client are a far target rather than a full backlog.
const PATIENCE: u32 = 8;

/// The connection that a client is to have.
pub(super) struct Wish {
    /// To which port.
    pub(super) port: Port,
    /// What it begins with.
    pub(super) header: Option<Vec<u8>>,
    /// Where the client is, as a header has told.
    pub(super) told: Option<IpAddr>,
}

/// How far a client gets without waiting, short of the target.
pub(super) enum Begun {
    /// A lease; the connect is not answered yet, has failed, or has no place yet.
    Leased(Box<(Lease, Option<Attempt>)>),
    /// Not even a lease.
    Nothing,
}

impl Begun {
    fn leased(lease: Lease, attempt: Option<Attempt>) -> Self {
        Self::Leased(Box::new((lease, attempt)))
    }
}

/// A connect that was begun, and its place among those that are on the way.
pub(super) struct Attempt {
    dialled: io::Result<Dialled>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Goes as far as it goes without waiting: on an awake target within this host, all the way.
pub(super) fn begin(proxy: &Proxy, wish: &Wish) -> Result<(Lease, Stream), Begun> {
    let lease = proxy.service.acquire_now(wish.port).ok_or(Begun::Nothing)?;
    let Some(upstream) = lease.upstream() else { return Err(Begun::leased(lease, None)) };
    let Ok(place) = Arc::clone(lease.connects()).try_acquire_owned() else {
        return Err(Begun::leased(lease, None));
    };
    match Attempt::begin(proxy, upstream, wish, Some(place)) {
        Attempt { dialled: Ok(Dialled::Connected(stream)), .. } => Ok((lease, stream)),
        attempt => Err(Begun::leased(lease, Some(attempt))),
    }
}

/// A lease and the connection that `wish` describes; wakes the target as often as it takes. The
/// caller sets the time limit.
pub(super) async fn reach(
    proxy: &Proxy,
    client: &Stream,
    wish: Wish,
    begun: Begun,
) -> Result<(Lease, Stream), Refused> {
    let mut begun = match begun {
        Begun::Leased(leased) => Some(*leased),
        Begun::Nothing => None,
    };
    loop {
        let (mut lease, attempt) = match begun.take() {
            Some(begun) => begun,
            None => (proxy.service.acquire_as(Some(wish.port), || wish.waker(client)).await?, None),
        };
        if let Some(spare) = lease.take_spare()
            && !spare.is_dead()
            && let Ok(spare) = wish.announce(spare)
        {
            return Ok((lease, spare));
        }
        // The service may have been told meanwhile that it has no such port.
        if lease.upstream().is_none() {
            return Err(Refused::Failed(Cause::Unreachable));
        }
        if let Some(stream) = connect(proxy, &lease, &wish, attempt).await {
            return Ok((lease, stream));
        }
        debug!("the target has gone since, asking again");
    }
}

/// Connects, as often as it takes; `None` once the run is over.
pub(super) async fn connect(
    proxy: &Proxy,
    lease: &Lease,
    wish: &Wish,
    mut begun: Option<Attempt>,
) -> Option<Stream> {
    let upstream = lease.upstream()?.clone();
    let mut pauses = Pauses::connect();
    let mut unanswered = 0;
    loop {
        let limit = lease.connect_limit();
        let attempt = if let Some(begun) = begun.take() {
            begun
        } else {
            // Never closed, so an error cannot be; without a place the connect goes on unbounded.
            let place = Arc::clone(lease.connects()).acquire_owned().await.ok();
            Attempt::begin(proxy, &upstream, wish, place)
        };
        match attempt.end(limit, wish).await {
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
    fn begin(
        proxy: &Proxy,
        upstream: &Upstream,
        wish: &Wish,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let dialled = match upstream.address.dial(proxy.limits.keepalive) {
            Ok(Dialled::Connected(stream)) => wish.announce(stream).map(Dialled::Connected),
            dialled => dialled,
        };
        Self { dialled, _place: place }
    }

    /// Waits for the answer, for at most `limit`, and gives the place back.
    async fn end(self, limit: Duration, wish: &Wish) -> Result<io::Result<Stream>, Elapsed> {
        match self.dialled {
            Ok(Dialled::Connected(stream)) => Ok(Ok(stream)),
            Ok(Dialled::OnTheWay(connecting)) => {
                let connected = timeout(limit, connecting.wait()).await?;
                Ok(connected.and_then(|stream| wish.announce(stream)))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

impl Wish {
    /// Who wakes the target if this does. A system call, unless a header has told.
    fn waker(&self, client: &Stream) -> Waker {
        let source = || client.ends().ok().flatten().map(|ends| ends.source.ip());
        Waker::Client(self.told.or_else(source).map(|address| address.to_canonical()))
    }

    /// Sends the header, before anybody else sends anything.
    fn announce(&self, stream: Stream) -> io::Result<Stream> {
        match &self.header {
            None => Ok(stream),
            Some(header) => stream.announce(header).map(|()| stream),
        }
    }
}
