//! From a lease to a connection to the target.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{Proxy, Stream};
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
    let upstream = lease.upstream()?.clone();
    let mut pauses = Pauses::connect();
    let mut limit = FIRST_LIMIT;
    let mut unanswered = 0;
    loop {
        let attempt = {
            // Never closed, so an error cannot be; without a place the connect goes on unbounded.
            let _place = lease.connects().acquire().await;
            timeout(limit, upstream.address.connect(proxy.limits.keepalive)).await
        };
        match attempt {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => {
                debug!(%error, address = %upstream.address, "cannot connect");
                sleep(pauses.pause()).await;
            }
            Err(_) => {
                unanswered += 1;
                debug!(address = %upstream.address, ?limit, "a connect was not answered");
                if unanswered % PATIENCE == 0 {
                    limit = (limit * 2).min(LAST_LIMIT);
                }
            }
        }
        if !lease.goes_on().await {
            return None;
        }
    }
}
