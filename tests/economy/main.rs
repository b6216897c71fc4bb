//! `--idle-timeout auto`: its guarantee under arbitrary gaps, and what it costs on believable ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod advise;
mod arrivals;
mod picture;
mod properties;
mod simulation;
