//! How much memory a sleep gives back: a figure for people, and for the choice of the idle window.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Driver;
use crate::activation::{From, Phase, Rest};
use crate::driver::{Target, counted};
use crate::engine::{Engine, Observed};

/// No sleep is held up for longer by the question.
const LIMIT: Duration = Duration::from_millis(250);

/// The memory that it has, if that is known within a moment: by the kernel, and else by the engine, some of
/// which take a second for it.
pub(super) async fn of<E: Engine>(
    engine: &E,
    target: &Target,
    seen: Option<Arc<Observed>>,
) -> Option<u64> {
    let asked = async {
        if let Some(seen) = seen
            && let Some(group) = counted::cgroup_of(engine, target, &seen).await
            && let Some(memory) = group.memory()
        {
            return Some(memory);
        }
        engine.usage(&target.name).await.ok()?.memory
    };
    timeout(LIMIT, asked).await.ok()?
}

impl<E: Engine> Driver<E> {
    /// It rests after a stop of ours that is not told to the core yet, and had so much memory before.
    pub(super) fn note_memory(&mut self, had: Option<u64>, rest: Rest) {
        let mut state = self.handle.shared().lock();
        match (rest, had) {
            // Frozen it keeps what it has, unless that is taken back.
            (Rest::Paused, _) => state.history.past.paused(0),
            (Rest::Stopped, Some(had)) => {
                let from = if let Phase::Stopping { from, .. } = state.core.phase() {
                    from
                } else {
                    From::Running
                };
                state.history.past.stopped(from, had);
            }
            (Rest::Stopped, None) | (Rest::Missing, _) => {}
        }
    }
}
