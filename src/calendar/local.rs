//! From what clocks show to moments.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The smallest step of a window.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The first moment when clocks show so many seconds after the beginning of `date`, or the jump that
/// leaves that out.
pub(super) fn first(zone: &TimeZone, date: Date, seconds: u32) -> Option<Timestamp> {
    let shown = at(date, seconds)?;
    let moment = zone.to_ambiguous_timestamp(shown);
    match moment.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => moment.earlier().ok(),
        AmbiguousOffset::Gap { after, .. } => jump(zone, shown, after),
    }
}

/// The last moment up to which clocks have shown less than that, or the jump that leaves it out.
///
/// It is one second after the one before it was shown: where the clocks go back from 03:00 to 02:00,
/// they show 02:00 twice, and what ends at 02:00 has ended with the first time.
pub(super) fn last(zone: &TimeZone, date: Date, seconds: u32) -> Option<Timestamp> {
    let shown = at(date, seconds)?.checked_sub(SECOND).ok()?;
    let moment = zone.to_ambiguous_timestamp(shown);
    match moment.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            moment.later().ok()?.checked_add(SECOND).ok()
        }
        AmbiguousOffset::Gap { after, .. } => jump(zone, shown, after),
    }
}

fn at(date: Date, seconds: u32) -> Option<DateTime> {
    date.to_datetime(jiff::civil::Time::midnight())
        .checked_add(SignedDuration::from_secs(seconds.into()))
        .ok()
}

/// The moment when the clocks jump over `skipped`, to the offset `after`.
fn jump(zone: &TimeZone, skipped: DateTime, after: Offset) -> Option<Timestamp> {
    // With the later offset it is before the jump, with the earlier one after it.
    let before = zone.to_ambiguous_timestamp(skipped).earlier().ok()?;
    zone.following(before).find(|change| change.offset() == after).map(|change| change.timestamp())
}
