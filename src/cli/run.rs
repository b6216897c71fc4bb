//! The daemon: from the plan to its services, each with its engine and its sockets.

use std::pin::pin;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tracing::{info, warn};

use super::args::RunArgs;
use super::{Failure, Status};
use crate::admin::ControlSocket;
use crate::config::{ConfigErrors, Control, Plan, usual_control};
use crate::engine::SelectError;
use crate::host::{ApplyError, EnginesError, Host, SocketError, Source};
use crate::listen::{BindError, Inherited};
use crate::logging;
use crate::shutdown::{Signal, Signals};

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
    let source = Box::new(args.clone());
    let end = runtime.block_on(serve(plan, source, inherited, fds));
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    end
}

impl Source for RunArgs {
    fn plan(&self) -> Result<Plan, ConfigErrors> {
        Self::plan(self)
    }
}

async fn serve(
    plan: Plan,
    source: Box<dyn Source>,
    inherited: Inherited,
    fds: u64,
) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(Failure::runtime)?;
    let control = control(&plan)?;
    let mut host = Host::new(plan, source, inherited, fds).map_err(Failure::config)?;
    {
        let mut beginning = pin!(host.begin());
        loop {
            tokio::select! {
                begun = &mut beginning => break begun.map_err(failure)?,
                signal = signals.next() => match signal {
                    Signal::End(signal) => {
                        info!(signal, "ending before the engine has answered");
                        return Ok(());
                    }
                    // What it asks for has just been done.
                    Signal::Reload => {}
                },
            }
        }
    }
    host.serve(control, &mut signals).await.map_err(Failure::runtime)
}

/// The control socket. In its usual place it is no reason not to serve.
fn control(plan: &Plan) -> Result<Option<ControlSocket>, Failure> {
    let group = plan.control_group.as_deref();
    match &plan.control {
        Control::None => Ok(None),
        Control::At(path) => ControlSocket::bind(path, group).map(Some).map_err(bind_failure),
        Control::Usual => {
            let path = usual_control();
            if let Some(directory) = path.parent() {
                // If it cannot be made, the socket cannot either, and says why.
                drop(std::fs::create_dir(directory));
            }
            let bound = ControlSocket::bind(&path, group);
            bound.map(Some).or_else(|error| {
                warn!(%error, "no control socket; --control PATH gives it another place, or none");
                Ok(None)
            })
        }
    }
}

/// The exit status of what cannot be begun.
fn failure(error: ApplyError) -> Failure {
    match error {
        ApplyError::Sockets(errors) => {
            let failures = errors.iter().map(|error| match error {
                SocketError::Bind(error) => bind_status(error),
                SocketError::Inherit(_)
                | SocketError::NotHandedOver(_)
                | SocketError::Taken(..) => Status::Config,
            });
            let status = failures.max().unwrap_or(Status::Runtime);
            Failure { status, error: ApplyError::Sockets(errors).into() }
        }
        ApplyError::Engines(EnginesError::Select(SelectError::NoneFound(_))) => {
            Failure::runtime(error)
        }
        ApplyError::Engines(EnginesError::Forbidden(_)) => Failure::permission(error),
        ApplyError::Engines(EnginesError::Select(SelectError::NotUnderstood { .. }))
        | ApplyError::OwnSockets(_) => Failure::config(error),
    }
}

fn bind_failure(error: BindError) -> Failure {
    Failure { status: bind_status(&error), error: error.into() }
}

fn bind_status(error: &BindError) -> Status {
    let kind = error.error.kind();
    if kind == std::io::ErrorKind::PermissionDenied {
        Status::Permission
    } else if matches!(kind, std::io::ErrorKind::AddrInUse | std::io::ErrorKind::AddrNotAvailable) {
        Status::Config
    } else {
        Status::Runtime
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
