//! A sentence on a service: what keeps it awake, or what has woken it last, and when it will sleep.

use std::time::Duration;

use super::view::{Because, because, connections};
use crate::activation::{Cause, Phase, Rest};
use crate::driver::{Details, Waker};

/// The sentence; those services need it.
pub(super) fn why(name: &str, details: &Details, needed_by: &[String]) -> String {
    let since = time(details.since);
    let told = |what: &str| format!("{name} {what}");
    match details.status.phase {
        Phase::Unknown => told("was not looked at yet: its engine has not answered"),
        Phase::Asleep { rest: Rest::Missing, .. } => {
            told("does not exist; it is served as soon as it does")
        }
        Phase::Asleep { rest: Rest::Stopped, .. } => {
            told(&format!("is asleep for {since}{}", last(details, needed_by)))
        }
        Phase::Asleep { rest: Rest::Paused, .. } => {
            let deeper = details.deeper_in.map(|left| format!(", is stopped in {}", time(left)));
            let deeper = deeper.unwrap_or_default();
            told(&format!("is asleep for {since} (paused{deeper}){}", last(details, needed_by)))
        }
        Phase::Starting { .. } => told(&waking("is being started", details, needed_by)),
        Phase::Probing { .. } => told(&waking("runs and is not ready yet", details, needed_by)),
        Phase::Awake { .. } | Phase::Found { .. } => {
            told(&format!("{}{}", awake(details, needed_by), last(details, needed_by)))
        }
        Phase::Stopping { .. } => told(&format!("is going to sleep for {since}")),
        Phase::Failed(cause) => {
            let why = match (&details.failure, cause) {
                (Some(why), _) => format!("its last wake failed: {why}"),
                (None, Cause::EngineAway) => "its engine is away".to_owned(),
                (None, _) => "its last wake failed".to_owned(),
            };
            told(&format!("is not awake: {why}"))
        }
    }
}

fn waking(what: &str, details: &Details, needed_by: &[String]) -> String {
    let by = details.asked_by.map_or_else(String::new, |who| by(who, needed_by));
    let waiting = match details.status.waiting {
        0 => String::new(),
        waiting => format!("; {waiting} wait for it"),
    };
    format!("{what} for {}, woken{by}{waiting}", time(details.since))
}

/// What keeps it awake.
fn awake(details: &Details, needed_by: &[String]) -> String {
    let window = || {
        details.sleeps_in.map_or_else(String::new, |left| format!(" and sleeps in {}", time(left)))
    };
    match because(details) {
        Some(Because::Connections) => match connections(details) {
            1 => "is awake: a connection uses it".to_owned(),
            many => format!("is awake: {many} connections use it"),
        },
        Some(Because::Waiting) => "is awake: somebody waits for it".to_owned(),
        Some(Because::Held) => match details.held_for {
            Some(left) => format!("is held awake for another {}", time(left)),
            None => "is held awake until it is released".to_owned(),
        },
        Some(Because::Dependents) => format!("is awake: {} it", needs(needed_by)),
        Some(Because::Hours) => "is kept awake by its hours".to_owned(),
        Some(Because::Asking) => {
            "is awake: nobody uses it, and it is asked whether it may sleep".into()
        }
        Some(Because::DryRun) => {
            "is awake: nobody uses it, and a dry run puts nothing to sleep".into()
        }
        Some(Because::NeverSleeps) => "is awake: its idle window has no end".to_owned(),
        Some(Because::IdleWindow) | None => match &details.denied {
            Some(why) => match details.sleeps_in {
                Some(left) => format!("stays awake: {why}, asked again in {}", time(left)),
                None => format!("stays awake: {why}"),
            },
            None => format!("is awake: nobody uses it{}", window()),
        },
    }
}

/// What has woken it last.
fn last(details: &Details, needed_by: &[String]) -> String {
    match details.woken_by {
        Some((who, ago)) => format!("; woken {} ago{}", time(ago), by(who, needed_by)),
        None if details.so_far.woken > 0 => String::new(),
        None => "; never woken so far".to_owned(),
    }
}

