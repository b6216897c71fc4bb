//! What holds in every state, as far as it can be seen from inside.

use super::{Idle, Latecomers, Phase, Service, Window};

impl Service {
    /// Names an invariant that the present state breaks.
    pub fn broken_invariant(&self) -> Option<&'static str> {
        let in_use = self.leases > 0 || !self.waiting.is_empty();
        let held = self.curfew.is_some_and(|curfew| curfew.clients == Latecomers::Held);
        if !held && !self.held.is_empty() {
            return Some("who is held is held by a curfew");
        }
        let sleeps = self.policy.idle != Window::Never || self.curfew.is_some();
        match self.phase {
            Phase::Awake { idle } | Phase::Found { idle } if in_use && idle != Idle::Never => {
                Some("a used service has no idle deadline")
            }
            Phase::Awake { idle: Idle::Never } | Phase::Found { idle: Idle::Never }
                if self.leases == 0 && sleeps =>
            {
                Some("a running target is owed a deadline, a lease, an operation or an answer")
            }
            Phase::Asleep { deeper_at: Some(_), .. } if self.leases > 0 => {
                Some("a used service has no deadline to sleep deeper")
            }
            Phase::Asleep { .. } | Phase::Awake { .. } | Phase::Found { .. } | Phase::Failed(_)
                if !self.waiting.is_empty() =>
            {
                Some("whoever waits has an operation, a probe or a first look on the way")
            }
            Phase::Unknown
            | Phase::Asleep { .. }
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. }
            | Phase::Stopping { .. }
            | Phase::Failed(_) => None,
        }
    }
}
