//! Steps of going to sleep: the engine's part, silent clients, and the hours.

use super::activation::{Action, Depth, Event};
use super::rule::Rule;
use super::world::{Guest, Kind, State, World};

impl World {
    /// The engine freezes or ends the target; what is paused is thawed for its end.
    pub(super) fn put_to_sleep(&mut self, depth: Depth) {
        let next = match (self.target.state, depth) {
            (State::Running, Depth::Pause) => State::Paused,
            (State::Running | State::Paused, Depth::Stop) => State::Stopped,
            (State::Paused, Depth::Pause) | (State::Stopped | State::Missing, _) => return,
        };
        // Who has pinned it since waits for a start.
        self.demand(self.used() == 0 || self.retired, Rule::Unused);
        self.target.state = next;
        self.rested();
    }

    /// When something is owed, the core's deadlines and others.
    pub(super) fn owed(&self) -> impl Iterator<Item = super::activation::Moment> {
        let deadline = self.core.deadline().map(|(at, _)| at);
        let asked = self.question.map(|(_, until)| until);
        let curfew = self.curfew.map(|curfew| curfew.until);
        deadline.into_iter().chain(self.notes.retry).chain(asked).chain(curfew)
    }

    pub(super) fn stir(&mut self, who: usize) {
        let mut out: Vec<Action> = Vec::new();
        let stops = self.operation.is_some_and(|of| matches!(of.kind, Kind::Stop(_)));
        let stirs = self.core.stirs(&mut out);
        self.demand(!(stirs && stops), Rule::Unused);
        if stirs {
            self.clients[who] = self.holds(false);
            self.settle(out, None);
        } else {
            self.clients[who] = Guest::Away;
            self.settle(out, None);
            self.tell(Event::ReleaseSilent, None);
        }
    }

    /// Who was held waits as anybody from now on.
    pub(super) fn curfew_ends(&mut self) {
        self.curfew = None;
        let due = self.now + self.policy.start_timeout;
        let into_stop = self.core.phase().is_stopping();
        for client in &mut self.clients {
            if let Guest::Held { id, .. } = *client {
                *client = Guest::Waits { id, due, into_stop };
            }
        }
        self.tell(Event::Curfew(None), None);
    }
}
