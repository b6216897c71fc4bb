//! The pure core: when a target is started, when it is put to sleep, and who may use it.
//!
//! Promises: no system call, no clock, no task, no iteration in random order. Time comes in as a
//! [`Moment`], what happened comes in as an [`Event`], what is to be done goes out as an
//! [`Action`]. The same inputs give the same outputs, so a model checker can walk every
//! interleaving of the real thing (`tests/model.rs`).

mod event;
mod invariant;
mod moment;
mod phase;
mod policy;
mod reconfigure;
mod rest;
#[cfg(test)]
mod rig;
mod schedule;
mod service;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_hours;
#[cfg(test)]
mod tests_rest;

pub use event::{
    Action, Admission, Cause, Client, Event, Permission, Question, Refused, Rest, Run, Seen,
};
pub use moment::Moment;
pub use phase::{Due, From, Idle, Kill, Phase};
pub use policy::{Asking, Curfew, Depth, Latecomers, Policy, Practice, Tiers, Window};
pub use reconfigure::Reach;
pub use schedule::{Backoff, Pauses};
pub use service::Service;
