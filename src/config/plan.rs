//! The whole configuration of a process: its own options and its services.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::clashes::Taken;
use super::control::{Control, OfMany};
use super::file::{self, DaemonOptions, File, Problem};
use super::groups::Groups;
use super::keys::Key;
use super::{Bonds, Compose, ConfigErrors, LogFormat, Options, Settings, Wrong};
use crate::engine::check_labels_word;

/// A service and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in logs, and in the file.
    pub name: String,
    /// What it is.
    pub settings: Settings,
    /// What it is there for.
    pub role: Role,
    /// Who wants it.
    pub origin: Origin,
    /// Which other services are awake with it.
    pub bonds: Bonds,
}

/// What a service is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Clients of its own; it may be a dependency of others, too.
    Clients,
    /// Others that need it: it has no port.
    Member,
    /// Others that need it to have run to its end once; it has no port.
    OneShot,
}

/// Where a service was described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// On the command line or in the file.
    Operator,
    /// By the labels of a container, or of the compose project it is in.
    Labels,
}

impl Service {
    /// One that clients use, as the operator has described it, and that stands alone.
    pub fn alone(name: String, settings: Settings) -> Self {
        let (role, origin) = (Role::Clients, Origin::Operator);
        Self { name, settings, role, origin, bonds: Bonds::default() }
    }
}

/// Everything a process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How long connections may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Exit after all services have slept unused for this long.
    pub exit_idle_time: Option<Duration>,
    /// Threads that carry bytes.
    pub threads: u16,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Where the admin interface listens, if there is one.
    pub control: Control,
    /// The group that may use it, beside its owner: a name or a number.
    pub control_group: Option<String>,
    /// Where the history is kept, if somebody has said so: a path, or `none`.
    pub history: Option<PathBuf>,
    /// Those that are written down, in the order of their names; at least one, unless labels may
    /// bring some. What they need beside each other [`resolve`](super::resolve::resolve) finds.
    pub services: Vec<Service>,
    /// Those of them that are found by their compose project, by their names.
    pub compose: BTreeMap<String, Compose>,
    /// The engines whose containers' labels are obeyed, by their `--engine` words.
    pub labels: Vec<String>,
    /// What holds for labelled services that do not say it.
    pub defaults: Options,
    /// Where it was read from.
    pub file: Option<PathBuf>,
}

/// What the command line says beside the options of a service.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--config`
    pub file: Option<PathBuf>,
    /// What outranks the file.
    pub daemon: DaemonOptions,
}

impl Plan {
    /// The engines whose containers have to be known, by their `--engine` words.
    pub fn discovered(&self) -> BTreeSet<&str> {
        let composed = |service: &&Service| self.compose.contains_key(&service.name);
        let by_compose = self.services.iter().filter(composed);
        let engines = by_compose.map(|service| service.settings.engine.as_str());
        self.labels.iter().map(String::as_str).chain(engines).collect()
    }

    /// The plan of a command line: of the file it names, or of the one service it describes.
    pub fn new(given: Given, options: &Options) -> Result<Self, ConfigErrors> {
        match &given.file {
            None => Self::of_one(given, options),
            Some(path) => {
                let file = file::read(path).map_err(|problems| ConfigErrors::of(&problems))?;
                Self::of_file(given, &file).map_err(|problems| ConfigErrors::of(&problems))
            }
        }
    }

