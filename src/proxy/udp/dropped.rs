//! Datagrams that could not be passed on, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::warn;

use super::batch::Sent;
use crate::activation::Moment;

/// They are told at most once in this time.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// More came than is kept while the target starts.
    Unkept,
    /// There is no room for another client.
    NoPlace,
    /// Its client may not wake the target, or not so often, or is not served at all.
    NotLetIn,
}

/// How many datagrams of a service were dropped.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    oversized: AtomicU64,
    unsent: AtomicU64,
    unkept: AtomicU64,
    no_place: AtomicU64,
    not_let_in: AtomicU64,
    told: Mutex<Option<Moment>>,
}

impl Dropped {
    /// Counts what a send has dropped.
    pub(super) fn sent(&self, sent: Sent, now: Moment) {
        if sent.oversized + sent.unsent > 0 {
            self.oversized.fetch_add(sent.oversized, Ordering::Relaxed);
            self.unsent.fetch_add(sent.unsent, Ordering::Relaxed);
            self.tell(now);
        }
    }

    /// Counts so many.
    pub(super) fn some(&self, why: Why, datagrams: u64, now: Moment) {
        match why {
            Why::Unkept => self.unkept.fetch_add(datagrams, Ordering::Relaxed),
            Why::NoPlace => self.no_place.fetch_add(datagrams, Ordering::Relaxed),
            Why::NotLetIn => self.not_let_in.fetch_add(datagrams, Ordering::Relaxed),
        };
        self.tell(now);
    }

    fn tell(&self, now: Moment) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| now.since(last) >= TELL_AGAIN_AFTER) {
            *told = Some(now);
            let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
            warn!(
                oversized = count(&self.oversized),
                unsent = count(&self.unsent),
                too_many_while_starting = count(&self.unkept),
                too_many_clients = count(&self.no_place),
                not_let_in = count(&self.not_let_in),
                "datagrams were dropped (counted since the daemon's start)"
            );
        }
    }
}
