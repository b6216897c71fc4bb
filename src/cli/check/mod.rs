//! `check`: would this work, and why not.

mod bridge;
mod findings;
mod group;
mod units;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use findings::{Finding, Level, Listens};
use group::Member;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::args::RunArgs;
use super::{Failure, Status};
use crate::admin::ControlSocket;
use crate::config::{Control, ListenAddress, Settings, usual_control};
use crate::driver::{Upstream, addresses_of};
use crate::engine::{AnyEngine, Engine, EngineError, Found, Locality, Networking, Observed, State};
use crate::listen::{self, Inherited};

/// How long the engine may take for everything.
const LIMIT: Duration = Duration::from_secs(10);

/// Tells what stands in the way, without starting anything.
pub(super) fn check(args: &RunArgs, inherited: &Inherited) -> Result<(), Failure> {
    let plan = args.plan().map_err(Failure::config)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::runtime)?;
    let mut status = None;
    let path = match &plan.control {
        Control::None => None,
        Control::At(path) => Some(path.clone()),
        Control::Usual => {
            Some(usual_control()).filter(|path| path.parent().is_some_and(Path::exists))
        }
    };
    if let Some(path) = path {
        let group = plan.control_group.as_deref();
        let (finding, found) = runtime.block_on(async { control(&path, group) });
        print(&[finding], None).map_err(Failure::runtime)?;
        status = status.max(found);
    }
    let (resolved, findings, found) = runtime.block_on(group::resolved(&plan));
    print(&findings, None).map_err(Failure::runtime)?;
    status = status.max(found);
    let whose = |name| (resolved.services.len() > 1).then_some(name);
    for service in &resolved.services {
        let member = Member::of(service, &resolved);
        let mut findings = group::told(service, &resolved);
        let (more, found) = runtime.block_on(look(&service.settings, member, inherited));
        findings.extend(more);
        print(&findings, whose(service.name.as_str())).map_err(Failure::runtime)?;
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
fn control(path: &Path, group: Option<&str>) -> (Finding, Option<Status>) {
    match ControlSocket::bind(path, group) {
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

async fn look(
    settings: &Settings,
    member: Member,
    inherited: &Inherited,
) -> (Vec<Finding>, Option<Status>) {
    let mut findings = Vec::new();
    let mut permission = listening(settings, inherited, &mut findings);
    match timeout(LIMIT, engine(settings, member, &mut findings)).await {
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
    if settings.ports.all().is_empty() {
        return false;
    }
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
async fn engine(settings: &Settings, member: Member, findings: &mut Vec<Finding>) -> bool {
    let env = |name: &str| std::env::var(name).ok();
    let chosen = AnyEngine::choose(&settings.engine, env, Found::at);
    let (engine, why) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => {
            findings.push(Finding::problem(error.to_string()));
            return false;
        }
    };
    match engine.connect().await {
        Ok(version) => findings
            .push(Finding::fine(format!("engine {version} at {} ({why})", engine.describe()))),
        Err(error) => {
            findings.push(Finding::problem(error.to_string()));
            return error.is_permission();
        }
    }
    let observed = match engine.inspect(&settings.target).await {
        Ok(observed) => observed,
        Err(EngineError::Missing(_)) => {
            findings.push(match member {
                Member::Optional => Finding::advice(format!(
                    "there is no {}: it is optional, and done without",
                    settings.what()
                )),
                Member::No | Member::Needed | Member::NeededHealthy => {
                    Finding::problem(engine.missing(&settings.target))
                }
            });
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
    findings.push(Finding::fine(format!("{} {state}", settings.what())));
    let listens = listens(settings);
    match &engine {
        AnyEngine::Api(_) => findings.extend(findings::of(&observed, settings, &listens)),
        AnyEngine::Systemd(systemd) => {
            findings.extend(units::of(systemd, settings, &listens).await);
        }
    }
    if member == Member::NeededHealthy && observed.check.is_none() {
        findings.push(Finding::warning(
            "it is to be healthy before others are woken, and declares no health check: it is not \
             waited for longer than until it runs, or its port accepts",
        ));
    }
    if !settings.ports.all().is_empty() {
        findings.push(address(&engine, settings, &observed).await);
        findings.extend(unsteady_bridge(&engine, settings, &observed).await);
    }
    false
}

/// Whether there is, or will be, an address.
async fn address(engine: &AnyEngine, settings: &Settings, observed: &Observed) -> Finding {
    if let Some(upstream) = &settings.upstream {
        return Finding::fine(format!("upstream {upstream}, as given"));
    }
    let mut observed = observed.clone();
    let mut with_the_start = false;
    if let (State::Stopped, AnyEngine::Api(engine)) = (observed.state, engine) {
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

/// What there is to say of the bridge on the way to a container of this host, while it runs.
async fn unsteady_bridge(
    engine: &AnyEngine,
    settings: &Settings,
    observed: &Observed,
) -> Option<Finding> {
    let Networking::Own(addresses) = &observed.networking else { return None };
    if settings.upstream.is_some() || engine.locality().await != Locality::Local {
        return None;
    }
    addresses.values().find_map(|address| bridge::unsteady(*address))
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