fn by(who: Waker, needed_by: &[String]) -> String {
    match who {
        Waker::Client(Some(address)) => format!(" by {address}"),
        Waker::Client(None) => " by a client on this host".to_owned(),
        Waker::Administrator => " by an administrator".to_owned(),
        Waker::Dependent => format!(", as {} it", needs(needed_by)),
        Waker::Hours => " by its hours".to_owned(),
        Waker::Unknown => String::new(),
    }
}

fn needs(needed_by: &[String]) -> String {
    match needed_by {
        [] => "a service that is no more needs".to_owned(),
        [one] => format!("{one} needs"),
        several => format!("one of {} needs", several.join(", ")),
    }
}

/// Two units are enough: `3h 20m`.
fn time(time: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A service that nobody uses, in that phase, to be made another.
#[cfg(test)]
pub(super) fn example(phase: Phase) -> Details {
    use crate::activation::Window;
    use crate::driver::{SoFar, Status};

    Details {
        status: Status { phase, leases: 0, silent: 0, pinned: 0, waiting: 0 },
        kept: 0,
        by_the_clock: false,
        kept_asleep: None,
        since: Duration::from_secs(3 * 3600),
        sleeps_in: None,
        deeper_in: None,
        woken: 1,
        last_wake: None,
        failure: None,
        window: Window::Never,
        asked_by: None,
        woken_by: None,
        denied: None,
        held_for: None,
        so_far: SoFar { woken: 1, ..SoFar::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::{Idle, Moment};

    const AWAKE: Phase = Phase::Awake { idle: Idle::Never };

    fn of(phase: Phase, change: impl FnOnce(&mut Details)) -> String {
        let mut details = example(phase);
        change(&mut details);
        why("gitea", &details, &["web".to_owned()])
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn each_reason_is_a_sentence() {
        let client = Waker::Client(Some([192, 0, 2, 7].into()));
        let used = of(AWAKE, |of| {
            of.status.leases = 2;
            of.woken_by = Some((client, minutes(12)));
        });
        assert_eq!(used, "gitea is awake: 2 connections use it; woken 12m ago by 192.0.2.7");
        let idle = of(Phase::Awake { idle: Idle::At(Moment::default()) }, |of| {
            of.sleeps_in = Some(minutes(14));
            of.woken_by = Some((Waker::Administrator, minutes(1)));
        });
        assert_eq!(
            idle,
            "gitea is awake: nobody uses it and sleeps in 14m; woken 1m ago by an administrator"
        );
        let held = of(AWAKE, |of| {
            (of.status.leases, of.kept, of.held_for) = (1, 1, Some(minutes(80)));
        });
        assert_eq!(held, "gitea is held awake for another 1h 20m");
        let pinned = of(AWAKE, |of| (of.status.leases, of.status.pinned) = (1, 1));
        assert_eq!(pinned, "gitea is awake: web needs it");
        let denied = of(Phase::Awake { idle: Idle::At(Moment::default()) }, |of| {
            of.denied = Some("its stop condition said no (exit status 1)".into());
            of.sleeps_in = Some(minutes(4));
        });
        assert_eq!(
            denied,
            "gitea stays awake: its stop condition said no (exit status 1), asked again in 4m"
        );
        let asleep = of(Phase::Asleep { rest: Rest::Paused, deeper_at: None }, |of| {
            of.woken_by = Some((Waker::Dependent, minutes(200)));
            of.deeper_in = Some(minutes(60));
        });
        assert_eq!(
            asleep,
            "gitea is asleep for 3h (paused, is stopped in 1h); woken 3h 20m ago, as web needs it"
        );
        let fresh =
            of(Phase::Asleep { rest: Rest::Stopped, deeper_at: None }, |of| of.so_far.woken = 0);
        assert_eq!(fresh, "gitea is asleep for 3h; never woken so far");
        let starting = of(Phase::Starting { began: Moment::default() }, |of| {
            of.since = Duration::from_secs(2);
            of.status.waiting = 3;
            of.asked_by = Some(client);
        });
        assert_eq!(starting, "gitea is being started for 2s, woken by 192.0.2.7; 3 wait for it");
        let failed = of(Phase::Failed(Cause::Exited), |of| of.failure = Some("it ended".into()));
        assert_eq!(failed, "gitea is not awake: its last wake failed: it ended");
    }
}
