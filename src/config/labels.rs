//! From a container's labels to the service that it asks to be.
//!
//! Whoever writes labels writes for one container: what is wrong with them is told, and disables that
//! service alone.

use std::collections::BTreeMap;

use super::compose::{self, Compose};
use super::file::is_name;
use super::keys::{Key, Value};
use super::listen::ListenAddress;
use super::plan::Described;
use super::{Complaint, Level, Options, Origin, Role, Service};
use crate::engine::Listed;
use crate::port::Port;

/// All of our labels begin so.
const PREFIX: &str = "ondemand.";

/// What the labels themselves say by being there.
const OF_THE_CONTAINER: &[&str] = &["container", "engine", "unit"];

/// A label is written by whoever may make a container, which need not be whoever runs the daemon.
const ON_THE_HOST: &str = "a label runs no command on the host: ask in the container with exec:COMMAND, \
                           or the application with http:/path, or put it into the file";

/// Labels that are no keys.
const OWN: &[&str] = &["enable", "name"];

/// Whether a container asks to be a service.
pub(super) fn asks(labels: &BTreeMap<String, String>) -> bool {
    labels.get("ondemand.enable").is_some_and(|word| word.trim() != "false")
}

/// The service that the labels of a container of `engine` describe; `None` if they ask for none, and
/// everything that is wrong with them at once.
pub(super) fn read(
    listed: &Listed,
    engine: &str,
    defaults: &Options,
) -> Option<Result<Described, Vec<Complaint>>> {
    if !asks(&listed.labels) {
        return None;
    }
    let mut reading = Reading { listed, options: Options::default(), wrong: Vec::new() };
    let name = reading.labels();
    let home = compose::home(listed);
    let found_by = reading.compose(home);
    let Reading { mut options, mut wrong, .. } = reading;
    if options.port.is_empty() && options.map.is_empty() {
        options.port = ports_of(&options.listen);
    }
    options = options.or(defaults);
    options.engine = Some(engine.to_owned());
    options.container = Some(listed.name.to_string());
    options.compose = None;
    match Described::new(Some(&name), &options, Role::Clients) {
        Ok(described) if wrong.is_empty() => {
            let service = Service { origin: Origin::Labels, ..described.service };
            Some(Ok(Described { service, compose: found_by }))
        }
        Ok(_) => Some(Err(wrong)),
        Err(found) => {
            wrong.extend(
                found.into_iter().map(|found| {
                    complaint(listed, &format!("{PREFIX}{}: {}", found.key, found.text))
                }),
            );
            wrong.sort();
            wrong.dedup();
            Some(Err(wrong))
        }
    }
}

fn complaint(listed: &Listed, text: &str) -> Complaint {
    Complaint::new(Level::Warn, listed.name.as_str(), text)
}

struct Reading<'a> {
    listed: &'a Listed,
    options: Options,
    wrong: Vec<Complaint>,
}

impl Reading<'_> {
    fn wrong(&mut self, label: &str, text: &str) {
        self.wrong.push(complaint(self.listed, &format!("{label}: {text}")));
    }

    /// Takes all of them, and answers the service's name.
    fn labels(&mut self) -> String {
        let mut name = self.listed.name.to_string();
        let ours = self.listed.labels.iter();
        for (label, text) in ours.filter(|(label, _)| label.starts_with(PREFIX)) {
            let key = label.strip_prefix(PREFIX).unwrap_or_default();
            match key {
                "enable" if text.trim() == "true" => {}
                "enable" => self.wrong(label, &format!("{text:?} is neither true nor false")),
                "name" => text.trim().clone_into(&mut name),
                _ if OF_THE_CONTAINER.contains(&key) => self.wrong(
                    label,
                    "makes no sense in a label: the service is the container that bears it, of \
                     the engine that runs it; remove the label",
                ),
                _ if key == "listen" || key.starts_with("listen.") => {
                    let places = text.split(',').map(|place| place.trim().to_owned());
                    self.options.listen.extend(places);
                }
                _ => match Key::find(key) {
                    None => self.wrong(label, &unknown(key)),
                    Some(known) => {
                        let value = Value::Text(text.clone());
                        if key == "stop-condition" && text.trim_start().starts_with('/') {
                            self.wrong(label, ON_THE_HOST);
                        } else if let Err(error) = known.set(&mut self.options, &value) {
                            self.wrong(label, &error);
                        }
                    }
                },
            }
        }
        if !is_name(&name) {
            let text = format!(
                "{name:?} is no service's name: letters, digits, '_', '.' and '-', at most 64 of \
                 them, beginning with a letter or digit"
            );
            self.wrong("ondemand.name", &text);
        }
        name
    }

    /// A container of a compose project brings what its service depends on, unless it says itself
    /// what it depends on.
    fn compose(&mut self, home: Option<(&str, &str)>) -> Option<Compose> {
        let own = home.map(|(project, service)| Compose {
            project: project.to_owned(),
            service: Some(service.to_owned()),
        });
        let Some(text) = self.options.compose.clone() else {
            return own.filter(|_| self.options.depends_on.is_none());
        };
        match (Compose::parse(&text), own) {
            (Err(error), _) => self.wrong("ondemand.compose", &error),
            (Ok(said), Some(own)) if said.project == own.project => {
                if said.service.is_none() || said.service == own.service {
                    return Some(said);
                }
                self.wrong(
                    "ondemand.compose",
                    &format!("the container is of {own}, not of {said}"),
                );
            }
            (Ok(said), own) => {
                let own = own.map_or("no project".to_owned(), |own| own.project);
                self.wrong(
                    "ondemand.compose",
                    &format!("the container is of {own}, not of {said}"),
                );
            }
        }
        None
    }
}

