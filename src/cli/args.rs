#![expect(
    clippy::doc_markdown,
    reason = "these doc comments are the help text, where marks would be shown"
)]
//! The command line: every flag, its environment variable and its default.
//!
//! Nothing here is checked beyond the shape of one value; [`crate::config`] turns the whole into
//! [`Settings`](crate::config::Settings) or says everything that is wrong with it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::duration::{
    Window, parse_duration, parse_keepalive, parse_positive, parse_window,
};
use crate::config::file::DaemonOptions;
use crate::config::{ConfigErrors, Given, LogFormat, OnExit, Options, Plan};
use crate::port::Port;
use crate::proxy::header::Version;

/// Holds a port, starts the stopped container behind it on the first connection, and stops it
/// again when idle.
#[derive(Debug, Parser)]
#[command(
    name = "ondemand-container",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit status: 0 done, 1 runtime error, 2 wrong usage, 77 permission denied, \
                  78 wrong configuration.\n\
                  Example: ondemand-container --container gitea --port 3000"
)]
pub struct Cli {
    /// What to do; without a subcommand the daemon runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of the daemon.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell whether this would work and why not, without starting anything
    ///
    /// Takes the flags of the daemon itself. Exits 0 when nothing stands in the way, 77 when
    /// permission is missing, 78 otherwise.
    Check(Box<RunArgs>),
    /// Tell what the services are doing
    Status(StatusArgs),
    /// Wake a service; unused, it sleeps again after its idle window
    Wake(WakeArgs),
    /// Put a service to sleep now, unless somebody uses it
    Sleep(NameArgs),
    /// Wake a service and keep it awake, used or not
    Hold(HoldArgs),
    /// End the hold of a service
    Release(NameArgs),
    /// Follow what the services are doing, a JSON line for each change
    Events(ControlArgs),
    /// Print a man page, a shell completion or the configuration file's schema
    Generate(GenerateArgs),
}

/// Where the daemon is asked.
#[derive(Debug, Args)]
pub struct ControlArgs {
    /// The daemon's control socket [default: /run/ondemand-container/control.sock, or that in
    /// $XDG_RUNTIME_DIR for others than root]
    #[arg(long, env = "ONDEMAND_CONTROL", value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// What `status` tells.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The service; without one, all of them
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print it again whenever it changes
    #[arg(long)]
    pub watch: bool,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `wake` does.
#[derive(Debug, Args)]
pub struct WakeArgs {
    /// The service
    pub name: String,
    /// Wait until it is awake, or will not be
    #[arg(long)]
    pub wait: bool,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `hold` does.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// The service
    pub name: String,
    /// For how long, like 2h; without it until it is released
    #[arg(value_name = "DURATION", value_parser = parse_positive)]
    pub time: Option<Duration>,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// A service.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// The service
    pub name: String,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `generate` prints.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The thing to print on standard output
    #[arg(value_enum)]
    pub what: Generated,
    /// For completions: the shell
    #[arg(long, value_enum, default_value = "bash")]
    pub shell: clap_complete::Shell,
}

/// Things `generate` can print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// The man page, in roff
    Man,
    /// A shell completion script
    Completions,
    /// The JSON schema of the configuration file
    Schema,
}

