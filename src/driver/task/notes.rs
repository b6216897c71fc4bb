//! What the operator is told of the target's coming and going.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::super::Wake;
use super::Driver;
use crate::activation::{Depth, From, Phase, Reach, Rest, Seen, Window};
use crate::engine::Engine;
use crate::proxy::Address;

impl<E: Engine> Driver<E> {
    /// Says what somebody else has done to the target.
    pub(super) fn note_change(&self, before: Phase, seen: Seen) {
        let after = self.handle.status().phase;
        let name = &self.target.name;
        match (before, after, seen) {
            (Phase::Unknown, Phase::Asleep { rest: Rest::Missing, .. }, _) => warn!(
                container = %name, engine = %self.engine.describe(),
                "{}; it is served as soon as it exists", self.engine.missing(name)
            ),
            (Phase::Unknown, Phase::Asleep { .. }, _) => info!(container = %name, "asleep"),
            (Phase::Unknown, Phase::Found { .. }, _) => info!(
                container = %name, idle = %self.window(), "found awake; its idle window begins"
            ),
            (Phase::Asleep { .. } | Phase::Failed(_), Phase::Found { .. }, _) => info!(
                container = %name, idle = %self.window(),
                "started by somebody else; its idle window begins"
            ),
            (Phase::Awake { .. } | Phase::Found { .. }, Phase::Asleep { rest, .. }, _) => {
                info!(container = %name, now = ?rest, "put to rest by somebody else");
            }
            (Phase::Awake { .. }, Phase::Found { .. }, Seen::Renewed) => {
                info!(container = %name, "restarted by somebody else");
            }
            _ => {}
        }
    }

    /// Says that clients are let in, how many, and how long that took.
    pub(super) fn note_ready(&self, woken: Option<Wake>, address: Option<Address>, clients: usize) {
        let address = address.map(tracing::field::display);
        let name = &self.target.name;
        let Some(wake) = woken else {
            return info!(container = %name, address, clients, "found awake and ready");
        };
        let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
        let needs = if wake.needs.is_zero() || self.target.bonds.is_empty() {
            String::new()
        } else {
            format!("needs {}, ", seconds(wake.needs))
        };
        info!(
            container = %name, address, clients,
            "awake after {} s: {needs}engine {}, ready {}, ours {}",
            seconds(wake.total()), seconds(wake.engine), seconds(wake.ready), seconds(wake.ours)
        );
    }

    /// Learns from the gaps between uses that are over, and takes on the window that is chosen by them.
    pub(super) fn learn(&mut self) {
        let shared = self.handle.shared();
        let mut state = shared.lock();
        let Some(choice) = state.history.past.learn(self.policy.tiers.first) else { return };
        let window = choice.duration();
        self.policy.idle = Window::After(window);
        shared.reconfigure_locked(&mut state, self.policy.clone(), Reach::Same);
        drop(state);
        debug!(
            container = %self.target.name, ?window, why = ?choice.why, price = choice.terms.price,
            "its idle window is chosen"
        );
    }

    /// Says that it goes to sleep by itself.
    pub(super) fn note_stop(&mut self, before: Phase) {
        let now = self.handle.status().phase;
        let Phase::Stopping { depth, from, .. } = now else { return };
        if before.is_stopping() {
            return;
        }
        self.started = None;
        let name = &self.target.name;
        match (from, depth) {
            (From::Running, Depth::Stop) => {
                info!(container = %name, idle = %self.window(), "going to sleep");
            }
            (From::Running, Depth::Pause) => {
                info!(container = %name, idle = %self.window(), "going to sleep, paused");
            }
            (From::Paused, _) => info!(container = %name, "sleeping deeper: it is stopped"),
        }
    }

    fn window(&self) -> String {
        match self.policy.idle {
            Window::After(window) => humantime::format_duration(window).to_string(),
            Window::Never => "infinity".to_owned(),
        }
    }
}
