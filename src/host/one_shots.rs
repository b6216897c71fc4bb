//! Containers that run to their end before others begin.

use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::Service;
use crate::driver::{Bonds, OneShot, OneShotHandle};
use crate::engine::AnyEngine;

/// One of them.
#[derive(Debug)]
pub(super) struct RunningOneShot {
    pub(super) service: Service,
    pub(super) handle: OneShotHandle,
    /// Until it is spawned.
    idle: Option<OneShot<AnyEngine>>,
    ended: CancellationToken,
    pub(super) task: Option<AbortHandle>,
}

impl RunningOneShot {
    /// It answers nobody yet.
    pub(super) fn new(service: Service, engine: Arc<AnyEngine>) -> Self {
        let idle = OneShot::new(engine, service.settings.target.clone());
        let (handle, ended) = (idle.handle(), CancellationToken::new());
        Self { service, handle, idle: Some(idle), ended, task: None }
    }

    /// Whether `other` is the same container's.
    pub(super) fn runs(&self, other: &Service) -> bool {
        let (own, theirs) = (&self.service.settings, &other.settings);
        own.target == theirs.target && own.engine == theirs.engine
    }

    /// Ties it to others, and has it answer from now on.
    pub(super) fn bind(&mut self, bonds: Bonds, drivers: &mut JoinSet<()>) {
        self.handle.bind(bonds);
        if let Some(idle) = self.idle.take() {
            self.task = Some(drivers.spawn(idle.run(self.ended.clone())));
        }
    }

    /// Answers nobody any more; a run under way is left to the engine.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }
}
