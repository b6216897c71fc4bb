//! Pauses that grow: the back-off after failures and the rhythm of probes.

use std::time::Duration;

use super::Moment;

/// Back-off: 1 s after the first failure, doubling to 30 s, forgotten at the first success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Backoff {
    failures: u32,
    until: Option<Moment>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    /// Counts a failure at `now` and answers when the next try may be.
    pub fn fail(&mut self, now: Moment) -> Moment {
        let doubled = Self::FIRST.saturating_mul(1 << self.failures.min(5));
        let until = now + doubled.min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(until);
        until
    }

    /// Allows a try at once; the next failure goes on from where the last left off.
    pub fn forgive(&mut self) {
        self.until = None;
    }

    /// Forgets all failures.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// How long the back-off still lasts; `None` when a try is allowed.
    pub fn left(&self, now: Moment) -> Option<Duration> {
        self.until.filter(|until| *until > now).map(|until| until.since(now))
    }
}

/// Pauses between tries: `first` for the first `steady`, then growing by `percent` up to `longest`.
///
/// An iterator that never ends; every item is the pause before the next try.
#[derive(Debug, Clone)]
pub struct Pauses {
    next: Duration,
    steady: u32,
    percent: u32,
    longest: Duration,
}

impl Pauses {
    /// For port probes: 1 ms for about the first second, then ×1.2 up to 20 ms.
    ///
    /// A refused probe on a bridge costs some 20 µs, so a thousand of them are 2 % of one core for
    /// that second, and readiness is seen within a millisecond.
    pub const fn port() -> Self {
        Self {
            next: Duration::from_millis(1),
            steady: 1000,
            percent: 120,
            longest: Duration::from_millis(20),
        }
    }

    /// For health checks, which fork a process in the container: 20 ms, ×1.5 up to 1 s.
    pub const fn health() -> Self {
        Self {
            next: Duration::from_millis(20),
            steady: 0,
            percent: 150,
            longest: Duration::from_secs(1),
        }
    }

    /// For readiness by HTTP, which the application has to answer: 5 ms, ×1.3 up to 250 ms.
    pub const fn http() -> Self {
        Self {
            next: Duration::from_millis(5),
            steady: 0,
            percent: 130,
            longest: Duration::from_millis(250),
        }
    }

    /// For an engine that does not answer: 50 ms, doubling to 2 s.
    pub const fn engine() -> Self {
        Self {
            next: Duration::from_millis(50),
            steady: 0,
            percent: 200,
            longest: Duration::from_secs(2),
        }
    }

    /// For an event stream that breaks off: 100 ms, doubling to 5 s.
    pub const fn watch() -> Self {
        Self {
            next: Duration::from_millis(100),
            steady: 0,
            percent: 200,
            longest: Duration::from_secs(5),
        }
    }

    /// For connecting to a ready target that does not accept: 2 ms, ×1.5 up to 250 ms.
    pub const fn connect() -> Self {
        Self {
            next: Duration::from_millis(2),
            steady: 0,
            percent: 150,
            longest: Duration::from_millis(250),
        }
    }

    /// For accepting when the process is out of something: 10 ms, doubling to 1 s.
    pub const fn accept() -> Self {
        Self {
            next: Duration::from_millis(10),
            steady: 0,
            percent: 200,
            longest: Duration::from_secs(1),
        }
    }

    /// The pause before the next try.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        if self.steady > 0 {
            self.steady -= 1;
        } else {
            self.next = (self.next * self.percent / 100).min(self.longest);
        }
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_from_one_second_to_thirty_and_is_forgotten_at_success() {
        let mut backoff = Backoff::default();
        let now = Moment::default();
        let seconds: Vec<u64> = (0..8).map(|_| backoff.fail(now).since(now).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff.left(now), Some(Duration::from_secs(30)));
        assert_eq!(backoff.left(now + Duration::from_secs(30)), None);
        backoff.succeed();
        assert_eq!(backoff.left(now), None);
        assert_eq!(backoff.fail(now).since(now).as_secs(), 1);
    }

    #[test]
    fn port_probes_come_each_millisecond_for_a_second_then_slow_down_to_twenty() {
        let mut pauses = Pauses::port();
        let first: Duration = (0..1000).map(|_| pauses.pause()).sum();
        assert_eq!(first, Duration::from_secs(1));
        let later: Vec<Duration> = (0..100).map(|_| pauses.pause()).collect();
        assert!(later.is_sorted());
        assert_eq!(later.last(), Some(&Duration::from_millis(20)));
    }
}
