//! Clients that pass a gate before they are served.
//!
//! Most who come while a service sleeps and are asked what they want are scanners, and wait for nothing:
//! so little is kept of a client until it is let in.

use std::pin::Pin;

use tracing::debug;

use super::connect::{self, Begun, Wish};
use super::gate::{self, Passed};
use super::header::Ends;
use super::{Proxy, Stream, Unserved, address, ruled};
use crate::driver::Lease;
use crate::gate::Standing;
use crate::port::Port;

/// How far a client has come that was let in.
enum Entered {
    /// To the target.
    Reached(Lease, Stream),
    /// As far as it goes without waiting.
    Begun(Wish, Begun),
    /// To the rule of that number, with this method.
    Ruled(Wish, usize, String),
}

impl Proxy {
    /// Whether a client that comes now has to pass a gate, so that it is to be
    /// [let in](Self::let_in) before it is served.
    pub fn is_guarded(&self) -> bool {
        self.gate.as_ref().is_some_and(|keeper| {
            keeper.hears_all() || gate::standing(&self.service) != Some(Standing::Awake)
        })
    }

    /// Has a client pass the gate, in little memory until it is let in, and connects it to the target; what
    /// is left is to [`carry`](Self::carry) it. `None` if it is not served.
    ///
    /// The client is closed by whoever owns it, when this is done.
    #[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
    pub fn let_in<'a>(
        &'a self,
        client: &'a Stream,
        port: Port,
        mut cut: Pin<&'a mut (impl Future<Output = ()> + Send)>,
    ) -> impl Future<Output = Option<(Lease, Stream)>> + Send + 'a {
        async move {
            let told = match self.told(client, cut.as_mut()).await {
                Ok(told) => told.map(Box::new),
                Err(unserved) => return unserved.tell(client),
            };
            let held = match self.enter(client, told, port, cut.as_mut()).await {
                Ok(entered) => Box::pin(self.hold_entered(client, entered, cut)),
                Err(unserved) => return unserved.tell(client),
            };
            match held.await {
                Ok(reached) => Some(reached),
                Err(unserved) => unserved.tell(client),
            }
        }
    }

    /// Has a client pass the gate, and holds it then.
    pub(super) async fn enter_and_hold(
        &self,
        client: &Stream,
        told: Option<Ends>,
        port: Port,
        mut cut: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(Lease, Stream), Unserved> {
        let entered = self.enter(client, told.map(Box::new), port, cut.as_mut()).await?;
        self.hold_entered(client, entered, cut).await
    }

    async fn hold_entered(
        &self,
        client: &Stream,
        entered: Entered,
        cut: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(Lease, Stream), Unserved> {
        match entered {
            Entered::Reached(lease, upstream) => Ok((lease, upstream)),
            Entered::Begun(wish, begun) => Box::pin(self.hold(client, wish, begun, cut)).await,
            Entered::Ruled(wish, rule, method) => {
                let rule = self.gate.as_ref().and_then(|keeper| keeper.rule(rule));
                let Some(rule) = rule else { return Err(Unserved::Refused) };
                Box::pin(ruled::serve(self, client, wish, (rule, method), cut)).await
            }
        }
    }

    /// Has a client pass the gate.
    #[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
    fn enter<'a, C: Future<Output = ()> + Send>(
        &'a self,
        client: &'a Stream,
        told: Option<Box<Ends>>,
        port: Port,
        mut cut: Pin<&'a mut C>,
    ) -> impl Future<Output = Result<Entered, Unserved>> + Send + 'a {
        async move {
            let told = || told.as_deref().copied();
            let Some(keeper) = &self.gate else { return Err(Unserved::Refused) };
            if !keeper.allows(|| address(client, told())) {
                debug!("it is not in --allow-from");
                return Err(Unserved::Refused);
            }
            let address = address(client, told()).map_err(|_| Unserved::Left)?;
            loop {
                let limit = self.start_timeout;
                let passed = keeper.pass(&self.service, client, address, limit, cut.as_mut()).await;
                let wish = || self.wish(client, told(), port);
                let standing = match passed {
                    Passed::In(standing) => standing,
                    Passed::Rule { rule, method } => {
                        return Ok(Entered::Ruled(wish(), rule, method));
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
                let wish = wish();
                let begun = match connect::begin(self, &wish) {
                    Ok((lease, upstream)) => return Ok(Entered::Reached(lease, upstream)),
                    Err(begun) => begun,
                };
                // It was let in to an awake service, which has fallen asleep in this very moment.
                let asleep = || gate::standing(&self.service) != Some(Standing::Awake);
                if !matches!(begun, Begun::Nothing) || standing == Standing::Asleep || !asleep() {
                    return Ok(Entered::Begun(wish, begun));
                }
            }
        }
    }
}
