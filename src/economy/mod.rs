//! What an idle window costs, and which one costs least: the mathematics of `--idle-timeout auto`.
//!
//! Pure: no clock, no I/O. The unit of everything is the second of being awake; a cold start has a
//! price in it ([`Terms::price`]).
//!
//! # The model
//!
//! A gap of `g` seconds between two uses costs, with a window of `w` seconds and a price `S`,
//! `cost(g, w) = g` if `g <= w` (it stays awake), else `w + S` (it sleeps, and starts again). Windows
//! lie within the bounds `[a, b]`. What no such window can undercut is `least(g)`: `g` up to `a`,
//! `min(g, a + S)` up to `b`, and `a + S` beyond. It is what somebody would pay who knows the gap
//! beforehand, so its sum `L` over all gaps is at most the cost of *any* fixed window within the bounds.
//!
//! # The choice
//!
//! - *The break-even window* is `e = S`, brought within the bounds. It never costs more than twice
//!   `least(g)`, whatever the gap. With `S` within the bounds: `g <= S` costs `g = least(g)`, any other
//!   `2 S`, and `least(g) >= S`. With `S < a = e`: `g <= a` costs `g`, any other `a + S < 2 a < 2 g`, and
//!   `a + S <= 2 (a + S)`, so at most twice either. With `S > b = e`: `g <= b` costs `g = least(g)`, any
//!   other `b + S < 2 S`, and `least(g) = a + S`.
//! - *The leader* is the window that would have cost least on the gaps seen last ([`MOST_GAPS`]).
//!
//! With `A`, what our windows have cost so far, the leader `w` is chosen only if
//! `A + w + S <= 2 L + (e + S)`, and else the break-even window.
//!
//! # The guarantee
//!
//! **`A <= 2 L + C` always, with `C` the greatest `e + S` so far: two cold starts, once in a life, if the
//! price lies within the bounds.** It holds before the first gap. The leader adds `w + S` at most, and was
//! chosen only if that stays below; `L` never falls. The break-even window adds at most twice
//! what it adds to `L`. Both hold gap by gap, so the price and the bounds may change between them.
//!
//! # Why not without the constant
//!
//! Be `A <= 2 L` all that is allowed, and a first gap just longer than its window `w`: it costs `w + S`, and
//! the best fixed window `min(w, S)`, so `w = S`. Then `A = 2 S = 2 L`, and the same again: whoever has only
//! met gaps just longer than `S` must take `S` for ever, and pay twice what sleeping at once would. So
//! nothing could be learnt from just the gaps that teach most.
//!
//! # What is left out
//!
//! Gaps up to `a` cost the same with every window. They are not remembered, so that the hundred
//! requests of one page do not push yesterday out, and they are in neither `A` nor `L`: counting them would
//! only weaken the guarantee.

mod cost;
mod ledger;
mod replay;
mod terms;

pub use cost::{best, cost, least};
pub use ledger::{Choice, Ledger, MOST_GAPS, Why};
pub use replay::{Figures, Plan, RESUME, Scene, replay};
pub use terms::Terms;
