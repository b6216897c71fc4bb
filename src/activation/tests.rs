//! Each phase and what may happen in it; every test is a sentence of the documentation.

use std::time::Duration;

use super::rig::{ALMOST, IDLE, MISSING, PAUSED, Rig, SECOND, STOPPED, TIMEOUT, asleep, refused};
use super::{
    Action, Admission, Cause, Client, Due, Event, Idle, Phase, Refused, Rest, Run, Seen, Window,
};

#[test]
fn before_the_first_look_a_client_waits_and_nothing_is_started() {
    let mut rig = Rig::new(Window::After(IDLE));
    assert_eq!(rig.acquire(), (Admission::Waiting, vec![]));
    assert_eq!(rig.core.deadline(), Some((rig.now + TIMEOUT, Due::ClientTimeout)));
    let asked = rig.look(STOPPED);
    assert_eq!(asked, [rig.start()]);
}

#[test]
fn a_target_found_running_is_probed_for_who_waits_and_else_has_an_idle_window() {
    let mut rig = Rig::new(Window::After(IDLE));
    rig.acquire();
    let asked = rig.look(Seen::Running);
    assert_eq!(asked, [rig.probe()]);
    let rig = Rig::found();
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
}

#[test]
fn the_first_client_starts_it_and_the_others_wait_for_the_same_start() {
    let mut rig = Rig::asleep();
    let (admission, asked) = rig.acquire();
    assert_eq!((admission, asked), (Admission::Waiting, vec![rig.start()]));
    assert_eq!(rig.acquire(), (Admission::Waiting, vec![]));
    let asked = rig.start_ends(Ok(Seen::Running));
    assert_eq!(asked, [rig.probe()]);
    assert_eq!(rig.ready(), [Action::Grant(Client(1)), Action::Grant(Client(2))]);
    assert_eq!(rig.core.leases(), 2);
}

#[test]
fn a_paused_target_is_started_like_a_stopped_one() {
    let mut rig = Rig::asleep();
    rig.look(PAUSED);
    assert_eq!(rig.core.phase(), asleep(Rest::Paused));
    let (_, asked) = rig.acquire();
    assert_eq!(asked, [rig.start()]);
}

#[test]
fn started_by_others_it_gets_an_idle_window_and_is_put_to_sleep_after_it() {
    let mut rig = Rig::asleep();
    rig.look(Seen::Renewed);
    assert_eq!(rig.pass(ALMOST), []);
    let asked = rig.pass(SECOND);
    assert_eq!(asked, [rig.stop()]);
}

#[test]
fn a_start_that_nobody_waits_for_any_more_leaves_it_running_for_one_idle_window() {
    let mut rig = Rig::starting();
    assert_eq!(rig.tell(Event::Leave(Client(1))), []);
    assert_eq!(rig.start_ends(Ok(Seen::Running)), []);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
}

#[test]
fn during_a_start_a_client_is_refused_at_its_deadline_and_the_start_goes_on() {
    let mut rig = Rig::starting();
    assert_eq!(rig.pass(TIMEOUT), [Action::Refuse(Client(1), Refused::TimedOut)]);
    assert!(rig.core.operating());
    assert_eq!(rig.core.deadline(), None);
}

#[test]
fn during_an_operation_no_look_is_believed() {
    for seen in [Seen::Running, Seen::Renewed, STOPPED, PAUSED, MISSING] {
        for mut rig in [Rig::starting(), Rig::stopping()] {
            let before = rig.core.clone();
            assert_eq!(rig.look(seen), []);
            assert_eq!(rig.core, before, "{seen:?}");
        }
    }
}

#[test]
fn a_look_begun_during_a_start_is_not_believed_after_it() {
    let mut rig = Rig::starting();
    let begun = rig.core.run();
    rig.start_ends(Ok(Seen::Running));
    let before = rig.core.clone();
    assert_eq!(rig.tell(Event::Observed(begun, STOPPED)), []);
    assert_eq!(rig.core, before);
}

