//! What is around the core: the target, the driver's tasks and the clients.

use std::collections::BTreeSet;

use super::activation::{
    Cause, Client, Curfew, Depth, Moment, Permission, Policy, Question, Refused, Rest, Run, Seen,
    Service,
};
use super::rule::Rule;

/// The core and everything around it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(crate) struct World {
    pub(crate) core: Service,
    pub(crate) policy: Policy,
    pub(super) now: Moment,
    pub(crate) target: Target,
    pub(super) operation: Option<Operation>,
    /// A start that was not answered and that the engine carries out some time.
    pub(super) stray_start: bool,
    /// The readiness question under way.
    pub(super) probe: Option<Run>,
    /// Its answer and those of earlier runs that nobody has read yet.
    pub(super) answers: Vec<Readiness>,
    pub(super) look: Option<Look>,
    /// Something has happened that nobody has looked at yet.
    pub(super) hint: bool,
    /// The life that the driver has seen last: another one is `Seen::Renewed`.
    pub(super) known: Option<u16>,
    pub(super) clients: Vec<Guest>,
    /// The question under way whether the target may sleep, and about when.
    pub(super) question: Option<(Question, Moment)>,
    /// An answer to one that the core has not read yet.
    pub(super) permission: Option<(Question, Permission)>,
    /// The hours in which it is kept asleep.
    pub(super) curfew: Option<Curfew>,
    /// Pins that are held.
    pub(super) pins: u16,
    pub(super) next_client: u64,
    pub(super) left: Budget,
    pub(super) retired: bool,
    /// The step at hand asks for a sleep.
    pub(super) asked: bool,
    /// What the last step has refused a client for.
    pub(super) refused: Option<Refused>,
    pub(super) notes: Notes,
    /// The rules that the last step has broken.
    pub(crate) broken: BTreeSet<Rule>,
}

/// How often something may happen yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Clients that come.
    pub(crate) arrivals: u16,
    /// Clients that leave while they wait.
    pub(crate) leaves: u16,
    /// Lives that end by themselves or by others: exit, removal, pause.
    pub(crate) ends: u16,
    /// Starts, thaws and creations by others.
    pub(crate) helps: u16,
    /// Operations and probes that fail.
    pub(crate) failures: u16,
    /// Moments between two deadlines.
    pub(crate) ticks: u16,
    /// Sleeps that are asked for.
    pub(crate) sleeps: u16,
    /// Pins that are taken.
    pub(crate) pins: u16,
    /// Ends of the daemon.
    pub(crate) retires: u16,
    /// Clients that fall silent.
    pub(crate) silences: u16,
    /// Times that it may not sleep.
    pub(crate) denials: u16,
    /// Hours in which it is kept asleep.
    pub(crate) curfews: u16,
}

/// The truth about the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) state: State,
    /// Which life; changes with every start and with every making.
    pub(super) life: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Running,
    Paused,
    Stopped,
    Missing,
}

/// An engine operation that the core has asked for and that was not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) run: Run,
    pub(super) stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Start,
    Stop(Depth),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// The engine has not carried it out.
    Asked,
    /// The target was seen so at the end; the answer is on its way.
    Seen(Sight),
    /// The engine could not be asked.
    Lost(Cause),
}

/// One inspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sight {
    pub(super) state: State,
    pub(super) life: u16,
}

/// An answer to a readiness question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Readiness {
    pub(super) run: Run,
    /// The life that was seen ready; without one it was seen that it never will be.
    pub(super) ready: Option<u16>,
}

/// An inspect on somebody's hint, with the run of its beginning; told some time later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Look {
    pub(super) run: Run,
    pub(super) sight: Sight,
}

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Guest {
    Away,
    Waits {
        id: Client,
        due: Moment,
        /// It came while a stop was in flight.
        into_stop: bool,
    },
    /// It has left; the core does not know yet.
    Leaves {
        id: Client,
        due: Moment,
    },
    Holds {
        into_stop: bool,
        /// Since when, where clients fall silent.
        from: Moment,
    },
    /// It holds a lease that keeps nothing awake.
    Silent,
    /// It is held until the hours are over.
    Held {
        id: Client,
        due: Moment,
    },
}

