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
mod gate;
pub mod header;
mod introduction;
mod pipe;
mod ruled;
mod stream;
pub mod udp;
mod vigil;

use std::future::{Ready, ready};
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
use self::gate::Passed;
use self::vigil::Guard;
use crate::activation::Refused;
use crate::config::rules::Silence;
use crate::config::{ConnectionLimits, Trusted};
use crate::driver::{Lease, ServiceHandle};
use crate::gate::Standing;
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
    pub async fn serve(&self, client: Stream, port: Port, cut: impl Future<Output = ()> + Send) {
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
        let (lease, upstream) = match self.begin(&client, told, port, cut.as_mut()) {
            Ok(reached) => reached,
            Err(waits) => match waits.await {
                Ok(reached) => reached,
                Err(Unserved::Left) => return,
                Err(Unserved::Refused) => return client.close_with_reset(),
            },
        };
        let mut guard = Guard::new(lease.hold(), self.silence);
        let summary = copy(&client, &upstream, &self.limits, &mut guard, cut).await;
        debug!(up = summary.up, down = summary.down, ended = ?summary.ended, "connection ended");
        match summary.ended {
            Ended::Closed | Ended::Silent => {}
            Ended::Reset | Ended::HalfClosedTooLong | Ended::Cut => {
                client.reset();
                upstream.reset();
            }
        }
        drop(guard);
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
        let header = self.header(client, told);
        let wish = Wish { port, header, told: told.map(|ends| ends.source.ip()) };
        let Some(keeper) = &self.gate else {
            return connect::begin(self, &wish)
                .map_err(|begun| -> Waits<'a> { Box::pin(self.hold(client, wish, begun, cut)) });
        };
        if !keeper.allows(|| address(client, told)) {
            debug!("it is not in --allow-from");
            return Err(Box::pin(ready(Err(Unserved::Refused))));
        }
        let begun = if keeper.hears_all() {
            Begun::Nothing
        } else {
            match connect::begin(self, &wish) {
                Ok(reached) => return Ok(reached),
                Err(begun) => begun,
            }
        };
        Err(match (begun, address(client, told)) {
            (Begun::Nothing, Ok(address)) => {
                Box::pin(self.enter((keeper, client), address, wish, cut))
            }
            (Begun::Nothing, Err(_)) => Box::pin(ready(Err(Unserved::Left))),
            (begun, _) => Box::pin(self.hold(client, wish, begun, cut)),
        })
    }

    /// Has a client pass the gate, and holds it then.
    #[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
    fn enter<'a, C: Future<Output = ()> + Send>(
        &'a self,
        (keeper, client): (&'a Keeper, &'a Stream),
        address: Option<IpAddr>,
        wish: Wish,
        mut cut: Pin<&'a mut C>,
    ) -> impl Future<Output = Result<(Lease, Stream), Unserved>> + Send + 'a {
        async move {
            loop {
                let passed = tokio::select! {
                    biased;
                    passed = keeper.pass(&self.service, client, address, self.start_timeout) => passed,
                    () = cut.as_mut() => return Err(Unserved::Refused),
                };
                let standing = match passed {
                    Passed::In(standing) => standing,
                    Passed::Rule { rule, method } => {
                        let Some(rule) = keeper.rule(rule) else { return Err(Unserved::Refused) };
                        let ruled = ruled::serve(self, client, wish, (rule, method), cut);
                        return Box::pin(ruled).await;
                    }
                    Passed::Out(why) => {
                        debug!(why, "not let in");
                        return Err(Unserved::Refused);
                    }
                    Passed::Left => {
                        debug!("the client left at the gate");
                        return Err(Unserved::Left);
                    }
                };
                let begun = match connect::begin(self, &wish) {
                    Ok(reached) => return Ok(reached),
                    Err(begun) => begun,
                };
                // It was let in to an awake service, which has fallen asleep in this very moment.
                let asleep = || gate::standing(&self.service) != Some(Standing::Awake);
                if !matches!(begun, Begun::Nothing) || standing == Standing::Asleep || !asleep() {
                    return Box::pin(self.hold(client, wish, begun, cut)).await;
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

/// Whose a connection is, `None` being that of a Unix socket without a header; an error says that the
/// client has gone already.
fn address(client: &Stream, told: Option<Ends>) -> io::Result<Option<IpAddr>> {
    let ends = if told.is_some() { told } else { client.ends()? };
    Ok(ends.map(|ends| ends.source.ip()))
}

/// The bytes that a client at the gate has beside its connection's future, for a test that bounds them.
#[doc(hidden)]
pub fn waiting_size() -> usize {
    const fn of<'a, F, C>(_: F) -> usize
    where
        F: Fn(&'a Proxy, At<'a>, Option<IpAddr>, Wish, Pin<&'a mut Ready<()>>) -> C + Copy,
    {
        size_of::<C>()
    }
    type At<'a> = (&'a Keeper, &'a Stream);
    of(Proxy::enter)
}
