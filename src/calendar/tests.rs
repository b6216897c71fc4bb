mod brute;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn weekly(text: &str) -> Weekly {
    Weekly::parse(text).unwrap()
}

/// The intervals that begin in those days, as its own clocks show them.
fn intervals(text: &str, from: &str, to: &str) -> Vec<(String, String)> {
    let (weekly, mut now, to) = (weekly(text), at(from), at(to));
    let mut all = Vec::new();
    while let Some(change) = weekly.next_change(now).filter(|change| *change < to) {
        if !weekly.covers(now) {
            let end = weekly.next_change(change).unwrap();
            let length = end.duration_since(change);
            assert!(length.is_positive());
            all.push((weekly.show(change), weekly.show(end)));
        }
        now = change;
    }
    all
}

fn shown(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

#[test]
fn working_hours_are_five_a_week() {
    let all = intervals(
        "Mon-Fri 08:00-18:00 Europe/Berlin",
        "2026-11-20T12:00:00Z",
        "2026-11-24T12:00:00Z",
    );
    let wanted = [
        ("Mon 2026-11-23 08:00 +01:00", "Mon 2026-11-23 18:00 +01:00"),
        ("Tue 2026-11-24 08:00 +01:00", "Tue 2026-11-24 18:00 +01:00"),
    ];
    assert_eq!(all, shown(&wanted));
    let weekly = weekly("Mon-Fri 08:00-18:00 Europe/Berlin");
    assert!(weekly.covers(at("2026-11-23T07:00:00Z")), "the beginning belongs to it");
    assert!(!weekly.covers(at("2026-11-23T17:00:00Z")), "the end does not");
}

#[test]
fn an_end_before_the_beginning_is_on_the_next_day() {
    let all =
        intervals("sunday 22:00-06:00:30 UTC", "2026-11-20T00:00:00Z", "2026-11-28T00:00:00Z");
    let wanted = [("Sun 2026-11-22 22:00 +00:00", "Mon 2026-11-23 06:00:30 +00:00")];
    assert_eq!(all, shown(&wanted));
    let all = intervals("Wed 12:00-12:00 UTC", "2026-11-20T00:00:00Z", "2026-11-28T00:00:00Z");
    let wanted = [("Wed 2026-11-25 12:00 +00:00", "Thu 2026-11-26 12:00 +00:00")];
    assert_eq!(all, shown(&wanted), "the same time is a whole day");
}

#[test]
fn days_wrap_and_windows_that_touch_are_one() {
    let all = intervals("Fri-Mon 00:00-24:00 UTC", "2026-11-18T00:00:00Z", "2026-11-28T00:00:00Z");
    let wanted = [
        ("Fri 2026-11-20 00:00 +00:00", "Tue 2026-11-24 00:00 +00:00"),
        ("Fri 2026-11-27 00:00 +00:00", "Tue 2026-12-01 00:00 +00:00"),
    ];
    assert_eq!(all, shown(&wanted));
    let always = weekly("00:00-09:00,09:00-24:00 America/New_York");
    assert!(always.covers(at("2026-03-08T07:00:00Z")));
    assert_eq!(always.next_change(at("2026-03-01T00:00:00Z")), None);
    assert_eq!(next_change(&[], at("2026-03-01T00:00:00Z")), None);
}

#[test]
fn spring_forward_begins_with_the_jump() {
    let days = ("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
    let of = |text: &str| intervals(&format!("{text} Europe/Berlin"), days.0, days.1);
    let jump = "Sun 2026-03-29 03:00 +02:00";
    assert_eq!(of("02:30-03:30"), shown(&[(jump, "Sun 2026-03-29 03:30 +02:00")]));
    assert_eq!(of("01:30-02:30"), shown(&[("Sun 2026-03-29 01:30 +01:00", jump)]));
    assert_eq!(of("02:00-03:00"), shown(&[]), "it is not shown on that day");
    assert_eq!(of("02:15-02:45"), shown(&[]));
    let next = weekly("02:15-02:45 Europe/Berlin").next_change(at("2026-03-29T00:00:00Z"));
    assert_eq!(next, Some(at("2026-03-30T00:15:00Z")), "it is on the next");
    let next = weekly("Sun 02:15-02:45 Europe/Berlin").next_change(at("2026-03-28T00:00:00Z"));
    assert_eq!(next, Some(at("2026-04-05T00:15:00Z")), "or in the next week");
}

#[test]
fn fall_back_has_the_hour_twice() {
    let days = ("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
    let of = |text: &str| intervals(&format!("{text} Europe/Berlin"), days.0, days.1);
    let (first, second) = ("Sun 2026-10-25 02:30 +02:00", "Sun 2026-10-25 02:30 +01:00");
    assert_eq!(of("02:30-03:30"), shown(&[(first, "Sun 2026-10-25 03:30 +01:00")]));
    assert_eq!(of("01:30-02:30"), shown(&[("Sun 2026-10-25 01:30 +02:00", second)]));
    // At the second 02:00 it has been over for an hour.
    let wanted = [("Sun 2026-10-25 01:00 +02:00", "Sun 2026-10-25 02:00 +01:00")];
    let before = of("01:00-02:00");
    let end = weekly("01:00-02:00 Europe/Berlin").next_change(at("2026-10-24T23:30:00Z"));
    assert_eq!(end, Some(at("2026-10-25T00:00:00Z")));
    assert_ne!(before, shown(&wanted));
    let wanted = [("Sun 2026-10-25 02:00 +02:00", "Sun 2026-10-25 03:00 +01:00")];
    assert_eq!(of("02:00-03:00"), shown(&wanted));
}

#[test]
fn a_day_that_an_island_left_out_costs_one_window() {
    // Samoa went from Thursday, the 29th, to Saturday, the 31st.
    let all = intervals("08:00-18:00 Pacific/Apia", "2011-12-29T12:00:00Z", "2012-01-01T00:00:00Z");
    let wanted = [
        ("Thu 2011-12-29 08:00 -10:00", "Thu 2011-12-29 18:00 -10:00"),
        ("Sat 2011-12-31 08:00 +14:00", "Sat 2011-12-31 18:00 +14:00"),
        ("Sun 2012-01-01 08:00 +14:00", "Sun 2012-01-01 18:00 +14:00"),
    ];
    assert_eq!(all, shown(&wanted));
}

#[test]
fn the_leap_day_is_a_day() {
    let all = intervals("Tue 06:00-07:00 UTC", "2028-02-28T00:00:00Z", "2028-03-02T00:00:00Z");
    let wanted = [("Tue 2028-02-29 06:00 +00:00", "Tue 2028-02-29 07:00 +00:00")];
    assert_eq!(all, shown(&wanted));
}

#[test]
fn the_end_of_time_is_no_panic() {
    let weekly = weekly("23:00-01:00 Asia/Kathmandu");
    for now in [Timestamp::MIN, Timestamp::MAX] {
        weekly.covers(now);
        weekly.next_change(now);
    }
}

#[test]
fn many_spellings_mean_the_same() {
    let same = |one: &str, other: &str| {
        let (one, other) = (weekly(one), weekly(other));
        assert_eq!((one.days, one.windows, one.zone), (other.days, other.windows, other.zone));
    };
    same("Mon-Fri 08:00-18:00 Europe/Berlin", " monday - FRIDAY 8:00 - 18:00:00 europe/berlin ");
    same("Sat, Sun 08:00-12:00 , 13:00-18:00 UTC", "Sun,Sat 08:00-12:00,13:00-18:00 UTC");
    same("Mon-Sun 00:00-24:00 UTC", "00:00-00:00 UTC");
    same("Fri-Mon 01:00-02:00 UTC", "Fri,Sat,Sun,Mon 01:00-02:00 UTC");
}

#[test]
fn mistakes_are_told_with_what_is_allowed() {
    for (text, said) in [
        ("", "its hours are missing"),
        ("Mon-Fri", "its hours are missing"),
        ("Mon-Fri Europe/Berlin", "its hours are missing"),
        ("Moonday 08:00-18:00", "\"Moonday\" is no day of the week"),
        ("Mon- 08:00-18:00", "is no day of the week"),
        ("Mo-Fr 08:00-18:00", "\"Mo\" is no day of the week"),
        ("08:00", "\"08:00\" has no end"),
        ("08:00-25:00", "\"25:00\" is no time of the day"),
        ("08:00-24:01", "\"24:01\" is no time of the day"),
        ("24:00-08:00", "only an end may be 24:00"),
        ("08:00-12:60", "\"12:60\" is no time of the day"),
        ("8-18", "\"8\" is no time of the day"),
        ("08:0-18:00", "\"08:0\" is no time of the day"),
        ("08:00-18:00:5", "is no time of the day"),
        ("08:00-+9:00", "is no time of the day"),
        ("08:00-12:00,", "\"\" has no end"),
        ("08:00-18:00 Mars/Phobos", "\"Mars/Phobos\" is no time zone"),
        ("08:00-18:00 UTC Mon", "\"Mon\" is too much"),
        ("Mon-Fri-Sun 08:00-18:00", "is no day of the week"),
        ("Ünday 08:00-18:00", "is no day of the week"),
    ] {
        let error = Weekly::parse(text).unwrap_err();
        assert!(
            error.contains(said)
                && error.contains("like") | error.contains("zones are") | error.contains("00:00"),
            "{text:?}: {error}"
        );
    }
}
