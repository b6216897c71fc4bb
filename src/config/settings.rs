//! One service, checked.

use std::fmt;
use std::time::Duration;

use super::compose::Compose;
use super::duration::Window;
use super::rules::{self, Auto, Gate, Hours, MaySleep, Silence, Switch};
use super::{GivenUpstream, Listen, ListenAddress, OnExit, Options, Ports, Ready, Trusted};
use crate::activation::{Asking, Depth, Policy, Practice, Tiers};
use crate::engine::{Manager, TargetName, check_word};
use crate::port::Protocol;
use crate::proxy::header::Version;

/// One service, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The target: a container, or a unit where `engine` is a manager of units.
    pub target: TargetName,
    /// The application's ports inside it; none of a service that is there for others.
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
    /// What silent connections are worth.
    pub silence: Silence,
    /// What is asked before a sleep.
    pub may_sleep: MaySleep,
    /// Whether the memory of a paused target is taken back.
    pub reclaim: Switch,
    /// What holds by the clock.
    pub hours: Hours,
    /// What may wake.
    pub gate: Gate,
    /// How the idle window is chosen, if it is.
    pub auto: Option<Auto>,
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

    use super::{ConnectionLimits, Window};

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
    /// Both.
    pub const CONNECTION: ConnectionLimits =
        ConnectionLimits { keepalive: KEEPALIVE, half_closed: HALF_CLOSED };
    /// `--udp-idle`
    pub const UDP_IDLE: Duration = Duration::from_secs(60);
    /// Nobody is asked more often than this whether it may sleep.
    pub const ASKED_AGAIN: Duration = Duration::from_secs(1);
    /// What is measured before a sleep is measured over the last so much of the idle window.
    pub const MEASURED: Duration = Duration::from_secs(60);
    /// `--ready` and `--engine`
    pub const AUTO: &str = "auto";
}

impl Settings {
    /// Checks the options of a service that clients use.
    pub fn new(options: &Options) -> Result<Self, Vec<Wrong>> {
        Self::checked(options, Ports::parse(&options.port, &options.map))
    }

    /// Checks the options of a service that is there for others.
    pub fn without_clients(options: &Options) -> Result<Self, Vec<Wrong>> {
        let sockets = Wrong::new("listen", "leads to a port, and there is none: add port");
        let ports = if options.listen.is_empty() { Ok(Ports::none()) } else { Err(vec![sockets]) };
        Self::checked(options, ports)
    }

    fn checked(options: &Options, ports: Result<Ports, Vec<Wrong>>) -> Result<Self, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let target = target(options, &mut wrong);
        let ports = keep_all(&mut wrong, ports);
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
            && ports.all().iter().all(|port| port.protocol == Protocol::Udp)
        {
            let text = format!(
                "{ready_word} asks a TCP port, and the application has none: use auto, health or \
                 none"
            );
            wrong.push(Wrong::new("ready", text));
        }
        let mut engine = options.engine.as_deref().unwrap_or(default::AUTO);
        keep(&mut wrong, "engine", check_word(engine));
        if options.unit.is_some() {
            if engine == default::AUTO {
                engine = SYSTEMD;
            }
            wrong.extend(wrong_with_a_unit(options, engine));
        } else if Manager::of_word(engine).is_some() {
            let text = format!("{engine} runs units: name one with --unit instead of --container");
            wrong.push(Wrong::new("engine", text));
        }
        let upstream = options.upstream.as_deref().and_then(|text| {
            keep(&mut wrong, "upstream", GivenUpstream::parse(text, ports.as_ref()))
        });
        let mut trusted = Trusted::default();
        for text in &options.accept_proxy_protocol {
            keep(&mut wrong, "accept-proxy-protocol", trusted.add(text));
        }
        let silence = keep_all(&mut wrong, rules::silence(options));
        let may_sleep = keep_all(&mut wrong, rules::may_sleep(options));
        let hours = keep_all(&mut wrong, rules::hours(options));
        let gate = keep_all(&mut wrong, rules::gate(options));
        let policy = policy(options, may_sleep.as_ref(), &mut wrong);
        let (
            Some(target),
            Some(ports),
            Some(listen),
            Some(ready),
            Some(silence),
            Some(may_sleep),
            Some(hours),
            Some(gate),
            Some((policy, auto)),
            true,
        ) = (
            target,
            ports,
            listen,
            ready,
            silence,
            may_sleep,
            hours,
            gate,
            policy,
            wrong.is_empty(),
        )
        else {
            return Err(wrong);
        };
        Ok(Self {
            target,
            ports,
            listen,
            upstream,
            udp_idle: options.udp_idle.unwrap_or(default::UDP_IDLE),
            network: options.network.clone(),
            engine: engine.to_owned(),
            policy,
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
            silence,
            may_sleep,
            reclaim: options.reclaim.unwrap_or_default(),
            hours,
            gate,
            auto,
        })
    }
}

