//! `--sleep` and `--on-waiting-stop`: how deep a service sleeps, and how long clients wait for that.

use std::time::Duration;

use crate::activation::{Depth, Tiers};
use crate::config::duration::{parse_duration, parse_positive};

/// `stop`, `pause`, or `pause,stop=2h`.
pub fn depth(text: &str) -> Result<Tiers, String> {
    let allowed = || {
        format!(
            "{text:?} is none of stop, pause, or pause,stop=DURATION (paused after the idle window, \
             stopped so long after that)"
        )
    };
    let (first, then) = match text.split_once(',') {
        None => (text.trim(), None),
        Some((first, then)) => {
            let after = then.trim().strip_prefix("stop=").ok_or_else(allowed)?;
            (first.trim(), Some(parse_positive(after)?))
        }
    };
    match (first, then) {
        ("stop", None) => Ok(Tiers { first: Depth::Stop, deeper: None }),
        ("pause", deeper) => Ok(Tiers { first: Depth::Pause, deeper }),
        _ => Err(allowed()),
    }
}

/// `wait`, or `kill=5s`: after how long a wait behind a stop the container is killed.
pub fn on_waiting_stop(text: &str) -> Result<Option<Duration>, String> {
    match (text, text.strip_prefix("kill=")) {
        ("wait", _) => Ok(None),
        (_, Some(after)) => parse_duration(after).map(Some),
        _ => Err(format!("{text:?} is neither wait nor kill=DURATION, like kill=5s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_words_with_a_duration_between() {
        assert_eq!(depth("stop").unwrap(), Tiers { first: Depth::Stop, deeper: None });
        assert_eq!(depth("pause").unwrap(), Tiers { first: Depth::Pause, deeper: None });
        let deeper = Some(Duration::from_secs(7200));
        assert_eq!(depth("pause, stop=2h").unwrap(), Tiers { first: Depth::Pause, deeper });
        for bad in ["", "sleep", "stop,pause=1h", "pause,stop", "stop,stop=1h", "pause,stop=0s"] {
            assert!(depth(bad).is_err(), "{bad}");
        }
        assert_eq!(on_waiting_stop("wait"), Ok(None));
        assert_eq!(on_waiting_stop("kill=5s"), Ok(Some(Duration::from_secs(5))));
        for bad in ["", "kill", "kill=", "kill=soon", "waits"] {
            assert!(on_waiting_stop(bad).is_err(), "{bad}");
        }
    }
}
