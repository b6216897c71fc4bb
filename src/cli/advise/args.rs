//! What `advise` is asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::activation::Tiers;
use crate::config::bytes::parse_bytes;
use crate::config::duration::{IdleTimeout, parse_duration, parse_positive, parse_window};
use crate::config::rules::depth;

/// What `advise` replays, and against what.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true))]
pub struct AdviseArgs {
    /// The service of the history; it may be left out if there is only one
    #[arg(conflicts_with = "log")]
    pub name: Option<String>,

    /// The daemon's history
    #[arg(long, value_name = "FILE", group = "source")]
    pub history: Option<PathBuf>,

    /// An access log (common or combined format of nginx, Apache and Traefik, JSON of Caddy and Traefik),
    /// or a time a line (RFC 3339, or seconds since 1970); - is standard input; repeatable
    #[arg(long, value_name = "FILE", group = "source")]
    pub log: Vec<PathBuf>,

    /// The idle windows to compare: durations, infinity or auto
    #[arg(long, value_name = "DURATION", value_delimiter = ',', value_parser = parse_window,
          default_value = "1m,5m,15m,1h,auto,infinity")]
    pub windows: Vec<IdleTimeout>,

    /// How deep it sleeps, as --sleep of the daemon says it; repeatable, all with each window
    #[arg(long, value_name = "HOW", value_parser = depth, default_value = "stop")]
    pub sleep: Vec<Tiers>,

    /// How long a cold start takes [default: what the history says, else 3s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub cold_start: Option<Duration>,

    /// How much memory it frees when it sleeps [default: what the history says, else 512MiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_memory)]
    pub memory: Option<u64>,

    /// How much of its memory a paused service gives back: what --reclaim gets of it
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, default_value = "0%")]
    pub reclaimed: f64,

    /// What a cold start is worth: so long of being awake, of a service that frees 1 GiB when it sleeps
    #[arg(long, value_name = "DURATION", value_parser = parse_positive, default_value = "60s")]
    pub cold_start_worth: Duration,

    /// The shortest window that auto may choose
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    pub idle_min: Duration,

    /// The longest window that auto may choose
    #[arg(long, value_name = "DURATION", value_parser = parse_positive, default_value = "2h")]
    pub idle_max: Duration,

    /// Draw cost, cold starts and free memory against the window, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `512MiB`, `1.5GiB` or `800MB`.
fn parse_memory(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no amount of memory, like 512MiB, 1.5GiB or 800MB");
    parse_bytes(text).ok_or_else(wrong)
}

/// `70%`, as a part of one.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        Some(_) | None => Err(format!("{text:?} is no part of the whole, like 70%")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::rules::{DEFAULT_LEAST, DEFAULT_MOST, DEFAULT_WORTH};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: AdviseArgs,
    }

    #[test]
    fn the_trade_is_that_of_the_daemon_if_none_is_said() {
        let AdviseArgs { idle_min, idle_max, cold_start_worth, .. } =
            Line::parse_from(["advise", "--log", "-"]).args;
        assert_eq!(
            (idle_min, idle_max, cold_start_worth),
            (DEFAULT_LEAST, DEFAULT_MOST, DEFAULT_WORTH)
        );
    }

    #[test]
    fn amounts_and_parts_have_units() {
        assert_eq!(parse_memory("512MiB"), Ok(512 << 20));
        assert_eq!(parse_memory("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_memory("800MB"), Ok(800_000_000));
        for bad in ["", "512", "MiB", "0MiB", "-1MiB", "1e3MiB", "1TiB"] {
            assert!(parse_memory(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_percent("70%"), Ok(0.7));
        for bad in ["", "70", "101%", "-1%", "nan%"] {
            assert!(parse_percent(bad).is_err(), "{bad}");
        }
    }
}
