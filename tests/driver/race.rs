//! The race that this project exists to remove: clients arriving at any moment around a stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ondemand_container::config::OnExit;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{rig_with, uneven};

const CYCLES: u64 = 10_000;

#[tokio::test(start_paused = true)]
async fn no_client_is_lost_in_ten_thousand_cycles_of_wake_and_sleep() {
    let ms = Duration::from_millis;
    // Windows from none at all to longer than the clients' pauses.
    let mut cycles = 0;
    let mut served = 0;
    for (seed, window) in [(1, ms(0)), (2, ms(1)), (3, ms(10)), (4, ms(30))] {
        let rig = rig_with(window, seed, uneven(), OnExit::Leave);
        let total = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for client in 0..3_u8 {
            let (service, engine) = (rig.service.clone(), Arc::clone(&rig.engine));
            let total = Arc::clone(&total);
            let seed = [seed.to_le_bytes()[0].wrapping_mul(16) + client; 32];
            let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
            clients.spawn(async move {
                while engine.counts().stops < CYCLES / 4 {
                    sleep(Duration::from_micros(random.random_range(0..120_000))).await;
                    let lease = service.acquire(None).await.expect("no client is refused");
                    engine.in_use.fetch_add(1, Ordering::SeqCst);
                    assert!(engine.is_ready(), "granted while the target is not ready");
                    sleep(Duration::from_micros(random.random_range(0..5_000))).await;
                    assert!(engine.is_ready(), "stopped while it was used");
                    engine.in_use.fetch_sub(1, Ordering::SeqCst);
                    total.fetch_add(1, Ordering::SeqCst);
                    drop(lease);
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        rig.assert_no_faults();
        cycles += rig.engine.counts().stops;
        served += total.load(Ordering::SeqCst);
    }
    assert!(cycles >= CYCLES);
    #[expect(clippy::print_stdout, reason = "the count is part of the proof")]
    {
        println!("{cycles} cycles of wake and sleep, {served} clients, 0 lost");
    }
}
