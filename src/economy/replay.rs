//! What gaps would have been with another window, or another depth of sleep.

use std::time::Duration;

use crate::activation::{Depth, Tiers, Window};
use crate::config::duration::IdleTimeout;

use super::{Ledger, Terms, cost};

/// A resume from pause takes about so long, in seconds: an engine's call, and a slow one.
pub const RESUME: f64 = 0.05;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The idle window; `auto` is replayed as it would have chosen then.
    pub idle: IdleTimeout,
    /// How deep it sleeps.
    pub tiers: Tiers,
}

/// The service that is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scene {
    /// What is weighed.
    pub terms: Terms,
    /// How long a cold start takes, in seconds.
    pub start: f64,
    /// How much of its memory a paused service gives back, from 0 to 1 (`--reclaim`).
    pub reclaimed: f64,
}

/// What has come of a plan. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Wakes from a stop.
    pub cold_starts: u64,
    /// Wakes from a pause.
    pub resumes: u64,
    /// How long clients have waited, all together.
    pub waited: f64,
    /// How long it was awake, starts apart.
    pub awake: f64,
    /// How long it was paused.
    pub paused: f64,
    /// How long it was stopped.
    pub stopped: f64,
    /// What all that costs, in seconds of being awake.
    pub cost: f64,
    /// The last window.
    pub window: f64,
}

impl Figures {
    /// The memory that was free, times how long: unit of memory times seconds.
    pub fn freed(&self, memory: f64, scene: &Scene) -> f64 {
        memory * (self.stopped + self.paused * scene.reclaimed)
    }
}

/// Goes through the gaps between uses, in seconds and in their order; a use itself takes no time.
///
/// Whoever comes during a cold start waits for the rest of it, and nothing sleeps before its end.
pub fn replay(gaps: &[f64], plan: &Plan, scene: &Scene) -> Figures {
    let mut figures = Figures::default();
    let mut window = Chooser::new(plan.idle, scene.terms);
    let mut until_ready = 0.0;
    for &gap in gaps {
        if gap <= until_ready {
            until_ready -= gap;
            figures.waited += until_ready;
            figures.awake += gap;
            figures.cost += gap;
            continue;
        }
        until_ready = figures.add(gap, window.current(), &plan.tiers, scene);
        figures.waited += until_ready;
        window.note(gap);
    }
    figures.window = window.current();
    figures
}

impl Figures {
    /// Adds a gap. How long the client at its end waits.
    fn add(&mut self, gap: f64, window: f64, tiers: &Tiers, scene: &Scene) -> f64 {
        if gap <= window {
            self.awake += gap;
            self.cost += gap;
            return 0.0;
        }
        self.awake += window;
        let price = scene.terms.price;
        let pausable = match (tiers.first, tiers.deeper) {
            (Depth::Stop, _) => 0.0,
            (Depth::Pause, None) => f64::INFINITY,
            (Depth::Pause, Some(deeper)) => deeper.as_secs_f64(),
        };
        let asleep = gap - window;
        let kept = 1.0 - scene.reclaimed;
        let paused = asleep.min(pausable);
        self.paused += paused;
        if asleep <= pausable {
            self.resumes += 1;
            self.cost += window + paused * kept + RESUME;
            RESUME
        } else {
            self.cold_starts += 1;
            self.stopped += asleep - paused;
            self.cost += cost(gap, window, price) + paused * kept;
            scene.start
        }
    }
}

/// Where the window comes from.
enum Chooser {
    Fixed(f64),
    Auto(Box<(Ledger, super::Choice)>),
}

impl Chooser {
    fn new(idle: IdleTimeout, terms: Terms) -> Self {
        match idle {
            IdleTimeout::Fixed(Window::After(window)) => Self::Fixed(window.as_secs_f64()),
            IdleTimeout::Fixed(Window::Never) => Self::Fixed(f64::INFINITY),
            IdleTimeout::Auto => {
                let ledger = Ledger::default();
                let choice = ledger.choose(terms);
                Self::Auto(Box::new((ledger, choice)))
            }
        }
    }

    fn current(&self) -> f64 {
        match self {
            Self::Fixed(window) => *window,
            Self::Auto(auto) => auto.1.window,
        }
    }

    fn note(&mut self, gap: f64) {
        match self {
            Self::Fixed(_) => {}
            Self::Auto(auto) => {
                let (ledger, choice) = &mut **auto;
                // Nothing is learnt from these, and most gaps of an access log are such.
                if gap > choice.terms.least {
                    let gap = Duration::try_from_secs_f64(gap).unwrap_or(Duration::MAX);
                    *choice = ledger.after(gap, Some(choice), choice.terms);
                }
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these sums are exact")]
mod tests {
    use super::*;

    const SCENE: Scene = Scene {
        terms: Terms { price: 60.0, least: 10.0, most: 7200.0 },
        start: 4.0,
        reclaimed: 0.0,
    };

    fn plan(idle: u64, tiers: Tiers) -> Plan {
        Plan { idle: IdleTimeout::Fixed(Window::After(Duration::from_secs(idle))), tiers }
    }

    #[test]
    fn a_gap_longer_than_the_window_is_slept_through() {
        let figures = replay(&[100.0, 1000.0], &plan(300, Tiers::STOP), &SCENE);
        assert_eq!((figures.cold_starts, figures.waited), (1, 4.0));
        assert_eq!((figures.awake, figures.stopped), (400.0, 700.0));
        assert_eq!(figures.cost, 100.0 + 300.0 + 60.0);
        assert_eq!(figures.freed(2.0, &SCENE), 1400.0);
    }

    #[test]
    fn whoever_comes_during_a_start_waits_for_the_rest_of_it() {
        let figures = replay(&[1000.0, 1.0, 2.0, 2.0], &plan(0, Tiers::STOP), &SCENE);
        // The last came after the start, and woke it anew.
        assert_eq!((figures.cold_starts, figures.waited), (2, 4.0 + 3.0 + 1.0 + 4.0));
    }

    #[test]
    fn a_pause_keeps_the_memory_and_a_stop_follows() {
        let tiers = Tiers { first: Depth::Pause, deeper: Some(Duration::from_secs(500)) };
        let figures = replay(&[600.0, 1000.0], &plan(300, tiers), &SCENE);
        assert_eq!((figures.resumes, figures.cold_starts), (1, 1));
        assert_eq!((figures.paused, figures.stopped), (800.0, 200.0));
        assert_eq!(figures.cost, 600.0 + RESUME + 860.0);
        let reclaiming = Scene { reclaimed: 0.5, ..SCENE };
        let cheaper = replay(&[600.0, 1000.0], &plan(300, tiers), &reclaiming);
        assert_eq!(cheaper.cost, figures.cost - 400.0);
        assert_eq!(cheaper.freed(1.0, &reclaiming), 600.0);
    }

    #[test]
    fn never_costs_all_of_the_time_and_auto_learns() {
        let never = Plan { idle: IdleTimeout::Fixed(Window::Never), tiers: Tiers::STOP };
        assert_eq!(replay(&[86_400.0; 7], &never, &SCENE).cost, 7.0 * 86_400.0);
        let auto = Plan { idle: IdleTimeout::Auto, tiers: Tiers::STOP };
        let figures = replay(&[86_400.0; 7], &auto, &SCENE);
        assert_eq!(figures.cost, 120.0 + 6.0 * 70.0);
        assert_eq!(figures.window, 10.0);
    }
}
