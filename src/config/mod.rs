//! From what the operator wrote to one checked [`Settings`].
//!
//! Parse, don't validate: whoever holds a `Settings` need not check it again. Everything that is
//! wrong is told at once.

pub mod duration;
mod listen;
mod ready;
mod trusted;

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
pub use listen::ListenAddress;
pub use ready::Ready;
use thiserror::Error;
pub use trusted::Trusted;

use crate::activation::Policy;
use crate::cli::args::RunArgs;
use crate::engine::{ContainerName, check_word};
use crate::proxy::header::Version;

/// One service, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The target.
    pub container: ContainerName,
    /// The application's port inside it.
    pub port: u16,
    /// Where to listen; empty means inherited sockets, or `port` everywhere.
    pub listen: Vec<ListenAddress>,
    /// Where to connect, outranking what the engine says: `host:port` or `unix:/path`.
    pub upstream: Option<String>,
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
        if args.port.is_none() {
            errors.push(
                "--port is missing: give the port the application listens on in the container"
                    .to_owned(),
            );
        }
        let listen = args
            .listen
            .iter()
            .filter_map(|text| keep(&mut errors, "--listen", ListenAddress::parse(text)))
            .collect();
        let ready = keep(&mut errors, "--ready", Ready::parse(&args.ready));
        if let Err(error) = check_word(&args.engine) {
            errors.push(error.to_string());
        }
        if let Some(upstream) = &args.upstream
            && !upstream.starts_with("unix:/")
            && let Err(error) = host_port(upstream)
        {
            errors.push(format!("--upstream: {error}"));
        }
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
        let (Some(container), Some(port), Some(ready), true) =
            (container, args.port, ready, errors.is_empty())
        else {
            return Err(ConfigErrors(errors));
        };
        Ok(Self {
            container,
            port,
            listen,
            upstream: args.upstream.clone(),
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

/// Splits `host:port`.
pub fn host_port(text: &str) -> Result<(&str, u16), String> {
    let bad =
        || format!("{text:?} is not HOST:PORT, like 127.0.0.1:8080 or [::1]:8080, nor unix:/path");
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
    // An IPv6 address stands in brackets (RFC 3986, section 3.2.2), and nothing else does.
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let bare = bracketed.unwrap_or(host);
    let fits =
        !bare.is_empty() && !bare.contains(['[', ']']) && bare.contains(':') == bracketed.is_some();
    if fits { Ok((bare, port)) } else { Err(bad()) }
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
            settings("--container a/b --listen nowhere --ready perhaps --upstream x --accept-proxy-protocol y").unwrap_err();
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
