//! The daemon: from the settings to the last connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::runtime::Builder;
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Failure;
use super::args::RunArgs;
use crate::activation::Phase;
use crate::clock::Clock;
use crate::config::Settings;
use crate::driver::{Driver, ServiceHandle, Target};
use crate::engine::{Api, EngineError, SelectError, select};
use crate::listen::{self, Inherited, Sockets};
use crate::logging;
use crate::notify::{keep_status, keep_watchdog_calm, notify};
use crate::proxy::Proxy;
use crate::server::{Places, Queue, Server};
use crate::shutdown::Signals;

/// Descriptors that are no connection's: log, engine, events, epoll, pipes, listeners.
const OTHER_FDS: u64 = 96;

/// A flow of datagrams takes one of the machine's ephemeral ports, 28,232 by default (ip(7),
/// `ip_local_port_range`): half of them are left to everybody else's, name look-ups among them.
const MOST_FLOWS: u64 = 14_000;

/// How long the start waits for the engine to say who it is.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// How soon a sleeping service with connections is looked at again.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// Runs until a signal, or until the service has slept unused for `--exit-idle-time`.
pub(super) fn run(args: &RunArgs, inherited: Inherited) -> Result<(), Failure> {
    let settings = Settings::new(args).map_err(Failure::config)?;
    logging::init(args.log_format, args.verbose).map_err(Failure::config)?;
    let fds = raise_fd_limit();
    let mut builder = match args.threads {
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
    let end = runtime.block_on(serve(settings, inherited, fds));
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    end
}

async fn serve(settings: Settings, inherited: Inherited, fds: u64) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(Failure::runtime)?;
    let handed_over = settings.listen.is_empty() && !inherited.is_empty();
    if !handed_over && settings.exit_idle_time.is_some() {
        return Err(Failure::config(anyhow::anyhow!(
            "--exit-idle-time needs sockets from systemd, and none were handed over \
             (LISTEN_FDS): start it by its socket unit, or leave the flag out"
        )));
    }
    let sockets = sockets(&settings, inherited)?;
    for name in sockets.names() {
        info!(address = name, container = %settings.container, "listening");
    }
    // Clients that come while the engine is asked wait in the listen queue.
    let engine = tokio::select! {
        engine = engine(&settings) => engine?,
        signal = signals.next() => {
            info!(signal, "ending before the engine has answered");
            return Ok(());
        }
    };
    let own_addresses = sockets.addresses();

    let clock = Clock::new();
    let target = Target::new(&settings, own_addresses);
    let driver = Driver::new(engine, target, settings.policy.clone(), clock);
    let service = driver.handle();
    let ended = CancellationToken::new();
    let mut driver = tokio::spawn(driver.run(ended.clone(), settings.on_exit));

    let places = places(&settings, fds);
    let proxy = Proxy {
        service: service.clone(),
        start_timeout: settings.policy.start_timeout,
        limits: settings.connection,
        announce: settings.proxy_protocol,
        trusted: settings.accept_proxy_protocol.clone(),
    };
    let queue = if handed_over { Queue::LivesOn } else { Queue::Dies };
    let mut server = Server::new(sockets, queue, places, proxy, settings.udp_idle, clock);
    let connected = server.connected();
    let calm = tokio::spawn(keep_watchdog_calm());
    notify(&[NotifyState::Ready]);

    loop {
        let end = async {
            tokio::select! {
                signal = signals.next() => End::Signal(signal),
                () = slept_unused(&service, &connected, settings.exit_idle_time) => End::Unused,
                never = keep_status(&service, settings.container.as_str()) => match never {},
                failed = &mut driver => End::Broken(failed),
            }
        };
        match server.accept_until(end).await {
            End::Signal(signal) => info!(signal, "ending"),
            // A client came in the very moment: nobody is left behind.
            End::Unused if connected() > 0 => continue,
            End::Unused => info!("asleep and unused, exiting until the next client"),
            End::Broken(failed) => {
                let failed = failed.map_or_else(|error| error.to_string(), |()| "it ended".into());
                return Err(Failure::runtime(anyhow::anyhow!("the driver has failed: {failed}")));
            }
        }
        break;
    }

    notify(&[NotifyState::Stopping]);
    let drain = async {
        server.drain(settings.drain_timeout).await;
        ended.cancel();
        // As long as the container may take to stop; a second signal ends the wait.
        if let Err(error) = driver.await {
            warn!(%error, "the driver has failed");
        }
    };
    let end = tokio::select! {
        () = drain => Ok(()),
        never = keep_status(&service, settings.container.as_str()) => match never {},
        signal = signals.next() => {
            warn!(signal, connections = connected(), "ending at once");
            Err(Failure::runtime(anyhow::anyhow!("ended at once by a second {signal}")))
        }
    };
    calm.abort();
    end
}

