//! What gaps cost, in seconds of being awake.

use super::Terms;

/// What a gap costs with this window.
pub fn cost(gap: f64, window: f64, price: f64) -> f64 {
    if gap <= window { gap } else { window + price }
}

/// What a gap costs at least, with whatever window within the bounds.
pub fn least(gap: f64, terms: &Terms) -> f64 {
    let slept = terms.least + terms.price;
    if gap <= terms.least {
        gap
    } else if gap <= terms.most {
        gap.min(slept)
    } else {
        slept
    }
}

/// The window within the bounds that costs least on these gaps, in ascending order, and what it costs.
///
/// The shortest of several that cost the same. Only the lower bound and the gaps themselves, `stretch`
/// times as long, are looked at: in between, a window costs more without covering more.
pub fn best(sorted: &[f64], terms: &Terms, stretch: f64) -> (f64, f64) {
    let windows = sorted.iter().map(|gap| gap * stretch);
    let within = windows.filter(|window| (terms.least..=terms.most).contains(window));
    let mut uncovered = f64::from(u32::try_from(sorted.len()).unwrap_or(u32::MAX));
    let mut covered = 0.0;
    let mut rest = sorted.iter().peekable();
    let mut best = (terms.least, f64::INFINITY);
    for window in std::iter::once(terms.least).chain(within) {
        while let Some(gap) = rest.next_if(|gap| **gap <= window) {
            covered += gap;
            uncovered -= 1.0;
        }
        let total = covered + uncovered * (window + terms.price);
        if total < best.1 {
            best = (window, total);
        }
    }
    best
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these sums are exact")]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { price: 60.0, least: 10.0, most: 600.0 };

    #[test]
    fn a_gap_costs_itself_or_the_window_and_a_start() {
        assert_eq!(cost(100.0, 100.0, 60.0), 100.0);
        assert_eq!(cost(100.1, 100.0, 60.0), 160.0);
        assert_eq!(least(5.0, &TERMS), 5.0);
        assert_eq!(least(50.0, &TERMS), 50.0);
        assert_eq!(least(100.0, &TERMS), 70.0);
        assert_eq!(least(6000.0, &TERMS), 70.0);
        // Nobody may wait for the end of a gap that is longer than the longest window.
        assert_eq!(least(12.0, &Terms { most: 11.0, ..TERMS }), 70.0);
    }

    #[test]
    fn the_best_window_covers_the_gaps_that_are_worth_it() {
        assert_eq!(best(&[], &TERMS, 1.0), (10.0, 0.0));
        assert_eq!(best(&[1000.0; 4], &TERMS, 1.0), (10.0, 280.0));
        assert_eq!(best(&[30.0, 30.0, 1000.0], &TERMS, 1.0), (30.0, 150.0));
        assert_eq!(best(&[30.0, 50.0], &TERMS, 1.1), (50.0 * 1.1, 80.0));
        assert_eq!(best(&[700.0], &Terms { price: 5000.0, ..TERMS }, 1.0), (10.0, 5010.0));
    }
}
