//! Services as a table for people.

use std::time::Duration;

use crate::admin::ServiceView;

const HEAD: [&str; 6] = ["NAME", "STATE", "SINCE", "CONNECTIONS", "WAITING", "SLEEPS IN"];

/// A line for each, under a head.
pub(super) fn table(services: &[ServiceView]) -> Vec<u8> {
    let rows: Vec<[String; 6]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(services.iter().map(row)).collect();
    let mut widths = [0; 6];
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

fn row(service: &ServiceView) -> [String; 6] {
    let sleeps = match (service.sleeps_in_seconds, service.awake_because) {
        (Some(seconds), _) => time(seconds),
        (None, Some(because)) => format!("- ({})", because.words()),
        (None, None) => "-".to_owned(),
    };
    [
        service.name.clone(),
        service.state.word().to_owned(),
        time(service.since_seconds),
        service.connections.to_string(),
        service.waiting.to_string(),
        sleeps,
    ]
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
    use crate::admin::{Because, StateWord};

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let service = |name: &str, awake_because, sleeps_in_seconds| ServiceView {
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
        };
        let services = [
            service("gitea", Some(Because::IdleWindow), Some(899.6)),
            service("a-longer-name", Some(Because::Held), None),
        ];
        let text = String::from_utf8(table(&services)).unwrap();
        assert_eq!(
            text,
            "NAME           STATE  SINCE   CONNECTIONS  WAITING  SLEEPS IN\n\
             gitea          awake  3h 21m  0            0        14m 59s\n\
             a-longer-name  awake  3h 21m  0            0        - (held)\n"
        );
    }
}
