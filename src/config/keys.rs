//! The keys of a service in the file and in labels: the names of its flags, what each takes, and how
//! it is read. The one list of them; the schema is made from it.

use std::time::Duration;

use clap::ValueEnum;

use super::Options;
use super::duration::{IdleTimeout, parse_duration, parse_keepalive, parse_positive, parse_window};
use super::rules::Switch;
use crate::port::Port;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text; in a label everything is, and a list is text with commas.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Switch(bool),
    /// Several.
    List(Vec<Value>),
    /// Something that no key takes, by its name.
    Other(&'static str),
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Any text.
    Text(&'static str),
    /// One text or a list of them.
    Texts(&'static str),
    /// A port or a list of ports.
    Ports,
    /// A duration.
    Duration,
    /// A duration or `infinity`.
    Window,
    /// A whole number from 1 to the largest of 32 bits.
    Count,
    /// One of these words.
    Words(&'static [&'static str]),
    /// One text or a list of them; in one text they are divided by semicolons.
    Phrases(&'static str),
    /// A command with its arguments: a list of them, or one text that is taken apart as a shell would
    /// do it, without a shell.
    Command,
    /// True or false, or yes or no.
    Switch,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name of the flag.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    set: fn(&mut Options, &Value) -> Result<(), String>,
}

impl Key {
    /// Those that cannot be defaults.
    pub const OF_ONE_SERVICE: &[&str] =
        &["container", "compose", "unit", "listen", "map", "depends-on", "with"];

    /// Those that only one container can have: who says one of them means a service.
    pub const OF_ONE_CONTAINER: &[&str] = &[
        "container",
        "compose",
        "unit",
        "port",
        "map",
        "listen",
        "depends-on",
        "with",
        "upstream",
        "network",
        "engine",
    ];

    /// The key of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Sets it, or says what it takes.
    pub fn set(&self, options: &mut Options, value: &Value) -> Result<(), String> {
        (self.set)(options, value)
    }

    /// The known key that `name` was probably meant to be.
    pub fn like(name: &str) -> Option<&'static str> {
        let meant = name.replace('_', "-");
        KEYS.iter()
            .map(|key| key.name)
            .find(|known| *known == meant || known.starts_with(&meant) || meant.starts_with(*known))
    }
}

/// All of them, in the order of `--help`.
pub const KEYS: &[Key] = &[
    key("container", Takes::Text("name or ID"), |o, v| put(&mut o.container, text(v))),
    key("compose", Takes::Text("PROJECT/SERVICE or PROJECT"), |o, v| put(&mut o.compose, text(v))),
    key("unit", Takes::Text("name of a systemd unit"), |o, v| put(&mut o.unit, text(v))),
    key("port", Takes::Ports, |o, v| {
        let ports: Result<Vec<Port>, String> = texts(v, "a port, like 3000 or \"53/udp\"")?
            .iter()
            .map(|text| text.trim().parse::<Port>().map_err(|error| error.to_string()))
            .collect();
        ports.map(|ports| o.port = ports)
    }),
    key("map", Takes::Texts("NAME=PORT"), |o, v| texts(v, "NAME=PORT").map(|list| o.map = list)),
    key("listen", Takes::Texts("ADDR:PORT, PORT, udp:ADDR:PORT or unix:/path"), |o, v| {
        texts(v, "an address, like \"127.0.0.1:3000\"").map(|list| o.listen = list)
    }),
    key("depends-on", Takes::Texts("NAME[:CONDITION][:optional]"), |o, v| {
        put(&mut o.depends_on, texts(v, "a name, like \"db\" or \"db:healthy\""))
    }),
    key("with", Takes::Texts("NAME"), |o, v| texts(v, "a name").map(|list| o.with = list)),
    key("upstream", Takes::Text("HOST:PORT, HOST or unix:/path"), |o, v| {
        put(&mut o.upstream, text(v))
    }),
    key("network", Takes::Text("name"), |o, v| put(&mut o.network, text(v))),
    key(
        "engine",
        Takes::Text("auto, docker, podman, unix:///path, tcp://host:port, systemd or systemd-user"),
        |o, v| put(&mut o.engine, text(v)),
    ),
    key("idle-timeout", Takes::Window, |o, v| put(&mut o.idle_timeout, window(v))),
    key("start-timeout", Takes::Duration, |o, v| {
        put(&mut o.start_timeout, duration(v, parse_positive))
    }),
    key("stop-timeout", Takes::Duration, |o, v| {
        put(&mut o.stop_timeout, duration(v, parse_duration))
    }),
    key("ready", Takes::Text("auto, health, tcp, http:/path or none"), |o, v| {
        put(&mut o.ready, text(v))
    }),
    key("max-connections", Takes::Count, |o, v| put(&mut o.max_connections, count(v))),
    key("on-exit", Takes::Words(&["leave", "stop"]), |o, v| put(&mut o.on_exit, word(v))),
    key("keepalive", Takes::Duration, |o, v| put(&mut o.keepalive, duration(v, parse_keepalive))),
    key("half-closed-timeout", Takes::Duration, |o, v| {
        put(&mut o.half_closed_timeout, duration(v, parse_positive))
    }),
    key("udp-idle", Takes::Duration, |o, v| put(&mut o.udp_idle, duration(v, parse_positive))),
    key("proxy-protocol", Takes::Words(&["v1", "v2"]), |o, v| put(&mut o.proxy_protocol, word(v))),
    key("accept-proxy-protocol", Takes::Texts("a network, an address or unix"), |o, v| {
        texts(v, "a network, like \"10.0.0.0/8\"").map(|list| o.accept_proxy_protocol = list)
    }),
    key("activity", Takes::Words(&["connections", "traffic"]), |o, v| {
        put(&mut o.activity, word(v))
    }),
    key("silent-after", Takes::Duration, |o, v| {
        put(&mut o.silent_after, duration(v, parse_positive))
    }),
    key("silent", Takes::Words(&["ignore", "close", "keep"]), |o, v| put(&mut o.silent, word(v))),
    key("stop-condition", Takes::Command, |o, v| put(&mut o.stop_condition, command(v))),
    key("stop-condition-interval", Takes::Duration, |o, v| {
        put(&mut o.stop_condition_interval, duration(v, parse_positive))
    }),
    key("busy-cpu", Takes::Text("share of one processor, like 5%"), |o, v| {
        put(&mut o.busy_cpu, text(v))
    }),
    key("busy-net", Takes::Text("bytes a second, like 10KiB/s"), |o, v| {
        put(&mut o.busy_net, text(v))
    }),
    key("min-awake", Takes::Duration, |o, v| put(&mut o.min_awake, duration(v, parse_duration))),
    key("sleep", Takes::Text("stop, pause or pause,stop=DURATION"), |o, v| {
        put(&mut o.sleep, text(v))
    }),
    key("reclaim", Takes::Switch, |o, v| put(&mut o.reclaim, switch(v))),
    key("on-waiting-stop", Takes::Text("wait or kill=DURATION"), |o, v| {
        put(&mut o.on_waiting_stop, text(v))
    }),
    key("awake", Takes::Phrases("hours of the week"), |o, v| {
        phrases(v, HOURS).map(|list| o.awake = list)
    }),
    key("asleep", Takes::Phrases("hours of the week"), |o, v| {
        phrases(v, HOURS).map(|list| o.asleep = list)
    }),
    key("asleep-clients", Takes::Words(&["refuse", "hold", "wake"]), |o, v| {
        put(&mut o.asleep_clients, word(v))
    }),
    key("wake-on", Takes::Text("connect, data, tls, tls:HOST,HOST or http"), |o, v| {
        put(&mut o.wake_on, text(v))
    }),
    key("wake-from", Takes::Texts("a network, an address or unix"), |o, v| {
        texts(v, "a network, like \"10.0.0.0/8\"").map(|list| o.wake_from = list)
    }),
    key("allow-from", Takes::Texts("a network, an address or unix"), |o, v| {
        texts(v, "a network, like \"10.0.0.0/8\"").map(|list| o.allow_from = list)
    }),
    key("wake-rate", Takes::Text("so many in so long, like 6/min"), |o, v| {
        put(&mut o.wake_rate, text(v))
    }),
    key("wake-rate-total", Takes::Text("so many in so long, like 60/h"), |o, v| {
        put(&mut o.wake_rate_total, text(v))
    }),
    key("http-rule", Takes::Phrases("what a request has to be"), |o, v| {
        phrases(v, "a rule, like \"path=/health status=200\"").map(|list| o.http_rule = list)
    }),
    key("idle-min", Takes::Duration, |o, v| put(&mut o.idle_min, duration(v, parse_duration))),
    key("idle-max", Takes::Duration, |o, v| put(&mut o.idle_max, duration(v, parse_positive))),
    key("cold-start-worth", Takes::Duration, |o, v| {
        put(&mut o.cold_start_worth, duration(v, parse_positive))
    }),
    key("dry-run", Takes::Switch, |o, v| put(&mut o.dry_run, switch(v))),
];

const HOURS: &str = "hours, like \"Mon-Fri 08:00-18:00 Europe/Berlin\"";

const fn key(
    name: &'static str,
    takes: Takes,
    set: fn(&mut Options, &Value) -> Result<(), String>,
) -> Key {
    Key { name, takes, set }
}

fn put<T>(field: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    value.map(|value| *field = Some(value))
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Other(_) => {
            Err(format!("{} where a text is wanted", value.kind()))
        }
    }
}

