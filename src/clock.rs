//! The only place that reads a clock.

mod wall;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

pub use wall::{Scripted, System, Wall};

use crate::activation::Moment;

/// A monotonic clock with its origin at its making; it stands still while the host is suspended.
///
/// It is tokio's, so a test that pauses tokio's time moves this clock by hand.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts at zero.
    pub fn new() -> Self {
        Self { origin: instant() }
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        Moment::new(instant() - self.origin)
    }

    /// The same moment, as tokio's timers want it.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment.since_origin()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Tokio's present instant.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Time since the Unix epoch, by the wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
