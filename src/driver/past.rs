//! What is remembered of a service over lives of the daemon, and kept up while this one goes on.

use std::sync::Arc;
use std::time::Duration;

use super::history::Wake;
use crate::activation::{Depth, From, Moment, Phase, Rest};
use crate::config::rules::Auto;
use crate::economy::{Choice, Terms};
use crate::history::{Hold, Record, Resting, Step, Told};

/// A shorter gap between two uses is one use: no window is worth it. So a busy service notes a gap a
/// second at the most.
const GAP: Duration = Duration::from_secs(1);

/// Without `--idle-timeout auto` such gaps are remembered, in seconds: those that its default bounds tell
/// apart.
const LEAST: f64 = 10.0;

/// So many gaps may wait to be learnt from; the driver does so before the next deadline.
const GAPS: usize = 64;

/// The record, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Past {
    record: Record,
    told: Option<Arc<Told>>,
    sleep: Sleep,
    use_: Use,
    /// How deep it slept before the present wake.
    from: Option<Depth>,
    /// What is less than a kibibyte-second of what its sleep has saved.
    rest: f64,
    gaps: Vec<(Duration, Sway)>,
    /// Of the present gap.
    sway: Sway,
    /// How its idle window is chosen, if it is.
    auto: Option<Auto>,
    /// What was chosen for the present gap.
    choice: Option<Choice>,
}

/// Whether it sleeps.
#[derive(Debug, Clone, Copy, Default)]
enum Sleep {
    /// Not that we know.
    #[default]
    No,
    /// It did when the last daemon wrote that down, so long before this one began.
    Before(Resting, Duration, Moment),
    /// So deep, and its time asleep is counted until then.
    Yes(Depth, Moment),
}

/// Whether somebody uses it, or waits for it.
#[derive(Debug, Clone, Copy, Default)]
enum Use {
    /// Nobody ever has.
    #[default]
    Never,
    Now,
    /// Not since then.
    Until(Moment),
    /// At this moment it was unused for so long, and is yet.
    Before(Duration, Moment),
}

/// Whether the idle window has decided what a gap has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sway {
    #[default]
    Window,
    /// It was asleep by the clock, or because somebody has asked for it.
    Others,
}

impl Past {
    /// Takes up a record; by the wall clock it is `wall` seconds since the epoch.
    pub(super) fn restore(&mut self, record: Record, told: Arc<Told>, now: Moment, wall: u64) {
        if let Some(resting) = record.resting {
            let uncounted = record.uncounted_at(resting.depth, wall).unwrap_or_default();
            self.sleep = Sleep::Before(resting, uncounted, now);
        }
        if let (Use::Never, Some(unused)) = (self.use_, record.unused_at(wall)) {
            self.use_ = Use::Before(unused, now);
        }
        (self.record, self.told) = (record, Some(told));
    }

    /// The record as it is now.
    pub(super) fn record(&mut self, now: Moment, wall: u64) -> Record {
        self.count(now);
        self.record.resting = match self.sleep {
            Sleep::No => None,
            Sleep::Before(resting, ..) => Some(resting),
            Sleep::Yes(depth, _) => Some(Resting { depth, counted_until: wall }),
        };
        self.record.used_at = match self.use_ {
            Use::Never => None,
            Use::Now => Some(wall),
            Use::Until(at) => Some(wall.saturating_sub(now.since(at).as_secs())),
            Use::Before(..) => self.record.used_at,
        };
        self.record.clone()
    }

    /// What is remembered; its time asleep is counted until now.
    pub(super) fn seen(&mut self, now: Moment) -> &Record {
        self.count(now);
        &self.record
    }

    /// It stands elsewhere now.
    pub(super) fn phase(&mut self, before: Phase, after: Phase, now: Moment) {
        let depth = self::depth(after);
        match (self.sleep, depth) {
            // Nobody has looked, so it may sleep on.
            (Sleep::Before(..), None) if after == Phase::Unknown => return,
            (Sleep::Before(resting, uncounted, at), Some(depth)) if resting.depth == depth => {
                let time = uncounted + now.since(at);
                self.rest = self.record.slept(depth, time, self.rest);
            }
            (Sleep::No | Sleep::Before(..) | Sleep::Yes(..), _) => self.count(now),
        }
        self.sleep = depth.map_or(Sleep::No, |depth| Sleep::Yes(depth, now));
        if let Phase::Starting { .. } = after {
            self.from = self::depth(before);
        }
        self.changed();
    }

