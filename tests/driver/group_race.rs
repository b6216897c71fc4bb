//! The race over a group: clients of two services that share a database, one of which has a
//! companion that needs it, arriving at any moment around a stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ondemand_container::config::OnExit;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::group::Draft;
use crate::support::uneven;

/// Sleeps of the shared database; each is one of a whole group.
const CYCLES: u64 = 10_000;

/// A fault of an engine is a start of a service without its database ready, a stop of the database
/// under a service that runs, of the service under its companion, or of either under a client.
#[tokio::test(start_paused = true)]
async fn no_client_is_lost_in_ten_thousand_cycles_of_a_group_with_a_shared_database() {
    let ms = Duration::from_millis;
    let mut cycles = 0;
    let mut served = 0;
    for (seed, window) in [(1, ms(0)), (2, ms(1)), (3, ms(10)), (4, ms(30))] {
        let mut draft = Draft::with(seed, uneven());
        let (web, api) = (draft.service("web", window), draft.service("api", window));
        let (db, worker) = (draft.member("db"), draft.member("worker"));
        draft.depends(web, db);
        draft.depends(api, db);
        draft.depends(worker, db);
        draft.works_for(worker, web);
        let group = draft.begin(OnExit::Leave);
        let total = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for client in 0..4_u8 {
            let place = if client % 2 == 0 { web } else { api };
            let service = group.service(place).clone();
            let (engine, database) =
                (Arc::clone(group.engine(place)), Arc::clone(group.engine(db)));
            let total = Arc::clone(&total);
            let seed = [seed.to_le_bytes()[0].wrapping_mul(16) + client; 32];
            let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
            clients.spawn(async move {
                while database.counts().stops < CYCLES / 4 {
                    sleep(Duration::from_micros(random.random_range(0..400_000))).await;
                    let lease = service.acquire(None).await.expect("no client is refused");
                    for engine in [&engine, &database] {
                        engine.in_use.fetch_add(1, Ordering::SeqCst);
                        assert!(engine.is_ready(), "granted while it is not ready");
                    }
                    sleep(Duration::from_micros(random.random_range(0..5_000))).await;
                    for engine in [&engine, &database] {
                        assert!(engine.is_ready(), "stopped while it was used");
                        engine.in_use.fetch_sub(1, Ordering::SeqCst);
                    }
                    total.fetch_add(1, Ordering::SeqCst);
                    drop(lease);
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        group.until_asleep().await;
        cycles += group.engine(db).counts().stops;
        served += total.load(Ordering::SeqCst);
        assert!(group.engine(worker).counts().starts > 0);
    }
    assert!(cycles >= CYCLES);
    #[expect(clippy::print_stdout, reason = "the count is part of the proof")]
    {
        println!("{cycles} cycles of a group's wake and sleep, {served} clients, 0 lost");
    }
}

/// What somebody kills comes back, nothing is stopped under what depends on it, and nobody waits for
/// ever; a client may be refused then.
#[tokio::test(start_paused = true)]
async fn whatever_is_killed_a_group_serves_again_and_comes_to_rest() {
    let ms = Duration::from_millis;
    let mut draft = Draft::with(7, uneven());
    let (web, api) = (draft.service("web", ms(10)), draft.service("api", ms(10)));
    let (db, worker) = (draft.member("db"), draft.member("worker"));
    draft.depends(web, db);
    draft.depends(api, web);
    draft.depends(worker, db);
    draft.works_for(worker, web);
    let group = draft.begin(OnExit::Leave);
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    for _ in 0..1000 {
        let place = [web, api][random.random_range(0..2)];
        let service = group.service(place).clone();
        let client = tokio::spawn(async move { service.acquire(None).await });
        sleep(Duration::from_micros(random.random_range(0..200_000))).await;
        group.engine(random.random_range(0..4)).kill_behind_our_back();
        sleep(Duration::from_micros(random.random_range(0..200_000))).await;
        drop(client.await.unwrap());
    }
    // The longest back-off.
    sleep(Duration::from_secs(31)).await;
    for place in [web, api] {
        let lease = group.service(place).acquire(None).await.unwrap();
        assert!(group.engine(place).is_ready() && group.engine(db).is_ready());
        drop(lease);
    }
    for member in &group.members {
        member.until_asleep().await;
        let faults = member.engine.faults();
        let stops: Vec<_> = faults.iter().filter(|fault| fault.starts_with("stop")).collect();
        assert!(stops.is_empty(), "{stops:?}");
    }
}