/// How many clients there may be: two descriptors for each connection and one for each flow of
/// datagrams, and some are the daemon's own. More could be taken, but not be served.
fn places(settings: &Settings, fds: u64) -> Places {
    let theirs = fds - OTHER_FDS.min(fds / 2);
    // Anybody can send a datagram from many addresses: connections keep half of the descriptors.
    let flows = if settings.ports.has_udp() { MOST_FLOWS.min(theirs / 2) } else { 0 };
    let count = |fds: u64| usize::try_from(fds).unwrap_or(usize::MAX);
    let possible = count((theirs - flows) / 2);
    let connections = match settings.max_connections.map(|wished| wished as usize) {
        Some(wished) if wished > possible => {
            warn!(
                wished,
                possible,
                descriptors = fds,
                "--max-connections is more than the file descriptor limit allows; raise the limit \
                 (LimitNOFILE=, ulimit -Hn)"
            );
            possible
        }
        Some(wished) => wished,
        None => possible,
    };
    Places { connections, flows: count(flows) }
}

/// Why the daemon ends.
enum End {
    Signal(&'static str),
    Unused,
    /// The driver is gone, which it never should be.
    Broken(Result<(), JoinError>),
}

/// The engine, asked once: a wrong permission is told at once, an engine that is away is waited
/// for.
async fn engine(settings: &Settings) -> Result<Arc<Api>, Failure> {
    let (endpoint, why) =
        select(&settings.engine, |name| std::env::var(name).ok(), std::path::Path::exists)
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

fn sockets(settings: &Settings, inherited: Inherited) -> Result<Sockets, Failure> {
    let limits = settings.connection;
    if !settings.listen.is_empty() {
        return listen::bind(&settings.listen, limits).map_err(bind_failure);
    }
    if !inherited.is_empty() {
        return inherited.sockets(&settings.ports, limits).map_err(Failure::config);
    }
    if settings.ports.named() {
        return Err(Failure::config(anyhow::anyhow!(
            "--map names sockets from systemd, and none were handed over (LISTEN_FDS): start it by \
             its socket unit, or give --port and --listen instead"
        )));
    }
    info!("no --listen and no socket from systemd: listening on all interfaces, IPv4 and IPv6");
    listen::bind(&settings.ports.everywhere(), limits).map_err(bind_failure)
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

/// Waits until the service has slept, with nobody connected, for `time`; for ever without one.
async fn slept_unused(
    service: &ServiceHandle,
    connected: &impl Fn() -> usize,
    time: Option<Duration>,
) {
    let Some(time) = time else { return std::future::pending().await };
    let mut changes = service.changes();
    loop {
        changes.mark_unchanged();
        let asleep = matches!(service.status().phase, Phase::Asleep(_) | Phase::Failed(_));
        let unused = asleep && connected() == 0;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep(time), if unused => return,
            // A task ends a moment after its lease, which nothing tells.
            () = sleep(LAST_TASKS), if asleep && !unused => {}
        }
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
