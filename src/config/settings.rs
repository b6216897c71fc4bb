//! One service, checked.

use std::fmt;
use std::time::Duration;

use super::duration::Window;
use super::{GivenUpstream, Listen, ListenAddress, OnExit, Options, Ports, Ready, Trusted};
use crate::activation::Policy;
use crate::engine::{ContainerName, check_word};
use crate::port::Protocol;
use crate::proxy::header::Version;

/// One service, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The target.
    pub container: ContainerName,
    /// The application's ports inside it.
    pub ports: Ports,
    /// Where to listen; empty means inherited sockets, or every port on all interfaces.
    pub listen: Vec<Listen>,
    /// Where to connect, outranking what the engine says.
    pub upstream: Option<GivenUpstream>,
    /// Silence after which a UDP client is forgotten.
    pub udp_idle: Duration,
    /// The network to reach the target on.
    pub network: Option<String>,
    /// The `--engine` word.
    pub engine: String,
    /// When to start, when to stop.
    pub policy: Policy,
    /// The grace of a stop; `None` is the container's own.
    pub stop_timeout: Option<Duration>,
    /// When the target counts as ready.
    pub ready: Ready,
    /// How many clients at once.
    pub max_connections: Option<u32>,
    /// What becomes of the target at the end.
    pub on_exit: OnExit,
    /// How connections are watched.
    pub connection: ConnectionLimits,
    /// The PROXY header that the application gets.
    pub proxy_protocol: Option<Version>,
    /// Who connects, always with a PROXY header; `None` asks nobody for one.
    pub accept_proxy_protocol: Option<Trusted>,
}

/// How long a connection may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Silence before a peer is asked whether it lives; as long again without an answer ends it.
    pub keepalive: Duration,
    /// Silence on a connection that one side has closed before it is ended.
    pub half_closed: Duration,
}

/// Something wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The option's name.
    pub key: &'static str,
    /// What is wrong, and what is allowed.
    pub text: String,
}

impl Wrong {
    pub(super) fn new(key: &'static str, text: impl fmt::Display) -> Self {
        Self { key, text: text.to_string() }
    }
}

/// As the command line says it.
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}: {}", self.key, self.text)
    }
}

/// What holds when nothing is said; `--help` shows the same.
pub mod default {
    use std::time::Duration;

    use super::Window;

    /// `--idle-timeout`
    pub const IDLE: Window = Window::After(Duration::from_secs(15 * 60));
    /// `--drain-timeout`
    pub const DRAIN: Duration = Duration::from_secs(30);
    /// `--start-timeout`
    pub const START: Duration = Duration::from_secs(2 * 60);
    /// `--keepalive`
    pub const KEEPALIVE: Duration = Duration::from_secs(60);
    /// `--half-closed-timeout`
    pub const HALF_CLOSED: Duration = Duration::from_secs(60 * 60);
    /// `--udp-idle`
    pub const UDP_IDLE: Duration = Duration::from_secs(60);
    /// `--ready` and `--engine`
    pub const AUTO: &str = "auto";
}

