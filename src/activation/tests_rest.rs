//! How deep it sleeps, who is asked before it does, and what silent clients mean to that.

use std::time::Duration;

use super::rig::{ALMOST, IDLE, PAUSED, Rig, SECOND, STOPPED, TIMEOUT, asleep};
use super::{
    Action, Admission, Asking, Cause, Client, Depth, Due, Event, Idle, Moment, Permission, Phase,
    Policy, Practice, Question, Reach, Rest, Seen, Tiers, Window,
};

/// How long it is paused before it is stopped.
const PAUSE: Duration = Duration::from_secs(3600);
/// One second less.
const ALMOST_DEEPER: Duration = Duration::from_secs(3599);
/// How long before the end of the window the question begins, and when it is asked again.
const LEAD: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(300);
/// From the beginning of the window, and from a no, to the question.
const UNTIL_ASKED: Duration = Duration::from_secs(840);
const REST_OF_INTERVAL: Duration = Duration::from_secs(240);

fn plain() -> Policy {
    Policy::new(Window::After(IDLE), TIMEOUT)
}

fn tiers() -> Policy {
    Policy { tiers: Tiers { first: Depth::Pause, deeper: Some(PAUSE) }, ..plain() }
}

fn asks() -> Policy {
    Policy { asking: Some(Asking { lead: LEAD, interval: INTERVAL }), ..plain() }
}

fn dry() -> Policy {
    Policy { practice: Practice::Dry, ..plain() }
}

/// Paused by its window just now.
fn paused() -> Rig {
    let mut rig = Rig::unused_under(tiers());
    rig.pass(IDLE);
    rig.stop_ends(Ok(PAUSED));
    rig
}

/// The question is under way.
fn asked() -> (Rig, Question) {
    let mut rig = Rig::unused_under(asks());
    let until = rig.now + IDLE;
    let asked = rig.pass(UNTIL_ASKED);
    let [Action::Ask { question, until: at }] = asked[..] else { panic!("{asked:?}") };
    assert_eq!(at, until);
    (rig, question)
}

fn deeper_at(rig: &Rig) -> (Moment, Due) {
    (rig.now + PAUSE, Due::Deeper)
}

#[test]
fn it_is_paused_after_its_window_and_stopped_after_another() {
    let mut rig = Rig::unused_under(tiers());
    let asked = rig.pass(IDLE);
    assert_eq!(asked, [rig.pause()]);
    rig.stop_ends(Ok(PAUSED));
    assert_eq!(rig.core.deadline(), Some(deeper_at(&rig)));
    assert_eq!(rig.pass(ALMOST_DEEPER), []);
    let asked = rig.pass(SECOND);
    assert_eq!(asked, [rig.stop()]);
    rig.stop_ends(Ok(STOPPED));
    assert_eq!((rig.core.phase(), rig.core.deadline()), (asleep(Rest::Stopped), None));
}

#[test]
fn a_client_wakes_what_is_paused_and_it_sleeps_no_deeper() {
    let mut rig = paused();
    let (admission, asked) = rig.acquire();
    assert_eq!((admission, asked), (Admission::Waiting, vec![rig.start()]));
    rig.start_ends(Ok(Seen::Running));
    rig.ready();
    assert_eq!(rig.core.deadline(), None);
}

#[test]
fn what_is_pinned_sleeps_no_deeper_until_the_pin_is_gone() {
    let mut rig = paused();
    rig.tell(Event::Pin);
    assert_eq!(rig.core.deadline(), None);
    rig.pass(PAUSE);
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), Some(deeper_at(&rig)));
}

#[test]
fn a_lease_of_a_life_that_is_over_holds_off_the_deeper_sleep() {
    let mut rig = Rig::awake_under(tiers());
    rig.look(PAUSED);
    assert_eq!(rig.core.deadline(), None);
    rig.tell(Event::Release);
    assert_eq!(rig.core.deadline(), Some(deeper_at(&rig)));
}

#[test]
fn looks_that_say_again_that_it_is_paused_do_not_put_off_the_deeper_sleep() {
    let mut rig = paused();
    rig.pass(ALMOST_DEEPER);
    rig.look(PAUSED);
    let asked = rig.pass(SECOND);
    assert_eq!(asked, [rig.stop()]);
}