/// When it sleeps, how deep, and how its idle window is chosen if it is.
fn policy(
    options: &Options,
    may_sleep: Option<&MaySleep>,
    wrong: &mut Vec<Wrong>,
) -> Option<(Policy, Option<Auto>)> {
    let chosen = keep_all(wrong, rules::auto(options, default::IDLE));
    let tiers = match options.sleep.as_deref() {
        None => Some(Tiers::STOP),
        Some(text) => keep(wrong, "sleep", rules::depth(text)),
    };
    let kill_after = match options.on_waiting_stop.as_deref() {
        None => Some(None),
        Some(text) => keep(wrong, "on-waiting-stop", rules::on_waiting_stop(text)),
    };
    if options.reclaim == Some(Switch::Yes) && tiers.is_some_and(|of| of.first == Depth::Stop) {
        let text = "is for a container that is paused, and a stopped one has no memory: add --sleep \
                    pause";
        wrong.push(Wrong::new("reclaim", text));
    }
    let (idle, auto) = chosen?;
    let window = match idle {
        Window::After(window) => window,
        Window::Never => Duration::ZERO,
    };
    let asking = may_sleep.filter(|may_sleep| may_sleep.asks()).map(|may_sleep| {
        let again = options.stop_condition_interval.unwrap_or(window);
        let interval = again.max(default::ASKED_AGAIN);
        let measures = may_sleep.busy.measures();
        let lead =
            if measures { default::MEASURED.min(window).min(interval) } else { Duration::ZERO };
        Asking { lead, interval }
    });
    let policy = Policy {
        min_awake: options.min_awake.unwrap_or_default(),
        tiers: tiers?,
        asking,
        kill_after: kill_after?,
        practice: match options.dry_run.unwrap_or_default() {
            Switch::Yes => Practice::Dry,
            Switch::No => Practice::Real,
        },
        ..Policy::new(idle, options.start_timeout.unwrap_or(default::START))
    };
    Some((policy, auto))
}

/// The engine of a unit if nothing is said, for root and for anybody else, as `systemctl` has it.
const SYSTEMD: &str = "systemd";

/// What is only for containers.
fn wrong_with_a_unit(options: &Options, engine: &str) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if Manager::of_word(engine).is_none() {
        let text = format!(
            "{engine} runs no units: leave it out, or systemd (the machine's, the default), or \
             systemd-user (a user's)"
        );
        wrong.push(Wrong::new("engine", text));
    }
    if options.stop_timeout.is_some() {
        let text = "a unit has its own time to stop: set TimeoutStopSec= in the unit instead";
        wrong.push(Wrong::new("stop-timeout", text));
    }
    if options.network.is_some() {
        let text = "a unit is reached at 127.0.0.1: leave it out, or give --upstream HOST:PORT";
        wrong.push(Wrong::new("network", text));
    }
    wrong
}

impl Settings {
    /// Of a container that is there for others, and of which nobody has said more.
    pub(super) fn of_member(target: TargetName, engine: String) -> Self {
        Self {
            target,
            ports: Ports::none(),
            listen: Vec::new(),
            upstream: None,
            udp_idle: default::UDP_IDLE,
            network: None,
            engine,
            policy: Policy::new(default::IDLE, default::START),
            stop_timeout: None,
            // Without a port that is its health check if it has one, and else that it runs.
            ready: Ready::Auto,
            max_connections: None,
            on_exit: OnExit::Leave,
            connection: default::CONNECTION,
            proxy_protocol: None,
            accept_proxy_protocol: None,
            silence: Silence::default(),
            may_sleep: MaySleep::default(),
            reclaim: Switch::No,
            hours: Hours::default(),
            gate: Gate::default(),
            auto: None,
        }
    }

