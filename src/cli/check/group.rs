//! What services have to do with each other, and which of them labels describe.

use std::sync::Arc;

use tokio::time::timeout;

use super::super::Status;
use super::LIMIT;
use super::findings::Finding;
use crate::clock::{self, Wall as _};
use crate::config::resolve::{Resolved, Snapshots, resolve};
use crate::config::{self, Condition, Origin, Plan, Role, Service};
use crate::engine::{Api, Found, Snapshot, select};

/// What others expect of a service's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    /// Nothing.
    No,
    /// It may be missing.
    Optional,
    /// It has to be there.
    Needed,
    /// It has to be there, and healthy.
    NeededHealthy,
}

impl Member {
    pub(super) fn of(service: &Service, resolved: &Resolved) -> Self {
        let bonds = resolved.services.iter().flat_map(|other| other.bonds.all());
        let to_it: Vec<_> = bonds.filter(|bond| bond.to == service.name).collect();
        match () {
            () if to_it.is_empty() => Self::No,
            () if to_it.iter().any(|bond| bond.until == Condition::Healthy) => Self::NeededHealthy,
            () if service.role != Role::Clients && to_it.iter().all(|bond| bond.optional) => {
                Self::Optional
            }
            () => Self::Needed,
        }
    }
}

/// The services that there would be, and what is to be told of others.
pub(super) async fn resolved(plan: &Plan) -> (Resolved, Vec<Finding>, Option<Status>) {
    let mut findings = Vec::new();
    let mut status = None;
    let mut snapshots = Snapshots::new();
    for word in plan.discovered() {
        match snapshot(word).await {
            Ok(snapshot) => {
                snapshots.insert(word.to_owned(), Arc::new(snapshot));
            }
            // Of the others their services tell.
            Err((found, text)) if plan.labels.iter().any(|labels| labels == word) => {
                let text = format!("the labels of {word} cannot be read: {text}");
                findings.push(Finding::problem(text));
                status = status.max(Some(found));
            }
            Err(_) => {}
        }
    }
    let resolved = resolve(plan, &snapshots);
    findings.extend(resolved.complaints.iter().filter_map(|complaint| match complaint.level {
        config::Level::Warn => Some(Finding::warning(complaint.to_string())),
        config::Level::Info => Some(Finding::advice(complaint.to_string())),
        config::Level::Debug => None,
    }));
    if resolved.services.is_empty() && status.is_none() {
        findings.push(Finding::advice(
            "no container asks to be a service yet, by the label ondemand.enable=true",
        ));
    }
    (resolved, findings, status)
}

async fn snapshot(word: &str) -> Result<Snapshot, (Status, String)> {
    let (endpoint, _) = select(word, |name| std::env::var(name).ok(), Found::at)
        .map_err(|error| (Status::Config, error.to_string()))?;
    match timeout(LIMIT, Api::new(endpoint).list()).await {
        Ok(answer) => answer.map_err(|error| {
            let status = if error.is_permission() { Status::Permission } else { Status::Config };
            (status, error.to_string())
        }),
        Err(_) => {
            Err((Status::Config, format!("no answer within {} s: is it hung?", LIMIT.as_secs())))
        }
    }
}

/// Where a service comes from, what is woken with it, and what the clock wants of it now.
pub(super) fn told(service: &Service, resolved: &Resolved) -> Vec<Finding> {
    let mut findings = Vec::new();
    if service.origin == Origin::Labels && service.role == Role::Clients {
        let text = format!("described by the labels of container {}", service.settings.target);
        findings.push(Finding::fine(text));
    }
    let order = resolved.wake_order(&service.name);
    if service.role == Role::Clients && order.len() > 1 {
        let names: Vec<&str> = order.iter().map(|other| other.name.as_str()).collect();
        findings.push(Finding::fine(format!("wakes in this order: {}", names.join(", "))));
    }
    let hours = &service.settings.hours;
    if hours.any() {
        findings.push(Finding::fine(hours.tell(clock::System.now())));
    }
    findings
}