#[test]
fn after_a_failed_thaw_it_is_paused_still_and_to_be_stopped() {
    let mut rig = paused();
    rig.acquire();
    rig.start_ends(Ok(PAUSED));
    assert_eq!(rig.core.deadline(), Some(deeper_at(&rig)));
    assert_eq!(rig.core.back_off(rig.now), Some(SECOND));
}

#[test]
fn a_deeper_sleep_that_failed_is_tried_again_soon_unless_it_is_used_meanwhile() {
    for end in [Ok(PAUSED), Err(Cause::EngineAway)] {
        let mut rig = paused();
        rig.pass(PAUSE);
        rig.stop_ends(end);
        assert_eq!(rig.core.deadline(), Some((rig.now + SECOND, Due::Deeper)));
        rig.look(PAUSED);
        let asked = rig.pass(SECOND);
        assert_eq!(asked, [rig.stop()]);
        rig.tell(Event::Pin);
        rig.stop_ends(end);
        assert_eq!(rig.core.phase(), asleep(Rest::Paused));
    }
}

#[test]
fn whoever_comes_during_a_deeper_sleep_is_served_however_it_ends() {
    for end in [Ok(PAUSED), Ok(STOPPED), Err(Cause::EngineAway)] {
        let mut rig = paused();
        rig.pass(PAUSE);
        assert_eq!(rig.acquire(), (Admission::Waiting, vec![]));
        let asked = rig.stop_ends(end);
        assert_eq!(asked, [rig.start()]);
    }
}

#[test]
fn at_the_end_of_the_daemon_what_it_has_paused_is_stopped() {
    let forever = Policy { tiers: Tiers { first: Depth::Pause, deeper: None }, ..plain() };
    for policy in [tiers(), forever] {
        let mut rig = Rig::unused_under(policy.clone());
        rig.pass(IDLE);
        rig.stop_ends(Ok(PAUSED));
        let asked = rig.tell(Event::Retire);
        assert_eq!(asked, [rig.stop()]);
        // So is what could not be thawed.
        let mut rig = Rig::of(policy);
        rig.look(PAUSED);
        rig.acquire();
        rig.start_ends(Ok(PAUSED));
        let asked = rig.tell(Event::Retire);
        assert_eq!(asked, [rig.stop()]);
    }
    // What others have paused is theirs.
    let mut rig = Rig::asleep();
    rig.look(PAUSED);
    assert_eq!(rig.tell(Event::Retire), []);
}

#[test]
fn another_policy_moves_the_deeper_sleep_from_its_beginning() {
    let deeper =
        |after| Policy { tiers: Tiers { first: Depth::Pause, deeper: Some(after) }, ..plain() };
    let mut rig = paused();
    rig.pass(100 * SECOND);
    rig.reconfigure(deeper(300 * SECOND), Reach::Same);
    assert_eq!(rig.core.deadline(), Some((rig.now + 200 * SECOND, Due::Deeper)));
    rig.reconfigure(plain(), Reach::Same);
    assert_eq!(rig.core.deadline(), None);
    rig.reconfigure(tiers(), Reach::Same);
    assert_eq!(rig.core.deadline(), Some(deeper_at(&rig)));
}

#[test]
fn it_sleeps_when_its_window_is_over_and_the_answer_is_yes() {
    let (mut rig, question) = asked();
    assert_eq!(rig.core.deadline(), None);
    rig.pass(LEAD);
    let told = rig.tell(Event::Answered(question, Permission::Given));
    assert_eq!(told, [Action::EndAsking, rig.stop()]);
}

#[test]
fn a_yes_before_the_end_of_the_window_is_none() {
    let (mut rig, question) = asked();
    assert_eq!(rig.tell(Event::Answered(question, Permission::Given)), []);
    let again = rig.pass(SECOND);
    assert!(matches!(again[..], [Action::Ask { question: next, .. }] if next != question));
}

