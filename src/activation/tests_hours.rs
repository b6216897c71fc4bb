//! Hours in which it is kept asleep, the least time it is awake, and stops that are hastened.

use std::time::Duration;

use super::rig::{IDLE, PAUSED, Rig, SECOND, STOPPED, TIMEOUT};
use super::{
    Action, Admission, Cause, Client, Curfew, Depth, Due, Event, Idle, Kill, Latecomers, Phase,
    Policy, Reach, Refused, Rest, Seen, Tiers, Window,
};

/// How long the hours last.
const NIGHT: Duration = Duration::from_secs(28_800);
const PATIENCE: Duration = Duration::from_secs(5);

fn plain() -> Policy {
    Policy::new(Window::After(IDLE), TIMEOUT)
}

fn hastens() -> Policy {
    Policy { kill_after: Some(PATIENCE), ..plain() }
}

fn night(rig: &mut Rig, clients: Latecomers) -> Vec<Action> {
    let until = rig.now + NIGHT;
    rig.tell(Event::Curfew(Some(Curfew { until, clients })))
}

/// The window is over, under a policy that hastens.
fn stopping() -> Rig {
    let mut rig = Rig::unused_under(hastens());
    rig.pass(IDLE);
    rig
}

#[test]
fn when_the_hours_begin_it_sleeps_once_nobody_uses_it() {
    let mut rig = Rig::awake();
    night(&mut rig, Latecomers::Refused);
    assert_eq!(rig.core.deadline(), None);
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), Some((rig.now, Due::Idle)));
    for idle in [Window::After(IDLE), Window::Never] {
        let mut rig = Rig::unused_under(Policy { min_awake: NIGHT, ..Policy::new(idle, TIMEOUT) });
        night(&mut rig, Latecomers::Refused);
        let asked = rig.pass(Duration::ZERO);
        assert_eq!(asked, [rig.stop()]);
    }
}

#[test]
fn when_the_hours_end_a_whole_window_begins_or_none() {
    for (idle, due) in [(Window::After(IDLE), Some(IDLE)), (Window::Never, None)] {
        let mut rig = Rig::unused_under(Policy::new(idle, TIMEOUT));
        night(&mut rig, Latecomers::Refused);
        rig.tell(Event::Curfew(None));
        assert_eq!(rig.core.deadline(), due.map(|due| (rig.now + due, Due::Idle)));
    }
}

#[test]
fn in_the_hours_clients_are_refused_and_told_how_long() {
    for mut rig in [Rig::asleep(), Rig::awake(), Rig::found(), Rig::stopping()] {
        night(&mut rig, Latecomers::Refused);
        rig.now = rig.now + SECOND;
        let refused = Admission::Refused(Refused::Curfew(NIGHT.saturating_sub(SECOND)));
        assert_eq!(rig.acquire(), (refused, vec![]));
        assert!(!rig.core.admits_at_once());
        assert_eq!(rig.core.acquire_uncounted(), None);
    }
}

#[test]
fn administrators_and_dependents_are_let_in_in_the_hours() {
    let mut rig = Rig::asleep();
    night(&mut rig, Latecomers::Refused);
    let mut out = Vec::new();
    assert_eq!(rig.core.acquire_anyway(rig.now, Client(9), &mut out), Admission::Waiting);
    assert_eq!(out, [rig.start()]);
    rig.start_ends(Ok(Seen::Running));
    assert_eq!(rig.ready(), [Action::Grant(Client(9))]);
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), Some((rig.now, Due::Idle)));
}

#[test]
fn who_is_held_waits_until_the_hours_are_over_and_a_start_timeout_longer() {
    let mut rig = Rig::asleep();
    night(&mut rig, Latecomers::Held);
    assert_eq!(rig.acquire(), (Admission::Waiting, vec![]));
    assert_eq!(rig.core.waiting(), 1);
    assert_eq!(rig.core.deadline(), Some((rig.now + NIGHT + TIMEOUT, Due::ClientTimeout)));
    // The end of the hours was not told in time.
    let told = rig.pass(NIGHT + TIMEOUT);
    assert_eq!(told, [Action::Refuse(Client(1), Refused::TimedOut)]);
    assert_eq!(rig.core.waiting(), 0);
}

