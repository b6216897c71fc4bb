//! What fails, and what comes of it.

use std::time::Duration;

use ondemand_container::activation::{Cause, Phase, Refused};
use ondemand_container::clock::instant;
use ondemand_container::config::OnExit;
use ondemand_container::engine::State;
use ondemand_container::engine::fake::{Delays, Outcome};
use tokio::time::sleep;

use crate::support::{START_TIMEOUT, WINDOW, rig, rig_with};

#[tokio::test(start_paused = true)]
async fn a_refused_start_refuses_the_client_and_backs_off_one_second_then_two() {
    let rig = rig(WINDOW);
    rig.engine.script_starts([Outcome::Refused("no".to_owned()), Outcome::Exits(3)]);
    let refused = rig.service.acquire(None).await.unwrap_err();
    assert_eq!(refused, Refused::Failed(Cause::StartFailed));
    let refused = rig.service.acquire(None).await.unwrap_err();
    assert!(matches!(refused, Refused::BackOff(left) if left <= Duration::from_secs(1)));
    assert_eq!(rig.engine.counts().starts, 1, "a client in the back-off starts nothing");
    sleep(Duration::from_secs(1)).await;
    let refused = rig.service.acquire(None).await.unwrap_err();
    assert_eq!(refused, Refused::Failed(Cause::Exited));
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(rig.service.acquire(None).await.unwrap_err(), Refused::BackOff(_)));
    sleep(Duration::from_secs(1)).await;
    drop(rig.service.acquire(None).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_errors_though_the_target_runs_serves() {
    for outcome in [Outcome::DoneButRefused("odd".to_owned()), Outcome::DoneUnanswered] {
        let rig = rig(WINDOW);
        rig.engine.script_starts([outcome]);
        drop(rig.service.acquire(None).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_got_lost_is_asked_again() {
    let rig = rig(WINDOW);
    rig.engine.script_starts([Outcome::Lost]);
    drop(rig.service.acquire(None).await.unwrap());
    assert_eq!(rig.engine.counts().starts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_never_ready_is_stopped_at_the_start_timeout() {
    let never = Duration::from_secs(10_000)..Duration::from_secs(10_001);
    let delays = Delays { boot: never, ..Delays::default() };
    let rig = rig_with(WINDOW, 1, delays, OnExit::Leave);
    rig.until_asleep().await;
    let since = instant();
    let refused = rig.service.acquire(None).await.unwrap_err();
    assert_eq!(refused, Refused::Failed(Cause::NotReady));
    assert!(since.elapsed() >= START_TIMEOUT && since.elapsed() < START_TIMEOUT * 2);
    rig.until_asleep().await;
    assert_eq!(rig.engine.state(), State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_dies_while_it_boots_refuses_at_once() {
    let slow = Duration::from_secs(10)..Duration::from_secs(11);
    let rig = rig_with(WINDOW, 1, Delays { boot: slow, ..Delays::default() }, OnExit::Leave);
    let waiting = tokio::spawn({
        let service = rig.service.clone();
        async move { service.acquire(None).await.map(drop) }
    });
    rig.until("probing", |phase| matches!(phase, Phase::Probing { .. })).await;
    rig.engine.kill_behind_our_back();
    let since = instant();
    assert_eq!(waiting.await.unwrap(), Err(Refused::Failed(Cause::Exited)));
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_fails_leaves_it_awake_and_is_tried_after_another_window() {
    let rig = rig(WINDOW);
    rig.engine.script_stops([Outcome::Refused("no".to_owned())]);
    drop(rig.service.acquire(None).await.unwrap());
    rig.until("stopping", |phase| phase.is_stopping()).await;
    rig.until("found", |phase| matches!(phase, Phase::Found { .. })).await;
    let starts = rig.engine.counts().starts;
    drop(rig.service.acquire(None).await.unwrap());
    assert_eq!(rig.engine.counts().starts, starts, "it is still awake and serves");
    let since = instant();
    rig.until_asleep().await;
    assert!(since.elapsed() >= WINDOW);
    assert_eq!(rig.engine.counts().stops, 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_not_answered_is_followed_up_before_anybody_is_served() {
    for outcome in [Outcome::DoneUnanswered, Outcome::Lost] {
        let rig = rig(WINDOW);
        rig.engine.script_stops([outcome]);
        drop(rig.service.acquire(None).await.unwrap());
        rig.until("stopping", |phase| phase.is_stopping()).await;
        let lease = rig.service.acquire(None).await.unwrap();
        assert!(rig.engine.is_ready());
        assert_eq!(rig.engine.counts().starts, 2);
        drop(lease);
        rig.assert_no_faults();
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_engine_away_an_awake_target_is_served_and_an_asleep_one_waited_for() {
    let rig = rig(WINDOW);
    drop(rig.service.acquire(None).await.unwrap());
    rig.engine.go_away();
    // The stop cannot be asked for: it stays awake, and serves.
    sleep(WINDOW * 2).await;
    assert_eq!(rig.engine.state(), State::Running);
    rig.engine.come_back();
    rig.until_asleep().await;

    rig.engine.go_away();
    let waiting = tokio::spawn({
        let service = rig.service.clone();
        async move { service.acquire(None).await.map(drop) }
    });
    sleep(START_TIMEOUT / 2).await;
    assert_eq!(rig.service.status().waiting, 1);
    rig.engine.come_back();
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_engine_that_stays_away_is_refused_at_its_deadline() {
    let rig = rig(WINDOW);
    rig.until_asleep().await;
    rig.engine.go_away();
    let since = instant();
    assert!(rig.service.acquire(None).await.is_err());
    assert!(since.elapsed() >= START_TIMEOUT);
    assert!(since.elapsed() < START_TIMEOUT + Duration::from_secs(5));
    rig.engine.come_back();
    rig.until_asleep().await;
    drop(rig.service.acquire(None).await.unwrap());
}