    fn of_one(given: Given, options: &Options) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        if given.daemon.exit_idle_time.is_some() && !options.listen.is_empty() {
            errors.push(
                "--exit-idle-time: needs sockets from systemd, which would start the daemon \
                 again; with --listen nobody would: remove one of the two"
                    .to_owned(),
            );
        }
        for word in &given.daemon.labels {
            errors.extend(
                check_labels_word(word).map_err(|error| format!("--labels: {error}")).err(),
            );
        }
        errors.extend(labels_outlive(&given.daemon).map(|wrong| wrong.to_string()));
        let described = options.said().iter().any(|key| Key::OF_ONE_CONTAINER.contains(key));
        if !given.daemon.labels.is_empty() && !described {
            let plan = Self::with(given, &DaemonOptions::default(), Vec::new());
            let defaults = options.clone();
            return if errors.is_empty() {
                Ok(Self { defaults, ..plan })
            } else {
                Err(ConfigErrors(errors))
            };
        }
        let names_itself = |list: &[String]| {
            let name = |text: &String| text.split(':').next().map(str::to_owned);
            options.container.is_some() && list.iter().any(|text| name(text) == options.container)
        };
        let lists = [("depends-on", options.depends_on.as_deref()), ("with", Some(&*options.with))];
        for (key, list) in lists {
            if names_itself(list.unwrap_or_default()) {
                errors.push(format!("--{key}: names the container itself: remove it"));
            }
        }
        match Described::new(None, options, Role::Clients) {
            Ok(described) if errors.is_empty() => {
                Ok(Self::with(given, &DaemonOptions::default(), vec![described]))
            }
            Ok(_) => Err(ConfigErrors(errors)),
            Err(wrong) => {
                errors.extend(ConfigErrors::of(&wrong).0);
                Err(ConfigErrors(errors))
            }
        }
    }

    pub(super) fn of_file(given: Given, file: &File) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut described: Vec<Described> = Vec::new();
        let mut taken = Taken::default();
        let mut groups = Groups::of(&file.services, &mut problems);
        for (name, written) in &file.services {
            let role = groups.roles.get(name.as_str()).copied();
            match Described::new(Some(name), &written.options, role.unwrap_or(Role::Clients)) {
                Err(wrong) => problems.extend(wrong.into_iter().map(|wrong| {
                    let alone = if wrong.key == "port" && written.options.port.is_empty() {
                        "; only a service that another one names in depends-on or with needs none"
                    } else {
                        ""
                    };
                    Problem {
                        place: written.place_of(wrong.key).clone(),
                        text: format!("services.{name}.{}: {}{alone}", wrong.key, wrong.text),
                    }
                })),
                Ok(mut new) => {
                    new.service.bonds = groups.bonds.remove(name.as_str()).unwrap_or_default();
                    for (key, text) in taken.take(&new) {
                        let place = written.place_of(key).clone();
                        problems.push(Problem { place, text: format!("services.{name}: {text}") });
                    }
                    described.push(new);
                }
            }
        }
        let whole = |text: String| {
            let file = given.file.clone().unwrap_or_default();
            Problem { place: file::Place { file, line: 0 }, text }
        };
        let daemon = given.daemon.clone().or(&file.daemon);
        for word in &given.daemon.labels {
            problems.extend(
                check_labels_word(word).map_err(|error| whole(format!("--labels: {error}"))).err(),
            );
        }
        problems.extend(labels_outlive(&daemon).map(|wrong| whole(wrong.to_string())));
        if file.services.is_empty() && daemon.labels.is_empty() && problems.is_empty() {
            problems.push(whole(
                "no service in it: add [services.NAME] with a port, or let containers describe \
                 themselves, with labels = [\"docker\"] under [daemon]"
                    .to_owned(),
            ));
        }
        if problems.is_empty() {
            let plan = Self::with(given, &file.daemon, described);
            Ok(Self { defaults: file.defaults.clone(), ..plan })
        } else {
            problems.sort();
            problems.dedup();
            Err(problems)
        }
    }

    fn with(given: Given, file: &DaemonOptions, described: Vec<Described>) -> Self {
        let Given { file: path, daemon } = given;
        let daemon = daemon.or(file);
        // Labels may bring many.
        let one = path.is_none() && daemon.labels.is_empty();
        let of_many = if one { OfMany::No } else { OfMany::Yes };
        let mut compose = BTreeMap::new();
        let mut services = Vec::new();
        for of in described {
            if let Some(found) = of.compose {
                compose.insert(of.service.name.clone(), found);
            }
            services.push(of.service);
        }
        Self {
            drain_timeout: daemon.drain_timeout.unwrap_or(super::default::DRAIN),
            exit_idle_time: daemon.exit_idle_time,
            threads: daemon.threads.unwrap_or(1),
            log_format: daemon.log_format.unwrap_or(LogFormat::Auto),
            control: Control::new(daemon.control, of_many),
            control_group: daemon.control_group,
            history: daemon.history,
            services,
            compose,
            labels: daemon.labels,
            defaults: Options::default(),
            file: path,
        }
    }
}

/// A service as it is written down, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) service: Service,
    /// Where its container is to be found.
    pub(super) compose: Option<Compose>,
}

impl Described {
    /// Checks all of it; `name` is by default that of what it is found by.
    pub(super) fn new(
        name: Option<&str>,
        options: &Options,
        role: Role,
    ) -> Result<Self, Vec<Wrong>> {
        let settings = match role {
            Role::Clients => Settings::new(options),
            Role::Member | Role::OneShot => Settings::without_clients(options),
        };
        let (settings, bonds) = match (settings, Bonds::parse(options)) {
            (Ok(settings), Ok(bonds)) => (settings, bonds),
            (settings, bonds) => {
                let wrong = [settings.err(), bonds.err()];
                return Err(wrong.into_iter().flatten().flatten().collect());
            }
        };
        let compose = options.compose.as_deref().and_then(|text| Compose::parse(text).ok());
        let found_by = compose.as_ref().map_or(settings.target.as_str(), Compose::name);
        let name = name.unwrap_or(found_by).to_owned();
        Ok(Self { service: Service { role, bonds, ..Service::alone(name, settings) }, compose })
    }
}

