//! `generate quadlet`: the daemon as a container that systemd runs with Podman
//! (`podman-systemd.unit(5)`).

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::args::{Manager, QuadletArgs};
use super::command::flags;
use super::output::Generated;
use super::quote::{self, command};
use crate::cli::args::RunArgs;
use crate::config::{ListenAddress, NO_CONTROL, Plan, Service};
use crate::history::NO_HISTORY;
use crate::port::Protocol;

/// Where the admin interface listens if nothing else is said, for the health check: the one folder
/// that any user of a read-only container may write to.
const CONTROL: &str = "/tmp/ondemand-container.sock";

/// Where the history is in the container.
const STATE: &str = "/var/lib/ondemand-container";

/// What an end may take beside the drain: the stop of the targets.
const STOPPING: Duration = Duration::from_secs(60);

/// The Quadlet, or what is wrong with the options, or cannot be said in one.
pub(super) fn container(args: &QuadletArgs) -> anyhow::Result<Generated> {
    let mut run = args.run.clone();
    super::make_absolute(&mut run)?;
    // Its health is asked for there.
    run.control = run.control.filter(|path| path.as_os_str() != NO_CONTROL);
    ensure!(
        run.exit_idle_time.is_none(),
        "--exit-idle-time: needs sockets from systemd, and a Quadlet gets none: leave it out"
    );
    let plan = run.plan()?;
    let name = match (&run.config, &plan.services[..]) {
        (None, [service]) => format!("ondemand-{}", service.name.replace('/', "-")),
        (None, _) => bail!("there is no service to write a Quadlet for: give --container"),
        (Some(_), _) => "ondemand-container".to_owned(),
    };
    let mut quadlet = Quadlet { lines: Vec::new(), manager: args.output.manager() };
    quadlet.say("Image", &args.image)?;
    quadlet.say("ContainerName", &name)?;
    let engine = quadlet.engines(&plan.services, &mut run)?;
    quadlet.network(&plan, &mut run)?;
    if let Some(dir) = run.config.as_deref().and_then(Path::parent) {
        quadlet.mount(dir, Some("ro"))?;
    }
    match run.control.as_deref().map(Path::parent) {
        None => run.control = Some(CONTROL.into()),
        Some(dir) => quadlet.mount(dir.unwrap_or(Path::new("/")), None)?,
    }
    let state = quadlet.state(&name, &run)?;
    let control = run.control.iter().map(|path| path.display().to_string());
    let check = ["/ondemand-container", "status", "--control"].map(str::to_owned);
    let check: Vec<String> = check.into_iter().chain(control).collect();
    quadlet.say("HealthCmd", &serde_json::to_string(&check)?)?;
    quadlet.lines.push(format!("Exec={}", command(&flags(&run)?)));
    Ok(Generated { name: format!("{name}.container"), text: quadlet.text(&plan, &engine, &state) })
}

struct Quadlet {
    /// Of the section `[Container]`.
    lines: Vec<String>,
    manager: Manager,
}

impl Quadlet {
    fn say(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        let value = quote::value(value).with_context(|| {
            format!(
                "{value:?} cannot be said in a Quadlet: no control characters, no blank at its \
                 ends, no backslash at its end"
            )
        })?;
        self.lines.push(format!("{key}={value}"));
        Ok(())
    }

    /// The same folder or file here and there.
    fn mount(&mut self, path: &Path, options: Option<&str>) -> anyhow::Result<()> {
        let path = path.to_str().context("a path is not UTF-8")?;
        ensure!(!path.contains(':'), "{path:?}: a volume cannot have a colon in its path");
        let options = options.map(|options| format!(":{options}")).unwrap_or_default();
        self.say("Volume", &format!("{path}:{path}{options}"))
    }

    /// Mounts a folder for the history; answers what the service says of it.
    fn state(&mut self, name: &str, run: &RunArgs) -> anyhow::Result<String> {
        match &run.history {
            Some(path) if path.as_os_str() == NO_HISTORY => {}
            Some(path) => self.mount(path.parent().unwrap_or(Path::new("/")), None)?,
            None => {
                self.lines.push(format!("Volume=%S/{name}:{STATE}"));
                self.lines.push(format!("Environment=STATE_DIRECTORY={STATE}"));
                return Ok(format!(
                    "# For the history: wakes, times asleep, holds.\nStateDirectory={name}\n"
                ));
            }
        }
        Ok(String::new())
    }

