//! `--activity`, `--silent-after`, `--silent`: what counts as use.

use std::time::Duration;

use clap::ValueEnum;

use crate::config::{Options, Wrong};

/// What keeps a service awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Activity {
    /// An open connection
    #[default]
    Connections,
    /// Bytes; a connection without any is none, and is closed when the service sleeps
    Traffic,
}

/// What a connection is worth that has been silent for `--silent-after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Silent {
    /// It no longer keeps the service awake, and is closed when that sleeps
    #[default]
    Ignore,
    /// It is closed at once
    Close,
    /// As much as any other
    Keep,
}

/// What becomes of connections without bytes; without either nobody watches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Silence {
    /// After so long it no longer keeps the service awake.
    pub doze: Option<Doze>,
    /// After so long it is closed.
    pub close: Option<Duration>,
}

/// When a connection no longer keeps the service awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doze {
    /// After so long a silence.
    pub after: Duration,
    /// What that does to the idle window.
    pub window: WindowFrom,
}

/// From when the idle window counts once a connection dozes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowFrom {
    /// From the last byte.
    LastByte,
    /// From the end of `--silent-after`.
    Then,
}

/// With `--activity traffic` a connection dozes after so long, so that one with steady traffic costs
/// the core nothing.
const TRAFFIC_DOZE: Duration = Duration::from_secs(1);

/// What the three options mean together.
pub fn silence(options: &Options) -> Result<Silence, Vec<Wrong>> {
    let activity = options.activity.unwrap_or_default();
    let wrong = |key, text| Err(vec![Wrong::new(key, text)]);
    let doze = |after, window| Silence { doze: Some(Doze { after, window }), close: None };
    let traffic = doze(TRAFFIC_DOZE, WindowFrom::LastByte);
    match (activity, options.silent_after, options.silent) {
        (_, None, Some(_)) => {
            wrong("silent", "says what becomes of a silent connection: add --silent-after")
        }
        (Activity::Connections, None, None)
        | (Activity::Connections, Some(_), Some(Silent::Keep)) => Ok(Silence::default()),
        (Activity::Connections, Some(after), None | Some(Silent::Ignore)) => {
            Ok(doze(after, WindowFrom::Then))
        }
        (Activity::Connections, Some(after), Some(Silent::Close)) => {
            Ok(Silence { doze: None, close: Some(after) })
        }
        (Activity::Traffic, None, None) => Ok(traffic),
        (Activity::Traffic, Some(after), Some(Silent::Close)) => {
            Ok(Silence { close: Some(after), ..traffic })
        }
        (Activity::Traffic, Some(_), None | Some(Silent::Ignore | Silent::Keep)) => wrong(
            "silent-after",
            "with --activity traffic a silent connection counts for nothing anyway: leave it out, \
             or add --silent close",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn of(
        activity: Option<Activity>,
        after: Option<Duration>,
        silent: Option<Silent>,
    ) -> Result<Silence, Vec<Wrong>> {
        silence(&Options { activity, silent_after: after, silent, ..Options::default() })
    }

    #[test]
    fn nobody_watches_connections_unless_that_is_asked_for() {
        assert_eq!(of(None, None, None), Ok(Silence::default()));
        assert_eq!(of(None, Some(HOUR), Some(Silent::Keep)), Ok(Silence::default()));
        let ignored = Doze { after: HOUR, window: WindowFrom::Then };
        assert_eq!(of(None, Some(HOUR), None).unwrap().doze, Some(ignored));
        assert_eq!(of(None, Some(HOUR), Some(Silent::Close)).unwrap().close, Some(HOUR));
        let traffic = of(Some(Activity::Traffic), None, None).unwrap().doze.unwrap();
        assert_eq!(traffic.window, WindowFrom::LastByte);
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        assert!(of(None, None, Some(Silent::Close)).is_err());
        assert!(of(Some(Activity::Traffic), Some(HOUR), None).is_err());
        assert!(of(Some(Activity::Traffic), Some(HOUR), Some(Silent::Close)).is_ok());
    }
}
