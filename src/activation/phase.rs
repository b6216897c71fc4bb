//! Where a service stands.

use super::{Cause, Depth, Moment, Question, Rest};

/// Where a service stands; each variant carries only what that phase needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nobody has looked at the target yet.
    Unknown,
    /// It does not run.
    Asleep {
        /// How.
        rest: Rest,
        /// When it is stopped; of a paused target that is to sleep deeper.
        deeper_at: Option<Moment>,
    },
    /// A start is in flight. It cannot be called back, so nothing is decided until it ends.
    Starting {
        /// When it was asked for.
        began: Moment,
    },
    /// It runs and is asked whether it is ready; at `give_up` the wake has failed.
    Probing {
        /// When the wake has failed.
        give_up: Moment,
    },
    /// It runs and this run was seen ready.
    Awake {
        /// When it sleeps.
        idle: Idle,
    },
    /// It runs, but nobody has asked yet whether this run is ready.
    Found {
        /// When it sleeps.
        idle: Idle,
    },
    /// A stop is in flight. It cannot be called back: whoever comes waits for its end.
    Stopping {
        /// How deep it is put to sleep.
        depth: Depth,
        /// How it stood before.
        from: From,
        /// When it is killed.
        kill: Kill,
    },
    /// The last wake failed and nothing runs, as far as is known.
    Failed(Cause),
}

/// When a target that runs is put to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Idle {
    /// Not by itself: it is used, or never sleeps.
    Never,
    /// At this moment, if nobody comes.
    At(Moment),
    /// At this moment, if nobody comes and whoever is asked says yes.
    Asking(Moment, Question),
    /// It would have been by now, but that nothing is.
    Dry,
}

/// How a target that is being stopped stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum From {
    /// It ran.
    Running,
    /// It was paused.
    Paused,
}

/// When a target is killed under the stop that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kill {
    /// Not, as nobody waits for the end of the stop.
    Unarmed,
    /// At this moment, if somebody still waits then.
    At(Moment),
    /// It was.
    Asked,
}

/// Why a deadline is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// The longest waiting client has waited for the whole start timeout.
    ClientTimeout,
    /// The target has had its time to become ready.
    NotReady,
    /// The idle window ends.
    Idle,
    /// It is time to ask whether the target may sleep.
    Ask,
    /// A paused target is to be stopped.
    Deeper,
    /// Clients have waited behind a stop for as long as they are to.
    Kill,
}

impl Phase {
    /// Whether a stop is in flight.
    pub const fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping { .. })
    }

    /// When a target that runs is put to sleep.
    pub const fn idle(&self) -> Option<Idle> {
        match self {
            Self::Awake { idle } | Self::Found { idle } => Some(*idle),
            Self::Unknown
            | Self::Asleep { .. }
            | Self::Starting { .. }
            | Self::Probing { .. }
            | Self::Stopping { .. }
            | Self::Failed(_) => None,
        }
    }

    /// The same, to be changed.
    pub(super) const fn idle_mut(&mut self) -> Option<&mut Idle> {
        match self {
            Self::Awake { idle } | Self::Found { idle } => Some(idle),
            Self::Unknown
            | Self::Asleep { .. }
            | Self::Starting { .. }
            | Self::Probing { .. }
            | Self::Stopping { .. }
            | Self::Failed(_) => None,
        }
    }
}

impl Idle {
    /// The moment, if there is one.
    pub const fn at(self) -> Option<Moment> {
        match self {
            Self::At(at) | Self::Asking(at, _) => Some(at),
            Self::Never | Self::Dry => None,
        }
    }
}