#[test]
fn after_a_no_it_is_asked_again_in_time_for_the_next_end() {
    let (mut rig, question) = asked();
    assert_eq!(rig.tell(Event::Answered(question, Permission::Denied)), []);
    assert_eq!(rig.core.deadline(), Some((rig.now + REST_OF_INTERVAL, Due::Ask)));
    let until = rig.now + INTERVAL;
    let again = rig.pass(REST_OF_INTERVAL);
    assert_eq!(again, [Action::Ask { question: question.next(), until }]);
    // The answer to the first comes again.
    rig.pass(LEAD);
    assert_eq!(rig.tell(Event::Answered(question, Permission::Given)), []);
}

#[test]
fn whoever_comes_ends_the_asking_and_a_late_yes_is_none() {
    let uses: [fn(&mut Rig) -> Vec<Action>; 4] = [
        |rig| rig.acquire().1,
        |rig| rig.tell(Event::Pin),
        |rig| rig.look(Seen::Renewed),
        |rig| rig.look(STOPPED),
    ];
    for used in uses {
        let (mut rig, question) = asked();
        assert_eq!(used(&mut rig), [Action::EndAsking]);
        rig.pass(LEAD);
        assert_eq!(rig.tell(Event::Answered(question, Permission::Given)), []);
    }
    let mut rig = Rig::of(asks());
    rig.look(Seen::Running);
    rig.pass(UNTIL_ASKED);
    let (_, told) = rig.acquire();
    assert_eq!(told, [Action::EndAsking, rig.probe()]);
}

#[test]
fn told_to_sleep_while_somebody_is_asked_it_does() {
    for event in [Event::Sleep, Event::SleepAnyway, Event::Retire] {
        let (mut rig, _) = asked();
        let told = rig.tell(event);
        assert_eq!(told, [Action::EndAsking, rig.stop()]);
    }
}

#[test]
fn another_policy_ends_the_asking_and_asks_anew_or_not_at_all() {
    for reach in [Reach::Same, Reach::Changed] {
        let (mut rig, question) = asked();
        assert_eq!(rig.reconfigure(asks(), reach), [Action::EndAsking]);
        let until = rig.now + LEAD;
        let again = rig.pass(Duration::ZERO);
        assert_eq!(again, [Action::Ask { question: question.next(), until }]);
        let (mut rig, _) = asked();
        assert_eq!(rig.reconfigure(plain(), reach), [Action::EndAsking]);
        let told = rig.pass(LEAD);
        assert_eq!(told, [rig.stop()]);
    }
}

#[test]
fn a_window_that_was_put_off_ends_no_later_than_a_new_one_under_another_policy() {
    let (mut rig, question) = asked();
    rig.tell(Event::Answered(question, Permission::Denied));
    rig.reconfigure(Policy::new(Window::After(SECOND), TIMEOUT), Reach::Same);
    assert_eq!(rig.core.deadline(), Some((rig.now, Due::Idle)));
    let lasting = Policy { min_awake: 100 * IDLE, ..plain() };
    let mut rig = Rig::unused_under(lasting);
    rig.reconfigure(plain(), Reach::Same);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
}

#[test]
fn in_a_dry_run_it_is_said_once_a_window_and_nothing_sleeps() {
    let mut rig = Rig::unused_under(dry());
    assert_eq!(rig.pass(IDLE), [Action::WouldSleep]);
    assert_eq!((rig.core.phase().idle(), rig.core.deadline()), (Some(Idle::Dry), None));
    assert_eq!(rig.acquire(), (Admission::Granted, vec![]));
    rig.tell(Event::Release);
    assert_eq!(rig.pass(ALMOST), []);
    assert_eq!(rig.pass(SECOND), [Action::WouldSleep]);
    // Who says that it is to sleep means it.
    let told = rig.tell(Event::Sleep);
    assert_eq!(told, [rig.stop()]);
}

#[test]
fn in_a_dry_run_the_question_is_asked() {
    let mut rig = Rig::unused_under(Policy { practice: Practice::Dry, ..asks() });
    rig.pass(UNTIL_ASKED);
    rig.pass(LEAD);
    let Some(Idle::Asking(_, question)) = rig.core.phase().idle() else { panic!() };
    let told = rig.tell(Event::Answered(question, Permission::Given));
    assert_eq!(told, [Action::WouldSleep]);
}

