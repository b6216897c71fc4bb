//! What holds by the clock: a service that is kept awake, or kept asleep, for some hours.
//!
//! The clock is somebody who wants it awake, or a curfew; nothing here puts it to sleep or decides who
//! is served.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info};

use super::{Kept, ServiceHandle, Waker};
use crate::activation::{Curfew, Latecomers, Refused};
use crate::clock::{Clock, Wall};
use crate::config::rules::{AsleepClients, Hours, Spell, Wish};

/// How long after a wake that failed the next is tried; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Until it is this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Hours without an end are looked at again after so long: there is an end to what a timer can count.
const FAR: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Has one service keep its hours, as long as whoever can change them is there.
#[derive(Debug)]
pub struct Timekeeper<W> {
    /// As it is called in the log.
    container: String,
    service: ServiceHandle,
    hours: watch::Receiver<Hours>,
    wall: W,
    clock: Clock,
    /// What held at the last look.
    last: Option<Spell>,
    warmth: Warmth,
}

/// What has come of keeping it awake.
#[derive(Debug)]
struct Warmth {
    lease: Option<Kept>,
    /// It is yet to be woken, once in a window: whoever stops it by hand afterwards has the last word.
    owed: bool,
    pause: Duration,
}

impl<W: Wall> Timekeeper<W> {
    /// For that service, whose container is shown in the log.
    pub fn new(
        container: String,
        service: ServiceHandle,
        hours: watch::Receiver<Hours>,
        wall: W,
        clock: Clock,
    ) -> Self {
        let warmth = Warmth { lease: None, owed: false, pause: FIRST_PAUSE };
        let mut keeper = Self { container, service, hours, wall, clock, last: None, warmth };
        // Before the first client, as far as that needs no time.
        keeper.look();
        keeper
    }

    /// Does it until nobody can change the hours any more; then there are none.
    pub async fn run(mut self) {
        loop {
            let (now, until) = self.look();
            let Self { service, hours, wall, warmth, .. } = &mut self;
            tokio::select! {
                () = wall.turns(now, until) => {}
                changed = hours.changed() => if changed.is_err() { break },
                // A wake that is given up halfway is a client that has left.
                () = warmth.come(service) => {}
            }
        }
        self.service.set_curfew(None);
    }

    /// Does what holds now. Answers when that was, and until when it holds.
    fn look(&mut self) -> (Timestamp, Timestamp) {
        let hours = self.hours.borrow_and_update().clone();
        let now = self.wall.now();
        let spell = hours.at(now);
        if self.last.replace(spell) != Some(spell) {
            info!(container = %self.container, "{}", hours.tell(now));
            self.warmth.begin(spell.wish);
        }
        let far = || now.saturating_add(FAR).unwrap_or(Timestamp::MAX);
        let until = spell.until.unwrap_or_else(far);
        self.obey(spell.wish, until.duration_since(now), hours.clients);
        (now, until)
    }

    fn obey(&mut self, wish: Wish, left: SignedDuration, clients: AsleepClients) {
        match wish {
            Wish::Nothing => {
                self.service.set_curfew(None);
                self.warmth.end();
            }
            Wish::Awake => self.service.set_curfew(None),
            Wish::Asleep => {
                let clients = match clients {
                    AsleepClients::Refuse => Latecomers::Refused,
                    AsleepClients::Hold => Latecomers::Held,
                    AsleepClients::Wake => Latecomers::Served,
                };
                let until = self.clock.now() + Duration::try_from(left).unwrap_or_default();
                // First, so that no idle window begins in between.
                self.service.set_curfew(Some(Curfew { until, clients }));
                self.warmth.end();
            }
        }
    }
}

impl Warmth {
    /// Other hours begin. What it is kept awake by stays until there is something new.
    fn begin(&mut self, wish: Wish) {
        self.owed = wish == Wish::Awake;
        self.pause = FIRST_PAUSE;
    }

    fn end(&mut self) {
        self.owed = false;
        self.lease = None;
    }

    /// Wakes it and keeps it awake, if that is owed; until then it is tried again and again.
    async fn come(&mut self, service: &ServiceHandle) {
        if !self.owed {
            return std::future::pending().await;
        }
        loop {
            let refused = match service.wake_as(Waker::Hours).await {
                Ok(lease) => {
                    self.lease = Some(lease.keep_by_the_clock());
                    self.owed = false;
                    return;
                }
                Err(refused) => refused,
            };
            let pause = match refused {
                Refused::ShuttingDown => return std::future::pending().await,
                Refused::BackOff(left) => left.max(self.pause),
                Refused::Failed(_) | Refused::Curfew(_) | Refused::TimedOut => self.pause,
            };
            // Why it failed is told by the driver.
            debug!(?refused, ?pause, "not kept awake, trying again");
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            sleep(pause).await;
        }
    }
}
