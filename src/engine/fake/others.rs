//! What several engines of one container each know of each other: the order in which they were asked,
//! and whether one was started or stopped out of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{FakeEngine, State};

/// What several engines were asked to do, in its order: `start web`, `started web`.
pub type Journal = Arc<Mutex<Vec<String>>>;

/// What a container's engine knows of others.
#[derive(Debug, Default)]
pub(super) struct Others {
    name: String,
    journal: Journal,
    /// What has to be ready as long as the container runs.
    needs: Vec<Weak<FakeEngine>>,
    /// What must not run when the container stops.
    needed_by: Vec<Weak<FakeEngine>>,
}

impl FakeEngine {
    /// Writes down what it is asked to do, under this name.
    pub fn write_to(&self, journal: &Journal, name: &str) {
        let mut others = self.others();
        name.clone_into(&mut others.name);
        others.journal = Arc::clone(journal);
    }

    /// The container needs that other: being started without it is a fault, and so is stopping the
    /// other while this one runs.
    pub fn depends_on(self: &Arc<Self>, other: &Arc<Self>) {
        self.others().needs.push(Arc::downgrade(other));
        other.others().needed_by.push(Arc::downgrade(self));
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, what: &str) {
        let others = self.others();
        let line = format!("{what} {}", others.name);
        others.journal.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Whether it is ready, and nothing is about to change that.
    fn is_steady(&self) -> bool {
        let inner = self.inner();
        inner.is_ready() && inner.operations == 0
    }

    /// A fault for each of the others that is not as the container needs it.
    pub(super) fn check_needs(&self, what: &str) {
        let needs: Vec<_> = self.others().needs.iter().filter_map(Weak::upgrade).collect();
        let missed = needs.iter().filter(|other| !other.is_steady());
        let faults: Vec<_> =
            missed.map(|other| format!("{what} without {}", other.others().name)).collect();
        self.inner().faults.extend(faults);
    }

    pub(super) fn check_needed(&self, what: &str) {
        let needed_by: Vec<_> = self.others().needed_by.iter().filter_map(Weak::upgrade).collect();
        let run = needed_by.iter().filter(|other| {
            let inner = other.inner();
            inner.state == State::Running || inner.operations > 0
        });
        let faults: Vec<_> =
            run.map(|other| format!("{what} under {}", other.others().name)).collect();
        self.inner().faults.extend(faults);
    }
}
