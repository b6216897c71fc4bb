//! Services as a table for people.

use std::time::Duration;

use crate::admin::ServiceView;

const COLUMNS: usize = 11;

const HEAD: [&str; COLUMNS] = [
    "NAME",
    "STATE",
    "SINCE",
    "CONNECTIONS",
    "WAITING",
    "SLEEPS IN",
    "ASLEEP",
    "WAKES",
    "P50",
    "P95",
    "GIB-H SAVED",
];

/// A line for each, under a head.
pub(super) fn table(services: &[ServiceView]) -> Vec<u8> {
    let rows: Vec<[String; COLUMNS]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(services.iter().map(row)).collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.into_bytes()
}

fn row(service: &ServiceView) -> [String; COLUMNS] {
    let sleeps = match (service.sleeps_in_seconds, service.awake_because) {
        (Some(seconds), _) => time(seconds),
        (None, Some(because)) => format!("- ({})", because.words()),
        (None, None) if service.kept_asleep_seconds.is_some() => "- (kept asleep)".to_owned(),
        (None, None) => "-".to_owned(),
    };
    let so_far = &service.so_far;
    [
        service.name.clone(),
        service.state.word().to_owned(),
        time(service.since_seconds),
        service.connections.to_string(),
        service.waiting.to_string(),
        sleeps,
        time(so_far.asleep_seconds),
        so_far.woken.to_string(),
        so_far.wake_p50_seconds.map_or_else(|| "-".to_owned(), span),
        so_far.wake_p95_seconds.map_or_else(|| "-".to_owned(), span),
        format!("{:.1}", so_far.saved_gib_hours),
    ]
}

/// Three digits: `850ms`, `1.24s`.
fn span(seconds: f64) -> String {
    if seconds < 0.9995 {
        format!("{:.0}ms", seconds * 1000.0)
    } else if seconds < 9.995 {
        format!("{seconds:.2}s")
    } else {
        format!("{seconds:.1}s")
    }
}

/// Two units are enough: `3h 20m`.
fn time(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let text = humantime::format_duration(Duration::from_secs(whole)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Because, SoFarView, StateWord};

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let service = |name: &str, awake_because, sleeps_in_seconds| ServiceView {
            kept_asleep_seconds: None,
            name: name.to_owned(),
            container: name.to_owned(),
            state: StateWord::Awake,
            since_seconds: 12_061.5,
            connections: 0,
            waiting: 0,
            sleeps_in_seconds,
            awake_because,
            woken: 1,
            last_wake: None,
            last_failure: None,
            idle_window_seconds: Some(900.0),
            why: String::new(),
            so_far: SoFarView {
                woken: 12,
                asleep_seconds: 266_400.0,
                saved_gib_hours: 18.52,
                wake_p50_seconds: Some(0.8504),
                wake_p95_seconds: Some(1.243),
                ..SoFarView::default()
            },
        };
        let services = [
            service("gitea", Some(Because::IdleWindow), Some(899.6)),
            service("a-longer-name", Some(Because::Held), None),
        ];
        let text = String::from_utf8(table(&services)).unwrap();
        assert_eq!(
            text,
            "NAME           STATE  SINCE   CONNECTIONS  WAITING  SLEEPS IN  ASLEEP    WAKES  P50    P95    GIB-H SAVED\n\
             gitea          awake  3h 21m  0            0        14m 59s    3days 2h  12     850ms  1.24s  18.5\n\
             a-longer-name  awake  3h 21m  0            0        - (held)   3days 2h  12     850ms  1.24s  18.5\n"
        );
    }
}
