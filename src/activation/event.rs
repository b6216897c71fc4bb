//! What reaches the core and what it asks for.

use std::time::Duration;

use super::{Curfew, Depth, Moment};

/// One life of the target, or one gap between two lives.
///
/// Every engine action and its answer carry it; an answer of another run is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Run(pub u32);

impl Run {
    /// The run after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// One client that asked for the target; numbers grow in order of arrival and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub u64);

/// One question whether the target may sleep; an answer to another is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Question(pub u32);

impl Question {
    /// The question after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// It may.
    Given,
    /// It may not, or nobody could tell.
    Denied,
}

/// A target that does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rest {
    /// Created, or exited.
    Stopped,
    /// Frozen: a start thaws it.
    Paused,
    /// Nothing of that name exists.
    Missing,
}

/// What an inspect of the target said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It runs, and as far as the engine can tell it has run on since it was last seen running.
    Running,
    /// It runs, but it is not the life last seen: somebody restarted or replaced it.
    Renewed,
    /// It does not run.
    Resting(Rest),
}

/// Why a wake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The engine said no, or what it did left the target not running.
    StartFailed,
    /// It started and ended before it was ready.
    Exited,
    /// Nothing of that name exists.
    Missing,
    /// It runs but did not become ready in time.
    NotReady,
    /// There is no address to reach it at.
    Unreachable,
    /// The engine did not answer in time.
    EngineAway,
    /// A service that it needs, or that is to be awake with it, is not there.
    Dependency,
}

/// Why a client is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The wake it waited for failed.
    Failed(Cause),
    /// The last wake failed; the next try is allowed after this long.
    BackOff(Duration),
    /// It is kept asleep, for so long yet.
    Curfew(Duration),
    /// It waited for the whole start timeout.
    TimedOut,
    /// The daemon ends.
    ShuttingDown,
}

/// The answer to a client that asks for the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Admission {
    /// It has a lease from now on.
    Granted,
    /// It waits; [`Action::Grant`] or [`Action::Refuse`] follows.
    Waiting,
    /// It is not served.
    Refused(Refused),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A waiting client left.
    Leave(Client),
    /// Another service depends on the target: a lease that asks for nothing, whatever the phase.
    /// It starts nothing, and [`Event::Release`] ends it.
    Pin,
    /// A lease ended.
    Release,
    /// A lease keeps the target awake no longer, though its client stays; since then the idle window
    /// counts.
    Doze(Moment),
    /// A client left that kept the target awake no longer.
    ReleaseSilent,
    /// Whoever was asked has answered whether the target may sleep.
    Answered(Question, Permission),
    /// The hours in which the target is kept asleep begin, change or end.
    Curfew(Option<Curfew>),
    /// A moment named by [`Service::deadline`](super::Service::deadline) may have come.
    Deadline,
    /// An inspect that was asked for during `Run` said this.
    Observed(Run, Seen),
    /// The start asked for by [`Action::Start`] has ended, and the target was then seen so.
    StartEnded(Run, Result<Seen, Cause>),
    /// The stop asked for by [`Action::Stop`] has ended, and the target was then seen so; an error
    /// says that the engine could not be asked.
    StopEnded(Run, Result<Seen, Cause>),
    /// The target of this run is ready.
    Ready(Run),
    /// The target of this run will not become ready.
    NotReady(Run, Cause),
    /// Somebody wants the target asleep without waiting for the end of the idle window. Heeded only
    /// while it runs and nobody uses it or waits for it.
    Sleep,
    /// The same, though clients use it. Whoever waits is not turned away: heeded only while it runs
    /// and nobody waits.
    SleepAnyway,
    /// The daemon ends and wants the target stopped, whoever uses it.
    Retire,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Make the target run: start it, or thaw it. While the engine cannot be reached, try again
    /// until `give_up`. Answered by [`Event::StartEnded`].
    Start {
        /// The run of the start itself; the life it opens is the next.
        run: Run,
        /// Until when an unreachable engine is tried again.
        give_up: Moment,
    },
    /// Put the target to sleep. Answered by [`Event::StopEnded`].
    Stop {
        /// The run that ends with it.
        run: Run,
        /// How deep.
        depth: Depth,
    },
    /// End the target at once, under the stop that is on its way. Not answered: that stop is.
    Kill,
    /// Ask whether the target may sleep at that moment. Answered by [`Event::Answered`], not before it.
    Ask {
        /// Which question this is.
        question: Question,
        /// When the idle window ends.
        until: Moment,
    },
    /// Nobody wants to know any more.
    EndAsking,
    /// The target would be put to sleep now, but that nothing is.
    WouldSleep,
    /// Find out whether the target is ready, until it is or the run is over. Answered by
    /// [`Event::Ready`] or [`Event::NotReady`].
    Probe {
        /// The run that is asked about.
        run: Run,
    },
    /// This waiting client has a lease from now on.
    Grant(Client),
    /// This waiting client is not served.
    Refuse(Client, Refused),
    /// A wake failed: tell the operator once.
    Report(Cause),
}
