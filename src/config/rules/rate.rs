//! `6/min`: so many at most in so long.

use std::time::Duration;

/// So many at most in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

impl Rate {
    /// `6/min`, `1/s`, `100/h`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no rate, like 6/min, 1/s, 100/h or 500/d");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per = match unit.trim() {
            "s" => 1,
            "min" | "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        Ok(Self { count, per: Duration::from_secs(per) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_counts_in_a_time() {
        let six = Rate { count: 6, per: Duration::from_secs(60) };
        assert_eq!(Rate::parse("6/min"), Ok(six));
        for bad in ["6", "0/min", "-1/s", "6/", "/s", "6/week", "1.5/s"] {
            assert!(Rate::parse(bad).is_err(), "{bad}");
        }
    }
}
