//! One client's datagrams, there and back.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::batch::{self, Ends, Sent, Train};
use super::dropped::Why;
use super::held::Held;
use super::{BATCHES, Flows};
use crate::activation::{Moment, Pauses};
use crate::clock;
use crate::driver::{Lease, Waker};
use crate::port::Port;
use crate::proxy::Address;
use crate::proxy::dial::is_cut_off;

/// A port that nobody is bound to says so within a round trip; what was delivered is kept for so
/// long in case it does.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// While the daemon drains, an answer is waited for so long.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// The datagrams of one client to one address of ours.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) ends: Ends,
    common: Arc<Flows>,
    state: Mutex<State>,
    /// The stage has changed from outside its task.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// When the last datagram came, from either side.
    heard: Moment,
    /// The client has sent something since the last answer.
    owed: bool,
}

#[derive(Debug)]
enum Stage {
    /// The target is not there yet.
    Waiting(Held),
    /// The target is there.
    Open {
        upstream: Arc<UdpSocket>,
        lease: Arc<Lease>,
        /// What was delivered when, as long as nobody may have been bound to the port.
        kept: Option<(Held, Moment)>,
    },
    /// Whatever comes now begins another flow.
    Over,
}

/// Why a flow stops carrying.
enum Stop {
    /// It was silent, or its run is over.
    Over,
    /// Nobody was bound to the port when the first datagrams came.
    Refused,
}

