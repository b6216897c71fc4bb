//! What the driver does for the services that its own is bound to.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use super::{Done, Driver};
use crate::activation::{Event, Phase, Seen};
use crate::driver::pin::Awaited;
use crate::driver::{Bonds, lease};
use crate::engine::Engine;

/// Does `start` once everything that is depended on has come far enough, and wakes the companions
/// meanwhile. The error says what is not there.
pub(super) async fn start<T>(
    bonds: &Arc<Bonds>,
    give_up: Instant,
    start: impl Future<Output = T>,
) -> Result<(T, Awaited), String> {
    let met = bonds.needs(Some(give_up)).await?;
    let (end, companions) = bonds.companions_beside(start).await;
    Ok((end, Awaited { of: Arc::clone(bonds), met, companions }))
}

impl<E: Engine> Driver<E> {
    /// Binds the target to other services, which are pinned from now on until it is seen at rest: so
    /// all drivers of a group are bound before one of them runs.
    pub fn bind(&mut self, bonds: impl Into<Arc<Bonds>>) {
        Arc::make_mut(&mut self.target).bonds = bonds.into();
        self.repin();
    }

    /// Pins what the target is bound to at present, as long as it may run.
    pub(super) fn repin(&mut self) {
        if !(self.target.bonds.is_empty() && self.group.is_empty()) {
            self.group.repin(&self.target.bonds, self.handle.stands().0);
        }
    }

    /// What the target depends on has ended or was started anew: its readiness is asked for again.
    pub(super) fn unproven(&mut self, lost: &str) {
        debug!(container = %self.target.name, lost, "what it depends on has ended");
        self.group.met = None;
        let (phase, run) = self.handle.stands();
        match phase {
            Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. } => {
                self.handle.shared().feed(Event::Observed(run, Seen::Renewed));
            }
            Phase::Unknown
            | Phase::Asleep { .. }
            | Phase::Starting { .. }
            | Phase::Stopping { .. }
            | Phase::Failed(_) => {}
        }
    }

    /// Wakes the companions that depend on the target, which stays awake for it.
    pub(super) fn wake_dependents(&mut self, state: &mut lease::State) {
        let target = Arc::clone(&self.target);
        let probing = matches!(state.core.phase(), Phase::Probing { .. });
        if !probing || target.bonds.after.is_empty() {
            return;
        }
        let pinned = self.handle.pin_locked(state);
        self.tasks.spawn(async move {
            target.bonds.dependents(target.name.as_str()).await;
            drop(pinned);
            Done::Over
        });
    }
}
