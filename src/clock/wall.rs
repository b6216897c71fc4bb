//! The wall clock: it can be set, and goes on while the host is suspended.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::unix_time;

/// Where the time of day comes from.
pub trait Wall: Clone + Send + Sync + 'static {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// Waits until it is `until`, or somebody has set the clock since it was `seen`. Neither the one
    /// nor the other is promised to its caller, who looks again.
    fn turns(&self, seen: Timestamp, until: Timestamp) -> impl Future<Output = ()> + Send;
}

/// The host's.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

/// Where there is no descriptor for a timer, the clock is looked at this often.
const LOOK: Duration = Duration::from_secs(30);

impl Wall for System {
    fn now(&self) -> Timestamp {
        let since = SignedDuration::try_from(unix_time()).unwrap_or(SignedDuration::ZERO);
        Timestamp::from_duration(since).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    async fn turns(&self, seen: Timestamp, until: Timestamp) {
        match timer(until) {
            // One that was set back before the timer could notice is seen here. One that was set
            // forward has ended it, or changes nothing before `until`.
            Ok(_) if self.now() < seen => {}
            Ok(timer) => {
                if let Err(error) = timer.readable().await {
                    warn!(%error, "a timer of the wall clock has failed");
                    sleep(LOOK).await;
                }
            }
            Err(error) => {
                warn!(%error, "there is no timer of the wall clock to be had, looking at it often");
                let left = until.duration_since(self.now());
                sleep(Duration::try_from(left).unwrap_or_default().min(LOOK)).await;
            }
        }
    }
}

/// Readable once it is `until` by `CLOCK_REALTIME`, and when that clock is set (`timerfd_create(2)`),
/// which the end of a suspension counts as.
fn timer(until: Timestamp) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    let at = until.as_duration();
    // Zero would disarm it.
    let at = at.max(SignedDuration::from_nanos(1));
    let at = Timespec { tv_sec: at.as_secs(), tv_nsec: at.subsec_nanos().into() };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(&timer, flags, &Itimerspec { it_interval: none, it_value: at })?;
    #[expect(deprecated, reason = "what follows it is unsafe; this descriptor is its own alone")]
    AsyncFd::new(timer)
}

/// One that a test moves by hand; between that it goes with tokio's clock.
#[derive(Debug, Clone)]
pub struct Scripted {
    /// What it showed at that instant.
    shown: watch::Sender<(Timestamp, tokio::time::Instant)>,
}

impl Scripted {
    /// One that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { shown: watch::Sender::new((now, super::instant())) }
    }

    /// Sets it.
    pub fn set(&self, now: Timestamp) {
        self.shown.send_replace((now, super::instant()));
    }
}

impl Wall for Scripted {
    fn now(&self) -> Timestamp {
        let (shown, then) = *self.shown.borrow();
        let since = SignedDuration::try_from(then.elapsed()).unwrap_or(SignedDuration::ZERO);
        shown.saturating_add(since).unwrap_or(Timestamp::MAX)
    }

    async fn turns(&self, seen: Timestamp, until: Timestamp) {
        let mut set = self.shown.subscribe();
        let now = self.now();
        if now < seen {
            return;
        }
        let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        tokio::select! {
            () = sleep(left) => {}
            _ = set.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    #[tokio::test]
    async fn the_hosts_timer_ends_with_its_time_and_not_before() {
        let (begin, seen) = (instant(), System.now());
        System.turns(seen, seen + Duration::from_millis(120)).await;
        let took = begin.elapsed();
        assert!(System.now() >= seen + Duration::from_millis(120), "{took:?}");
        // What is over is over, the beginning of all time, too.
        System.turns(seen, seen).await;
        System.turns(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_back_meanwhile_is_looked_at_again() {
        let wall = Scripted::new(Timestamp::UNIX_EPOCH);
        let seen = Timestamp::UNIX_EPOCH + Duration::from_secs(5);
        wall.turns(seen, Timestamp::MAX).await;
        let begin = instant();
        let turned = tokio::spawn({
            let wall = wall.clone();
            async move { wall.turns(Timestamp::UNIX_EPOCH, Timestamp::MAX).await }
        });
        sleep(Duration::from_secs(3)).await;
        assert!(!turned.is_finished());
        wall.set(Timestamp::UNIX_EPOCH);
        turned.await.unwrap();
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
    }
}
