//! The race between falling asleep and the next client, on a real engine.

use std::thread;

use crate::live::client;
use crate::live::clock::{Random, ms, now, seed};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

/// Cycles of each of the two services; both together make the 200 of one engine.
const CYCLES: u64 = 100;

/// Clients arrive at random moments around the stop, over 200 wakes and sleeps: every one of them
/// gets its answer.
pub(crate) fn no_client_is_lost_between_sleeping_and_waking(engine: &Engine) {
    let start = now();
    // One falls asleep the moment its last client leaves, and takes its time to end; the other
    // after a short window, and ends at once.
    let (cycles, clients) = thread::scope(|scope| {
        let slow = scope.spawn(|| race(engine, "0s", "http:8080 --stop 30", 400));
        let quick = scope.spawn(|| race(engine, "50ms", "http:8080", 450));
        let (slow, quick) = (slow.join().unwrap(), quick.join().unwrap());
        (slow.0 + quick.0, slow.1 + quick.1)
    });
    println!(
        "race on {:?}: {cycles} wake/sleep cycles, {clients} clients, {clients} answered, in {:.1} s",
        engine.kind,
        start.elapsed().as_secs_f32()
    );
}

/// Returns how often the container was started and how many clients had their answer.
fn race(engine: &Engine, window: &str, app: &str, spread: u64) -> (u64, u64) {
    let seed = seed();
    println!("race with a window of {window}: seed {seed}");
    let mut random = Random::new(seed);
    let container = Container::create(engine, app);
    let daemon = Daemon::start(engine, &container, &format!("--idle-timeout {window}"));
    let address = daemon.address;
    let (mut boots, mut clients) = (0, 0);
    while boots < CYCLES {
        let group: Vec<_> = (0..=random.below(3))
            .map(|_| ms(random.below(spread)))
            .map(|arrival| {
                thread::spawn(move || {
                    thread::sleep(arrival);
                    client::get(address, "/")
                })
            })
            .collect();
        for client in group {
            match client.join().unwrap() {
                Ok(answer) if answer.status == 200 => {
                    clients += 1;
                    boots = boots.max(answer.boot());
                }
                other => panic!(
                    "client {} of boot {boots} lost (window {window}, seed {seed}): {other:?}",
                    clients + 1
                ),
            }
        }
    }
    container.wait_asleep();
    assert_eq!(container.output().matches("boot ").count() as u64, boots, "starts");
    (boots, clients)
}
