//! An engine in memory with one container, for tests of the driver: scripted delays and failures,
//! and an eye on what it is asked to do.
//!
//! It keeps time by tokio's clock, so a test that pauses the clock runs as fast as it computes.

mod answers;
mod others;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::others::Journal;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::others::Others;
use super::{EngineError, Sent, State, Usage};
use crate::clock;

/// What becomes of a start or a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and the answer says so.
    Done,
    /// It is not done, and the answer says why.
    Refused(String),
    /// It is done, but the answer is an error.
    DoneButRefused(String),
    /// It is done, but there is no answer.
    DoneUnanswered,
    /// It is not done, and there is no answer.
    Lost,
    /// It is done, and the container ends at once with this exit code.
    Exits(i64),
}

/// How long things take; a moment within the range is drawn each time.
#[derive(Debug, Clone)]
pub struct Delays {
    /// A start.
    pub start: Range<Duration>,
    /// A stop.
    pub stop: Range<Duration>,
    /// From the start's end to readiness.
    pub boot: Range<Duration>,
    /// An inspect.
    pub inspect: Range<Duration>,
    /// From a change to its event.
    pub event: Range<Duration>,
    /// A kill.
    pub kill: Range<Duration>,
}

impl Default for Delays {
    fn default() -> Self {
        let ms = |from, to| Duration::from_millis(from)..Duration::from_millis(to);
        Self {
            start: ms(100, 300),
            stop: ms(50, 200),
            boot: ms(0, 500),
            inspect: ms(0, 3),
            event: ms(0, 250),
            kill: ms(0, 3),
        }
    }
}

/// What was asked of it, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Starts.
    pub starts: u64,
    /// Thaws.
    pub resumes: u64,
    /// Stops.
    pub stops: u64,
    /// Freezes.
    pub pauses: u64,
    /// Kills.
    pub kills: u64,
    /// Inspects.
    pub inspects: u64,
    /// Commands in it, health checks apart.
    pub execs: u64,
}

/// One container, and an engine that knows no other.
#[derive(Debug)]
pub struct FakeEngine {
    inner: Mutex<Inner>,
    events: Notify,
    /// A stop that is on its way ends at once.
    killed: Notify,
    /// How many clients use the container, as the test counts them: a stop while it is not zero
    /// is a fault.
    pub in_use: AtomicU32,
    others: Mutex<Others>,
}

#[derive(Debug)]
struct Inner {
    delays: Delays,
    random: u64,
    exists: bool,
    id: u64,
    life: u64,
    state: State,
    ready_at: Option<Instant>,
    exit: i64,
    output: Vec<String>,
    away: bool,
    starts: VecDeque<Outcome>,
    stops: VecDeque<Outcome>,
    execs: VecDeque<i64>,
    usage: Usage,
    operations: u32,
    counts: Counts,
    faults: Vec<String>,
}

impl FakeEngine {
    /// A stopped container; `seed` makes the drawn delays repeatable.
    pub fn new(seed: u64, delays: Delays) -> Self {
        Self {
            inner: Mutex::new(Inner {
                delays,
                random: seed.wrapping_mul(2).wrapping_add(1),
                exists: true,
                id: 1,
                life: 0,
                state: State::Stopped,
                ready_at: None,
                exit: 0,
                output: Vec::new(),
                away: false,
                starts: VecDeque::new(),
                stops: VecDeque::new(),
                execs: VecDeque::new(),
                usage: Usage::default(),
                operations: 0,
                counts: Counts::default(),
                faults: Vec::new(),
            }),
            events: Notify::new(),
            killed: Notify::new(),
            in_use: AtomicU32::new(0),
            others: Mutex::default(),
        }
    }

    /// What becomes of the next starts; after them all are done.
    pub fn script_starts(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.inner().starts.extend(outcomes);
    }

    /// What becomes of the next stops; after them all are done.
    pub fn script_stops(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.inner().stops.extend(outcomes);
    }

    /// How the next commands in it end; after them all end with 0.
    pub fn script_execs(&self, codes: impl IntoIterator<Item = i64>) {
        self.inner().execs.extend(codes);
    }

    /// What it has used so far, from now on.
    pub fn use_so_much(&self, usage: Usage) {
        self.inner().usage = usage;
    }

    /// What was asked of it so far.
    pub fn counts(&self) -> Counts {
        self.inner().counts
    }

