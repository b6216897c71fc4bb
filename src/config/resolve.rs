//! From what was written down, and what the engines have, to the services that are served.

mod draft;
mod entrances;
mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use draft::Draft;

use super::{Complaint, Plan, Service};
use crate::engine::Snapshot;

/// What the engines have, by their `--engine` words; an engine that has not yet answered is not
/// there.
pub type Snapshots = BTreeMap<String, Arc<Snapshot>>;

/// The services that are served, and what is to be told of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// In the order of their names, none twice. Each bond names one of them, and bonds form no
    /// circle.
    pub services: Vec<Service>,
    /// In the order of their weight and of whom they are about, none twice.
    pub complaints: Vec<Complaint>,
}

/// The services of the plan, those that labels describe, and the members that both need.
///
/// The file outranks labels, and an older container a newer one. Equal snapshots are resolved to
/// equal services.
pub fn resolve(plan: &Plan, snapshots: &Snapshots) -> Resolved {
    let mut draft = Draft::new(snapshots);
    for service in &plan.services {
        draft.add(service.clone());
    }
    let mut entrances = Vec::new();
    for (name, compose) in &plan.compose {
        entrances.extend(draft.find_entrance(name, compose));
    }
    for engine in &plan.labels {
        entrances.extend(draft.add_labelled(engine, &plan.defaults));
    }
    draft.tie_named(plan);
    for entrance in entrances {
        draft.tie_composed(&entrance);
    }
    draft.end()
}

impl Resolved {
    /// A service and all that is awake with it, in the order in which they are woken.
    pub fn wake_order(&self, name: &str) -> Vec<&Service> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        // A place on the way is come to twice: before and after those that it needs.
        let mut open = vec![(name, false)];
        let mut companions: Vec<&str> = Vec::new();
        loop {
            let Some((name, done)) = open.pop() else {
                let Some(next) = companions.pop() else { return order };
                open.push((next, false));
                continue;
            };
            let Some(service) = self.get(name) else { continue };
            if done {
                order.push(service);
                let beside = service.bonds.beside.iter().rev();
                companions.extend(beside.map(|bond| bond.to.as_str()));
            } else if seen.insert(name) {
                open.push((name, true));
                let before = service.bonds.before.iter().rev();
                open.extend(before.map(|bond| (bond.to.as_str(), false)));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Service> {
        let at = self.services.binary_search_by(|service| service.name.as_str().cmp(name));
        at.ok().and_then(|at| self.services.get(at))
    }
}

#[cfg(test)]
mod tests;