#[test]
fn a_start_that_fails_refuses_who_waits_and_is_reported_once() {
    let ends = [
        (Ok(STOPPED), Cause::StartFailed),
        (Ok(PAUSED), Cause::StartFailed),
        (Ok(MISSING), Cause::Missing),
        (Err(Cause::EngineAway), Cause::EngineAway),
    ];
    for (end, cause) in ends {
        let mut rig = Rig::starting();
        assert_eq!(rig.start_ends(end), [Action::Report(cause), refused(1, cause)]);
        assert_eq!(rig.core.phase(), Phase::Failed(cause));
    }
}

#[test]
fn an_end_before_readiness_fails_the_wake() {
    for (seen, cause) in [(STOPPED, Cause::Exited), (MISSING, Cause::Missing)] {
        let mut rig = Rig::probing();
        assert_eq!(rig.look(seen), [Action::Report(cause), refused(1, cause)]);
        assert_eq!(rig.core.phase(), Phase::Failed(cause));
    }
}

#[test]
fn paused_before_readiness_it_is_thawed_if_somebody_waits() {
    let mut rig = Rig::probing();
    let asked = rig.look(PAUSED);
    assert_eq!(asked, [rig.start()]);
    let mut rig = Rig::probing();
    rig.tell(Event::Leave(Client(1)));
    assert_eq!(rig.look(PAUSED), []);
    assert_eq!(rig.core.phase(), asleep(Rest::Paused));
}

#[test]
fn another_life_is_probed_anew_and_the_first_ones_readiness_is_worth_nothing() {
    let mut rig = Rig::probing();
    let earlier = rig.core.run();
    let asked = rig.look(Seen::Renewed);
    assert_eq!(asked, [rig.probe()]);
    assert_eq!(rig.tell(Event::Ready(earlier)), []);
    assert_eq!(rig.ready(), [Action::Grant(Client(1))]);
}

#[test]
fn not_ready_in_time_it_is_stopped_and_who_waits_is_refused() {
    let mut rig = Rig::probing();
    let asked = rig.pass(TIMEOUT);
    let cause = Cause::NotReady;
    assert_eq!(asked, [Action::Report(cause), refused(1, cause), rig.stop()]);
}

#[test]
fn ready_with_nobody_there_any_more_it_gets_its_idle_window() {
    let mut rig = Rig::probing();
    rig.tell(Event::Leave(Client(1)));
    assert_eq!(rig.ready(), []);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
}

#[test]
fn awake_a_client_is_admitted_at_once_and_its_lease_holds_off_the_sleep() {
    let mut rig = Rig::awake();
    assert_eq!(rig.acquire(), (Admission::Granted, vec![]));
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), None);
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
    rig.pass(ALMOST);
    assert_eq!(rig.acquire(), (Admission::Granted, vec![]));
    assert_eq!(rig.pass(IDLE), []);
}

#[test]
fn a_window_of_nothing_ends_with_the_last_lease_and_infinity_never() {
    for (idle, due) in [(Window::After(Duration::ZERO), Some(Due::Idle)), (Window::Never, None)] {
        let mut rig = Rig::new(idle);
        rig.acquire();
        rig.look(Seen::Running);
        rig.ready();
        assert_eq!(rig.core.deadline(), None);
        rig.tell(Event::Release);
        assert_eq!(rig.core.deadline(), due.map(|due| (rig.now, due)));
    }
}

#[test]
fn put_to_rest_by_others_it_is_asleep_and_leases_end_in_their_own_time() {
    for rest in [Rest::Stopped, Rest::Paused, Rest::Missing] {
        let mut rig = Rig::awake();
        assert_eq!(rig.look(Seen::Resting(rest)), []);
        assert_eq!(rig.core.phase(), asleep(rest));
        rig.tell(Event::Release);
        assert_eq!((rig.core.leases(), rig.core.deadline()), (0, None));
    }
}

