//! One connection, from accept to close: acquire, connect, copy, drop.
//!
//! A client is held while the target wakes, whatever it takes within the start timeout, and none
//! of its bytes are read before there is somebody to read them, but those of a PROXY header that
//! was asked for. Who would wake it may have to pass a gate before. A connect that fails is tried again, with a wake in between if the target has
//! gone. A client of an awake target within this host waits for nothing: no timer is set for it, and
//! nothing is allocated that only holding needs.

mod connect;
mod copy;
mod dial;
mod entrance;
mod gate;
pub mod header;
mod introduction;
mod pipe;
mod ruled;
mod stream;
pub mod udp;
mod vigil;

use std::future::ready;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::field::Empty;
use tracing::{Span, debug, debug_span};

use copy::copy;
pub use copy::{Ended, Summary};
pub use dial::Address;
pub use gate::Keeper;
use header::{Ends, Version};
pub use stream::{Stream, tune};

use self::connect::{Begun, Wish};
use self::vigil::Guard;
use crate::activation::Refused;
use crate::config::rules::Silence;
use crate::config::{ConnectionLimits, Trusted};
use crate::driver::{Lease, ServiceHandle};
use crate::port::Port;

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
    /// Who may wake it; `None` is whoever connects.
    pub gate: Option<Arc<Keeper>>,
    /// What silent connections are worth.
    pub silence: Silence,
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

    /// Serves one client of that port to its end, within its [`span`](Self::span), or
    /// until `cut`: then both sides are reset, so that neither takes what it has for the whole.
    ///
    /// The client is closed by whoever owns it, when this is done.
    #[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
    pub fn serve<'a>(
        &'a self,
        client: &'a Stream,
        port: Port,
        mut cut: Pin<&'a mut (impl Future<Output = ()> + Send)>,
    ) -> impl Future<Output = ()> + Send + 'a {
        async move {
            let told = match self.told(client, cut.as_mut()).await {
                Ok(told) => told,
                Err(unserved) => return drop(unserved.tell(client)),
            };
            let (lease, upstream) = match self.begin(client, told, port, cut.as_mut()) {
                Ok(reached) => reached,
                Err(waits) => match waits.await {
                    Ok(reached) => reached,
                    Err(unserved) => return drop(unserved.tell(client)),
                },
            };
            self.carry(client, lease, upstream, cut).await;
        }
    }

    /// What the proxy in front has told of a client, if one is trusted to.
    #[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
    fn told<'a>(
        &'a self,
        client: &'a Stream,
        cut: Pin<&'a mut (impl Future<Output = ()> + Send)>,
    ) -> impl Future<Output = Result<Option<Ends>, Unserved>> + Send + 'a {
        async move {
            let Some(trusted) = &self.trusted else { return Ok(None) };
            // On the heap: without the flag no connection pays for it.
            tokio::select! {
                heard = Box::pin(introduction::hear(client, trusted)) => heard.map_err(|why| {
                    debug!(%why, "closed");
                    Unserved::Left
                }),
                () = cut => Err(Unserved::Refused),
            }
        }
    }

    /// Goes as far as it goes without waiting: on an awake target within this host, all the way. What
    /// waits is apart from the rest, as it is rare and needs much more memory.
    fn begin<'a>(
        &'a self,
        client: &'a Stream,
        told: Option<Ends>,
        port: Port,
        cut: Pin<&'a mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(Lease, Stream), Waits<'a>> {
        if let Some(keeper) = &self.gate {
            if !keeper.allows(|| address(client, told)) {
                debug!("it is not in --allow-from");
                return Err(Box::pin(ready(Err(Unserved::Refused))));
            }
            if keeper.hears_all() {
                return Err(Box::pin(self.enter_and_hold(client, told, port, cut)));
            }
        }
        let wish = self.wish(client, told, port);
        connect::begin(self, &wish).map_err(|begun| -> Waits<'a> {
            match (&self.gate, begun) {
                (Some(_), Begun::Nothing) => Box::pin(self.enter_and_hold(client, told, port, cut)),
                (_, begun) => Box::pin(self.hold(client, wish, begun, cut)),
            }
        })
    }

    /// Copies between the two until the end of both, or until `cut`: then both are reset.
    #[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
    pub fn carry<'a>(
        &'a self,
        client: &'a Stream,
        lease: Lease,
        upstream: Stream,
        cut: Pin<&'a mut (impl Future<Output = ()> + Send)>,
    ) -> impl Future<Output = ()> + Send + 'a {
        async move {
            let mut guard = Guard::new(lease.hold(), self.silence);
            let summary = copy(client, &upstream, &self.limits, &mut guard, cut).await;
            let (up, down, ended) = (summary.up, summary.down, summary.ended);
            debug!(up, down, ?ended, "connection ended");
            match ended {
                Ended::Closed | Ended::Silent => {}
                Ended::Reset | Ended::HalfClosedTooLong | Ended::Cut => {
                    client.close_with_reset();
                    upstream.reset();
                }
            }
        }
    }

    /// Holds a client until the target is reached.
    async fn hold(
        &self,
        client: &Stream,
        wish: Wish,
        begun: Begun,
        cut: impl Future<Output = ()> + Send,
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
            reached = connect::reach(self, client, wish, begun) => reached,
            () = self.service.out_of_patience(self.start_timeout) => Err(Refused::TimedOut),
            () = left => {
                debug!("the client left while it was held");
                return Err(Unserved::Left);
            }
            () = cut => Err(Refused::ShuttingDown),
        };
        reached.map_err(|refused| {
            debug!(?refused, "refused");
            Unserved::Refused
        })
    }

    /// The connection that such a client is to have.
    fn wish(&self, client: &Stream, told: Option<Ends>, port: Port) -> Wish {
        let header = self.header(client, told);
        Wish { port, header, told: told.map(|ends| ends.source.ip()) }
    }

    /// What the application is told of a client, if it expects to be.
    fn header(&self, client: &Stream, told: Option<Ends>) -> Option<Vec<u8>> {
        let version = self.announce?;
        // Of a client that is gone already nothing is left to tell.
        let ends = told.or_else(|| client.ends().ok().flatten());
        Some(header::encode(version, ends))
    }
}

/// What becomes of a client that has to wait.
type Waits<'a> = Pin<Box<dyn Future<Output = Result<(Lease, Stream), Unserved>> + Send + 'a>>;

/// Why a client is served no longer, or not at all.
enum Unserved {
    /// It has left, or is done.
    Left,
    /// The target was not to be had, or not in time, or not for this client; it is reset.
    Refused,
}

impl Unserved {
    /// What the client is to see of it when it is closed; it is not served.
    fn tell(self, client: &Stream) -> Option<(Lease, Stream)> {
        match self {
            Self::Left => {}
            Self::Refused => client.close_with_reset(),
        }
        None
    }
}

/// Whose a connection is, `None` being that of a Unix socket without a header; an error says that the
/// client has gone already.
fn address(client: &Stream, told: Option<Ends>) -> io::Result<Option<IpAddr>> {
    let ends = if told.is_some() { told } else { client.ends()? };
    Ok(ends.map(|ends| ends.source.ip()))
}