/// One or several; a number is as good as its digits.
pub(super) fn texts(value: &Value, wanted: &str) -> Result<Vec<String>, String> {
    match value {
        Value::Text(text) => Ok(text.split(',').map(|part| part.trim().to_owned()).collect()),
        Value::Number(number) => Ok(vec![number.to_string()]),
        Value::List(list) => {
            let one = |value: &Value| match value {
                Value::Text(text) => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                Value::Switch(_) | Value::List(_) | Value::Other(_) => {
                    Err(format!("{} where {wanted} is wanted", value.kind()))
                }
            };
            list.iter().map(one).collect()
        }
        Value::Switch(_) | Value::Other(_) => {
            Err(format!("{} where {wanted} is wanted", value.kind()))
        }
    }
}

/// One or several, with semicolons between.
fn phrases(value: &Value, wanted: &str) -> Result<Vec<String>, String> {
    match value {
        Value::Text(text) => Ok(text.split(';').map(|part| part.trim().to_owned()).collect()),
        Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Other(_) => {
            texts(value, wanted)
        }
    }
}

/// A program and its arguments.
fn command(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Text(text) => parse_command(text),
        Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Other(_) => {
            texts(value, "a command, like [\"/usr/local/bin/in-use\", \"--users\"]")
        }
    }
}

