//! The price of a cold start, and the bounds of the window.

use std::time::Duration;

use crate::config::rules::Auto;

/// What the trade of `--cold-start-worth` is stated for.
const GIB: f64 = 1_073_741_824.0;

/// Whatever frees less is taken to free so much: a tenth of what an idle shell takes needs no window of
/// days.
const LEAST_MEMORY: f64 = 1_048_576.0;

/// The price is at least so much, in seconds: a start that costs nothing would be taken for nothing.
const LEAST_PRICE: f64 = 1.0;

/// The price is at most so much, in seconds: a week. No window is as long.
const MOST_PRICE: f64 = 7.0 * 86_400.0;

/// What is weighed when a window is chosen; all in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// What a cold start costs: so long of being awake.
    pub price: f64,
    /// No window is shorter.
    pub least: f64,
    /// No window is longer; at least [`Terms::least`].
    pub most: f64,
}

impl Terms {
    /// By what was asked for, the memory in bytes that a sleep frees, and how long a start takes, as far
    /// as they are known: 1 GiB and nothing if not.
    ///
    /// The worth of a start is stated for 1 GiB; while it starts, it takes its memory, too.
    pub fn new(auto: &Auto, memory: Option<u64>, start: Option<Duration>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "memory is not known to the byte")]
        let memory = memory.map_or(GIB, |bytes| bytes as f64).max(LEAST_MEMORY);
        let start = start.unwrap_or_default().as_secs_f64();
        let price = auto.worth.as_secs_f64() * (GIB / memory) + start;
        let least = auto.least.as_secs_f64();
        Self {
            price: price.clamp(LEAST_PRICE, MOST_PRICE),
            least,
            most: auto.most.as_secs_f64().max(least),
        }
    }

    /// The window that costs at most twice what the best would, whatever the gap.
    pub fn break_even(&self) -> f64 {
        self.price.clamp(self.least, self.most)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these sums are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_dearer_where_it_frees_less_and_takes_longer() {
        let seconds = Duration::from_secs;
        let auto = Auto { least: seconds(10), most: seconds(7200), worth: seconds(60) };
        let price =
            |mib: u64, start| Terms::new(&auto, Some(mib << 20), Some(seconds(start))).price;
        assert_eq!(Terms::new(&auto, None, None).price.round(), 60.0);
        assert_eq!(price(1024, 0).round(), 60.0);
        assert_eq!(price(256, 3).round(), 243.0);
        assert_eq!(price(0, 0), price(1, 0));
        assert_eq!(Terms::new(&auto, Some(u64::MAX), None).price, LEAST_PRICE);
        let vast = Auto { worth: Duration::MAX, ..auto };
        let terms = Terms::new(&vast, None, None);
        assert_eq!(terms.price, MOST_PRICE);
        assert_eq!(terms.break_even(), 7200.0);
    }
}
