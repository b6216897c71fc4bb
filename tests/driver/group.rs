//! Several drivers whose services are bound to each other, each before a fake engine of its own.

use std::sync::Arc;
use std::time::Duration;

use ondemand_container::activation::{Policy, Window};
use ondemand_container::clock::Clock;
use ondemand_container::config::{OnExit, Ports, Ready};
use ondemand_container::driver::{
    AfterUse, Bonds, Driver, Needed, On, OneShot, OneShotHandle, Optional, ServiceHandle, Target,
    Until,
};
use ondemand_container::engine::TargetName;
use ondemand_container::engine::fake::{Delays, FakeEngine, Journal};
use tokio_util::sync::CancellationToken;

use crate::support::{Rig, START_TIMEOUT, WINDOW, target};

/// The place of a service in the group.
pub(crate) type Place = usize;

/// A group that does not run yet.
pub(crate) struct Draft {
    seed: u64,
    delays: Delays,
    clock: Clock,
    journal: Journal,
    members: Vec<Member>,
    one_shots: Vec<(OneShot<FakeEngine>, Bonds)>,
}

struct Member {
    name: &'static str,
    engine: Arc<FakeEngine>,
    driver: Driver<FakeEngine>,
    after: AfterUse,
    bonds: Bonds,
}

/// One that runs.
pub(crate) struct Group {
    pub(crate) end: CancellationToken,
    pub(crate) journal: Journal,
    pub(crate) members: Vec<Rig>,
}

impl Draft {
    pub(crate) fn new() -> Self {
        Self::with(1, Delays::default())
    }

    pub(crate) fn with(seed: u64, delays: Delays) -> Self {
        Self {
            seed,
            delays,
            clock: Clock::new(),
            journal: Journal::default(),
            members: Vec::new(),
            one_shots: Vec::new(),
        }
    }

    /// A service with clients of its own, and a port.
    pub(crate) fn service(&mut self, name: &'static str, idle: Duration) -> Place {
        let target = Target { name: TargetName::container(name).unwrap(), ..target() };
        self.add(name, idle, target, AfterUse::IdleWindow)
    }

    /// A mere member, without ports, and with an idle window of its own that is a long one.
    pub(crate) fn member(&mut self, name: &'static str) -> Place {
        let target = Target {
            name: TargetName::container(name).unwrap(),
            ports: Ports::none(),
            upstream: None,
            ready: Ready::Auto,
            ..target()
        };
        self.add(name, WINDOW * 5, target, AfterUse::Sleep)
    }

    fn add(
        &mut self,
        name: &'static str,
        idle: Duration,
        target: Target,
        after: AfterUse,
    ) -> Place {
        let engine = self.engine(name);
        let policy = Policy::new(Window::After(idle), START_TIMEOUT);
        let driver = Driver::new(Arc::clone(&engine), target, policy, self.clock);
        self.members.push(Member { name, engine, driver, after, bonds: Bonds::default() });
        self.members.len() - 1
    }

    /// A container that runs to its end once, with what it depends on.
    pub(crate) fn one_shot(
        &mut self,
        name: &'static str,
        before: &[Place],
    ) -> (OneShotHandle, Arc<FakeEngine>) {
        let engine = self.engine(name);
        let one_shot = OneShot::new(Arc::clone(&engine), TargetName::container(name).unwrap());
        let handle = one_shot.handle();
        let before = before.iter().map(|place| self.needed(*place, Until::Healthy)).collect();
        self.one_shots.push((one_shot, Bonds { before, ..Bonds::default() }));
        (handle, engine)
    }

    fn engine(&mut self, name: &str) -> Arc<FakeEngine> {
        self.seed += 1;
        let engine = Arc::new(FakeEngine::new(self.seed, self.delays.clone()));
        engine.write_to(&self.journal, name);
        engine
    }

    /// `who` depends on `what`; without it running and ready it is a fault to start it.
    pub(crate) fn depends(&mut self, who: Place, what: Place) {
        self.members[who].engine.depends_on(&self.members[what].engine);
        let needed = self.needed(what, Until::Healthy);
        self.members[who].bonds.before.push(needed);
    }

    pub(crate) fn needed(&self, place: Place, until: Until) -> Needed {
        let Member { name, driver, after, .. } = &self.members[place];
        Needed {
            name: (*name).to_owned(),
            on: On::Service { handle: driver.handle(), until, after: *after },
            optional: Optional::No,
        }
    }

    /// `who` depends on `entrance`, whose companion it is.
    pub(crate) fn works_for(&mut self, who: Place, entrance: Place) {
        self.members[who].engine.depends_on(&self.members[entrance].engine);
        let handle = self.members[entrance].driver.handle();
        let name = self.members[entrance].name.to_owned();
        let on = On::Entrance { handle, until: Until::Healthy };
        self.members[who].bonds.before.push(Needed { name, on, optional: Optional::No });
        let needed = self.needed(who, Until::Started);
        self.members[entrance].bonds.after.push(needed);
    }

    pub(crate) fn bonds(&mut self, place: Place) -> &mut Bonds {
        &mut self.members[place].bonds
    }

    pub(crate) fn engine_of(&self, place: Place) -> &Arc<FakeEngine> {
        &self.members[place].engine
    }

    /// Binds all, and only then runs them.
    pub(crate) fn begin(self, on_end: OnExit) -> Group {
        let end = CancellationToken::new();
        for (one_shot, bonds) in self.one_shots {
            one_shot.handle().bind(bonds);
            tokio::spawn(one_shot.run(end.clone()));
        }
        let mut members = self.members;
        for member in &mut members {
            member.driver.bind(std::mem::take(&mut member.bonds));
        }
        let begin = |Member { engine, driver, .. }: Member| Rig {
            engine,
            service: driver.handle(),
            end: end.clone(),
            task: tokio::spawn(driver.run(end.clone(), on_end)),
        };
        let members = members.into_iter().map(begin).collect();
        Group { end, journal: self.journal, members }
    }
}

impl Group {
    pub(crate) fn service(&self, place: Place) -> &ServiceHandle {
        &self.members[place].service
    }

    pub(crate) fn engine(&self, place: Place) -> &Arc<FakeEngine> {
        &self.members[place].engine
    }

    pub(crate) async fn until_asleep(&self) {
        for member in &self.members {
            member.until_asleep().await;
        }
        self.assert_no_faults();
    }

    /// What the engines were asked since this was last asked.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.journal.lock().unwrap())
    }

    pub(crate) fn assert_no_faults(&self) {
        self.members.iter().for_each(Rig::assert_no_faults);
    }
}