#[test]
fn when_the_hours_end_who_was_held_is_served_in_each_phase() {
    type End = fn(&Rig) -> Vec<Action>;
    let start: End = |rig| vec![rig.start()];
    let cases: [(Rig, End); 6] = [
        (Rig::asleep(), start),
        (Rig::awake(), |_| vec![Action::Grant(Client(2))]),
        (Rig::found(), |rig| vec![rig.probe()]),
        (Rig::new(Window::After(IDLE)), |_| vec![]),
        (Rig::starting(), |_| vec![]),
        (Rig::stopping(), |_| vec![]),
    ];
    for (mut rig, end) in cases {
        night(&mut rig, Latecomers::Held);
        // Its first client may have been there before.
        rig.clients = 1;
        rig.acquire();
        rig.now = rig.now + NIGHT;
        let told = rig.tell(Event::Curfew(None));
        assert_eq!(told, end(&rig), "{:?}", rig.core);
        let granted = told == [Action::Grant(Client(2))];
        assert!(granted || rig.core.waiting() > 0, "{:?}", rig.core);
    }
    let mut rig = Rig::failed(Cause::StartFailed);
    night(&mut rig, Latecomers::Held);
    rig.acquire();
    let told = rig.tell(Event::Curfew(None));
    assert_eq!(told, [Action::Refuse(Client(2), Refused::BackOff(SECOND))]);
}

#[test]
fn who_was_held_waits_no_longer_in_the_way_of_who_came_later() {
    let mut rig = Rig::asleep();
    night(&mut rig, Latecomers::Held);
    rig.acquire();
    let mut out = Vec::new();
    rig.core.acquire_anyway(rig.now, Client(2), &mut out);
    let due = rig.now + TIMEOUT;
    rig.pass(SECOND);
    rig.tell(Event::Curfew(None));
    assert_eq!(rig.core.deadline(), Some((due, Due::ClientTimeout)));
    // The target has as long as who waits longest.
    rig.start_ends(Ok(Seen::Running));
    assert_eq!(rig.pass(119 * SECOND), [Action::Refuse(Client(2), Refused::TimedOut)]);
    assert_eq!(rig.core.deadline().map(|(at, _)| at), Some(rig.now + SECOND));
}

#[test]
fn hours_that_change_take_with_them_who_is_held() {
    let mut rig = Rig::asleep();
    night(&mut rig, Latecomers::Held);
    rig.acquire();
    rig.pass(SECOND);
    night(&mut rig, Latecomers::Held);
    assert_eq!(rig.core.deadline(), Some((rig.now + NIGHT + TIMEOUT, Due::ClientTimeout)));
    let told = night(&mut rig, Latecomers::Refused);
    assert_eq!(told, [Action::Refuse(Client(1), Refused::Curfew(NIGHT))]);

    let mut rig = Rig::asleep();
    night(&mut rig, Latecomers::Held);
    rig.acquire();
    let told = night(&mut rig, Latecomers::Served);
    assert_eq!(told, [rig.start()]);
}

#[test]
fn who_is_held_and_leaves_is_forgotten_and_the_end_of_the_daemon_refuses_the_others() {
    let mut rig = Rig::asleep();
    night(&mut rig, Latecomers::Held);
    rig.acquire();
    rig.acquire();
    rig.tell(Event::Leave(Client(1)));
    let told = rig.tell(Event::Retire);
    assert_eq!(told, [Action::Refuse(Client(2), Refused::ShuttingDown)]);
    assert_eq!(rig.core.waiting(), 0);
}

#[test]
fn in_hours_that_serve_clients_it_sleeps_as_soon_as_they_go() {
    let mut rig = Rig::asleep();
    night(&mut rig, Latecomers::Served);
    let (_, asked) = rig.acquire();
    assert_eq!(asked, [rig.start()]);
    rig.start_ends(Ok(Seen::Running));
    rig.ready();
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), Some((rig.now, Due::Idle)));
}

