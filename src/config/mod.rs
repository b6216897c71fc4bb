//! From what the operator wrote to one checked [`Settings`].
//!
//! Parse, don't validate: whoever holds a `Settings` need not check it again. Everything that is
//! wrong is told at once.

pub mod duration;
mod listen;
mod ports;
mod ready;
mod trusted;
mod upstream;

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
pub use listen::ListenAddress;
pub use ports::{Listen, Ports, Socket};
pub use ready::Ready;
use thiserror::Error;
pub use trusted::Trusted;
pub use upstream::GivenUpstream;

use crate::activation::Policy;
use crate::cli::args::RunArgs;
use crate::engine::{ContainerName, check_word};
use crate::port::Protocol;
use crate::proxy::header::Version;

/// One service, checked.
#[derive(Debug, Clone)]
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
    /// How long connections may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// How many clients at once.
    pub max_connections: Option<u32>,
    /// Exit after sleeping unused for this long.
    pub exit_idle_time: Option<Duration>,
    /// What becomes of the target at the end.
    pub on_exit: OnExit,
    /// How connections are watched.
    pub connection: ConnectionLimits,
    /// The PROXY header that the application gets.
    pub proxy_protocol: Option<Version>,
    /// Who connects, always with a PROXY header; `None` asks nobody for one.
    pub accept_proxy_protocol: Option<Trusted>,
}

/// What becomes of the container when the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnExit {
    /// It goes on as it is
    Leave,
    /// It is stopped
    Stop,
}

/// How long a connection may be silent.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Silence before a peer is asked whether it lives; as long again without an answer ends it.
    pub keepalive: Duration,
    /// Silence on a connection that one side has closed before it is ended.
    pub half_closed: Duration,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Settings {
    /// Checks the command line.
    pub fn new(args: &RunArgs) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let container = match args.container.as_deref() {
            None => {
                errors.push("--container is missing: name the container to start".to_owned());
                None
            }
            Some(name) => keep(&mut errors, "--container", ContainerName::new(name)),
        };
        let ports = keep_all(&mut errors, Ports::parse(&args.port, &args.map));
        let listen = match &ports {
            Some(ports) if !args.listen.is_empty() => {
                keep_all(&mut errors, ports.listens(&args.listen))
            }
            // Without its ports a socket can still be written wrongly.
            None => {
                let bad =
                    |text: &String| ListenAddress::parse(text.split("->").next()?.trim()).err();
                let bad = args.listen.iter().filter_map(bad);
                errors.extend(bad.map(|error| format!("--listen: {error}")));
                None
            }
            Some(_) => Some(Vec::new()),
        };
        let ready = keep(&mut errors, "--ready", Ready::parse(&args.ready));
        if let (Some(Ready::Tcp | Ready::Http(_)), Some(ports)) = (&ready, &ports)
            && ports.all()[ports.first()].protocol == Protocol::Udp
        {
            errors.push(format!(
                "--ready {}: asks a TCP port, and all of the application's are UDP: use auto, \
                 health or none",
                args.ready
            ));
        }
        if let Err(error) = check_word(&args.engine) {
            errors.push(error.to_string());
        }
        let upstream = args.upstream.as_deref().and_then(|text| {
            keep(&mut errors, "--upstream", GivenUpstream::parse(text, ports.as_ref()))
        });
        if args.exit_idle_time.is_some() && !args.listen.is_empty() {
            errors.push(
                "--exit-idle-time: needs sockets from systemd, which would start the daemon \
                 again; with --listen nobody would: remove one of the two"
                    .to_owned(),
            );
        }
        let mut trusted = Trusted::default();
        for text in &args.accept_proxy_protocol {
            keep(&mut errors, "--accept-proxy-protocol", trusted.add(text));
        }
        let (Some(container), Some(ports), Some(listen), Some(ready), true) =
            (container, ports, listen, ready, errors.is_empty())
        else {
            return Err(ConfigErrors(errors));
        };
        Ok(Self {
            container,
            ports,
            listen,
            upstream,
            udp_idle: args.udp_idle,
            network: args.network.clone(),
            engine: args.engine.clone(),
            policy: Policy { idle: args.idle_timeout, start_timeout: args.start_timeout },
            stop_timeout: args.stop_timeout,
            ready,
            drain_timeout: args.drain_timeout,
            max_connections: args.max_connections,
            exit_idle_time: args.exit_idle_time,
            on_exit: args.on_exit,
            connection: ConnectionLimits {
                keepalive: args.keepalive,
                half_closed: args.half_closed_timeout,
            },
            proxy_protocol: args.proxy_protocol,
            accept_proxy_protocol: (!args.accept_proxy_protocol.is_empty()).then_some(trusted),
        })
    }
}

/// Takes a value, or notes what is wrong with the flag.
fn keep<T, E: fmt::Display>(
    errors: &mut Vec<String>,
    flag: &str,
    value: Result<T, E>,
) -> Option<T> {
    value.map_err(|error| errors.push(format!("{flag}: {error}"))).ok()
}

/// Takes a value, or notes everything that is wrong.
fn keep_all<T>(errors: &mut Vec<String>, value: Result<T, ConfigErrors>) -> Option<T> {
    value.map_err(|wrong| errors.extend(wrong.0)).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;

    fn settings(line: &str) -> Result<Settings, ConfigErrors> {
        let cli = Cli::parse_from(["ondemand-container"].into_iter().chain(line.split(' ')));
        Settings::new(&cli.run)
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
        assert_eq!(errors.0.len(), flags.len(), "{errors}");
        for flag in flags {
            assert!(errors.0.iter().any(|error| error.starts_with(flag)), "{flag}");
        }
    }

    #[test]
    fn two_flags_are_enough() {
        let settings = settings("--container gitea --port 3000").unwrap();
        assert_eq!(settings.ready, Ready::Auto);
        assert_eq!(settings.accept_proxy_protocol, None);
        assert_eq!(settings.policy.idle, duration::Window::After(Duration::from_secs(900)));
    }

    #[test]
    fn exit_idle_time_needs_inherited_sockets() {
        assert!(settings("--container a --port 1 --listen 2 --exit-idle-time 1m").is_err());
    }
}