/// Nobody would start the daemon again for the sockets of labelled services.
fn labels_outlive(daemon: &DaemonOptions) -> Option<Wrong> {
    (daemon.exit_idle_time.is_some() && !daemon.labels.is_empty()).then(|| {
        Wrong::new(
            "exit-idle-time",
            "needs sockets from systemd, which would start the daemon again, and services from \
             labels have none: remove it, or labels",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, Vec<String>> {
        let texts = [("c.toml".into(), text.to_owned())];
        let say = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect();
        let file = file::parse(&texts).map_err(say)?;
        Plan::of_file(Given::default(), &file).map_err(say)
    }

    #[test]
    fn what_a_service_lacks_or_has_wrong_is_told_with_its_line() {
        let found =
            plan("[services.a]\n\n[services.b]\nport = 80\nready = \"perhaps\"\n").unwrap_err();
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].starts_with("c.toml:1: services.a.port: is missing"), "{found:#?}");
        assert!(found[1].starts_with("c.toml:5: services.b.ready: \"perhaps\""), "{found:#?}");
    }

    #[test]
    fn two_services_in_one_place_are_told() {
        let found = plan(
            "[services.a]\nport = 80\nlisten = \"127.0.0.1:8080\"\n\
             [services.b]\nport = 80\nlisten = \"8080\"\n\
             [services.c]\ncontainer = \"a\"\nport = 81\n",
        )
        .unwrap_err();
        assert!(found[0].starts_with("c.toml:6: services.b: listens on 8080, as services.a"));
        assert!(found[1].starts_with("c.toml:8: services.c: is container a, as services.a"));
        assert_eq!(found.len(), 2, "{found:#?}");
        // Another address, or another protocol, is another place.
        let fine = plan(
            "[services.a]\nport = 80\nlisten = \"127.0.0.1:8080\"\n\
             [services.b]\nport = 80\nlisten = \"127.0.0.2:8080\"\n\
             [services.c]\nport = \"80/udp\"\nlisten = \"udp:8080\"\n",
        );
        assert_eq!(fine.unwrap().services.len(), 3);
    }

    #[test]
    fn a_service_without_a_port_is_there_for_others_or_wrong() {
        let fine = plan(
            "[services.web]\nport = 80\ndepends-on = [\"db:healthy\", \"init:completed\"]\n\
             with = \"job\"\n[services.db]\n[services.init]\n[services.job]\ncontainer = \"j\"\n",
        );
        let roles: Vec<_> =
            fine.unwrap().services.into_iter().map(|of| (of.name, of.role)).collect();
        let expected = [
            ("db", Role::Member),
            ("init", Role::OneShot),
            ("job", Role::Member),
            ("web", Role::Clients),
        ];
        assert_eq!(roles, expected.map(|(name, role)| (name.to_owned(), role)));
        let found = plan("[services.web]\nport = 80\n[services.db]\n").unwrap_err();
        assert!(
            found[0].contains("services.db.port: is missing") && found[0].contains("depends-on")
        );
        let found = plan(
            "[services.web]\nport = 80\ndepends-on = \"db\"\n[services.db]\nlisten = \"1\"\n\
             [services.job]\nport = 81\ndepends-on = \"db:completed\"\n\
             [services.x]\nport = 82\ndepends-on = \"web:completed\"\n",
        )
        .unwrap_err();
        let told = |words: &str| found.iter().any(|text| text.starts_with(words));
        assert!(told("c.toml:5: services.db.listen: leads to a port"), "{found:#?}");
        assert!(
            told("c.toml:3: services.web.depends-on: db is to complete for some"),
            "{found:#?}"
        );
        assert!(told("c.toml:11: services.x.depends-on: web has a port"), "{found:#?}");
    }

    #[test]
    fn circles_are_told_with_their_lines_and_all_at_once() {
        let found = plan(
            "[services.web]\nport = 80\ndepends-on = \"pg\"\n\
             [services.db]\ncontainer = \"pg\"\ndepends-on = \"web\"\n\
             [services.a]\nport = 81\ndepends-on = \"a\"\nready = \"perhaps\"\n\
             [services.b]\nport = 82\ndepends-on = \"job\"\nwith = \"jobs\"\n\
             [services.job]\ncontainer = \"jobs\"\n",
        )
        .unwrap_err();
        let told = |words: &str| found.iter().any(|text| text.starts_with(words));
        assert!(told("c.toml:6: services.db.depends-on: a circle, db -> web -> db"), "{found:#?}");
        assert!(told("c.toml:9: services.a.depends-on: a circle, a -> a"), "{found:#?}");
        assert!(told("c.toml:10: services.a.ready"), "{found:#?}");
        assert!(told("c.toml:14: services.b.with: job is in depends-on, too"), "{found:#?}");
        let fine =
            "[services.web]\nport = 80\nwith = \"job\"\n[services.job]\ndepends-on = \"web\"\n";
        assert_eq!(plan(fine).unwrap().services.len(), 2);
    }

    #[test]
    fn compose_stands_instead_of_a_container_or_beside_the_one_clients_reach() {
        let found = plan(
            "[services.a]\ncompose = \"p/a\"\nport = 1\n[services.b]\ncompose = \"p\"\nport = 2\n\
             [services.c]\ncompose = \"q\"\ncontainer = \"x\"\nport = 3\n",
        )
        .unwrap();
        let targets: Vec<_> = found.services.iter().map(|of| of.settings.target.as_str()).collect();
        assert_eq!(targets, ["p-a-1", "p.entrance-not-known", "x"]);
        assert_eq!(found.compose.len(), 3);
        assert_eq!(found.discovered(), ["auto"].into());
        let wrong = plan("[services.a]\ncompose = \"p/a\"\ncontainer = \"x\"\nport = 1\n");
        assert!(wrong.unwrap_err()[0].starts_with("c.toml:3: services.a.container: compose names"));
        let wrong = plan("[services.a]\ncompose = \"p/a/b\"\nport = 1\n").unwrap_err();
        assert!(wrong[0].starts_with("c.toml:2: services.a.compose: \"p/a/b\" is neither"));
        let wrong = plan(
            "[services.a]\ncompose = \"p\"\nport = 1\n[services.b]\ncompose = \"p\"\nport = 2\n",
        );
        assert!(wrong.unwrap_err()[0].contains("as services.a is"));
    }

    #[test]
    fn labels_make_up_for_services_and_their_defaults_are_kept() {
        let found =
            plan("[daemon]\nlabels = [\"docker\", \"podman\"]\n[defaults]\nready = \"none\"\n")
                .unwrap();
        assert!(found.services.is_empty());
        assert_eq!(found.defaults.ready.as_deref(), Some("none"));
        assert_eq!(found.discovered(), ["docker", "podman"].into());
        assert!(plan("[daemon]\nlabels = \"dockr\"\n").unwrap_err()[0].starts_with("c.toml:2: "));
        let wrong = plan("[daemon]\nlabels = \"docker\"\nexit-idle-time = \"5m\"\n").unwrap_err();
        assert!(wrong[0].contains("--exit-idle-time: needs sockets"), "{wrong:#?}");

        let line = |line: &str| {
            use clap::Parser;
            let words = ["ondemand-container"].into_iter().chain(line.split(' '));
            crate::cli::args::Cli::parse_from(words).run.plan()
        };
        let found = line("--labels docker --idle-timeout 5m").unwrap();
        assert!(found.services.is_empty() && found.defaults.idle_timeout.is_some());
        let found = line("--labels docker --container web --port 80 --depends-on db").unwrap();
        assert_eq!(found.services[0].bonds.before[0].to, "db");
        assert_eq!(found.defaults, Options::default());
        assert!(
            line("--labels docker --port 80").unwrap_err().0[0].contains("--container: is missing")
        );
        for word in ["systemd", "systemd-user"] {
            let wrong = line(&format!("--labels {word}")).unwrap_err();
            assert!(wrong.0[0].contains("units have no labels"), "{wrong:?}");
            let wrong = plan(&format!("[daemon]\nlabels = \"{word}\"\n")).unwrap_err();
            assert!(wrong[0].contains("units have no labels"), "{wrong:?}");
        }
        assert!(line("--labels dockr").unwrap_err().0[0].starts_with("--labels: "));
        let found = line("--compose shop/web --port 80").unwrap();
        assert_eq!(found.services[0].name, "web");
    }

    #[test]
    fn a_container_that_needs_itself_is_refused() {
        let options = |needs: &str| Options {
            container: Some("web".to_owned()),
            port: vec![crate::port::Port::tcp(80)],
            depends_on: Some(vec![needs.to_owned()]),
            ..Options::default()
        };
        let wrong = Plan::new(Given::default(), &options("web:healthy")).unwrap_err();
        assert!(wrong.0[0].starts_with("--depends-on: names the container itself"), "{wrong}");
        assert!(Plan::new(Given::default(), &options("webs")).is_ok());
    }

    #[test]
    fn the_command_line_outranks_the_file() {
        let texts = [("c.toml".into(), "[daemon]\nthreads = 2\n[services.a]\nport = 1\n".into())];
        let file = || file::parse(&texts).unwrap();
        assert_eq!(Plan::of_file(Given::default(), &file()).unwrap().threads, 2);
        let daemon = DaemonOptions { threads: Some(4), ..DaemonOptions::default() };
        let given = Given { daemon, ..Given::default() };
        assert_eq!(Plan::of_file(given, &file()).unwrap().threads, 4);
        assert!(plan("").unwrap_err()[0].contains("no service"));
    }
}
