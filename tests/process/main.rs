//! The binary as a process, in real time, against a scripted engine on a Unix socket and an
//! application that listens only while its container runs.
//!
//! The time spans are small and nothing depends on them being met exactly: a test waits for what
//! it expects, and measures only what the contract bounds. Ports are never fixed, so the tests run
//! beside each other.

mod support;

mod admin;
mod admin_commands;
mod admission;
mod check;
mod datagrams;
mod datagrams_restart;
mod failures;
mod gate;
mod gate_datagrams;
mod gate_http;
mod history;
mod hours;
mod inherited;
mod labels;
mod limits;
mod logging;
mod many;
mod others;
mod outages;
mod policy;
mod ports;
mod proxy_header_in;
mod proxy_header_out;
mod readiness;
mod reload;
mod reload_groups;
mod scripted;
mod shutdown;
mod silent;
mod stop_condition;
mod streams;
mod units;
mod usage;
mod warm;
