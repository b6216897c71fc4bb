//! The configuration file: `[daemon]`, `[defaults]` and `[services.NAME]`, and a folder of more.
//!
//! Everything that is wrong is found at once, each with its file, its line and what is allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration::parse_duration;
use super::keys::{self, Key, Value};
use super::{LogFormat, Options};
use crate::engine::check_labels_word;

/// The folder beside the file whose `*.toml` files are read, too.
const MORE: &str = "conf.d";

/// The keys of `[daemon]`.
const OF_THE_DAEMON: &[&str] = &[
    "drain-timeout",
    "exit-idle-time",
    "threads",
    "log-format",
    "control",
    "control-group",
    "labels",
];

/// A service's name is at most so long.
const LONGEST_NAME: usize = 64;

/// What the files say.
#[derive(Debug, Default)]
pub struct File {
    /// Of the process itself.
    pub daemon: DaemonOptions,
    /// What holds for services that do not say it.
    pub defaults: Options,
    /// The services, their defaults filled in, by their names.
    pub services: BTreeMap<String, Written>,
}

/// A service as it was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// What was said, and the defaults.
    pub options: Options,
    /// Where it begins.
    pub place: Place,
    /// The lines of its keys.
    pub lines: BTreeMap<&'static str, Place>,
}

/// The options of the process; what the command line says outranks them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the flag of its name")]
pub struct DaemonOptions {
    pub drain_timeout: Option<Duration>,
    pub exit_idle_time: Option<Duration>,
    pub threads: Option<u16>,
    pub log_format: Option<LogFormat>,
    pub control: Option<PathBuf>,
    pub control_group: Option<String>,
    pub history: Option<PathBuf>,
    pub labels: Vec<String>,
}

impl DaemonOptions {
    /// These, and of `others` what they do not say.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        Self {
            drain_timeout: self.drain_timeout.or(others.drain_timeout),
            exit_idle_time: self.exit_idle_time.or(others.exit_idle_time),
            threads: self.threads.or(others.threads),
            log_format: self.log_format.or(others.log_format),
            control: self.control.or_else(|| others.control.clone()),
            control_group: self.control_group.or_else(|| others.control_group.clone()),
            history: self.history.or_else(|| others.history.clone()),
            labels: if self.labels.is_empty() { others.labels.clone() } else { self.labels },
        }
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// As it was named.
    pub file: PathBuf,
    /// From 1; 0 is the file as a whole.
    pub line: usize,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and what is allowed.
    pub text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl Written {
    /// Where a key is, or the service if the key is not there.
    pub fn place_of(&self, key: &str) -> &Place {
        self.lines.get(key).unwrap_or(&self.place)
    }
}

/// Reads `path` and the files of the folder `conf.d` beside it, in the order of their names.
pub fn read(path: &Path) -> Result<File, Vec<Problem>> {
    let mut paths = vec![path.to_owned()];
    let more = path.with_file_name(MORE);
    let mut problems = Vec::new();
    match std::fs::read_dir(&more) {
        Ok(entries) => {
            let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            // Editors leave hidden ones behind.
            let hidden = |path: &PathBuf| {
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
            };
            let toml = |path: &PathBuf| path.extension().is_some_and(|of| of == "toml");
            found.retain(|path| toml(path) && !hidden(path));
            found.sort();
            paths.extend(found);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => problems.push(whole(&more, format!("cannot be read: {error}"))),
    }
    let mut texts = Vec::new();
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => texts.push((path, text)),
            Err(error) => problems.push(whole(&path, format!("cannot be read: {error}"))),
        }
    }
    match parse(&texts) {
        Ok(file) if problems.is_empty() => Ok(file),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

fn whole(path: &Path, text: String) -> Problem {
    Problem { place: Place { file: path.to_owned(), line: 0 }, text }
}

/// Understands the texts of all files together.
pub fn parse(texts: &[(PathBuf, String)]) -> Result<File, Vec<Problem>> {
    let mut reading = Reading::default();
    for (path, text) in texts {
        let source = Source { path, text };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reading.wrong(source.place(at), error.message().to_owned());
        }
        reading.top(&source, table.get_ref());
    }
    reading.end()
}

/// A file's text, for telling lines.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, at: usize) -> Place {
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Place { file: self.path.to_owned(), line }
    }
}

#[derive(Default)]
struct Reading {
    daemon: DaemonOptions,
    defaults: Options,
    services: BTreeMap<String, Written>,
    problems: Vec<Problem>,
}

impl Reading {
    fn wrong(&mut self, place: Place, text: String) {
        self.problems.push(Problem { place, text });
    }