impl Flow {
    /// Nothing has come yet.
    pub(super) fn new(ends: Ends, common: Arc<Flows>) -> Self {
        let held = Held::new(Arc::clone(&common.held));
        let heard = common.clock.now();
        let state = State { stage: Stage::Waiting(held), heard, owed: true };
        Self { ends, common, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Passes on what the client has sent; false if the flow is over and wants to be replaced.
    pub(super) fn forward(&self, trains: &[Train<'_>]) -> bool {
        let now = self.common.clock.now();
        let mut state = self.state();
        let mut sent = match &mut state.stage {
            Stage::Over => return false,
            Stage::Waiting(held) => {
                self.keep(held, trains, now);
                Sent::default()
            }
            // The address may be another container's by now.
            Stage::Open { lease, .. } if !lease.is_current() => {
                state.stage = Stage::Over;
                self.changed.notify_one();
                return false;
            }
            Stage::Open { upstream, kept, .. } => {
                kept.take_if(|(_, delivered)| now.since(*delivered) >= KEPT_FOR);
                if let Some((held, _)) = kept {
                    for datagram in trains.iter().flat_map(|train| train.datagrams()) {
                        held.push(datagram);
                    }
                }
                batch::send(&**upstream, trains, None)
            }
        };
        state.heard = now;
        state.owed = true;
        if sent.refused {
            if state.hold_again() {
                // It is delivered again.
                sent.unsent = 0;
                self.changed.notify_one();
            } else if let Stage::Open { lease, .. } = &state.stage {
                lease.suspect();
            }
        }
        self.common.dropped.sent(sent, now);
        true
    }

    fn keep(&self, held: &mut Held, trains: &[Train<'_>], now: Moment) {
        for datagram in trains.iter().flat_map(|train| train.datagrams()) {
            if !held.push(datagram) {
                self.common.dropped.some(Why::Unkept, 1, now);
            }
        }
    }

    /// Serves the client until it has been silent for long enough; `answers` is the socket that
    /// it spoke to.
    pub(super) async fn serve(&self, port: Port, answers: &UdpSocket) {
        let begun = self.common.clock.now();
        let limit = self.common.patience().start_timeout;
        let left = || limit.saturating_sub(self.common.clock.now().since(begun));
        let mut pauses = Pauses::connect();
        loop {
            let who = || Waker::Client(Some(self.ends.client.ip().to_canonical()));
            let acquired = self.common.service.acquire_as(Some(port), who);
            let lease = match timeout(left(), acquired).await {
                Ok(Ok(lease)) => Arc::new(lease),
                Ok(Err(refused)) => return debug!(?refused, "refused"),
                Err(_) => return debug!("it has not become ready in time"),
            };
            let address = lease.upstream().map(|upstream| &upstream.address);
            let Some((address, ip)) = address.and_then(|address| Some((address, address.ip()?)))
            else {
                return debug!("it has no address for datagrams");
            };
            let upstream = match connected(address, ip) {
                Ok(upstream) => Arc::new(upstream),
                // Its network has gone, so it has.
                Err(error) if is_cut_off(&error) => {
                    debug!(%error, %address, "cannot connect");
                    sleep(pauses.pause()).await;
                    match timeout(left(), lease.goes_on()).await {
                        Ok(_) if !left().is_zero() => continue,
                        Ok(_) | Err(_) => return debug!("it was not reached in time"),
                    }
                }
                Err(error) => {
                    self.common.dropped.some(Why::NoPlace, 1, self.common.clock.now());
                    return debug!(%error, "no socket for the target");
                }
            };
            loop {
                let stop = match self.open(&upstream, &lease) {
                    Ok(()) => self.carry(&upstream, &lease, answers).await,
                    Err(stop) => stop,
                };
                match stop {
                    Stop::Over => return,
                    Stop::Refused => {}
                }
                debug!("nobody is bound to its port yet");
                sleep(pauses.pause()).await;
                match timeout(left(), lease.goes_on()).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => return debug!("nobody was bound to its port in time"),
                }
            }
        }
    }

    /// Delivers what is held; what comes from now on follows it.
    fn open(&self, upstream: &Arc<UdpSocket>, lease: &Arc<Lease>) -> Result<(), Stop> {
        let now = self.common.clock.now();
        let mut state = self.state();
        let Stage::Waiting(held) = &state.stage else { return Err(Stop::Over) };
        // What came back for an earlier delivery says nothing about this one.
        drop(upstream.take_error());
        let trains: Vec<_> = held.datagrams().map(Train::single).collect();
        // The first goes alone: near by it is refused at once, and none of the others is delivered
        // then, should the port be bound in this very moment.
        let (first, others) = trains.split_at(trains.len().min(1));
        let sent = batch::send(&**upstream, first, None);
        let came_back = upstream.take_error().ok().flatten();
        let cut_off = sent.refused && sent.unsent > 0;
        if cut_off || came_back.is_some_and(|error| is_refusal(&error)) {
            return Err(Stop::Refused);
        }
        self.common.dropped.sent(sent, now);
        let sent = batch::send(&**upstream, others, None);
        if sent.refused {
            return Err(Stop::Refused);
        }
        self.common.dropped.sent(sent, now);
        if let Stage::Waiting(held) = std::mem::replace(&mut state.stage, Stage::Over) {
            let (upstream, lease) = (Arc::clone(upstream), Arc::clone(lease));
            state.stage = Stage::Open { upstream, lease, kept: Some((held, now)) };
        }
        state.heard = now;
        Ok(())
    }

    /// Brings answers until the flow is over.
    async fn carry(&self, upstream: &UdpSocket, lease: &Lease, answers: &UdpSocket) -> Stop {
        let Flows { clock, draining, .. } = &*self.common;
        // Set anew only when it rings, not with every datagram.
        let mut alarm = std::pin::pin!(sleep(Duration::ZERO));
        let mut told = false;
        let mut in_a_row = 0;
        loop {
            // Every arm only waits: cancel-safe.
            tokio::select! {
                ready = upstream.readable() => {
                    let received = ready.and_then(|()| upstream.try_io(Interest::READABLE, || {
                        batch::receive(upstream, |_, trains| self.answer(answers, trains))
                    }));
                    if received.is_err_and(|error| is_refusal(&error)) && self.refused(lease) {
                        return Stop::Refused;
                    }
                    // It may have been the last one that is due.
                    if told {
                        alarm.as_mut().reset(clock::instant());
                    }
                    in_a_row += 1;
                    if in_a_row == BATCHES {
                        in_a_row = 0;
                        yield_now().await;
                    }
                }
                _ = upstream.ready(Interest::ERROR) => {
                    // The look and the clearing of the readiness are one step.
                    let mut came_back = None;
                    let _cleared: io::Result<()> = upstream.try_io(Interest::ERROR, || {
                        came_back = upstream.take_error()?;
                        Err(io::ErrorKind::WouldBlock.into())
                    });
                    if came_back.is_some_and(|error| is_refusal(&error)) && self.refused(lease) {
                        return Stop::Refused;
                    }
                }
                () = self.changed.notified() => match self.state().stage {
                    Stage::Waiting(_) => return Stop::Refused,
                    Stage::Open { .. } => {}
                    Stage::Over => return Stop::Over,
                },
                () = &mut alarm => match self.due(draining.is_cancelled()) {
                    Some(next) => alarm.as_mut().reset(clock.instant(next)),
                    None => return Stop::Over,
                },
                () = draining.cancelled(), if !told => {
                    told = true;
                    alarm.as_mut().reset(clock::instant());
                }
            }
        }
    }

    /// Nobody was bound to the port; true if what was delivered is to be delivered again.
    fn refused(&self, lease: &Lease) -> bool {
        let again = self.state().hold_again();
        if !again {
            lease.suspect();
        }
        again
    }

    fn answer(&self, answers: &UdpSocket, trains: &[Train<'_>]) {
        let now = self.common.clock.now();
        {
            let mut state = self.state();
            state.heard = now;
            state.owed = false;
            if let Stage::Open { kept, .. } = &mut state.stage {
                *kept = None;
            }
        }
        self.common.dropped.sent(batch::send(answers, trains, Some(&self.ends)), now);
    }

    /// Gives up what it need not keep any more, which others have room for then. Tells when to look
    /// again; `None` if it has been silent for long enough, and then it is over.
    fn due(&self, draining: bool) -> Option<Moment> {
        let now = self.common.clock.now();
        let mut state = self.state();
        let window = match (draining, state.owed) {
            (false, _) => self.common.patience().idle,
            (true, true) => LAST_ANSWER.min(self.common.patience().idle),
            (true, false) => Duration::ZERO,
        };
        let over_at = state.heard + window;
        if now >= over_at {
            state.stage = Stage::Over;
            return None;
        }
        let Stage::Open { kept, .. } = &mut state.stage else { return Some(over_at) };
        kept.take_if(|(_, delivered)| now.since(*delivered) >= KEPT_FOR);
        let kept_until = kept.as_ref().map(|(_, delivered)| *delivered + KEPT_FOR);
        Some(kept_until.map_or(over_at, |until| until.min(over_at)))
    }

    /// Gives back its lease and whatever it keeps.
    pub(super) fn end(&self) {
        self.state().stage = Stage::Over;
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Nobody was bound to the port: what was delivered is held again, if it is still kept.
    fn hold_again(&mut self) -> bool {
        let Stage::Open { kept, .. } = &mut self.stage else { return false };
        let Some((held, _)) = kept.take() else { return false };
        self.stage = Stage::Waiting(held);
        true
    }
}

/// Other errors that come back from the network concern one datagram.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// A socket of the flow's own, so that answers find their way back to it.
fn connected(address: &Address, to: SocketAddr) -> io::Result<UdpSocket> {
    let own: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(own)?;
    socket.set_nonblocking(true)?;
    batch::prepare(&socket)?;
    address.bind_near(&SockRef::from(&socket))?;
    socket.connect(to)?;
    UdpSocket::from_std(socket)
}
