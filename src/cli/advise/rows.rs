//! What has come of each window and depth, as figures.

use serde::Serialize;

use super::{AdviseArgs, Past};
use crate::activation::{Depth, Tiers, Window};
use crate::config::duration::IdleTimeout;
use crate::economy::{Plan, Scene, best, replay};

/// Everything that is told.
#[derive(Debug, Serialize)]
pub(super) struct Advice {
    /// How many gaps between uses.
    pub(super) gaps: usize,
    /// Lines in which no time was found.
    pub(super) not_understood: u64,
    /// Their sum: of a log the time from the first use to the last.
    pub(super) seconds: f64,
    /// How long a cold start takes.
    pub(super) cold_start_seconds: f64,
    /// How much memory it frees.
    pub(super) memory_bytes: u64,
    /// What a cold start costs, in seconds of being awake.
    pub(super) price_seconds: f64,
    /// The bounds of auto.
    pub(super) idle_min_seconds: f64,
    pub(super) idle_max_seconds: f64,
    /// Each window with each depth.
    pub(super) rows: Vec<Row>,
    /// The cheapest of all windows within the bounds, stopped after it, in hindsight.
    pub(super) best: Best,
}

/// One window with one depth.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The window as it was asked for, in seconds; none is auto, and infinity null, too.
    pub(super) window_seconds: Option<f64>,
    /// What was asked for, in words.
    pub(super) window: String,
    /// How deep, as `--sleep` says it.
    pub(super) sleep: String,
    pub(super) cold_starts: u64,
    pub(super) resumes: u64,
    /// How long clients waited, all together.
    pub(super) waited_seconds: f64,
    pub(super) awake_seconds: f64,
    pub(super) paused_seconds: f64,
    pub(super) stopped_seconds: f64,
    pub(super) gib_hours_saved: f64,
    /// In seconds of being awake.
    pub(super) cost_seconds: f64,
    /// Whether no other row costs less.
    pub(super) cheapest: bool,
    /// What auto has arrived at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_window_seconds: Option<f64>,
    #[serde(skip)]
    pub(super) plan: Plan,
}

/// The best window in hindsight.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Best {
    pub(super) window_seconds: f64,
    pub(super) cost_seconds: f64,
}

impl Advice {
    pub(super) fn new(past: &Past, args: &AdviseArgs, scene: &Scene, memory: u64) -> Self {
        let plans = args
            .sleep
            .iter()
            .flat_map(|tiers| args.windows.iter().map(|idle| Plan { idle: *idle, tiers: *tiers }));
        let mut rows: Vec<Row> = plans.map(|plan| Row::new(plan, past, memory, scene)).collect();
        let cheapest = rows.iter().map(|row| row.cost_seconds).fold(f64::INFINITY, f64::min);
        for row in &mut rows {
            row.cheapest = row.cost_seconds <= cheapest;
        }
        Self {
            gaps: past.gaps.len(),
            not_understood: past.not_understood,
            seconds: past.gaps.iter().sum(),
            cold_start_seconds: scene.start,
            memory_bytes: memory,
            price_seconds: scene.terms.price,
            idle_min_seconds: scene.terms.least,
            idle_max_seconds: scene.terms.most,
            rows,
            best: Best::new(past, scene),
        }
    }

    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

impl Row {
    pub(super) fn new(plan: Plan, past: &Past, memory: u64, scene: &Scene) -> Self {
        let figures = replay(&past.gaps, &plan, scene);
        let (window, window_seconds) = match plan.idle {
            IdleTimeout::Auto => ("auto".to_owned(), None),
            IdleTimeout::Fixed(Window::Never) => ("infinity".to_owned(), None),
            IdleTimeout::Fixed(Window::After(time)) => {
                (humantime::format_duration(time).to_string(), Some(time.as_secs_f64()))
            }
        };
        Self {
            window_seconds,
            window,
            sleep: words(&plan.tiers),
            cold_starts: figures.cold_starts,
            resumes: figures.resumes,
            waited_seconds: figures.waited,
            awake_seconds: figures.awake,
            paused_seconds: figures.paused,
            stopped_seconds: figures.stopped,
            gib_hours_saved: figures.freed(gib(memory), scene) / 3600.0,
            cost_seconds: figures.cost,
            cheapest: false,
            last_window_seconds: (plan.idle == IdleTimeout::Auto).then_some(figures.window),
            plan,
        }
    }

    /// As a number to draw.
    #[expect(clippy::cast_precision_loss, reason = "it is drawn")]
    pub(super) fn cold_starts(&self) -> f64 {
        self.cold_starts as f64
    }
}

impl Best {
    fn new(past: &Past, scene: &Scene) -> Self {
        // Gaps that every window outlasts, by far the most, are not sorted with the others.
        let outlasted = |gap: &&f64| **gap <= scene.terms.least;
        let base: f64 = past.gaps.iter().filter(outlasted).sum();
        let mut sorted: Vec<f64> =
            past.gaps.iter().filter(|gap| !outlasted(gap)).copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (window_seconds, cost) = best(&sorted, &scene.terms, 1.0);
        Self { window_seconds, cost_seconds: base + cost }
    }
}

/// As `--sleep` says it.
fn words(tiers: &Tiers) -> String {
    match (tiers.first, tiers.deeper) {
        (Depth::Stop, _) => "stop".to_owned(),
        (Depth::Pause, None) => "pause".to_owned(),
        (Depth::Pause, Some(time)) => format!("pause,stop={}", humantime::format_duration(time)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory is not known to the byte")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
