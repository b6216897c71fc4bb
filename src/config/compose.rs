//! `--compose`, and the compose projects of an engine as their labels tell them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Condition;
use crate::engine::{Listed, Snapshot, TargetName};
use crate::port::Port;

/// The labels that compose writes (compose's `pkg/api/labels.go`). Its first version wrote no
/// dependencies.
pub(super) const PROJECT: &str = "com.docker.compose.project";
pub(super) const SERVICE: &str = "com.docker.compose.service";
const NUMBER: &str = "com.docker.compose.container-number";
const ONE_OFF: &str = "com.docker.compose.oneoff";
const DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// A service of a compose project, or a whole project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compose {
    /// The project.
    pub project: String,
    /// The service in it; `None` is all of them.
    pub service: Option<String>,
}

impl Compose {
    /// Understands `PROJECT/SERVICE` and `PROJECT`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |_| {
            format!(
                "{text:?} is neither PROJECT/SERVICE nor PROJECT, like \"shop/web\" or \"shop\""
            )
        };
        let word = |word: &str| TargetName::container(word.trim()).map(|name| name.to_string());
        let (project, service) = match text.split_once('/') {
            None => (text, None),
            Some((project, service)) => (project, Some(word(service).map_err(bad)?)),
        };
        Ok(Self { project: word(project).map_err(bad)?, service })
    }

    /// What compose calls the container unless it is told otherwise. A whole project has no such
    /// name: until its entrance is known, one stands for it that nobody gives a container.
    pub(super) fn conventional(&self) -> String {
        match &self.service {
            Some(service) => format!("{}-{service}-1", self.project),
            None => format!("{}.entrance-not-known", self.project),
        }
    }

    /// What the service is called if nobody says so.
    pub(super) fn name(&self) -> &str {
        self.service.as_ref().unwrap_or(&self.project)
    }
}

impl fmt::Display for Compose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "{}/{service}", self.project),
            None => f.write_str(&self.project),
        }
    }
}

/// How much is known of an entrance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// There is no other, or it has the port.
    Known,
    /// Nobody depends on it, and its ports are not known.
    Guessed,
}

/// The projects of an engine, by their names.
#[derive(Debug, Default)]
pub(super) struct Projects<'a>(BTreeMap<&'a str, Project<'a>>);

/// The services of a project by their names, each with its containers, the one that is reached
/// first.
#[derive(Debug, Default)]
pub(super) struct Project<'a>(BTreeMap<&'a str, Vec<&'a Listed>>);

impl<'a> Projects<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let mut projects = Self::default();
        for listed in &snapshot.containers {
            let Some((project, service)) = home(listed) else { continue };
            projects.0.entry(project).or_default().0.entry(service).or_default().push(listed);
        }
        let replicas = projects.0.values_mut().flat_map(|project| project.0.values_mut());
        for replicas in replicas {
            replicas.sort_by_key(|listed| (number(listed), &listed.name));
        }
        projects
    }

    pub(super) fn get(&self, project: &str) -> Option<&Project<'a>> {
        self.0.get(project)
    }
}

impl<'a> Project<'a> {
    /// The containers of a service.
    pub(super) fn replicas(&self, service: &str) -> &[&'a Listed] {
        self.0.get(service).map_or(&[], Vec::as_slice)
    }

    /// The container of a service that is reached.
    pub(super) fn first(&self, service: &str) -> Option<&'a Listed> {
        self.replicas(service).first().copied()
    }

    /// The service through which clients come: the only one on which no other depends. Of several,
    /// the only one that is known to have one of `ports`. Otherwise those that may be meant.
    pub(super) fn entrance(&self, ports: &[Port]) -> Result<(&'a Listed, Certainty), Vec<&'a str>> {
        let needed: BTreeSet<&str> = self.0.keys().flat_map(|name| self.needs(name)).collect();
        let known = |listed: &&Listed| !listed.ports.is_empty();
        let has = |listed: &&Listed| ports.iter().any(|port| listed.ports.contains(port));
        let mut candidates: Vec<(&'a str, &'a Listed)> = Vec::new();
        for (name, replicas) in self.0.iter().filter(|(name, _)| !needed.contains(*name)) {
            let Some(first) = replicas.first() else { continue };
            if !known(first) || has(first) {
                candidates.push((name, first));
            }
        }
        let sure: Vec<_> = candidates.iter().filter(|(_, listed)| has(listed)).collect();
        match (&candidates[..], &sure[..]) {
            (_, [(_, only)]) => Ok((only, Certainty::Known)),
            ([(_, only)], _) if !self.has_others() => Ok((only, Certainty::Known)),
            ([(_, only)], _) => Ok((only, Certainty::Guessed)),
            ([], _) => Err(self.0.keys().copied().collect()),
            (several, _) => Err(several.iter().map(|(name, _)| *name).collect()),
        }
    }

    /// The services that are awake with the whole project and that neither `entrance` nor another
    /// of them needs.
    pub(super) fn companions(&self, entrance: &str) -> Vec<&'a str> {
        let mut needed = BTreeSet::from([entrance]);
        let mut open = vec![entrance];
        while let Some(service) = open.pop() {
            open.extend(self.needs(service).filter(|other| needed.insert(other)));
        }
        let rest: Vec<&'a str> =
            self.0.keys().copied().filter(|service| !needed.contains(service)).collect();
        let by_rest: BTreeSet<&str> = rest.iter().flat_map(|service| self.needs(service)).collect();
        rest.into_iter().filter(|service| !by_rest.contains(service)).collect()
    }

    /// Whether there are others than one service.
    pub(super) fn has_others(&self) -> bool {
        self.0.len() > 1
    }

    /// What a service depends on, as far as it is there.
    fn needs(&self, service: &str) -> impl Iterator<Item = &'a str> {
        let needs = self.first(service).map(dependencies).unwrap_or_default();
        let there = |(name, _)| self.0.get_key_value(name).map(|(name, _)| *name);
        needs.into_iter().filter_map(there).collect::<Vec<_>>().into_iter()
    }
}

/// The project and the service that a container is of; what `compose run` has made is of none.
pub(super) fn home(listed: &Listed) -> Option<(&str, &str)> {
    let label = |name: &str| listed.labels.get(name).map(String::as_str);
    let word = |text: &&str| TargetName::container(text).is_ok();
    if label(ONE_OFF).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return None;
    }
    Some((label(PROJECT).filter(word)?, label(SERVICE).filter(word)?))
}

/// What a container's service depends on: `db:service_healthy:false,cache:service_started:true`,
/// the last word being about restarts. A condition that is not known is as good as none.
pub(super) fn dependencies(listed: &Listed) -> Vec<(&str, Condition)> {
    let text = listed.labels.get(DEPENDS_ON).map_or("", String::as_str);
    text.split(',')
        .filter_map(|dependency| {
            let mut words = dependency.split(':').map(str::trim);
            let name = words.next().filter(|name| !name.is_empty())?;
            let condition = words.next().and_then(Condition::parse).unwrap_or_default();
            Some((name, condition))
        })
        .collect()
}

/// Whether compose has written down what the container's service depends on, be it nothing.
pub(super) fn knows_dependencies(listed: &Listed) -> bool {
    listed.labels.contains_key(DEPENDS_ON)
}

/// Those without a number come last.
fn number(listed: &Listed) -> u32 {
    listed.labels.get(NUMBER).and_then(|text| text.trim().parse().ok()).unwrap_or(u32::MAX)
}
