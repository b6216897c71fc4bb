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

/// A duration, or `infinity`.
pub fn parse_window(text: &str) -> Result<Window, String> {
    match text.trim() {
        "infinity" => Ok(Window::Never),
        text => parse_duration(text)
            .map(Window::After)
            .map_err(|error| format!("{error}, 0s (with the last connection) or infinity (never)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_durations_or_infinity() {
        assert_eq!(parse_window("15m"), Ok(Window::After(Duration::from_secs(900))));
        assert_eq!(parse_window("0s"), Ok(Window::After(Duration::ZERO)));
        assert_eq!(parse_window("infinity"), Ok(Window::Never));
        assert!(parse_window("soon").unwrap_err().contains("infinity"));
        assert!(parse_positive("0s").is_err());
        assert!(parse_keepalive("10h").is_err());
    }
}
