//! The units of `deploy/` under a real systemd, which is process 1 of a container and whose daemon
//! drives the machine's Docker; `make setup` brings the engine and the image.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a surprise is a failure")]
#![allow(clippy::print_stdout, reason = "the tests under load tell how much they have tried")]
#![allow(clippy::print_stderr, reason = "a failing test shows the journal")]

mod live {
    #![allow(dead_code, reason = "the harness is for all live tests")]
    pub(crate) mod built;
    pub(crate) mod client;
    pub(crate) mod clock;
    pub(crate) mod container;
    pub(crate) mod engine;
    pub(crate) mod scratch;
}

mod systemd {
    pub(crate) mod compose;
    mod examples;
    mod exits;
    mod generated;
    pub(crate) mod load;
    pub(crate) mod machine;
    pub(crate) mod node;
    mod refusals;
    mod reload;
    mod restarts;
    mod targets;
    mod units;
}
