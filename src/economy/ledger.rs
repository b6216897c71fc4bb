//! What a service's windows have cost so far, and what is learnt from its gaps.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Terms, best, cost, least};

/// So many gaps are remembered, the latest.
///
/// More would know rare gaps better and be slower to notice that habits have changed; 256 gaps are some
/// days of a service that is used every now and then.
pub const MOST_GAPS: usize = 256;

/// The leader is so much longer than the gap it is made for: the next one that is about as long is covered,
/// too.
const STRETCH: f64 = 1.05;

/// The account of one service. Seconds of being awake.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Ledger {
    /// What the chosen windows have cost, gaps shorter than the shortest window apart: `A`.
    spent: f64,
    /// What these gaps would have cost at least: `L`.
    bound: f64,
    /// The latest gaps, as long as any window within the bounds; the youngest last.
    gaps: VecDeque<f64>,
}

/// A window that was chosen, and what it was chosen by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Seconds, within the bounds.
    pub window: f64,
    /// Why this one.
    pub why: Why,
    /// What was weighed.
    pub terms: Terms,
}

/// Why a window was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It would have cost least on the gaps seen.
    Leader,
    /// Nothing is known yet, or learning has cost as much as it may.
    BreakEven,
}

impl Choice {
    /// The idle window.
    pub fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.window).unwrap_or(Duration::MAX)
    }
}

impl Ledger {
    /// After a gap: it is noted, and the window for the next is chosen. `chosen` is what was chosen for
    /// the gap that is over; none if it was not for us to choose (a hold, fixed hours, another
    /// `--idle-timeout`), which is then learnt from but not accounted for.
    pub fn after(&mut self, gap: Duration, chosen: Option<&Choice>, terms: Terms) -> Choice {
        match chosen {
            Some(chosen) => self.note(gap, chosen),
            None => self.see(gap, terms.least),
        }
        self.choose(terms)
    }

    /// Accounts for a gap, from the end of one use to the begin of the next, for which this was chosen.
    pub fn note(&mut self, gap: Duration, chosen: &Choice) {
        let seconds = gap.as_secs_f64();
        if seconds > chosen.terms.least {
            self.spent += cost(seconds, chosen.window, chosen.terms.price);
            self.bound += least(seconds, &chosen.terms);
            self.remember(seconds);
        }
    }

    /// Learns from a gap without accounting for it; it tells nothing unless it is longer than `least`,
    /// in seconds.
    pub fn see(&mut self, gap: Duration, least: f64) {
        let seconds = gap.as_secs_f64();
        if seconds > least {
            self.remember(seconds);
        }
    }

    /// The window for the next gap.
    pub fn choose(&self, terms: Terms) -> Choice {
        let break_even = terms.break_even();
        let allowed = 2.0 * self.bound + break_even + terms.price - self.spent;
        match self.leader(&terms) {
            Some(window) if window + terms.price <= allowed => {
                Choice { window, why: Why::Leader, terms }
            }
            Some(_) | None => Choice { window: break_even, why: Why::BreakEven, terms },
        }
    }

    /// What the chosen windows have cost, in seconds of being awake.
    pub fn spent(&self) -> f64 {
        self.spent
    }

    /// What they would have cost at least: no fixed window within the bounds would have cost less.
    pub fn bound(&self) -> f64 {
        self.bound
    }

    /// The latest gaps in seconds, the youngest last.
    pub fn gaps(&self) -> impl ExactSizeIterator<Item = f64> {
        self.gaps.iter().copied()
    }

    fn leader(&self, terms: &Terms) -> Option<f64> {
        let mut sorted: Vec<f64> = self.gaps.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        (!sorted.is_empty()).then(|| best(&sorted, terms, STRETCH).0)
    }

    fn remember(&mut self, seconds: f64) {
        if self.gaps.len() == MOST_GAPS {
            self.gaps.pop_front();
        }
        // Milliseconds are enough, and short in a file.
        self.gaps.push_back((seconds * 1000.0).round() / 1000.0);
    }
}

/// The account as a file has it, which anybody may have written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    spent: f64,
    bound: f64,
    gaps: VecDeque<f64>,
}

impl From<Written> for Ledger {
    /// Keeps what makes sense.
    fn from(written: Written) -> Self {
        let Written { spent, bound, mut gaps } = written;
        let sound = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
        gaps.retain(|gap| sound(*gap));
        gaps.drain(..gaps.len().saturating_sub(MOST_GAPS));
        gaps.shrink_to_fit();
        // They may be equal, and a text is not exact.
        if sound(spent) && sound(bound) && bound <= spent * (1.0 + 1e-9) {
            Self { spent, bound, gaps }
        } else {
            Self { spent: 0.0, bound: 0.0, gaps }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these sums are exact")]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { price: 60.0, least: 10.0, most: 7200.0 };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn after(gaps: &[u64]) -> Choice {
        let mut ledger = Ledger::default();
        let mut choice = ledger.choose(TERMS);
        for gap in gaps {
            choice = ledger.after(seconds(*gap), Some(&choice), TERMS);
        }
        choice
    }

    #[test]
    fn it_begins_with_the_break_even_window() {
        let choice = Ledger::default().choose(TERMS);
        assert_eq!((choice.window, choice.why), (60.0, Why::BreakEven));
    }

    #[test]
    fn after_one_long_gap_it_sleeps_at_once() {
        let choice = after(&[86_400]);
        assert_eq!((choice.window, choice.why), (10.0, Why::Leader));
    }

    #[test]
    fn a_habit_shorter_than_the_price_is_waited_for() {
        assert_eq!(after(&[50; 10]).window, 50.0 * STRETCH);
    }

    #[test]
    fn gaps_that_every_window_outlasts_tell_nothing() {
        let mut ledger = Ledger::default();
        let choice = ledger.choose(TERMS);
        ledger.note(seconds(10), &choice);
        ledger.see(seconds(10), TERMS.least);
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn a_gap_that_was_not_ours_is_learnt_from_only() {
        let mut ledger = Ledger::default();
        let choice = ledger.after(seconds(86_400), None, TERMS);
        assert_eq!((ledger.spent(), ledger.bound()), (0.0, 0.0));
        assert_eq!(choice.window, 10.0);
    }

    #[test]
    fn it_forgets_what_is_long_ago() {
        let mut ledger = Ledger::default();
        for gap in 0..1000 {
            ledger.see(seconds(1000 + gap), 10.0);
        }
        assert_eq!(ledger.gaps().len(), MOST_GAPS);
        assert_eq!(ledger.gaps().last(), Some(1999.0));
    }

    #[test]
    fn it_is_read_back_as_it_was_written_and_nonsense_is_dropped() {
        let mut ledger = Ledger::default();
        let choice = ledger.choose(TERMS);
        ledger.note(Duration::from_secs_f64(301.123_456), &choice);
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(text, r#"{"spent":120.0,"bound":70.0,"gaps":[301.123]}"#);
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
        let odd = r#"{"spent":1e300,"bound":-1.0,"gaps":[-5.0,20.0],"later":1}"#;
        let read: Ledger = serde_json::from_str(odd).unwrap();
        assert_eq!((read.spent(), read.bound()), (0.0, 0.0));
        assert_eq!(read.gaps().collect::<Vec<_>>(), [20.0]);
        let many = serde_json::json!({ "gaps": vec![11.0; 5000] });
        assert_eq!(serde_json::from_value::<Ledger>(many).unwrap().gaps().len(), MOST_GAPS);
    }
}
