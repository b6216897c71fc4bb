//! Leases that the admin interface keeps, one a service, and wakes under way.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::driver::{Kept, ServiceHandle};
use crate::history;

/// A service that was held when the last daemon ended.
#[derive(Debug)]
pub struct HeldBefore {
    /// Its name.
    pub name: String,
    /// It.
    pub service: ServiceHandle,
    /// What keeps it awake since it was known.
    pub lease: Kept,
    /// Until when it is held.
    pub hold: history::Hold,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Holds {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// One a service, whatever that is called by now.
    held: Vec<Hold>,
    numbers: u64,
    waking: BTreeSet<String>,
}

/// Field order: the lease ends last.
#[derive(Debug)]
struct Hold {
    number: u64,
    /// Ends the hold's timer.
    _timer: DropGuard,
    lease: Kept,
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
    pub(super) fn put(
        &self,
        service: &ServiceHandle,
        lease: Kept,
        released: CancellationToken,
    ) -> u64 {
        let mut inner = self.lock();
        inner.numbers += 1;
        let number = inner.numbers;
        let earlier = inner.take(|hold| hold.lease.is_of(service));
        inner.held.push(Hold { number, _timer: released.drop_guard(), lease });
        drop(inner);
        drop(earlier);
        number
    }

    /// Ends the hold of that number; false if it was ended before.
    pub(super) fn end(&self, number: u64) -> bool {
        let hold = self.lock().take(|hold| hold.number == number);
        hold.is_some()
    }

    /// Ends the hold; false if there is none.
    pub(super) fn release(&self, service: &ServiceHandle) -> bool {
        let hold = self.lock().take(|hold| hold.lease.is_of(service));
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

impl Inner {
    fn take(&mut self, is: impl Fn(&Hold) -> bool) -> Option<Hold> {
        let at = self.held.iter().position(is)?;
        Some(self.held.swap_remove(at))
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.holds.lock().waking.remove(&self.name);
    }
}
