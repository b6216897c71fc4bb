//! The units of `deploy/`, filled in, so that what is generated cannot drift away from them.

use anyhow::Context;

use super::Deployment;
use super::sockets::SocketUnit;
use crate::cli::generate::args::Manager;
use crate::cli::generate::output::Generated;
use crate::cli::generate::quote;
use crate::config::ListenAddress;
use crate::port::{Port, Protocol};

/// The text of a unit of `deploy/systemd`, for the system and for a user.
macro_rules! shipped {
    ($name:literal) => {
        [
            include_str!(concat!("../../../../deploy/systemd/", $name)),
            include_str!(concat!("../../../../deploy/systemd/user/", $name)),
        ]
    };
}

pub(super) const INSTANCE: [&str; 2] = shipped!("ondemand-container@.service");
pub(super) const FILE: [&str; 2] = shipped!("ondemand-container.service");
pub(super) const SOCKET: [&str; 2] = shipped!("ondemand-container@.socket");
pub(super) const CLOSED: [&str; 2] = shipped!("ondemand-container-closed@.target");

/// That of a manager.
pub(super) fn of(manager: Manager, texts: [&'static str; 2]) -> &'static str {
    let [system, user] = texts;
    match manager {
        Manager::System => system,
        Manager::User => user,
    }
}

/// A unit that is being filled in.
pub(super) struct Unit(String);

impl Unit {
    /// The template without what its head tells, under a head of its own.
    pub(super) fn new(template: &str, head: &str) -> Self {
        let start = template.find("[Unit]").unwrap_or_default();
        Self(format!("{head}\n{}", &template[start..]))
    }

    /// Puts `new` in the place of `old`, which is there.
    pub(super) fn put(&mut self, old: &str, new: &str) {
        debug_assert!(self.0.contains(old), "not in the template: {old:?}");
        self.0 = self.0.replacen(old, new, 1);
    }

    /// Takes a line away, with the comments that stand directly before it.
    pub(super) fn take(&mut self, line: &str) {
        let lines: Vec<&str> = self.0.split_inclusive('\n').collect();
        let at = lines.iter().position(|found| found.trim_end() == line);
        debug_assert!(at.is_some(), "not in the template: {line:?}");
        let Some(at) = at else { return };
        let comments = lines[..at].iter().rev().take_while(|line| line.starts_with('#')).count();
        let kept = lines[..at - comments].iter().chain(&lines[at + 1..]).copied();
        self.0 = kept.collect();
    }

    pub(super) fn end(self, name: String) -> Generated {
        Generated { name, text: self.0 }
    }
}

/// A socket unit, or what cannot be said in one.
pub(super) fn socket(of: &Deployment<'_>, socket: &SocketUnit) -> anyhow::Result<Generated> {
    let head = format!(
        "# Holds what leads to {}; the first client starts {}.service.\n",
        socket.of, of.base
    );
    let mut unit = Unit::new(self::of(of.manager, SOCKET), &head);
    let description = format!("On-demand container {}, its port", socket.of);
    unit.put("On-demand container %i, its port", &description);
    let mut lines = Vec::new();
    for address in &socket.listens {
        lines.push(listen(address)?);
    }
    lines.push(format!("FileDescriptorName={}", socket.name.replace('%', "%%")));
    lines.push(format!("Service={}.service", of.base));
    // The template's own socket, which makes an instance without a port valid.
    unit.take(match of.manager {
        Manager::System => "ListenStream=/run/ondemand-container/%i.sock",
        Manager::User => "ListenStream=%t/ondemand-container/%i.sock",
    });
    unit.put("[Socket]\n", &format!("[Socket]\n{}\n", lines.join("\n")));
    if !socket.listens.iter().any(|address| matches!(address, ListenAddress::Unix(_))) {
        unit.take(match of.manager {
            Manager::System => "SocketMode=0660",
            Manager::User => "SocketMode=0600",
        });
        unit.take("RemoveOnStop=yes");
    }
    Ok(unit.end(format!("{}.socket", socket.unit)))
}

fn listen(address: &ListenAddress) -> anyhow::Result<String> {
    let place = match address {
        ListenAddress::Everywhere(Port { number, .. }) => number.to_string(),
        ListenAddress::At(_, address) => address.to_string(),
        ListenAddress::Unix(path) => path.to_str().map(str::to_owned).with_context(unsayable)?,
    };
    let place = quote::value(&place).with_context(unsayable)?;
    Ok(match address.protocol() {
        Protocol::Tcp => format!("ListenStream={place}"),
        Protocol::Udp => format!("ListenDatagram={place}"),
    })
}

fn unsayable() -> &'static str {
    "--listen: a unit cannot name this path: no control characters, no blank at its ends, no backslash \
     at its end, and UTF-8"
}

/// The target that closes the ports of a service that has failed for good.
pub(super) fn closed(of: &Deployment<'_>) -> Generated {
    let sockets = of.socket_names();
    let control = match of.manager {
        Manager::System => "systemctl",
        Manager::User => "systemctl --user",
    };
    let head = format!(
        "# The ports are closed when {}.service has failed for good, so that clients are refused\n\
         # rather than held. `{control} start {sockets}` opens them again.\n",
        of.base
    );
    let mut unit = Unit::new(self::of(of.manager, CLOSED), &head);
    unit.put(
        "On-demand container %i, port closed after a failure",
        &format!("{}, closed after a failure", of.title),
    );
    unit.put("Conflicts=ondemand-container@%i.socket", &format!("Conflicts={sockets}"));
    unit.end(format!("{}-closed.target", of.base))
}
