//! The machine of one service.
//!
//! Its invariants are listed in `ARCHITECTURE.md`; [`Service::broken_invariant`] checks those that
//! can be seen from inside, the model and the property tests check all.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Action, Admission, Backoff, Cause, Client, Curfew, Depth, Due, Event, From, Idle, Latecomers,
    Moment, Phase, Policy, Question, Refused, Rest, Run, Seen, Tiers,
};

/// One service: its phase, who uses it and who waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    pub(super) policy: Policy,
    pub(super) phase: Phase,
    pub(super) run: Run,
    pub(super) leases: u32,
    /// Clients that are connected and keep it awake no longer.
    pub(super) silent: u32,
    /// While it has leases: when the last of those that are over was of use.
    pub(super) used: Moment,
    /// Who waits, and until when.
    pub(super) waiting: BTreeMap<Client, Moment>,
    /// Who is held until the curfew is over, and how long at most.
    pub(super) held: BTreeMap<Client, Moment>,
    pub(super) curfew: Option<Curfew>,
    /// When it got up, as far as that matters.
    pub(super) risen: Moment,
    pub(super) question: Question,
    starts: Backoff,
    stops: Backoff,
}

impl Service {
    /// A service nobody has looked at yet; an [`Event::Observed`] of [`Service::run`] is expected.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            phase: Phase::Unknown,
            run: Run::default(),
            leases: 0,
            silent: 0,
            used: Moment::default(),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            curfew: None,
            risen: Moment::default(),
            question: Question::default(),
            starts: Backoff::default(),
            stops: Backoff::default(),
        }
    }

    /// A client asks for the target. The decision to stop and this admission are both made in
    /// here, one after the other, so no client falls between them.
    pub fn acquire(&mut self, now: Moment, client: Client, out: &mut Vec<Action>) -> Admission {
        match self.curfew {
            None | Some(Curfew { clients: Latecomers::Served, .. }) => self.admit(now, client, out),
            Some(Curfew { clients: Latecomers::Refused, .. }) => {
                Admission::Refused(Refused::Curfew(self.curfew_left(now)))
            }
            Some(Curfew { clients: Latecomers::Held, until }) => {
                self.held.insert(client, until + self.policy.start_timeout);
                Admission::Waiting
            }
        }
    }

    /// The same for who is no client, and is admitted in a curfew, too: administrators, and services
    /// that depend on it.
    pub fn acquire_anyway(
        &mut self,
        now: Moment,
        client: Client,
        out: &mut Vec<Action>,
    ) -> Admission {
        self.admit(now, client, out)
    }

    /// Whether a client would be admitted at once.
    pub const fn admits_at_once(&self) -> bool {
        let open = match self.curfew {
            None => true,
            Some(curfew) => matches!(curfew.clients, Latecomers::Served),
        };
        open && matches!(self.phase, Phase::Awake { .. })
    }

    /// A client that is no use is admitted to an awake target, and to no other: it keeps that no
    /// longer awake.
    pub fn acquire_uncounted(&mut self) -> Option<Admission> {
        self.admits_at_once().then(|| {
            self.silent += 1;
            Admission::Granted
        })
    }

    pub(super) fn admit(
        &mut self,
        now: Moment,
        client: Client,
        out: &mut Vec<Action>,
    ) -> Admission {
        if let Phase::Awake { idle } = &mut self.phase {
            if let Idle::Asking(..) = idle {
                out.push(Action::EndAsking);
            }
            *idle = Idle::Never;
            self.leases += 1;
            return Admission::Granted;
        }
        if let Some(left) = self.starts.left(now) {
            return Admission::Refused(Refused::BackOff(left));
        }
        let until = self.last_deadline(now + self.policy.start_timeout);
        self.waiting.insert(client, until);
        match self.phase {
            Phase::Asleep { .. } | Phase::Failed(_) => self.start(now, out),
            Phase::Found { idle } => {
                if let Idle::Asking(..) = idle {
                    out.push(Action::EndAsking);
                }
                self.probe(now, out);
            }
            Phase::Stopping { .. } => self.arm_kill(now),
            Phase::Unknown
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. } => {}
        }
        self.check();
        Admission::Waiting
    }

    /// Takes in what happened and appends what is to be done.
    pub fn handle(&mut self, now: Moment, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Leave(client) => {
                self.waiting.remove(&client);
                self.held.remove(&client);
                self.arm_kill(now);
            }
            Event::Pin => self.pin(out),
            Event::Release => self.release(now, out),
            Event::Doze(since) => self.doze(now, since, out),
            Event::ReleaseSilent => self.silent = self.silent.saturating_sub(1),
            Event::Answered(question, permission) => self.answered(now, question, permission, out),
            Event::Curfew(curfew) => self.set_curfew(now, curfew, out),
            Event::Deadline => self.on_deadline(now, out),
            Event::Observed(run, seen) if run == self.run => self.observed(now, seen, out),
            Event::StartEnded(run, end) if run == self.run => self.start_ended(now, end, out),
            Event::StopEnded(run, end) if run == self.run => self.stop_ended(now, end, out),
            Event::Ready(run) if run == self.run => self.ready(now, out),
            Event::NotReady(run, cause) if run == self.run => {
                if let Phase::Probing { .. } = self.phase {
                    self.fail(now, cause, out);
                }
            }
            Event::Observed(..)
            | Event::StartEnded(..)
            | Event::StopEnded(..)
            | Event::Ready(_)
            | Event::NotReady(..) => {}
            Event::Sleep if self.leases > 0 => {}
            Event::Sleep | Event::SleepAnyway => self.sleep(out),
            Event::Retire => self.retire(now, out),
        }
        self.check();
    }

    /// A silent client is heard of again, and uses the target from now on. False if the target is
    /// being put to sleep already: then the client is to be cut off, before a byte of its is passed on.
    pub fn stirs(&mut self, out: &mut Vec<Action>) -> bool {
        let stirs = self.stir(out);
        self.check();
        stirs
    }

    /// When [`Event::Deadline`] is owed next, and why.
    pub fn deadline(&self) -> Option<(Moment, Due)> {
        // A client that was held may have to wait longer than one that came after it.
        let client = self.waiting.values().min().map(|at| (*at, Due::ClientTimeout));
        let held = self.held.values().min().map(|at| (*at, Due::ClientTimeout));
        let phase = match self.phase {
            Phase::Probing { give_up } => Some((give_up, Due::NotReady)),
            Phase::Awake { .. }
            | Phase::Found { .. }
            | Phase::Asleep { .. }
            | Phase::Stopping { .. } => self.sleep_deadline(),
            Phase::Unknown | Phase::Starting { .. } | Phase::Failed(_) => None,
        };
        client.into_iter().chain(held).chain(phase).min()
    }

    /// Where it stands.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The run that answers must belong to.
    pub const fn run(&self) -> Run {
        self.run
    }

    /// How many clients use the target, and services depend on it.
    pub const fn leases(&self) -> u32 {
        self.leases
    }

    /// How many clients are connected to it and keep it awake no longer.
    pub const fn silent(&self) -> u32 {
        self.silent
    }

    /// How many clients wait for the target, those included that are held by a curfew.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.held.len()
    }

    /// The hours in which it is kept asleep, while they last.
    pub const fn curfew(&self) -> Option<Curfew> {
        self.curfew
    }

    /// For how long nobody is started for, after a failed wake.
    pub fn back_off(&self, now: Moment) -> Option<Duration> {
        self.starts.left(now)
    }

    /// Whether an engine operation is in flight.
    pub const fn operating(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Stopping { .. })
    }

    fn pin(&mut self, out: &mut Vec<Action>) {
        self.leases += 1;
        self.set_idle(Idle::Never, out);
        if let Phase::Asleep { deeper_at, .. } = &mut self.phase {
            *deeper_at = None;
        }
    }

    fn release(&mut self, now: Moment, out: &mut Vec<Action>) {
        debug_assert!(self.leases > 0, "a lease is released once");
        self.unused(now, now, out);
    }

    fn on_deadline(&mut self, now: Moment, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Probing { give_up } if give_up <= now => {
                self.fail(now, Cause::NotReady, out);
            }
            Phase::Unknown
            | Phase::Asleep { .. }
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. }
            | Phase::Stopping { .. }
            | Phase::Failed(_) => {}
        }
        for waiting in [&mut self.waiting, &mut self.held] {
            waiting.retain(|client, until| {
                let late = *until <= now;
                if late {
                    out.push(Action::Refuse(*client, Refused::TimedOut));
                }
                !late
            });
        }
        self.arm_kill(now);
        // Last, as nothing is killed for who has just been refused.
        self.sleep_due(now, out);
    }

    fn observed(&mut self, now: Moment, seen: Seen, out: &mut Vec<Action>) {
        match (self.phase, seen) {
            (
                Phase::Unknown | Phase::Asleep { .. } | Phase::Failed(_),
                Seen::Running | Seen::Renewed,
            )
            | (Phase::Awake { .. } | Phase::Found { .. }, Seen::Renewed) => {
                // Somebody else has mended what failed: there is nothing left to wait for.
                self.starts.forgive();
                self.run = self.run.next();
                self.rise(now);
                self.runs_unproven(now, out);
            }
            (Phase::Probing { .. }, Seen::Renewed) => {
                self.run = self.run.next();
                self.rise(now);
                out.push(Action::Probe { run: self.run });
            }
            (Phase::Probing { .. }, Seen::Resting(Rest::Paused)) if !self.waiting.is_empty() => {
                self.start(now, out);
            }
            (Phase::Probing { .. }, Seen::Resting(rest)) => match rest {
                Rest::Stopped => self.fail(now, Cause::Exited, out),
                Rest::Missing => self.fail(now, Cause::Missing, out),
                Rest::Paused => self.rest(now, rest, out),
            },
            // A container of that name has been made since, or the engine is back: there is
            // nothing left to back off from.
            (
                Phase::Failed(Cause::Missing),
                Seen::Resting(rest @ (Rest::Stopped | Rest::Paused)),
            )
            | (Phase::Failed(Cause::EngineAway), Seen::Resting(rest)) => {
                self.starts.forgive();
                self.rest(now, rest, out);
            }
            // The back-off goes on; but what is paused is to sleep deeper in its time, or to be stopped
            // when the daemon ends.
            (Phase::Failed(_), Seen::Resting(Rest::Paused)) if self.policy.tiers != Tiers::STOP => {
                self.rest(now, Rest::Paused, out);
            }
            // An operation in flight ends with an inspect of its own; the others say nothing new, as
            // since when it is paused is known.
            (
                Phase::Asleep { rest: Rest::Paused, deeper_at: Some(_) },
                Seen::Resting(Rest::Paused),
            )
            | (Phase::Starting { .. } | Phase::Stopping { .. }, _)
            | (Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. }, Seen::Running)
            | (Phase::Failed(_), Seen::Resting(_)) => {}
            (
                Phase::Unknown | Phase::Asleep { .. } | Phase::Awake { .. } | Phase::Found { .. },
                Seen::Resting(rest),
            ) => self.rest(now, rest, out),
        }
    }

    fn start_ended(&mut self, now: Moment, end: Result<Seen, Cause>, out: &mut Vec<Action>) {
        let Phase::Starting { began } = self.phase else { return };
        match end {
            Ok(Seen::Running | Seen::Renewed) => {
                // A look that was begun before the start was carried out may yet come in.
                self.run = self.run.next();
                self.rise(now);
                if self.waiting.is_empty() {
                    self.runs_unproven(now, out);
                } else {
                    self.probe(began, out);
                }
            }
            Ok(Seen::Resting(Rest::Missing)) => self.fail(now, Cause::Missing, out),
            Ok(Seen::Resting(Rest::Stopped)) => self.fail(now, Cause::StartFailed, out),
            Ok(seen @ Seen::Resting(Rest::Paused)) => {
                self.fail(now, Cause::StartFailed, out);
                self.observed(now, seen, out);
            }
            Err(cause) => self.fail(now, cause, out),
        }
    }

    fn stop_ended(&mut self, now: Moment, end: Result<Seen, Cause>, out: &mut Vec<Action>) {
        let Phase::Stopping { depth, from, .. } = self.phase else { return };
        match (end, from) {
            // It was to sleep deeper than that.
            (Ok(Seen::Resting(Rest::Paused)) | Err(_), From::Paused) if depth == Depth::Stop => {
                let retry = self.stops.fail(now);
                self.rest(now, Rest::Paused, out);
                // Not under who has come to use it meanwhile.
                if let Phase::Asleep { deeper_at: Some(at), .. } = &mut self.phase {
                    *at = retry;
                }
            }
            (Ok(Seen::Resting(rest)), _) => {
                self.stops.succeed();
                self.rest(now, rest, out);
            }
            // The stop failed: it still runs, and is as good as found running. The pause keeps an
            // idle window of nothing from asking a stubborn engine in a tight loop.
            (Ok(Seen::Running | Seen::Renewed) | Err(_), _) => {
                self.run = self.run.next();
                let retry = self.stops.fail(now);
                self.runs_unproven(now, out);
                if let Some(Idle::At(at)) = self.phase.idle_mut() {
                    *at = retry.max(*at);
                }
            }
        }
    }

    fn ready(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Phase::Probing { .. } = self.phase else { return };
        self.starts.succeed();
        for client in std::mem::take(&mut self.waiting).into_keys() {
            self.leases += 1;
            out.push(Action::Grant(client));
        }
        self.phase = Phase::Awake { idle: self.idle(now) };
    }

    fn sleep(&mut self, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. }
                if self.waiting.is_empty() =>
            {
                self.stop(self.policy.tiers.first, From::Running, out);
            }
            Phase::Unknown
            | Phase::Asleep { .. }
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. }
            | Phase::Stopping { .. }
            | Phase::Failed(_) => {}
        }
    }

    /// The target runs and nobody has seen this run ready.
    pub(super) fn runs_unproven(&mut self, now: Moment, out: &mut Vec<Action>) {
        if self.waiting.is_empty() {
            if let Some(Idle::Asking(..)) = self.phase.idle() {
                out.push(Action::EndAsking);
            }
            self.phase = Phase::Found { idle: self.idle(now) };
        } else {
            self.probe(now, out);
        }
    }

    /// The target does not run.
    fn rest(&mut self, now: Moment, rest: Rest, out: &mut Vec<Action>) {
        self.run = self.run.next();
        if let Some(Idle::Asking(..)) = self.phase.idle() {
            out.push(Action::EndAsking);
        }
        self.phase = Phase::Asleep { rest, deeper_at: self.deeper_at(now, rest) };
        if !self.waiting.is_empty() {
            self.start(now, out);
        }
    }

    fn start(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.run = self.run.next();
        self.phase = Phase::Starting { began: now };
        let give_up = self.last_deadline(now + self.policy.start_timeout);
        out.push(Action::Start { run: self.run, give_up });
    }

    /// Asks for readiness: the target has one start timeout from the beginning of its start, and
    /// longer if somebody who waits for it already has longer.
    fn probe(&mut self, began: Moment, out: &mut Vec<Action>) {
        let give_up = self.last_deadline(began + self.policy.start_timeout);
        self.phase = Phase::Probing { give_up };
        out.push(Action::Probe { run: self.run });
    }

    /// A wake has failed: whoever waits is refused, and what may still run is settled.
    fn fail(&mut self, now: Moment, cause: Cause, out: &mut Vec<Action>) {
        self.starts.fail(now);
        out.push(Action::Report(cause));
        for client in std::mem::take(&mut self.waiting).into_keys() {
            out.push(Action::Refuse(client, Refused::Failed(cause)));
        }
        let runs = match cause {
            Cause::NotReady | Cause::Unreachable => true,
            Cause::Dependency => matches!(self.phase, Phase::Probing { .. }),
            Cause::StartFailed | Cause::Exited | Cause::Missing | Cause::EngineAway => false,
        };
        if !runs {
            self.run = self.run.next();
            self.phase = Phase::Failed(cause);
        } else if self.leases == 0 {
            self.stop(Depth::Stop, From::Running, out);
        } else {
            // Somebody holds a lease of an earlier run, or depends on it: the end of that starts
            // the idle window.
            self.phase = Phase::Found { idle: Idle::Never };
        }
    }

    /// The deadline of who waits longest from now, but no sooner than `least`.
    fn last_deadline(&self, least: Moment) -> Moment {
        self.waiting.values().max().copied().unwrap_or(least).max(least)
    }

    pub(super) fn check(&self) {
        debug_assert_eq!(self.broken_invariant(), None, "{self:?}");
    }
}
