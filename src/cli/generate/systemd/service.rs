//! The service unit.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::template::{FILE, INSTANCE, Unit, of};
use super::{Deployment, sockets};
use crate::cli::generate::args::Manager;
use crate::cli::generate::output::Generated;
use crate::cli::generate::quote;
use crate::config::Control;
use crate::history::NO_HISTORY;

/// What the templates allow for beside the drain: the stop of the containers.
const STOPPING: Duration = Duration::from_secs(90);

/// `TimeoutStopSec=` of the templates.
const STOP: Duration = Duration::from_secs(120);

/// What lets the daemon give its control socket to a group.
const CHOWN: &str = "SystemCallFilter=@chown";

/// The unit, or what cannot be said in one.
pub(super) fn service(deployment: &Deployment<'_>) -> anyhow::Result<Generated> {
    let mut unit = match &deployment.run.config {
        None => of_one(deployment)?,
        Some(path) => of_file(deployment, path)?,
    };
    let stop = deployment.plan.drain_timeout.saturating_add(STOPPING);
    if stop > STOP {
        unit.put("TimeoutStopSec=2min", &format!("TimeoutStopSec={}s", stop.as_secs()));
    }
    control_group(&mut unit, deployment)?;
    state_directory(&mut unit, deployment)?;
    if deployment.manager == Manager::System {
        identity(&mut unit, deployment);
    }
    Ok(unit.end(format!("{}.service", deployment.base)))
}

fn of_one(deployment: &Deployment<'_>) -> anyhow::Result<Unit> {
    let mut unit = Unit::new(of(deployment.manager, INSTANCE), &head(deployment));
    unit.put("On-demand container %i", &deployment.title);
    unit.put("ondemand-container-closed@%i.target", &closed(deployment));
    unit.take("Environment=ONDEMAND_CONTAINER=%i");
    unit.take(match deployment.manager {
        Manager::System => "EnvironmentFile=-/etc/ondemand-container/%i.env",
        Manager::User => "EnvironmentFile=-%E/ondemand-container/%i.env",
    });
    if deployment.manager == Manager::System {
        unit.put(
            "# ONDEMAND_DRAIN_TIMEOUT (30 s), and up to a minute for ONDEMAND_ON_EXIT=stop.",
            "# --drain-timeout, and up to a minute for --on-exit stop.",
        );
    }
    let mut lines = vec![format!("Sockets={}", deployment.socket_names())];
    lines.extend(runtime_directory(deployment)?);
    lines.push(format!("ExecStart={}", deployment.command()?));
    unit.put("ExecStart=ondemand-container", &lines.join("\n"));
    Ok(unit)
}

fn of_file(deployment: &Deployment<'_>, path: &Path) -> anyhow::Result<Unit> {
    let mut unit = Unit::new(of(deployment.manager, FILE), &head(deployment));
    let shipped = match deployment.manager {
        Manager::System => "/etc/ondemand-container/config.toml",
        Manager::User => "%E/ondemand-container/config.toml",
    };
    let path = path.to_str().and_then(quote::value).context(
        "--config: a unit cannot name this path: no control characters, no blank at its ends, no \
         backslash at its end, and UTF-8",
    )?;
    let mut condition = format!("ConditionPathExists={path}");
    let mut lines = Vec::new();
    if !deployment.sockets.is_empty() {
        condition = format!(
            "{condition}\n\
             # A service that has failed for good closes its ports: the clients in their queues would \
             start\n\
             # it over and over. So there is no need to limit how often it may come back.\n\
             OnFailure={}\n\
             StartLimitIntervalSec=0",
            closed(deployment)
        );
        lines.push(format!("Sockets={}", deployment.socket_names()));
    }
    unit.put(&format!("ConditionPathExists={shipped}"), &condition);
    if deployment.plan.control != Control::Usual {
        unit.take("RuntimeDirectory=ondemand-container");
        unit.take("Environment=ONDEMAND_CONTROL=%t/ondemand-container/control.sock");
        lines.extend(runtime_directory(deployment)?);
        unit.put("ExecReload=ondemand-container reload", &reload(deployment)?);
    }
    let of_the_group = Identity::of(deployment) == Identity::DockersGroup
        && deployment.plan.control_group.is_none()
        && deployment.plan.control != Control::None;
    if deployment.manager == Manager::System && !of_the_group {
        unit.take("Environment=ONDEMAND_CONTROL_GROUP=docker");
        unit.take(CHOWN);
    }
    lines.push(format!("ExecStart={}", deployment.command()?));
    unit.put(&format!("ExecStart=ondemand-container --config {shipped}"), &lines.join("\n"));
    Ok(unit)
}

