//! Wake, use, sleep.

use std::time::Duration;

use ondemand_container::activation::Phase;
use ondemand_container::clock::instant;
use ondemand_container::config::OnExit;
use ondemand_container::engine::State;
use ondemand_container::engine::fake::Delays;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{WINDOW, rig, rig_with};

#[tokio::test(start_paused = true)]
async fn one_start_serves_a_thousand_clients() {
    let rig = rig(WINDOW);
    let mut clients = JoinSet::new();
    for _ in 0..1000 {
        let service = rig.service.clone();
        clients.spawn(async move { service.acquire(None).await });
    }
    let leases = clients.join_all().await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(rig.engine.counts().starts, 1);
    assert_eq!(rig.service.status().leases, 1000);
    drop(leases);
    assert_eq!(rig.service.status().leases, 0);
}

#[tokio::test(start_paused = true)]
async fn it_sleeps_one_window_after_the_last_lease() {
    let rig = rig(WINDOW);
    let first = rig.service.acquire(None).await.unwrap();
    let second = rig.service.acquire(None).await.unwrap();
    drop(first);
    sleep(WINDOW * 3).await;
    assert_eq!(rig.engine.counts().stops, 0, "a lease keeps it awake");
    drop(second);
    let since = instant();
    rig.until_asleep().await;
    assert!(since.elapsed() >= WINDOW && since.elapsed() < WINDOW + Duration::from_secs(1));
    assert_eq!(rig.engine.counts().stops, 1);
}

#[tokio::test(start_paused = true)]
async fn an_awake_acquire_asks_the_engine_nothing() {
    let rig = rig(WINDOW);
    let first = rig.service.acquire(None).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let before = rig.engine.counts();
    for _ in 0..100 {
        drop(rig.service.acquire(None).await.unwrap());
    }
    assert_eq!(rig.engine.counts(), before);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn who_comes_during_a_stop_waits_for_it_and_is_served_by_a_new_start() {
    let slow_stop = Duration::from_secs(5)..Duration::from_secs(6);
    let delays = Delays { stop: slow_stop, ..Delays::default() };
    let rig = rig_with(WINDOW, 1, delays, OnExit::Leave);
    drop(rig.service.acquire(None).await.unwrap());
    rig.until("stopping", |phase| phase.is_stopping()).await;
    let lease = rig.service.acquire(None).await.unwrap();
    assert!(rig.engine.is_ready());
    assert_eq!((rig.engine.counts().starts, rig.engine.counts().stops), (2, 1));
    drop(lease);
    rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_forgotten_and_the_target_sleeps_again() {
    let rig = rig(WINDOW);
    tokio::select! {
        _ = rig.service.acquire(None) => panic!("nothing is ready that soon"),
        () = sleep(Duration::from_millis(20)) => {}
    }
    assert_eq!(rig.service.status().waiting, 0);
    rig.until("found", |phase| matches!(phase, Phase::Found { .. })).await;
    rig.until_asleep().await;
    assert_eq!(rig.engine.state(), State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn ending_refuses_who_waits_and_leaves_or_stops_the_target() {
    for (on_end, state) in [(OnExit::Leave, State::Running), (OnExit::Stop, State::Stopped)] {
        let rig = rig_with(WINDOW, 1, Delays::default(), on_end);
        drop(rig.service.acquire(None).await.unwrap());
        rig.end.cancel();
        rig.task.await.unwrap();
        assert_eq!(rig.engine.state(), state, "{on_end:?}");
        assert!(rig.service.acquire(None).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn ending_with_stop_during_a_start_stops_what_was_started() {
    let rig = rig_with(WINDOW, 1, Delays::default(), OnExit::Stop);
    let waiting = tokio::spawn({
        let service = rig.service.clone();
        async move { service.acquire(None).await.is_err() }
    });
    rig.until("starting", |phase| matches!(phase, Phase::Starting { .. })).await;
    rig.end.cancel();
    rig.task.await.unwrap();
    assert!(waiting.await.unwrap());
    assert_eq!(rig.engine.state(), State::Stopped);
}
