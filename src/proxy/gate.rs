//! The gate before a service that is not awake: whoever would wake it is looked at first.
//!
//! What a client sends stays in the kernel while it is looked at, so that it is passed on as any
//! other. While the service is awake nobody comes here, unless there are rules for requests: these are
//! heard then, too. A client that waits at the gate costs its socket, its task and a timer.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::Stream;
use crate::activation::Phase;
use crate::clock::Clock;
use crate::config::rules::{Gate, WakeOn};
use crate::driver::ServiceHandle;
use crate::gate::rate::{Rates, Whose};
use crate::gate::{HttpRule, Standing, Verdict, judge};

/// Who may wake one service, and how often they have.
#[derive(Debug)]
pub struct Keeper {
    gate: Gate,
    rates: Mutex<Rates>,
    clock: Clock,
}

/// What has become of a client at the gate.
#[derive(Debug)]
pub(super) enum Passed {
    /// It is let in to a service that stood like that.
    In(Standing),
    /// It is one of those that never wake.
    Rule {
        /// Which of the rules says so.
        rule: usize,
        /// How it has asked.
        method: String,
    },
    /// It is to be turned away.
    Out(&'static str),
    /// It has left.
    Left,
}

impl Keeper {
    /// Nobody has come yet; `None` if nothing is asked of anybody.
    pub fn new(gate: &Gate, clock: Clock) -> Option<Arc<Self>> {
        let rates = Mutex::new(Rates::new(gate.rate, gate.rate_total));
        gate.any().then(|| Arc::new(Self { gate: gate.clone(), rates, clock }))
    }

    /// Whether a client is served at all; its address is only asked for if that matters. One whose
    /// address cannot be told has gone already.
    pub(super) fn allows(&self, address: impl FnOnce() -> io::Result<Option<IpAddr>>) -> bool {
        let Some(allowed) = &self.gate.allow_from else { return true };
        address().is_ok_and(|address| allowed.has(address))
    }

    /// Whether clients of an awake service have to say what they want, too.
    pub(super) fn hears_all(&self) -> bool {
        !self.gate.rules.is_empty()
    }

    /// The rule of that number.
    pub(super) fn rule(&self, rule: usize) -> Option<&HttpRule> {
        self.gate.rules.get(rule)
    }

    /// Whether a datagram of somebody without a flow begins one.
    pub(super) fn takes_datagram(&self, service: &ServiceHandle, client: IpAddr) -> bool {
        if !self.allows(|| Ok(Some(client))) {
            return false;
        }
        let Gate { wake_from, rate, rate_total, .. } = &self.gate;
        if wake_from.is_none() && rate.is_none() && rate_total.is_none() {
            return true;
        }
        match standing(service) {
            Some(Standing::Awake) => true,
            Some(Standing::Asleep) | None => {
                self.may_wake_from(Some(client)) && self.may_wake_now(service, Some(client))
            }
        }
    }

    /// Waits until it is known what becomes of a client, or the service is awake, for `limit` at most, or
    /// until `cut`; `address` is the client's, `None` that of a Unix socket. Cancel-safe.
    #[expect(clippy::manual_async_fn, reason = "as an async fn it would keep its arguments twice")]
    pub(super) fn pass<'a>(
        &'a self,
        service: &'a ServiceHandle,
        client: &'a Stream,
        address: Option<IpAddr>,
        limit: Duration,
        mut cut: impl Future<Output = ()> + Send + Unpin + 'a,
    ) -> impl Future<Output = Passed> + Send + 'a {
        async move {
            let mut changes = service.changes();
            let mut over = std::pin::pin!(sleep(limit));
            loop {
                changes.mark_unchanged();
                let now = standing(service);
                if let Some(passed) = self.unheard(now, service, address) {
                    return passed;
                }
                let heard = async {
                    match now {
                        // Whether there is anything to be woken is known in a moment.
                        None => {
                            // On the heap, as it lasts for a moment.
                            Box::pin(client.left()).await;
                            None
                        }
                        Some(standing) => {
                            let judge =
                                |bytes: &[u8], sending| judge(&self.gate, standing, sending, bytes);
                            client.look(judge).await.ok().map(|verdict| (verdict, standing))
                        }
                    }
                };
                // Every arm only waits and looks: cancel-safe.
                tokio::select! {
                    biased;
                    heard = heard => return match heard {
                        None => Passed::Left,
                        Some((verdict, standing)) => {
                            self.admit(verdict, standing, service, address)
                        }
                    },
                    changed = changes.changed() => if changed.is_err() {
                        return Passed::Out("the service has ended");
                    },
                    () = &mut over => {
                        return Passed::Out("it has not said in time what it wants");
                    }
                    () = &mut cut => return Passed::Out("the daemon ends"),
                }
            }
        }
    }

    /// What becomes of a client whatever it says; `None` if that depends on what it says, or on what is
    /// not known yet.
    fn unheard(
        &self,
        now: Option<Standing>,
        service: &ServiceHandle,
        address: Option<IpAddr>,
    ) -> Option<Passed> {
        match now? {
            Standing::Awake if !self.hears_all() => Some(Passed::In(Standing::Awake)),
            Standing::Asleep if !self.may_wake_from(address) => {
                Some(Passed::Out("it is not in --wake-from"))
            }
            standing @ (Standing::Awake | Standing::Asleep) => {
                let hears = self.hears_all() || self.gate.on != WakeOn::Connect;
                (!hears).then(|| self.admit(Verdict::In, standing, service, address))
            }
        }
    }

    fn admit(
        &self,
        verdict: Verdict,
        standing: Standing,
        service: &ServiceHandle,
        address: Option<IpAddr>,
    ) -> Passed {
        match (verdict, standing) {
            (Verdict::In, Standing::Asleep) if !self.may_wake_now(service, address) => {
                Passed::Out("there were too many wakes")
            }
            (Verdict::In, standing) => Passed::In(standing),
            (Verdict::Rule { rule, method }, _) => Passed::Rule { rule, method },
            (Verdict::Out(why), _) => Passed::Out(why),
            (Verdict::Left, _) => Passed::Left,
        }
    }

    fn may_wake_from(&self, address: Option<IpAddr>) -> bool {
        self.gate.wake_from.as_ref().is_none_or(|networks| networks.has(address))
    }

    /// Whether a client that wakes the service may do so by the rates; where somebody else is waking it
    /// already, another client costs nothing.
    fn may_wake_now(&self, service: &ServiceHandle, address: Option<IpAddr>) -> bool {
        let status = service.status();
        let wakes = match status.phase {
            // A datagram comes at once, whether it is known or not.
            Phase::Asleep { .. } | Phase::Failed(_) | Phase::Unknown => true,
            Phase::Stopping { .. } => status.waiting == 0,
            Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. } => false,
        };
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        !wakes || rates.admit(Whose::of(address), self.clock.now())
    }
}

/// Whether it runs, once that is known.
pub(super) fn standing(service: &ServiceHandle) -> Option<Standing> {
    match service.status().phase {
        Phase::Unknown => None,
        Phase::Awake { .. } | Phase::Found { .. } => Some(Standing::Awake),
        Phase::Asleep { .. }
        | Phase::Starting { .. }
        | Phase::Probing { .. }
        | Phase::Stopping { .. }
        | Phase::Failed(_) => Some(Standing::Asleep),
    }
}