    fn top(&mut self, source: &Source<'_>, table: &DeTable<'_>) {
        for (key, value) in table {
            let place = source.place(key.span().start);
            let name = key.get_ref().as_ref();
            let (DeValue::Table(inner), true) =
                (value.get_ref(), ["daemon", "defaults", "services"].contains(&name))
            else {
                self.wrong(
                    place,
                    format!(
                        "{name}: not known here; there are the tables [daemon], [defaults] and \
                         [services.NAME]"
                    ),
                );
                continue;
            };
            match name {
                "daemon" => self.daemon(source, inner),
                "defaults" => {
                    let mut defaults = std::mem::take(&mut self.defaults);
                    self.options(source, "defaults", inner, &mut defaults);
                    self.defaults = defaults;
                }
                _ => self.services(source, inner),
            }
        }
    }

    fn daemon(&mut self, source: &Source<'_>, table: &DeTable<'_>) {
        for (key, value) in table {
            let place = source.place(key.span().start);
            let name = key.get_ref().as_ref();
            let value = value_of(value.get_ref());
            let text = match value.clone() {
                Value::Text(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Switch(_) | Value::List(_) | Value::Other(_) => String::new(),
            };
            let set = match name {
                "drain-timeout" => {
                    parse_duration(&text).map(|time| self.daemon.drain_timeout = Some(time))
                }
                "exit-idle-time" => {
                    parse_duration(&text).map(|time| self.daemon.exit_idle_time = Some(time))
                }
                "threads" => match text.parse() {
                    Ok(threads @ 1..=256) => {
                        self.daemon.threads = Some(threads);
                        Ok(())
                    }
                    Ok(_) | Err(_) => Err("must be a whole number from 1 to 256".to_owned()),
                },
                "log-format" => LogFormat::from_str(&text, false)
                    .map(|format| self.daemon.log_format = Some(format))
                    .map_err(|_| {
                        "is none of \"auto\", \"text\", \"json\", \"journald\"".to_owned()
                    }),
                "control" => path(&value, "/run/ondemand-container/control.sock")
                    .map(|path| self.daemon.control = Some(path)),
                "history" => path(&value, "/var/lib/ondemand-container/history.json")
                    .map(|path| self.daemon.history = Some(path)),
                "control-group" if text.is_empty() => {
                    Err("must be the name of a group, or its number".to_owned())
                }
                "control-group" => {
                    self.daemon.control_group = Some(text);
                    Ok(())
                }
                "labels" => keys::texts(&value, "an engine, like \"docker\"").and_then(|engines| {
                    let words = engines.iter().try_for_each(|word| check_labels_word(word));
                    self.daemon.labels = engines;
                    words
                }),
                _ => Err(format!("not known; there are {}", OF_THE_DAEMON.join(", "))),
            };
            if let Err(error) = set {
                self.wrong(place, format!("daemon.{name}: {error}"));
            }
        }
    }

    fn services(&mut self, source: &Source<'_>, table: &DeTable<'_>) {
        for (key, value) in table {
            let place = source.place(key.span().start);
            let name = key.get_ref().as_ref();
            let DeValue::Table(inner) = value.get_ref() else {
                self.wrong(place, format!("services.{name}: is no table, like [services.{name}]"));
                continue;
            };
            if !is_name(name) {
                self.wrong(
                    place.clone(),
                    format!(
                        "services.{name:?}: a name has letters, digits, '_', '.' and '-', begins \
                         with a letter or digit, and has at most {LONGEST_NAME} of them"
                    ),
                );
            }
            if let Some(known) = self.services.get(name) {
                let there = known.place.clone();
                self.wrong(place.clone(), format!("services.{name}: is at {there} already"));
            }
            let mut options = Options::default();
            let lines = self.options(source, &format!("services.{name}"), inner, &mut options);
            // Mostly the two have the same name.
            if options.compose.is_none() && options.unit.is_none() {
                options.container.get_or_insert_with(|| name.to_owned());
            }
            self.services.insert(name.to_owned(), Written { options, place, lines });
        }
    }

    /// The keys of a service or of the defaults.
    fn options(
        &mut self,
        source: &Source<'_>,
        table: &str,
        keys: &DeTable<'_>,
        options: &mut Options,
    ) -> BTreeMap<&'static str, Place> {
        let mut lines = BTreeMap::new();
        for (key, value) in keys {
            let place = source.place(key.span().start);
            let name = key.get_ref().as_ref();
            let Some(known) = Key::find(name) else {
                let meant = match Key::like(name) {
                    Some(meant) => format!("is {meant} meant?"),
                    None if OF_THE_DAEMON.contains(&name) => {
                        "it is of the daemon: put it under [daemon]".to_owned()
                    }
                    None => "see --help".to_owned(),
                };
                self.wrong(place, format!("{table}.{name}: no such key; {meant}"));
                continue;
            };
            lines.insert(known.name, place.clone());
            let set = if table == "defaults" && Key::OF_ONE_SERVICE.contains(&known.name) {
                Err("is of one service, and no default".to_owned())
            } else {
                known.set(options, &value_of(value.get_ref()))
            };
            if let Err(error) = set {
                self.wrong(place, format!("{table}.{name}: {error}"));
            }
        }
        lines
    }

