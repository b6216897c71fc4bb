//! What is remembered of a service, and the idle window that is chosen by it.

use std::sync::Arc;
use std::time::Duration;

use ondemand_container::activation::{Depth, Window};
use ondemand_container::config::rules::Auto;
use ondemand_container::driver::{Details, Waker};
use ondemand_container::engine::Usage;
use ondemand_container::history::{Record, Told};
use tokio::time::sleep;

use crate::support::{Rig, WINDOW, rig};

const AUTO: Auto = Auto {
    least: Duration::from_secs(10),
    most: Duration::from_secs(7200),
    worth: Duration::from_secs(60),
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Rig {
    /// Uses it once, and leaves it alone for so long then.
    async fn use_and_leave(&self, gap: Duration) -> Details {
        drop(self.service.acquire(None).await.unwrap());
        sleep(gap).await;
        self.service.details()
    }
}

#[tokio::test(start_paused = true)]
async fn time_asleep_and_what_it_saves_are_counted_while_it_sleeps() {
    let rig = rig(WINDOW);
    rig.engine.use_so_much(Usage { memory: Some(1 << 30), ..Usage::default() });
    rig.until_asleep().await;
    let before = rig.service.details().so_far;
    drop(rig.service.acquire(None).await.unwrap());
    rig.until_asleep().await;
    sleep(secs(3600)).await;
    let so_far = rig.service.details().so_far;
    let asleep = so_far.asleep.total().saturating_sub(before.asleep.total());
    assert!(asleep >= secs(3600) && asleep < secs(3602), "{asleep:?}");
    assert!((so_far.saved_gib_hours - 1.0).abs() < 0.001, "{so_far:?}");
    assert_eq!((so_far.woken, so_far.asleep.paused_ms), (1, 0));
    assert_eq!(so_far.wake_p50, so_far.wake_p95);
    let record = rig.service.record();
    assert_eq!(record.freed.stopped, Some(1 << 30));
    assert_eq!(record.wakes[0].from, Some(Depth::Stop));
    assert_eq!(record.resting.map(|resting| resting.depth), Some(Depth::Stop));
}

#[tokio::test(start_paused = true)]
async fn who_has_woken_it_is_the_first_that_waited() {
    let rig = rig(WINDOW);
    rig.until_asleep().await;
    assert_eq!(rig.service.details().woken_by, None);
    let address = [192, 0, 2, 7].into();
    let first = rig.service.acquire_as(None, || Waker::Client(Some(address)));
    let (first, second) =
        tokio::join!(first, rig.service.acquire_as(None, || panic!("it has woken nothing")));
    drop((first.unwrap(), second.unwrap()));
    // Nor does one of an awake service say who it is.
    drop(rig.service.acquire_as(None, || panic!("it is awake")).await.unwrap());
    sleep(secs(7)).await;
    let (who, ago) = rig.service.details().woken_by.unwrap();
    assert_eq!((who, ago.as_secs()), (Waker::Client(Some(address)), 7));
    drop(rig.service.wake_as(Waker::Administrator).await.unwrap());
    assert_eq!(rig.service.details().woken_by.map(|(who, _)| who), Some(who));
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_goes_on_with_the_next() {
    let earlier = rig(WINDOW);
    earlier.use_and_leave(secs(1000)).await;
    let record = earlier.service.record();
    let next = rig(WINDOW);
    let told = Arc::new(Told::default());
    next.service.restore(record.clone(), told);
    next.until_asleep().await;
    drop(next.service.acquire(None).await.unwrap());
    let so_far = next.service.details().so_far;
    assert_eq!((so_far.woken, next.service.details().woken), (2, 1));
    assert!(so_far.asleep.stopped_ms >= record.asleep.stopped_ms);
    assert_eq!(next.service.record().wakes.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_window_is_chosen_by_gaps_with_and_without_a_sleep() {
    let rig = rig(WINDOW);
    rig.service.choose_window(Some(AUTO));
    let window = |details: &Details| match details.window {
        Window::After(window) => window,
        Window::Never => Duration::MAX,
    };
    // Nothing is known yet: what a cold start is worth.
    let details = rig.use_and_leave(secs(5)).await;
    assert_eq!(window(&details).as_secs(), 60);
    // It is used again before it would sleep, each time after 40 s.
    for _ in 0..4 {
        rig.use_and_leave(secs(40)).await;
    }
    assert_eq!(rig.engine.counts().starts, 1);
    let details = rig.use_and_leave(secs(1)).await;
    assert_eq!(window(&details), secs(42));
    // Then only ever for long: it is not worth to wait for.
    for _ in 0..20 {
        rig.use_and_leave(secs(86_400)).await;
    }
    let details = rig.use_and_leave(secs(1)).await;
    assert_eq!(window(&details), secs(10));
    let left = details.sleeps_in.unwrap();
    assert!(left <= secs(9) && left > secs(8), "{left:?}");
    rig.until_asleep().await;
    rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_remembered_chooses_from_the_start_and_a_given_window_is_left_alone() {
    let earlier = rig(WINDOW);
    earlier.service.choose_window(Some(AUTO));
    for _ in 0..3 {
        earlier.use_and_leave(secs(86_400)).await;
    }
    let record = earlier.service.record();
    let restored = |record: Record, auto| {
        let next = rig(WINDOW * 2);
        next.service.restore(record, Arc::default());
        next.service.choose_window(auto);
        next
    };
    let next = restored(record.clone(), Some(AUTO));
    next.until_asleep().await;
    assert_eq!(next.service.details().window, Window::After(secs(10)));
    let fixed = restored(record, None);
    fixed.until_asleep().await;
    drop(fixed.service.acquire(None).await.unwrap());
    assert_eq!(fixed.service.details().window, Window::After(WINDOW * 2));
    // It is learnt from all the same, for a later time.
    assert!(fixed.service.record().ledger.gaps().len() >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_kept_before_anybody_has_looked_keeps_it_awake_and_wakes_nothing() {
    let rig = rig(Duration::ZERO);
    let kept = rig.service.keep();
    rig.until_asleep().await;
    sleep(secs(60)).await;
    assert_eq!((rig.engine.counts().starts, rig.service.details().kept), (0, 1));
    drop(rig.service.acquire(None).await.unwrap());
    sleep(secs(60)).await;
    assert_eq!(rig.engine.counts().stops, 0);
    drop(kept);
    rig.until_asleep().await;
    assert_eq!((rig.engine.counts().stops, rig.service.status().leases), (1, 0));
}
