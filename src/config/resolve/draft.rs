//! The services while it is being found out what they need.

use std::collections::{BTreeMap, BTreeSet};

use super::Snapshots;
use super::entrances::Entrance;
use crate::config::compose::{self, Project, Projects};
use crate::config::listen::Spot;
use crate::config::{
    Bond, Complaint, Condition, Level, ListenAddress, Origin, Plan, Role, Service, Settings,
};
use crate::engine::{Listed, TargetName};

/// Services by their places, in the order in which they were found.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) snapshots: &'a Snapshots,
    pub(super) projects: BTreeMap<&'a str, Projects<'a>>,
    pub(super) nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    /// Who stands for a container, and on which engine, by the container's name.
    containers: BTreeMap<String, Vec<(String, usize)>>,
    /// Who listens where; Unix sockets have no port.
    listens: BTreeMap<Spot, Vec<(ListenAddress, usize)>>,
    /// Those that cannot be served.
    pub(super) dropped: BTreeSet<usize>,
    pub(super) complaints: BTreeSet<Complaint>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) service: Service,
    pub(super) why: Why,
    pub(super) before: Vec<Edge>,
    pub(super) beside: Vec<Edge>,
}

/// Why a service is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody has described it.
    Described,
    /// Others need its container.
    Needed,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) to: usize,
    pub(super) until: Condition,
    pub(super) optional: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(snapshots: &'a Snapshots) -> Self {
        let projects = snapshots.iter().map(|(word, of)| (word.as_str(), Projects::of(of)));
        Self {
            snapshots,
            projects: projects.collect(),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            containers: BTreeMap::new(),
            listens: BTreeMap::new(),
            dropped: BTreeSet::new(),
            complaints: BTreeSet::new(),
        }
    }

    pub(super) fn complain(&mut self, level: Level, about: &str, text: &str) {
        self.complaints.insert(Complaint::new(level, about, text));
    }

    /// Takes a service that somebody has described, under a name that nobody has.
    pub(super) fn add(&mut self, service: Service) -> usize {
        for listen in service.settings.listens() {
            let place = (listen.address.clone(), self.nodes.len());
            self.listens.entry(listen.address.spot()).or_default().push(place);
        }
        self.push(service, Why::Described)
    }

    fn push(&mut self, service: Service, why: Why) -> usize {
        let at = self.nodes.len();
        self.names.insert(service.name.clone(), at);
        self.nodes.push(Node { service, why, before: Vec::new(), beside: Vec::new() });
        self.register(at);
        at
    }

    /// Notes for which container a service stands, by the container's name, whatever it was written
    /// as.
    fn register(&mut self, at: usize) {
        let Settings { target, engine, .. } = &self.nodes[at].service.settings;
        let found = self.snapshots.get(engine).and_then(|of| of.find(target.as_str()));
        let name = found.map_or(target, |listed| &listed.name);
        self.containers.entry(name.to_string()).or_default().push((engine.clone(), at));
    }

    pub(super) fn by_name(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Who stands for the container. What `auto` is here nobody knows, so it may be any engine: one
    /// container must not be woken and put to sleep by two services.
    pub(super) fn by_container(&self, engine: &str, container: &str) -> Option<usize> {
        let all = self.containers.get(container)?;
        let exact = all.iter().find(|(word, _)| word == engine);
        let any = || all.iter().find(|(word, _)| word == "auto" || engine == "auto");
        exact.or_else(any).map(|(_, at)| *at)
    }

    /// Who listens where `service` would.
    pub(super) fn by_listen(&self, service: &Service) -> Option<(ListenAddress, usize)> {
        service.settings.listens().into_iter().find_map(|listen| {
            let taken = self.listens.get(&listen.address.spot())?;
            let (_, at) = taken.iter().find(|(address, _)| listen.address.clashes(address))?;
            Some((listen.address, *at))
        })
    }

    /// Leaves a service out, and with it those that need it.
    pub(super) fn drop(&mut self, at: usize) {
        self.dropped.insert(at);
    }

    /// Its container is known by now.
    pub(super) fn set_target(&mut self, at: usize, target: TargetName) {
        for places in self.containers.values_mut() {
            places.retain(|(_, other)| *other != at);
        }
        self.nodes[at].service.settings.target = target;
        self.register(at);
    }

    /// Ties the services to those that they name themselves.
    pub(super) fn tie_named(&mut self, plan: &Plan) {
        for at in 0..self.nodes.len() {
            let bonds = std::mem::take(&mut self.nodes[at].service.bonds);
            let composed = plan.compose.contains_key(&self.nodes[at].service.name);
            for bond in bonds.before {
                self.tie_by_name(at, &bond, composed, Kind::Before);
            }
            for bond in bonds.beside {
                self.tie_by_name(at, &bond, composed, Kind::Beside);
            }
        }
    }

    fn tie_by_name(&mut self, at: usize, bond: &Bond, composed: bool, kind: Kind) {
        let service = &self.nodes[at].service;
        let (origin, engine) = (service.origin, service.settings.engine.clone());
        // A member is called after its container, which may be another engine's.
        let described = |of: &usize| self.nodes[*of].why == Why::Described;
        let known = self.by_name(&bond.to).filter(described);
        let written = known.filter(|other| {
            origin == Origin::Operator && self.nodes[*other].service.origin == Origin::Operator
        });
        // In a compose file a service is named as it is there.
        let neighbour = || {
            let found = self.neighbour(at, &bond.to)?;
            (composed || origin == Origin::Labels).then_some(found)
        };
        let mut new = Vec::new();
        let to = match (written, neighbour(), known) {
            (Some(written), ..) => Some(written),
            (None, Some(listed), _) => Some(self.stand_in(&engine, listed, &mut new)),
            (None, None, Some(known)) => Some(known),
            (None, None, None) => self.plain_member(at, &engine, bond),
        };
        if let Some(to) = to {
            self.tie(at, Edge { to, until: bond.until, optional: bond.optional }, kind);
        }
        self.follow(&engine, new);
    }

    /// The container of another service of the same compose project.
    fn neighbour(&self, at: usize, service: &str) -> Option<&'a Listed> {
        let Settings { target, engine, .. } = &self.nodes[at].service.settings;
        let listed = self.snapshots.get(engine)?.find(target.as_str())?;
        let (project, _) = compose::home(listed)?;
        self.projects.get(engine.as_str())?.get(project)?.first(service)
    }

    /// A container that is named as such, whether it is there or not.
    fn plain_member(&mut self, at: usize, engine: &str, bond: &Bond) -> Option<usize> {
        let mut name = TargetName::container(&bond.to).ok()?;
        if let Some(snapshot) = self.snapshots.get(engine) {
            match snapshot.find(&bond.to) {
                Some(listed) => name = listed.name.clone(),
                None if bond.optional => {}
                None => {
                    let about = self.nodes[at].service.name.clone();
                    let text = format!(
                        "needs {name}, and there is neither a service nor a container of that \
                         name: create it, or mend depends-on or with"
                    );
                    self.complain(Level::Warn, &about, &text);
                }
            }
        }
        let known = self.by_container(engine, name.as_str());
        known.or_else(|| Some(self.member(engine, name)))
    }

    /// Who stands for a container of a project; a member that is new is put into `new`.
    pub(super) fn stand_in(
        &mut self,
        engine: &str,
        listed: &'a Listed,
        new: &mut Vec<(usize, &'a Listed)>,
    ) -> usize {
        self.by_container(engine, listed.name.as_str()).unwrap_or_else(|| {
            let at = self.member(engine, listed.name.clone());
            new.push((at, listed));
            at
        })
    }

    fn member(&mut self, engine: &str, target: TargetName) -> usize {
        let mut name = target.to_string();
        while self.names.contains_key(&name) {
            name.push_str("-member");
        }
        let settings = Settings::of_member(target, engine.to_owned());
        let service = Service { role: Role::Member, ..Service::alone(name, settings) };
        self.push(service, Why::Needed)
    }

    /// Ties an entrance to what its compose project says that it needs.
    pub(super) fn tie_composed(&mut self, entrance: &Entrance<'a>) {
        let Entrance { at, listed, whole } = entrance;
        let engine = self.nodes[*at].service.settings.engine.clone();
        let mut new = vec![(*at, *listed)];
        self.tell_unknown(*at, &engine, listed);
        if let (Some((project, service)), true) = (compose::home(listed), *whole) {
            let companions: Vec<&'a Listed> = self
                .projects
                .get(engine.as_str())
                .and_then(|projects| projects.get(project))
                .map(|project| {
                    let all = project.companions(service).into_iter();
                    all.filter_map(|companion| project.first(companion)).collect()
                })
                .unwrap_or_default();
            self.tie_all(*at, &engine, companions, Kind::Beside, &mut new);
        }
        self.follow(&engine, new);
    }

    /// The first version of compose, and others of its kind, write no dependencies down.
    fn tell_unknown(&mut self, at: usize, engine: &str, listed: &Listed) {
        let Some((project, _)) = compose::home(listed) else { return };
        let project = self.projects.get(engine).and_then(|projects| projects.get(project));
        if project.is_some_and(Project::has_others) && !compose::knows_dependencies(listed) {
            let about = self.nodes[at].service.name.clone();
            let text = format!(
                "what made container {} has not written down what it depends on (compose does so \
                 since version 2): if it needs others, name them with depends-on",
                listed.name
            );
            self.complain(Level::Info, &about, &text);
        }
    }

    /// Ties members to what their compose project says that they need, until nobody is new.
    fn follow(&mut self, engine: &str, mut new: Vec<(usize, &'a Listed)>) {
        while let Some((at, listed)) = new.pop() {
            let Some((project_name, service)) = compose::home(listed) else { continue };
            let Some(projects) = self.projects.get(engine) else { continue };
            let Some(project) = projects.get(project_name) else { continue };
            let replicas = project.replicas(service);
            let others: Vec<&'a Listed> = match replicas.split_first() {
                Some((first, others)) if first.name == listed.name => others.to_vec(),
                Some(_) | None => Vec::new(),
            };
            let needs: Vec<_> = compose::dependencies(listed)
                .into_iter()
                .map(|(name, until)| (name, until, project.first(name)))
                .collect();
            for (name, until, found) in needs {
                let Some(found) = found else {
                    let about = self.nodes[at].service.name.clone();
                    let text = format!(
                        "{project_name}/{name}, on which compose says that it depends, has no \
                         container: done without"
                    );
                    self.complain(Level::Debug, &about, &text);
                    continue;
                };
                let to = self.stand_in(engine, found, &mut new);
                self.tie(at, Edge { to, until, optional: false }, Kind::Before);
            }
            self.tie_all(at, engine, others, Kind::Beside, &mut new);
        }
    }

    fn tie_all(
        &mut self,
        at: usize,
        engine: &str,
        others: Vec<&'a Listed>,
        kind: Kind,
        new: &mut Vec<(usize, &'a Listed)>,
    ) {
        for listed in others {
            let to = self.stand_in(engine, listed, new);
            self.tie(at, Edge { to, until: Condition::Started, optional: false }, kind);
        }
    }

    /// One edge between two is enough: what is needed before is not beside, and of two conditions
    /// the stronger one holds.
    fn tie(&mut self, at: usize, edge: Edge, kind: Kind) {
        let Node { before, beside, .. } = &mut self.nodes[at];
        let known = before.iter_mut().find(|known| known.to == edge.to);
        match (kind, known) {
            (Kind::Before, Some(known)) => {
                known.until = stronger(known.until, edge.until);
                known.optional &= edge.optional;
            }
            (Kind::Before, None) => {
                beside.retain(|known| known.to != edge.to);
                before.push(edge);
            }
            (Kind::Beside, None) if beside.iter().all(|known| known.to != edge.to) => {
                beside.push(edge);
            }
            (Kind::Beside, _) => {}
        }
    }
}

/// How an edge is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Before,
    Beside,
}

fn stronger(one: Condition, other: Condition) -> Condition {
    match (one, other) {
        (Condition::Completed, _) | (_, Condition::Completed) => Condition::Completed,
        (Condition::Healthy, _) | (_, Condition::Healthy) => Condition::Healthy,
        (Condition::Started, Condition::Started) => Condition::Started,
    }
}
