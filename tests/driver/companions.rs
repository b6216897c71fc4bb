//! Companions, and containers that run to their end before others begin.

use std::time::Duration;

use ondemand_container::activation::{Cause, Phase, Refused};
use ondemand_container::clock::instant;
use ondemand_container::config::OnExit;
use ondemand_container::driver::{Needed, On, OneShotHandle, Optional, Uncompleted, Until};
use ondemand_container::engine::State;
use ondemand_container::engine::fake::{Delays, Outcome};
use tokio::time::sleep;

use crate::group::{Draft, Place};
use crate::support::WINDOW;

/// An entrance, place 0, and a companion beside it, place 1.
fn beside(delays: Delays) -> Draft {
    let mut draft = Draft::with(1, delays);
    let (web, cache) = (draft.service("web", WINDOW), draft.member("cache"));
    let needed = draft.needed(cache, Until::Healthy);
    draft.bonds(web).beside.push(needed);
    draft
}

const WEB: Place = 0;
const CACHE: Place = 1;

#[tokio::test(start_paused = true)]
async fn a_companion_is_woken_beside_it_and_sleeps_before_it() {
    let group = beside(Delays::default()).begin(OnExit::Leave);
    drop(group.service(WEB).acquire(None).await.unwrap());
    assert!(group.engine(CACHE).is_ready(), "it counts for the readiness");
    let mut begun = group.log()[..2].to_vec();
    begun.sort();
    assert_eq!(begun, ["start cache", "start web"], "neither waits for the other");
    group.until_asleep().await;
    assert_eq!(group.log(), ["stop cache", "stopped cache", "stop web", "stopped web"]);
}