    /// The manager of units that runs the target, if it is one.
    pub fn manager(&self) -> Option<Manager> {
        Manager::of_word(&self.engine)
    }

    /// What the target is called in words: `container gitea`, `unit gitea.service`.
    pub fn what(&self) -> String {
        let kind = if self.manager().is_some() { "unit" } else { "container" };
        format!("{kind} {}", self.target)
    }

    /// The sockets it has of its own: those it names, else every port on all interfaces.
    pub fn listens(&self) -> Vec<Listen> {
        if self.listen.is_empty() { self.ports.everywhere() } else { self.listen.clone() }
    }
}

/// The container, as far as it is known before any engine is asked.
fn target(options: &Options, wrong: &mut Vec<Wrong>) -> Option<TargetName> {
    let compose = match options.compose.as_deref().map(Compose::parse) {
        None => None,
        Some(parsed) => Some(keep(wrong, "compose", parsed)?),
    };
    match (options.container.as_deref(), compose, options.unit.as_deref()) {
        (None, None, None) => {
            let text = "is missing: name the container to start, or a systemd unit with --unit";
            wrong.push(Wrong::new("container", text));
            None
        }
        (None, None, Some(name)) => keep(wrong, "unit", TargetName::unit(name)),
        (_, _, Some(_)) => {
            let text = "a service is a unit or a container: remove one of the two";
            wrong.push(Wrong::new("unit", text));
            None
        }
        (Some(_), Some(Compose { service: Some(_), .. }), None) => {
            let text = "compose names the service already: remove one of the two";
            wrong.push(Wrong::new("container", text));
            None
        }
        (Some(name), _, None) => keep(wrong, "container", TargetName::container(name)),
        (None, Some(compose), None) => {
            keep(wrong, "compose", TargetName::container(&compose.conventional()))
        }
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
    use crate::config::duration::IdleTimeout;
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

    #[test]
    fn a_unit_is_run_by_systemd_and_takes_nothing_of_containers() {
        let unit = settings("--unit gitea --port 3000").unwrap();
        assert_eq!((unit.target.as_str(), unit.engine.as_str()), ("gitea.service", "systemd"));
        assert_eq!(unit.what(), "unit gitea.service");
        let users = settings("--unit gitea --port 3000 --engine systemd-user").unwrap();
        assert_eq!(users.manager(), Some(Manager::User));
        let wrong = |line: &str| settings(line).unwrap_err()[0].to_string();
        for (line, words) in [
            ("--unit a --container a --port 1", "--unit: a service is a unit or a container"),
            ("--unit a.socket --port 1", "--unit: \"a.socket\" is a socket unit"),
            ("--unit a --port 1 --engine podman", "--engine: podman runs no units"),
            ("--container a --port 1 --engine systemd", "--engine: systemd runs units"),
            ("--unit a --port 1 --stop-timeout 5s", "TimeoutStopSec="),
            ("--unit a --port 1 --network n", "--network"),
        ] {
            assert!(wrong(line).contains(words), "{}", wrong(line));
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
            if key.name == "silent" {
                // What is silent has to be said, and that is none of the defaults.
                said.silent_after = Some(default::HALF_CLOSED);
                let bare = said.clone();
                key.set(&mut said, &Value::Text(default.to_owned())).unwrap();
                assert_eq!(Settings::new(&said), Settings::new(&bare));
                continue;
            }
            if let "asleep-clients" | "idle-min" | "idle-max" | "cold-start-worth" = key.name {
                said.asleep = vec!["Sun 03:00-04:00".to_owned()];
                said.idle_timeout = Some(IdleTimeout::Auto);
                let bare = said.clone();
                key.set(&mut said, &Value::Text(default.to_owned())).unwrap();
                assert_eq!(Settings::new(&said), Settings::new(&bare), "{}", key.name);
                continue;
            }
            key.set(&mut said, &Value::Text(default.to_owned())).unwrap();
            assert_eq!(Settings::new(&said), Settings::new(&bare), "{}", key.name);
            told += 1;
        }
        assert_eq!(told, 13);
    }
}
