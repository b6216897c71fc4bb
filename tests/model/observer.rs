//! The observer: takes what the core asks for as the driver does, and checks it against what it
//! has seen from outside.

use std::time::Duration;

use super::activation::{Action, Cause, Client, Depth, Event, Phase, Practice, Rest, Seen, Window};
use super::rule::Rule;
use super::world::{Guest, Kind, Operation, Sight, Stage, State, World};

impl World {
    /// Tells the core what has happened. `ready` is the life that a probe has seen ready.
    pub(super) fn tell(&mut self, event: Event, ready: Option<u16>) {
        let mut out = Vec::new();
        self.core.handle(self.now, event, &mut out);
        if ready.is_some() && matches!(self.core.phase(), Phase::Awake { .. }) {
            self.note_ready(ready);
        }
        let looked = matches!(event, Event::Observed(..));
        let gone = [Action::Report(Cause::Exited), Action::Report(Cause::Missing)];
        if looked && gone.iter().any(|report| out.contains(report)) {
            self.demand(self.notes.ended, Rule::OldEnd);
        }
        self.settle(out, ready);
    }

    /// Does what the core asks for; `ready` as for [`World::tell`].
    pub(super) fn settle(&mut self, out: Vec<Action>, ready: Option<u16>) {
        let failed = out.iter().any(|action| matches!(action, Action::Report(_)));
        for action in out {
            match action {
                Action::Start { run, .. } => {
                    let over = self.notes.retry.is_none_or(|at| at <= self.now);
                    self.demand(over, Rule::BackOff);
                    self.demand(self.waits(), Rule::ForNobody);
                    self.operate(Operation { kind: Kind::Start, run, stage: Stage::Asked });
                }
                Action::Stop { run, depth } => {
                    let free = self.held() == 0 || self.retired;
                    self.demand(free && !self.waits(), Rule::Unused);
                    let meant = failed || self.retired || self.asked;
                    self.demand(meant || self.window_over(), Rule::Window);
                    let real = self.policy.practice == Practice::Real;
                    self.demand(meant || real, Rule::Dry);
                    let deeper = self.notes.paused.is_some();
                    let permitted = self.policy.asking.is_none() || self.notes.permitted;
                    self.demand(meant || deeper || permitted, Rule::Permitted);
                    self.notes.killed = false;
                    self.operate(Operation { kind: Kind::Stop(depth), run, stage: Stage::Asked });
                }
                Action::Kill => {
                    let stops = self.operation.is_some_and(|of| of.kind == Kind::Stop(Depth::Stop));
                    self.demand(stops && self.waits() && !self.notes.killed, Rule::Killed);
                    self.notes.killed = true;
                }
                Action::Ask { question, until } => {
                    self.demand(self.question.is_none(), Rule::Permitted);
                    self.question = Some((question, until));
                }
                Action::EndAsking => {
                    self.question = None;
                    self.notes.void |= self.permission.is_some();
                }
                Action::WouldSleep => {
                    self.demand(self.policy.practice == Practice::Dry, Rule::Dry);
                }
                Action::Probe { run } => self.probe = Some(run),
                Action::Grant(client) => self.grant(client, ready),
                Action::Refuse(client, refused) => {
                    self.refused = Some(refused);
                    if let Some(who) = self.answered(client) {
                        self.clients[who] = Guest::Away;
                    }
                }
                Action::Report(_) => {
                    let doubled = Duration::from_secs(1 << self.notes.failures.min(5));
                    self.notes.retry = Some(self.now + doubled.min(Duration::from_secs(30)));
                    self.notes.failures += 1;
                }
            }
        }
        // The driver ends a question about a run that is over; its answer may be there already.
        let probing = matches!(self.core.phase(), Phase::Probing { .. });
        if self.probe.is_some_and(|run| !probing || run != self.core.run()) {
            self.probe = None;
        }
    }

    /// Checks what can be seen of a state.
    pub(crate) fn judge(&mut self) {
        let deadline = self.core.deadline().map(|(at, _)| at);
        let looks = self.hint || self.look.is_some();
        if let Some(first) = self.dues().min() {
            let probed = self.answers.iter().any(|answer| answer.run == self.core.run());
            let asked = self.operation.is_some() || self.probe.is_some();
            self.demand(asked || probed || looks, Rule::OnTheWay);
            self.demand(deadline.is_some_and(|at| at <= first), Rule::InTime);
        }
        if let Some(first) = self.kept_out().min() {
            self.demand(deadline.is_some_and(|at| at <= first), Rule::InTime);
        }
        let asked = self.question.is_some() || self.permission.is_some();
        let idle = self.operation.is_none() && self.held() == 0 && !looks && !asked;
        let real = self.policy.practice == Practice::Real;
        let sleeps = (self.policy.idle != Window::Never || self.curfew.is_some()) && real;
        if self.target.state == State::Running && sleeps && idle {
            self.demand(deadline.is_some(), Rule::Forgotten);
        }
        let deeper = self.policy.tiers.deeper.is_some() && real;
        if self.target.state == State::Paused && deeper && idle {
            self.demand(deadline.is_some(), Rule::Forgotten);
        }
        let waiting = self.dues().count() + self.kept_out().count();
        self.demand(waiting == self.core.waiting(), Rule::Remembered);
        self.demand(self.held() == self.core.leases() as usize, Rule::Leases);
        self.demand(self.silent() == self.core.silent() as usize, Rule::Leases);
        self.demand(self.core.broken_invariant().is_none(), Rule::Inner);
    }