    /// Mounts the sockets of the engines that the services name, and has a service that names none
    /// use Podman. Answers the units that those engines are.
    fn engines(
        &mut self,
        services: &[Service],
        run: &mut RunArgs,
    ) -> anyhow::Result<Vec<&'static str>> {
        let mut words: Vec<&str> =
            services.iter().map(|service| service.settings.engine.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        let mut units = Vec::new();
        for word in words {
            ensure!(
                !matches!(word, "systemd" | "systemd-user"),
                "--unit: a container does not reach the manager of units; `generate systemd` makes \
                 the daemon a service of its own"
            );
            match (word.strip_prefix("unix://"), self.manager) {
                (Some(path), _) => self.mount(Path::new(path), None)?,
                (None, Manager::System) if word == "docker" => {
                    self.mount(Path::new("/var/run/docker.sock"), None)?;
                    units.push("docker.service");
                }
                (None, Manager::User) if word == "docker" => {
                    self.lines.push("Volume=%t/docker.sock:/var/run/docker.sock".to_owned());
                    units.push("docker.service");
                }
                // The folder, as the socket in it is another one after a restart.
                (None, Manager::System) if matches!(word, "podman" | "auto") => {
                    self.mount(Path::new("/run/podman"), None)?;
                    units.push("podman.socket");
                }
                (None, Manager::User) if matches!(word, "podman" | "auto") => {
                    self.lines.push("Volume=%t/podman:/run/podman".to_owned());
                    units.push("podman.socket");
                }
                // At an address.
                (None, Manager::System | Manager::User) => {}
            }
        }
        if run.config.is_none() && run.engine.as_deref().is_none_or(|word| word == "auto") {
            run.engine = Some("podman".to_owned());
        }
        if self.manager == Manager::User {
            // As himself: the engine is told by whose its socket is.
            self.lines.push("UserNS=keep-id".to_owned());
        }
        units.dedup();
        Ok(units)
    }

    /// On the host's network, or on that of the target with the ports published.
    fn network(&mut self, plan: &Plan, run: &mut RunArgs) -> anyhow::Result<()> {
        let listens = |service: &Service| service.settings.listens();
        for listen in plan.services.iter().flat_map(listens) {
            if let ListenAddress::Unix(path) = &listen.address {
                self.mount(path.parent().unwrap_or(Path::new("/")), None)?;
            }
        }
        let ([service], Some(network)) = (&plan.services[..], &run.network) else {
            self.lines.push("Network=host".to_owned());
            return Ok(());
        };
        self.say("Network", network)?;
        let mut inside: Vec<String> = Vec::new();
        for listen in listens(service) {
            let to = listen.port.number;
            let (host, port) = match &listen.address {
                ListenAddress::Unix(path) => {
                    inside.push(format!("unix:{}->{to}", path.display()));
                    continue;
                }
                ListenAddress::Everywhere(port) => (String::new(), port.number),
                ListenAddress::At(_, address) if address.is_ipv6() => {
                    (format!("[{}]:", address.ip()), address.port())
                }
                ListenAddress::At(_, address) => (format!("{}:", address.ip()), address.port()),
            };
            let (prefix, suffix) = match listen.address.protocol() {
                Protocol::Tcp => ("", ""),
                Protocol::Udp => ("udp:", "/udp"),
            };
            self.say("PublishPort", &format!("{host}{port}:{port}{suffix}"))?;
            let own = format!("{prefix}{port}->{to}");
            if !inside.contains(&own) {
                inside.push(own);
            }
        }
        run.listen = inside;
        // The same socket for two ports: what two addresses tell apart outside, one cannot inside.
        run.plan().context("with its ports published on --network")?;
        Ok(())
    }