#[test]
fn restarted_by_others_while_it_is_used_the_next_client_waits_for_a_new_probe() {
    let mut rig = Rig::awake();
    assert_eq!(rig.look(Seen::Renewed), []);
    assert_eq!(rig.core.deadline(), None);
    let (admission, asked) = rig.acquire();
    assert_eq!((admission, asked), (Admission::Waiting, vec![rig.probe()]));
    // The first client's connection goes on, so the target is not stopped for being slow.
    let asked = rig.pass(TIMEOUT);
    assert_eq!(asked, [Action::Report(Cause::NotReady), refused(2, Cause::NotReady)]);
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
}

#[test]
fn whoever_comes_while_it_stops_waits_for_the_end_of_the_stop_and_gets_a_start() {
    let mut rig = Rig::stopping();
    assert_eq!(rig.acquire(), (Admission::Waiting, vec![]));
    let asked = rig.stop_ends(Ok(STOPPED));
    assert_eq!(asked, [rig.start()]);
}

#[test]
fn with_nobody_there_a_stop_ends_asleep() {
    for rest in [Rest::Stopped, Rest::Paused, Rest::Missing] {
        let mut rig = Rig::stopping();
        assert_eq!(rig.stop_ends(Ok(Seen::Resting(rest))), []);
        assert_eq!((rig.core.phase(), rig.core.deadline()), (asleep(rest), None));
    }
}

#[test]
fn a_stop_that_fails_is_tried_again_after_another_window() {
    for end in [Ok(Seen::Running), Err(Cause::EngineAway)] {
        let mut rig = Rig::stopping();
        assert_eq!(rig.stop_ends(end), []);
        assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
        let asked = rig.pass(IDLE);
        assert_eq!(asked, [rig.stop()]);
    }
}

#[test]
fn a_stop_that_fails_with_a_window_of_nothing_is_tried_again_with_a_growing_pause() {
    let mut rig = Rig::new(Window::After(Duration::ZERO));
    rig.look(Seen::Running);
    for seconds in [1, 2, 4] {
        let asked = rig.pass(Duration::ZERO);
        assert_eq!(asked, [rig.stop()]);
        rig.stop_ends(Err(Cause::EngineAway));
        let (at, _) = rig.core.deadline().unwrap();
        assert_eq!(at, rig.now + Duration::from_secs(seconds));
        rig.now = at;
    }
}

#[test]
fn a_stop_that_fails_serves_who_came_meanwhile() {
    let mut rig = Rig::stopping();
    rig.acquire();
    let asked = rig.stop_ends(Ok(Seen::Running));
    assert_eq!(asked, [rig.probe()]);
    assert_eq!(rig.ready(), [Action::Grant(Client(2))]);
}

#[test]
fn after_a_failure_clients_are_refused_at_once_until_the_back_off_has_passed() {
    let mut rig = Rig::failed(Cause::StartFailed);
    let back_off = |left| (Admission::Refused(Refused::BackOff(left)), vec![]);
    assert_eq!(rig.acquire(), back_off(SECOND));
    rig.pass(SECOND);
    let (admission, asked) = rig.acquire();
    assert_eq!((admission, asked), (Admission::Waiting, vec![rig.start()]));
    rig.start_ends(Ok(STOPPED));
    assert_eq!(rig.acquire(), back_off(2 * SECOND));
}

#[test]
fn a_success_forgets_the_failures() {
    let mut rig = Rig::failed(Cause::StartFailed);
    rig.pass(SECOND);
    rig.acquire();
    rig.start_ends(Ok(Seen::Running));
    rig.ready();
    assert_eq!(rig.core.back_off(rig.now), None);
    rig.look(STOPPED);
    rig.acquire();
    rig.start_ends(Ok(STOPPED));
    assert_eq!(rig.core.back_off(rig.now), Some(SECOND));
}

#[test]
fn what_a_failed_start_left_running_is_found_and_owed_an_idle_window() {
    let mut rig = Rig::failed(Cause::EngineAway);
    assert_eq!(rig.look(Seen::Renewed), []);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
    assert_eq!(rig.core.back_off(rig.now), None);
}

