//! A driver before a fake engine.

use std::sync::Arc;
use std::time::Duration;

use ondemand_container::activation::{Phase, Policy, Window};
use ondemand_container::clock::Clock;
use ondemand_container::config::{GivenUpstream, OnExit, Ports, Ready};
use ondemand_container::driver::{Driver, ServiceHandle, Target};
use ondemand_container::engine::ContainerName;
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
    let engine = Arc::new(FakeEngine::new(seed, delays));
    let target = Target {
        name: ContainerName::new("web").unwrap(),
        ports: Ports::one(Port::tcp(80)),
        // One candidate, given: nothing is connected to.
        upstream: Some(GivenUpstream::Host("127.0.0.1".to_owned(), Some(80))),
        network: None,
        ready: Ready::Health,
        stop_timeout: None,
        keepalive: Duration::from_secs(60),
        announce: None,
        own_addresses: Vec::new(),
    };
    let policy = Policy { idle: Window::After(idle), start_timeout: START_TIMEOUT };
    let driver = Driver::new(Arc::clone(&engine), target, policy, Clock::new());
    let service = driver.handle();
    let end = CancellationToken::new();
    let task = tokio::spawn(driver.run(end.clone(), on_end));
    Rig { engine, service, end, task }
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
        self.until("asleep", |phase| matches!(phase, Phase::Asleep(_))).await;
    }

    pub(crate) fn assert_no_faults(&self) {
        assert_eq!(self.engine.faults(), [] as [String; 0]);
    }
}
