//! A real engine: the machine's Docker, or Podman with the tests' own storage.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cleanup::{self, Leftover, Scratch};
use crate::http::Connection;
use crate::process::{Group, User};

const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// `make setup` imports it.
const IMAGE: &str = "ondemand-fixture:test";

/// The fixture's port.
pub(crate) const PORT: u16 = 8080;

static SERIAL: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Engine {
    pub(crate) name: &'static str,
    pub(crate) socket: PathBuf,
    cli: Vec<String>,
    /// Podman's service, while it is wanted.
    service: Option<Group>,
}

/// A stopped container of the fixture, which echoes on [`PORT`].
pub(crate) struct Container {
    pub(crate) name: String,
    remove: Leftover,
}

impl Engine {
    /// Docker, if it answers and has the image.
    pub(crate) fn docker() -> Option<Self> {
        let engine = Self {
            name: "docker",
            socket: DOCKER_SOCKET.into(),
            cli: vec!["docker".into(), "-H".into(), format!("unix://{DOCKER_SOCKET}")],
            service: None,
        };
        engine.has_image().then_some(engine)
    }

    /// Podman, if the tests' wrapper works and has the image; its service is started here.
    pub(crate) fn podman(root: &Path, scratch: &Scratch) -> Option<Self> {
        let wrapper = root.join("scripts/test-podman").canonicalize().ok()?.display().to_string();
        let socket = scratch.join("podman.sock");
        let mut engine = Self {
            name: "podman",
            socket: socket.clone(),
            cli: vec![wrapper.clone()],
            service: None,
        };
        if !engine.has_image() {
            return None;
        }
        let url = format!("unix://{}", socket.display());
        let words = [wrapper, "system".into(), "service".into(), "--time=0".into(), url];
        let log = scratch.join("podman.log");
        engine.service = Some(Group::start_logged(&words, User::Ours, &log).ok()?);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if Connection::open(&socket).and_then(|mut c| c.call("GET", "/_ping")).is_ok() {
                return Some(engine);
            }
            thread::sleep(Duration::from_millis(20));
        }
        None
    }

    fn has_image(&self) -> bool {
        self.command(&["image", "inspect", IMAGE]).is_ok_and(|()| true)
    }

    fn command(&self, words: &[&str]) -> io::Result<()> {
        let status = Command::new(&self.cli[0])
            .args(&self.cli[1..])
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        let what = words.join(" ");
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{what}: {status}"))) }
    }

    pub(crate) fn create(&self) -> io::Result<Container> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-{}-{serial}", std::process::id());
        let mut remove = self.cli.clone();
        remove.extend(["rm".into(), "-f".into(), name.clone()]);
        let remove = Leftover::Command(remove);
        cleanup::later(remove.clone());
        // The label and the process ID in the name let `make setup` sweep up after a kill -9.
        self.command(&[
            "create",
            "--name",
            &name,
            "--label",
            "ondemand-test=bench",
            IMAGE,
            "serve",
            "echo:8080",
        ])?;
        Ok(Container { name, remove })
    }
}

/// Where the container is reached on the engine's own network.
pub(crate) fn address(engine: &mut Connection, container: &str) -> io::Result<SocketAddr> {
    let (_, seen) = engine.call("GET", &format!("/v1.41/containers/{container}/json"))?;
    let networks = seen["NetworkSettings"]["Networks"].as_object();
    let ip = networks.and_then(|all| {
        all.values().find_map(|network| network["IPAddress"].as_str()?.parse().ok())
    });
    let ip: IpAddr = ip.ok_or_else(|| io::Error::other("the container has no address"))?;
    Ok(SocketAddr::new(ip, PORT))
}

/// Does `what` (start, stop?t=1, pause, unpause) and answers how long the engine took.
pub(crate) fn act(engine: &mut Connection, container: &str, what: &str) -> io::Result<Duration> {
    let began = Instant::now();
    let (status, body) = engine.call("POST", &format!("/v1.41/containers/{container}/{what}"))?;
    if status >= 400 {
        return Err(io::Error::other(format!("{what}: {status} {body}")));
    }
    Ok(began.elapsed())
}

impl Drop for Container {
    fn drop(&mut self) {
        cleanup::now(&self.remove);
    }
}
