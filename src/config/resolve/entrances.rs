//! Which container clients of a compose project reach, and which containers ask to be services.

use super::draft::Draft;
use crate::config::compose::{self, Certainty, Compose};
use crate::config::plan::Described;
use crate::config::{Level, Options, Origin, Service, labels};
use crate::engine::Listed;

/// A service that is found by its compose project, and the container that it is.
#[derive(Debug)]
pub(super) struct Entrance<'a> {
    pub(super) at: usize,
    pub(super) listed: &'a Listed,
    /// Whether the whole project is awake with it.
    pub(super) whole: bool,
}

impl<'a> Draft<'a> {
    /// The container of a service that was written down with `compose`. If none is found the service
    /// keeps the name that compose would give it, and so its port.
    pub(super) fn find_entrance(&mut self, name: &str, wish: &Compose) -> Option<Entrance<'a>> {
        let at = self.by_name(name)?;
        let engine = self.nodes[at].service.settings.engine.clone();
        self.snapshots.get(&engine)?;
        match self.wished(at, &engine, wish) {
            Err(text) => {
                self.complain(Level::Warn, name, &text);
                None
            }
            Ok((listed, certainty)) => {
                if certainty == Certainty::Guessed {
                    let text = format!(
                        "clients of the compose project {wish} are led to {}, as no other service \
                         depends on it: if they mean another one, name that with container",
                        listed.name
                    );
                    self.complain(Level::Info, name, &text);
                }
                let taken = self.by_container(&engine, listed.name.as_str());
                if let Some(other) = taken.filter(|other| *other != at) {
                    let other = &self.nodes[other].service.name;
                    let text = format!(
                        "{wish} is container {}, as {other} is: one service may have several ports",
                        listed.name
                    );
                    self.complain(Level::Warn, name, &text);
                    self.drop(at);
                    return None;
                }
                self.set_target(at, listed.name.clone());
                Some(Entrance { at, listed, whole: wish.service.is_none() })
            }
        }
    }

    fn wished(
        &self,
        at: usize,
        engine: &str,
        wish: &Compose,
    ) -> Result<(&'a Listed, Certainty), String> {
        let known = |listed| (listed, Certainty::Known);
        let settings = &self.nodes[at].service.settings;
        let Some(project) = self.projects.get(engine).and_then(|of| of.get(&wish.project)) else {
            return Err(format!(
                "there is no container of the compose project {}: create them (docker compose up \
                 --no-start)",
                wish.project
            ));
        };
        if let Some(service) = &wish.service {
            return project.first(service).map(known).ok_or_else(|| {
                format!("there is no container of {wish}: create it (docker compose up --no-start)")
            });
        }
        let named = self.snapshots.get(engine).and_then(|of| of.find(settings.target.as_str()));
        if let Some(named) = named
            && compose::home(named).is_some_and(|(project, _)| project == wish.project)
        {
            return Ok(known(named));
        }
        if settings.target.as_str() != wish.conventional() {
            return Err(format!(
                "container {} is none of the compose project {}",
                settings.target, wish.project
            ));
        }
        project.entrance(settings.ports.all()).map_err(|candidates| {
            format!(
                "clients of the compose project {wish} may mean each of {}: say which, with \
                 compose = \"{wish}/SERVICE\" for it and what it needs, or with container for the \
                 whole project",
                candidates.join(", ")
            )
        })
    }

    /// Takes the services that the containers of an engine ask to be, the older ones first, as far
    /// as nobody else is in the way.
    pub(super) fn add_labelled(&mut self, engine: &str, defaults: &Options) -> Vec<Entrance<'a>> {
        let snapshots = self.snapshots;
        let Some(snapshot) = snapshots.get(engine) else { return Vec::new() };
        let asks = |listed: &&Listed| labels::asks(&listed.labels);
        let mut asking: Vec<&'a Listed> = snapshot.containers.iter().filter(asks).collect();
        asking.sort_by_key(|listed| (listed.created, &listed.name));
        let mut entrances = Vec::new();
        for listed in asking {
            let Described { service, compose } = match labels::read(listed, engine, defaults) {
                None => continue,
                Some(Ok(described)) => described,
                Some(Err(wrong)) => {
                    for complaint in wrong {
                        self.complain(complaint.level, &complaint.about, &complaint.text);
                    }
                    continue;
                }
            };
            if let Some((level, text)) = self.in_the_way(engine, listed, &service) {
                self.complain(level, listed.name.as_str(), &text);
                continue;
            }
            let at = self.add(service);
            let whole = compose.as_ref().is_some_and(|compose| compose.service.is_none());
            entrances.extend(compose.map(|_| Entrance { at, listed, whole }));
        }
        entrances
    }

    /// Why a container is not served though it asks for it.
    fn in_the_way(
        &self,
        engine: &str,
        listed: &Listed,
        service: &Service,
    ) -> Option<(Level, String)> {
        if let Some((project, name)) = compose::home(listed) {
            let first = self.projects.get(engine).and_then(|of| of.get(project)?.first(name));
            if let Some(first) = first.filter(|first| first.name != listed.name) {
                let text = format!(
                    "one of several containers of {project}/{name}: clients are led to {}",
                    first.name
                );
                return Some((Level::Debug, text));
            }
        }
        let (at, what, mend) = if let Some(at) = self.by_container(engine, listed.name.as_str()) {
            (at, "its container".to_owned(), "remove one of the two")
        } else if let Some(at) = self.by_name(&service.name) {
            (at, format!("the name {}", service.name), "give one of the two another ondemand.name")
        } else {
            let (address, at) = self.by_listen(service)?;
            (
                at,
                format!("where it would listen, {address},"),
                "give one of the two another ondemand.listen",
            )
        };
        let other = &self.nodes[at].service;
        Some(match other.origin {
            Origin::Operator => {
                (Level::Info, format!("left out: {what} is that of the configured {}", other.name))
            }
            Origin::Labels => {
                let theirs = &other.settings.target;
                let text =
                    format!("left out: {what} is that of the older container {theirs}: {mend}");
                (Level::Warn, text)
            }
        })
    }
}
