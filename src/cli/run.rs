//! The daemon: from the plan to its services, each with its engine and its sockets.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::info;

use super::Failure;
use super::args::RunArgs;
use crate::admin::ControlSocket;
use crate::config::{Plan, Service};
use crate::engine::{Api, EngineError, SelectError, select};
use crate::host::{self, Beginning, Room};
use crate::listen::{self, Inherited, Sockets};
use crate::logging;
use crate::server::Queue;
use crate::shutdown::Signals;

/// Descriptors that are no connection's: log, engine, events, epoll, pipes.
const OTHER_FDS: u64 = 96;

/// A flow of datagrams takes one of the machine's ephemeral ports, 28,232 by default (ip(7),
/// `ip_local_port_range`): half of them are left to everybody else's, name look-ups among them.
const MOST_FLOWS: u64 = 14_000;

/// How long the start waits for an engine to say who it is.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// Runs until a signal, or until all services have slept unused for `--exit-idle-time`.
pub(super) fn run(args: &RunArgs, inherited: Inherited) -> Result<(), Failure> {
    let plan = args.plan().map_err(Failure::config)?;
    logging::init(plan.log_format, args.verbose).map_err(Failure::config)?;
    let fds = raise_fd_limit();
    let mut builder = match plan.threads {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads.into());
            builder
        }
    };
    let runtime = builder
        .enable_all()
        .build()
        .context("the runtime cannot be built")
        .map_err(Failure::runtime)?;
    let end = runtime.block_on(serve(plan, inherited, fds));
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    end
}

async fn serve(plan: Plan, inherited: Inherited, fds: u64) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(Failure::runtime)?;
    let all = sockets(&plan, inherited)?;
    let mut own = plan.services.iter().zip(&all).filter(|(_, (_, queue))| *queue == Queue::Dies);
    if plan.exit_idle_time.is_some()
        && let Some((service, _)) = own.next()
    {
        return Err(Failure::config(anyhow::anyhow!(
            "--exit-idle-time needs sockets from systemd, which would start the daemon again, and \
             none were handed over for {} (LISTEN_FDS): start it by its socket unit, or leave the \
             flag out",
            service.name
        )));
    }
    let control = match &plan.control {
        None => None,
        Some(path) => Some(ControlSocket::bind(path).map_err(bind_failure)?),
    };
    for (service, (sockets, _)) in plan.services.iter().zip(&all) {
        for name in sockets.names() {
            info!(address = name, container = %service.settings.container, "listening");
        }
    }
    // Clients that come while the engines are asked wait in the listen queues.
    let engines = tokio::select! {
        engines = engines(&plan) => engines?,
        signal = signals.next() => {
            info!(signal, "ending before the engine has answered");
            return Ok(());
        }
    };
    let listening: usize = all.iter().map(|(sockets, _)| sockets.names().len()).sum();
    let room = room(&plan, fds.saturating_sub(listening as u64));
    let beginning = |(service, (sockets, queue)): (&Service, _)| {
        let engine = Arc::clone(&engines[&service.settings.engine]);
        Beginning { service: service.clone(), sockets, queue, engine }
    };
    let beginnings = plan.services.iter().zip(all).map(beginning).collect();
    host::serve(&plan, beginnings, &room, control, &mut signals).await.map_err(Failure::runtime)
}

/// How many clients there may be: two descriptors for each connection and one for each flow of
/// datagrams, and some are the daemon's own. More could be taken, but not be served.
fn room(plan: &Plan, fds: u64) -> Room {
    let theirs = fds - OTHER_FDS.min(fds / 2);
    // Anybody can send a datagram from many addresses: connections keep half of the descriptors.
    let has_udp = plan.services.iter().any(|service| service.settings.ports.has_udp());
    let flows = if has_udp { MOST_FLOWS.min(theirs / 2) } else { 0 };
    let count =
        |fds: u64| usize::try_from(fds).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
    let possible = count((theirs - flows) / 2);
    Room {
        connections: Arc::new(Semaphore::new(possible)),
        possible,
        flows: Arc::new(Semaphore::new(count(flows))),
    }
}

/// The engines that the services name, each asked once: a wrong permission is told at once, an
/// engine that is away is waited for.
async fn engines(plan: &Plan) -> Result<HashMap<String, Arc<Api>>, Failure> {
    let words: BTreeSet<&String> = plan.services.iter().map(|of| &of.settings.engine).collect();
    let asked =
        words.into_iter().map(|word| async move { Ok((word.clone(), engine(word).await?)) });
    try_join_all(asked).await.map(HashMap::from_iter)
}

async fn engine(word: &str) -> Result<Arc<Api>, Failure> {
    let (endpoint, why) = select(word, |name| std::env::var(name).ok(), std::path::Path::exists)
        .map_err(|error| match error {
            SelectError::NoneFound(_) => Failure::runtime(error),
            SelectError::NotUnderstood { .. } => Failure::config(error),
        })?;
    let engine = Api::new(endpoint);
    // The driver's event watch tells of an engine that is away, and of its return.
    match timeout(FIRST_ANSWER, engine.connect()).await {
        Ok(Ok(version)) => {
            info!(engine = %engine.endpoint(), chosen_by = why, %version, "engine");
        }
        Ok(Err(error)) if error.is_permission() => return Err(Failure::permission(error)),
        Ok(Err(
            EngineError::Unavailable { .. }
            | EngineError::Missing(_)
            | EngineError::Conflict(_)
            | EngineError::Refused { .. }
            | EngineError::Garbled(_),
        ))
        | Err(_) => {
            info!(engine = %engine.endpoint(), chosen_by = why, "engine, not answering yet");
        }
    }
    Ok(Arc::new(engine))
}

/// The sockets of each service, in the plan's order: its own, those handed over, or its ports on
/// all interfaces.
fn sockets(plan: &Plan, inherited: Inherited) -> Result<Vec<(Sockets, Queue)>, Failure> {
    let mut handed = inherited.hand_out(&plan.services).map_err(Failure::config)?.into_iter();
    let mut all = Vec::new();
    for Service { name, settings } in &plan.services {
        let limits = settings.connection;
        if let Some(sockets) = handed.next().flatten() {
            all.push((sockets, Queue::LivesOn));
            continue;
        }
        if settings.listen.is_empty() && settings.ports.named() {
            return Err(Failure::config(anyhow::anyhow!(
                "{name}: --map names sockets from systemd, and none of those were handed over \
                 (LISTEN_FDS, LISTEN_FDNAMES): start it by its socket unit, or give --port and \
                 --listen instead"
            )));
        }
        if settings.listen.is_empty() {
            info!(
                service = name,
                "no --listen and no socket from systemd: listening on all interfaces, IPv4 and IPv6"
            );
        }
        let bound = listen::bind(&settings.listens(), limits).map_err(bind_failure)?;
        all.push((bound, Queue::Dies));
    }
    Ok(all)
}

fn bind_failure(error: listen::BindError) -> Failure {
    let kind = error.error.kind();
    if kind == std::io::ErrorKind::PermissionDenied {
        Failure::permission(error)
    } else if matches!(kind, std::io::ErrorKind::AddrInUse | std::io::ErrorKind::AddrNotAvailable) {
        Failure::config(error)
    } else {
        Failure::runtime(error)
    }
}

/// Raises the soft limit of descriptors to the hard one, and answers what holds.
fn raise_fd_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let in_force = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    in_force.unwrap_or(u64::MAX)
}