    fn text(self, plan: &Plan, engines: &[&str], state: &str) -> String {
        let control = match self.manager {
            Manager::System => "systemctl",
            Manager::User => "systemctl --user",
        };
        let dir = match self.manager {
            Manager::System => "/etc/containers/systemd",
            Manager::User => "~/.config/containers/systemd",
        };
        let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
        let units = engines.join(" ");
        let mut order = String::new();
        if !units.is_empty() {
            // Writing to a String does not fail.
            _ = write!(order, "Wants={units}\nAfter={units}\n");
        }
        let stop = plan.drain_timeout.saturating_add(STOPPING).as_secs();
        let wanted = match self.manager {
            Manager::System => "multi-user.target",
            Manager::User => "default.target",
        };
        format!(
            "# Made by `ondemand-container generate quadlet`. It goes to {dir}.\n\
             # `{control} daemon-reload` makes a service of it, which starts with the machine.\n\
             \n\
             [Unit]\n\
             Description=On-demand {} {}\n\
             {order}\
             \n\
             [Container]\n\
             {}\n\
             # systemd and `podman ps` know when it is ready.\n\
             Notify=true\n\
             # Whoever can use an engine's socket is root in all but name; everything else is kept from it.\n\
             ReadOnly=true\n\
             DropCapability=all\n\
             {}\
             NoNewPrivileges=true\n\
             # Labels of SELinux would keep it from the engine's socket.\n\
             SecurityLabelDisable=true\n\
             PodmanArgs=--stop-timeout={stop}\n\
             \n\
             [Service]\n\
             {state}\
             Restart=on-failure\n\
             RestartSec=2s\n\
             # Wrong usage, no permission, wrong configuration: trying again does not help.\n\
             RestartPreventExitStatus=2 77 78\n\
             TimeoutStopSec={}\n\
             \n\
             [Install]\n\
             WantedBy={wanted}\n",
            if names.len() == 1 { "container" } else { "containers" },
            names.join(" "),
            self.lines.join("\n"),
            match self.manager {
                Manager::System => "# For ports below 1024.\nAddCapability=NET_BIND_SERVICE\n",
                Manager::User => "",
            },
            stop.saturating_add(10),
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command, Generate};

    fn quadlet(line: &str) -> anyhow::Result<Generated> {
        let line = format!("ondemand-container generate quadlet {line}");
        let cli = Cli::parse_from(line.split(' '));
        let Some(Command::Generate(Generate::Quadlet(args))) = cli.command else {
            panic!("{line}")
        };
        container(&args)
    }

    #[track_caller]
    fn says(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn alone_it_is_on_the_hosts_network_with_podmans_socket() {
        let file = quadlet("-c gitea -p 3000 -l 127.0.0.1:80->3000 --drain-timeout 1m").unwrap();
        assert_eq!(file.name, "ondemand-gitea.container");
        says(
            &file.text,
            &[
                "Image=localhost/ondemand-container:latest",
                "Network=host",
                "Volume=/run/podman:/run/podman",
                "After=podman.socket",
                "HealthCmd=[\"/ondemand-container\",\"status\",\"--control\",\
                 \"/tmp/ondemand-container.sock\"]",
                "Exec=--container gitea --port 3000 --listen 127.0.0.1:80->3000 --engine podman \
                 --drain-timeout 1m --control /tmp/ondemand-container.sock",
                "PodmanArgs=--stop-timeout=120",
                "Volume=%S/ondemand-gitea:/var/lib/ondemand-container",
                "Environment=STATE_DIRECTORY=/var/lib/ondemand-container",
                "StateDirectory=ondemand-gitea",
            ],
        );
        assert!(!file.text.contains("PublishPort="));
    }

    #[test]
    fn on_a_network_its_ports_are_published() {
        let line = "-c dns -p 53,53/udp -l 127.0.0.1:53 -l [::1]:53 -l udp:5353 --network lan --user \
                    --engine docker";
        let file = quadlet(line).unwrap();
        says(
            &file.text,
            &[
                "Network=lan",
                "PublishPort=127.0.0.1:53:53",
                "PublishPort=[::1]:53:53",
                "PublishPort=5353:5353/udp",
                "Volume=%t/docker.sock:/var/run/docker.sock",
                "UserNS=keep-id",
                "WantedBy=default.target",
            ],
        );
        assert!(file.text.contains("--listen 53->53 --listen udp:5353->53 --network lan"));
    }

    #[test]
    fn what_it_cannot_be_is_refused() {
        let wrong = |line: &str| format!("{:#}", quadlet(line).unwrap_err());
        assert!(wrong("-c a -p 1 --exit-idle-time 1m").contains("--exit-idle-time"));
        assert!(wrong("-c a/b -p 1").contains("is not a container name"));
        assert!(wrong("--unit a -p 1 -l 2").contains("`generate systemd`"));
        assert!(
            wrong("-c a -p 1,2 -l 127.0.0.1:9->1 -l 127.0.0.2:9->2 --network n").contains("twice")
        );
        assert!(wrong("-c a -p 1 -l unix:/a:b/c").contains("a colon"));
    }
}