#[test]
fn made_again_or_with_its_engine_back_there_is_nothing_to_back_off_from() {
    for (cause, seen) in [(Cause::Missing, STOPPED), (Cause::EngineAway, STOPPED)] {
        let mut rig = Rig::failed(cause);
        assert_eq!(rig.look(seen), []);
        let (_, asked) = rig.acquire();
        assert_eq!(asked, [rig.start()], "{cause:?}");
    }
}

#[test]
fn a_look_that_says_nothing_new_ends_no_back_off() {
    for (cause, seen) in [(Cause::StartFailed, STOPPED), (Cause::Missing, MISSING)] {
        let mut rig = Rig::failed(cause);
        rig.look(seen);
        assert_eq!(rig.core.phase(), Phase::Failed(cause));
        assert_eq!(rig.core.back_off(rig.now), Some(SECOND));
    }
}

#[test]
fn answers_of_another_run_change_nothing() {
    let rigs = [
        Rig::asleep(),
        Rig::starting(),
        Rig::probing(),
        Rig::awake(),
        Rig::found(),
        Rig::stopping(),
        Rig::failed(Cause::Exited),
    ];
    for mut rig in rigs {
        let other = Run(rig.core.run().0 - 1);
        let before = rig.core.clone();
        for event in [
            Event::Observed(other, Seen::Renewed),
            Event::Observed(other, STOPPED),
            Event::StartEnded(other, Ok(Seen::Running)),
            Event::StartEnded(other, Err(Cause::EngineAway)),
            Event::StopEnded(other, Ok(STOPPED)),
            Event::StopEnded(other, Err(Cause::EngineAway)),
            Event::Ready(other),
            Event::NotReady(other, Cause::Unreachable),
        ] {
            assert_eq!(rig.tell(event), []);
            assert_eq!(rig.core, before, "{event:?}");
        }
    }
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    for mut rig in [Rig::asleep(), Rig::awake(), Rig::found(), Rig::failed(Cause::Exited)] {
        let run = rig.core.run();
        let before = rig.core.clone();
        for event in [
            Event::StartEnded(run, Ok(Seen::Running)),
            Event::StopEnded(run, Ok(STOPPED)),
            Event::Ready(run),
            Event::NotReady(run, Cause::Unreachable),
            Event::Leave(Client(99)),
            Event::Deadline,
        ] {
            assert_eq!(rig.tell(event), []);
            assert_eq!(rig.core, before, "{event:?}");
        }
    }
}

#[test]
fn asked_to_sleep_it_does_not_wait_for_the_end_of_its_window_unless_it_is_used() {
    let mut rig = Rig::awake();
    assert_eq!(rig.tell(Event::Sleep), []);
    rig.tell(Event::Release);
    let asked = rig.tell(Event::Sleep);
    assert_eq!(asked, [rig.stop()]);
    assert_eq!(rig.tell(Event::Sleep), []);
    // Whoever it was woken for has left.
    let mut rig = Rig::probing();
    rig.tell(Event::Leave(Client(1)));
    let asked = rig.tell(Event::Sleep);
    assert_eq!(asked, [rig.stop()]);
    // What never sleeps by idleness does so when it is told to.
    for mut rig in [Rig::found(), Rig::new(Window::Never)] {
        rig.look(Seen::Running);
        let asked = rig.tell(Event::Sleep);
        assert_eq!(asked, [rig.stop()]);
    }
}

#[test]
fn asked_to_sleep_what_does_not_run_or_is_being_woken_stays_as_it_is() {
    let rigs = [
        Rig::new(Window::After(IDLE)),
        Rig::asleep(),
        Rig::starting(),
        Rig::probing(),
        Rig::stopping(),
        Rig::failed(Cause::Exited),
    ];
    for mut rig in rigs {
        let before = rig.core.clone();
        assert_eq!(rig.tell(Event::Sleep), []);
        assert_eq!(rig.core, before);
    }
}

