//! The whole configuration of a process: its own options and its services.

use std::path::PathBuf;
use std::time::Duration;

use super::file::{self, DaemonOptions, File, Problem};
use super::{ConfigErrors, LogFormat, Options, Settings};

/// A service and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in logs, and in the file.
    pub name: String,
    /// What it is.
    pub settings: Settings,
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
    pub control: Option<PathBuf>,
    /// At least one, in the order of their names.
    pub services: Vec<Service>,
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
        match Settings::new(options) {
            Ok(settings) if errors.is_empty() => {
                let service = Service { name: settings.container.to_string(), settings };
                Ok(Self::with(given, &DaemonOptions::default(), vec![service]))
            }
            Ok(_) => Err(ConfigErrors(errors)),
            Err(wrong) => {
                errors.extend(ConfigErrors::of(&wrong).0);
                Err(ConfigErrors(errors))
            }
        }
    }

    fn of_file(given: Given, file: &File) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut services: Vec<Service> = Vec::new();
        for (name, written) in &file.services {
            match Settings::new(&written.options) {
                Err(wrong) => problems.extend(wrong.into_iter().map(|wrong| Problem {
                    place: written.place_of(wrong.key).clone(),
                    text: format!("services.{name}.{}: {}", wrong.key, wrong.text),
                })),
                Ok(settings) => {
                    let mut clash = |key: &str, text: String| {
                        let place = written.place_of(key).clone();
                        problems.push(Problem { place, text: format!("services.{name}: {text}") });
                    };
                    for other in &services {
                        let theirs = other.settings.listens();
                        for own in settings.listens() {
                            if theirs.iter().any(|place| own.address.clashes(&place.address)) {
                                let at = &own.address;
                                clash(
                                    "listen",
                                    format!(
                                        "listens on {at}, as services.{} does: give one of them \
                                     another place",
                                        other.name
                                    ),
                                );
                            }
                        }
                        let same = other.settings.container == settings.container
                            && other.settings.engine == settings.engine;
                        if same {
                            clash(
                                "container",
                                format!(
                                    "is container {}, as services.{} is: one service may have \
                                 several ports",
                                    settings.container, other.name
                                ),
                            );
                        }
                    }
                    services.push(Service { name: name.clone(), settings });
                }
            }
        }
        if file.services.is_empty() && problems.is_empty() {
            let path = given.file.clone().unwrap_or_default();
            problems.push(Problem {
                place: file::Place { file: path, line: 0 },
                text: "no service in it: add [services.NAME] with a port".to_owned(),
            });
        }
        if problems.is_empty() {
            Ok(Self::with(given, &file.daemon, services))
        } else {
            problems.sort();
            problems.dedup();
            Err(problems)
        }
    }

    fn with(given: Given, file: &DaemonOptions, services: Vec<Service>) -> Self {
        let Given { file: path, daemon } = given;
        Self {
            drain_timeout: daemon
                .drain_timeout
                .or(file.drain_timeout)
                .unwrap_or(super::default::DRAIN),
            exit_idle_time: daemon.exit_idle_time.or(file.exit_idle_time),
            threads: daemon.threads.or(file.threads).unwrap_or(1),
            log_format: daemon.log_format.or(file.log_format).unwrap_or(LogFormat::Auto),
            control: daemon.control.or_else(|| file.control.clone()),
            services,
            file: path,
        }
    }
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
