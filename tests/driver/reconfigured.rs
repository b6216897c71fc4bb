//! A service that is told something new while it runs.

use std::sync::Arc;
use std::time::Duration;

use ondemand_container::activation::{Phase, Policy, Reach, Window};
use ondemand_container::clock::instant;
use ondemand_container::config::{GivenUpstream, OnExit, Ports};
use ondemand_container::driver::{Setup, Target};
use ondemand_container::engine::State;
use ondemand_container::engine::fake::Delays;
use ondemand_container::port::Port;

use crate::support::{START_TIMEOUT, WINDOW, rig, rig_with, target};

fn setup(target: Target, idle: Duration) -> Setup {
    let policy = Policy::new(Window::After(idle), START_TIMEOUT);
    Setup { target: Arc::new(target), policy, on_exit: OnExit::Leave }
}

#[tokio::test(start_paused = true)]
async fn a_new_idle_window_holds_for_the_one_that_runs() {
    let rig = rig(WINDOW);
    drop(rig.service.acquire(None).await.unwrap());
    let since = instant();
    rig.service.reconfigure(setup(target(), WINDOW / 4), Reach::Same);
    rig.until("stopping", |phase| phase.is_stopping()).await;
    assert_eq!(since.elapsed().as_secs(), (WINDOW / 4).as_secs());
    assert_eq!(rig.engine.counts().starts, 1);
}

#[tokio::test(start_paused = true)]
async fn led_elsewhere_the_next_client_gets_the_new_address_and_the_others_keep_theirs() {
    let rig = rig(WINDOW);
    let early = rig.service.acquire(Some(Port::tcp(80))).await.unwrap();
    let elsewhere = Target {
        ports: Ports::one(Port::tcp(81)),
        upstream: Some(GivenUpstream::Host("127.0.0.2".to_owned(), Some(81))),
        ..target()
    };
    assert_eq!(elsewhere.reach_since(&target()), Reach::Changed);
    assert_eq!(target().reach_since(&target()), Reach::Same);
    rig.service.reconfigure(setup(elsewhere, WINDOW), Reach::Changed);
    assert!(rig.service.acquire_now(Port::tcp(81)).is_none(), "it is to be asked first");
    let late = rig.service.acquire(Some(Port::tcp(81))).await.unwrap();
    assert_eq!(late.upstream().unwrap().address.to_string(), "127.0.0.2:81");
    assert_eq!(early.upstream().unwrap().address.to_string(), "127.0.0.1:80");
    let gone = rig.service.acquire(Some(Port::tcp(80))).await.unwrap();
    assert!(gone.upstream().is_none());
    // It was never stopped, and stays awake for whoever uses it.
    drop((late, gone));
    tokio::time::sleep(2 * WINDOW).await;
    assert_eq!((rig.engine.counts().starts, rig.engine.counts().stops), (1, 0));
    drop(early);
    rig.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_waiting_and_what_becomes_of_it_at_the_end_is_what_was_said_last() {
    let rig = rig_with(WINDOW, 1, Delays::default(), OnExit::Leave);
    let service = rig.service.clone();
    let waiting = tokio::spawn(async move { service.acquire(None).await.map(drop) });
    rig.until("starting", |phase| matches!(phase, Phase::Starting { .. })).await;
    let stop = Setup { on_exit: OnExit::Stop, ..setup(target(), WINDOW) };
    rig.service.reconfigure(stop, Reach::Changed);
    assert!(waiting.await.unwrap().is_ok());
    rig.end.cancel();
    rig.task.await.unwrap();
    assert_eq!(rig.engine.state(), State::Stopped);
}