    /// What it was asked that it should not have been.
    pub fn faults(&self) -> Vec<String> {
        self.inner().faults.clone()
    }

    /// Whether the container runs and is ready now.
    pub fn is_ready(&self) -> bool {
        self.inner().is_ready()
    }

    /// How the container stands.
    pub fn state(&self) -> State {
        self.inner().state
    }

    /// The engine cannot be asked any more.
    pub fn go_away(&self) {
        self.inner().away = true;
    }

    /// It can again.
    pub fn come_back(&self) {
        self.inner().away = false;
        self.events.notify_one();
    }

    /// Somebody else starts the container, which is ready at once.
    pub fn start_behind_our_back(&self) {
        let mut inner = self.inner();
        inner.life += 1;
        inner.state = State::Running;
        inner.ready_at = Some(clock::instant());
        self.events.notify_one();
    }

    /// The container dies.
    pub fn kill_behind_our_back(&self) {
        let mut inner = self.inner();
        inner.end(137);
        self.events.notify_one();
    }

    /// The container ends with that exit code, and those last words.
    pub fn exits(&self, code: i64, output: &str) {
        let mut inner = self.inner();
        inner.end(code);
        inner.output = vec![output.to_owned()];
        drop(inner);
        self.write("ended");
        self.events.notify_one();
    }

    /// Somebody freezes it.
    pub fn pause_behind_our_back(&self) {
        self.inner().state = State::Paused;
        self.events.notify_one();
    }

    /// Somebody removes it.
    pub fn remove(&self) {
        let mut inner = self.inner();
        inner.end(137);
        inner.exists = false;
        self.events.notify_one();
    }

    /// Somebody makes another of that name.
    pub fn create(&self) {
        let mut inner = self.inner();
        inner.exists = true;
        inner.id += 1;
        inner.life = 0;
        inner.state = State::Stopped;
        self.events.notify_one();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `which` says, unless the engine is away.
    async fn delay(
        &self,
        which: impl FnOnce(&Delays) -> Range<Duration>,
    ) -> Result<(), EngineError> {
        let delay = {
            let mut inner = self.inner();
            if inner.away {
                return Err(away(Sent::No));
            }
            let range = which(&inner.delays);
            inner.draw(range)
        };
        sleep(delay).await;
        Ok(())
    }

    fn begin(&self, what: &str) {
        let mut inner = self.inner();
        inner.operations += 1;
        if inner.operations > 1 {
            inner.faults.push(format!("{what} while another operation is in flight"));
        }
    }

    /// Does `deed` as far as `outcome` says, and answers accordingly.
    fn end(&self, outcome: Outcome, deed: impl FnOnce(&mut Inner)) -> Result<(), EngineError> {
        let mut inner = self.inner();
        inner.operations -= 1;
        let refused = |message| EngineError::Refused { status: 500, message };
        let answer = match outcome {
            Outcome::Done => {
                deed(&mut inner);
                Ok(())
            }
            Outcome::Exits(code) => {
                deed(&mut inner);
                inner.end(code);
                Ok(())
            }
            Outcome::DoneButRefused(message) => {
                deed(&mut inner);
                Err(refused(message))
            }
            Outcome::DoneUnanswered => {
                deed(&mut inner);
                Err(away(Sent::Maybe))
            }
            Outcome::Refused(message) => Err(refused(message)),
            Outcome::Lost => Err(away(Sent::Maybe)),
        };
        let now = inner.state;
        drop(inner);
        self.write(match now {
            State::Running | State::Restarting => "started",
            State::Paused => "paused",
            State::Stopped => "stopped",
        });
        self.events.notify_one();
        answer
    }
}

impl Inner {
    fn is_ready(&self) -> bool {
        self.state == State::Running && self.ready_at.is_some_and(|at| at <= clock::instant())
    }

    fn end(&mut self, code: i64) {
        self.state = State::Stopped;
        self.exit = code;
        self.ready_at = None;
    }

    /// xorshift64: even enough for delays.
    fn draw(&mut self, range: Range<Duration>) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let width = range.end.saturating_sub(range.start).as_micros();
        let within = u128::from(self.random).checked_rem(width).unwrap_or(0);
        range.start + Duration::from_micros(u64::try_from(within).unwrap_or(0))
    }
}

fn away(sent: Sent) -> EngineError {
    EngineError::Unavailable { reason: "the engine is away".to_owned(), sent }
}
