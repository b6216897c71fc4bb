//! A Docker daemon of a test's own, in a network namespace of its own: it may be killed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::clock::{ms, poll, secs};
use super::daemon::{BINARY, Daemon};
use super::engine::{Engine, IMAGE, Kind};
use super::scratch::Dir;

/// `dockerd --live-restore` with a containerd that outlives it.
#[derive(Debug)]
pub(crate) struct PrivateDocker {
    containerd: Child,
    dockerd: Option<Child>,
    dir: Dir,
}

impl PrivateDocker {
    /// Starts it with the test image in it.
    pub(crate) fn start() -> Self {
        let dir = Dir::new();
        let containerd = spawn_containerd(&dir);
        let mut docker = PrivateDocker { containerd, dockerd: None, dir };
        docker.start_dockerd();
        let machines = Engine::get(Kind::Docker);
        let image = docker.dir.join("image.tar");
        machines.cli(&["save", "-o", image.to_str().unwrap(), IMAGE]);
        docker.engine().cli(&["load", "-q", "-i", image.to_str().unwrap()]);
        docker
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::private_docker(&self.dir.join("docker.sock"))
    }

    pub(crate) fn start_dockerd(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("dockerd.log"))
            .unwrap();
        let in_dir = |name: &str| self.dir.join(name).display().to_string();
        std::fs::write(self.dir.join("daemon.json"), "{}").unwrap();
        // A daemon that was killed leaves its process ID behind, which somebody else may have.
        _ = std::fs::remove_file(self.dir.join("docker.pid"));
        let dockerd = self
            .inside("dockerd")
            .args(["--live-restore", "--storage-driver", "vfs"])
            .args(["--config-file", &in_dir("daemon.json"), "--pidfile", &in_dir("docker.pid")])
            .args(["--data-root", &in_dir("data"), "--exec-root", &in_dir("exec")])
            .args(["--containerd", &in_dir("containerd.sock")])
            .args(["-H", &format!("unix://{}", in_dir("docker.sock"))])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.dockerd = Some(dockerd);
        let engine = self.engine();
        if poll(secs(90), || engine.answers().then_some(())).is_none() {
            let log = std::fs::read_to_string(self.dir.join("dockerd.log")).unwrap_or_default();
            panic!("the private dockerd does not answer: {log}");
        }
    }

    /// Ends it without a word, as a crash does.
    pub(crate) fn kill_dockerd(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            dockerd.kill().unwrap();
            dockerd.wait().unwrap();
        }
    }

    /// A command inside of the namespace where the containers have their addresses.
    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.containerd.id().to_string(), program]);
        command.stdin(Stdio::null());
        command
    }

    /// The daemon inside of the namespace, reached through a Unix socket, which knows no networks.
    pub(crate) fn start_daemon(&self, container: &str, flags: &str) -> (Daemon, String) {
        let socket = self.dir.join("clients.sock").display().to_string();
        let mut command = self.inside(BINARY);
        command.args(["--engine", &self.engine().url()]);
        command.args(["--container", container, "--port", "8080"]);
        command.args(["--listen", &format!("unix:{socket}")]).args(flags.split_whitespace());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        (Daemon::spawn(command, nowhere), socket)
    }
}

fn spawn_containerd(dir: &Dir) -> Child {
    let in_dir = |name: &str| dir.join(name).display().to_string();
    let config = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n",
        in_dir("containerd"),
        in_dir("containerd-state"),
        in_dir("containerd.sock"),
    );
    std::fs::write(dir.join("containerd.toml"), config).unwrap();
    let log = std::fs::File::create(dir.join("containerd.log")).unwrap();
    let script = "ip link set lo up && exec containerd --config \"$0\"";
    let mut containerd = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script, &in_dir("containerd.toml")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let socket = dir.join("containerd.sock");
    if poll(secs(60), || Path::new(&socket).exists().then_some(())).is_none() {
        _ = containerd.kill();
        _ = containerd.wait();
        panic!("containerd does not come up");
    }
    containerd
}

impl Drop for PrivateDocker {
    fn drop(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            // Politely, so that it unmounts what it has mounted.
            _ = rustix::process::kill_process(
                rustix::process::Pid::from_child(&dockerd),
                rustix::process::Signal::TERM,
            );
            if poll(secs(10), || dockerd.try_wait().ok().flatten()).is_none() {
                _ = dockerd.kill();
            }
            _ = dockerd.wait();
        }
        std::thread::sleep(ms(100));
        _ = self.containerd.kill();
        _ = self.containerd.wait();
    }
}
