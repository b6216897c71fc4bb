//! When it sleeps and how deep: tiers, who is asked before, how long it is awake at least, stubborn
//! stops, and a dry run.

use std::sync::Arc;
use std::time::Duration;

use ondemand_container::activation::{
    Asking, Depth, Idle, Phase, Policy, Practice, Reach, Rest, Tiers,
};
use ondemand_container::clock::instant;
use ondemand_container::config::OnExit;
use ondemand_container::config::rules::{Busy, Condition, MaySleep};
use ondemand_container::driver::{Setup, Target};
use ondemand_container::engine::fake::{Delays, FakeEngine};
use ondemand_container::engine::{State, Usage};
use ondemand_container::port::Port;
use tokio::time::{sleep, timeout};

use crate::support::{Rig, START_TIMEOUT, WINDOW, policy, rig_of, target};

const SECOND: Duration = Duration::from_secs(1);

/// A window but for that.
const ALMOST: Duration = WINDOW.checked_sub(SECOND).unwrap();

/// After a no.
const INTERVAL: Duration = Duration::from_secs(30);

const PAUSE: Tiers = Tiers { first: Depth::Pause, deeper: None };

fn tiers(deeper: Duration) -> Tiers {
    Tiers { deeper: Some(deeper), ..PAUSE }
}

fn rig_by(policy: Policy) -> Rig {
    rig_slow(target(), policy, Delays::default())
}

fn rig_slow(target: Target, policy: Policy, delays: Delays) -> Rig {
    rig_of(target, policy, FakeEngine::new(1, delays), OnExit::Leave)
}

fn exactly(time: Duration) -> std::ops::Range<Duration> {
    time..time + Duration::from_micros(1)
}

/// Used once, and no longer.
async fn use_once(rig: &Rig) {
    drop(rig.service.acquire(None).await.unwrap());
}

async fn until_rests(rig: &Rig, rest: Rest) {
    let rests = |phase| matches!(phase, Phase::Asleep { rest: seen, .. } if seen == rest);
    rig.until(&format!("{rest:?}"), rests).await;
}

/// Nothing is asked of the engine in all that time.
async fn left_alone(rig: &Rig, time: Duration) {
    // What was done is yet to be heard of.
    sleep(SECOND).await;
    let before = rig.engine.counts();
    sleep(time.checked_sub(SECOND).unwrap()).await;
    assert_eq!(rig.engine.counts(), before);
}

fn tell(rig: &Rig, target: Target, policy: Policy) {
    let setup = Setup { target: Arc::new(target), policy, on_exit: OnExit::Leave };
    rig.service.reconfigure(setup, Reach::Same);
}

