//! The same race with all that decides about a sleep: tiers, a veto, silent clients that stir.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ondemand_container::activation::{Asking, Depth, Policy, Tiers};
use ondemand_container::config::OnExit;
use ondemand_container::config::rules::{Condition, MaySleep};
use ondemand_container::driver::{Held, ServiceHandle, Target};
use ondemand_container::engine::fake::FakeEngine;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Rig, policy, rig_of, target, uneven};

const CYCLES: u64 = 10_000;

/// One client after the other at the same place.
struct Guest {
    service: ServiceHandle,
    engine: Arc<FakeEngine>,
    random: TestRng,
}

/// What has become of them.
#[derive(Debug, Default)]
struct Tally {
    served: u64,
    stirred: u64,
    cut_off: u64,
}

impl Guest {
    async fn come_and_go(mut self) -> Tally {
        let mut tally = Tally::default();
        while self.engine.counts().pauses < CYCLES / 4 {
            self.wait(120_000).await;
            let lease = self.service.acquire(None).await.expect("no client is refused");
            self.work().await;
            tally.served += 1;
            let mut held = lease.hold();
            while self.random.random_range(0..3) == 0 {
                if self.falls_silent(&mut held).await {
                    tally.stirred += 1;
                } else {
                    tally.cut_off += 1;
                    break;
                }
            }
        }
        tally
    }

    /// Uses what it has a right to.
    async fn work(&mut self) {
        self.engine.in_use.fetch_add(1, Ordering::SeqCst);
        assert!(self.engine.is_ready(), "granted while the target is not ready");
        self.wait(5_000).await;
        assert!(self.engine.is_ready(), "put to sleep while it was used");
        self.engine.in_use.fetch_sub(1, Ordering::SeqCst);
    }

    /// Says nothing for some time, and is heard of again: whether that was in time.
    async fn falls_silent(&mut self, held: &mut Held) -> bool {
        held.doze(held.now());
        let silence = self.random.random_range(0..60_000);
        tokio::select! {
            () = held.put_to_sleep() => {}
            () = sleep(Duration::from_micros(silence)) => {}
        }
        let stirs = held.stirs();
        if stirs {
            self.work().await;
        } else {
            let phase = self.service.status().phase;
            assert!(phase.idle().is_none(), "cut off from a target that is awake: {phase:?}");
        }
        stirs
    }

    async fn wait(&mut self, most: u64) {
        sleep(Duration::from_micros(self.random.random_range(0..most))).await;
    }
}

/// A quarter of the answers is a yes.
fn rig_that_is_asked(window: Duration, seed: u64, random: &mut TestRng) -> Rig {
    let ms = Duration::from_millis;
    let engine = FakeEngine::new(seed, uneven());
    engine.script_execs((0..CYCLES * 8).map(|_| i64::from(random.random_range(0..4) > 0)));
    let condition = Some(Condition::Exec(vec!["idle".to_owned()]));
    let target = Target { may_sleep: MaySleep { condition, ..MaySleep::default() }, ..target() };
    let policy = Policy {
        tiers: Tiers { first: Depth::Pause, deeper: Some(ms(5)) },
        asking: Some(Asking { lead: Duration::ZERO, interval: ms(2) }),
        kill_after: Some(ms(10)),
        ..policy(window)
    };
    rig_of(target, policy, engine, OnExit::Leave)
}

#[tokio::test(start_paused = true)]
async fn no_client_is_lost_in_ten_thousand_cycles_with_tiers_and_a_veto() {
    let ms = Duration::from_millis;
    let mut cycles = 0;
    for (seed, window) in [(1_u64, ms(0)), (2, ms(1)), (3, ms(10)), (4, ms(30))] {
        let byte = |client: u8| [seed.to_le_bytes()[0].wrapping_mul(16) + client; 32];
        let random = |client| TestRng::from_seed(RngAlgorithm::ChaCha, &byte(client));
        let rig = rig_that_is_asked(window, seed, &mut random(15));
        let mut guests = JoinSet::new();
        for client in 0..3 {
            let (service, engine) = (rig.service.clone(), Arc::clone(&rig.engine));
            guests.spawn(Guest { service, engine, random: random(client) }.come_and_go());
        }
        let mut all = Tally::default();
        while let Some(tally) = guests.join_next().await {
            let tally = tally.unwrap();
            all.served += tally.served;
            all.stirred += tally.stirred;
            all.cut_off += tally.cut_off;
        }
        rig.assert_no_faults();
        let counts = rig.engine.counts();
        cycles += counts.pauses;
        #[expect(clippy::print_stdout, reason = "the count is part of the proof")]
        {
            println!("seed {seed}, window {window:?}: {counts:?}, {all:?}, 0 lost");
        }
        // Each of the races was run.
        assert!(counts.stops > 100 && counts.kills > 0 && counts.resumes > counts.stops);
        assert!(counts.execs > 2 * counts.pauses, "{counts:?}");
        assert!(all.stirred > 100 && all.cut_off > 100, "{all:?}");
    }
    assert!(cycles >= CYCLES);
}
