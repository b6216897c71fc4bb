//! The time of a line of an access log, in seconds since 1970.

use std::str;

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde::Deserialize;

/// What a line tells, whatever format it is in.
pub(super) fn time(line: &[u8]) -> Option<f64> {
    let line = line.trim_ascii();
    if line.first() == Some(&b'{') { json(line) } else { bracketed(line).or_else(|| first(line)) }
}

/// `[10/Oct/2000:13:55:36 -0700]`, the time of the common log format, and of all made from it. A user's
/// name may stand before it, with brackets of its own.
fn bracketed(line: &[u8]) -> Option<f64> {
    let open = line.iter().enumerate().filter(|(_, byte)| **byte == b'[').map(|(at, _)| at);
    open.take(MOST_BRACKETS).find_map(|at| {
        let text = str::from_utf8(line.get(at + 1..at + 1 + CLF.len())?).ok()?;
        if line.get(at + 1 + CLF.len()) != Some(&b']') {
            return None;
        }
        let time = strtime::parse("%d/%b/%Y:%H:%M:%S %z", text).ok()?.to_timestamp().ok()?;
        Some(seconds(time))
    })
}

/// A time as long as any of the format.
const CLF: &str = "10/Oct/2000:13:55:36 -0700";

/// In a line that somebody has filled with brackets no more are tried.
const MOST_BRACKETS: usize = 16;

/// The first word: seconds since 1970, or RFC 3339 (of two words, perhaps).
fn first(line: &[u8]) -> Option<f64> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (first, second) = (str::from_utf8(words.next()?).ok()?, words.next());
    if let Ok(number) = first.parse() {
        return epoch(number);
    }
    if let Some(time) = rfc3339(first) {
        return Some(time);
    }
    rfc3339(&format!("{first}T{}", str::from_utf8(second?).ok()?))
}

fn rfc3339(text: &str) -> Option<f64> {
    text.parse::<Timestamp>().ok().map(seconds)
}

/// Caddy's `ts`; Traefik's `StartUTC`; `time` and the like of others.
#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    ts: Option<Value<'a>>,
    #[serde(rename = "StartUTC", borrow)]
    start_utc: Option<Value<'a>>,
    #[serde(borrow)]
    time: Option<Value<'a>>,
    #[serde(borrow)]
    timestamp: Option<Value<'a>>,
    #[serde(rename = "@timestamp", borrow)]
    at_timestamp: Option<Value<'a>>,
    #[serde(borrow)]
    time_iso8601: Option<Value<'a>>,
    #[serde(borrow)]
    msec: Option<Value<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value<'a> {
    Number(f64),
    Text(&'a str),
    Other(serde::de::IgnoredAny),
}

fn json(line: &[u8]) -> Option<f64> {
    let json: Json<'_> = serde_json::from_slice(line).ok()?;
    let Json { ts, start_utc, time, timestamp, at_timestamp, time_iso8601, msec } = json;
    let values = [ts, start_utc, time, timestamp, at_timestamp, time_iso8601, msec];
    values.into_iter().flatten().find_map(|value| match value {
        Value::Number(number) => epoch(number),
        Value::Text(text) => text.parse().map_or_else(|_| rfc3339(text), epoch),
        Value::Other(_) => None,
    })
}

/// Seconds since 1970, or what is too large for that: milliseconds, microseconds or nanoseconds. What lies
/// before 1973 or so is rather a number that is no time.
fn epoch(number: f64) -> Option<f64> {
    let scales = [1.0, 1e3, 1e6, 1e9];
    scales.into_iter().map(|scale| number / scale).find(|time| (1e8..1e11).contains(time))
}

#[expect(clippy::cast_precision_loss, reason = "a microsecond is exact enough")]
fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(line: &str) -> Option<f64> {
        time(line.as_bytes()).map(|time| (time * 1e3).round() / 1e3)
    }

    #[test]
    fn access_logs() {
        let combined =
            r#"203.0.113.7 - ann [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 2326 "-" "x""#;
        assert_eq!(told(combined), Some(971_211_336.0));
        let odd = r#"203.0.113.7 - [a[b] [10/Oct/2000:20:55:36 +0000] "GET /[x] HTTP/1.1" 200 1"#;
        assert_eq!(told(odd), Some(971_211_336.0));
        let traefik = r#"10.0.0.1 - - [01/Jun/2024:10:00:00 +0000] "GET / HTTP/2.0" 200 5 "-" "-" 1 "r@docker" "http://172.17.0.2:80" 2ms"#;
        assert_eq!(told(traefik), Some(1_717_236_000.0));
    }

    #[test]
    fn json_of_several_servers() {
        let caddy = r#"{"level":"info","ts":1646861401.5241024,"logger":"http.log.access","request":{"uri":"/"}}"#;
        assert_eq!(told(caddy), Some(1_646_861_401.524));
        let traefik = r#"{"ClientAddr":"10.0.0.1:1","StartUTC":"2024-06-01T10:00:00.5Z","time":"2024-06-01T12:00:01+02:00"}"#;
        assert_eq!(told(traefik), Some(1_717_236_000.5));
        assert_eq!(told(r#"{"ts":"2024-06-01T10:00:00Z"}"#), Some(1_717_236_000.0));
        assert_eq!(told(r#"{"msec":"1717236000.250","uri":"/"}"#), Some(1_717_236_000.25));
        assert_eq!(told(r#"{"ts":{"a":1},"time":1717236000}"#), Some(1_717_236_000.0));
        assert_eq!(told(r#"{"uri":"/"}"#), None);
        assert_eq!(told(r#"{"ts":16468"#), None);
    }

    #[test]
    fn a_time_a_line() {
        assert_eq!(told("1717236000.125"), Some(1_717_236_000.125));
        assert_eq!(told("  1717236000 host sshd[1]: x"), Some(1_717_236_000.0));
        assert_eq!(told("1717236000125"), Some(1_717_236_000.125));
        assert_eq!(told("2024-06-01T12:00:00+02:00 GET /"), Some(1_717_236_000.0));
        assert_eq!(told("2024-06-01T12:00:00+0200 host"), Some(1_717_236_000.0));
        assert_eq!(told("2024-06-01 10:00:00Z"), Some(1_717_236_000.0));
        for bad in ["200", "-5", "nan", "inf", "GET /", "2024-06-01", "[", "31/Feb", "1e300"] {
            assert_eq!(told(bad), None, "{bad}");
        }
        assert_eq!(time(&[0xff, 0xfe, b'[']), None);
    }

    proptest! {
        /// Whatever is in a line: it has a time that makes sense, or none.
        #[test]
        fn any_bytes_are_a_line(
            head in prop::sample::select(vec!["", "{\"ts\":", "[", "[10/Oct/2000:13:55:36 -0700", "17"]),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let line = [head.as_bytes(), &bytes].concat();
            prop_assert!(time(&line).is_none_or(f64::is_finite));
        }
    }
}
