//! The driver with the fake engine, on a clock that the test moves: mailbox, leases, time-outs,
//! failures, and the race between sleep and wake.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod failing;
mod others;
mod race;
mod support;
mod waking;