/// The daemon's flags.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Read this file, and the files of the folder conf.d beside it, instead of the options of one
    /// service
    #[arg(long, env = "ONDEMAND_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The container to start and stop: its name or ID
    #[arg(long, short = 'c', env = "ONDEMAND_CONTAINER", value_name = "NAME|ID")]
    pub container: Option<String>,

    /// A port the application listens on inside the container: PORT, or PORT/udp; repeatable
    #[arg(long, short = 'p', env = "ONDEMAND_PORT", value_name = "PORT", value_delimiter = ',',
          value_parser = |text: &str| text.trim().parse::<Port>())]
    pub port: Vec<Port>,

    /// A port, and the name (FileDescriptorName=) of the sockets from systemd that lead to it:
    /// http=3000, dns=53/udp; repeatable. Without names several sockets lead to several ports in
    /// their order
    #[arg(long, env = "ONDEMAND_MAP", value_name = "NAME=PORT", value_delimiter = ',')]
    pub map: Vec<String>,

    /// Where clients connect: ADDR:PORT, PORT, udp:ADDR:PORT or unix:/path; repeatable. With
    /// several ports in their order, or with the port it leads to: ADDR:PORT->PORT. Without it the
    /// sockets systemd handed over; without those every PORT on all interfaces, IPv4 and IPv6
    #[arg(
        long,
        short = 'l',
        env = "ONDEMAND_LISTEN",
        value_name = "ADDR:PORT",
        value_delimiter = ','
    )]
    pub listen: Vec<String>,

    /// Where to connect when the container runs, if the automatic answer is wrong; with several
    /// ports the host alone
    #[arg(long, env = "ONDEMAND_UPSTREAM", value_name = "HOST:PORT|HOST|unix:/PATH")]
    pub upstream: Option<String>,

    /// Which of the container's networks to reach it on
    #[arg(long, env = "ONDEMAND_NETWORK", value_name = "NAME")]
    pub network: Option<String>,

    /// The container engine: auto, docker, podman, unix:///path, tcp://host:port or http://host:port
    /// [default: auto]
    #[arg(long, env = "ONDEMAND_ENGINE", value_name = "ENGINE")]
    pub engine: Option<String>,

    /// Sleep after this long without a connection: a duration, 0s (with the last connection) or
    /// infinity (never)
    /// [default: 15m]
    #[arg(long, env = "ONDEMAND_IDLE_TIMEOUT", value_name = "DURATION",
          value_parser = parse_window)]
    pub idle_timeout: Option<Window>,

    /// How long one client waits at most, over a stop in progress, the start and the readiness
    /// [default: 2m]
    #[arg(long, env = "ONDEMAND_START_TIMEOUT", value_name = "DURATION",
          value_parser = parse_positive)]
    pub start_timeout: Option<Duration>,

    /// How long the engine lets the application shut down before it kills it, in whole seconds
    /// [default: the container's own]
    #[arg(long, env = "ONDEMAND_STOP_TIMEOUT", value_name = "DURATION", value_parser = parse_duration)]
    pub stop_timeout: Option<Duration>,

    /// How long connections may go on after SIGTERM
    /// [default: 30s]
    #[arg(long, env = "ONDEMAND_DRAIN_TIMEOUT", value_name = "DURATION",
          value_parser = parse_duration)]
    pub drain_timeout: Option<Duration>,

    /// When a started container is ready: auto (its health check if it has one, and the port),
    /// health, tcp (the port), http:/path (2xx or 3xx from our own request) or none
    /// [default: auto]
    #[arg(long, env = "ONDEMAND_READY", value_name = "HOW")]
    pub ready: Option<String>,

    /// How many client connections at once; more wait in the listen queue
    /// [default: what the file descriptor limit allows]
    #[arg(long, env = "ONDEMAND_MAX_CONNECTIONS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,

    /// With sockets from systemd: exit 0 once the container sleeps and nothing is connected for
    /// this long; the next client has systemd start the daemon again
    #[arg(long, env = "ONDEMAND_EXIT_IDLE_TIME", value_name = "DURATION", value_parser = parse_duration)]
    pub exit_idle_time: Option<Duration>,

    /// What becomes of the container when the daemon is told to end
    /// [default: leave]
    #[arg(long, env = "ONDEMAND_ON_EXIT", value_enum)]
    pub on_exit: Option<OnExit>,

    /// Silence after which a peer is asked whether it still lives (TCP keepalive); one that does
    /// not answer for as long again is given up
    /// [default: 60s]
    #[arg(long, env = "ONDEMAND_KEEPALIVE", value_name = "DURATION",
          value_parser = parse_keepalive)]
    pub keepalive: Option<Duration>,

    /// How long a connection that one side has closed may stay silent before it is ended
    /// [default: 1h]
    #[arg(long, env = "ONDEMAND_HALF_CLOSED_TIMEOUT", value_name = "DURATION",
          value_parser = parse_positive)]
    pub half_closed_timeout: Option<Duration>,

    /// How long a UDP client may be silent, both ways, before it no longer keeps the container
    /// awake
    /// [default: 60s]
    #[arg(long, env = "ONDEMAND_UDP_IDLE", value_name = "DURATION",
          value_parser = parse_positive)]
    pub udp_idle: Option<Duration>,

    /// Tell the application who the client is: each connection to it begins with a header of the
    /// PROXY protocol, which it has to expect; our own probes say that they are ours. Datagrams go
    /// without
    #[arg(long, env = "ONDEMAND_PROXY_PROTOCOL", value_enum, value_name = "VERSION")]
    pub proxy_protocol: Option<Version>,

    /// Clients come through proxies in these networks, and each connection begins with a header
    /// of the PROXY protocol; any other is closed. Networks (10.0.0.0/8), addresses, or unix for
    /// the peers of Unix sockets; repeatable
    #[arg(
        long,
        env = "ONDEMAND_ACCEPT_PROXY_PROTOCOL",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub accept_proxy_protocol: Vec<String>,

    /// Threads that carry bytes. One serves small requests best; more help with several bulk
    /// transfers at once [default: 1]
    #[arg(long, env = "ONDEMAND_THREADS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// How to write the log; auto is text, with the journal's priorities under systemd
    /// [default: auto]
    #[arg(long, env = "ONDEMAND_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,

    /// Answer the commands status, wake, sleep, hold, release and events, and curl, on a Unix socket
    /// there, for its owner and its group; without it there is none
    #[arg(long, env = "ONDEMAND_CONTROL", value_name = "PATH")]
    pub control: Option<PathBuf>,

    /// Say more: -v decisions, -vv bytes. `RUST_LOG` (target=level,…) outranks it
    #[arg(long, short = 'v', action = clap::ArgAction::Count, env = "ONDEMAND_VERBOSE")]
    pub verbose: u8,
}

