//! A driver before a fake engine.

use std::sync::Arc;
use std::time::Duration;

use ondemand_container::activation::{Phase, Policy, Window};
use ondemand_container::clock::Clock;
use ondemand_container::config::rules::{MaySleep, Switch};
use ondemand_container::config::{GivenUpstream, OnExit, Ports, Ready};
use ondemand_container::driver::{Driver, ServiceHandle, Target};
use ondemand_container::engine::TargetName;
use ondemand_container::engine::fake::{Delays, FakeEngine};
use ondemand_container::port::Port;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The idle window of most tests.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// The start timeout of all tests.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) engine: Arc<FakeEngine>,
    pub(crate) service: ServiceHandle,
    pub(crate) end: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn rig(idle: Duration) -> Rig {
    rig_with(idle, 1, Delays::default(), OnExit::Leave)
}

pub(crate) fn rig_with(idle: Duration, seed: u64, delays: Delays, on_end: OnExit) -> Rig {
    rig_of(target(), policy(idle), FakeEngine::new(seed, delays), on_end)
}

pub(crate) fn rig_of(target: Target, policy: Policy, engine: FakeEngine, on_end: OnExit) -> Rig {
    let engine = Arc::new(engine);
    let driver = Driver::new(Arc::clone(&engine), target, policy, Clock::new());
    let service = driver.handle();
    let end = CancellationToken::new();
    let task = tokio::spawn(driver.run(end.clone(), on_end));
    Rig { engine, service, end, task }
}

/// Nothing but an idle window.
pub(crate) fn policy(idle: Duration) -> Policy {
    Policy::new(Window::After(idle), START_TIMEOUT)
}

/// One port, declared healthy by a check.
pub(crate) fn target() -> Target {
    Target {
        service: "web".to_owned(),
        name: TargetName::container("web").unwrap(),
        ports: Ports::one(Port::tcp(80)),
        // One candidate, given: nothing is connected to.
        upstream: Some(GivenUpstream::Host("127.0.0.1".to_owned(), Some(80))),
        network: None,
        ready: Ready::Health,
        stop_timeout: None,
        keepalive: Duration::from_secs(60),
        announce: None,
        own_addresses: Vec::new(),
        may_sleep: MaySleep::default(),
        reclaim: Switch::No,
        bonds: Arc::default(),
    }
}

impl Rig {
    /// Waits until the service stands so; the paused clock makes a wrong wait fail at once.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(Phase) -> bool) {
        let mut changes = self.service.changes();
        let reached = async {
            while !is(self.service.status().phase) {
                changes.changed().await.unwrap();
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(600), reached).await;
        assert!(reached.is_ok(), "not {what} within ten minutes, but {:?}", self.service.status());
    }

    pub(crate) async fn until_asleep(&self) {
        self.until("asleep", |phase| matches!(phase, Phase::Asleep { .. })).await;
    }

    pub(crate) fn assert_no_faults(&self) {
        assert_eq!(self.engine.faults(), [] as [String; 0]);
    }
}

/// An engine whose every answer takes another time, so that whatever can overtake does.
pub(crate) fn uneven() -> Delays {
    let ms = Duration::from_millis;
    Delays {
        start: ms(1)..ms(30),
        stop: ms(1)..ms(40),
        boot: ms(0)..ms(20),
        inspect: Duration::ZERO..ms(3),
        event: Duration::ZERO..ms(50),
        kill: Duration::ZERO..ms(10),
    }
}
