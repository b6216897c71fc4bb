//! What is remembered of one service: plain figures, bounded, without a clock.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::activation::Depth;
use crate::economy::Ledger;

/// So many wakes are remembered: enough for a 95th percentile that is not the worst alone.
const WAKES: usize = 64;

/// A wall clock that has jumped by more than this tells nothing.
const PLAUSIBLE: Duration = Duration::from_secs(366 * 24 * 3600);

/// One service. Points in time are seconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// When it was known to be configured last.
    pub configured_at: u64,
    /// How often it was woken.
    pub woken: u64,
    /// How long it has slept.
    pub asleep: Asleep,
    /// What its sleep has saved: kibibytes of memory times seconds.
    pub saved_kib_seconds: u64,
    /// The memory that its last sleeps have freed.
    pub freed: Freed,
    /// The last wakes, oldest first.
    pub wakes: VecDeque<Step>,
    /// The gaps between its uses.
    pub ledger: Ledger,
    /// Somebody wants it awake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// When it was used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<u64>,
    /// It sleeps, and its time asleep is counted until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resting: Option<Resting>,
}

/// Time asleep, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asleep {
    /// Stopped.
    pub stopped_ms: u64,
    /// Paused.
    pub paused_ms: u64,
}

/// Bytes of memory that a sleep has given back, as far as that was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Freed {
    /// The last stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<u64>,
    /// The last pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<u64>,
}

/// A wake: how long its parts took, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// How deep it slept, if it was seen asleep before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Depth>,
    /// Until what it depends on was there.
    pub needs_us: u64,
    /// The engine's start.
    pub engine_us: u64,
    /// The application's time to become ready.
    pub ready_us: u64,
    /// The daemon's own.
    pub ours_us: u64,
}

/// Somebody wants it awake, used or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its end, in milliseconds since the Unix epoch; none has no end.
    pub until_ms: Option<u64>,
}

impl Hold {
    /// One that ends then, as time since the Unix epoch.
    pub fn new(until: Option<Duration>) -> Self {
        Self { until_ms: until.map(millis) }
    }

    /// How long it goes on if it is `now`; none without an end.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        self.until_ms.map(|until| Duration::from_millis(until).saturating_sub(now))
    }
}

/// How it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resting {
    /// How deep.
    pub depth: Depth,
    /// The time before that is counted.
    pub counted_until: u64,
}

impl Record {
    /// Notes a wake.
    pub fn wake(&mut self, step: Step) {
        self.woken = self.woken.saturating_add(1);
        self.wakes.push_back(step);
        self.bound();
    }

    /// Notes that it has slept so deep for so long; answers what is less than a kibibyte-second of what
    /// that has saved, to be added to the next.
    pub fn slept(&mut self, depth: Depth, time: Duration, rest: f64) -> f64 {
        let (sum, freed) = match depth {
            Depth::Stop => (&mut self.asleep.stopped_ms, self.freed.stopped),
            Depth::Pause => (&mut self.asleep.paused_ms, self.freed.paused),
        };
        *sum = sum.saturating_add(millis(time));
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let saved = rest + freed.unwrap_or_default() as f64 / 1024.0 * time.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "neither negative nor, before the sum saturates, too large"
        )]
        let whole = saved as u64;
        self.saved_kib_seconds = self.saved_kib_seconds.saturating_add(whole);
        saved.fract()
    }

    /// What its sleep has saved: gibibytes of memory times hours.
    pub fn saved_gib_hours(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let saved = self.saved_kib_seconds as f64;
        saved / (1024.0 * 1024.0 * 3600.0)
    }

    /// How long so many per cent of the remembered wakes took at most; none without any.
    pub fn wake_percentile(&self, percent: usize) -> Option<Duration> {
        let mut took: Vec<u64> = self.wakes.iter().map(Step::total_us).collect();
        took.sort_unstable();
        // The nearest rank.
        let rank = (took.len() * percent).div_ceil(100).max(1);
        took.get(rank - 1).copied().map(Duration::from_micros)
    }

    /// How long nobody has used it, over lives of the daemon, if that can be told.
    pub fn unused_at(&self, now: u64) -> Option<Duration> {
        self.used_at.and_then(|at| plausible(at, now))
    }

    /// How long it has slept since that was counted last, if it was never awake meanwhile.
    pub fn uncounted_at(&self, depth: Depth, now: u64) -> Option<Duration> {
        let resting = self.resting.filter(|resting| resting.depth == depth)?;
        plausible(resting.counted_until, now)
    }

    /// Keeps its size within bounds.
    pub(super) fn bound(&mut self) {
        let surplus = self.wakes.len().saturating_sub(WAKES);
        self.wakes.drain(..surplus);
    }
}