    /// Whether that is another use of it than was known.
    pub(super) fn is_news(&self, used: bool) -> bool {
        used != matches!(self.use_, Use::Now)
    }

    /// Somebody uses it.
    pub(super) fn used(&mut self, now: Moment) {
        let gap = match self.use_ {
            Use::Never | Use::Now => None,
            Use::Until(at) => Some(now.since(at)),
            Use::Before(unused, at) => Some(unused + now.since(at)),
        };
        self.use_ = Use::Now;
        let sway = std::mem::take(&mut self.sway);
        // Written with the next wake or sleep: a service in use all day keeps no disk awake.
        if let Some(gap) = gap.filter(|gap| *gap >= GAP && self.gaps.len() < GAPS) {
            self.gaps.push((gap, sway));
        }
    }

    /// Its window does not decide what the present gap costs.
    pub(super) fn not_chosen(&mut self) {
        self.sway = Sway::Others;
    }

    /// Nobody does any more.
    pub(super) fn unused(&mut self, now: Moment) {
        if let Use::Now = self.use_ {
            self.use_ = Use::Until(now);
        }
    }

    /// It was woken.
    pub(super) fn woken(&mut self, wake: Wake) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let Wake { needs, engine, ready, ours } = wake;
        self.record.wake(Step {
            from: self.from.take(),
            needs_us: micros(needs),
            engine_us: micros(engine),
            ready_us: micros(ready),
            ours_us: micros(ours),
        });
        self.changed();
    }

    /// It was stopped, and had so many bytes of memory before. Paused before that, it has given back what
    /// its pause had left it.
    pub(super) fn stopped(&mut self, from: From, had: u64) {
        let paused = match from {
            From::Running => 0,
            From::Paused => self.record.freed.paused.unwrap_or(0),
        };
        self.record.freed.stopped = Some(had.saturating_add(paused));
        self.changed();
    }

    /// Its pause has given back so many bytes of memory.
    pub(super) fn paused(&mut self, bytes: u64) {
        self.record.freed.paused = Some(bytes);
        self.changed();
    }

    /// Somebody wants it awake, or nobody any more.
    pub(super) fn held(&mut self, hold: Option<Hold>) {
        if self.record.hold != hold {
            self.record.hold = hold;
            if let Some(told) = &self.told {
                told.at_once();
            }
        }
    }

    /// The idle window is chosen so from now on, or no longer.
    pub(super) fn set_auto(&mut self, auto: Option<Auto>) {
        if self.auto != auto {
            (self.auto, self.choice) = (auto, None);
        }
    }

    /// Learns from the gaps that are over. Answers the choice for the next, if that is another.
    pub(super) fn learn(&mut self, first: Depth) -> Option<Choice> {
        let gaps = std::mem::take(&mut self.gaps);
        let Some(auto) = self.auto else {
            for (gap, _) in gaps {
                self.record.ledger.see(gap, LEAST);
            }
            return None;
        };
        if gaps.is_empty() && self.choice.is_some() {
            return None;
        }
        let freed = match first {
            Depth::Stop => self.record.freed.stopped,
            Depth::Pause => self.record.freed.paused,
        };
        let terms = Terms::new(&auto, freed, self.record.wake_percentile(50));
        let before = self.choice;
        for (gap, sway) in gaps {
            let chosen = self.choice.as_ref().filter(|_| sway == Sway::Window);
            self.choice = Some(self.record.ledger.after(gap, chosen, terms));
        }
        let choice = *self.choice.get_or_insert_with(|| self.record.ledger.choose(terms));
        let same = before.is_some_and(|before| before.duration() == choice.duration());
        (!same).then_some(choice)
    }

    /// The window that was chosen.
    pub(super) fn chosen(&self) -> Option<Duration> {
        self.choice.as_ref().map(Choice::duration)
    }

    /// Counts its time asleep until now.
    fn count(&mut self, now: Moment) {
        if let Sleep::Yes(depth, counted) = &mut self.sleep {
            self.rest = self.record.slept(*depth, now.since(*counted), self.rest);
            *counted = now;
        }
    }

    fn changed(&self) {
        if let Some(told) = &self.told {
            told.changed();
        }
    }
}