    fn end(mut self) -> Result<File, Vec<Problem>> {
        if !self.problems.is_empty() {
            self.problems.sort();
            return Err(self.problems);
        }
        for written in self.services.values_mut() {
            written.options = std::mem::take(&mut written.options).or(&self.defaults);
        }
        Ok(File { daemon: self.daemon, defaults: self.defaults, services: self.services })
    }
}

/// What may stand in a log line, a URL and a unit's name alike.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
}

/// A path, or `none`.
fn path(value: &Value, example: &str) -> Result<PathBuf, String> {
    match value {
        Value::Text(path) if !path.is_empty() => Ok(path.into()),
        Value::Text(_) | Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Other(_) => {
            Err(format!("must be \"none\" or a path, like {example:?}"))
        }
    }
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number that is too large"), Value::Number),
        DeValue::Array(list) => {
            Value::List(list.iter().map(Spanned::get_ref).map(value_of).collect())
        }
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Boolean(is) => Value::Switch(*is),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Port;

    fn file(text: &str) -> Result<File, Vec<Problem>> {
        parse(&[("c.toml".into(), text.to_owned())])
    }

    fn problems(text: &str) -> Vec<String> {
        file(text).unwrap_err().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn services_take_their_own_options_and_the_defaults() {
        let file = file(
            "[daemon]\nthreads = 2\n[defaults]\nidle-timeout = \"5m\"\nready = \"tcp\"\n\
             [services.gitea]\nport = [3000, 22]\nlisten = [\"3000\", \"2222\"]\n\
             [services.dns]\ncontainer = \"coredns\"\nport = \"53/udp\"\nready = \"auto\"\n",
        )
        .unwrap();
        assert_eq!(file.daemon.threads, Some(2));
        let gitea = &file.services["gitea"];
        assert_eq!(gitea.options.container.as_deref(), Some("gitea"));
        assert_eq!(gitea.options.port, [Port::tcp(3000), Port::tcp(22)]);
        assert_eq!(gitea.options.ready.as_deref(), Some("tcp"));
        assert_eq!((gitea.place.line, gitea.place_of("port").line), (6, 7));
        let dns = &file.services["dns"].options;
        assert_eq!(dns.container.as_deref(), Some("coredns"));
        assert_eq!(dns.ready.as_deref(), Some("auto"));
        assert!(dns.idle_timeout.is_some());
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_its_line() {
        let found = problems(
            "[daemon]\nthreads = 0\ncolour = 1\n[services.a]\nidle_timeout = \"5m\"\nport = true\nthreads = 2\n\
             [services.\"../b\"]\nport = 1\n[service.c]\n[defaults]\nlisten = \"80\"\n",
        );
        for (line, words) in [
            (2, "daemon.threads: must be a whole number from 1 to 256"),
            (3, "daemon.colour: not known"),
            (5, "services.a.idle_timeout: no such key; is idle-timeout meant?"),
            (6, "services.a.port: true or false where a port"),
            (7, "services.a.threads: no such key; it is of the daemon: put it under [daemon]"),
            (8, "services.\"../b\": a name has letters"),
            (10, "service: not known here"),
            (12, "defaults.listen: is of one service"),
        ] {
            let fits = |text: &&String| text.starts_with(&format!("c.toml:{line}: {words}"));
            assert!(found.iter().any(|text| fits(&text)), "{line} {words}: {found:#?}");
        }
        assert_eq!(found.len(), 8, "{found:#?}");
    }

    #[test]
    fn broken_toml_is_told_with_its_line_and_the_rest_is_still_looked_at() {
        let found = problems("[services.a]\nport = \n[services.b]\nprot = 1\n");
        assert!(found.iter().any(|text| text.starts_with("c.toml:2: ")), "{found:#?}");
        assert!(
            found.iter().any(|text| text.starts_with("c.toml:4: services.b.prot")),
            "{found:#?}"
        );
    }

    #[test]
    fn a_service_in_two_files_is_told_with_both_places() {
        let texts =
            ["a.toml", "b.toml"].map(|name| (name.into(), "[services.x]\nport = 1\n".to_owned()));
        let found = parse(&texts).unwrap_err();
        assert_eq!(found[0].to_string(), "b.toml:1: services.x: is at a.toml:1 already");
    }
}
