//! The invariants of the core, checked in every state that the model of `tests/model/` can reach.

#![allow(clippy::print_stdout, reason = "how much was checked belongs into the log")]

#[path = "model/mod.rs"]
mod model;

use std::collections::BTreeSet;

use ondemand_container::activation;
use stateright::{Checker, Expectation, Model};

use self::model::Setup;

#[test]
fn no_order_of_events_breaks_an_invariant() {
    let mut states = 0;
    let mut reached = BTreeSet::new();
    for setup in Setup::all() {
        let name = setup.name;
        let checker = setup.checker().threads(2).spawn_bfs().join();
        let (count, depth) = (checker.unique_state_count(), checker.max_depth());
        println!("{name}: {count} states, the longest history has {depth} steps");
        states += count;
        reached.extend(found(&checker));
    }
    println!("{states} states in all");
    assert!(states >= 200_000, "the model has shrunk to {states} states");
    let setups = Setup::all();
    let wanted =
        setups[0].properties().into_iter().filter(|property| situation(&property.expectation));
    let missed: Vec<&str> =
        wanted.map(|property| property.name).filter(|name| !reached.contains(name)).collect();
    assert!(missed.is_empty(), "nothing was said about: {missed:?}");
}

/// The situations that were reached; panics with the history of whatever breaks a rule.
fn found(checker: &impl Checker<Setup>) -> Vec<&'static str> {
    let name = checker.model().name;
    let mut reached = Vec::new();
    for property in checker.model().properties() {
        let Some(path) = checker.discovery(property.name) else { continue };
        assert!(
            situation(&property.expectation),
            "{name}: broken: {}\nafter {:#?}",
            property.name,
            path.into_actions()
        );
        reached.push(property.name);
    }
    reached
}

/// Whether it is something to be reached, not something to be kept.
fn situation(expectation: &Expectation) -> bool {
    match expectation {
        Expectation::Sometimes => true,
        Expectation::Always | Expectation::Eventually => false,
    }
}