#[tokio::test(start_paused = true)]
async fn a_companion_that_fails_fails_the_wake() {
    let draft = beside(Delays::default());
    draft.engine_of(CACHE).script_starts([Outcome::Refused("no".to_owned())]);
    let group = draft.begin(OnExit::Leave);
    let refused = group.service(WEB).acquire(None).await.unwrap_err();
    assert_eq!(refused, Refused::Failed(Cause::Dependency));
    group.members[WEB].until_asleep().await;
    assert_eq!(group.engine(WEB).state(), State::Stopped);
    sleep(Duration::from_secs(2)).await;
    drop(group.service(WEB).acquire(None).await.unwrap());
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn a_companion_that_somebody_else_uses_stays() {
    let group = beside(Delays::default()).begin(OnExit::Leave);
    drop(group.service(WEB).acquire(None).await.unwrap());
    let used = group.service(CACHE).wake().await.unwrap();
    group.members[WEB].until_asleep().await;
    assert_eq!(group.engine(CACHE).state(), State::Running);
    drop(used);
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_companion_stops_is_served_with_it() {
    let slow = Duration::from_secs(5)..Duration::from_secs(6);
    let group = beside(Delays { stop: slow, ..Delays::default() }).begin(OnExit::Leave);
    drop(group.service(WEB).acquire(None).await.unwrap());
    group.members[CACHE].until("stopping", |phase| phase.is_stopping()).await;
    let lease = group.service(WEB).acquire(None).await.unwrap();
    assert!(group.engine(WEB).is_ready() && group.engine(CACHE).is_ready());
    drop(lease);
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn a_companion_that_needs_it_is_woken_after_it_and_sleeps_before_it() {
    let mut draft = Draft::new();
    let (web, worker) = (draft.service("web", WINDOW), draft.member("worker"));
    let db = draft.member("db");
    draft.depends(web, db);
    draft.depends(worker, db);
    draft.works_for(worker, web);
    let group = draft.begin(OnExit::Leave);
    let since = instant();
    drop(group.service(web).acquire(None).await.unwrap());
    assert!(since.elapsed() < Duration::from_secs(2));
    group.members[worker]
        .until("awake", |phase| matches!(phase, Phase::Found { .. } | Phase::Awake { .. }))
        .await;
    let order =
        ["db", "web", "worker"].map(|name| [format!("start {name}"), format!("started {name}")]);
    assert_eq!(group.log(), order.concat());
    group.until_asleep().await;
    let order =
        ["worker", "web", "db"].map(|name| [format!("stop {name}"), format!("stopped {name}")]);
    assert_eq!(group.log(), order.concat());
    assert!(since.elapsed() < WINDOW + Duration::from_secs(5), "the worker keeps nothing awake");
}

#[tokio::test(start_paused = true)]
async fn a_companion_that_needs_it_and_fails_fails_nothing() {
    let mut draft = Draft::new();
    let (web, worker) = (draft.service("web", WINDOW), draft.member("worker"));
    draft.works_for(worker, web);
    draft.engine_of(worker).script_starts([Outcome::Refused("no".to_owned())]);
    let group = draft.begin(OnExit::Leave);
    drop(group.service(web).acquire(None).await.unwrap());
    group.members[worker].until("failed", |phase| matches!(phase, Phase::Failed(_))).await;
    group.members[web].until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn woken_alone_a_companion_that_needs_the_entrance_brings_it_along() {
    let mut draft = Draft::new();
    let (web, worker) = (draft.service("web", WINDOW), draft.member("worker"));
    draft.works_for(worker, web);
    let group = draft.begin(OnExit::Leave);
    drop(group.service(worker).wake().await.unwrap());
    assert!(group.engine(web).is_ready());
    group.until_asleep().await;
}

/// A web application, place 0, that needs a migration, which needs a database, place 1.
fn migrated(
    draft: &mut Draft,
) -> (OneShotHandle, std::sync::Arc<ondemand_container::engine::fake::FakeEngine>) {
    let (web, db) = (draft.service("web", WINDOW), draft.member("db"));
    let (migration, engine) = draft.one_shot("migration", &[db]);
    draft.depends(web, db);
    let needed = Needed {
        name: "migration".to_owned(),
        on: On::OneShot(migration.clone()),
        optional: Optional::No,
    };
    draft.bonds(web).before.push(needed);
    (migration, engine)
}

#[tokio::test(start_paused = true)]
async fn what_has_to_run_to_its_end_runs_once() {
    let mut draft = Draft::new();
    let (_, migration) = migrated(&mut draft);
    migration.script_starts([Outcome::Exits(0)]);
    let group = draft.begin(OnExit::Leave);
    drop(group.service(WEB).acquire(None).await.unwrap());
    let log = group.log();
    assert_eq!(log[..3], ["start db", "started db", "start migration"]);
    assert_eq!(log.last().unwrap(), "started web");
    group.until_asleep().await;
    drop(group.service(WEB).acquire(None).await.unwrap());
    group.until_asleep().await;
    assert_eq!(migration.counts().starts, 1);
    // A container made anew has not run yet, although it has no exit code but 0.
    migration.create();
    migration.script_starts([Outcome::Exits(0)]);
    drop(group.service(WEB).acquire(None).await.unwrap());
    assert_eq!(migration.counts().starts, 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_while_it_runs_wait_for_the_same_run() {
    let mut draft = Draft::new();
    let (migration, engine) = migrated(&mut draft);
    let group = draft.begin(OnExit::Leave);
    let ask = || {
        tokio::spawn({
            let migration = migration.clone();
            async move { migration.completed().await }
        })
    };
    let first = ask();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(engine.state(), State::Running);
    let second = ask();
    sleep(Duration::from_secs(5)).await;
    assert!(!first.is_finished() && !second.is_finished());
    assert_eq!(group.service(1).status().pinned, 1, "what it needs is awake until then");
    engine.exits(0, "");
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(()), Ok(())));
    assert_eq!(engine.counts().starts, 1);
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_says_how_and_is_run_again() {
    let mut draft = Draft::new();
    let (migration, engine) = migrated(&mut draft);
    let group = draft.begin(OnExit::Leave);
    let waiting = tokio::spawn({
        let service = group.service(WEB).clone();
        async move { service.acquire(None).await.map(drop) }
    });
    let asked = tokio::spawn(async move { migration.completed().await });
    sleep(Duration::from_secs(5)).await;
    engine.exits(3, "no such table");
    let Err(Uncompleted::Failed(why)) = asked.await.unwrap() else { panic!("it has failed") };
    assert!(why.contains("exit code 3") && why.contains("no such table"), "{why}");
    assert_eq!(waiting.await.unwrap(), Err(Refused::Failed(Cause::Dependency)));
    assert_eq!(group.engine(WEB).counts().starts, 0);
    engine.script_starts([Outcome::Exits(0)]);
    sleep(Duration::from_secs(1)).await;
    drop(group.service(WEB).acquire(None).await.unwrap());
    assert_eq!(engine.counts().starts, 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_run_says_what_it_lacks() {
    let mut draft = Draft::new();
    let (migration, engine) = migrated(&mut draft);
    draft.engine_of(1).script_starts([Outcome::Refused("no".to_owned())]);
    let _group = draft.begin(OnExit::Leave);
    let Err(Uncompleted::Failed(why)) = migration.completed().await else {
        panic!("it has failed")
    };
    assert_eq!(why, "db: the wake failed: the engine did not start it");
    assert_eq!(engine.counts().starts, 0);
    engine.remove();
    assert_eq!(migration.completed().await, Err(Uncompleted::Missing));
}

#[tokio::test(start_paused = true)]
async fn one_whose_start_is_not_answered_is_started_once_more_or_seen_to_run() {
    for outcome in [Outcome::Lost, Outcome::DoneUnanswered] {
        let mut draft = Draft::new();
        let (migration, engine) = draft.one_shot("migration", &[]);
        engine.script_starts([outcome]);
        let _group = draft.begin(OnExit::Leave);
        let asked = tokio::spawn(async move { migration.completed().await });
        sleep(Duration::from_secs(5)).await;
        assert_eq!(engine.state(), State::Running);
        engine.exits(0, "");
        assert_eq!(asked.await.unwrap(), Ok(()));
    }
}
