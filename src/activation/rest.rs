//! Going to sleep: the idle window, the question before it, how deep, and what clients mean to it.

use std::time::Duration;

use super::{
    Action, Admission, Asking, Curfew, Depth, Due, From, Idle, Kill, Latecomers, Moment,
    Permission, Phase, Policy, Practice, Question, Refused, Rest, Service, Window,
};

impl Service {
    /// Its idle window begins at `since`, unless somebody uses it.
    pub(super) fn idle_since(&self, now: Moment, since: Moment) -> Idle {
        if self.leases > 0 || !self.waiting.is_empty() {
            return Idle::Never;
        }
        if self.curfew.is_some() {
            return Idle::At(now);
        }
        match self.policy.idle {
            Window::After(window) => {
                Idle::At((since + window).max(self.risen + self.policy.min_awake))
            }
            Window::Never => Idle::Never,
        }
    }

    pub(super) fn idle(&self, now: Moment) -> Idle {
        self.idle_since(now, now)
    }

    /// It has just got up.
    pub(super) fn rise(&mut self, now: Moment) {
        // Where it makes no difference, two services that rose at different times are the same.
        self.risen = if self.policy.min_awake.is_zero() { Moment::default() } else { now };
    }

    /// Changes when it sleeps; a question that is asked for that is void.
    pub(super) fn set_idle(&mut self, next: Idle, out: &mut Vec<Action>) {
        if let Some(idle) = self.phase.idle_mut() {
            if let Idle::Asking(..) = idle {
                out.push(Action::EndAsking);
            }
            *idle = next;
        }
    }