#[tokio::test(start_paused = true)]
async fn it_is_paused_thawed_for_a_client_and_stopped_in_the_end() {
    let rig = rig_by(Policy { tiers: tiers(10 * WINDOW), ..policy(WINDOW) });
    use_once(&rig).await;
    for wakes in 1..=3 {
        let unused = instant();
        until_rests(&rig, Rest::Paused).await;
        assert!(unused.elapsed() >= WINDOW && unused.elapsed() < WINDOW + SECOND);
        left_alone(&rig, 9 * WINDOW).await;
        let came = instant();
        use_once(&rig).await;
        assert!(came.elapsed() < SECOND);
        let counts = rig.engine.counts();
        assert_eq!((counts.starts, counts.resumes, counts.stops), (1, wakes, 0));
    }
    until_rests(&rig, Rest::Paused).await;
    let paused = instant();
    left_alone(&rig, 9 * WINDOW + ALMOST).await;
    assert_eq!(rig.engine.state(), State::Paused);
    until_rests(&rig, Rest::Stopped).await;
    assert!(paused.elapsed() >= 10 * WINDOW && paused.elapsed() < 10 * WINDOW + SECOND);
    let counts = rig.engine.counts();
    // It is thawed before it is stopped, and only then.
    assert_eq!((counts.starts, counts.resumes, counts.pauses, counts.stops), (1, 4, 4, 1));
    left_alone(&rig, 100 * WINDOW).await;
    use_once(&rig).await;
    assert_eq!((rig.engine.counts().starts, rig.engine.counts().resumes), (2, 4));
    rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn without_a_second_tier_it_stays_paused() {
    let rig = rig_by(Policy { tiers: PAUSE, ..policy(WINDOW) });
    use_once(&rig).await;
    until_rests(&rig, Rest::Paused).await;
    left_alone(&rig, 1000 * WINDOW).await;
    assert_eq!((rig.engine.state(), rig.engine.counts().stops), (State::Paused, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_during_the_pause_or_the_stop_of_a_paused_one_is_served_after_it() {
    let delays = Delays { stop: exactly(5 * SECOND), ..Delays::default() };
    let rig = rig_slow(target(), Policy { tiers: tiers(WINDOW), ..policy(WINDOW) }, delays);
    use_once(&rig).await;
    rig.until("being paused", |phase| phase.is_stopping()).await;
    use_once(&rig).await;
    let counts = rig.engine.counts();
    assert_eq!((counts.starts, counts.pauses, counts.resumes), (1, 1, 1));
    until_rests(&rig, Rest::Paused).await;
    rig.until("being stopped", |phase| phase.is_stopping()).await;
    use_once(&rig).await;
    let counts = rig.engine.counts();
    assert_eq!((counts.starts, counts.pauses, counts.stops), (2, 2, 1));
    rig.assert_no_faults();
}

/// Asked by a command in the container, with those answers.
fn asked(answers: &[i64], delays: Delays) -> Rig {
    let condition = Some(Condition::Exec(vec!["idle".to_owned()]));
    let target = Target { may_sleep: MaySleep { condition, ..MaySleep::default() }, ..target() };
    let asking = Some(Asking { lead: Duration::ZERO, interval: INTERVAL });
    let engine = FakeEngine::new(1, delays);
    engine.script_execs(answers.iter().copied());
    rig_of(target, Policy { asking, ..policy(WINDOW) }, engine, OnExit::Leave)
}

#[tokio::test(start_paused = true)]
async fn after_a_no_it_is_asked_again_after_the_interval() {
    let rig = asked(&[1, 3, 0], Delays::default());
    use_once(&rig).await;
    let unused = instant();
    for (asked, at) in [(0, WINDOW), (1, WINDOW + INTERVAL), (2, WINDOW + 2 * INTERVAL)] {
        sleep(at.saturating_sub(SECOND + unused.elapsed())).await;
        assert_eq!((rig.engine.counts().execs, rig.engine.state()), (asked, State::Running));
    }
    let why = rig.service.details().denied.unwrap();
    assert_eq!(&*why, "idle in the container says no (status 3)");
    rig.until_asleep().await;
    assert!(unused.elapsed() < WINDOW + 2 * INTERVAL + SECOND);
    assert_eq!((rig.engine.counts().execs, rig.engine.counts().stops), (3, 1));
    assert_eq!(rig.service.details().denied, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_ends_the_asking_and_is_served_at_once() {
    let delays = Delays { inspect: exactly(2 * SECOND), ..Delays::default() };
    let rig = asked(&[], delays);
    use_once(&rig).await;
    let asking = |phase| matches!(phase, Phase::Awake { idle: Idle::Asking(..) });
    for come in 1..=3 {
        rig.until("asking", asking).await;
        sleep(SECOND).await;
        let before = rig.engine.counts();
        assert_eq!(before.execs, come);
        let lease = rig.service.acquire_now(Port::tcp(80)).expect("it is awake");
        sleep(10 * WINDOW).await;
        // Its yes would have come a second later, and is not heard.
        assert_eq!(rig.engine.counts(), before);
        drop(lease);
    }
    let unused = instant();
    rig.until_asleep().await;
    assert!(unused.elapsed() > WINDOW + 2 * SECOND, "the last one is asked anew");
    assert_eq!((rig.engine.counts().execs, rig.engine.counts().stops), (4, 1));
}

fn measured() -> (Target, Policy) {
    let busy = Busy { cpu: Some(Duration::from_millis(50)), net: None };
    let target = Target { may_sleep: MaySleep { busy, ..MaySleep::default() }, ..target() };
    let asking = Some(Asking { lead: 10 * SECOND, interval: INTERVAL });
    (target, Policy { asking, ..policy(WINDOW) })
}

#[tokio::test(start_paused = true)]
async fn while_it_works_it_stays_awake() {
    let (target, policy) = measured();
    let rig = rig_slow(target, policy, Delays::default());
    let worked = |time| Usage { cpu: Some(time), ..Usage::default() };
    rig.engine.use_so_much(worked(SECOND));
    use_once(&rig).await;
    sleep(ALMOST).await;
    // In the last ten seconds of the window: a tenth of a processor.
    rig.engine.use_so_much(worked(2 * SECOND));
    sleep(2 * SECOND).await;
    assert_eq!(rig.engine.counts().stops, 0);
    let why = rig.service.details().denied.unwrap();
    assert!(why.starts_with("busy: cpu 10") && why.ends_with("> 5%"), "{why}");
    // Work before the measuring is none that counts.
    rig.engine.use_so_much(worked(10 * SECOND));
    let since = instant();
    rig.until_asleep().await;
    assert!(since.elapsed() < INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_measured_is_busy() {
    let (target, policy) = measured();
    let rig = rig_slow(target.clone(), policy.clone(), Delays::default());
    use_once(&rig).await;
    sleep(20 * WINDOW).await;
    assert_eq!(rig.engine.counts().stops, 0);
    // Nothing is measured any more: the window is over long since.
    tell(&rig, crate::support::target(), Policy { asking: None, ..policy });
    let since = instant();
    rig.until_asleep().await;
    assert!(since.elapsed() <= INTERVAL + SECOND, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn it_is_awake_for_so_long_at_least() {
    let rig = rig_by(Policy { min_awake: 5 * WINDOW, ..policy(Duration::ZERO) });
    let came = instant();
    for _ in 0..3 {
        use_once(&rig).await;
        sleep(WINDOW).await;
    }
    assert_eq!((rig.engine.counts().starts, rig.engine.counts().stops), (1, 0));
    rig.until_asleep().await;
    assert!(came.elapsed() >= 5 * WINDOW && came.elapsed() < 5 * WINDOW + 2 * SECOND);
    // Used for longer than that, it sleeps with the end of the use.
    let lease = rig.service.acquire(None).await.unwrap();
    sleep(6 * WINDOW).await;
    let unused = instant();
    drop(lease);
    rig.until_asleep().await;
    assert!(unused.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_stop_is_ended_for_clients_alone() {
    let delays = Delays { stop: exactly(100 * SECOND), ..Delays::default() };
    let kill_after = Some(5 * SECOND);
    let rig = rig_slow(target(), Policy { kill_after, ..policy(WINDOW) }, delays);
    use_once(&rig).await;
    rig.until("stopping", |phase| phase.is_stopping()).await;
    // Who leaves does not wait.
    let left = timeout(4 * SECOND, rig.service.acquire(None)).await;
    assert!(left.is_err());
    sleep(10 * SECOND).await;
    assert_eq!(rig.engine.counts().kills, 0);
    let came = instant();
    use_once(&rig).await;
    assert!(came.elapsed() > 5 * SECOND && came.elapsed() < 7 * SECOND, "{:?}", came.elapsed());
    let counts = rig.engine.counts();
    assert_eq!((counts.kills, counts.stops, counts.starts), (1, 1, 2));
    // Nobody waits: it has its time.
    let unused = instant();
    rig.until_asleep().await;
    assert!(unused.elapsed() >= WINDOW + 100 * SECOND);
    assert_eq!(rig.engine.counts().kills, 1);
    rig.assert_no_faults();
}

/// The stop ends by itself while the kill is on its way: the next run is none of its business.
#[tokio::test(start_paused = true)]
async fn a_kill_that_comes_late_does_not_meet_the_next_run() {
    let delays = Delays {
        stop: exactly(10 * SECOND),
        kill: exactly(3 * SECOND),
        start: exactly(SECOND),
        ..Delays::default()
    };
    let kill_after = Some(9 * SECOND);
    let rig = rig_slow(target(), Policy { kill_after, ..policy(WINDOW) }, delays);
    use_once(&rig).await;
    rig.until("stopping", |phase| phase.is_stopping()).await;
    let lease = rig.service.acquire(None).await.unwrap();
    sleep(10 * SECOND).await;
    assert!(lease.is_current(), "its run was killed");
    let counts = rig.engine.counts();
    assert_eq!((counts.kills, counts.stops, counts.starts), (1, 1, 2));
    rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_a_stubborn_stop_as_long_as_it_may() {
    let delays = Delays { stop: exactly(100 * SECOND), ..Delays::default() };
    let rig = rig_slow(target(), policy(WINDOW), delays);
    use_once(&rig).await;
    rig.until("stopping", |phase| phase.is_stopping()).await;
    let came = instant();
    assert!(rig.service.acquire(None).await.is_err());
    assert_eq!(came.elapsed().as_secs(), START_TIMEOUT.as_secs());
    assert_eq!(rig.engine.counts().kills, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_puts_nothing_to_sleep_until_it_is_over() {
    for tiers in [Tiers::STOP, tiers(WINDOW)] {
        let dry = Policy { practice: Practice::Dry, tiers, ..policy(WINDOW) };
        let rig = rig_by(dry.clone());
        use_once(&rig).await;
        left_alone(&rig, ALMOST).await;
        rig.until("done in words", |phase| phase.idle() == Some(Idle::Dry)).await;
        left_alone(&rig, 100 * WINDOW).await;
        let came = instant();
        use_once(&rig).await;
        assert_eq!(came.elapsed(), Duration::ZERO, "it is awake");
        left_alone(&rig, 100 * WINDOW).await;
        tell(&rig, target(), Policy { practice: Practice::Real, ..dry });
        let told = instant();
        rig.until_asleep().await;
        assert!(told.elapsed() <= WINDOW + SECOND);
        assert_eq!(rig.engine.counts().starts, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn other_tiers_hold_for_one_that_is_awake_or_paused() {
    let rig = rig_by(policy(WINDOW));
    use_once(&rig).await;
    sleep(WINDOW / 2).await;
    tell(&rig, target(), Policy { tiers: tiers(10 * WINDOW), ..policy(WINDOW) });
    let told = instant();
    until_rests(&rig, Rest::Paused).await;
    assert!(told.elapsed() < WINDOW / 2 + SECOND, "the window has begun before");
    sleep(WINDOW).await;
    tell(&rig, target(), Policy { tiers: PAUSE, ..policy(WINDOW) });
    left_alone(&rig, 100 * WINDOW).await;
    tell(&rig, target(), Policy { tiers: tiers(3 * WINDOW), ..policy(WINDOW) });
    left_alone(&rig, WINDOW).await;
    // From its beginning, of which one part of two is over.
    tell(&rig, target(), Policy { tiers: tiers(2 * WINDOW), ..policy(WINDOW) });
    let told = instant();
    until_rests(&rig, Rest::Stopped).await;
    assert!(told.elapsed() >= ALMOST && told.elapsed() < WINDOW + SECOND);
    rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_and_how_long_it_is_awake_at_least_may_change() {
    let rig = asked(&[1; 100], Delays::default());
    use_once(&rig).await;
    sleep(10 * WINDOW).await;
    assert_eq!((rig.engine.counts().stops, rig.engine.counts().execs > 10), (0, true));
    let others = Policy { min_awake: 12 * WINDOW, ..policy(WINDOW) };
    tell(&rig, target(), others);
    let execs = rig.engine.counts().execs;
    // From when it was told so.
    sleep(11 * WINDOW + ALMOST).await;
    assert_eq!((rig.engine.counts().stops, rig.engine.counts().execs), (0, execs));
    rig.until_asleep().await;
    // Asked from now on, and no longer awake than it has to be.
    let condition = Some(Condition::Exec(vec!["idle".to_owned()]));
    let asked = Target { may_sleep: MaySleep { condition, ..MaySleep::default() }, ..target() };
    use_once(&rig).await;
    let asking = Some(Asking { lead: Duration::ZERO, interval: INTERVAL });
    tell(&rig, asked, Policy { asking, ..policy(WINDOW) });
    sleep(2 * WINDOW).await;
    assert_eq!(rig.engine.counts().execs, execs + 2);
    tell(&rig, target(), policy(WINDOW));
    sleep(WINDOW).await;
    assert_eq!((rig.engine.counts().stops, rig.engine.counts().execs), (2, execs + 2));
}

#[tokio::test(start_paused = true)]
async fn whether_a_stop_is_hastened_may_change_while_it_goes_on() {
    let delays = Delays { stop: exactly(100 * SECOND), ..Delays::default() };
    let rig = rig_slow(target(), policy(WINDOW), delays);
    use_once(&rig).await;
    rig.until("stopping", |phase| phase.is_stopping()).await;
    tell(&rig, target(), Policy { kill_after: Some(SECOND), ..policy(WINDOW) });
    let came = instant();
    use_once(&rig).await;
    assert!(came.elapsed() < 3 * SECOND);
    assert_eq!(rig.engine.counts().kills, 1);
}