impl RunArgs {
    /// The whole plan: of the file, or of the one service that is described.
    pub fn plan(&self) -> Result<Plan, ConfigErrors> {
        let options = self.options();
        let said = options.said();
        if self.config.is_some() && !said.is_empty() {
            let said: Vec<String> = said.into_iter().map(|key| format!("--{key}")).collect();
            return Err(ConfigErrors(vec![format!(
                "--config: the services are in the file, and {} describe one without a file: put \
                 that into the file, for all of them under [defaults], or leave --config out",
                said.join(", ")
            )]));
        }
        let daemon = DaemonOptions {
            drain_timeout: self.drain_timeout,
            exit_idle_time: self.exit_idle_time,
            threads: self.threads,
            log_format: self.log_format,
            control: self.control.clone(),
        };
        Plan::new(Given { file: self.config.clone(), daemon }, &options)
    }

    /// What is said of the service.
    pub fn options(&self) -> Options {
        Options {
            container: self.container.clone(),
            port: self.port.clone(),
            map: self.map.clone(),
            listen: self.listen.clone(),
            upstream: self.upstream.clone(),
            network: self.network.clone(),
            engine: self.engine.clone(),
            idle_timeout: self.idle_timeout,
            start_timeout: self.start_timeout,
            stop_timeout: self.stop_timeout,
            ready: self.ready.clone(),
            max_connections: self.max_connections,
            on_exit: self.on_exit,
            keepalive: self.keepalive,
            half_closed_timeout: self.half_closed_timeout,
            udp_idle: self.udp_idle,
            proxy_protocol: self.proxy_protocol,
            accept_proxy_protocol: self.accept_proxy_protocol.clone(),
        }
    }
}
