//! Everything one test needs, wired together.

use std::net::SocketAddr;
use std::thread;

use super::app::App;
use super::client::Client;
use super::daemon::Daemon;
use super::engine::Engine;
use super::launch::Launch;
use super::notify::Notify;
use super::port::Port;
use super::{TempDir, wait_until};

/// An engine with a stopped container, the application in it, and a port for the daemon.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) app: App,
    pub(crate) port: Port,
    pub(crate) notify: Notify,
    pub(crate) dir: TempDir,
}

impl Scene {
    /// Sets it up.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new();
        let app = App::new();
        let engine = Engine::start(&dir.join("engine.sock"), &app);
        let notify = Notify::listen(&dir.join("notify"));
        Self { engine, app, port: Port::reserve(), notify, dir }
    }

    /// The flags every daemon of this scene gets, without `--listen`. The window is short, the
    /// log talkative.
    pub(crate) fn launch(&self) -> Launch {
        Launch::new()
            .args(["--container", "app", "--port", &self.app.port().to_string()])
            .args(["--engine", &self.engine.url(), "--log-format", "text", "-v"])
            .env("NOTIFY_SOCKET", self.dir.join("notify"))
    }

    /// As [`Self::launch`], listening on this scene's port, with more flags. `--start-timeout` and
    /// the idle window have values here that a flag given later replaces.
    pub(crate) fn launch_with(&self, flags: &[&str]) -> Launch {
        let mut launch = self.launch().args(["--listen", &self.address().to_string()]);
        for (flag, value) in [("--idle-timeout", "200ms"), ("--start-timeout", "5s")] {
            if !flags.contains(&flag) {
                launch = launch.args([flag, value]);
            }
        }
        launch.args(flags.iter().copied())
    }

    /// Runs a daemon with these flags and waits until it listens.
    pub(crate) fn daemon(&self, flags: &[&str]) -> Daemon {
        self.run(self.launch_with(flags))
    }

    /// Runs it and waits until it says it listens.
    pub(crate) fn run(&self, launch: Launch) -> Daemon {
        let before = self.notify.count("READY=1");
        let mut daemon = launch.spawn();
        wait_until("READY=1", || {
            assert!(daemon.runs(), "the daemon ended at once");
            self.notify.count("READY=1") > before
        });
        daemon
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// A new client.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let offences = self.engine.offences();
        self.engine.thaw();
        self.engine.proceed();
        self.engine.go_away();
        self.app.die();
        // In every test, whatever its subject: the daemon keeps to what it promises the engine.
        if !thread::panicking() {
            assert!(offences.is_empty(), "the engine complains: {offences:?}");
        }
    }
}