/// A program and its arguments in one text, taken apart as a shell would do it.
pub fn parse_command(text: &str) -> Result<Vec<String>, String> {
    shell_words::split(text).map_err(|error| format!("{text:?}: {error}"))
}

fn switch(value: &Value) -> Result<Switch, String> {
    match value {
        Value::Switch(true) => Ok(Switch::Yes),
        Value::Switch(false) => Ok(Switch::No),
        Value::Text(_) | Value::Number(_) | Value::List(_) | Value::Other(_) => {
            match text(value)?.trim() {
                "yes" | "true" => Ok(Switch::Yes),
                "no" | "false" => Ok(Switch::No),
                other => Err(format!("{other:?} is none of \"yes\", \"no\", true, false")),
            }
        }
    }
}

fn duration(
    value: &Value,
    parse: fn(&str) -> Result<Duration, String>,
) -> Result<Duration, String> {
    match value {
        Value::Text(text) => parse(text),
        Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Other(_) => {
            Err(format!("{} where a duration is wanted, like \"90s\" or \"15m\"", value.kind()))
        }
    }
}

fn window(value: &Value) -> Result<IdleTimeout, String> {
    match value {
        Value::Text(text) => parse_window(text),
        Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Other(_) => Err(format!(
            "{} where a duration is wanted, like \"15m\", \"0s\" or \"infinity\"",
            value.kind()
        )),
    }
}

fn count(value: &Value) -> Result<u32, String> {
    let number = match value {
        Value::Number(number) => u32::try_from(*number).ok(),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Switch(_) | Value::List(_) | Value::Other(_) => None,
    };
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("must be a whole number from 1 to {}", u32::MAX))
}

fn word<T: ValueEnum>(value: &Value) -> Result<T, String> {
    let text = text(value)?;
    T::from_str(text.trim(), false).map_err(|_| {
        let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let words: Vec<String> = words.map(|word| format!("{:?}", word.get_name())).collect();
        format!("{text:?} is none of {}", words.join(", "))
    })
}

impl Value {
    /// What it is, for an error.
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Switch(_) => "true or false",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Cli;

    /// Flags that are of the process, not of a service.
    const OF_THE_PROCESS: &[&str] = &[
        "config",
        "labels",
        "drain-timeout",
        "exit-idle-time",
        "threads",
        "log-format",
        "control",
        "control-group",
        "history",
        "verbose",
        "help",
        "version",
    ];

    #[test]
    fn every_flag_of_a_service_is_a_key_and_every_key_a_flag() {
        let command = Cli::command();
        let flags: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        for flag in &flags {
            let known = Key::find(flag).is_some();
            assert!(known != OF_THE_PROCESS.contains(flag), "{flag}");
        }
        for key in KEYS {
            assert!(flags.contains(&key.name), "{}", key.name);
            let sample = match key.takes {
                Takes::Text(_) | Takes::Texts(_) | Takes::Phrases(_) | Takes::Command => "text",
                Takes::Ports | Takes::Count => "1",
                Takes::Duration | Takes::Window => "5s",
                Takes::Switch => "yes",
                Takes::Words(words) => words[0],
            };
            let options = set(key.name, &Value::Text(sample.to_owned())).unwrap();
            assert_eq!(options.said(), [key.name]);
        }
    }

    fn set(name: &str, value: &Value) -> Result<Options, String> {
        let mut options = Options::default();
        Key::find(name).unwrap().set(&mut options, value).map(|()| options)
    }

    #[test]
    fn values_of_the_right_kind_are_taken_and_others_told() {
        let text = |text: &str| Value::Text(text.to_owned());
        let ports = Value::List(vec![Value::Number(53), text("53/udp")]);
        assert_eq!(set("port", &ports).unwrap().port, [Port::tcp(53), Port::udp(53)]);
        assert_eq!(set("port", &text("53,53/udp")).unwrap().port.len(), 2);
        assert!(set("max-connections", &Value::Number(0)).is_err());
        assert_eq!(set("max-connections", &text("5")).unwrap().max_connections, Some(5));
        assert!(set("idle-timeout", &Value::Number(5)).unwrap_err().contains("\"15m\""));
        assert!(set("on-exit", &text("perhaps")).unwrap_err().contains("\"leave\""));
        assert!(set("container", &Value::Other("a date")).unwrap_err().contains("a date"));
        assert_eq!(Key::like("idle_timeout"), Some("idle-timeout"));
        assert_eq!(Key::like("nonsense"), None);
    }
}