/// What an observer remembers who sees only what goes in and out of the core.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Notes {
    /// A probe has seen what is believed to run ready.
    pub(super) proven: bool,
    /// The life that is believed to run: a probe of an earlier one proves nothing.
    pub(super) believed: u16,
    /// The target has ended since an inspect last saw it running.
    pub(super) ended: bool,
    /// When a lease was last given back.
    pub(super) used: Option<Moment>,
    /// When the core last heard that the target has got up, and when that it is paused.
    pub(super) risen: Option<Moment>,
    pub(super) paused: Option<Moment>,
    /// A stop of a paused target has failed.
    pub(super) stays_paused: bool,
    /// The stop under way was hastened.
    pub(super) killed: bool,
    /// A yes to the last question.
    pub(super) permitted: bool,
    /// The answer that is on its way is to a question that was ended.
    pub(super) void: bool,
    pub(super) failures: u32,
    /// Nothing may be started before.
    pub(super) retry: Option<Moment>,
}

impl World {
    pub(crate) fn new(policy: Policy, budget: Budget, seats: usize, state: State) -> Self {
        Self {
            core: Service::new(policy.clone()),
            policy,
            now: Moment::default(),
            target: Target { state, life: 0 },
            operation: None,
            stray_start: false,
            probe: None,
            answers: Vec::new(),
            look: None,
            hint: true,
            known: None,
            clients: vec![Guest::Away; seats],
            question: None,
            permission: None,
            curfew: None,
            pins: 0,
            next_client: 0,
            left: budget,
            retired: false,
            asked: false,
            refused: None,
            notes: Notes::default(),
            broken: BTreeSet::new(),
        }
    }

    /// Somebody holds a lease from now on.
    pub(super) fn holds(&self, into_stop: bool) -> Guest {
        // It makes no other difference.
        let silences = self.left.silences > 0;
        Guest::Holds { into_stop, from: if silences { self.now } else { Moment::default() } }
    }

    pub(super) fn sight(&mut self) -> Sight {
        if self.target.state == State::Running {
            self.notes.ended = false;
        }
        Sight { state: self.target.state, life: self.target.life }
    }

    /// Leases of clients, and pins.
    pub(super) fn held(&self) -> usize {
        self.used() + usize::from(self.pins)
    }

    /// Leases of clients.
    pub(super) fn used(&self) -> usize {
        self.clients.iter().filter(|client| matches!(client, Guest::Holds { .. })).count()
    }

    pub(super) fn waits(&self) -> bool {
        self.dues().next().is_some()
    }

    /// When the waiting of each client ends that the core must believe to wait.
    pub(super) fn dues(&self) -> impl Iterator<Item = Moment> {
        self.clients.iter().filter_map(|client| match client {
            Guest::Waits { due, .. } | Guest::Leaves { due, .. } => Some(*due),
            Guest::Away | Guest::Holds { .. } | Guest::Silent | Guest::Held { .. } => None,
        })
    }

    /// The target is started or thawed; nothing happens to one that runs or does not exist.
    pub(super) fn run_target(&mut self) {
        match self.target.state {
            State::Running | State::Missing => return,
            State::Paused => {}
            State::Stopped => self.target.life += 1,
        }
        self.target.state = State::Running;
        self.hint = true;
    }

    pub(super) fn end(&mut self, state: State) {
        self.left.ends -= 1;
        self.target.state = state;
        self.rested();
    }

    pub(super) fn rested(&mut self) {
        self.notes.ended = true;
        self.hint = true;
    }

    /// Those whom the hours hold.
    pub(super) fn kept_out(&self) -> impl Iterator<Item = Moment> {
        self.clients.iter().filter_map(|client| match client {
            Guest::Held { due, .. } => Some(*due),
            Guest::Away
            | Guest::Waits { .. }
            | Guest::Leaves { .. }
            | Guest::Holds { .. }
            | Guest::Silent => None,
        })
    }

    /// Clients that keep nothing awake.
    pub(super) fn silent(&self) -> usize {
        self.clients.iter().filter(|client| matches!(client, Guest::Silent)).count()
    }
}

impl Sight {
    /// As the driver tells it to the core, without regard to which life it is.
    pub(super) fn plain(self) -> Seen {
        match self.state {
            State::Running => Seen::Running,
            State::Paused => Seen::Resting(Rest::Paused),
            State::Stopped => Seen::Resting(Rest::Stopped),
            State::Missing => Seen::Resting(Rest::Missing),
        }
    }

    /// As the driver tells it to the core when it last saw the life `known`.
    pub(super) fn beside(self, known: Option<u16>) -> Seen {
        match (self.state, known) {
            (State::Running, Some(known)) if known != self.life => Seen::Renewed,
            _ => self.plain(),
        }
    }

    /// The life that the driver knows from now on; nothing is known of what is missing.
    pub(super) fn known(self, before: Option<u16>) -> Option<u16> {
        if self.state == State::Missing { before } else { Some(self.life) }
    }
}
