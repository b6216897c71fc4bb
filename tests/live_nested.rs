//! Newer engines than this machine may have, each in a machine of its own: Debian 13 with systemd,
//! Docker and Podman, booted in a container. `make test-nested` builds what they boot from.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a surprise is a failure")]
#![allow(clippy::print_stderr, reason = "a failing test shows the journal")]

mod live {
    #![allow(dead_code, reason = "the harness is for all live tests")]
    pub(crate) mod built;
    pub(crate) mod client;
    pub(crate) mod clock;
    pub(crate) mod engine;
    pub(crate) mod scratch;
}

mod systemd {
    pub(crate) mod node;
}

mod nested {
    mod compose;
    mod engines;
    pub(crate) mod machine;
    mod projects;
    mod quadlet;
    mod reload;
    mod rootless;
    mod units;
}
