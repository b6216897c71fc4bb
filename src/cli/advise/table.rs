//! What has come of each window, for people.

use std::fmt::Write;

use super::rows::{Advice, Row};

const HEAD: [&str; 8] =
    ["WINDOW", "SLEEP", "COLD STARTS", "WAITS", "ASLEEP", "GiB·h SAVED", "COST", ""];

/// What was replayed, a line for each window, and what to make of it.
pub(super) fn table(advice: &Advice) -> String {
    let mut text = head(advice);
    let rows: Vec<[String; 8]> = std::iter::once(HEAD.map(str::to_owned))
        .chain(advice.rows.iter().map(|row| cells(row, advice)))
        .collect();
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text + "\n" + &verdict(advice)
}

fn head(advice: &Advice) -> String {
    let mut text = format!("{} gaps between uses, {} in all", advice.gaps, time(advice.seconds));
    match advice.not_understood {
        0 => {}
        1 => text.push_str("; 1 line was not understood"),
        lines => _ = write!(text, "; {lines} lines were not understood"),
    }
    let Advice { cold_start_seconds, memory_bytes, price_seconds, .. } = advice;
    _ = write!(
        text,
        "\na cold start takes {}, and is worth {} of being awake, as a sleep frees {} MiB\n\n",
        time(*cold_start_seconds),
        time(*price_seconds),
        memory_bytes >> 20,
    );
    text
}

fn cells(row: &Row, advice: &Advice) -> [String; 8] {
    let part = |seconds: f64| format!("{:.1} %", 100.0 * seconds / advice.seconds.max(1e-9));
    let asleep = match row.paused_seconds {
        0.0 => part(row.stopped_seconds),
        paused => format!("{} + {} paused", part(row.stopped_seconds), part(paused)),
    };
    let mark = match (row.cheapest, row.last_window_seconds) {
        (true, None) => "cheapest".to_owned(),
        (false, None) => String::new(),
        (true, Some(last)) => format!("cheapest, {} at last", time(last)),
        (false, Some(last)) => format!("{} at last", time(last)),
    };
    [
        row.window.clone(),
        row.sleep.clone(),
        match row.resumes {
            0 => row.cold_starts.to_string(),
            resumes => format!("{} + {resumes} from pause", row.cold_starts),
        },
        time(row.waited_seconds),
        asleep,
        format!("{:.1}", row.gib_hours_saved),
        time(row.cost_seconds),
        mark,
    ]
}

/// The best window in hindsight, and auto beside it.
fn verdict(advice: &Advice) -> String {
    let best = advice.best;
    let mut text = format!(
        "The best fixed window from {} to {} would have been {}, at a cost of {}",
        time(advice.idle_min_seconds),
        time(advice.idle_max_seconds),
        time(best.window_seconds),
        time(best.cost_seconds),
    );
    let auto = advice.rows.iter().find(|row| row.last_window_seconds.is_some());
    if let Some(auto) = auto {
        let ratio = auto.cost_seconds / best.cost_seconds.max(1e-9);
        _ = write!(text, "; auto, which could not know, costs {ratio:.2} times that");
    }
    text + ".\n"
}

const UNITS: [(f64, &str); 4] = [(86_400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s")];

/// Two units are enough: `3d 20h`, `4m 10s`, `2.5s`.
pub(super) fn time(seconds: f64) -> String {
    if seconds < 9.95 {
        let text = format!("{seconds:.1}");
        return format!("{}s", text.strip_suffix(".0").unwrap_or(&text));
    }
    let mut rest = seconds.round();
    let mut words = Vec::new();
    for (unit, name) in UNITS {
        let count = (rest / unit).floor();
        rest -= count * unit;
        if count > 0.0 {
            words.push(format!("{count:.0}{name}"));
        } else if !words.is_empty() {
            break;
        }
        if words.len() == 2 {
            break;
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        assert_eq!(time(0.0), "0s");
        assert_eq!(time(0.05), "0.1s");
        assert_eq!(time(9.97), "10s");
        assert_eq!(time(59.6), "1m");
        assert_eq!(time(3725.0), "1h 2m");
        assert_eq!(time(3605.0), "1h");
        assert_eq!(time(90_061.0), "1d 1h");
    }
}
