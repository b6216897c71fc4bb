//! The keys of a service in the file and in labels: the names of its flags, what each takes, and how
//! it is read. The one list of them; the schema is made from it.

use std::time::Duration;

use clap::ValueEnum;

use super::Options;
use super::duration::{Window, parse_duration, parse_keepalive, parse_positive, parse_window};
use crate::port::Port;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text; in a label everything is, and a list is text with commas.
    Text(String),
    /// A whole number.
    Number(i64),
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
    pub const OF_ONE_SERVICE: &[&str] = &["container", "listen", "map"];

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
    key("upstream", Takes::Text("HOST:PORT, HOST or unix:/path"), |o, v| {
        put(&mut o.upstream, text(v))
    }),
    key("network", Takes::Text("name"), |o, v| put(&mut o.network, text(v))),
    key("engine", Takes::Text("auto, docker, podman, unix:///path or tcp://host:port"), |o, v| {
        put(&mut o.engine, text(v))
    }),
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
];

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
        Value::Number(_) | Value::List(_) | Value::Other(_) => {
            Err(format!("{} where a text is wanted", value.kind()))
        }
    }
}

/// One or several; a number is as good as its digits.
fn texts(value: &Value, wanted: &str) -> Result<Vec<String>, String> {
    match value {
        Value::Text(text) => Ok(text.split(',').map(|part| part.trim().to_owned()).collect()),
        Value::Number(number) => Ok(vec![number.to_string()]),
        Value::List(list) => {
            let one = |value: &Value| match value {
                Value::Text(text) => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                Value::List(_) | Value::Other(_) => {
                    Err(format!("{} where {wanted} is wanted", value.kind()))
                }
            };
            list.iter().map(one).collect()
        }
        Value::Other(_) => Err(format!("{} where {wanted} is wanted", value.kind())),
    }
}

fn duration(
    value: &Value,
    parse: fn(&str) -> Result<Duration, String>,
) -> Result<Duration, String> {
    match value {
        Value::Text(text) => parse(text),
        Value::Number(_) | Value::List(_) | Value::Other(_) => {
            Err(format!("{} where a duration is wanted, like \"90s\" or \"15m\"", value.kind()))
        }
    }
}

fn window(value: &Value) -> Result<Window, String> {
    match value {
        Value::Text(text) => parse_window(text),
        Value::Number(_) | Value::List(_) | Value::Other(_) => Err(format!(
            "{} where a duration is wanted, like \"15m\", \"0s\" or \"infinity\"",
            value.kind()
        )),
    }
}

fn count(value: &Value) -> Result<u32, String> {
    let number = match value {
        Value::Number(number) => u32::try_from(*number).ok(),
        Value::Text(text) => text.trim().parse().ok(),
        Value::List(_) | Value::Other(_) => None,
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
        "drain-timeout",
        "exit-idle-time",
        "threads",
        "log-format",
        "control",
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
                Takes::Text(_) | Takes::Texts(_) => "text",
                Takes::Ports | Takes::Count => "1",
                Takes::Duration | Takes::Window => "5s",
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