fn head(deployment: &Deployment<'_>) -> String {
    let control = match deployment.manager {
        Manager::System => "systemctl",
        Manager::User => "systemctl --user",
    };
    let service = format!("{}.service", deployment.base);
    let own: Vec<&str> = deployment
        .plan
        .services
        .iter()
        .filter(|service| deployment.run.config.is_some() && !sockets::takes_sockets(service))
        .map(|service| service.name.as_str())
        .collect();
    let mut units: Vec<String> =
        deployment.sockets.iter().map(|socket| format!("{}.socket", socket.unit)).collect();
    let mut lines =
        vec!["Made by `ondemand-container generate systemd`.".to_owned(), String::new()];
    if !own.is_empty() {
        units.push(service);
        lines.push(
            "These say `listen`, so the daemon holds their ports itself, and runs all the time:"
                .to_owned(),
        );
        lines.extend([own.join(" "), String::new()]);
    }
    lines.push(format!("  {control} daemon-reload"));
    lines.push(format!("  {control} enable --now {}", units.join(" ")));
    let lines: Vec<String> =
        lines.iter().map(|line| format!("# {line}").trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

fn closed(deployment: &Deployment<'_>) -> String {
    format!("{}-closed.target", deployment.base)
}

/// The folder that the control socket is in, which the service gets as its own.
fn runtime_directory(deployment: &Deployment<'_>) -> anyhow::Result<Option<String>> {
    let Some(path) = deployment.control() else { return Ok(None) };
    if deployment.manager == Manager::User {
        return Ok(None);
    }
    let dir = path.parent().and_then(|dir| dir.strip_prefix("/run").ok());
    let dir = dir.and_then(Path::to_str).filter(|dir| !dir.is_empty());
    let word = dir.and_then(quote::value).filter(|dir| !dir.contains(char::is_whitespace));
    ensure!(
        word.is_some() && !dir.is_some_and(|dir| dir.starts_with("user/")),
        "--control: the service may write to a folder of its own below /run alone: \
         /run/{}/control.sock",
        deployment.base
    );
    Ok(word.map(|dir| format!("RuntimeDirectory={dir}")))
}

/// The folder that the history is in, which the service gets as its own.
fn state_directory(unit: &mut Unit, deployment: &Deployment<'_>) -> anyhow::Result<()> {
    let shipped = match &deployment.run.config {
        None => "StateDirectory=ondemand-container@%i",
        Some(_) => "StateDirectory=ondemand-container",
    };
    let Some(path) = &deployment.plan.history else {
        if deployment.run.config.is_none() {
            unit.put(shipped, &format!("StateDirectory={}", deployment.base));
        }
        return Ok(());
    };
    if path.as_os_str() == NO_HISTORY || deployment.manager == Manager::User {
        unit.take(shipped);
        return Ok(());
    }
    let dir = path.parent().and_then(|dir| dir.strip_prefix("/var/lib").ok());
    let dir = dir.and_then(Path::to_str).and_then(quote::value);
    let word = dir.filter(|dir| !dir.is_empty() && !dir.contains(char::is_whitespace));
    let word = word.with_context(|| {
        format!(
            "--history: the service may write to a folder of its own below /var/lib alone: \
             /var/lib/{}/history.json",
            deployment.base
        )
    })?;
    unit.put(shipped, &format!("StateDirectory={word}"));
    Ok(())
}

/// Whom the daemon has to be for its engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// Nobody, in the group of Docker's socket.
    DockersGroup,
    /// Root without its capabilities, as Podman's socket is root's alone.
    Root,
    /// The user that polkit lets manage units.
    ManagerOfUnits,
    /// Nobody: its engines are elsewhere.
    Nobody,
}

impl Identity {
    fn of(deployment: &Deployment<'_>) -> Self {
        let engines: Vec<&str> = Self::engines(deployment).collect();
        let remote = |engine: &&str| engine.starts_with("tcp:") || engine.starts_with("http:");
        if engines.iter().any(|engine| engine.contains("podman")) {
            Self::Root
        } else if engines.contains(&"systemd") {
            Self::ManagerOfUnits
        } else if engines.iter().all(remote) {
            Self::Nobody
        } else {
            Self::DockersGroup
        }
    }

    fn engines<'a>(deployment: &'a Deployment<'_>) -> impl Iterator<Item = &'a str> {
        let services = deployment.plan.services.iter();
        let labels = deployment.plan.labels.iter().map(String::as_str);
        services.map(|service| service.settings.engine.as_str()).chain(labels)
    }
}

fn identity(unit: &mut Unit, deployment: &Deployment<'_>) {
    match Identity::of(deployment) {
        Identity::DockersGroup => {}
        Identity::Root => {
            unit.take("DynamicUser=yes");
            unit.put(
                "SupplementaryGroups=docker",
                "# Podman's socket is root's alone. What follows keeps everything else from the daemon, \
                 root's\n# capabilities included.\nUser=root",
            );
        }
        Identity::ManagerOfUnits => {
            unit.take("DynamicUser=yes");
            unit.put(
                "SupplementaryGroups=docker",
                "# Who may start and stop the units that a rule of polkit names: deploy/sysusers.d and\n\
                 # deploy/polkit. The group is for the last lines of a unit that fails.\n\
                 User=ondemand-unit\nSupplementaryGroups=systemd-journal",
            );
            if Identity::engines(deployment).any(|engine| engine != "systemd") {
                let journal = "SupplementaryGroups=systemd-journal";
                unit.put(journal, &format!("{journal} docker"));
            }
        }
        Identity::Nobody => {
            unit.take("DynamicUser=yes");
            unit.put("SupplementaryGroups=docker", "DynamicUser=yes");
        }
    }
}

/// A group that was asked for, which the daemon has to be in.
fn control_group(unit: &mut Unit, deployment: &Deployment<'_>) -> anyhow::Result<()> {
    let Some(group) = &deployment.plan.control_group else { return Ok(()) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    ensure!(
        !group.is_empty() && group.chars().all(plain),
        "--control-group: a unit cannot name {group:?}: give the group's number"
    );
    // Of a user's manager the groups are given.
    let member = match deployment.manager {
        Manager::System => format!("SupplementaryGroups={group}\n"),
        Manager::User => String::new(),
    };
    let filter = "SystemCallFilter=~@privileged @resources\n";
    let more = format!("{filter}# For --control-group.\n{member}{CHOWN}\n");
    unit.put(filter, &more);
    Ok(())
}

/// How a daemon with a control socket of its own, or with none, is told to read its file anew.
fn reload(deployment: &Deployment<'_>) -> anyhow::Result<String> {
    let Some(path) = deployment.control() else {
        return Ok("ExecReload=kill -HUP $MAINPID".to_owned());
    };
    let path = path.to_str().context("--control: the path is not UTF-8")?;
    Ok(format!("ExecReload=ondemand-container reload --control {}", quote::word(path)))
}
