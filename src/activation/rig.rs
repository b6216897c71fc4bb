//! What the table tests stand on: a core in any phase, with its clock.

use std::time::Duration;

use super::{
    Action, Admission, Cause, Client, Depth, Event, Moment, Phase, Policy, Reach, Refused, Rest,
    Seen, Service, Window,
};

pub(super) const IDLE: Duration = Duration::from_secs(900);
pub(super) const TIMEOUT: Duration = Duration::from_secs(120);
/// One second before the end of the idle window.
pub(super) const ALMOST: Duration = Duration::from_secs(899);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const STOPPED: Seen = Seen::Resting(Rest::Stopped);
pub(super) const PAUSED: Seen = Seen::Resting(Rest::Paused);
pub(super) const MISSING: Seen = Seen::Resting(Rest::Missing);

/// A core with its clock and what it has asked for since it was last asked.
pub(super) struct Rig {
    pub(super) core: Service,
    pub(super) now: Moment,
    pub(super) clients: u64,
}

impl Rig {
    pub(super) fn new(idle: Window) -> Self {
        Self::of(Policy::new(idle, TIMEOUT))
    }

    pub(super) fn of(policy: Policy) -> Self {
        Self { core: Service::new(policy), now: Moment::default(), clients: 0 }
    }

    /// One client has a lease, under that policy.
    pub(super) fn awake_under(policy: Policy) -> Self {
        let mut rig = Self::of(policy);
        rig.look(Seen::Running);
        rig.acquire();
        rig.ready();
        rig
    }

    /// It is awake, and its idle window begins.
    pub(super) fn unused_under(policy: Policy) -> Self {
        let mut rig = Self::awake_under(policy);
        rig.tell(Event::Release);
        rig
    }

    pub(super) fn asleep() -> Self {
        let mut rig = Self::new(Window::After(IDLE));
        rig.look(STOPPED);
        rig
    }

    /// One client has asked for a start.
    pub(super) fn starting() -> Self {
        let mut rig = Self::asleep();
        rig.acquire();
        rig
    }

    /// One client waits for a target that runs.
    pub(super) fn probing() -> Self {
        let mut rig = Self::starting();
        rig.start_ends(Ok(Seen::Running));
        rig
    }

    /// One client has a lease.
    pub(super) fn awake() -> Self {
        let mut rig = Self::probing();
        rig.ready();
        rig
    }

    pub(super) fn found() -> Self {
        let mut rig = Self::new(Window::After(IDLE));
        rig.look(Seen::Running);
        rig
    }

    /// The idle window has ended.
    pub(super) fn stopping() -> Self {
        let mut rig = Self::awake();
        rig.tell(Event::Release);
        rig.pass(IDLE);
        rig
    }

    pub(super) fn failed(cause: Cause) -> Self {
        let mut rig = Self::starting();
        rig.start_ends(Err(cause));
        rig
    }

    pub(super) fn tell(&mut self, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.core.handle(self.now, event, &mut out);
        out
    }

    pub(super) fn acquire(&mut self) -> (Admission, Vec<Action>) {
        let mut out = Vec::new();
        self.clients += 1;
        let admission = self.core.acquire(self.now, Client(self.clients), &mut out);
        (admission, out)
    }

    pub(super) fn look(&mut self, seen: Seen) -> Vec<Action> {
        self.tell(Event::Observed(self.core.run(), seen))
    }

    pub(super) fn start_ends(&mut self, end: Result<Seen, Cause>) -> Vec<Action> {
        self.tell(Event::StartEnded(self.core.run(), end))
    }

    pub(super) fn stop_ends(&mut self, end: Result<Seen, Cause>) -> Vec<Action> {
        self.tell(Event::StopEnded(self.core.run(), end))
    }

    pub(super) fn ready(&mut self) -> Vec<Action> {
        self.tell(Event::Ready(self.core.run()))
    }

    pub(super) fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now = self.now + time;
        self.tell(Event::Deadline)
    }

    pub(super) fn reconfigure(&mut self, policy: Policy, reach: Reach) -> Vec<Action> {
        let mut out = Vec::new();
        self.core.reconfigure(self.now, policy, reach, &mut out);
        out
    }

    pub(super) fn start(&self) -> Action {
        Action::Start { run: self.core.run(), give_up: self.now + TIMEOUT }
    }

    pub(super) fn stop(&self) -> Action {
        Action::Stop { run: self.core.run(), depth: Depth::Stop }
    }

    pub(super) fn pause(&self) -> Action {
        Action::Stop { run: self.core.run(), depth: Depth::Pause }
    }

    pub(super) fn probe(&self) -> Action {
        Action::Probe { run: self.core.run() }
    }
}

/// It rests, and will not sleep deeper.
pub(super) const fn asleep(rest: Rest) -> Phase {
    Phase::Asleep { rest, deeper_at: None }
}

pub(super) fn refused(client: u64, cause: Cause) -> Action {
    Action::Refuse(Client(client), Refused::Failed(cause))
}