    /// Takes down since when it is paused, or up, as far as the core knows.
    pub(super) fn note_rest(&mut self, seen: Seen) {
        if self.policy.tiers.deeper.is_none() && self.policy.min_awake.is_zero() {
            // It makes no difference.
            return;
        }
        match seen {
            Seen::Resting(Rest::Paused) => {
                self.notes.paused.get_or_insert(self.now);
                self.notes.risen = None;
            }
            Seen::Resting(Rest::Stopped | Rest::Missing) => {
                (self.notes.paused, self.notes.risen) = (None, None);
            }
            Seen::Running => {
                self.notes.paused = None;
                self.notes.risen.get_or_insert(self.now);
            }
            Seen::Renewed => {
                self.notes.paused = None;
                self.notes.risen = Some(self.now);
            }
        }
    }

    /// Takes down what a look that the core must heed has said.
    pub(super) fn note_look(&mut self, sight: Sight, seen: Seen) {
        let phase = self.core.phase();
        if !matches!(phase, Phase::Starting { .. } | Phase::Stopping { .. }) {
            self.note_rest(seen);
        }
        let believed_running =
            matches!(phase, Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. });
        let operating = matches!(phase, Phase::Starting { .. } | Phase::Stopping { .. });
        match seen {
            Seen::Running if believed_running => {}
            Seen::Running | Seen::Renewed => {
                self.notes.proven = false;
                if !operating {
                    self.notes.believed = sight.life;
                }
            }
            Seen::Resting(_) => self.notes.proven = false,
        }
        // A failure that others have mended is nothing to wait for: the target runs, exists, or
        // its engine answers again.
        let mended = match (phase, seen) {
            (
                Phase::Unknown | Phase::Asleep { .. } | Phase::Failed(_),
                Seen::Running | Seen::Renewed,
            )
            | (Phase::Awake { .. } | Phase::Found { .. }, Seen::Renewed)
            | (Phase::Failed(Cause::EngineAway), Seen::Resting(_)) => true,
            (Phase::Failed(Cause::Missing), Seen::Resting(rest)) => rest != Rest::Missing,
            _ => false,
        };
        if mended {
            self.notes.retry = None;
        }
    }

    pub(super) fn demand(&mut self, holds: bool, rule: Rule) {
        if !holds {
            self.broken.insert(rule);
        }
    }

    fn note_ready(&mut self, ready: Option<u16>) {
        if self.proves(ready) {
            self.notes.proven = true;
            self.notes.failures = 0;
            self.notes.retry = None;
        }
    }

    fn operate(&mut self, operation: Operation) {
        self.demand(self.operation.is_none(), Rule::OneOperation);
        self.notes.proven = false;
        self.operation = Some(operation);
    }

    fn grant(&mut self, client: Client, ready: Option<u16>) {
        // Without a probe of this moment it is the end of the hours that lets somebody in.
        let proven = if ready.is_some() { self.proves(ready) } else { self.notes.proven };
        self.demand(proven, Rule::Proven);
        let Some(who) = self.answered(client) else { return };
        match self.clients[who] {
            Guest::Waits { into_stop, .. } => self.clients[who] = self.holds(into_stop),
            Guest::Away
            | Guest::Leaves { .. }
            | Guest::Holds { .. }
            | Guest::Silent
            | Guest::Held { .. } => {
                // Nobody was there any more to take it.
                self.clients[who] = Guest::Away;
                self.notes.used = Some(self.now);
                self.tell(Event::Release, None);
            }
        }
    }

    /// Which client that is, if the core owes it an answer.
    fn answered(&mut self, client: Client) -> Option<usize> {
        let who = self.clients.iter().position(|guest| match guest {
            Guest::Waits { id, .. } | Guest::Leaves { id, .. } | Guest::Held { id, .. } => {
                *id == client
            }
            Guest::Away | Guest::Holds { .. } | Guest::Silent => false,
        });
        self.demand(who.is_some(), Rule::Remembered);
        who
    }

    /// Whether a probe that has seen this life ready says something about the life that runs.
    fn proves(&self, ready: Option<u16>) -> bool {
        ready.is_some_and(|life| life >= self.notes.believed)
    }

    pub(super) fn window_over(&self) -> bool {
        if let (Some(paused), Some(deeper)) = (self.notes.paused, self.policy.tiers.deeper) {
            let unused = self.notes.used.map_or(paused, |used| used.max(paused));
            return unused + deeper <= self.now || self.notes.stays_paused;
        }
        if self.curfew.is_some() {
            return true;
        }
        let least = self.policy.min_awake;
        if self.notes.risen.is_some_and(|risen| risen + least > self.now) {
            return false;
        }
        match (self.policy.idle, self.notes.used) {
            (Window::After(window), Some(used)) => used + window <= self.now,
            (Window::After(_), None) => true,
            (Window::Never, _) => false,
        }
    }
}