#[test]
fn asked_to_sleep_anyway_it_is_stopped_under_its_clients_and_the_next_wakes_it_again() {
    let mut rig = Rig::awake();
    assert_eq!(rig.tell(Event::Sleep), []);
    let asked = rig.tell(Event::SleepAnyway);
    assert_eq!(asked, [rig.stop()]);
    assert_eq!(rig.acquire(), (Admission::Waiting, vec![]));
    let asked = rig.stop_ends(Ok(STOPPED));
    assert_eq!(asked, [rig.start()]);
    // The lease of the life that is over ends in its own time.
    rig.start_ends(Ok(Seen::Running));
    rig.ready();
    assert_eq!(rig.core.leases(), 2);
    rig.tell(Event::Release);
    assert!(matches!(rig.core.phase(), Phase::Awake { idle: Idle::Never }));
    for mut rig in [Rig::starting(), Rig::probing(), Rig::asleep(), Rig::failed(Cause::Exited)] {
        assert_eq!(rig.tell(Event::SleepAnyway), []);
    }
}

#[test]
fn at_the_end_of_the_daemon_what_runs_is_stopped_whoever_uses_it() {
    for mut rig in [Rig::awake(), Rig::found()] {
        let asked = rig.tell(Event::Retire);
        assert_eq!(asked, [rig.stop()]);
    }
    let mut rig = Rig::probing();
    let asked = rig.tell(Event::Retire);
    let away = Action::Refuse(Client(1), Refused::ShuttingDown);
    assert_eq!(asked, [away, rig.stop()]);
    // A start cannot be called back; once it has ended the target is stopped.
    let mut rig = Rig::starting();
    assert_eq!(rig.tell(Event::Retire), [away]);
    rig.start_ends(Ok(Seen::Running));
    let asked = rig.tell(Event::Retire);
    assert_eq!(asked, [rig.stop()]);
    for mut rig in [Rig::asleep(), Rig::stopping(), Rig::failed(Cause::Exited)] {
        assert_eq!(rig.tell(Event::Retire), []);
    }
}

#[test]
fn a_pin_keeps_it_awake_and_starts_nothing() {
    for mut rig in [Rig::asleep(), Rig::failed(Cause::Exited), Rig::new(Window::After(IDLE))] {
        let phase = rig.core.phase();
        assert_eq!(rig.tell(Event::Pin), []);
        assert_eq!((rig.core.phase(), rig.core.leases()), (phase, 1));
    }
    let mut rig = Rig::found();
    assert_eq!(rig.tell(Event::Pin), []);
    assert_eq!(rig.core.deadline(), None);
    assert_eq!(rig.tell(Event::Sleep), []);
    assert_eq!(rig.pass(IDLE * 3), []);
    assert_eq!(rig.tell(Event::Release), []);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
}

#[test]
fn whoever_asks_for_what_was_pinned_while_it_stopped_is_served_by_a_new_start() {
    let mut rig = Rig::stopping();
    rig.tell(Event::Pin);
    assert_eq!(rig.acquire(), (Admission::Waiting, vec![]));
    let asked = rig.stop_ends(Ok(STOPPED));
    assert_eq!(asked, [rig.start()]);
    rig.start_ends(Ok(Seen::Running));
    rig.ready();
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), None, "the pin is still there");
}

#[test]
fn without_what_it_needs_nothing_was_started_and_what_runs_is_stopped_unless_it_is_used() {
    let mut rig = Rig::starting();
    let asked = rig.start_ends(Err(Cause::Dependency));
    assert_eq!(asked, [Action::Report(Cause::Dependency), refused(1, Cause::Dependency)]);
    assert_eq!(rig.core.phase(), Phase::Failed(Cause::Dependency));
    let unready = |rig: &mut Rig| {
        rig.acquire();
        rig.tell(Event::NotReady(rig.core.run(), Cause::Dependency))
    };
    let mut rig = Rig::found();
    assert_eq!(unready(&mut rig).last(), Some(&rig.stop()));
    let mut rig = Rig::found();
    rig.tell(Event::Pin);
    unready(&mut rig);
    assert_eq!(rig.core.phase(), Phase::Found { idle: Idle::Never });
}
