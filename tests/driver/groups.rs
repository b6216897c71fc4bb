//! Services that depend on each other: what is woken before what, and what sleeps after it.

use std::sync::Arc;
use std::time::Duration;

use ondemand_container::activation::{Cause, Phase, Policy, Reach, Refused, Rest, Window};
use ondemand_container::clock::instant;
use ondemand_container::config::OnExit;
use ondemand_container::driver::{Bonds, Clients, Optional, Setup, Slept, Target, Until};
use ondemand_container::engine::fake::{Delays, Outcome};
use ondemand_container::engine::{State, TargetName};
use tokio::time::sleep;

use crate::group::{Draft, Group, Place};
use crate::support::{START_TIMEOUT, WINDOW, target};

const SOON: Duration = Duration::from_secs(2);

/// A web application, place 0, that needs a database, place 1.
fn pair() -> Draft {
    pair_with(Delays::default())
}

fn pair_with(delays: Delays) -> Draft {
    let mut draft = Draft::with(1, delays);
    let (web, db) = (draft.service("web", WINDOW), draft.member("db"));
    draft.depends(web, db);
    draft
}

const WEB: Place = 0;
const DB: Place = 1;

async fn use_once(group: &Group, place: Place) {
    drop(group.service(place).acquire(None).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_is_needed_is_ready_before_it_starts_and_sleeps_right_after_it() {
    let group = pair().begin(OnExit::Leave);
    use_once(&group, WEB).await;
    assert_eq!(group.log(), ["start db", "started db", "start web", "started web"]);
    group.members[WEB].until_asleep().await;
    let since = instant();
    group.until_asleep().await;
    assert!(since.elapsed() < SOON, "a mere member has no idle window then");
    assert_eq!(group.log(), ["stop web", "stopped web", "stop db", "stopped db"]);
}

#[tokio::test(start_paused = true)]
async fn a_needed_service_with_clients_of_its_own_sleeps_after_its_own_window() {
    let mut draft = Draft::new();
    let (web, api) = (draft.service("web", WINDOW), draft.service("api", WINDOW));
    draft.depends(web, api);
    let group = draft.begin(OnExit::Leave);
    use_once(&group, web).await;
    assert_eq!(group.service(api).status().pinned, 1);
    group.members[web].until_asleep().await;
    let since = instant();
    group.until_asleep().await;
    assert!(since.elapsed() + Duration::from_secs(1) >= WINDOW);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_need_each_other_starts_at_once() {
    let mut draft = Draft::new();
    let web = draft.service("web", WINDOW);
    for name in ["a", "b", "c"] {
        let other = draft.member(name);
        draft.depends(web, other);
    }
    let group = draft.begin(OnExit::Leave);
    use_once(&group, web).await;
    let log = group.log();
    assert_eq!(log[..3], ["start a", "start b", "start c"]);
    assert_eq!(log[6..], ["start web", "started web"]);
    group.until_asleep().await;
    let log = group.log();
    assert_eq!(log[..2], ["stop web", "stopped web"]);
    assert!(log[2..5].iter().all(|line| line.starts_with("stop ")), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn what_two_need_is_started_once_and_sleeps_after_both() {
    let mut draft = Draft::new();
    let web = draft.service("web", WINDOW);
    let (left, right) = (draft.member("left"), draft.member("right"));
    let db = draft.member("db");
    for (who, what) in [(web, left), (web, right), (left, db), (right, db)] {
        draft.depends(who, what);
    }
    let group = draft.begin(OnExit::Leave);
    use_once(&group, web).await;
    assert_eq!(group.engine(db).counts().starts, 1);
    let log = group.log();
    assert_eq!(log[..4], ["start db", "started db", "start left", "start right"]);
    group.until_asleep().await;
    let log = group.log();
    assert_eq!((log.len(), log[0].as_str(), log[6].as_str()), (8, "stop web", "stop db"));
    assert_eq!(group.engine(db).counts().stops, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shared_database_sleeps_with_the_last_that_needs_it() {
    let mut draft = pair();
    let other = draft.service("other", WINDOW);
    draft.depends(other, DB);
    let group = draft.begin(OnExit::Leave);
    use_once(&group, WEB).await;
    let held = group.service(other).acquire(None).await.unwrap();
    assert_eq!(group.engine(DB).counts().starts, 1);
    let status = group.service(DB).status();
    assert_eq!((status.leases, status.pinned), (2, 2), "nobody but these two uses it");
    assert_eq!(group.service(DB).sleep(Clients::ComeFirst), Slept::Used);
    group.members[WEB].until_asleep().await;
    sleep(WINDOW * 20).await;
    assert_eq!((group.engine(DB).state(), group.service(DB).status().pinned), (State::Running, 1));
    drop(held);
    group.until_asleep().await;
    assert_eq!(group.engine(DB).counts().stops, 1);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_database_stops_is_served_by_a_new_start() {
    let slow = Duration::from_secs(5)..Duration::from_secs(6);
    let group = pair_with(Delays { stop: slow, ..Delays::default() }).begin(OnExit::Leave);
    use_once(&group, WEB).await;
    group.members[DB].until("stopping", |phase| phase.is_stopping()).await;
    let lease = group.service(WEB).acquire(None).await.unwrap();
    assert!(group.engine(WEB).is_ready() && group.engine(DB).is_ready());
    assert_eq!(group.engine(DB).counts().starts, 2);
    drop(lease);
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn without_what_it_needs_it_is_not_started_and_is_once_that_works() {
    let draft = pair();
    draft.engine_of(DB).script_starts([Outcome::Refused("no".to_owned())]);
    let group = draft.begin(OnExit::Leave);
    let refused = group.service(WEB).acquire(None).await.unwrap_err();
    assert_eq!(refused, Refused::Failed(Cause::Dependency));
    assert_eq!(group.engine(WEB).counts().starts, 0);
    let refused = group.service(WEB).acquire(None).await.unwrap_err();
    assert!(matches!(refused, Refused::BackOff(_)));
    sleep(Duration::from_secs(1)).await;
    use_once(&group, WEB).await;
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn what_never_gets_ready_is_waited_for_no_longer_than_the_start_timeout() {
    let never = Duration::from_secs(10_000)..Duration::from_secs(10_001);
    let group = pair_with(Delays { boot: never, ..Delays::default() }).begin(OnExit::Leave);
    let since = instant();
    let refused = group.service(WEB).acquire(None).await.unwrap_err();
    assert!(matches!(refused, Refused::TimedOut | Refused::Failed(Cause::Dependency)));
    assert!(since.elapsed() < START_TIMEOUT + SOON);
    let fails = |phase| phase == Phase::Failed(Cause::Dependency);
    group.members[WEB].until("failed", fails).await;
    assert_eq!(group.engine(WEB).counts().starts, 0);
    group.members[DB].until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_to_run_only_is_not_waited_for_until_it_is_ready() {
    let slow = Duration::from_secs(10)..Duration::from_secs(11);
    let mut draft = Draft::with(1, Delays { boot: slow, ..Delays::default() });
    let (web, queue) = (draft.service("web", WINDOW), draft.member("queue"));
    let needed = draft.needed(queue, Until::Started);
    draft.bonds(web).before.push(needed);
    let group = draft.begin(OnExit::Leave);
    let since = instant();
    use_once(&group, web).await;
    assert!(since.elapsed() < Duration::from_secs(13), "one boot, not two");
    assert_eq!(group.log()[..3], ["start queue", "started queue", "start web"]);
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn an_optional_service_that_does_not_exist_is_done_without() {
    for (optional, served) in [(Optional::Yes, true), (Optional::No, false)] {
        let mut draft = Draft::new();
        let (web, extra) = (draft.service("web", WINDOW), draft.member("extra"));
        let needed = draft.needed(extra, Until::Healthy);
        draft.bonds(web).before.push(ondemand_container::driver::Needed { optional, ..needed });
        draft.engine_of(extra).remove();
        let group = draft.begin(OnExit::Leave);
        let answer = group.service(web).acquire(None).await.map(drop);
        let expected = if served { Ok(()) } else { Err(Refused::Failed(Cause::Dependency)) };
        assert_eq!(answer, expected);
        assert_eq!(
            matches!(
                group.service(extra).status().phase,
                Phase::Asleep { rest: Rest::Missing, .. }
            ),
            served
        );
    }
}

#[tokio::test(start_paused = true)]
async fn found_running_what_it_needs_is_kept_awake_until_it_sleeps() {
    let mut draft = Draft::new();
    // The database's own window would end at once.
    let (web, db) = (draft.service("web", WINDOW), draft.service("db", Duration::ZERO));
    draft.depends(web, db);
    for place in [web, db] {
        draft.engine_of(place).start_behind_our_back();
    }
    let group = draft.begin(OnExit::Leave);
    sleep(WINDOW / 2).await;
    assert_eq!(group.log(), [""; 0]);
    group.until_asleep().await;
    assert_eq!(group.log(), ["stop web", "stopped web", "stop db", "stopped db"]);
}

#[tokio::test(start_paused = true)]
async fn found_running_without_what_it_needs_its_first_client_brings_that_back() {
    let draft = pair();
    draft.engine_of(WEB).start_behind_our_back();
    let group = draft.begin(OnExit::Leave);
    group.members[WEB].until("found", |phase| matches!(phase, Phase::Found { .. })).await;
    use_once(&group, WEB).await;
    assert!(group.engine(DB).is_ready());
    assert_eq!(group.engine(WEB).counts().starts, 0);
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_killed_is_brought_back_for_the_next_client() {
    let group = pair().begin(OnExit::Leave);
    let used = group.service(WEB).acquire(None).await.unwrap();
    group.engine(DB).kill_behind_our_back();
    group.members[DB].until_asleep().await;
    group.members[WEB].until("found", |phase| matches!(phase, Phase::Found { .. })).await;
    assert_eq!(group.service(WEB).status().leases, 1, "who uses it is let be");
    let next = group.service(WEB).acquire(None).await.unwrap();
    assert!(group.engine(DB).is_ready() && next.is_current());
    assert_eq!((group.engine(DB).counts().starts, group.engine(WEB).counts().starts), (2, 1));
    drop((used, next));
    group.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_killed_while_it_boots_is_brought_back_within_the_wake() {
    let slow = Duration::from_secs(2)..Duration::from_secs(3);
    let group = pair_with(Delays { boot: slow, ..Delays::default() }).begin(OnExit::Leave);
    let waiting = tokio::spawn({
        let service = group.service(WEB).clone();
        async move { service.acquire(None).await.map(drop) }
    });
    group.members[WEB].until("probing", |phase| matches!(phase, Phase::Probing { .. })).await;
    group.engine(DB).kill_behind_our_back();
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert!(group.engine(DB).is_ready());
    assert_eq!(group.engine(DB).counts().starts, 2);
}

#[tokio::test(start_paused = true)]
async fn when_it_dies_what_it_needed_has_its_own_idle_window() {
    let mut draft = Draft::new();
    let (web, db) = (draft.service("web", WINDOW), draft.service("db", WINDOW));
    draft.depends(web, db);
    let group = draft.begin(OnExit::Leave);
    use_once(&group, web).await;
    group.engine(web).kill_behind_our_back();
    group.members[web].until_asleep().await;
    let since = instant();
    group.until_asleep().await;
    assert!(since.elapsed() + Duration::from_secs(1) >= WINDOW);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_woken_alone_sleeps_after_its_own_window() {
    let group = pair().begin(OnExit::Leave);
    drop(group.service(DB).wake().await.unwrap());
    let since = instant();
    group.until_asleep().await;
    assert!(since.elapsed() > WINDOW * 4);
    assert_eq!(group.engine(WEB).counts().starts, 0);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_to_be_stopped_is_stopped_in_order() {
    let mut draft = pair();
    let worker = draft.member("worker");
    draft.depends(worker, DB);
    draft.works_for(worker, WEB);
    let group = draft.begin(OnExit::Stop);
    let held = group.service(WEB).acquire(None).await.unwrap();
    group.members[worker].until("awake", |phase| !matches!(phase, Phase::Starting { .. })).await;
    sleep(SOON).await;
    group.log();
    group.end.cancel();
    let log = Arc::clone(&group.journal);
    for member in group.members {
        member.task.await.unwrap();
        assert_eq!((member.engine.faults().len(), member.engine.state()), (0, State::Stopped));
    }
    drop(held);
    let order =
        ["worker", "web", "db"].map(|name| [format!("stop {name}"), format!("stopped {name}")]);
    assert_eq!(*log.lock().unwrap(), order.concat());
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_a_daemon_that_leaves_them_nothing_is_stopped() {
    let group = pair().begin(OnExit::Leave);
    use_once(&group, WEB).await;
    group.log();
    group.end.cancel();
    for member in group.members {
        member.task.await.unwrap();
        assert_eq!(member.engine.state(), State::Running);
    }
}

#[tokio::test(start_paused = true)]
async fn told_that_it_needs_another_it_pins_that_and_wakes_it_for_the_next_client() {
    let mut draft = pair();
    let other = draft.member("other");
    let needed = draft.needed(other, Until::Healthy);
    let group = draft.begin(OnExit::Leave);
    let used = group.service(WEB).acquire(None).await.unwrap();
    let bonds = Bonds { before: vec![needed], ..Bonds::default() };
    let target =
        Target { name: TargetName::container("web").unwrap(), bonds: Arc::new(bonds), ..target() };
    let policy = Policy::new(Window::After(WINDOW), START_TIMEOUT);
    let setup = Setup { target: Arc::new(target), policy, on_exit: OnExit::Leave };
    group.service(WEB).reconfigure(setup, Reach::Changed);
    drop(group.service(WEB).acquire(None).await.unwrap());
    assert!(group.engine(other).is_ready());
    let pinned = |place| group.service(place).status().pinned;
    assert_eq!((pinned(DB), pinned(other)), (0, 1));
    assert_eq!(group.engine(WEB).counts().starts, 1);
    drop(used);
    group.members[WEB].until_asleep().await;
    group.members[other].until_asleep().await;
}
