//! Hours of the week in a time zone.
//!
//! Pure but for the zone's rules, which come from the system's or the built-in database when a text
//! is parsed, and do not change afterwards.
//!
//! A window goes from the first moment when the zone's clocks show its beginning to the last one when
//! they show its end, or from and to the jump, where they leave that out. So an hour that comes twice
//! belongs to it both times, it is never cut in two, and one that lies in a jump as a whole is left out
//! on that day.

mod local;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Every window has come again after so many days, even if the clocks leave one out.
const HORIZON: i64 = 16;

/// A window may have begun so many days ago: it is a day long, and the clocks may leave one out.
const LONGEST: i64 = 3;

/// Hours of the week, like `Mon-Fri 08:00-18:00 Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weekly {
    text: String,
    days: Days,
    windows: Vec<Window>,
    zone: TimeZone,
}

/// Days of the week, a bit each, from Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days(u8);

/// Seconds of the day on which it begins; the end is later than the beginning, by a day at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    begins: u32,
    ends: u32,
}

/// From a moment to another, which is no longer part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval {
    from: Timestamp,
    to: Timestamp,
}

/// Whether `now` lies in one of `all`.
pub fn covers(all: &[Weekly], now: Timestamp) -> bool {
    around(all, now, 0).any(|interval| interval.contains(now))
}

/// When [`covers`] says otherwise next; `None` is never.
pub fn next_change(all: &[Weekly], now: Timestamp) -> Option<Timestamp> {
    if !covers(all, now) {
        let later = around(all, now, HORIZON).filter(|interval| interval.from > now);
        return later.map(|interval| interval.from).min();
    }
    let mut intervals: Vec<Interval> =
        around(all, now, HORIZON).filter(|interval| interval.to > now).collect();
    intervals.sort_unstable_by_key(|interval| interval.from);
    let mut end = now;
    for interval in intervals {
        if interval.from > end {
            return Some(end);
        }
        end = end.max(interval.to);
    }
    // There was no gap: in so many days, each of the week's would have come.
    None
}

/// The intervals of `all` that may contain `now`, and those that begin within so many days.
fn around(all: &[Weekly], now: Timestamp, days: i64) -> impl Iterator<Item = Interval> {
    all.iter().flat_map(move |weekly| {
        let today = weekly.zone.to_datetime(now).date();
        // A day more: it may be tomorrow elsewhere.
        let dates = (-LONGEST..=days + 1).filter_map(move |far| day(today, far));
        dates
            .filter(|date| weekly.days.contains(date.weekday()))
            .flat_map(|date| weekly.windows.iter().map(move |window| (date, *window)))
            .filter_map(|(date, window)| weekly.interval(date, window))
    })
}

fn day(from: Date, days: i64) -> Option<Date> {
    from.checked_add(Span::new().try_days(days).ok()?).ok()
}

impl Weekly {
    /// Whether `now` is one of these hours.
    pub fn covers(&self, now: Timestamp) -> bool {
        covers(std::slice::from_ref(self), now)
    }

    /// When that changes next; `None` is never.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        next_change(std::slice::from_ref(self), now)
    }

    /// A moment as the clocks of its zone show it, for people: `Mon 2026-11-23 18:00 +01:00`.
    pub fn show(&self, moment: Timestamp) -> String {
        let shown = moment.to_zoned_datetime(self.zone.clone());
        let seconds = if shown.second() == 0 { "" } else { ":%S" };
        shown.strftime(&format!("%a %Y-%m-%d %H:%M{seconds} %:z")).to_string()
    }

    /// The window of that day; none if the clocks leave it out.
    fn interval(&self, date: Date, window: Window) -> Option<Interval> {
        let from = local::first(&self.zone, date, window.begins)?;
        let to = local::last(&self.zone, date, window.ends)?;
        (from < to).then_some(Interval { from, to })
    }
}

/// As it was written.
impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Days {
    const ALL: Self = Self(0b111_1111);

    fn contains(self, day: Weekday) -> bool {
        self.0 >> day.to_monday_zero_offset() & 1 == 1
    }
}

impl Interval {
    fn contains(&self, moment: Timestamp) -> bool {
        self.from <= moment && moment < self.to
    }
}
