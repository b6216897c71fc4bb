//! One service that runs: its driver and its server.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::hours::Timetable;
use super::room::{Own, Room};
use crate::activation::Reach;
use crate::admin::Administered;
use crate::clock::Clock;
use crate::config::{OnExit, Service};
use crate::driver::{Bonds, Driver, ServiceHandle, Setup, Target};
use crate::engine::AnyEngine;
use crate::history::Store;
use crate::listen::Sockets;
use crate::proxy::{Keeper, Proxy};
use crate::server::{Server, Terms};

/// A service that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// What it is.
    pub(super) service: Service,
    /// What its clients use.
    pub(super) handle: ServiceHandle,
    target: Arc<Target>,
    /// Its places for connections, if it has some of its own.
    own_places: Option<Own>,
    /// Its sockets and clients.
    pub(super) server: Server,
    /// What holds by the clock, if something does.
    hours: Option<Timetable>,
    clock: Clock,
    /// Until it is spawned.
    idle: Option<Box<Driver<AnyEngine>>>,
    /// Ends its driver.
    ended: CancellationToken,
    /// Its driver's task.
    pub(super) task: Option<AbortHandle>,
}

impl Running {
    /// It is neither driven nor accepted for yet; what `history` remembers of it goes on.
    pub(super) fn new(
        service: Service,
        sockets: Sockets,
        engine: Arc<AnyEngine>,
        room: &Room,
        clock: Clock,
        history: &Store,
    ) -> Self {
        let settings = &service.settings;
        let target = Target::new(&service.name, settings, sockets.addresses());
        let driver = Driver::new(engine, target.clone(), settings.policy.clone(), clock);
        let handle = driver.handle();
        handle.restore(history.recall(&service.name), Arc::clone(history.told()));
        handle.choose_window(settings.auto);
        let mut own = None;
        let hours = Timetable::of(settings, &handle, clock);
        let server = Server::new(sockets, terms(&service, &handle, room, &mut own, clock), clock);
        let (target, ended) = (Arc::new(target), CancellationToken::new());
        Self {
            service,
            handle,
            target,
            own_places: own,
            server,
            hours,
            clock,
            idle: Some(Box::new(driver)),
            ended,
            task: None,
        }
    }

    /// Ties it to others, unless it is tied so.
    pub(super) fn bind(&mut self, bonds: Bonds) {
        if bonds.same(&self.target.bonds) {
            return;
        }
        let bonds = Arc::new(bonds);
        let target = Target { bonds: Arc::clone(&bonds), ..(*self.target).clone() };
        if let Some(driver) = &mut self.idle {
            driver.bind(bonds);
            self.target = Arc::new(target);
        } else {
            // What it needs now is there before the next client.
            self.set_up(target, Reach::Changed);
        }
    }

    /// Has it driven, if it is not yet.
    pub(super) fn drive(&mut self, drivers: &mut JoinSet<()>) {
        if let Some(driver) = self.idle.take() {
            let on_exit = self.service.settings.on_exit;
            self.task = Some(drivers.spawn(driver.run(self.ended.clone(), on_exit)));
        }
        if let Some(hours) = &mut self.hours {
            hours.drive(drivers);
        }
    }

    /// Whether `other` would drive the same target.
    pub(super) fn drives(&self, other: &Service) -> bool {
        let (own, theirs) = (&self.service.settings, &other.settings);
        own.target == theirs.target
            && own.engine == theirs.engine
            && self.service.role == other.role
    }

    /// Its container is another service's business from now on, which is not stopped under that.
    pub(super) fn leave_to_another(&mut self) {
        self.service.settings.on_exit = OnExit::Leave;
        // Its hours would put it to sleep with our last client.
        self.hours = None;
        self.set_up((*self.target).clone(), Reach::Same);
    }

    /// Takes on what `service` says, with those sockets; its server is paused.
    pub(super) fn renew(&mut self, service: Service, sockets: Sockets, room: &Room) {
        self.service = service;
        let bonds = Arc::clone(&self.target.bonds);
        let target = Target::new(&self.service.name, &self.service.settings, sockets.addresses());
        let target = Target { bonds, ..target };
        let reach = target.reach_since(&self.target);
        self.set_up(target, reach);
        let hours = &self.service.settings.hours;
        match &self.hours {
            Some(known) if hours.any() => known.renew(hours),
            Some(_) | None => {
                self.hours = Timetable::of(&self.service.settings, &self.handle, self.clock);
            }
        }
        let (own, clock) = (&mut self.own_places, self.clock);
        let terms = terms(&self.service, &self.handle, room, own, clock);
        self.server.renew(sockets, terms);
    }

    fn set_up(&mut self, target: Target, reach: Reach) {
        let target = Arc::new(target);
        self.target = Arc::clone(&target);
        let settings = &self.service.settings;
        let (policy, on_exit) = (settings.policy.clone(), settings.on_exit);
        self.handle.choose_window(settings.auto);
        self.handle.reconfigure(Setup { target, policy, on_exit }, reach);
    }

    /// As administrators know it; those services need it.
    pub(super) fn administered(&self, needed_by: Vec<String>) -> Administered {
        let container = self.service.settings.target.to_string();
        Administered { container, handle: self.handle.clone(), needed_by }
    }

    /// Ends it: who is connected or waits is served to the end until `ending`, and from then on for
    /// at most `limit`.
    pub(super) async fn leave(self, ending: CancellationToken, limit: Duration) {
        if let Some(hours) = &self.hours {
            hours.let_sleep();
        }
        let mut drained = Box::pin(self.server.drain(&ending, limit));
        tokio::select! {
            () = &mut drained => {}
            () = ending.cancelled() => {
                // Their hour may be tomorrow.
                if let Some(hours) = &self.hours {
                    hours.turn_away();
                }
                drained.await;
            }
        }
        self.ended.cancel();
    }
}

fn terms(
    service: &Service,
    handle: &ServiceHandle,
    room: &Room,
    own: &mut Option<Own>,
    clock: Clock,
) -> Terms {
    let Service { name, settings, .. } = service;
    let proxy = Proxy {
        service: handle.clone(),
        start_timeout: settings.policy.start_timeout,
        limits: settings.connection,
        announce: settings.proxy_protocol,
        trusted: settings.accept_proxy_protocol.clone(),
        gate: Keeper::new(&settings.gate, clock),
        silence: settings.silence,
    };
    let places = room.places(name, settings.max_connections, own);
    Terms { proxy, places, udp_idle: settings.udp_idle }
}
