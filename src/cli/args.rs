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

use clap::{Args, Parser, Subcommand};

pub use super::advise::AdviseArgs;
pub use super::generate::args::Generate;
pub use super::remote::args::{ControlArgs, HoldArgs, NameArgs, SleepArgs, StatusArgs, WakeArgs};
use crate::config::duration::{
    IdleTimeout, parse_duration, parse_keepalive, parse_positive, parse_window,
};
use crate::config::keys::parse_command;
use crate::config::rules::{Activity, AsleepClients, Silent, Switch};
use crate::config::{LogFormat, OnExit};
use crate::port::Port;
use crate::proxy::header::Version;

/// Holds a port, starts the stopped container behind it on the first connection, and stops it
/// again when idle.
#[derive(Debug, Parser)]
#[command(
    name = "ondemand-container",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Each option is an environment variable, too: --idle-timeout is \
                  ONDEMAND_IDLE_TIMEOUT.\n\
                  Exit status: 0 done, 1 runtime error, 2 wrong usage, 77 permission denied, \
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
    /// permission is missing, 78 otherwise. A container whose labels are wrong is warned of: it
    /// stands in nobody's way but its own.
    Check(Box<RunArgs>),
    /// Tell what the services are doing
    Status(StatusArgs),
    /// Wake a service; unused, it sleeps again after its idle window
    Wake(WakeArgs),
    /// Put a service to sleep now, unless somebody uses it
    Sleep(SleepArgs),
    /// Wake a service and keep it awake, used or not
    Hold(HoldArgs),
    /// End the hold of a service
    Release(NameArgs),
    /// Tell in a sentence what keeps a service awake or has woken it last, and when it will sleep
    Why(NameArgs),
    /// Have the daemon read its configuration anew; what stays as it is notices nothing
    ///
    /// Exits 1 with everything that is wrong if it is, and then nothing has changed.
    Reload(ControlArgs),
    /// Follow what the services are doing, a JSON line for each change
    Events(ControlArgs),
    /// Replay what has been against other idle windows: cold starts, waits, memory saved, and what
    /// --idle-timeout auto would have made of it
    ///
    /// Uses are the lines of an access log, or what the daemon has kept in its history. Nothing is asked of
    /// a daemon, and nothing is changed.
    Advise(AdviseArgs),
    /// Write what a deployment is made of: units, Quadlets, labels, a man page, completions, a schema
    #[command(subcommand)]
    Generate(Generate),
}

/// A command with its arguments; one value, so that clap does not take it for several.
#[derive(Debug, Clone)]
pub struct Words(pub Vec<String>);

fn parse_words(text: &str) -> Result<Words, String> {
    parse_command(text).map(Words)
}

