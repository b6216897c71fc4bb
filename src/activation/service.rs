//! The machine of one service.
//!
//! Its invariants are listed in `ARCHITECTURE.md`; [`Service::broken_invariant`] checks those that
//! can be seen from inside, the model and the property tests check all.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Action, Admission, Backoff, Cause, Client, Event, Moment, Policy, Refused, Rest, Run, Seen,
    Window,
};

/// Where a service stands; each variant carries only what that phase needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nobody has looked at the target yet.
    Unknown,
    /// It does not run.
    Asleep(Rest),
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
        /// When it sleeps; `None` while a lease is held, or when it never sleeps.
        idle_at: Option<Moment>,
    },
    /// It runs, but nobody has asked yet whether this run is ready.
    Found {
        /// When it sleeps; `None` while a lease is held, or when it never sleeps.
        idle_at: Option<Moment>,
    },
    /// A stop is in flight. It cannot be called back: whoever comes waits for its end.
    Stopping,
    /// The last wake failed and nothing runs, as far as is known.
    Failed(Cause),
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
}

/// One service: its phase, who uses it and who waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    policy: Policy,
    phase: Phase,
    run: Run,
    leases: u32,
    /// Who waits, and until when. Arrival order is deadline order, as the time-out is one constant.
    waiting: BTreeMap<Client, Moment>,
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
            waiting: BTreeMap::new(),
            starts: Backoff::default(),
            stops: Backoff::default(),
        }
    }

    /// A client asks for the target. The decision to stop and this admission are both made in
    /// here, one after the other, so no client falls between them.
    pub fn acquire(&mut self, now: Moment, client: Client, out: &mut Vec<Action>) -> Admission {
        if let Phase::Awake { idle_at } = &mut self.phase {
            *idle_at = None;
            self.leases += 1;
            return Admission::Granted;
        }
        if let Some(left) = self.starts.left(now) {
            return Admission::Refused(Refused::BackOff(left));
        }
        self.waiting.insert(client, now + self.policy.start_timeout);
        match self.phase {
            Phase::Asleep(_) | Phase::Failed(_) => self.start(now, out),
            Phase::Found { .. } => self.probe(now, out),
            Phase::Unknown
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Stopping => {}
        }
        self.check();
        Admission::Waiting
    }

    /// Takes in what happened and appends what is to be done.
    pub fn handle(&mut self, now: Moment, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Leave(client) => {
                self.waiting.remove(&client);
            }
            Event::Release => self.release(now),
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
            Event::Sleep => self.sleep(out),
            Event::Retire => self.retire(out),
        }
        self.check();
    }

    /// When [`Event::Deadline`] is owed next, and why.
    pub fn deadline(&self) -> Option<(Moment, Due)> {
        let client = self.waiting.values().next().map(|at| (*at, Due::ClientTimeout));
        let phase = match self.phase {
            Phase::Probing { give_up } => Some((give_up, Due::NotReady)),
            Phase::Awake { idle_at } | Phase::Found { idle_at } => {
                idle_at.map(|at| (at, Due::Idle))
            }
            Phase::Unknown
            | Phase::Asleep(_)
            | Phase::Starting { .. }
            | Phase::Stopping
            | Phase::Failed(_) => None,
        };
        client.into_iter().chain(phase).min()
    }

    /// Where it stands.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The run that answers must belong to.
    pub const fn run(&self) -> Run {
        self.run
    }

    /// How many clients use the target.
    pub const fn leases(&self) -> u32 {
        self.leases
    }

    /// How many clients wait for the target.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// For how long nobody is started for, after a failed wake.
    pub fn back_off(&self, now: Moment) -> Option<Duration> {
        self.starts.left(now)
    }

    /// Whether an engine operation is in flight.
    pub const fn operating(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Stopping)
    }

    /// Names an invariant that the present state breaks.
    pub fn broken_invariant(&self) -> Option<&'static str> {
        let in_use = self.leases > 0 || !self.waiting.is_empty();
        match self.phase {
            Phase::Awake { idle_at: Some(_) } | Phase::Found { idle_at: Some(_) } if in_use => {
                Some("a used service has no idle deadline")
            }
            Phase::Awake { idle_at: None } | Phase::Found { idle_at: None }
                if self.leases == 0 && self.policy.idle != Window::Never =>
            {
                Some("a running target is owed a deadline, a lease or an operation")
            }
            Phase::Asleep(_) | Phase::Awake { .. } | Phase::Found { .. } | Phase::Failed(_)
                if !self.waiting.is_empty() =>
            {
                Some("whoever waits has an operation, a probe or a first look on the way")
            }
            Phase::Unknown
            | Phase::Asleep(_)
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. }
            | Phase::Stopping
            | Phase::Failed(_) => None,
        }
    }

    fn release(&mut self, now: Moment) {
        debug_assert!(self.leases > 0, "a lease is released once");
        self.leases = self.leases.saturating_sub(1);
        let idle = self.idle_at(now);
        if let Phase::Awake { idle_at } | Phase::Found { idle_at } = &mut self.phase {
            *idle_at = idle;
        }
    }

    fn on_deadline(&mut self, now: Moment, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Probing { give_up } if give_up <= now => {
                self.fail(now, Cause::NotReady, out);
            }
            Phase::Awake { idle_at: Some(at) } | Phase::Found { idle_at: Some(at) }
                if at <= now =>
            {
                self.stop(out);
            }
            Phase::Unknown
            | Phase::Asleep(_)
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. }
            | Phase::Stopping
            | Phase::Failed(_) => {}
        }
        while let Some(first) = self.waiting.first_entry() {
            if *first.get() > now {
                break;
            }
            let client = *first.key();
            first.remove();
            out.push(Action::Refuse(client, Refused::TimedOut));
        }
    }

    fn observed(&mut self, now: Moment, seen: Seen, out: &mut Vec<Action>) {
        match (self.phase, seen) {
            (
                Phase::Unknown | Phase::Asleep(_) | Phase::Failed(_),
                Seen::Running | Seen::Renewed,
            )
            | (Phase::Awake { .. } | Phase::Found { .. }, Seen::Renewed) => {
                // Somebody else has mended what failed: there is nothing left to wait for.
                self.starts.forgive();
                self.run = self.run.next();
                self.runs_unproven(now, out);
            }
            (Phase::Probing { .. }, Seen::Renewed) => {
                self.run = self.run.next();
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
            // An operation in flight ends with an inspect of its own; the others say nothing new.
            (Phase::Starting { .. } | Phase::Stopping, _)
            | (Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. }, Seen::Running)
            | (Phase::Failed(_), Seen::Resting(_)) => {}
            (
                Phase::Unknown | Phase::Asleep(_) | Phase::Awake { .. } | Phase::Found { .. },
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
                if self.waiting.is_empty() {
                    self.runs_unproven(now, out);
                } else {
                    self.probe(began, out);
                }
            }
            Ok(Seen::Resting(Rest::Missing)) => self.fail(now, Cause::Missing, out),
            Ok(Seen::Resting(Rest::Stopped | Rest::Paused)) => {
                self.fail(now, Cause::StartFailed, out);
            }
            Err(cause) => self.fail(now, cause, out),
        }
    }

    fn stop_ended(&mut self, now: Moment, end: Result<Seen, Cause>, out: &mut Vec<Action>) {
        if self.phase != Phase::Stopping {
            return;
        }
        match end {
            Ok(Seen::Resting(rest)) => {
                self.stops.succeed();
                self.run = self.run.next();
                self.rest(now, rest, out);
            }
            // The stop failed: it still runs, and is as good as found running. The pause keeps an
            // idle window of nothing from asking a stubborn engine in a tight loop.
            Ok(Seen::Running | Seen::Renewed) | Err(_) => {
                self.run = self.run.next();
                let retry = self.stops.fail(now);
                self.runs_unproven(now, out);
                if let Phase::Found { idle_at: Some(at) } = &mut self.phase {
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
        self.phase = Phase::Awake { idle_at: self.idle_at(now) };
    }

    fn sleep(&mut self, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Awake { .. } | Phase::Found { .. } if self.leases == 0 => self.stop(out),
            Phase::Unknown
            | Phase::Asleep(_)
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. }
            | Phase::Stopping
            | Phase::Failed(_) => {}
        }
    }

    fn retire(&mut self, out: &mut Vec<Action>) {
        for client in std::mem::take(&mut self.waiting).into_keys() {
            out.push(Action::Refuse(client, Refused::ShuttingDown));
        }
        match self.phase {
            Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. } => self.stop(out),
            Phase::Unknown
            | Phase::Asleep(_)
            | Phase::Starting { .. }
            | Phase::Stopping
            | Phase::Failed(_) => {}
        }
    }

    /// The target runs and nobody has seen this run ready.
    fn runs_unproven(&mut self, now: Moment, out: &mut Vec<Action>) {
        if self.waiting.is_empty() {
            self.phase = Phase::Found { idle_at: self.idle_at(now) };
        } else {
            self.probe(now, out);
        }
    }

    /// The target does not run.
    fn rest(&mut self, now: Moment, rest: Rest, out: &mut Vec<Action>) {
        self.run = self.run.next();
        self.phase = Phase::Asleep(rest);
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

    fn stop(&mut self, out: &mut Vec<Action>) {
        self.run = self.run.next();
        self.phase = Phase::Stopping;
        out.push(Action::Stop { run: self.run });
    }

    /// A wake has failed: whoever waits is refused, and what may still run is settled.
    fn fail(&mut self, now: Moment, cause: Cause, out: &mut Vec<Action>) {
        self.starts.fail(now);
        out.push(Action::Report(cause));
        for client in std::mem::take(&mut self.waiting).into_keys() {
            out.push(Action::Refuse(client, Refused::Failed(cause)));
        }
        match cause {
            Cause::NotReady | Cause::Unreachable if self.leases == 0 => self.stop(out),
            // Somebody still holds a lease of an earlier run: the end of it starts the idle window.
            Cause::NotReady | Cause::Unreachable => self.phase = Phase::Found { idle_at: None },
            Cause::StartFailed | Cause::Exited | Cause::Missing | Cause::EngineAway => {
                self.run = self.run.next();
                self.phase = Phase::Failed(cause);
            }
        }
    }

    /// The deadline of who waits longest from now, but no sooner than `least`.
    fn last_deadline(&self, least: Moment) -> Moment {
        self.waiting.values().next_back().copied().unwrap_or(least).max(least)
    }

    fn idle_at(&self, now: Moment) -> Option<Moment> {
        match self.policy.idle {
            Window::After(window) if self.leases == 0 => Some(now + window),
            Window::After(_) | Window::Never => None,
        }
    }

    fn check(&self) {
        debug_assert_eq!(self.broken_invariant(), None, "{self:?}");
    }
}
