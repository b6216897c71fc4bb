//! The one container the scripted engine knows: its state, and its JSON as Docker writes it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::ms;

/// Docker's states, those that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Never started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
}

/// What happens in the container after a start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Boot {
    /// The application listens after this long.
    Listens(Duration),
    /// The port accepts and closes at once for this long, then the application listens.
    Lies(Duration),
    /// The main process ends after this long, with this code.
    Exits(Duration, i64),
    /// It runs and never listens.
    Never,
}

/// How the container is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Network {
    /// The host's: its port is a port of 127.0.0.1.
    Host,
    /// No address of its own, its port published under the same number on 127.0.0.1.
    Published,
}

/// Its health check, as far as it declares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// No check.
    Undeclared,
    /// A check without a verdict yet.
    Starting,
    /// The engine's verdict is good.
    Healthy,
    /// The engine's verdict is bad.
    Unhealthy,
}

/// The container.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) status: Status,
    /// How often it was started: tells one run from the next.
    pub(crate) run: u32,
    pub(crate) exit_code: i64,
    pub(crate) health: Health,
    /// How many checks the engine's own monitor has run, over all runs.
    pub(crate) checks: u32,
    pub(crate) boot: Boot,
    pub(crate) network: Network,
    /// Published beside the application's own.
    pub(crate) second_port: Option<u16>,
    /// How long a stop takes.
    pub(crate) stops_in: Duration,
    pub(crate) auto_remove: bool,
    /// no, always, …
    pub(crate) restart_policy: &'static str,
    /// What `logs` gives: standard error, line by line.
    pub(crate) log: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Container {
    /// A stopped one called `app` that boots in a moment; `serial` makes its ID.
    pub(crate) fn new(serial: u32) -> Self {
        Self {
            id: format!("{serial:064x}"),
            name: "app".to_owned(),
            status: Status::Exited,
            run: 0,
            exit_code: 0,
            health: Health::Undeclared,
            checks: 0,
            boot: Boot::Listens(ms(20)),
            network: Network::Host,
            second_port: None,
            stops_in: Duration::ZERO,
            auto_remove: false,
            restart_policy: "no",
            log: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Whether `reference` means this one: its name, its ID, or the beginning of its ID.
    pub(crate) fn is(&self, reference: &str) -> bool {
        reference == self.name || (reference.len() >= 12 && self.id.starts_with(reference))
    }

    /// Whether it has processes.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.status, Status::Running | Status::Paused)
    }

    /// What inspect says.
    pub(crate) fn inspect(&self, port: u16) -> Value {
        let status = match self.status {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Exited => "exited",
        };
        let mut state = json!({
            "Status": status,
            "Running": self.runs(),
            "Paused": self.status == Status::Paused,
            "Restarting": false,
            "OOMKilled": false,
            "Dead": false,
            "Pid": if self.runs() { 4242 } else { 0 },
            "ExitCode": if self.runs() { 0 } else { self.exit_code },
            "Error": "",
            "StartedAt": format!("2024-01-01T00:{:02}:{:02}.000000001Z", self.run / 60, self.run % 60),
            "FinishedAt": "2024-01-01T00:00:00Z",
        });
        let mut config = json!({
            "Image": "scripted:1",
            "Tty": false,
            "Labels": {},
            "ExposedPorts": { format!("{port}/tcp"): {} },
        });
        if self.health != Health::Undeclared {
            let verdict = match self.health {
                Health::Undeclared | Health::Starting => "starting",
                Health::Healthy => "healthy",
                Health::Unhealthy => "unhealthy",
            };
            let log: Vec<Value> = (1..=self.checks)
                .map(|check| {
                    let end = format!("2024-01-02T00:{:02}:{:02}Z", check / 60, check % 60);
                    json!({ "Start": end, "End": end, "ExitCode": 0, "Output": "scripted" })
                })
                .collect();
            state["Health"] = json!({ "Status": verdict, "FailingStreak": 0, "Log": log });
            config["Healthcheck"] = json!({ "Test": ["CMD", "/healthy"] });
        }
        let at = |port: u16| {
            let own = json!([{ "HostIp": "127.0.0.1", "HostPort": port.to_string() }]);
            (format!("{port}/tcp"), own)
        };
        let published: Value = [port].into_iter().chain(self.second_port).map(at).collect();
        let (mode, ports) = match self.network {
            Network::Host => ("host", json!({})),
            Network::Published => ("bridge", published),
        };
        json!({
            "Id": self.id,
            "Created": "2024-01-01T00:00:00Z",
            "Path": "/app",
            "Args": [],
            "State": state,
            "Image": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "Name": format!("/{}", self.name),
            "RestartCount": 0,
            "Config": config,
            "HostConfig": {
                "NetworkMode": mode,
                "AutoRemove": self.auto_remove,
                "RestartPolicy": { "Name": self.restart_policy, "MaximumRetryCount": 0 },
                "PortBindings": ports,
            },
            "NetworkSettings": {
                "Ports": if self.runs() { ports } else { json!({}) },
                "Networks": { mode: {
                    "NetworkID": "0".repeat(64),
                    "IPAddress": "",
                    "GlobalIPv6Address": "",
                    "Gateway": "",
                } },
            },
        })
    }

    /// The log as the engine streams it for a container without a terminal: frames.
    pub(crate) fn log_frames(&self) -> Vec<u8> {
        self.log.iter().flat_map(|line| frame(line.as_bytes())).collect()
    }
}

/// One frame of standard error in the engine's multiplexed stream.
fn frame(line: &[u8]) -> Vec<u8> {
    let length = u32::try_from(line.len() + 1).unwrap_or(u32::MAX);
    let mut bytes = vec![2, 0, 0, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend(line);
    bytes.push(b'\n');
    bytes
}
