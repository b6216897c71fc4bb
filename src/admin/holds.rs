//! Leases that the admin interface keeps, one a service, and wakes under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::driver::Kept;

/// All of them, by the names of their services.
#[derive(Debug, Default)]
pub(super) struct Holds {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<String, Hold>,
    numbers: u64,
    waking: BTreeSet<String>,
}

/// Field order: the lease ends last.
#[derive(Debug)]
struct Hold {
    number: u64,
    /// Ends the hold's timer.
    _timer: DropGuard,
    _lease: Kept,
}

/// A wake under way; its end is its drop.
#[derive(Debug)]
pub(super) struct Waking {
    holds: Arc<Holds>,
    name: String,
}

impl Holds {
    /// Holds it from now on; an earlier hold is replaced. `released` is cancelled when this one is
    /// over. Answers its number.
    pub(super) fn put(&self, name: &str, lease: Kept, released: CancellationToken) -> u64 {
        let mut inner = self.lock();
        inner.numbers += 1;
        let number = inner.numbers;
        let hold = Hold { number, _timer: released.drop_guard(), _lease: lease };
        let earlier = inner.held.insert(name.to_owned(), hold);
        drop(inner);
        drop(earlier);
        number
    }

    /// Ends the hold of that number, if it is still the present one.
    pub(super) fn end(&self, name: &str, number: u64) {
        let mut inner = self.lock();
        let over = inner.held.get(name).is_some_and(|hold| hold.number == number);
        let hold = if over { inner.held.remove(name) } else { None };
        drop(inner);
        drop(hold);
    }

    /// Ends the hold; false if there is none.
    pub(super) fn release(&self, name: &str) -> bool {
        let hold = self.lock().held.remove(name);
        hold.is_some()
    }

    /// Ends all.
    pub(super) fn release_all(&self) {
        let held = std::mem::take(&mut self.lock().held);
        drop(held);
    }

    /// Claims the one wake that a service may have under way.
    pub(super) fn waking(self: &Arc<Self>, name: &str) -> Option<Waking> {
        let first = self.lock().waking.insert(name.to_owned());
        first.then(|| Waking { holds: Arc::clone(self), name: name.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.holds.lock().waking.remove(&self.name);
    }
}
