//! A service that is told something new while it runs.

use std::sync::Arc;

use super::{ServiceHandle, Target};
use crate::activation::{Policy, Reach, Window};
use crate::config::OnExit;

/// What a driver has to know, beside its engine.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What it wakes, how it is reached and when it is ready. Its name stays what it was.
    pub target: Arc<Target>,
    /// When to start, when to stop.
    pub policy: Policy,
    /// What becomes of the target at the end.
    pub on_exit: OnExit,
}

impl ServiceHandle {
    /// Tells it something new. Its target is neither woken nor put to sleep by that, whoever uses it
    /// or waits for it goes on, and the idle window that runs has begun when it began.
    pub fn reconfigure(&self, setup: Setup, reach: Reach) {
        let shared = self.shared();
        let mut state = shared.lock();
        let mut setup = setup;
        // A window that was chosen goes on.
        if let Some(window) = state.history.past.chosen() {
            setup.policy.idle = Window::After(window);
        }
        shared.reconfigure_locked(&mut state, setup.policy.clone(), reach);
        // Together with what the core has just asked for: that is done for the new target.
        state.setup = Some(setup);
        drop(state);
        shared.work.notify_one();
        shared.changed();
    }
}

impl Target {
    /// Whether clients of `earlier` would be led to the same place, and on the same terms.
    pub fn reach_since(&self, earlier: &Self) -> Reach {
        let same = self.ports == earlier.ports
            && self.upstream == earlier.upstream
            && self.network == earlier.network
            && self.ready == earlier.ready
            && self.announce == earlier.announce;
        if same { Reach::Same } else { Reach::Changed }
    }
}
