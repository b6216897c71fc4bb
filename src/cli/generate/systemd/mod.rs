//! `generate systemd`: the units of `deploy/systemd` for one service or one file, with nothing left
//! to fill in.
//!
//! The sockets are systemd's wherever that can be; what cannot be said in units is refused.

mod service;
mod sockets;
mod template;

use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::args::{Manager, SystemdArgs};
use super::output::Generated;
use super::quote;
use crate::cli::args::RunArgs;
use crate::config::{Control, Plan};
use sockets::SocketUnit;

/// What the units are made from.
struct Deployment<'a> {
    /// All units begin so.
    base: String,
    /// What the descriptions call it.
    title: String,
    plan: &'a Plan,
    /// The daemon's flags, its sockets being systemd's.
    run: RunArgs,
    sockets: Vec<SocketUnit>,
    manager: Manager,
}

/// The units, or what is wrong with the options, or cannot be said in units.
pub(super) fn units(args: &SystemdArgs) -> anyhow::Result<Vec<Generated>> {
    let mut run = args.run.clone();
    super::make_absolute(&mut run)?;
    // The sockets become systemd's, so that both go together.
    let plan = RunArgs { exit_idle_time: None, ..run.clone() }.plan()?;
    let manager = args.output.manager();
    let deployment = match &run.config {
        None => of_one(&plan, run, manager)?,
        Some(path) => {
            readable(path, manager)?;
            of_file(&plan, run, manager)?
        }
    };
    let mut units = Vec::new();
    for socket in &deployment.sockets {
        units.push(template::socket(&deployment, socket)?);
    }
    units.push(service::service(&deployment)?);
    if !deployment.sockets.is_empty() {
        units.push(template::closed(&deployment));
    }
    Ok(units)
}

fn of_one(plan: &Plan, mut run: RunArgs, manager: Manager) -> anyhow::Result<Deployment<'_>> {
    let [service] = &plan.services[..] else {
        anyhow::bail!("there is no service to write units for: give --container, or --config");
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let plain: String = service.name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let base = format!("ondemand-{plain}");
    let sockets = sockets::of_one(&base, service, &mut run)?;
    let title = format!("On-demand container {}", service.name);
    Ok(Deployment { base, title, plan, run, sockets, manager })
}

fn of_file(plan: &Plan, run: RunArgs, manager: Manager) -> anyhow::Result<Deployment<'_>> {
    let base = "ondemand-container".to_owned();
    let own = plan.services.iter().find(|service| !sockets::takes_sockets(service));
    if let (Some(_), Some(own)) = (plan.exit_idle_time.or(run.exit_idle_time), own) {
        anyhow::bail!(
            "services.{}: says listen, so the daemon holds its port itself, and --exit-idle-time \
             needs systemd to hold it: remove listen, and put the address into the socket unit, or \
             remove exit-idle-time",
            own.name
        );
    }
    let sockets = sockets::of_file(&base, plan)?;
    let title = "On-demand containers".to_owned();
    Ok(Deployment { base, title, plan, run, sockets, manager })
}

/// What a hardened service does not see, it cannot read.
fn readable(path: &Path, manager: Manager) -> anyhow::Result<()> {
    let hidden = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
    ensure!(
        manager == Manager::User || !hidden.iter().any(|dir| path.starts_with(dir)),
        "--config: a service of the system does not see {} (ProtectHome=, PrivateTmp=): put the file \
         into /etc/ondemand-container, or make units for your own manager with --user",
        path.display()
    );
    Ok(())
}

impl Deployment<'_> {
    /// Where the control socket is, if one was asked for.
    fn control(&self) -> Option<&PathBuf> {
        match &self.plan.control {
            Control::At(path) => Some(path),
            Control::None | Control::Usual => None,
        }
    }

    /// The socket units, with a space between them.
    fn socket_names(&self) -> String {
        let names = self.sockets.iter().map(|socket| format!("{}.socket", socket.unit));
        names.collect::<Vec<_>>().join(" ")
    }

    /// The command line of the daemon.
    fn command(&self) -> anyhow::Result<String> {
        let mut words = vec!["ondemand-container".to_owned()];
        words.extend(super::command::flags(&self.run)?);
        Ok(quote::command(&words))
    }
}

#[cfg(test)]
mod tests;
