//! Everything around the real core that may happen in any order, for a model checker.
//!
//! The core is the one of `super::activation`, so the same model runs on the crate and, in
//! `tests/mutations.rs`, on copies of it that are wrong on purpose. Only the core is real: the
//! target, the engine, the driver's tasks and the clients are the `World`. Time passes only to the
//! next moment at which something is owed, and whatever others may do to the target is bounded in
//! number, so the states are finitely many and every one is visited.

#![allow(dead_code, unused_imports, reason = "one user walks all states, the other random ones")]

use super::activation;

mod coverage;
mod observer;
mod rule;
mod sleeping;
mod steps;
mod world;

use std::time::Duration;

use stateright::{Model, Property};

use self::activation::{Asking, Depth, Policy, Practice, Tiers, Window};
pub(crate) use self::rule::Rule;
pub(crate) use self::steps::{Outcome, Step};
pub(crate) use self::world::{Budget, State, World};

/// How long one client waits at most.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// One policy, what may happen under it, and how often.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) policy: Policy,
    pub(crate) budget: Budget,
    pub(crate) begin: &'static [State],
}

/// Nothing happens but what the driver does.
const QUIET: Budget = Budget {
    arrivals: 0,
    leaves: 0,
    ends: 0,
    helps: 0,
    failures: 0,
    ticks: 0,
    sleeps: 0,
    pins: 0,
    retires: 0,
    silences: 0,
    denials: 0,
    curfews: 0,
};

const STOPPED: &[State] = &[State::Stopped];
const RUNNING: &[State] = &[State::Running];
const EITHER: &[State] = &[State::Stopped, State::Running];
const ANYHOW: &[State] = &[State::Stopped, State::Running, State::Paused, State::Missing];

