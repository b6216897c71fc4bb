//! One connection, from accept to close: acquire, connect, copy, drop.
//!
//! A client is held while the target wakes, whatever it takes within the start timeout, and none
//! of its bytes are read before there is somebody to read them, but those of a PROXY header that
//! was asked for. A connect that fails is tried again, with a wake in between if the target has
//! gone. A client of an awake target within this host waits for nothing: no timer is set for it, and
//! nothing is allocated that only holding needs.

mod connect;
mod copy;
mod dial;
pub mod header;
mod introduction;
mod pipe;
mod stream;
pub mod udp;

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::field::Empty;
use tracing::{Span, debug, debug_span};

pub use copy::{Ended, Summary, copy};
pub use dial::Address;
use header::{Ends, Version};
pub use stream::{Stream, tune};

use self::connect::{Begun, Wish};
use crate::activation::Refused;
use crate::config::{ConnectionLimits, Trusted};
use crate::driver::{Lease, ServiceHandle};

/// A client that has waited for so long is held.
const HELD_AFTER: Duration = Duration::from_millis(50);

/// What the connections of one service have in common.
#[derive(Debug)]
pub struct Proxy {
    /// The service.
    pub service: ServiceHandle,
    /// How long a client is held at most.
    pub start_timeout: Duration,
    /// How long a connection may be silent.
    pub limits: ConnectionLimits,
    /// The PROXY header that the application expects.
    pub announce: Option<Version>,
    /// Who connects, always with a PROXY header; `None` asks nobody for one.
    pub trusted: Option<Trusted>,
}

impl Proxy {
    /// Where the log lines of a connection belong. A client that is yet to be told of has only a
    /// peer at first.
    pub fn span(&self, client: &Stream) -> Span {
        if self.trusted.is_none() {
            debug_span!("connection", client = %client.peer())
        } else {
            debug_span!("connection", client = Empty, peer = %client.peer())
        }
    }

    /// Serves one client of the port at that place to its end, within its [`span`](Self::span), or
    /// until `cut`: then both sides are reset, so that neither takes what it has for the whole.
    pub async fn serve(&self, client: Stream, port: usize, cut: impl Future<Output = ()>) {
        let mut cut = std::pin::pin!(cut);
        let told = match &self.trusted {
            None => None,
            // On the heap: without the flag no connection pays for it.
            Some(trusted) => tokio::select! {
                heard = Box::pin(introduction::hear(&client, trusted)) => match heard {
                    Ok(told) => told,
                    Err(why) => return debug!(%why, "closed"),
                },
                () = &mut cut => return client.reset(),
            },
        };
        let wish = Wish { port, header: self.header(&client, told) };
        let (lease, upstream) = match connect::begin(self, &wish) {
            Ok(reached) => reached,
            // Apart from the rest, as it is rare and needs much more memory.
            Err(begun) => match Box::pin(self.hold(&client, wish, begun, cut.as_mut())).await {
                Ok(reached) => reached,
                Err(Unserved::Left) => return,
                Err(Unserved::Refused) => return client.reset(),
            },
        };
        let lease = lease.hold();
        let summary = copy(&client, &upstream, self.limits.half_closed, cut).await;
        debug!(up = summary.up, down = summary.down, ended = ?summary.ended, "connection ended");
        match summary.ended {
            Ended::Closed => {}
            Ended::Reset | Ended::HalfClosedTooLong | Ended::Cut => {
                client.reset();
                upstream.reset();
            }
        }
        drop(lease);
    }

    /// Holds a client until the target is reached.
    async fn hold(
        &self,
        client: &Stream,
        wish: Wish,
        begun: Begun,
        cut: impl Future<Output = ()>,
    ) -> Result<(Lease, Stream), Unserved> {
        // A client that leaves is noticed; what it has sent stays in the kernel. A reset says so at
        // any time; the end of its half only once it is held, as on an awake target nobody is.
        let left = async {
            tokio::select! {
                () = client.broken() => {}
                () = async {
                    sleep(HELD_AFTER).await;
                    client.left().await;
                } => {}
            }
        };
        let reached = tokio::select! {
            biased;
            reached = timeout(self.start_timeout, connect::reach(self, wish, begun)) => reached,
            () = left => {
                debug!("the client left while it was held");
                return Err(Unserved::Left);
            }
            () = cut => Ok(Err(Refused::ShuttingDown)),
        };
        reached.unwrap_or(Err(Refused::TimedOut)).map_err(|refused| {
            debug!(?refused, "refused");
            Unserved::Refused
        })
    }

    /// What the application is told of a client, if it expects to be.
    fn header(&self, client: &Stream, told: Option<Ends>) -> Option<Vec<u8>> {
        let version = self.announce?;
        // Of a client that is gone already nothing is left to tell.
        let ends = told.or_else(|| client.ends().ok().flatten());
        Some(header::encode(version, ends))
    }
}

/// Why a client was not served.
enum Unserved {
    /// It did not wait for it.
    Left,
    /// The target was not to be had, or not in time.
    Refused,
}