fn unknown(key: &str) -> String {
    let meant = OWN
        .iter()
        .copied()
        .find(|own| own.starts_with(key) || key.starts_with(own))
        .or_else(|| Key::like(key).filter(|meant| !OF_THE_CONTAINER.contains(meant)));
    match meant {
        Some(meant) => format!("no such label; is {PREFIX}{meant} meant?"),
        None => "no such label; see docs/labels.md".to_owned(),
    }
}

/// The ports that the sockets are said to lead to, where nobody has listed them.
fn ports_of(listens: &[String]) -> Vec<Port> {
    let mut ports = Vec::new();
    for (place, port) in listens.iter().filter_map(|text| text.split_once("->")) {
        let number = port.trim().trim_end_matches("/tcp").trim_end_matches("/udp").parse();
        let (Ok(address), Ok(number @ 1..)) = (ListenAddress::parse(place.trim()), number) else {
            continue;
        };
        let port = Port { number, protocol: address.protocol() };
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::activation::Window;
    use crate::config::Condition;
    use crate::config::duration::IdleTimeout;
    use crate::engine::TargetName;

    fn listed(labels: &[(&str, &str)]) -> Listed {
        Listed {
            name: TargetName::container("shop-web-1").unwrap(),
            id: "53e6".to_owned(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            created: 0,
            ports: [].into(),
        }
    }

    fn service(labels: &[(&str, &str)]) -> Result<Described, Vec<String>> {
        let labels: Vec<_> = [("ondemand.enable", "true")].iter().chain(labels).copied().collect();
        read(&listed(&labels), "docker", &Options::default())
            .unwrap()
            .map_err(|wrong| wrong.iter().map(Complaint::to_string).collect())
    }

    #[test]
    fn only_who_asks_is_served() {
        let read = |labels: &[_]| read(&listed(labels), "docker", &Options::default());
        assert!(read(&[]).is_none());
        assert!(read(&[("ondemand.port", "80")]).is_none());
        assert!(read(&[("ondemand.enable", "false"), ("ondemand.port", "80")]).is_none());
        let odd = read(&[("ondemand.enable", "yes"), ("ondemand.port", "80")]).unwrap();
        assert!(odd.unwrap_err()[0].text.contains("\"yes\" is neither true nor false"));
    }

    #[test]
    fn every_key_is_a_label() {
        let found = service(&[
            ("ondemand.name", "web"),
            ("ondemand.port", "3000, 22"),
            ("ondemand.listen", "127.0.0.1:80->3000"),
            ("ondemand.listen.ssh", "2222->22"),
            ("ondemand.idle-timeout", "5m"),
            ("ondemand.depends-on", "db:healthy"),
        ])
        .unwrap()
        .service;
        assert_eq!((found.name.as_str(), found.origin), ("web", Origin::Labels));
        assert_eq!(found.settings.target.as_str(), "shop-web-1");
        assert_eq!(found.settings.engine, "docker");
        assert_eq!(found.settings.listen.len(), 2);
        assert_eq!(found.settings.policy.idle, Window::After(Duration::from_secs(300)));
        assert_eq!(found.bonds.before[0].until, Condition::Healthy);
    }

    #[test]
    fn ports_are_those_that_sockets_lead_to() {
        let found = service(&[
            ("ondemand.listen", "0.0.0.0:3000->3000"),
            ("ondemand.listen.dns", "udp:53->53/udp"),
        ]);
        assert_eq!(found.unwrap().service.settings.ports.all(), [Port::tcp(3000), Port::udp(53)]);
        let wrong = service(&[("ondemand.listen", "3000")]).unwrap_err();
        assert!(wrong[0].starts_with("shop-web-1: ondemand.port: is missing"), "{wrong:?}");
    }

    #[test]
    fn what_is_wrong_is_told_at_once_with_container_and_label() {
        let wrong = service(&[
            ("ondemand.port", "80"),
            ("ondemand.container", "other"),
            ("ondemand.idle_timeout", "5m"),
            ("ondemand.enabled", "true"),
            ("ondemand.ready", "perhaps"),
            ("ondemand.start-timeout", "soon\u{1b}"),
            ("ondemand.name", "../x"),
            ("ondemand.compose", "shop"),
        ])
        .unwrap_err();
        for words in [
            "ondemand.container: makes no sense",
            "ondemand.idle_timeout: no such label; is ondemand.idle-timeout meant?",
            "ondemand.enabled: no such label; is ondemand.enable meant?",
            "ondemand.ready: \"perhaps\" is none of",
            "ondemand.start-timeout: ",
            "ondemand.name: \"../x\" is no",
            "ondemand.compose: the container is of no project",
        ] {
            let told = format!("shop-web-1: {words}");
            assert!(wrong.iter().any(|text| text.starts_with(&told)), "{words}: {wrong:#?}");
        }
        assert_eq!(wrong.len(), 7, "{wrong:#?}");
    }

    #[test]
    fn a_container_of_compose_brings_its_dependencies_unless_it_names_its_own() {
        let home = [("com.docker.compose.project", "shop"), ("com.docker.compose.service", "web")];
        let with = |more: &[(&'static str, &'static str)]| {
            let all: Vec<_> =
                [("ondemand.port", "80")].iter().chain(&home).chain(more).copied().collect();
            service(&all).map(|described| described.compose.map(|compose| compose.to_string()))
        };
        assert_eq!(with(&[]), Ok(Some("shop/web".to_owned())));
        assert_eq!(with(&[("ondemand.compose", "shop")]), Ok(Some("shop".to_owned())));
        assert_eq!(with(&[("ondemand.depends-on", "")]), Ok(None));
        assert_eq!(with(&[("ondemand.depends-on", "db")]), Ok(None));
        assert!(with(&[("ondemand.compose", "shop/db")]).is_err());
        assert!(with(&[("ondemand.compose", "other")]).is_err());
    }

    /// What the documentation names is known, and what is known is named there.
    #[test]
    fn the_documentation_names_every_label() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/labels.md");
        let text = std::fs::read_to_string(path).unwrap();
        let ends = |c: char| !(c.is_ascii_lowercase() || c == '-' || c == '.');
        let named: std::collections::BTreeSet<&str> = text
            .match_indices(PREFIX)
            .map(|(at, _)| text[at + PREFIX.len()..].split(ends).next().unwrap_or_default())
            .collect();
        let known = |key: &&str| Key::find(key).is_some() || OWN.contains(key);
        let strange: Vec<_> =
            named.iter().filter(|key| !known(key) && !key.starts_with("listen.")).collect();
        assert!(strange.is_empty(), "{strange:?}");
        let example: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.trim().split_once(": ").filter(|(k, _)| k.starts_with(PREFIX)))
            .map(|(key, value)| (key, value.trim_matches('"')))
            .collect();
        assert_eq!(service(&example).unwrap().service.name, "shop");
        let keys = crate::config::keys::KEYS.iter().map(|key| key.name);
        let silent: Vec<_> = keys
            .chain(OWN.iter().copied())
            .filter(|key| !OF_THE_CONTAINER.contains(key) && !named.contains(key))
            .collect();
        assert!(silent.is_empty(), "{silent:?}");
    }

    #[test]
    fn the_operators_defaults_hold_for_labelled_services_too() {
        let defaults = Options {
            idle_timeout: Some(IdleTimeout::Fixed(Window::Never)),
            engine: Some("podman".to_owned()),
            ..Options::default()
        };
        let labels = [("ondemand.enable", "true"), ("ondemand.port", "80")];
        let found = read(&listed(&labels), "docker", &defaults).unwrap().unwrap().service;
        assert_eq!(found.settings.policy.idle, Window::Never);
        assert_eq!(found.settings.engine, "docker");
    }
}
