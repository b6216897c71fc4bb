//! What somebody else does to the target.

use std::time::Duration;

use ondemand_container::activation::{Cause, Phase, Refused, Rest};
use ondemand_container::clock::instant;
use ondemand_container::engine::State;
use tokio::time::sleep;

use crate::support::{WINDOW, rig};

#[tokio::test(start_paused = true)]
async fn found_awake_its_idle_window_begins() {
    let rig = rig(WINDOW);
    rig.until_asleep().await;
    rig.engine.start_behind_our_back();
    rig.until("found", |phase| matches!(phase, Phase::Found { .. })).await;
    let since = instant();
    rig.until_asleep().await;
    assert!(since.elapsed() + Duration::from_secs(1) >= WINDOW);
    assert_eq!(rig.engine.state(), State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn killed_while_used_it_is_started_for_the_next_client() {
    let rig = rig(WINDOW);
    let used = rig.service.acquire(None).await.unwrap();
    rig.engine.kill_behind_our_back();
    rig.until_asleep().await;
    assert!(!used.is_current());
    let next = rig.service.acquire(None).await.unwrap();
    assert!(rig.engine.is_ready() && next.is_current());
    assert_eq!(rig.engine.counts().starts, 2);
}

#[tokio::test(start_paused = true)]
async fn killed_and_started_within_one_event_it_is_probed_anew() {
    let rig = rig(WINDOW);
    let used = rig.service.acquire(None).await.unwrap();
    rig.engine.kill_behind_our_back();
    rig.engine.start_behind_our_back();
    rig.until("found", |phase| matches!(phase, Phase::Found { .. })).await;
    assert!(!used.is_current());
    drop(rig.service.acquire(None).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn paused_it_is_resumed_for_the_next_client() {
    let rig = rig(WINDOW);
    drop(rig.service.acquire(None).await.unwrap());
    rig.engine.pause_behind_our_back();
    rig.until("paused", |phase| matches!(phase, Phase::Asleep { rest: Rest::Paused, .. })).await;
    drop(rig.service.acquire(None).await.unwrap());
    assert_eq!((rig.engine.counts().starts, rig.engine.counts().resumes), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn removed_it_is_a_clear_error_and_served_once_made_anew() {
    let rig = rig(WINDOW);
    drop(rig.service.acquire(None).await.unwrap());
    rig.engine.remove();
    rig.until("missing", |phase| matches!(phase, Phase::Asleep { rest: Rest::Missing, .. })).await;
    let refused = rig.service.acquire(None).await.unwrap_err();
    assert_eq!(refused, Refused::Failed(Cause::Missing));
    rig.engine.create();
    rig.until("asleep", |phase| matches!(phase, Phase::Asleep { rest: Rest::Stopped, .. })).await;
    drop(rig.service.acquire(None).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn clients_that_suspect_the_target_cost_twenty_looks_a_second_at_most() {
    let rig = rig(WINDOW);
    let lease = rig.service.acquire(None).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let before = rig.engine.counts().inspects;
    let since = instant();
    while since.elapsed() < Duration::from_secs(1) {
        assert!(lease.goes_on().await);
    }
    let looks = rig.engine.counts().inspects - before;
    assert!((15..=21).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn a_suspected_target_is_vouched_for_by_nobody_while_the_engine_is_away() {
    let rig = rig(WINDOW);
    let lease = rig.service.acquire(None).await.unwrap();
    rig.engine.go_away();
    rig.engine.kill_behind_our_back();
    let asked = tokio::time::timeout(WINDOW, lease.goes_on()).await;
    assert!(asked.is_err(), "its address may be somebody else's");
    rig.engine.come_back();
    assert!(!lease.goes_on().await);
}
