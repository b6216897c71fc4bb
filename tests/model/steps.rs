//! What may happen next, and what it does.

use std::time::Duration;

use super::activation::{
    Action, Admission, Cause, Client, Curfew, Depth, Event, Latecomers, Permission, Phase, Refused,
};
use super::rule::Rule;
use super::world::{Guest, Kind, Look, Operation, Readiness, Stage, State, World};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Arrive(usize),
    /// The client is gone, which the core is told later.
    Leave(usize),
    TellLeave(usize),
    Release(usize),
    /// The engine carries out the operation in flight, and the driver looks what came of it.
    Act(Outcome),
    AnswerOperation,
    /// The engine carries out a start that was given up.
    StrayStart,
    /// The target is ready from now on, if it was not before.
    ProbeSeesReady,
    ProbeGivesUp,
    AnswerProbe(usize),
    Look,
    AnswerLook,
    Exit,
    Remove,
    PausedByOthers,
    /// It ends and is started again before anybody looks.
    RestartedByOthers,
    HelpedByOthers,
    /// Time passes until something is owed.
    PassTime,
    /// A deadline that is owed is handled.
    Deadline,
    /// A little time passes, and the driver wakes for nothing.
    Tick,
    /// Somebody asks for a sleep.
    Sleep,
    /// A client falls silent; one that is silent is heard of again, or leaves.
    Doze(usize),
    Stir(usize),
    /// Whoever was asked whether it may sleep has an answer, and tells it.
    Permit(Permission),
    TellPermission,
    /// The hours in which it is kept asleep.
    CurfewBegins(Latecomers),
    CurfewEnds,
    /// A service that depends on the target begins to, and ends.
    Pin,
    Unpin,
    Retire,
}

/// What becomes of an engine operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Works,
    /// The engine says no.
    Refused,
    /// Nobody learns that it worked.
    WorksUnheard,
    /// The engine carries it out when nobody waits for it any more.
    WorksLater,
    /// The engine could not be asked.
    Unasked,
    /// It was not: what the target needs is not there.
    Unmet,
}

impl World {
    pub(crate) fn possible(&self, steps: &mut Vec<Step>) {
        self.of_clients(steps);
        self.of_driver(steps);
        self.of_target(steps);
        self.of_time(steps);
    }

    fn of_clients(&self, steps: &mut Vec<Step>) {
        // It makes no difference which of two comes.
        let away = self.clients.iter().position(|client| matches!(client, Guest::Away));
        if self.left.arrivals > 0 && !self.retired {
            steps.extend(away.map(Step::Arrive));
        }
        for (who, client) in self.clients.iter().enumerate() {
            match client {
                Guest::Waits { .. } | Guest::Held { .. } if self.left.leaves > 0 => {
                    steps.push(Step::Leave(who));
                }
                Guest::Away | Guest::Waits { .. } | Guest::Held { .. } => {}
                Guest::Leaves { .. } => steps.push(Step::TellLeave(who)),
                Guest::Holds { .. } => {
                    steps.push(Step::Release(who));
                    if self.left.silences > 0 {
                        steps.push(Step::Doze(who));
                    }
                }
                Guest::Silent => {
                    steps.push(Step::Stir(who));
                    steps.push(Step::Release(who));
                }
            }
        }
    }