#[test]
fn in_a_dry_run_what_is_paused_stays_so_whatever_looks_say() {
    let mut rig = Rig::of(Policy { practice: Practice::Dry, ..tiers() });
    rig.look(PAUSED);
    assert_eq!(rig.pass(PAUSE), []);
    assert_eq!(rig.core.phase(), asleep(Rest::Paused));
}

#[test]
fn the_end_of_a_dry_run_begins_a_window_and_its_beginning_keeps_one() {
    let mut rig = Rig::unused_under(dry());
    rig.pass(IDLE);
    rig.reconfigure(dry(), Reach::Changed);
    assert_eq!(rig.core.phase(), Phase::Found { idle: Idle::Dry });
    rig.reconfigure(plain(), Reach::Same);
    assert_eq!(rig.core.deadline(), Some((rig.now + IDLE, Due::Idle)));
    rig.pass(ALMOST);
    rig.reconfigure(dry(), Reach::Same);
    assert_eq!(rig.pass(SECOND), [Action::WouldSleep]);
}

#[test]
fn a_silent_client_is_unused_since_it_fell_silent() {
    let mut rig = Rig::awake();
    let since = rig.now;
    rig.pass(100 * SECOND);
    rig.tell(Event::Doze(since));
    assert_eq!((rig.core.leases(), rig.core.silent()), (0, 1));
    assert_eq!(rig.core.deadline(), Some((since + IDLE, Due::Idle)));
    rig.tell(Event::ReleaseSilent);
    assert_eq!((rig.core.leases(), rig.core.silent()), (0, 0));
    assert_eq!(rig.core.deadline(), Some((since + IDLE, Due::Idle)));
}

#[test]
fn who_falls_silent_does_not_take_from_the_window_of_who_used_it_longer() {
    let mut rig = Rig::awake();
    let since = rig.now;
    rig.acquire();
    rig.pass(100 * SECOND);
    rig.tell(Event::Release);
    let used = rig.now;
    rig.pass(100 * SECOND);
    rig.tell(Event::Doze(since));
    assert_eq!(rig.core.deadline(), Some((used + IDLE, Due::Idle)));
    // That was another time.
    rig.acquire();
    rig.pass(10 * IDLE);
    let since = rig.now;
    rig.pass(SECOND);
    rig.tell(Event::Doze(since));
    assert_eq!(rig.core.deadline(), Some((since + IDLE, Due::Idle)));
}

#[test]
fn a_silent_client_that_stirs_uses_it_again_and_ends_the_asking() {
    let (mut rig, _) = asked();
    rig.acquire();
    rig.tell(Event::Doze(rig.now));
    rig.pass(UNTIL_ASKED);
    let mut out = Vec::new();
    assert!(rig.core.stirs(&mut out));
    assert_eq!(out, [Action::EndAsking]);
    assert_eq!((rig.core.leases(), rig.core.silent(), rig.core.deadline()), (1, 0, None));
}

#[test]
fn a_silent_client_that_stirs_too_late_is_cut_off() {
    let mut rig = Rig::awake();
    rig.tell(Event::Doze(rig.now));
    rig.pass(IDLE);
    for end in [None, Some(Ok(STOPPED))] {
        end.map(|end| rig.stop_ends(end));
        let mut out = Vec::new();
        assert!(!rig.core.stirs(&mut out));
        assert_eq!((out, rig.core.leases(), rig.core.silent()), (vec![], 0, 1));
    }
}

#[test]
fn who_is_no_use_is_let_in_to_an_awake_target_only_and_changes_nothing() {
    let mut rig = Rig::unused_under(plain());
    let deadline = rig.core.deadline();
    assert_eq!(rig.core.acquire_uncounted(), Some(Admission::Granted));
    assert_eq!((rig.core.silent(), rig.core.deadline()), (1, deadline));
    for mut rig in [Rig::asleep(), Rig::starting(), Rig::probing(), Rig::found(), Rig::stopping()] {
        assert_eq!(rig.core.acquire_uncounted(), None);
        assert_eq!(rig.core.silent(), 0);
    }
    let mut rig = Rig::starting();
    rig.tell(Event::Leave(Client(1)));
    assert_eq!(rig.core.acquire_uncounted(), None);
}
