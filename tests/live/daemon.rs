//! The real binary, told what to do on its command line and over signals only.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::client::{self, Answer};
use super::clock::{poll, secs};
use super::container::Container;
use super::engine::Engine;
use super::scratch::{self, Dir};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_ondemand-container");

/// A daemon that listens on an address of this test's own.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
    notices: Arc<Mutex<Vec<String>>>,
    _dir: Dir,
}

impl Daemon {
    /// Starts the daemon before port 8080 of the container. `flags` come on top of the engine, the
    /// container and a listening address; a flag given there again wins nothing but its own.
    pub(crate) fn start(engine: &Engine, container: &Container<'_>, flags: &str) -> Self {
        Self::start_on(&engine.url(), &container.name, flags)
    }

    pub(crate) fn start_on(engine: &str, container: &str, flags: &str) -> Self {
        let address = SocketAddr::from((scratch::address(), 1024 + scratch::number()));
        let mut command = Command::new(BINARY);
        command.args(["--engine", engine, "--container", container]);
        if !flags.contains("--listen") {
            command.args(["--listen", &address.to_string()]);
        }
        if !flags.contains("--port") {
            command.args(["--port", "8080"]);
        }
        command.args(flags.split_whitespace());
        Self::spawn(command, address)
    }

    /// Starts the command, which is the daemon or becomes it, and waits until it listens.
    pub(crate) fn spawn(mut command: Command, address: SocketAddr) -> Self {
        let dir = Dir::new();
        let notify = dir.join("notify");
        let notices = Arc::new(Mutex::new(Vec::new()));
        collect_notices(UnixDatagram::bind(&notify).unwrap(), &notices);
        let mut child = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("NOTIFY_SOCKET", &notify)
            .args(["--log-format", "text", "-v"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        collect_log(child.stdout.take().unwrap(), &log);
        collect_log(child.stderr.take().unwrap(), &log);
        let mut daemon = Daemon { child, address, log, notices, _dir: dir };
        daemon.wait_ready();
        daemon
    }

    fn wait_ready(&mut self) {
        let ready = poll(secs(20), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended at once: {status}\n{}", self.log());
            }
            self.notices().iter().any(|notice| notice == "READY=1").then_some(())
        });
        assert!(ready.is_some(), "the daemon never said READY=1");
    }

    pub(crate) fn connect(&self) -> TcpStream {
        client::connect(self.address).unwrap()
    }

    /// One HTTP request on a connection of its own; it has to be answered.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        match client::get(self.address, path) {
            Ok(answer) => answer,
            Err(error) => panic!("GET {path}: {error}"),
        }
    }

    /// Every line the daemon has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str) {
        let found = poll(secs(30), || self.log().contains(text).then_some(()));
        assert!(found.is_some(), "{text:?} is not in the log");
    }

    /// Waits until the service of that container is served there.
    #[track_caller]
    pub(crate) fn wait_listens(&self, address: SocketAddr, container: &str) {
        let address = address.to_string();
        self.wait_log(&format!("listening address={address:?} container={container}"));
    }

    /// What was told to the service manager, one assignment each.
    pub(crate) fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    #[track_caller]
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let Some(status) = poll(limit, || self.child.try_wait().unwrap()) else {
            panic!("the daemon has not ended within {limit:?}")
        };
        status
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}", self.log());
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn collect_log(from: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
}

fn collect_notices(socket: UnixDatagram, notices: &Arc<Mutex<Vec<String>>>) {
    let notices = Arc::clone(notices);
    thread::spawn(move || {
        let mut datagram = [0; 4096];
        while let Ok(length) = socket.recv(&mut datagram) {
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            notices.lock().unwrap().extend(text.lines().map(str::to_owned));
        }
    });
}