impl Setup {
    /// Small enough to be checked at every build.
    pub(crate) fn all() -> Vec<Self> {
        let window = policy(Window::After(Duration::from_secs(3)));
        let others = Budget { arrivals: 1, ends: 1, helps: 1, ..QUIET };
        let engine = Budget { arrivals: 2, failures: 1, ..QUIET };
        let clients = Budget { arrivals: 2, leaves: 1, ticks: 1, ..QUIET };
        let ending = Budget { arrivals: 1, failures: 1, retires: 1, ..QUIET };
        let none = policy(Window::After(Duration::ZERO));
        let asked = Budget { arrivals: 2, sleeps: 2, ..QUIET };
        let asked_beside = Budget { arrivals: 1, ends: 1, failures: 1, sleeps: 1, ..QUIET };
        let pinned = Budget { arrivals: 1, pins: 2, ..QUIET };
        let pinned_failing = Budget { arrivals: 1, pins: 1, failures: 1, ..QUIET };
        let pinned_ending = Budget { arrivals: 1, pins: 1, ends: 1, ..QUIET };
        let pinned_asked = Budget { arrivals: 1, pins: 1, sleeps: 1, ..QUIET };
        let asking =
            Some(Asking { lead: Duration::from_secs(1), interval: Duration::from_secs(2) });
        let asks = Policy { asking, ..window.clone() };
        let asked_in_trouble = Budget { arrivals: 1, denials: 1, failures: 1, leaves: 1, ..QUIET };
        let asked_and_ended = Budget { arrivals: 1, ends: 1, denials: 1, ..QUIET };
        let silent = Budget { arrivals: 2, silences: 2, ticks: 1, ..QUIET };
        let silent_beside = Budget { arrivals: 1, silences: 2, ends: 1, ..QUIET };
        let paused = Tiers { first: Depth::Pause, deeper: Some(Duration::from_secs(4)) };
        let tiers = Policy { tiers: paused, ..window.clone() };
        let tiers_beside = Budget { arrivals: 1, failures: 1, ..QUIET };
        let tiers_helped = Budget { arrivals: 1, ends: 1, ..QUIET };
        let tiers_pinned = Budget { pins: 1, failures: 1, ..QUIET };
        let hours_beside = Budget { arrivals: 1, curfews: 1, failures: 1, ..QUIET };
        let hours_asked = Budget { arrivals: 1, curfews: 2, pins: 1, ..QUIET };
        let kills = Policy { kill_after: Some(Duration::from_secs(2)), ..none.clone() };
        let patient = Policy { kill_after: Some(START_TIMEOUT), ..none.clone() };
        let hastened_ending = Budget { arrivals: 1, retires: 1, ..QUIET };
        let lasting = Policy { min_awake: Duration::from_secs(6), ..window.clone() };
        let dry = Policy { practice: Practice::Dry, ..asks.clone() };
        let all = Policy { tiers: paused, kill_after: kills.kill_after, ..asks.clone() };
        let everything = Budget { arrivals: 1, silences: 1, denials: 1, ..QUIET };
        let setup = |name, policy: &Policy, budget, begin| Self {
            name,
            policy: policy.clone(),
            budget,
            begin,
        };
        vec![
            setup("others interfere", &window, others, EITHER),
            setup("a used target ends", &window, Budget { arrivals: 2, ends: 1, ..QUIET }, STOPPED),
            setup("the engine fails", &window, engine, STOPPED),
            setup("clients come and go", &window, clients, STOPPED),
            setup("no idle window", &none, Budget { arrivals: 2, ..QUIET }, RUNNING),
            setup(
                "no idle window, failing",
                &none,
                Budget { arrivals: 1, failures: 2, ..QUIET },
                RUNNING,
            ),
            setup("never idle", &policy(Window::Never), others, EITHER),
            setup("a sleep is asked for", &window, asked, EITHER),
            setup("a sleep is asked for in trouble", &window, asked_beside, RUNNING),
            setup("never idle, a sleep is asked for", &policy(Window::Never), asked, STOPPED),
            setup("the daemon ends", &window, ending, EITHER),
            setup("pinned", &window, pinned, EITHER),
            setup("pinned, and the engine fails", &window, pinned_failing, EITHER),
            setup("a pinned target ends", &window, pinned_ending, RUNNING),
            setup("pinned, no idle window", &none, pinned_asked, RUNNING),
            setup(
                "asked, and clients come",
                &asks,
                Budget { arrivals: 2, denials: 1, ..QUIET },
                STOPPED,
            ),
            setup("asked in trouble", &asks, asked_in_trouble, RUNNING),
            setup("asked, and ended", &asks, asked_and_ended, RUNNING),
            setup("silent clients", &window, silent, STOPPED),
            setup("silent, others interfere", &window, silent_beside, RUNNING),
            setup("two tiers", &tiers, Budget { arrivals: 2, ..QUIET }, STOPPED),
            setup("two tiers in trouble", &tiers, tiers_beside, ANYHOW),
            setup("two tiers, others interfere", &tiers, tiers_helped, RUNNING),
            setup("two tiers, pinned", &tiers, Budget { arrivals: 1, pins: 1, ..QUIET }, RUNNING),
            setup("two tiers, pinned, failing", &tiers, tiers_pinned, RUNNING),
            setup("two tiers, and the daemon ends", &tiers, ending, RUNNING),
            setup("the hours", &window, Budget { arrivals: 2, curfews: 1, ..QUIET }, STOPPED),
            setup("the hours in trouble", &window, hours_beside, EITHER),
            setup("the hours, never idle", &policy(Window::Never), hours_asked, RUNNING),
            setup(
                "a stop that is hastened",
                &kills,
                Budget { arrivals: 2, leaves: 1, ..QUIET },
                RUNNING,
            ),
            setup(
                "a hastened stop fails",
                &kills,
                Budget { arrivals: 1, failures: 1, ..QUIET },
                RUNNING,
            ),
            setup("a stop that is hastened too late", &patient, hastened_ending, RUNNING),
            setup("awake for a while at least", &lasting, others, RUNNING),
            setup("a dry run", &dry, Budget { arrivals: 2, sleeps: 1, ..QUIET }, EITHER),
            setup("everything at once", &all, everything, RUNNING),
        ]
    }
}

impl Model for Setup {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        self.begin
            .iter()
            .map(|state| World::new(self.policy.clone(), self.budget, 2, *state))
            .collect()
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        // What comes after a broken rule says nothing new; the core's own opinion is none.
        if world.broken.iter().all(|rule| *rule == Rule::Inner) {
            world.possible(steps);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.take(step);
        next.judge();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rule::properties().into_iter().chain(coverage::properties()).collect()
    }
}

fn policy(idle: Window) -> Policy {
    Policy::new(idle, START_TIMEOUT)
}
