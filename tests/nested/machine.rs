//! A machine of its own: Debian 13 with systemd 257, Docker 26, Podman 5 and compose 2.

use std::ops::Deref;
use std::path::Path;
use std::process::Command;

use crate::live::built;
use crate::live::engine::{Engine, IMAGE, Kind};
use crate::live::scratch;
use crate::systemd::node::Node;

pub(crate) const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// What `scripts/nested-image.sh` has made.
const NESTED: &str = "ondemand-nested:test";

/// What engines need in it, beside what systemd does.
const CAPABILITIES: &[&str] = &[
    "NET_ADMIN",
    "NET_RAW",
    "SYS_NICE",
    "SYS_TIME",
    "SYSLOG",
    "IPC_LOCK",
    "MKNOD",
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "DAC_READ_SEARCH",
];

/// Containers have their layers there; an overlay over the machine's own is not to be had.
const VOLUMES: &[&str] = &["/var/lib/docker", "/var/lib/containers", "/home/user"];

/// The machine, booted, with the daemon in its path; it is gone with its test.
pub(crate) struct Machine<'e>(Node<'e>);

impl<'e> Machine<'e> {
    /// `host` is this machine's own Docker.
    pub(crate) fn boot(host: &'e Engine) -> Self {
        assert_eq!(host.kind, Kind::Docker);
        if let Err(error) = host.try_cli(&["image", "inspect", NESTED]) {
            panic!("the image {NESTED} is missing; `scripts/setup.sh nested` builds it: {error}");
        }
        let name = format!("odt-{}-{}", std::process::id(), scratch::number());
        let mut words = vec!["--tmpfs", "/run:exec", "--tmpfs", "/run/lock"];
        words.extend(["--tmpfs", "/tmp:exec"]);
        words.extend(CAPABILITIES.iter().flat_map(|capability| ["--cap-add", capability]));
        words.extend(["--security-opt", "seccomp=unconfined"]);
        words.extend(["--security-opt", "systempaths=unconfined"]);
        words.extend(VOLUMES.iter().flat_map(|volume| ["--volume", volume]));
        // For the network of those without root.
        if Path::new("/dev/net/tun").exists() {
            words.extend(["--device", "/dev/net/tun"]);
        }
        let mut node = Node::create(host, &name, NESTED, &words);
        let daemon = built::binary("ondemand-container");
        node.copy(daemon.to_str().unwrap(), "/usr/local/bin/ondemand-container");
        node.boot();
        Machine(node)
    }

    /// Gives one of its engines the test image; `load` is a command in it, like `podman load`.
    #[track_caller]
    pub(crate) fn load_fixture(&self, load: &str) {
        self.feed(load, Command::new("docker").args(["save", IMAGE]));
    }

    /// Gives Podman the daemon as an image, as `make image` makes it.
    #[track_caller]
    pub(crate) fn build_image(&self) {
        self.copy(&format!("{REPOSITORY}/Dockerfile"), "/srv/Dockerfile");
        self.run(
            "cd /srv && cp /usr/local/bin/ondemand-container . && \
             podman build --quiet --tag ondemand-container --build-arg BINARY=ondemand-container .",
        );
    }

    /// Starts the daemon as a service of that name, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start_daemon(&self, unit: &str, flags: &str) {
        self.run(&format!(
            "systemd-run --quiet --unit={unit} -p Type=notify ondemand-container {flags}"
        ));
    }
}

/// Somebody without root, whose service manager runs: `user` of the image.
pub(crate) struct User<'m> {
    machine: &'m Machine<'m>,
}

/// As after a login.
const LOGIN: &[&str] = &[
    "--user",
    "user",
    "--workdir",
    "/home/user",
    "--env",
    "HOME=/home/user",
    "--env",
    "XDG_RUNTIME_DIR=/run/user/1000",
    "--env",
    "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus",
];

impl<'m> User<'m> {
    /// His manager is up when this returns, and his Podman has the test image and a socket.
    pub(crate) fn of(machine: &'m Machine<'m>) -> Self {
        // What a distribution's udev does for the network of those without root.
        machine.run("chmod 666 /dev/net/tun");
        machine.run("loginctl enable-linger user && systemctl start user@1000.service");
        let user = User { machine };
        machine.feed_with(LOGIN, "podman load", Command::new("docker").args(["save", IMAGE]));
        user.run("systemctl --user enable --now podman.socket");
        user
    }

    /// Runs a shell script as that user; it has to succeed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        match self.machine.try_run_with(LOGIN, script) {
            Ok(output) => output,
            Err(error) => panic!("{script}: {error}"),
        }
    }

    /// What the journal has about a unit of his.
    pub(crate) fn journal(&self, unit: &str) -> String {
        self.machine.run(&format!("journalctl --no-pager -o cat _SYSTEMD_USER_UNIT={unit}"))
    }
}

impl<'e> Deref for Machine<'e> {
    type Target = Node<'e>;

    fn deref(&self) -> &Node<'e> {
        &self.0
    }
}
