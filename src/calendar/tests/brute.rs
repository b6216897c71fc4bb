//! The same, minute by minute, from nothing but what the clocks show.

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Days, Weekly, Window, covers, next_change};
use super::*;

/// Jumps of an hour, of half of one, of two, at midnight, of a day, twice around Ramadan, never; and
/// offsets that are no whole hours.
const ZONES: [&str; 14] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "UTC",
];

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// So many minutes are compared, and so many before and after them are known.
const COMPARED: usize = 2 * 24 * 60;
const MARGIN: usize = 2 * 24 * 60;

/// For each minute: the latest that clocks have shown so far, and the earliest they will show, in
/// minutes since a day long ago.
fn shown(zone: &TimeZone, from: Timestamp) -> Vec<(i64, i64)> {
    let origin = jiff::civil::date(1970, 1, 1);
    let count = COMPARED + 2 * MARGIN;
    let mut now = from - SignedDuration::from_mins(i64::try_from(MARGIN).unwrap());
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let shown = zone.to_datetime(now);
        let days = shown.date().duration_since(origin).as_hours() / 24;
        let minute = days * 1440 + i64::from(shown.hour()) * 60 + i64::from(shown.minute());
        all.push((minute, minute));
        now += MINUTE;
    }
    for at in 1..count {
        all[at].0 = all[at].0.max(all[at - 1].0);
        all[count - 1 - at].1 = all[count - 1 - at].1.min(all[count - at].1);
    }
    all[MARGIN..MARGIN + COMPARED].to_vec()
}

/// Whether a window of a day has begun and has not ended: clocks have shown its beginning, and will
/// show less than its end.
fn is_in(weekly: &Weekly, (latest, earliest): (i64, i64)) -> bool {
    (earliest / 1440 - 3..=latest / 1440).any(|day| {
        // The first of January 1970 was a Thursday.
        let of_week = (day + 3).rem_euclid(7);
        weekly.days.0 >> of_week & 1 == 1
            && weekly.windows.iter().any(|window| {
                let begins = day * 1440 + i64::from(window.begins / 60);
                let ends = day * 1440 + i64::from(window.ends / 60);
                latest >= begins && earliest < ends
            })
    })
}

fn some_weekly() -> impl Strategy<Value = Weekly> {
    let window = (0..1440_u32, 1..=1440_u32)
        .prop_map(|(begins, length)| Window { begins: begins * 60, ends: (begins + length) * 60 });
    // Early hours, where clocks are set.
    let early = (0..240_u32, 1..=180_u32)
        .prop_map(|(begins, length)| Window { begins: begins * 60, ends: (begins + length) * 60 });
    let windows = prop::collection::vec(prop_oneof![window, early], 1..3);
    (1..128_u8, windows, select(&ZONES)).prop_map(|(days, windows, zone)| Weekly {
        text: String::new(),
        days: Days(days),
        windows,
        zone: TimeZone::get(zone).unwrap(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_minute_and_each_change_is_as_the_clocks_show_it(
        all in prop::collection::vec(some_weekly(), 1..4),
        year in 2009..2037_i16,
        which in 0..3_usize,
    ) {
        // Around a jump of the first zone, or a new year where it has none.
        let begin = jiff::civil::date(year, 1, 1).at(0, 0, 0, 0);
        let begin = TimeZone::UTC.to_timestamp(begin).unwrap();
        let jump = all[0].zone.following(begin).nth(which).map_or(begin, |jump| jump.timestamp());
        // A list of jumps may end with one that is none, at 2038-01-19T03:14:07Z.
        let jump = Timestamp::from_second(jump.as_second() / 60 * 60).unwrap();
        let from = jump - SignedDuration::from_hours(24);
        let clocks: Vec<_> = all.iter().map(|weekly| shown(&weekly.zone, from)).collect();
        let wanted: Vec<bool> = (0..COMPARED)
            .map(|at| all.iter().zip(&clocks).any(|(weekly, clock)| is_in(weekly, clock[at])))
            .collect();
        let time = |at: usize| from + SignedDuration::from_mins(i64::try_from(at).unwrap());
        let mut at = 0;
        while at < COMPARED {
            let now = time(at);
            prop_assert_eq!(covers(&all, now), wanted[at], "at {}", now);
            let change = (at..COMPARED).find(|later| wanted[*later] != wanted[at]);
            let told = next_change(&all, now);
            match change {
                Some(change) => prop_assert_eq!(told, Some(time(change)), "after {}", now),
                None => prop_assert!(told.is_none_or(|told| told >= time(COMPARED))),
            }
            // Each change, the minute before it, and some between.
            at = match change {
                Some(change) if change > at + 1 => (at + 97).min(change - 1),
                _ => at + 1,
            };
        }
    }
}
