//! All services of a process: their engines, their sockets, and their end.
//!
//! Services know nothing of each other. What they share is the number of clients that the process can
//! hold, and an engine's connection where they name the same engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use sd_notify::NotifyState;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::activation::Phase;
use crate::admin::{Admin, Administered, ControlSocket};
use crate::clock::Clock;
use crate::config::{Plan, Service};
use crate::driver::{Driver, ServiceHandle, Target};
use crate::engine::Api;
use crate::listen::Sockets;
use crate::notify::{keep_status, keep_watchdog_calm, notify};
use crate::proxy::Proxy;
use crate::server::{Places, Queue, Server};
use crate::shutdown::Signals;

/// How soon a sleeping service with connections is looked at again.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// A service and everything it needs to begin.
#[derive(Debug)]
pub struct Beginning {
    /// What it is.
    pub service: Service,
    /// Where its clients come in.
    pub sockets: Sockets,
    /// What becomes of those that wait there at the end.
    pub queue: Queue,
    /// The engine of its target.
    pub engine: Arc<Api>,
}

/// How many clients the process holds at once.
#[derive(Debug, Clone)]
pub struct Room {
    /// Connections of all services without a limit of their own.
    pub connections: Arc<Semaphore>,
    /// The most that one service may have.
    pub possible: usize,
    /// Flows of datagrams, of all services.
    pub flows: Arc<Semaphore>,
}

/// Why the process ends otherwise than it was told to.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A second signal came while it was ending.
    #[error("ended at once by a second {0}")]
    Again(&'static str),
    /// A driver has ended, which it never should.
    #[error("the driver of {0} has failed: {1}")]
    Broken(String, String),
}

/// A service that runs.
#[derive(Debug)]
struct Running {
    name: String,
    container: String,
    handle: ServiceHandle,
    server: Server,
    ended: CancellationToken,
    driver: JoinHandle<()>,
}

/// Runs the services until a signal, or until all of them have slept unused for the plan's time.
pub async fn serve(
    plan: &Plan,
    beginnings: Vec<Beginning>,
    room: &Room,
    control: Option<ControlSocket>,
    signals: &mut Signals,
) -> Result<(), HostError> {
    let clock = Clock::new();
    let mut running: Vec<Running> =
        beginnings.into_iter().map(|beginning| begin(beginning, room, clock)).collect();
    let handles: BTreeMap<String, ServiceHandle> =
        running.iter().map(|service| (service.name.clone(), service.handle.clone())).collect();
    let (_administered, services) =
        watch::channel(Arc::new(running.iter().map(administered).collect()));
    let admin = control.map(|control| Admin::begin(control, services));
    let connected: Vec<_> = running.iter().map(|service| service.server.connected()).collect();
    let connected = || connected.iter().map(|connected| connected()).sum::<usize>();
    let calm = tokio::spawn(keep_watchdog_calm());
    notify(&[NotifyState::Ready]);

    loop {
        let stop = CancellationToken::new();
        let end = async {
            tokio::select! {
                signal = signals.next() => End::Signal(signal),
                () = slept_unused(&handles, &connected, plan.exit_idle_time) => End::Unused,
                never = keep_status(&handles) => match never {},
            }
        };
        let (mut servers, mut drivers) = (Vec::new(), Vec::new());
        for Running { name, server, driver, .. } in &mut running {
            servers.push(server.accept_until(stop.cancelled()));
            drivers.push(Box::pin(async { (name.as_str(), driver.await) }));
        }
        let end = async {
            let end = tokio::select! {
                end = end => end,
                ((name, failed), ..) = select_all(drivers) => End::broken(name, failed),
            };
            stop.cancel();
            end
        };
        let (end, _) = tokio::join!(end, join_all(servers));
        match end {
            End::Signal(signal) => info!(signal, "ending"),
            // A client came in the very moment: nobody is left behind.
            End::Unused if connected() > 0 || handles.values().any(in_use) => continue,
            End::Unused => info!("asleep and unused, exiting until the next client"),
            End::Broken(broken) => return Err(broken),
        }
        break;
    }

    notify(&[NotifyState::Stopping]);
    if let Some(admin) = &admin {
        admin.drain();
    }
    let mut ends = JoinSet::new();
    for Running { name, server, ended, driver, .. } in running {
        let limit = plan.drain_timeout;
        ends.spawn(async move {
            server.drain(limit).await;
            ended.cancel();
            // As long as the container may take to stop; a second signal ends the wait.
            if let Err(error) = driver.await {
                warn!(service = name, %error, "the driver has failed");
            }
        });
    }
    let end = tokio::select! {
        _ = ends.join_all() => Ok(()),
        never = keep_status(&handles) => match never {},
        signal = signals.next() => {
            warn!(signal, connections = connected(), "ending at once");
            Err(HostError::Again(signal))
        }
    };
    if let (Some(admin), Ok(())) = (admin, &end) {
        admin.end().await;
    }
    calm.abort();
    end
}

