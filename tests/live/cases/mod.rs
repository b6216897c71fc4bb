//! What the daemon promises, one test per sentence; each takes the engine it runs on.

pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod discovery;
pub(crate) mod engine_gone;
pub(crate) mod failures;
pub(crate) mod gate;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod hours;
pub(crate) mod idle;
pub(crate) mod networks;
pub(crate) mod outside;
pub(crate) mod policy;
pub(crate) mod ports;
pub(crate) mod race;
pub(crate) mod ready;
pub(crate) mod reload;
pub(crate) mod shutdown;
pub(crate) mod stopping;
pub(crate) mod streams;
pub(crate) mod wake;
