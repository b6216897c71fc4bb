//! Durations as people write them: `90s`, `15m`, `1h 30m`, `250ms`.

use std::time::Duration;

pub use crate::activation::Window;

/// A duration; zero is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|error| format!("{error}; like 90s, 15m or 1h"))
}

/// A duration of more than nothing.
pub fn parse_positive(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration.is_zero() { Err("must be more than 0s".to_owned()) } else { Ok(duration) }
}

/// A duration that the kernel's keepalive timers can hold: 1 s to 32767 s (tcp(7)).
pub fn parse_keepalive(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if (1..=32767).contains(&duration.as_secs()) {
        Ok(duration)
    } else {
        Err("must be from 1s to 32767s".to_owned())
    }
}

/// `--idle-timeout`: a window, or that one is to be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleTimeout {
    /// This one.
    Fixed(Window),
    /// The one that costs least, by what has been.
    Auto,
}

/// A duration, `infinity`, or `auto`.
pub fn parse_window(text: &str) -> Result<IdleTimeout, String> {
    match text.trim() {
        "infinity" => Ok(IdleTimeout::Fixed(Window::Never)),
        "auto" => Ok(IdleTimeout::Auto),
        text => {
            let window = parse_duration(text).map(|time| IdleTimeout::Fixed(Window::After(time)));
            window.map_err(|error| {
                format!(
                    "{error}, 0s (with the last connection), infinity (never) or auto (chosen by \
                     what has been)"
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_durations_or_infinity() {
        let after = |seconds| Ok(IdleTimeout::Fixed(Window::After(Duration::from_secs(seconds))));
        assert_eq!(parse_window("15m"), after(900));
        assert_eq!(parse_window("0s"), after(0));
        assert_eq!(parse_window("infinity"), Ok(IdleTimeout::Fixed(Window::Never)));
        assert_eq!(parse_window("auto"), Ok(IdleTimeout::Auto));
        assert!(parse_window("soon").unwrap_err().contains("infinity"));
        assert!(parse_positive("0s").is_err());
        assert!(parse_keepalive("10h").is_err());
    }
}
