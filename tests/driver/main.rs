//! The driver with the fake engine, on a clock that the test moves: mailbox, leases, time-outs,
//! failures, and the race between sleep and wake.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod companions;
mod failing;
mod group;
mod group_race;
mod groups;
mod history;
mod hours;
mod others;
mod policy;
mod policy_race;
mod race;
mod reconfigured;
mod silent;
mod support;
mod waking;