/// The daemon's flags.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Read this file, and the .toml files of the folder conf.d beside it, instead of the options of
    /// one service
    #[arg(long, env = "ONDEMAND_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The container to start and stop: its name or ID
    #[arg(long, short = 'c', env = "ONDEMAND_CONTAINER", value_name = "NAME|ID")]
    pub container: Option<String>,

    /// A service of a compose project, and what it depends on there: PROJECT/SERVICE; or PROJECT,
    /// all of which is awake together. Instead of --container
    #[arg(long, env = "ONDEMAND_COMPOSE", value_name = "PROJECT[/SERVICE]")]
    pub compose: Option<String>,

    /// The systemd unit to start and stop, instead of a container: a service (the suffix may be left
    /// out) or a target; it listens on 127.0.0.1. Implies --engine systemd
    #[arg(long, short = 'u', env = "ONDEMAND_UNIT", value_name = "UNIT")]
    pub unit: Option<String>,

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

    /// What is woken before the container, and sleeps after it: a container of the same engine, or
    /// another service of the file. CONDITION says when it has come far enough: started (the
    /// default), healthy or completed (it has run to its end, once, with exit code 0); what is optional
    /// may be missing; repeatable
    #[arg(
        long,
        env = "ONDEMAND_DEPENDS_ON",
        value_name = "NAME[:CONDITION][:optional]",
        value_delimiter = ','
    )]
    pub depends_on: Vec<String>,

    /// Its companions, woken with it and asleep before it, like a worker: containers of the same
    /// engine, or other services of the file; repeatable
    #[arg(long, env = "ONDEMAND_WITH", value_name = "NAME", value_delimiter = ',')]
    pub with: Vec<String>,

    /// Where to connect when the container runs, if the automatic answer is wrong; with several
    /// ports the host alone
    #[arg(long, env = "ONDEMAND_UPSTREAM", value_name = "HOST:PORT|HOST|unix:/PATH")]
    pub upstream: Option<String>,

    /// Which of the container's networks to reach it on
    #[arg(long, env = "ONDEMAND_NETWORK", value_name = "NAME")]
    pub network: Option<String>,

    /// The container engine: auto, docker, podman, unix:///path, tcp://host:port or http://host:port;
    /// of units systemd (the system's manager) or systemd-user (the user's)
    /// [default: auto]
    #[arg(long, env = "ONDEMAND_ENGINE", value_name = "ENGINE")]
    pub engine: Option<String>,

    /// Sleep after this long without a connection: a duration, 0s (with the last connection), infinity
    /// (never) or auto (the window that costs least, by the gaps between its uses so far)
    /// [default: 15m]
    #[arg(long, env = "ONDEMAND_IDLE_TIMEOUT", value_name = "DURATION",
          value_parser = parse_window)]
    pub idle_timeout: Option<IdleTimeout>,

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

    /// What keeps it awake: connections (open ones) or traffic (bytes within the idle window; whoever
    /// is silent then is cut off by the sleep)
    /// [default: connections]
    #[arg(long, env = "ONDEMAND_ACTIVITY", value_enum)]
    pub activity: Option<Activity>,

    /// When a connection without a byte, both ways, is silent; --silent says what that means
    #[arg(long, env = "ONDEMAND_SILENT_AFTER", value_name = "DURATION",
          value_parser = parse_positive)]
    pub silent_after: Option<Duration>,

    /// What becomes of a silent connection: ignore (it no longer keeps the service awake, and is closed
    /// when that sleeps), close (at once) or keep
    /// [default: ignore]
    #[arg(long, env = "ONDEMAND_SILENT", value_enum)]
    pub silent: Option<Silent>,

    /// Asked before each sleep: a command on the host with its arguments (no shell), exec:COMMAND in the
    /// container, or http:/path of the application. Exit status 0, or 2xx, lets it sleep; anything else,
    /// or no answer within 10 s, keeps it awake
    #[arg(long, env = "ONDEMAND_STOP_CONDITION", value_name = "COMMAND|exec:COMMAND|http:/PATH",
          value_parser = parse_words)]
    pub stop_condition: Option<Words>,

    /// When it is asked again after a no, or found busy [default: the idle window, at least 1s]
    #[arg(long, env = "ONDEMAND_STOP_CONDITION_INTERVAL", value_name = "DURATION",
          value_parser = parse_positive)]
    pub stop_condition_interval: Option<Duration>,

    /// Awake while it uses more of one processor than this, over the last minute of the idle window:
    /// 5%
    #[arg(long, env = "ONDEMAND_BUSY_CPU", value_name = "PERCENT")]
    pub busy_cpu: Option<String>,

    /// Awake while more bytes a second go over the container's own network than this, over the last
    /// minute of the idle window: 10KiB/s
    #[arg(long, env = "ONDEMAND_BUSY_NET", value_name = "RATE")]
    pub busy_net: Option<String>,

    /// Awake for so long at least, once it is
    /// [default: 0s]
    #[arg(long, env = "ONDEMAND_MIN_AWAKE", value_name = "DURATION", value_parser = parse_duration)]
    pub min_awake: Option<Duration>,

    /// How deep it sleeps: stop, pause (frozen, its memory kept; awake again within milliseconds), or
    /// pause,stop=2h (paused at first, stopped so long after that)
    /// [default: stop]
    #[arg(long, env = "ONDEMAND_SLEEP", value_name = "HOW")]
    pub sleep: Option<String>,

    /// Have the kernel take the memory of a paused container back, as far as there is swap or zram for
    /// it; what is needed again comes back page by page
    #[arg(long, env = "ONDEMAND_RECLAIM", value_enum, value_name = "yes|no", num_args = 0..=1,
          require_equals = true, default_missing_value = "yes")]
    pub reclaim: Option<Switch>,

    /// What happens when clients wait behind a stop: wait (for its end) or kill=5s (so long after the
    /// first of them came)
    /// [default: wait]
    #[arg(long, env = "ONDEMAND_ON_WAITING_STOP", value_name = "wait|kill=DURATION")]
    pub on_waiting_stop: Option<String>,

    /// Hours in which it is kept awake, and woken when they begin: "Mon-Fri 08:00-18:00 Europe/Berlin";
    /// repeatable, or with semicolons between. Without days it is every day, without a zone the
    /// system's. What somebody stops meanwhile stays stopped until the next client
    #[arg(long, env = "ONDEMAND_AWAKE", value_name = "HOURS", value_delimiter = ';')]
    pub awake: Vec<String>,

    /// Hours in which it is kept asleep once its clients are gone: "Sun 02:00-06:00"; repeatable. They
    /// outrank --awake, and a hold outranks them
    #[arg(long, env = "ONDEMAND_ASLEEP", value_name = "HOURS", value_delimiter = ';')]
    pub asleep: Vec<String>,

    /// What becomes of clients that come in the hours of --asleep: refuse, hold (until the hours are
    /// over) or wake
    /// [default: refuse]
    #[arg(long, env = "ONDEMAND_ASLEEP_CLIENTS", value_enum)]
    pub asleep_clients: Option<AsleepClients>,

    /// What a client has to do to wake it: connect, data (send a byte), tls (a whole ClientHello;
    /// tls:HOST,*.HOST: for one of these hosts) or http (the whole head of a request). Servers that
    /// speak first need connect
    /// [default: connect]
    #[arg(long, env = "ONDEMAND_WAKE_ON", value_name = "WHAT")]
    pub wake_on: Option<String>,

    /// Who may wake it: networks (10.0.0.0/8), addresses, or unix for the peers of Unix sockets. Others
    /// are served while it is awake, and refused while it is not; repeatable
    #[arg(long, env = "ONDEMAND_WAKE_FROM", value_name = "CIDR", value_delimiter = ',')]
    pub wake_from: Vec<String>,

    /// Who is served at all, written as for --wake-from; repeatable
    #[arg(long, env = "ONDEMAND_ALLOW_FROM", value_name = "CIDR", value_delimiter = ',')]
    pub allow_from: Vec<String>,

    /// How often one address (of IPv6 one network of 64 bits) may wake it: 6/min; more are refused until
    /// it is awake
    #[arg(long, env = "ONDEMAND_WAKE_RATE", value_name = "N/TIME")]
    pub wake_rate: Option<String>,

    /// How often all of them together may: 60/h
    #[arg(long, env = "ONDEMAND_WAKE_RATE_TOTAL", value_name = "N/TIME")]
    pub wake_rate_total: Option<String>,

    /// Requests that never wake it and are no use, like those of monitors and bots: words with method=,
    /// path=, agent= and header=NAME:VALUE (with * for anything) say which, status= and body= what they
    /// are answered while it is asleep (503 if nothing is said); awake, they are passed on; repeatable,
    /// or with semicolons between
    #[arg(long, env = "ONDEMAND_HTTP_RULE", value_name = "RULE", value_delimiter = ';')]
    pub http_rule: Vec<String>,

    /// The shortest window that --idle-timeout auto may choose [default: 10s]
    #[arg(long, env = "ONDEMAND_IDLE_MIN", value_name = "DURATION", value_parser = parse_duration)]
    pub idle_min: Option<Duration>,

    /// The longest window that --idle-timeout auto may choose [default: 2h]
    #[arg(long, env = "ONDEMAND_IDLE_MAX", value_name = "DURATION", value_parser = parse_positive)]
    pub idle_max: Option<Duration>,

    /// What a cold start is worth to --idle-timeout auto: so long of being awake, of a service that frees
    /// 1 GiB when it sleeps; one that frees less stays awake longer for it [default: 60s]
    #[arg(long, env = "ONDEMAND_COLD_START_WORTH", value_name = "DURATION",
          value_parser = parse_positive)]
    pub cold_start_worth: Option<Duration>,

    /// Decide and log, but put nothing to sleep
    #[arg(long, env = "ONDEMAND_DRY_RUN", value_enum, value_name = "yes|no", num_args = 0..=1,
          require_equals = true, default_missing_value = "yes")]
    pub dry_run: Option<Switch>,

    /// Keep what has become of the services in this file: wakes, gaps, times asleep, holds
    /// [default: history.json in systemd's $STATE_DIRECTORY; else none]
    #[arg(long, env = "ONDEMAND_HISTORY", value_name = "PATH|none")]
    pub history: Option<PathBuf>,

    /// Threads that carry bytes. One serves small requests best; more help with several bulk
    /// transfers at once [default: 1]
    #[arg(long, env = "ONDEMAND_THREADS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// How to write the log; auto is text, with the journal's priorities under systemd
    /// [default: auto]
    #[arg(long, env = "ONDEMAND_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,

    /// Answer the commands status, why, wake, sleep, hold, release, reload and events, and curl, on a Unix
    /// socket there, for its owner and its group [default: with --config or --labels
    /// /run/ondemand-container/control.sock, or that in $XDG_RUNTIME_DIR for others than root; else
    /// none]
    #[arg(long, env = "ONDEMAND_CONTROL", value_name = "PATH|none")]
    pub control: Option<PathBuf>,

    /// The group that may use the control socket, by name or number; the daemon has to be in it, or be
    /// root [default: the daemon's own]
    #[arg(long, env = "ONDEMAND_CONTROL_GROUP", value_name = "GROUP")]
    pub control_group: Option<String>,

    /// Serve the containers of this engine that ask for it by their labels (ondemand.enable=true):
    /// ENGINE as for --engine; repeatable. What no label says holds as other options have it, like
    /// --idle-timeout, or the defaults of the file
    #[arg(long, env = "ONDEMAND_LABELS", value_name = "ENGINE", value_delimiter = ',')]
    pub labels: Vec<String>,

    /// Say more: -v decisions, -vv bytes. `RUST_LOG` (target=level,...) outranks it
    #[arg(long, short = 'v', action = clap::ArgAction::Count, env = "ONDEMAND_VERBOSE")]
    pub verbose: u8,
}
