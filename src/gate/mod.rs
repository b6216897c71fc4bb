//! What a client does before it is let in to a sleeping service: what it sends is judged, and how
//! often it comes is counted.
//!
//! Everything here is pure: bytes and moments go in, and what they mean comes out. No parser panics,
//! reads on without an end, or changes its mind when more comes.

pub mod http;
mod judge;
pub mod rate;
mod rule;
pub mod tls;

pub use judge::{Sending, Standing, Verdict, judge};
pub use rule::HttpRule;

/// So many bytes are looked at; a head, or a `ClientHello`, that is longer is none. Servers have
/// limits of 8 to 16 KiB for the one, and post-quantum keys make 2 KiB of the other.
pub const LONGEST: usize = 16 * 1024;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// All of it is there, and plausible.
    Whole(T),
    /// So far it may become one.
    Incomplete,
    /// Whatever follows, it is none.
    Broken(&'static str),
}
