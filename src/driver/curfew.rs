//! Hours in which a service is kept asleep, and a hold that outranks them.

use std::time::Duration;

use tokio::time::sleep;

use super::ServiceHandle;
use super::lease::{Shared, State};
use crate::activation::{Curfew, Event, Latecomers};

impl ServiceHandle {
    /// Keeps the target asleep once its clients are gone, or no longer. While an administrator holds
    /// it, it is awake, and its clients are served.
    pub fn set_curfew(&self, curfew: Option<Curfew>) {
        let mut state = self.shared().lock();
        state.curfew = curfew;
        self.shared().heed_curfew(&mut state);
        drop(state);
        self.shared().changed();
    }

    /// Waits as long as a client does at most that comes now: one start timeout, and the hours that
    /// hold it before. The core's own deadline is no later.
    pub async fn out_of_patience(&self, start_timeout: Duration) {
        let mut limit = self.held_for().unwrap_or_default() + start_timeout;
        loop {
            sleep(limit).await;
            match self.held_for() {
                Some(left) => limit = left + start_timeout,
                None => return,
            }
        }
    }

    /// How long the hours hold clients yet, if they do.
    fn held_for(&self) -> Option<Duration> {
        let state = self.shared().lock();
        let held = state.core.curfew().filter(|curfew| curfew.clients == Latecomers::Held);
        held.map(|curfew| curfew.until.since(self.shared().clock.now()))
    }
}

impl Shared {
    /// Tells the core what the hours and the holds come to, if that is something new.
    pub(super) fn heed_curfew(&self, state: &mut State) {
        let held = state.kept > state.by_the_clock;
        let curfew = state.curfew.map(|curfew| {
            if held { Curfew { clients: Latecomers::Served, ..curfew } } else { curfew }
        });
        if state.core.curfew() != curfew {
            self.feed_locked(state, Event::Curfew(curfew));
        }
    }
}