impl Settings {
    /// Checks the options of one service.
    pub fn new(options: &Options) -> Result<Self, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let container = match options.container.as_deref() {
            None => {
                wrong.push(Wrong::new("container", "is missing: name the container to start"));
                None
            }
            Some(name) => keep(&mut wrong, "container", ContainerName::new(name)),
        };
        let ports = keep_all(&mut wrong, Ports::parse(&options.port, &options.map));
        let listen = match &ports {
            Some(ports) if !options.listen.is_empty() => {
                keep_all(&mut wrong, ports.listens(&options.listen))
            }
            // Without its ports a socket can still be written wrongly.
            None => {
                for text in &options.listen {
                    let place = text.split("->").next().unwrap_or_default();
                    keep(&mut wrong, "listen", ListenAddress::parse(place.trim()));
                }
                None
            }
            Some(_) => Some(Vec::new()),
        };
        let ready_word = options.ready.as_deref().unwrap_or(default::AUTO);
        let ready = keep(&mut wrong, "ready", Ready::parse(ready_word));
        if let (Some(Ready::Tcp | Ready::Http(_)), Some(ports)) = (&ready, &ports)
            && ports.all()[ports.first()].protocol == Protocol::Udp
        {
            let text = format!(
                "{ready_word} asks a TCP port, and all of the application's are UDP: use auto, \
                 health or none"
            );
            wrong.push(Wrong::new("ready", text));
        }
        let engine = options.engine.as_deref().unwrap_or(default::AUTO);
        keep(&mut wrong, "engine", check_word(engine));
        let upstream = options.upstream.as_deref().and_then(|text| {
            keep(&mut wrong, "upstream", GivenUpstream::parse(text, ports.as_ref()))
        });
        let mut trusted = Trusted::default();
        for text in &options.accept_proxy_protocol {
            keep(&mut wrong, "accept-proxy-protocol", trusted.add(text));
        }
        let (Some(container), Some(ports), Some(listen), Some(ready), true) =
            (container, ports, listen, ready, wrong.is_empty())
        else {
            return Err(wrong);
        };
        Ok(Self {
            container,
            ports,
            listen,
            upstream,
            udp_idle: options.udp_idle.unwrap_or(default::UDP_IDLE),
            network: options.network.clone(),
            engine: engine.to_owned(),
            policy: Policy {
                idle: options.idle_timeout.unwrap_or(default::IDLE),
                start_timeout: options.start_timeout.unwrap_or(default::START),
            },
            stop_timeout: options.stop_timeout,
            ready,
            max_connections: options.max_connections,
            on_exit: options.on_exit.unwrap_or(OnExit::Leave),
            connection: ConnectionLimits {
                keepalive: options.keepalive.unwrap_or(default::KEEPALIVE),
                half_closed: options.half_closed_timeout.unwrap_or(default::HALF_CLOSED),
            },
            proxy_protocol: options.proxy_protocol,
            accept_proxy_protocol: (!options.accept_proxy_protocol.is_empty()).then_some(trusted),
        })
    }
}

impl Settings {
    /// The sockets it has of its own: those it names, else every port on all interfaces.
    pub fn listens(&self) -> Vec<Listen> {
        if self.listen.is_empty() { self.ports.everywhere() } else { self.listen.clone() }
    }
}

/// Takes a value, or notes what is wrong with the option.
fn keep<T, E: fmt::Display>(
    wrong: &mut Vec<Wrong>,
    key: &'static str,
    value: Result<T, E>,
) -> Option<T> {
    value.map_err(|error| wrong.push(Wrong::new(key, error))).ok()
}

/// Takes a value, or notes everything that is wrong.
fn keep_all<T>(wrong: &mut Vec<Wrong>, value: Result<T, Vec<Wrong>>) -> Option<T> {
    value.map_err(|errors| wrong.extend(errors)).ok()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::args::Cli;
    use crate::config::keys::{Key, Value};
    use crate::port::Port;

    fn settings(line: &str) -> Result<Settings, Vec<Wrong>> {
        let cli = Cli::parse_from(["ondemand-container"].into_iter().chain(line.split(' ')));
        Settings::new(&cli.run.options())
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_its_flag() {
        let errors =
            settings("--container a/b --listen nowhere --ready perhaps --upstream x:y --accept-proxy-protocol y").unwrap_err();
        let flags = [
            "--container",
            "--port",
            "--listen",
            "--ready",
            "--upstream",
            "--accept-proxy-protocol",
        ];
        assert_eq!(errors.len(), flags.len(), "{errors:?}");
        for flag in flags {
            assert!(errors.iter().any(|error| error.to_string().starts_with(flag)), "{flag}");
        }
    }

    /// What `--help` says of defaults is what holds when nothing is said.
    #[test]
    fn the_defaults_are_those_that_the_help_tells() {
        let bare = Options {
            container: Some("gitea".to_owned()),
            port: vec![Port::tcp(3000)],
            ..Options::default()
        };
        assert_eq!(settings("--container gitea --port 3000"), Settings::new(&bare));
        let mut told = 0;
        for argument in Cli::command().get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let key = argument.get_long().and_then(Key::find);
            let default = help.split_once("[default: ").map(|(_, rest)| rest.trim_end_matches(']'));
            let (Some(key), Some(default)) = (key, default) else { continue };
            if default.contains(' ') {
                // Described, not quoted: the container's own, what the limit allows.
                continue;
            }
            let mut said = bare.clone();
            key.set(&mut said, &Value::Text(default.to_owned())).unwrap();
            assert_eq!(Settings::new(&said), Settings::new(&bare), "{}", key.name);
            told += 1;
        }
        assert_eq!(told, 8);
    }
}
