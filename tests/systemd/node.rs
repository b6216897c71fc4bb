//! A container whose process 1 is systemd, and what can be done in it from outside.
#![allow(dead_code, reason = "each kind of machine uses its own part")]

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::live::client::{self, Answer};
use crate::live::clock::{poll, secs, wait_for};
use crate::live::engine::Engine;

/// systemd wants the cgroup tree of its namespace writable.
const INIT: &str = "umount -R /sys/fs/cgroup; \
    mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup && exec /sbin/init";

/// Removed with its test, volumes included.
pub(crate) struct Node<'e> {
    name: String,
    engine: &'e Engine,
    address: IpAddr,
}

impl<'e> Node<'e> {
    /// Creates the container; `options` are those of the engine's `create`, beside what systemd
    /// needs. Files can be copied into it before it boots.
    pub(crate) fn create(engine: &'e Engine, name: &str, image: &str, options: &[&str]) -> Self {
        let node = Node { name: name.to_owned(), engine, address: [0, 0, 0, 0].into() };
        let label = format!("ondemand-test={name}");
        let mut words = vec!["create", "--name", name, "--label", &label];
        words.extend(["--cgroupns", "private", "--cap-add", "SYS_ADMIN"]);
        // To look at the daemon's process from outside of it.
        words.extend(["--cap-add", "SYS_PTRACE"]);
        words.extend(["--security-opt", "apparmor=unconfined", "--stop-signal", "SIGRTMIN+3"]);
        words.extend(options);
        words.extend([image, "/bin/sh", "-c", INIT]);
        engine.cli(&words);
        node
    }

    /// A file or a directory of this machine, copied to a path of it.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        self.engine.cli(&["cp", from, &format!("{}:{to}", self.name)]);
    }

    /// Starts it, and waits until systemd is up.
    pub(crate) fn boot(&mut self) {
        self.engine.cli(&["start", &self.name]);
        let template = "{{.NetworkSettings.IPAddress}}";
        let address = self.engine.cli(&["inspect", "-f", template, &self.name]);
        self.address = address.parse().unwrap();
        let booted = poll(secs(120), || {
            // It fails for "degraded": something of no concern here may fail on one machine or another.
            let (Ok(state) | Err(state)) = self.try_run("systemctl is-system-running");
            matches!(state.as_str(), "running" | "degraded").then_some(())
        });
        if booted.is_none() {
            let state = self.try_run("systemctl is-system-running; systemctl list-jobs");
            let log = self.engine.try_cli(&["logs", &self.name]);
            panic!("systemd does not come up in a container: {state:?} {log:?}");
        }
    }

    /// Runs a shell script as root; it has to succeed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        match self.try_run(script) {
            Ok(output) => output,
            Err(error) => panic!("{script}: {error}"),
        }
    }

    /// Runs a shell script as root: what it writes to either output.
    pub(crate) fn try_run(&self, script: &str) -> Result<String, String> {
        self.try_run_with(&[], script)
    }

    /// As [`Node::try_run`], with options of the engine's `exec`.
    pub(crate) fn try_run_with(&self, options: &[&str], script: &str) -> Result<String, String> {
        let script = format!("exec 2>&1; {script}");
        let run = self
            .docker()
            .arg("exec")
            .args(options)
            .args([&self.name, "/bin/sh", "-c", &script])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&run.stdout).trim().to_owned();
        if run.status.success() { Ok(text) } else { Err(text) }
    }

    /// Runs a shell script as root with what `from` writes as its input; both have to succeed.
    #[track_caller]
    pub(crate) fn feed(&self, script: &str, from: &mut Command) {
        self.feed_with(&[], script, from);
    }

    /// As [`Node::feed`], with options of the engine's `exec`.
    #[track_caller]
    pub(crate) fn feed_with(&self, options: &[&str], script: &str, from: &mut Command) {
        let mut from = from.stdout(Stdio::piped()).spawn().unwrap();
        let run = self
            .docker()
            .args(["exec", "-i"])
            .args(options)
            .args([&self.name, "/bin/sh", "-c", script])
            .stdin(from.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(from.wait().unwrap().success());
        assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// Writes a file, and the directories that lead to it.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, text: &str) {
        let script = format!("mkdir -p \"$(dirname '{path}')\" && cat > '{path}'");
        self.feed(&script, Command::new("printf").args(["%s", text]));
    }

    /// One property of a unit.
    #[track_caller]
    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        self.run(&format!("systemctl show -P {property} '{unit}'"))
    }

    #[track_caller]
    pub(crate) fn wait_show(&self, unit: &str, property: &str, value: &str, limit: Duration) {
        let what = format!("{property} of {unit} is {value}");
        wait_for(&what, limit, || self.show(unit, property) == value);
    }

    /// What the journal has about the units that match.
    pub(crate) fn journal(&self, units: &str) -> String {
        self.run(&format!("journalctl --no-pager -o cat -u '{units}'"))
    }

    /// What the journal has about the units, as soon as each of the words is in it: journald stores a line
    /// some time after it was written.
    #[track_caller]
    pub(crate) fn wait_journal(&self, units: &str, words: &[&str]) -> String {
        let mut journal = String::new();
        let told = poll(Duration::from_secs(20), || {
            journal = self.journal(units);
            words.iter().all(|words| journal.contains(words)).then_some(())
        });
        assert!(told.is_some(), "not all of {words:?} in the journal of {units}: {journal}");
        journal
    }

    pub(crate) fn enable(&self, unit: &str) {
        self.run(&format!("systemctl enable --now '{unit}'"));
    }

    /// Gets an interface on another network, as a host has one on each.
    pub(crate) fn join(&self, network: &str) {
        self.engine.cli(&["network", "connect", network, &self.name]);
    }

    /// One of its ports.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    /// One HTTP request to port 3000; it has to be answered.
    #[track_caller]
    pub(crate) fn get(&self) -> Answer {
        match client::get(self.at(3000), "/") {
            Ok(answer) => answer,
            Err(error) => panic!("{error}"),
        }
    }

    fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &self.engine.url()]);
        command
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.try_run("journalctl --no-pager -o short-precise -n 200");
            eprintln!("--- journal ---\n{}", journal.unwrap_or_else(|error| error));
        }
        // It may not have come into being.
        _ = self.engine.try_cli(&["rm", "-f", "-v", &self.name]);
    }
}
