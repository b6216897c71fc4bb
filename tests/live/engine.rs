//! A real engine: the machine's Docker, or a Podman service with storage of the tests' own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::clock::{ms, poll, secs};
use super::scratch::Dir;

const DOCKER_SOCKET: &str = "/var/run/docker.sock";
pub(crate) const IMAGE: &str = "ondemand-fixture:test";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Docker,
    Podman,
}

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    pub(crate) socket: PathBuf,
    /// For Docker: where the client finds the daemon; for Podman: the tests' own wrapper.
    cli: Vec<String>,
    service: Mutex<Option<Child>>,
    pub(crate) dir: Dir,
}

impl Engine {
    /// The engine, known to answer and to have the image. A missing one is a failure: a test that
    /// did not run has shown nothing.
    pub(crate) fn get(kind: Kind) -> Self {
        let dir = Dir::new();
        let (socket, cli) = match kind {
            Kind::Docker => docker_at(Path::new(DOCKER_SOCKET)),
            Kind::Podman => {
                let wrapper = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-podman");
                (dir.join("podman.sock"), vec![wrapper.to_owned()])
            }
        };
        let engine = Engine { kind, socket, cli, service: Mutex::new(None), dir };
        if let Err(error) = engine.try_cli(&["image", "inspect", IMAGE]) {
            panic!("{kind:?} or its image {IMAGE} is missing; `make setup` brings both: {error}");
        }
        if kind == Kind::Podman {
            engine.start_service();
        }
        engine
    }

    /// A Docker daemon that a test has started itself.
    pub(crate) fn private_docker(socket: &Path) -> Self {
        let (socket, cli) = docker_at(socket);
        Engine { kind: Kind::Docker, socket, cli, service: Mutex::new(None), dir: Dir::new() }
    }

    /// The value for `--engine`.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Runs the engine's own command line; it has to succeed.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        match self.try_cli(words) {
            Ok(output) => output,
            Err(error) => panic!("{:?} {}: {error}", self.kind, words.join(" ")),
        }
    }

    /// Runs the engine's own command line: standard output, or standard error when it failed.
    pub(crate) fn try_cli(&self, words: &[&str]) -> Result<String, String> {
        let output = self.command(words).output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.cli[0]);
        command.args(&self.cli[1..]).args(words).stdin(Stdio::null());
        command
    }

    /// Podman only: starts the API service and waits until it answers.
    pub(crate) fn start_service(&self) {
        assert_eq!(self.kind, Kind::Podman);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("podman.log"))
            .unwrap();
        let service = self
            .command(&["system", "service", "--time=0", &self.url()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.service.lock().unwrap() = Some(service);
        if poll(secs(20), || self.answers().then_some(())).is_none() {
            let log = std::fs::read_to_string(self.dir.join("podman.log")).unwrap_or_default();
            panic!("the Podman service does not answer; `make setup` may help: {log}");
        }
    }

    /// Podman only: the service dies without a word and its socket file stays.
    pub(crate) fn kill_service(&self) {
        if let Some(mut service) = self.service.lock().unwrap().take() {
            service.kill().unwrap();
            service.wait().unwrap();
        }
    }

    pub(crate) fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(&self.socket) else { return false };
        stream.set_read_timeout(Some(ms(10_000))).unwrap();
        let mut head = [0; 12];
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n").is_ok()
            && stream.read_exact(&mut head).is_ok()
            && head.ends_with(b"200")
    }
}

fn docker_at(socket: &Path) -> (PathBuf, Vec<String>) {
    let host = format!("unix://{}", socket.display());
    (socket.to_owned(), vec!["docker".to_owned(), "-H".to_owned(), host])
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill_service();
    }
}