#[test]
fn it_is_awake_for_the_least_time_from_when_it_got_up() {
    let lasting = Policy { min_awake: NIGHT, ..plain() };
    let mut rig = Rig::unused_under(lasting.clone());
    assert_eq!(rig.core.deadline(), Some((rig.now + NIGHT, Due::Idle)));
    // A window that ends later ends later.
    rig.acquire();
    rig.pass(NIGHT);
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
    // Another life has a time of its own.
    rig.look(Seen::Renewed);
    assert_eq!(rig.core.deadline(), Some((rig.now + NIGHT, Due::Idle)));
    // Who says that it is to sleep means now.
    let told = rig.tell(Event::Sleep);
    assert_eq!(told, [rig.stop()]);
}

#[test]
fn a_stop_is_hastened_once_somebody_has_waited_behind_it_for_so_long() {
    let mut rig = stopping();
    assert_eq!(rig.core.deadline(), None);
    rig.acquire();
    assert_eq!(rig.core.deadline(), Some((rig.now + PATIENCE, Due::Kill)));
    rig.now = rig.now + SECOND;
    rig.acquire();
    assert_eq!(rig.pass(3 * SECOND), []);
    assert_eq!(rig.pass(SECOND), [Action::Kill]);
    assert_eq!(rig.acquire().1, []);
    assert_eq!(rig.pass(PATIENCE), []);
    let asked = rig.stop_ends(Ok(STOPPED));
    assert_eq!(asked, [rig.start()]);
}

#[test]
fn nothing_is_killed_for_who_has_left_or_was_refused() {
    let mut rig = stopping();
    rig.acquire();
    rig.tell(Event::Leave(Client(2)));
    assert_eq!(rig.core.deadline(), None);
    assert_eq!(rig.pass(PATIENCE), []);
    // The next one's patience is its own.
    rig.acquire();
    assert_eq!(rig.core.deadline(), Some((rig.now + PATIENCE, Due::Kill)));
    rig.tell(Event::Retire);
    assert_eq!(rig.core.deadline(), None);

    let patient = Policy { kill_after: Some(TIMEOUT), ..plain() };
    let mut rig = Rig::unused_under(patient);
    rig.pass(IDLE);
    rig.acquire();
    assert_eq!(rig.pass(TIMEOUT), [Action::Refuse(Client(2), Refused::TimedOut)]);
    assert!(matches!(rig.core.phase(), Phase::Stopping { kill: Kill::Unarmed, .. }));
}

#[test]
fn a_pause_is_not_hastened() {
    let tiers = Tiers { first: Depth::Pause, deeper: Some(NIGHT) };
    let mut rig = Rig::unused_under(Policy { tiers, ..hastens() });
    rig.pass(IDLE);
    rig.acquire();
    assert_eq!(rig.core.deadline(), Some((rig.now + TIMEOUT, Due::ClientTimeout)));
    rig.stop_ends(Ok(PAUSED));
    assert!(rig.core.operating());
    // The stop of what is paused is.
    let mut rig = Rig::of(Policy { tiers, ..hastens() });
    rig.look(Seen::Resting(Rest::Paused));
    rig.pass(NIGHT);
    rig.acquire();
    assert_eq!(rig.core.deadline(), Some((rig.now + PATIENCE, Due::Kill)));
}

#[test]
fn another_policy_arms_and_disarms_the_kill() {
    let mut rig = stopping();
    rig.acquire();
    rig.reconfigure(plain(), Reach::Same);
    assert_eq!(rig.core.deadline(), Some((rig.now + TIMEOUT, Due::ClientTimeout)));
    rig.reconfigure(hastens(), Reach::Same);
    assert_eq!(rig.core.deadline(), Some((rig.now + PATIENCE, Due::Kill)));
}

#[test]
fn windows_without_measure_do_not_overflow() {
    let longest =
        Policy { min_awake: Duration::MAX, ..Policy::new(Window::After(Duration::MAX), TIMEOUT) };
    let mut rig = Rig::unused_under(longest.clone());
    rig.pass(SECOND);
    rig.reconfigure(longest, Reach::Changed);
    assert!(matches!(rig.core.phase(), Phase::Found { idle: Idle::At(_) }));
    assert_eq!(rig.pass(NIGHT), []);
}
