//! What is measured, a part each.

pub(crate) mod cold;
pub(crate) mod data;
pub(crate) mod scale;
pub(crate) mod scripted;
pub(crate) mod storms;

use std::time::Duration;

/// How long and how often.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// The length of one piece of the data path.
    pub(crate) piece: Duration,
    /// Numbers of idle connections at which memory is looked at; one is 1,000.
    pub(crate) idle_steps: &'static [usize],
    pub(crate) echo_bytes: u64,
    /// Wakes of a real container.
    pub(crate) wakes: usize,
    /// Wakes of a scripted one.
    pub(crate) scripted_wakes: usize,
    pub(crate) storms: usize,
}

impl Plan {
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        piece: Duration::from_millis(120),
        idle_steps: &[500, 1000],
        echo_bytes: 8 << 20,
        wakes: 4,
        scripted_wakes: 6,
        storms: 1,
    };

    pub(crate) const FULL: Self = Self {
        rounds: 7,
        piece: Duration::from_millis(800),
        idle_steps: &[250, 500, 1000, 2000],
        echo_bytes: 64 << 20,
        wakes: 40,
        scripted_wakes: 40,
        storms: 7,
    };
}
