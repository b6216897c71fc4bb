//! From a lease to a connection to the target.

use std::io;

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{Proxy, Stream};
use crate::activation::{Pauses, Refused};
use crate::driver::Lease;

/// So many unanswered connects of one client are a far target rather than a full backlog.
const PATIENCE: u32 = 8;

/// A lease and a connection to that port of the target, which begins with `header`; wakes it as
/// often as it takes. The caller sets the time limit.
pub(super) async fn reach(
    proxy: &Proxy,
    port: usize,
    header: Option<&[u8]>,
) -> Result<(Lease, Stream), Refused> {
    loop {
        let mut lease = proxy.service.acquire(port).await?;
        if let Some(spare) = lease.take_spare()
            && !spare.is_dead()
            && announce(&spare, header).is_ok()
        {
            return Ok((lease, spare));
        }
        if let Some(stream) = connect(proxy, &lease, header).await {
            return Ok((lease, stream));
        }
        debug!("the target has gone since, asking again");
    }
}

/// Connects, as often as it takes; `None` once the run is over.
async fn connect(proxy: &Proxy, lease: &Lease, header: Option<&[u8]>) -> Option<Stream> {
    let upstream = lease.upstream()?.clone();
    let mut pauses = Pauses::connect();
    let mut unanswered = 0;
    loop {
        let limit = lease.connect_limit();
        let attempt = {
            // Never closed, so an error cannot be; without a place the connect goes on unbounded.
            let _place = lease.connects().acquire().await;
            timeout(limit, upstream.address.connect(proxy.limits.keepalive)).await
        };
        let begun = attempt.map(|connected| {
            connected.and_then(|stream| announce(&stream, header).map(|()| stream))
        });
        match begun {
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

/// Sends the header, before anybody else sends anything.
fn announce(stream: &Stream, header: Option<&[u8]>) -> io::Result<()> {
    header.map_or(Ok(()), |header| stream.announce(header))
}
