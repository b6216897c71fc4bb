//! Clients that are silent: what they are worth, and what they are told.

use std::time::Duration;

use ondemand_container::activation::{Asking, Phase, Policy};
use ondemand_container::clock::instant;
use ondemand_container::config::OnExit;
use ondemand_container::config::rules::{Condition, MaySleep};
use ondemand_container::driver::Target;
use ondemand_container::engine::fake::{Delays, FakeEngine};
use ondemand_container::port::Port;
use tokio::time::{sleep, timeout};

use crate::support::{WINDOW, policy, rig, rig_of, target};

const SECOND: Duration = Duration::from_secs(1);

/// A window but for that.
const ALMOST: Duration = WINDOW.checked_sub(SECOND).unwrap();

#[tokio::test(start_paused = true)]
async fn a_silent_client_keeps_it_awake_no_longer_and_hears_of_its_sleep() {
    let rig = rig(WINDOW);
    let mut held = rig.service.acquire(None).await.unwrap().hold();
    sleep(10 * WINDOW).await;
    let since = held.now();
    held.doze(since);
    assert_eq!((rig.service.status().leases, rig.service.status().silent), (0, 1));
    let told = tokio::spawn(held.put_to_sleep());
    let silent = instant();
    told.await.unwrap();
    assert_eq!(silent.elapsed().as_secs(), WINDOW.as_secs());
    assert!(rig.service.status().phase.is_stopping());
    assert!(!held.stirs(), "it is too late for it");
    rig.until_asleep().await;
    assert!(!held.stirs());
    drop(held);
    assert_eq!(rig.service.status().silent, 0);
    assert_eq!((rig.engine.counts().starts, rig.engine.counts().stops), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_stirs_in_time_keeps_it_awake_without_an_engine_call() {
    let rig = rig(WINDOW);
    let mut held = rig.service.acquire(None).await.unwrap().hold();
    sleep(SECOND).await;
    let before = rig.engine.counts();
    for _ in 0..3 {
        held.doze(held.now());
        sleep(ALMOST).await;
        assert!(held.stirs());
        assert_eq!((rig.service.status().leases, rig.service.status().silent), (1, 0));
        sleep(10 * WINDOW).await;
        assert_eq!(rig.engine.counts(), before);
    }
    // From the last byte.
    held.doze(held.now());
    drop(held);
    rig.until_asleep().await;
    rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn one_that_stirs_ends_the_asking() {
    let condition = Some(Condition::Exec(vec!["idle".to_owned()]));
    let target = Target { may_sleep: MaySleep { condition, ..MaySleep::default() }, ..target() };
    let asking = Some(Asking { lead: Duration::ZERO, interval: WINDOW });
    let delays = Delays { inspect: 2 * SECOND..3 * SECOND, ..Delays::default() };
    let engine = FakeEngine::new(1, delays);
    let rig = rig_of(target, Policy { asking, ..policy(WINDOW) }, engine, OnExit::Leave);
    let mut held = rig.service.acquire(None).await.unwrap().hold();
    held.doze(held.now());
    sleep(WINDOW + SECOND).await;
    assert_eq!(rig.engine.counts().execs, 1);
    assert!(held.stirs());
    sleep(10 * WINDOW).await;
    assert_eq!((rig.engine.counts().execs, rig.engine.counts().stops), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_uses_it_keeps_it_awake_for_the_silent_ones_too() {
    let rig = rig(WINDOW);
    let user = rig.service.acquire(None).await.unwrap();
    let mut silent = rig.service.acquire(None).await.unwrap().hold();
    silent.doze(silent.now());
    let told = silent.put_to_sleep();
    assert!(timeout(10 * WINDOW, told).await.is_err());
    drop(user);
    let told = silent.put_to_sleep();
    assert!(timeout(WINDOW + SECOND, told).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_that_never_counts_is_served_while_it_is_awake_and_wakes_nobody() {
    let rig = rig(WINDOW);
    let port = Port::tcp(80);
    rig.until_asleep().await;
    assert!(rig.service.acquire_uncounted(port).is_none());
    drop(rig.service.acquire(None).await.unwrap());
    let mut monitor = rig.service.acquire_uncounted(port).unwrap().hold();
    sleep(WINDOW / 2).await;
    assert!(monitor.stirs() && !monitor.counts());
    let since = instant();
    timeout(WINDOW, monitor.put_to_sleep()).await.unwrap();
    assert!(since.elapsed() <= WINDOW / 2, "its bytes begin no window anew");
    assert!(!monitor.stirs());
    drop(monitor);
    rig.until("asleep", |phase| matches!(phase, Phase::Asleep { .. })).await;
    assert_eq!(rig.engine.counts().starts, 1);
}