    /// When something about its sleep is owed, and why.
    pub(super) fn sleep_deadline(&self) -> Option<(Moment, Due)> {
        match self.phase {
            Phase::Awake { idle: Idle::At(at) } | Phase::Found { idle: Idle::At(at) } => {
                Some(match self.policy.asking {
                    None => (at, Due::Idle),
                    Some(Asking { lead, .. }) => (at.before(lead), Due::Ask),
                })
            }
            Phase::Asleep { deeper_at: Some(at), .. } => Some((at, Due::Deeper)),
            Phase::Stopping { kill: Kill::At(at), .. } => Some((at, Due::Kill)),
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

    /// A deadline of its sleep may have come.
    pub(super) fn sleep_due(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Some((at, _)) = self.sleep_deadline().filter(|(at, _)| *at <= now) else { return };
        match &mut self.phase {
            Phase::Awake { idle } | Phase::Found { idle } => {
                if self.policy.asking.is_some() {
                    self.question = self.question.next();
                    let until = idle.at().unwrap_or(at);
                    *idle = Idle::Asking(until, self.question);
                    out.push(Action::Ask { question: self.question, until });
                } else {
                    self.doze_off(out);
                }
            }
            Phase::Asleep { deeper_at, .. } => match self.policy.practice {
                Practice::Real => self.stop(Depth::Stop, From::Paused, out),
                Practice::Dry => *deeper_at = None,
            },
            Phase::Stopping { kill, .. } => {
                *kill = Kill::Asked;
                out.push(Action::Kill);
            }
            Phase::Unknown | Phase::Starting { .. } | Phase::Probing { .. } | Phase::Failed(_) => {}
        }
    }

    /// The idle window has passed, and whoever is to be asked has said yes.
    fn doze_off(&mut self, out: &mut Vec<Action>) {
        match self.policy.practice {
            Practice::Real => self.stop(self.policy.tiers.first, From::Running, out),
            Practice::Dry => {
                out.push(Action::WouldSleep);
                if let Some(idle) = self.phase.idle_mut() {
                    *idle = Idle::Dry;
                }
            }
        }
    }

    /// Whether the target may sleep, says who was asked.
    pub(super) fn answered(
        &mut self,
        now: Moment,
        question: Question,
        permission: Permission,
        out: &mut Vec<Action>,
    ) {
        let Some(Idle::Asking(at, asked)) = self.phase.idle() else { return };
        if asked != question {
            return;
        }
        let interval = self.policy.asking.map_or(Duration::ZERO, |asking| asking.interval);
        match permission {
            Permission::Given if at <= now => self.doze_off(out),
            // A yes about a time that is not over says nothing about its end.
            Permission::Given => self.put_off(at),
            Permission::Denied => self.put_off(now + interval),
        }
    }

    fn put_off(&mut self, at: Moment) {
        if let Some(idle) = self.phase.idle_mut() {
            *idle = Idle::At(at);
        }
    }

    /// Puts it to sleep, so deep.
    pub(super) fn stop(&mut self, depth: Depth, from: From, out: &mut Vec<Action>) {
        if let Some(Idle::Asking(..)) = self.phase.idle() {
            out.push(Action::EndAsking);
        }
        self.run = self.run.next();
        debug_assert!(self.waiting.is_empty(), "nobody waits when a stop begins");
        self.phase = Phase::Stopping { depth, from, kill: Kill::Unarmed };
        out.push(Action::Stop { run: self.run, depth });
    }

    /// The daemon ends: what runs, or was paused by it, is stopped.
    pub(super) fn retire(&mut self, now: Moment, out: &mut Vec<Action>) {
        let held = std::mem::take(&mut self.held);
        for client in std::mem::take(&mut self.waiting).into_keys().chain(held.into_keys()) {
            out.push(Action::Refuse(client, Refused::ShuttingDown));
        }
        self.arm_kill(now);
        match self.phase {
            Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. } => {
                self.stop(Depth::Stop, From::Running, out);
            }
            // Who has frozen it ends: nobody would thaw it any more.
            Phase::Asleep { rest: Rest::Paused, .. } if self.policy.tiers.first == Depth::Pause => {
                self.stop(Depth::Stop, From::Paused, out);
            }
            Phase::Unknown
            | Phase::Asleep { .. }
            | Phase::Starting { .. }
            | Phase::Stopping { .. }
            | Phase::Failed(_) => {}
        }
    }

    /// Somebody waits behind a stop, or nobody does any more.
    pub(super) fn arm_kill(&mut self, now: Moment) {
        let waited_for = !self.waiting.is_empty();
        let Phase::Stopping { depth: Depth::Stop, kill, .. } = &mut self.phase else { return };
        match (*kill, self.policy.kill_after, waited_for) {
            (Kill::Unarmed, Some(after), true) => *kill = Kill::At(now + after),
            (Kill::At(_), None, _) | (Kill::At(_), _, false) => *kill = Kill::Unarmed,
            (Kill::Unarmed | Kill::At(_) | Kill::Asked, _, _) => {}
        }
    }

    /// When a target that rests so is to sleep deeper.
    pub(super) fn deeper_at(&self, now: Moment, rest: Rest) -> Option<Moment> {
        match (rest, self.policy.tiers.deeper) {
            (Rest::Paused, Some(after)) if self.leases == 0 => Some(now + after),
            _ => None,
        }
    }

    /// One that was used is used no longer: its connections are still open, but silent.
    pub(super) fn doze(&mut self, now: Moment, since: Moment, out: &mut Vec<Action>) {
        debug_assert!(self.leases > 0, "who dozes has a lease");
        self.silent += 1;
        self.unused(now, since, out);
    }

    /// A silent client is heard of again. False if it is too late for that: it is cut off.
    pub(super) fn stir(&mut self, out: &mut Vec<Action>) -> bool {
        if self.silent == 0 || self.phase.idle().is_none() {
            return false;
        }
        self.silent -= 1;
        self.leases += 1;
        self.set_idle(Idle::Never, out);
        true
    }

    /// There is a lease less; it was of use until `since`.
    pub(super) fn unused(&mut self, now: Moment, since: Moment, out: &mut Vec<Action>) {
        self.leases = self.leases.saturating_sub(1);
        // Another client may have used it longer than the one that goes last.
        let used = since.max(self.used);
        self.used = if self.leases > 0 { used } else { Moment::default() };
        let idle = self.idle_since(now, used);
        self.set_idle(idle, out);
        if let Phase::Asleep { rest, deeper_at: None } = self.phase {
            self.phase = Phase::Asleep { rest, deeper_at: self.deeper_at(now, rest) };
        }
    }

    /// The hours in which it is kept asleep begin, go on otherwise, or are over.
    pub(super) fn set_curfew(
        &mut self,
        now: Moment,
        curfew: Option<Curfew>,
        out: &mut Vec<Action>,
    ) {
        let before = std::mem::replace(&mut self.curfew, curfew);
        if self.phase.idle().is_some_and(|idle| idle != Idle::Dry)
            && (before.is_some() != curfew.is_some())
        {
            let idle = self.idle(now);
            self.set_idle(idle, out);
        }
        match curfew {
            Some(Curfew { until, clients: Latecomers::Held }) => {
                for due in self.held.values_mut() {
                    *due = until + self.policy.start_timeout;
                }
            }
            Some(Curfew { clients: Latecomers::Served, .. }) | None => self.let_in(now, out),
            Some(Curfew { clients: Latecomers::Refused, .. }) => {
                let left = self.curfew_left(now);
                for client in std::mem::take(&mut self.held).into_keys() {
                    out.push(Action::Refuse(client, Refused::Curfew(left)));
                }
            }
        }
    }

    /// Who was held until now waits as anybody.
    fn let_in(&mut self, now: Moment, out: &mut Vec<Action>) {
        for client in std::mem::take(&mut self.held).into_keys() {
            match self.admit(now, client, out) {
                Admission::Granted => out.push(Action::Grant(client)),
                Admission::Waiting => {}
                Admission::Refused(refused) => out.push(Action::Refuse(client, refused)),
            }
        }
    }

    pub(super) fn curfew_left(&self, now: Moment) -> Duration {
        self.curfew.map_or(Duration::ZERO, |curfew| curfew.until.since(now))
    }

    /// What another policy means to when it sleeps: an idle window that runs has begun when it began.
    pub(super) fn idle_again(&self, now: Moment, earlier: &Policy) -> Option<Idle> {
        let fresh = self.idle(now);
        let idle = self.phase.idle()?;
        Some(match (idle, earlier.idle, self.policy.idle) {
            (_, _, _) if self.curfew.is_some() => fresh,
            // From its beginning, and no sooner than now.
            (Idle::At(at) | Idle::Asking(at, _), Window::After(was), Window::After(is)) => {
                let awake = self.risen + self.policy.min_awake;
                // One that was put off for another reason ends no later than a new one would.
                Idle::At((at + is).before(was).clamp(now, now + is).max(awake))
            }
            (Idle::Dry, _, _) if self.policy.practice == Practice::Dry => Idle::Dry,
            (_, _, _) => fresh,
        })
    }

    /// The same for when a paused target is stopped.
    pub(super) fn deeper_again(&mut self, now: Moment, earlier: &Policy) {
        let Phase::Asleep { rest, deeper_at } = self.phase else { return };
        let fresh = self.deeper_at(now, rest);
        let deeper_at = match (deeper_at, earlier.tiers.deeper, self.policy.tiers.deeper) {
            (Some(at), Some(was), Some(is)) => Some(now.max((at + is).before(was))),
            _ => fresh,
        };
        self.phase = Phase::Asleep { rest, deeper_at };
    }
}
