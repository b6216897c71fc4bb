//! Which socket units there are, and how the daemon is told which socket leads to which port.

use std::collections::BTreeMap;

use anyhow::bail;

use crate::cli::args::RunArgs;
use crate::config::{Listen, ListenAddress, Plan, Ports, Role, Service, Socket};
use crate::port::{Port, Protocol};

/// A socket unit: sockets that bear one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketUnit {
    /// Its name, without `.socket`.
    pub(super) unit: String,
    /// `FileDescriptorName=`.
    pub(super) name: String,
    /// What leads there, for the description.
    pub(super) of: String,
    /// In the order in which they are handed over.
    pub(super) listens: Vec<ListenAddress>,
}

/// Those of the one service of a command line, which takes whatever is handed over. Where a protocol
/// has several ports, the sockets of each get a name, which `run` is told to map.
pub(super) fn of_one(
    base: &str,
    service: &Service,
    run: &mut RunArgs,
) -> anyhow::Result<Vec<SocketUnit>> {
    let ports = &service.settings.ports;
    let count = |protocol| ports.all().iter().filter(|port| port.protocol == protocol).count();
    let plain = !ports.named() && count(Protocol::Tcp) <= 1 && count(Protocol::Udp) <= 1;
    let mut units: Vec<SocketUnit> = Vec::new();
    for Listen { address, port } in service.settings.listens() {
        let name = match ports.name_of(port) {
            Some(name) => name.to_owned(),
            None if plain => service.name.clone(),
            None => {
                let name = format!("{}-{}", service.name, suffix(port));
                let map = format!("{name}={port}");
                if !run.map.contains(&map) {
                    run.map.push(map);
                }
                name
            }
        };
        let unit = if plain { base.to_owned() } else { format!("{base}-{}", suffix(port)) };
        let of = service.name.clone();
        match units.iter_mut().find(|unit| unit.name == name) {
            Some(unit) => unit.listens.push(address),
            None => units.push(SocketUnit { unit, name, of, listens: vec![address] }),
        }
    }
    if let [only] = &mut units[..] {
        base.clone_into(&mut only.unit);
    }
    run.listen.clear();
    for told in &run.plan()?.services {
        lead_right(service, &told.settings.ports, &units)?;
    }
    Ok(units)
}

/// Those of the services of a file that have no sockets of their own: each takes what bears its name,
/// and what its `map` names.
pub(super) fn of_file(base: &str, plan: &Plan) -> anyhow::Result<Vec<SocketUnit>> {
    let mut units: Vec<SocketUnit> = Vec::new();
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for service in plan.services.iter().filter(|service| takes_sockets(service)) {
        let ports = &service.settings.ports;
        let mut own: Vec<SocketUnit> = Vec::new();
        for Listen { address, port } in ports.everywhere() {
            let (name, unit) = match ports.name_of(port) {
                None => (service.name.clone(), format!("{base}-{}", service.name)),
                Some(name) => {
                    let port = suffix(port);
                    (name.to_owned(), format!("{base}-{}-{port}", service.name))
                }
            };
            let of = service.name.clone();
            match own.iter_mut().find(|unit| unit.name == name) {
                Some(unit) => unit.listens.push(address),
                None => own.push(SocketUnit { unit, name, of, listens: vec![address] }),
            }
        }
        for unit in &own {
            if let Some(other) = owners.insert(unit.name.clone(), &service.name) {
                bail!(
                    "services.{} and services.{other} both take the sockets named {}: give one of \
                     them other names in its map",
                    service.name,
                    unit.name
                );
            }
        }
        lead_right(service, ports, &own)?;
        units.extend(own);
    }
    Ok(units)
}

/// Whether sockets of systemd are the service's: one that says `listen` holds its own.
pub(super) fn takes_sockets(service: &Service) -> bool {
    service.role == Role::Clients && service.settings.listen.is_empty()
}

/// What tells ports apart.
fn suffix(port: Port) -> String {
    match port.protocol {
        Protocol::Tcp => port.number.to_string(),
        Protocol::Udp => format!("{}-udp", port.number),
    }
}

/// Has the daemon's own rule say where the sockets will lead.
fn lead_right(service: &Service, told: &Ports, units: &[SocketUnit]) -> anyhow::Result<()> {
    let sockets: Vec<(&ListenAddress, Socket<'_>)> = units
        .iter()
        .flat_map(|unit| unit.listens.iter().map(|address| (address, unit.name.as_str())))
        .map(|(address, name)| {
            (address, Socket { protocol: address.protocol(), name: Some(name), wished: None })
        })
        .collect();
    let only: Vec<_> = sockets.iter().map(|(_, socket)| *socket).collect();
    let ports = told.assign(&only).map_err(|wrong| anyhow::anyhow!(wrong.join("\n")))?;
    let listens = service.settings.listens();
    for ((address, _), port) in sockets.iter().zip(ports) {
        let meant = listens.iter().find(|listen| listen.address == **address);
        if meant.map(|listen| listen.port) != Some(port) {
            bail!(
                "{}: the socket {address} would lead to port {port}: say with --map NAME=PORT which \
                 name leads to which port",
                service.name,
            );
        }
    }
    Ok(())
}