/// Why the services stop to accept.
enum End {
    Signal(&'static str),
    Unused,
    Broken(HostError),
}

impl End {
    fn broken(name: &str, failed: Result<(), JoinError>) -> Self {
        let failed = failed.map_or_else(|error| error.to_string(), |()| "it ended".to_owned());
        Self::Broken(HostError::Broken(name.to_owned(), failed))
    }
}

/// As the admin interface knows it.
fn administered(service: &Running) -> (String, Administered) {
    let Running { name, container, handle, .. } = service;
    (name.clone(), Administered { container: container.clone(), handle: handle.clone() })
}

fn begin(beginning: Beginning, room: &Room, clock: Clock) -> Running {
    let Beginning { service: Service { name, settings }, sockets, queue, engine } = beginning;
    let container = settings.container.to_string();
    let target = Target::new(&settings, sockets.addresses());
    let driver = Driver::new(engine, target, settings.policy.clone(), clock);
    let handle = driver.handle();
    let ended = CancellationToken::new();
    let driver = tokio::spawn(driver.run(ended.clone(), settings.on_exit));
    let connections = match settings.max_connections.map(|wished| wished as usize) {
        None => Arc::clone(&room.connections),
        Some(wished) => {
            if wished > room.possible {
                warn!(
                    service = name,
                    wished,
                    possible = room.possible,
                    "--max-connections is more than the file descriptor limit allows; raise the \
                     limit (LimitNOFILE=, ulimit -Hn)"
                );
            }
            Arc::new(Semaphore::new(wished.min(room.possible)))
        }
    };
    let proxy = Proxy {
        service: handle.clone(),
        start_timeout: settings.policy.start_timeout,
        limits: settings.connection,
        announce: settings.proxy_protocol,
        trusted: settings.accept_proxy_protocol.clone(),
    };
    let places = Places { connections, flows: Arc::clone(&room.flows) };
    let server = Server::new(sockets, queue, places, proxy, settings.udp_idle, clock);
    Running { name, container, handle, server, ended, driver }
}

/// Somebody uses it or waits for it: an administrator has no connection.
fn in_use(service: &ServiceHandle) -> bool {
    let status = service.status();
    status.leases > 0 || status.waiting > 0
}

/// Waits until all services have slept, with nobody connected, for `time`; for ever without one.
async fn slept_unused(
    services: &BTreeMap<String, ServiceHandle>,
    connected: &impl Fn() -> usize,
    time: Option<Duration>,
) {
    let Some(time) = time else { return std::future::pending().await };
    let mut changes: Vec<_> = services.values().map(ServiceHandle::changes).collect();
    let sleeps = |service: &ServiceHandle| {
        let rests = matches!(service.status().phase, Phase::Asleep(_) | Phase::Failed(_));
        rests && !in_use(service)
    };
    loop {
        changes.iter_mut().for_each(tokio::sync::watch::Receiver::mark_unchanged);
        let asleep = services.values().all(sleeps);
        let unused = asleep && connected() == 0;
        let changed = select_all(changes.iter_mut().map(|changes| Box::pin(changes.changed())));
        tokio::select! {
            (changed, ..) = changed => if changed.is_err() { return },
            () = sleep(time), if unused => return,
            // A task ends a moment after its lease, which nothing tells.
            () = sleep(LAST_TASKS), if asleep && !unused => {}
        }
    }
}
