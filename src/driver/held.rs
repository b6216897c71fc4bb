//! The right to use the target, and what it is worth while its client is silent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Upstream;
use super::lease::{Granted, ServiceHandle, Shared, State};
use super::spare::Spare;
use crate::activation::{Event, Moment, Phase, Run};
use crate::proxy::Stream;

/// The right to use the target: while it is held, the target is not put to sleep. Dropping it
/// gives it back.
#[derive(Debug)]
pub struct Lease {
    pub(super) held: Held,
    pub(super) granted: Granted,
}

/// A lease without what a connect needs to know: small, for as long as bytes flow.
#[derive(Debug)]
pub struct Held {
    pub(super) shared: Arc<Shared>,
    pub(super) worth: Worth,
}

/// What a lease is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// It keeps the target awake.
    Use,
    /// Nothing at present: whoever has it is cut off when the target sleeps.
    Silence,
    /// Nothing ever: so is whoever has that.
    Nothing,
}

impl Lease {
    /// Where the port that was asked for is, in this run.
    pub fn upstream(&self) -> Option<&Upstream> {
        self.granted.upstream.as_ref()
    }

    /// The connection that proved the target ready, for the first client of a run.
    pub fn take_spare(&mut self) -> Option<Stream> {
        self.granted.spare.take().and_then(Spare::take)
    }

    /// The run it was granted for.
    pub(super) fn run(&self) -> Run {
        self.granted.run
    }

    /// Whether the run it was granted for goes on, as far as is known.
    pub fn is_current(&self) -> bool {
        let state = self.held.shared.lock();
        state.core.run() == self.granted.run && matches!(state.core.phase(), Phase::Awake { .. })
    }

    /// After a connect has failed: waits for a look at the target that begins now, and tells
    /// whether the run goes on.
    ///
    /// Until then its address is not to be dialled again: the target may have gone, and another
    /// container may own the address by now. While the engine is away nobody can tell.
    pub async fn goes_on(&self) -> bool {
        let failed = self.held.shared.clock.now();
        self.suspect();
        loop {
            let looked = self.held.shared.looked.notified();
            if !self.is_current() {
                return false;
            }
            if self.held.shared.lock().vouched.is_some_and(|began| began >= failed) {
                return true;
            }
            looked.await;
        }
    }

    /// Has the target looked at: somebody could not reach it.
    pub fn suspect(&self) {
        self.held.shared.suspicion.notify_one();
    }

    /// How long a connect may take before it is sent again; it may be raised for all.
    pub fn connect_limit(&self) -> Duration {
        self.held.shared.connect_limit.get()
    }

    /// Says that connects take longer than that: the target is far rather than its backlog full.
    pub fn raise_connect_limit(&self, from: Duration) {
        self.held.shared.connect_limit.set(self.held.shared.connect_limit.get().max(from * 2));
    }

    /// The lease alone, once the target is reached.
    pub fn hold(self) -> Held {
        self.held
    }

    /// The places for connects that are on the way.
    pub fn connects(&self) -> &Arc<Semaphore> {
        &self.held.shared.connects
    }
}

impl Held {
    /// A lease that is counted already.
    pub(super) fn of(service: &ServiceHandle) -> Self {
        Self { shared: Arc::clone(service.shared()), worth: Worth::Use }
    }

    /// Keeps the target awake no longer: its client has been silent. The idle window counts from then.
    pub fn doze(&mut self, since: Moment) {
        if self.worth == Worth::Use {
            self.worth = Worth::Silence;
            self.shared.feed(Event::Doze(since));
        }
    }

    /// Its client is heard of again. False if the target is being put to sleep already: then none of
    /// its bytes may be passed on, and it is cut off.
    pub fn stirs(&mut self) -> bool {
        match self.worth {
            Worth::Use => return true,
            Worth::Silence => {}
            Worth::Nothing => return self.shared.lock().core.phase().idle().is_some(),
        }
        let mut state = self.shared.lock();
        let State { core, out, .. } = &mut *state;
        let stirs = core.stirs(out);
        self.shared.settle(&mut state);
        drop(state);
        self.shared.changed();
        if stirs {
            self.worth = Worth::Use;
        }
        stirs
    }

    /// Waits until the target is put to sleep under its silent client.
    pub fn put_to_sleep(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let mut runs = shared.runs.subscribe();
            loop {
                let phase = shared.lock().core.phase();
                if let Phase::Stopping { .. } | Phase::Asleep { .. } = phase {
                    return;
                }
                if runs.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Whether it keeps the target awake.
    pub fn counts(&self) -> bool {
        self.worth == Worth::Use
    }

    /// The present moment, by the clock of its service.
    pub fn now(&self) -> Moment {
        self.shared.clock.now()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.feed(match self.worth {
            Worth::Use => Event::Release,
            Worth::Silence | Worth::Nothing => Event::ReleaseSilent,
        });
    }
}
