//! The harness of the live tests: the real daemon before real containers on a real engine.
//!
//! Every test is a process or a thread of its own with its own containers, its own daemon and its
//! own loopback address; all of them are gone when it ends, also when it fails.
#![allow(dead_code, reason = "each engine's list of tests uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a surprise is a failure")]
#![allow(clippy::print_stdout, reason = "the race test tells how much it has tried")]
#![allow(clippy::print_stderr, reason = "a failing test shows the daemon's log")]

pub(crate) mod cases;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod container;
pub(crate) mod daemon;
pub(crate) mod engine;
pub(crate) mod private_docker;
pub(crate) mod scratch;
pub(crate) mod tap;

/// Declares one `#[test]` per case, run on the given kind of engine.
macro_rules! on_engine {
    ($kind:expr, $($module:ident: $($case:ident)*;)*) => {$($(
        #[test]
        fn $case() {
            crate::live::cases::$module::$case(&crate::live::engine::Engine::get($kind));
        }
    )*)*};
}
pub(crate) use on_engine;