    fn of_driver(&self, steps: &mut Vec<Step>) {
        match self.operation {
            None => {}
            Some(Operation { stage: Stage::Asked, kind, .. }) => {
                steps.push(Step::Act(Outcome::Works));
                if self.left.failures > 0 {
                    steps.push(Step::Act(Outcome::Refused));
                    steps.push(Step::Act(Outcome::Unasked));
                    // A stop that was sent is settled by the driver before it answers.
                    if kind == Kind::Start {
                        steps.push(Step::Act(Outcome::Unmet));
                        steps.push(Step::Act(Outcome::WorksUnheard));
                        steps.push(Step::Act(Outcome::WorksLater));
                    }
                }
            }
            Some(Operation { stage: Stage::Seen(_) | Stage::Lost(_), .. }) => {
                steps.push(Step::AnswerOperation);
            }
        }
        if self.probe.is_some() {
            if self.target.state == State::Running {
                steps.push(Step::ProbeSeesReady);
            }
            if self.left.failures > 0 {
                steps.push(Step::ProbeGivesUp);
            }
        }
        steps.extend((0..self.answers.len()).map(Step::AnswerProbe));
        match self.look {
            // The driver begins no look during an operation, but a client may have asked for one
            // since the driver last made sure; it is not carried out yet then.
            None => {
                let stage = self.operation.map(|operation| operation.stage);
                if self.hint && matches!(stage, None | Some(Stage::Asked)) {
                    steps.push(Step::Look);
                }
            }
            Some(_) => steps.push(Step::AnswerLook),
        }
        let runs = match self.core.phase() {
            Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. } => true,
            Phase::Unknown
            | Phase::Asleep { .. }
            | Phase::Starting { .. }
            | Phase::Stopping { .. }
            | Phase::Failed(_) => false,
        };
        if self.left.sleeps > 0 {
            steps.push(Step::Sleep);
        }
        if let (Some((_, until)), None) = (self.question, self.permission) {
            if until <= self.now {
                steps.push(Step::Permit(Permission::Given));
            }
            if self.left.denials > 0 {
                steps.push(Step::Permit(Permission::Denied));
            }
        }
        if self.permission.is_some() {
            steps.push(Step::TellPermission);
        }
        match self.curfew {
            None if self.left.curfews > 0 && !self.retired => {
                steps.push(Step::CurfewBegins(Latecomers::Refused));
                steps.push(Step::CurfewBegins(Latecomers::Held));
            }
            Some(curfew) if curfew.until <= self.now => steps.push(Step::CurfewEnds),
            None | Some(_) => {}
        }
        if self.left.pins > 0 {
            steps.push(Step::Pin);
        }
        if self.pins > 0 {
            steps.push(Step::Unpin);
        }
        // Asked again as long as the target runs.
        if self.left.retires > 0 || (self.retired && runs) {
            steps.push(Step::Retire);
        }
    }

    fn of_target(&self, steps: &mut Vec<Step>) {
        let running = self.target.state == State::Running;
        if self.left.ends > 0 {
            if running {
                steps.push(Step::Exit);
                steps.push(Step::PausedByOthers);
                steps.push(Step::RestartedByOthers);
            }
            if self.target.state != State::Missing {
                steps.push(Step::Remove);
            }
        }
        if self.left.helps > 0 && !running {
            steps.push(Step::HelpedByOthers);
        }
        if self.stray_start && self.target.state == State::Stopped {
            steps.push(Step::StrayStart);
        }
    }

    fn of_time(&self, steps: &mut Vec<Step>) {
        let deadline = self.core.deadline().map(|(at, _)| at);
        if deadline.is_some_and(|at| at <= self.now) {
            steps.push(Step::Deadline);
            return;
        }
        if self.owed().any(|at| at > self.now) {
            steps.push(Step::PassTime);
        }
        if self.left.ticks > 0 && deadline.is_none_or(|at| at > self.now + TICK) {
            steps.push(Step::Tick);
        }
    }

    pub(crate) fn take(&mut self, step: Step) {
        self.refused = None;
        match step {
            Step::Arrive(who) => self.arrive(who),
            Step::Leave(who) => match self.clients[who] {
                Guest::Waits { id, due, .. } => {
                    self.left.leaves -= 1;
                    self.clients[who] = Guest::Leaves { id, due };
                }
                Guest::Held { id, .. } => {
                    self.left.leaves -= 1;
                    self.clients[who] = Guest::Away;
                    self.tell(Event::Leave(id), None);
                }
                Guest::Away | Guest::Leaves { .. } | Guest::Holds { .. } | Guest::Silent => {}
            },
            Step::TellLeave(who) => {
                if let Guest::Leaves { id, .. } = self.clients[who] {
                    self.clients[who] = Guest::Away;
                    self.tell(Event::Leave(id), None);
                }
            }
            Step::Release(who) => {
                let silent = matches!(self.clients[who], Guest::Silent);
                self.clients[who] = Guest::Away;
                if silent {
                    self.tell(Event::ReleaseSilent, None);
                } else {
                    self.notes.used = Some(self.now);
                    self.tell(Event::Release, None);
                }
            }
            Step::Doze(who) => {
                // It has said nothing since it was let in.
                if let Guest::Holds { from, .. } = self.clients[who] {
                    self.left.silences -= 1;
                    self.clients[who] = Guest::Silent;
                    self.notes.used = Some(self.notes.used.map_or(from, |used| used.max(from)));
                    self.tell(Event::Doze(from), None);
                }
            }
            Step::Stir(who) => self.stir(who),
            Step::Permit(permission) => {
                if permission == Permission::Denied {
                    self.left.denials -= 1;
                }
                self.permission = self.question.take().map(|(question, _)| (question, permission));
            }
            Step::TellPermission => {
                if let Some((question, permission)) = self.permission.take() {
                    let void = std::mem::take(&mut self.notes.void);
                    self.notes.permitted = permission == Permission::Given && !void;
                    self.tell(Event::Answered(question, permission), None);
                    self.notes.permitted = false;
                }
            }
            Step::CurfewBegins(clients) => {
                self.left.curfews -= 1;
                let curfew = Curfew { until: self.now + CURFEW, clients };
                self.curfew = Some(curfew);
                self.tell(Event::Curfew(Some(curfew)), None);
            }
            Step::CurfewEnds => self.curfew_ends(),
            Step::Act(outcome) => self.act(outcome),
            Step::AnswerOperation => self.answer_operation(),
            Step::StrayStart => {
                self.stray_start = false;
                self.run_target();
            }
            Step::ProbeSeesReady => self.probe_ends(Some(self.target.life)),
            Step::ProbeGivesUp => {
                self.left.failures -= 1;
                self.probe_ends(None);
            }
            Step::AnswerProbe(index) => {
                let answer = self.answers.remove(index);
                let event = match answer.ready {
                    Some(_) => Event::Ready(answer.run),
                    None => Event::NotReady(answer.run, Cause::Dependency),
                };
                self.tell(event, answer.ready);
            }
            Step::Look => {
                self.hint = false;
                self.look = Some(Look { run: self.core.run(), sight: self.sight() });
            }
            Step::AnswerLook => self.answer_look(),
            Step::Exit => self.end(State::Stopped),
            Step::Remove => self.end(State::Missing),
            Step::PausedByOthers => self.end(State::Paused),
            Step::RestartedByOthers => {
                self.end(State::Stopped);
                self.run_target();
            }
            Step::HelpedByOthers => {
                self.left.helps -= 1;
                if self.target.state == State::Missing {
                    self.target.state = State::Stopped;
                    self.target.life += 1;
                    self.hint = true;
                } else {
                    self.run_target();
                }
            }
            Step::PassTime => {
                let next = self.owed().filter(|at| *at > self.now).min();
                if let Some(at) = next {
                    self.now = at;
                }
            }
            Step::Deadline => {
                self.tell(Event::Deadline, None);
                let owed = self.core.deadline().is_some_and(|(at, _)| at <= self.now);
                self.demand(!owed, Rule::Deadline);
                let in_time = self.dues().all(|due| due > self.now);
                self.demand(in_time, Rule::InTime);
            }
            Step::Tick => {
                self.left.ticks -= 1;
                self.now = self.now + TICK;
                let before = self.core.clone();
                self.tell(Event::Deadline, None);
                self.demand(self.core == before, Rule::Deadline);
            }
            Step::Sleep => {
                self.left.sleeps -= 1;
                let runs = matches!(
                    self.core.phase(),
                    Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. }
                );
                let unused = self.held() == 0 && !self.waits();
                self.asked = true;
                self.tell(Event::Sleep, None);
                self.asked = false;
                let stops = self.operation.is_some_and(|next| matches!(next.kind, Kind::Stop(_)));
                self.demand(!(runs && unused) || stops, Rule::Heeded);
            }
            Step::Pin => {
                self.left.pins -= 1;
                self.pins += 1;
                self.tell(Event::Pin, None);
            }
            Step::Unpin => {
                self.pins -= 1;
                self.notes.used = Some(self.now);
                self.tell(Event::Release, None);
            }
            Step::Retire => {
                self.left.retires = 0;
                self.retired = true;
                self.tell(Event::Retire, None);
            }
        }
    }

    fn arrive(&mut self, who: usize) {
        self.left.arrivals -= 1;
        let id = Client(self.next_client);
        self.next_client += 1;
        let into_stop = self.core.phase().is_stopping();
        let mut out = Vec::new();
        self.clients[who] = match self.core.acquire(self.now, id, &mut out) {
            Admission::Granted => {
                self.demand(self.notes.proven, Rule::Proven);
                self.demand(self.curfew.is_none(), Rule::Curfew);
                self.holds(into_stop)
            }
            Admission::Waiting => match self.curfew {
                Some(Curfew { clients: Latecomers::Held, until }) => {
                    Guest::Held { id, due: until + self.policy.start_timeout }
                }
                Some(_) | None => {
                    Guest::Waits { id, due: self.now + self.policy.start_timeout, into_stop }
                }
            },
            Admission::Refused(refused) => {
                let left = self.notes.retry.filter(|at| *at > self.now);
                let left = left.map(|at| Refused::BackOff(at.since(self.now)));
                let curfew = self.curfew.filter(|of| of.clients == Latecomers::Refused);
                let curfew = curfew.map(|of| Refused::Curfew(of.until.since(self.now)));
                self.demand(Some(refused) == curfew.or(left), Rule::Reason);
                self.refused = Some(refused);
                Guest::Away
            }
        };
        self.settle(out, None);
    }

    fn act(&mut self, outcome: Outcome) {
        let Some(Operation { kind, run, .. }) = self.operation else { return };
        if outcome != Outcome::Works {
            self.left.failures -= 1;
        }
        let works = matches!(outcome, Outcome::Works | Outcome::WorksUnheard);
        match kind {
            Kind::Start if works => self.run_target(),
            Kind::Start => self.stray_start |= outcome == Outcome::WorksLater,
            Kind::Stop(depth) if works => self.put_to_sleep(depth),
            Kind::Stop(_) => {}
        }
        let stage = match outcome {
            Outcome::Works | Outcome::Refused => Stage::Seen(self.sight()),
            Outcome::WorksUnheard | Outcome::WorksLater | Outcome::Unasked => {
                Stage::Lost(Cause::EngineAway)
            }
            Outcome::Unmet => Stage::Lost(Cause::Dependency),
        };
        self.operation = Some(Operation { kind, run, stage });
    }

    fn answer_operation(&mut self) {
        let Some(Operation { kind, run, stage }) = self.operation.take() else { return };
        let end = match stage {
            Stage::Seen(sight) => {
                self.known = sight.known(self.known);
                self.notes.believed = sight.life;
                self.note_rest(sight.plain());
                Ok(sight.plain())
            }
            Stage::Lost(cause) => {
                // The event stream is taken up again, and then everything is looked at.
                self.hint = true;
                Err(cause)
            }
            Stage::Asked => return,
        };
        self.notes.proven = false;
        let waits = self.waits();
        match kind {
            Kind::Start => self.tell(Event::StartEnded(run, end), None),
            Kind::Stop(depth) => {
                let paused = self.notes.paused.is_some();
                self.notes.stays_paused = depth == Depth::Stop && (end.is_err() || paused);
                self.notes.killed = false;
                self.tell(Event::StopEnded(run, end), None);
                let starts = self.operation.is_some_and(|next| next.kind == Kind::Start);
                let rests = matches!(end, Ok(seen) if seen != super::activation::Seen::Running);
                self.demand(!(waits && rests) || starts, Rule::LostWake);
            }
        }
    }

    fn answer_look(&mut self) {
        let Some(Look { run, sight }) = self.look.take() else { return };
        let seen = sight.beside(self.known);
        if run == self.core.run() {
            self.known = sight.known(self.known);
            self.note_look(sight, seen);
        }
        self.tell(Event::Observed(run, seen), None);
    }

    fn probe_ends(&mut self, ready: Option<u16>) {
        if let Some(run) = self.probe.take() {
            self.answers.push(Readiness { run, ready });
        }
    }
}

const TICK: Duration = Duration::from_secs(2);

/// How long the hours last.
const CURFEW: Duration = Duration::from_secs(4);
