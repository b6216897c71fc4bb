//! `--idle-timeout auto`: what it may choose from, and what it weighs.

use std::time::Duration;

use crate::config::duration::{IdleTimeout, Window};
use crate::config::{Options, Wrong};

/// The bounds of the window, and the trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auto {
    /// No window is shorter.
    pub least: Duration,
    /// No window is longer.
    pub most: Duration,
    /// A cold start is worth so long of being awake, of a service that frees 1 GiB when it sleeps.
    pub worth: Duration,
}

/// `--cold-start-worth`
pub const DEFAULT_WORTH: Duration = Duration::from_secs(60);
/// `--idle-min`
pub const DEFAULT_LEAST: Duration = Duration::from_secs(10);
/// `--idle-max`
pub const DEFAULT_MOST: Duration = Duration::from_secs(2 * 3600);

/// The idle window to begin with, and how it is chosen from then on if it is.
pub fn auto(options: &Options, default: Window) -> Result<(Window, Option<Auto>), Vec<Wrong>> {
    let window = match options.idle_timeout {
        None => default,
        Some(IdleTimeout::Fixed(window)) => window,
        Some(IdleTimeout::Auto) => {
            let auto = Auto {
                least: options.idle_min.unwrap_or(DEFAULT_LEAST),
                most: options.idle_max.unwrap_or(DEFAULT_MOST),
                worth: options.cold_start_worth.unwrap_or(DEFAULT_WORTH),
            };
            if auto.least > auto.most {
                let text = "is longer than idle-max: no window lies between them";
                return Err(vec![Wrong::new("idle-min", text)]);
            }
            return Ok((Window::After(auto.worth.clamp(auto.least, auto.most)), Some(auto)));
        }
    };
    let alone = [
        ("idle-min", options.idle_min.is_some()),
        ("idle-max", options.idle_max.is_some()),
        ("cold-start-worth", options.cold_start_worth.is_some()),
    ];
    let wrong: Vec<Wrong> = alone
        .into_iter()
        .filter(|(_, said)| *said)
        .map(|(key, _)| Wrong::new(key, "is of a window that is chosen: add --idle-timeout auto"))
        .collect();
    if wrong.is_empty() { Ok((window, None)) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Window = Window::After(Duration::from_secs(900));

    #[test]
    fn the_window_begins_with_the_trade_within_its_bounds() {
        let seconds = Duration::from_secs;
        let chosen = Options { idle_timeout: Some(IdleTimeout::Auto), ..Options::default() };
        let (window, bounds) = auto(&chosen, DEFAULT).unwrap();
        assert_eq!(window, Window::After(DEFAULT_WORTH));
        assert_eq!(bounds.unwrap().most, DEFAULT_MOST);
        let short = Options { idle_max: Some(seconds(20)), ..chosen.clone() };
        assert_eq!(auto(&short, DEFAULT).unwrap().0, Window::After(seconds(20)));
        let crossed = Options { idle_min: Some(seconds(30)), ..short };
        assert_eq!(auto(&crossed, DEFAULT).unwrap_err()[0].key, "idle-min");
        let alone = Options { idle_max: Some(seconds(20)), ..Options::default() };
        assert_eq!(auto(&alone, DEFAULT).unwrap_err()[0].key, "idle-max");
        assert_eq!(auto(&Options::default(), DEFAULT), Ok((DEFAULT, None)));
    }
}