fn depth(phase: Phase) -> Option<Depth> {
    match phase {
        Phase::Asleep { rest: Rest::Stopped, .. } => Some(Depth::Stop),
        Phase::Asleep { rest: Rest::Paused, .. } => Some(Depth::Pause),
        Phase::Asleep { rest: Rest::Missing, .. }
        | Phase::Unknown
        | Phase::Starting { .. }
        | Phase::Probing { .. }
        | Phase::Awake { .. }
        | Phase::Found { .. }
        | Phase::Stopping { .. }
        | Phase::Failed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Kill;

    const STOPPED: Phase = Phase::Asleep { rest: Rest::Stopped, deeper_at: None };
    const PAUSED: Phase = Phase::Asleep { rest: Rest::Paused, deeper_at: None };
    const STARTING: Phase = Phase::Starting { began: Moment::new(Duration::ZERO) };

    fn at(seconds: u64) -> Moment {
        Moment::new(Duration::from_secs(seconds))
    }

    /// Of a record that was written at 1000, restored at 1500 by the wall clock.
    fn restored(depth: Depth) -> Past {
        let resting = Some(Resting { depth, counted_until: 1000 });
        let record = Record { resting, used_at: Some(900), ..Record::default() };
        let mut past = Past::default();
        past.restore(record, Arc::default(), at(10), 1500);
        past
    }

    #[test]
    fn a_sleep_goes_on_over_the_daemon_if_it_is_found_as_it_was() {
        let mut past = restored(Depth::Stop);
        past.phase(Phase::Unknown, STOPPED, at(11));
        assert_eq!(past.seen(at(11)).asleep.stopped_ms, 501_000);
        assert_eq!(past.seen(at(20)).asleep.stopped_ms, 510_000);
        for (found, stopped, paused) in [(PAUSED, 0, 0), (STARTING, 0, 0)] {
            let mut past = restored(Depth::Stop);
            past.phase(Phase::Unknown, found, at(11));
            let asleep = past.seen(at(11)).asleep;
            assert_eq!((asleep.stopped_ms, asleep.paused_ms), (stopped, paused), "{found:?}");
        }
    }

    #[test]
    fn a_record_that_is_written_before_anybody_has_looked_says_what_it_said() {
        let mut past = restored(Depth::Pause);
        let record = past.record(at(11), 1501);
        assert_eq!(record.resting, Some(Resting { depth: Depth::Pause, counted_until: 1000 }));
        assert_eq!(record.used_at, Some(900));
        past.phase(Phase::Unknown, PAUSED, at(12));
        let record = past.record(at(12), 1502);
        assert_eq!(record.resting, Some(Resting { depth: Depth::Pause, counted_until: 1502 }));
        assert_eq!(record.asleep.paused_ms, 502_000);
    }

    #[test]
    fn depths_are_counted_apart_and_what_is_between_is_not() {
        let mut past = Past::default();
        past.phase(Phase::Unknown, PAUSED, at(0));
        let stopping =
            Phase::Stopping { depth: Depth::Stop, from: From::Paused, kill: Kill::Unarmed };
        past.phase(PAUSED, stopping, at(5));
        past.phase(stopping, STOPPED, at(9));
        past.phase(STOPPED, STARTING, at(10));
        let asleep = past.seen(at(100)).asleep;
        assert_eq!((asleep.paused_ms, asleep.stopped_ms), (5000, 1000));
    }

    #[test]
    fn a_gap_goes_over_daemons_and_short_ones_are_none() {
        let mut past = restored(Depth::Stop);
        assert!(past.is_news(true));
        past.used(at(15));
        assert_eq!(past.gaps, [(Duration::from_secs(605), Sway::Window)]);
        assert!(!past.is_news(true));
        past.unused(at(20));
        past.used(at(20) + Duration::from_millis(999));
        past.unused(at(30));
        past.not_chosen();
        past.used(at(31));
        assert_eq!(past.gaps[1..], [(Duration::from_secs(1), Sway::Others)]);
        past.unused(at(40));
        assert_eq!(past.record(at(45), 2000).used_at, Some(1995));
        for gap in 0..1000 {
            past.used(at(100 + 10 * gap));
            past.unused(at(101 + 10 * gap));
        }
        assert_eq!(past.gaps.len(), GAPS);
    }

    #[test]
    fn stopped_from_its_pause_it_has_given_back_both() {
        let mut past = Past::default();
        past.paused(700);
        past.stopped(From::Paused, 300);
        assert_eq!(past.record(at(0), 0).freed.stopped, Some(1000));
        past.stopped(From::Running, 900);
        assert_eq!(past.record(at(0), 0).freed.stopped, Some(900));
    }
}
