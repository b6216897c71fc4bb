//! From a lease to a connection to the target.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{Proxy, Stream, tune};
use crate::activation::{Pauses, Refused};
use crate::driver::Lease;

/// A connect that is not answered this soon was dropped by a full backlog, and is sent again: the
/// kernel itself would wait a second. A thousand clients of a server with a backlog of 9 are
/// connected within a second that way, where the kernel's own pace takes more than twenty.
const FIRST_LIMIT: Duration = Duration::from_millis(25);

/// So many unanswered connects are a far target rather than a full backlog; the limit doubles.
const PATIENCE: u32 = 8;

/// The longest one connect may take.
const LAST_LIMIT: Duration = Duration::from_secs(3);

/// A lease and a connection to the target; wakes it as often as it takes. The caller sets the
/// time limit.
pub(super) async fn reach(proxy: &Proxy) -> Result<(Lease, Stream), Refused> {
    loop {
        let mut lease = proxy.service.acquire().await?;
        if let Some(spare) = lease.take_spare()
            && !spare.is_dead()
        {
            return Ok((lease, spare));
        }
        if let Some(stream) = connect(proxy, &lease).await {
            return Ok((lease, stream));
        }
        debug!("the target has gone since, asking again");
    }
}

/// Connects, as often as it takes; `None` once the run is over.
async fn connect(proxy: &Proxy, lease: &Lease) -> Option<Stream> {
    let upstream = lease.upstream()?;
    let mut pauses = Pauses::connect();
    let mut limit = FIRST_LIMIT;
    let mut unanswered = 0;
    loop {
        let attempt = {
            // Never closed, so an error cannot be; without a place the connect goes on unbounded.
            let _place = lease.connects().acquire().await;
            timeout(limit, TcpStream::connect(upstream.address)).await
        };
        match attempt {
            Ok(Ok(stream)) => {
                // A failure to tune says that the connection is gone; the copying will see.
                drop(tune(&SockRef::from(&stream), proxy.limits.keepalive));
                return Some(stream.into());
            }
            Ok(Err(error)) => {
                debug!(%error, address = %upstream.address, "cannot connect");
                proxy.service.suspect();
                sleep(pauses.pause()).await;
            }
            Err(_) => {
                unanswered += 1;
                if unanswered % PATIENCE == 0 {
                    debug!(address = %upstream.address, ?limit, "connects are not answered");
                    proxy.service.suspect();
                    limit = (limit * 2).min(LAST_LIMIT);
                }
            }
        }
        if !lease.is_current() {
            return None;
        }
    }
}