impl Asleep {
    /// However deep.
    pub fn total(&self) -> Duration {
        Duration::from_millis(self.stopped_ms.saturating_add(self.paused_ms))
    }
}

impl Step {
    fn total_us(&self) -> u64 {
        [self.needs_us, self.engine_us, self.ready_us, self.ours_us]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// From `earlier` to `now`, unless the clock was set meanwhile.
fn plausible(earlier: u64, now: u64) -> Option<Duration> {
    now.checked_sub(earlier).map(Duration::from_secs).filter(|time| *time <= PLAUSIBLE)
}

/// In milliseconds.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(engine_us: u64) -> Step {
        Step { engine_us, ..Step::default() }
    }

    #[test]
    fn of_many_wakes_the_last_are_remembered_and_all_counted() {
        let mut record = Record::default();
        for engine in 0..200 {
            record.wake(step(engine));
        }
        assert_eq!((record.woken, record.wakes.len()), (200, WAKES));
        assert_eq!(record.wakes.front(), Some(&step(200 - 64)));
        assert_eq!(record.wakes.back(), Some(&step(199)));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut record = Record::default();
        assert_eq!(record.wake_percentile(50), None);
        record.wake(step(7));
        assert_eq!(record.wake_percentile(95), Some(Duration::from_micros(7)));
        let mut record = Record::default();
        for engine in (1..=20).rev() {
            record.wake(step(engine * 1000));
        }
        assert_eq!(record.wake_percentile(50), Some(Duration::from_millis(10)));
        assert_eq!(record.wake_percentile(95), Some(Duration::from_millis(19)));
        let long = Step { needs_us: u64::MAX, ready_us: 1, ..Step::default() };
        record.wake(long);
        assert_eq!(record.wake_percentile(100), Some(Duration::from_micros(u64::MAX)));
    }

    #[test]
    fn what_a_sleep_saves_is_what_it_has_freed_for_as_long() {
        let freed = Freed { stopped: Some(1 << 30), paused: Some(512) };
        let mut record = Record { freed, ..Record::default() };
        let rest = record.slept(Depth::Stop, Duration::from_secs(3600), 0.0);
        assert!(rest.abs() < 1e-9 && (record.saved_gib_hours() - 1.0).abs() < 1e-9);
        // Half a kibibyte for a second is not lost.
        let rest = record.slept(Depth::Pause, Duration::from_secs(1), 0.0);
        assert_eq!(record.saved_kib_seconds, 3600 << 20);
        record.slept(Depth::Pause, Duration::from_secs(1), rest);
        assert_eq!(record.saved_kib_seconds, (3600 << 20) + 1);
        assert_eq!(record.asleep, Asleep { stopped_ms: 3_600_000, paused_ms: 2000 });
        let mut unknown = Record::default();
        unknown.slept(Depth::Stop, Duration::from_secs(5), 0.0);
        assert_eq!((unknown.saved_kib_seconds, unknown.asleep.total().as_secs()), (0, 5));
        let mut full = Record { saved_kib_seconds: u64::MAX, freed, ..Record::default() };
        full.slept(Depth::Stop, Duration::MAX, 0.0);
        assert_eq!(full.saved_kib_seconds, u64::MAX);
    }

    #[test]
    fn a_hold_ends_and_a_clock_that_was_set_tells_nothing() {
        let hold = Hold::new(Some(Duration::from_millis(10_500)));
        assert_eq!(hold.left(Duration::from_secs(10)), Some(Duration::from_millis(500)));
        assert_eq!(hold.left(Duration::from_secs(11)), Some(Duration::ZERO));
        assert_eq!(Hold::new(None).left(Duration::MAX), None);
        let resting = Resting { depth: Depth::Stop, counted_until: 100 };
        let record = Record { used_at: Some(100), resting: Some(resting), ..Record::default() };
        assert_eq!(record.unused_at(160), Some(Duration::from_secs(60)));
        assert_eq!(record.unused_at(99), None);
        assert_eq!(record.unused_at(100 + 367 * 24 * 3600), None);
        assert_eq!(record.uncounted_at(Depth::Stop, 101), Some(Duration::from_secs(1)));
        assert_eq!(record.uncounted_at(Depth::Pause, 101), None);
    }
}
