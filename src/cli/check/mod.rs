//! `check`: would this work, and why not.

mod findings;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use findings::{Finding, Level, Listens};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::args::RunArgs;
use super::{Failure, Status};
use crate::admin::ControlSocket;
use crate::config::{ListenAddress, Service, Settings};
use crate::driver::{Upstream, addresses_of};
use crate::engine::{Api, Engine, EngineError, Observed, State, select};
use crate::listen::{self, Inherited};

/// How long the engine may take for everything.
const LIMIT: Duration = Duration::from_secs(10);

/// Tells what stands in the way, without starting anything.
pub(super) fn check(args: &RunArgs, inherited: &Inherited) -> Result<(), Failure> {
    let plan = args.plan().map_err(Failure::config)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::runtime)?;
    let mut status = None;
    if let Some(path) = &plan.control {
        let (finding, found) = runtime.block_on(async { control(path) });
        print(&[finding], None).map_err(Failure::runtime)?;
        status = status.max(found);
    }
    for Service { name, settings } in &plan.services {
        let (findings, found) = runtime.block_on(look(settings, inherited));
        let whose = (plan.services.len() > 1).then_some(name.as_str());
        print(&findings, whose).map_err(Failure::runtime)?;
        status = status.max(found);
    }
    match status {
        None => Ok(()),
        Some(status) => {
            Err(Failure { status, error: anyhow::anyhow!("this would not work: see above") })
        }
    }
}

/// Tries the control socket, and gives it back at once.
fn control(path: &Path) -> (Finding, Option<Status>) {
    match ControlSocket::bind(path) {
        Ok(_) => (Finding::fine(format!("control socket at {}", path.display())), None),
        Err(error) if error.error.kind() == io::ErrorKind::AddrInUse => (
            Finding::warning(format!("{error} (right if it is this daemon, running already)")),
            None,
        ),
        Err(error) => {
            let denied = error.error.kind() == io::ErrorKind::PermissionDenied;
            let status = if denied { Status::Permission } else { Status::Config };
            (Finding::problem(error.to_string()), Some(status))
        }
    }
}

async fn look(settings: &Settings, inherited: &Inherited) -> (Vec<Finding>, Option<Status>) {
    let mut findings = Vec::new();
    let mut permission = listening(settings, inherited, &mut findings);
    match timeout(LIMIT, engine(settings, &mut findings)).await {
        Ok(denied) => permission |= denied,
        Err(_) => findings.push(Finding::problem(format!(
            "the engine has not answered within {} s: is it hung?",
            LIMIT.as_secs()
        ))),
    }
    let stopped = findings.iter().any(|finding| finding.level == Level::Problem);
    let status = match (stopped, permission) {
        (false, _) => None,
        (true, true) => Some(Status::Permission),
        (true, false) => Some(Status::Config),
    };
    (findings, status)
}

/// Tries the sockets, and gives them back at once. True if permission is what is missing.
fn listening(settings: &Settings, inherited: &Inherited, findings: &mut Vec<Finding>) -> bool {
    let limits = settings.connection;
    if settings.listen.is_empty() && !inherited.is_empty() {
        findings.push(Finding::fine(format!("{} sockets from systemd", inherited.len())));
        return false;
    }
    if settings.listen.is_empty() && settings.ports.named() {
        findings.push(Finding::warning(
            "--map names sockets from systemd, and none are handed over here (right if the socket \
             unit does)",
        ));
        return false;
    }
    match listen::bind(&settings.listens(), limits) {
        Ok(sockets) => {
            findings.push(Finding::fine(format!("can listen on {}", sockets.names().join(", "))));
            false
        }
        Err(error) => {
            let denied = error.error.kind() == io::ErrorKind::PermissionDenied;
            findings.push(if error.error.kind() == io::ErrorKind::AddrInUse {
                Finding::warning(format!("{error} (right if it is this daemon, running already)"))
            } else {
                Finding::problem(error.to_string())
            });
            denied
        }
    }
}

/// Asks the engine. True if permission is what is missing.
async fn engine(settings: &Settings, findings: &mut Vec<Finding>) -> bool {
    let chosen = select(&settings.engine, |name| std::env::var(name).ok(), std::path::Path::exists);
    let (endpoint, why) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => {
            findings.push(Finding::problem(error.to_string()));
            return false;
        }
    };
    let engine = Api::new(endpoint);
    match engine.connect().await {
        Ok(version) => findings
            .push(Finding::fine(format!("engine {version} at {} ({why})", engine.describe()))),
        Err(error) => {
            findings.push(Finding::problem(error.to_string()));
            return error.is_permission();
        }
    }
    let observed = match engine.inspect(&settings.container).await {
        Ok(observed) => observed,
        Err(EngineError::Missing(_)) => {
            findings.push(Finding::problem(format!(
                "there is no container {}: create it (docker create, podman create, compose up \
                 --no-start) or mend --container",
                settings.container
            )));
            return false;
        }
        Err(error) => {
            findings.push(Finding::problem(error.to_string()));
            return false;
        }
    };
    let state = match observed.state {
        State::Running => "runs",
        State::Restarting => "restarts again and again",
        State::Paused => "is paused",
        State::Stopped => "is stopped",
    };
    findings.push(Finding::fine(format!("container {} {state}", settings.container)));
    findings.extend(findings::of(&observed, settings, &listens(settings)));
    findings.push(address(&engine, settings, &observed).await);
    false
}

/// Whether there is, or will be, an address.
async fn address(engine: &Api, settings: &Settings, observed: &Observed) -> Finding {
    if let Some(upstream) = &settings.upstream {
        return Finding::fine(format!("upstream {upstream}, as given"));
    }
    let mut observed = observed.clone();
    let mut with_the_start = false;
    if observed.state == State::Stopped {
        with_the_start = engine.foresee_addresses(&mut observed).await;
    }
    match addresses_of(engine, settings.ports.all(), settings.network.as_deref(), &observed).await {
        Ok(_) if observed.state == State::Stopped => {
            Finding::fine("it can be reached once it runs")
        }
        Ok(upstreams) => {
            let all: Vec<_> = upstreams.iter().flatten().map(Upstream::to_string).collect();
            Finding::fine(format!("it can be reached ({})", all.join(", ")))
        }
        Err(_) if with_the_start => Finding::fine(
            "it can be reached once it runs, as its network is made with its start (unless this \
             daemon runs in a network of its own)",
        ),
        Err(why) => Finding::problem(why),
    }
}

fn listens(settings: &Settings) -> Listens {
    let mut listens = Listens::default();
    for listen in settings.listens() {
        match listen.address {
            ListenAddress::Everywhere(port) => listens.everywhere.push(port),
            ListenAddress::At(protocol, at) => listens.at.push((protocol, at)),
            ListenAddress::Unix(_) => {}
        }
    }
    listens
}

/// A line for each; of several services with the name.
fn print(findings: &[Finding], whose: Option<&str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let whose = whose.map_or_else(String::new, |name| format!("{name}: "));
    for finding in findings {
        let word = match finding.level {
            Level::Fine => "ok      ",
            Level::Advice => "advice  ",
            Level::Warning => "warning ",
            Level::Problem => "PROBLEM ",
        };
        writeln!(out, "{word} {whose}{}", finding.text)?;
    }
    out.flush()
}
