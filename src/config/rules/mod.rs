//! When a service wakes, when it sleeps and how deep: what the options that say so mean.
//!
//! Pure: each takes the option's text and answers with what it asks for, or with what is wrong.

mod activity;
mod auto;
mod depth;
mod gate;
mod hours;
mod may_sleep;
mod rate;

pub use activity::{Activity, Doze, Silence, Silent, WindowFrom, silence};
pub use auto::{Auto, DEFAULT_LEAST, DEFAULT_MOST, DEFAULT_WORTH, auto};
pub use depth::{depth, on_waiting_stop};
pub use gate::{Gate, WakeOn, gate};
pub use hours::{AsleepClients, Hours, Spell, Wish, hours};
pub use may_sleep::{Busy, Condition, MaySleep, may_sleep};
pub use rate::Rate;

use clap::ValueEnum;

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Switch {
    /// It is wanted
    Yes,
    /// It is not
    #[default]
    No,
}
