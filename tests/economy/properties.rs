//! The guarantee, and what its proof stands on, under arbitrary gaps, prices and bounds.

use std::time::Duration;

use ondemand_container::economy::{Choice, Ledger, Terms, best, cost, least};
use proptest::prelude::*;

fn terms() -> impl Strategy<Value = Terms> {
    (1.0..5000.0, 0.0..2000.0, 0.0..8000.0).prop_map(|(price, least, more)| Terms {
        price,
        least,
        most: least + more,
    })
}

/// Gaps that mean something to these terms: about the bounds, the price and their sums, or anything.
fn gap(terms: Terms) -> impl Strategy<Value = f64> {
    let Terms { price, least, most } = terms;
    let marks = vec![price, least, most, price + least, 2.0 * price];
    let near = (prop::sample::select(marks), -0.01..0.01_f64);
    prop_oneof![near.prop_map(|(mark, off)| (mark + off).max(0.0)), 0.0..20_000.0, 0.0..100.0]
}

/// A gap in somebody's life.
#[derive(Debug, Clone, Copy)]
enum Gap {
    /// So long.
    Of(f64),
    /// Just longer than the window that was chosen for it.
    Behind,
    /// Behind a short window, and far behind a long one.
    Contrary,
}

impl Gap {
    fn seconds(self, choice: &Choice) -> f64 {
        match self {
            Self::Of(seconds) => seconds,
            Self::Contrary if choice.window > choice.terms.price => choice.terms.most + 1.0,
            Self::Behind | Self::Contrary => choice.window + 0.001,
        }
    }
}

/// What comes by chance, and what comes to harm.
fn gaps(terms: Terms) -> impl Strategy<Value = Gap> {
    prop_oneof![
        2 => gap(terms).prop_map(Gap::Of),
        1 => Just(Gap::Behind),
        1 => Just(Gap::Contrary),
    ]
}

fn life() -> impl Strategy<Value = (Terms, Vec<Gap>)> {
    terms().prop_flat_map(|terms| {
        let lives = prop_oneof![
            2 => prop::collection::vec(gaps(terms), 1..320),
            1 => prop::collection::vec(gap(terms).prop_map(Gap::Of), 1..320),
            1 => prop::collection::vec(Just(Gap::Contrary), 1..320),
        ];
        (Just(terms), lives)
    })
}

/// A hair for what sums of floating numbers lose.
fn at_most(least: f64, most: f64) -> bool {
    least <= most * (1.0 + 1e-9) + 1e-6
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Never worse than twice the best fixed window in hindsight, plus two cold starts in a life: at
    /// every moment of it.
    #[test]
    fn never_worse_than_twice_the_best_window_in_hindsight((terms, gaps) in life()) {
        let constant = terms.break_even() + terms.price;
        let mut ledger = Ledger::default();
        let mut choice = ledger.choose(terms);
        let (mut ours, mut bound) = (0.0, 0.0);
        let mut sorted = Vec::new();
        for gap in gaps {
            let gap = gap.seconds(&choice);
            ours += cost(gap, choice.window, terms.price);
            bound += least(gap, &terms);
            prop_assert!(at_most(ours, 2.0 * bound + constant), "{ours} {bound} {constant}");
            sorted.push(gap);
            choice = ledger.after(Duration::from_secs_f64(gap), Some(&choice), terms);
        }
        sorted.sort_by(f64::total_cmp);
        let hindsight = best(&sorted, &terms, 1.0).1;
        prop_assert!(at_most(bound, hindsight), "{bound} {hindsight}");
    }

    /// The same while the price and the bounds change with every gap.
    #[test]
    fn whatever_changes_meanwhile(life in prop::collection::vec(
        terms().prop_flat_map(|terms| (Just(terms), gaps(terms))), 1..300,
    )) {
        let mut ledger = Ledger::default();
        let (mut ours, mut bound, mut constant) = (0.0, 0.0, 0.0_f64);
        for (terms, gap) in life {
            let choice = ledger.choose(terms);
            let gap = gap.seconds(&choice);
            ours += cost(gap, choice.window, terms.price);
            bound += least(gap, &terms);
            constant = constant.max(terms.break_even() + terms.price);
            ledger.note(Duration::from_secs_f64(gap), &choice);
            prop_assert!(at_most(ours, 2.0 * bound + constant), "{ours} {bound} {constant}");
        }
    }

    /// What the proof stands on: no window within the bounds undercuts the least, and the break-even
    /// window is never twice as dear.
    #[test]
    fn a_single_gap((terms, gap, at) in terms().prop_flat_map(
        |terms| (Just(terms), gap(terms), 0.0..=1.0_f64),
    )) {
        let window = terms.least + at * (terms.most - terms.least);
        let floor = least(gap, &terms);
        prop_assert!(at_most(floor, cost(gap, window, terms.price)));
        prop_assert!(at_most(cost(gap, terms.break_even(), terms.price), 2.0 * floor));
    }

    /// The best window is the best of all, and a window that is chosen lies within the bounds.
    #[test]
    fn no_window_is_better_than_the_best((terms, life) in life(), at in 0.0..=1.0_f64) {
        let mut ledger = Ledger::default();
        let mut gaps = Vec::new();
        for gap in life {
            let choice = ledger.choose(terms);
            prop_assert!((terms.least..=terms.most).contains(&choice.window), "{choice:?}");
            let gap = gap.seconds(&choice);
            ledger.note(Duration::from_secs_f64(gap), &choice);
            gaps.push(gap);
        }
        gaps.sort_by(f64::total_cmp);
        let total = |window: f64| gaps.iter().map(|gap| cost(*gap, window, terms.price)).sum::<f64>();
        let (window, cheapest) = best(&gaps, &terms, 1.0);
        prop_assert!(at_most(cheapest, total(terms.least + at * (terms.most - terms.least))));
        prop_assert!(at_most(cheapest, total(window)) && at_most(total(window), cheapest));
    }
}
