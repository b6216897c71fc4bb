//! A scripted systemd on a bus of its own: one socket that is bus and manager in one.
//!
//! It counts what it is asked, and has the application run while its unit `app.service` is active.
#![allow(clippy::unwrap_used, reason = "a test without threads or sockets cannot go on")]

mod objects;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;
use zbus::connection::Builder;
use zbus::zvariant::{OwnedObjectPath, Value};
use zbus::{Connection, Guid};

use self::objects::{Manager, Refusal, ServiceObject, TheBus, UnitObject};
use super::app::App;
use super::lock;

const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const UNITS: &str = "/org/freedesktop/systemd1/unit/";

/// What a call to start or stop comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The job ends with that word; with `done` the unit is what was asked for.
    Job(&'static str),
    /// The unit activates, and is active so long after.
    Activates(Duration),
    /// The unit activates, and fails so long after.
    Fails(Duration),
    /// It is denied by polkit.
    Denied,
    /// The bus breaks before the answer; what was asked for is done.
    Lost,
}

/// A handle; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Systemd(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: PathBuf,
    app: App,
    world: Mutex<World>,
    /// Leaked: its own tasks hold this, and none of them may be the one to end it.
    runtime: &'static Runtime,
}

#[derive(Debug, Default)]
struct World {
    unit: Unit,
    /// Units beside `app.service`, all of them at rest.
    others: Vec<String>,
    script: VecDeque<Outcome>,
    starts: usize,
    stops: usize,
    jobs: u32,
    lives: u8,
    stamp: u64,
    connections: Vec<Connection>,
    accepting: Option<AbortHandle>,
    /// How often the bus has gone: a connection that was being made then is of no use.
    departures: usize,
}

#[derive(Debug, Clone)]
struct Unit {
    load: String,
    active: String,
    sub: String,
    freezer: String,
    result: String,
    status: i32,
    invocation: u8,
    left_rest: u64,
    active_since: u64,
}

impl Default for Unit {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            load: text("loaded"),
            active: text("inactive"),
            sub: text("dead"),
            freezer: text("running"),
            result: text("success"),
            status: 0,
            invocation: 0,
            left_rest: 0,
            active_since: 0,
        }
    }
}

impl Systemd {
    /// With its bus at `socket` and the stopped unit `app.service`.
    pub(crate) fn start(socket: &Path, app: &App) -> Self {
        Self::with(socket, app, Vec::new())
    }

    /// With these units beside.
    pub(crate) fn with(socket: &Path, app: &App, others: Vec<String>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let world = Mutex::new(World { others, ..World::default() });
        let inner = Inner {
            socket: socket.to_owned(),
            app: app.clone(),
            world,
            runtime: Box::leak(Box::new(runtime.unwrap())),
        };
        let systemd = Self(Arc::new(inner));
        systemd.come_back();
        systemd
    }

    /// What the daemon's environment has for it.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.0.socket.display())
    }

    /// Listens (again).
    pub(crate) fn come_back(&self) {
        drop(std::fs::remove_file(&self.0.socket));
        let _context = self.0.runtime.enter();
        let listener = UnixListener::bind(&self.0.socket).unwrap();
        let systemd = self.clone();
        let accepting = self.0.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let systemd = systemd.clone();
                tokio::spawn(async move { systemd.serve(stream).await });
            }
        });
        lock(&self.0.world).accepting = Some(accepting.abort_handle());
    }

    /// The bus is gone, with every connection and its socket; the unit goes on.
    pub(crate) fn go_away(&self) {
        drop(std::fs::remove_file(&self.0.socket));
        let mut world = lock(&self.0.world);
        if let Some(accepting) = world.accepting.take() {
            accepting.abort();
        }
        world.departures += 1;
        let connections = std::mem::take(&mut world.connections);
        drop(world);
        self.0.runtime.block_on(async {
            for connection in connections {
                drop(connection.close().await);
            }
        });
    }

    /// What the next starts and stops come to; `done` when there is nothing left.
    pub(crate) fn script(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        lock(&self.0.world).script.extend(outcomes);
    }

    /// How often a start was asked for.
    pub(crate) fn starts(&self) -> usize {
        lock(&self.0.world).starts
    }

    /// How often a stop was.
    pub(crate) fn stops(&self) -> usize {
        lock(&self.0.world).stops
    }

    /// The unit's `ActiveState`.
    pub(crate) fn active(&self) -> String {
        lock(&self.0.world).unit.active.clone()
    }

    /// The unit is loaded that way from now on.
    pub(crate) fn load(&self, state: &str) {
        state.clone_into(&mut lock(&self.0.world).unit.load);
        self.0.runtime.block_on(self.emit_reloaded());
    }

    /// It runs because somebody else has started it.
    pub(crate) fn start_behind_our_back(&self) {
        self.0.runtime.block_on(self.set("active", "running"));
    }

    /// It ends because somebody else has stopped it.
    pub(crate) fn stop_behind_our_back(&self) {
        self.0.runtime.block_on(self.set("inactive", "dead"));
    }

    /// Somebody else is stopping it, and that takes its time.
    pub(crate) fn deactivate(&self) {
        self.0.runtime.block_on(self.set("deactivating", "stop-sigterm"));
    }

    /// It is frozen by somebody else.
    pub(crate) fn freeze(&self) {
        self.0.app.freeze();
        "frozen".clone_into(&mut lock(&self.0.world).unit.freezer);
        self.0.runtime.block_on(self.emit_changed());
    }

    /// It says of its state something that no systemd would say.
    pub(crate) fn talk_nonsense(&self) {
        self.0.runtime.block_on(self.set("nonsense\n", "?"));
    }

    async fn serve(&self, stream: tokio::net::UnixStream) {
        let (others, departures) = {
            let world = lock(&self.0.world);
            (world.others.clone(), world.departures)
        };
        let mut builder = Builder::unix_stream(stream).server(Guid::generate()).unwrap().p2p();
        builder = builder.serve_at("/org/freedesktop/DBus", TheBus).unwrap();
        builder = builder.serve_at(MANAGER_PATH, Manager(self.clone())).unwrap();
        let app = UnitObject(self.clone(), None);
        builder = builder.serve_at(format!("{UNITS}app_2eservice"), app).unwrap();
        let service = ServiceObject(self.clone());
        builder = builder.serve_at(format!("{UNITS}app_2eservice"), service).unwrap();
        for other in others {
            let path = format!("{UNITS}{other}_2eservice");
            let unit = UnitObject(self.clone(), Some(format!("{other}.service")));
            builder = builder.serve_at(path, unit).unwrap();
        }
        // A daemon that ends in the middle of this is no concern here.
        if let Ok(connection) = builder.build().await {
            let gone = {
                let mut world = lock(&self.0.world);
                world.connections.push(connection.clone());
                world.departures != departures
            };
            if gone {
                drop(connection.close().await);
            }
        }
    }

    /// Its new state, with what that means for the application, told to whoever listens.
    async fn set(&self, active: &str, sub: &str) {
        {
            let mut world = lock(&self.0.world);
            world.stamp += 1;
            let stamp = world.stamp;
            let rested = matches!(world.unit.active.as_str(), "inactive" | "failed");
            if rested && matches!(active, "active" | "activating") {
                world.lives += 1;
                world.unit.invocation = world.lives;
                world.unit.left_rest = stamp;
                "success".clone_into(&mut world.unit.result);
            }
            if active == "active" {
                world.unit.active_since = stamp;
            }
            active.clone_into(&mut world.unit.active);
            sub.clone_into(&mut world.unit.sub);
        }
        match active {
            "active" => self.0.app.boot(),
            "inactive" | "failed" => self.0.app.die(),
            _ => {}
        }
        self.emit_changed().await;
    }

    async fn emit_changed(&self) {
        let active = self.active();
        let changed = HashMap::from([("ActiveState", Value::from(active))]);
        let body = ("org.freedesktop.systemd1.Unit", changed, Vec::<&str>::new());
        let path = format!("{UNITS}app_2eservice");
        self.emit(&path, "org.freedesktop.DBus.Properties", "PropertiesChanged", &body).await;
    }

    async fn emit_reloaded(&self) {
        self.emit(MANAGER_PATH, "org.freedesktop.systemd1.Manager", "Reloading", &false).await;
    }

    async fn emit<B>(&self, path: &str, interface: &str, member: &str, body: &B)
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let connections = lock(&self.0.world).connections.clone();
        for connection in connections {
            let sent = connection.emit_signal(None::<&str>, path, interface, member, body).await;
            // One that has gone hears nothing.
            drop(sent);
        }
    }

    /// Makes a job and ends it, by the script.
    async fn job(&self, asked: Asked) -> Result<OwnedObjectPath, Refusal> {
        let (number, outcome) = {
            let mut world = lock(&self.0.world);
            if world.unit.load == "masked" {
                return Err(Refusal("org.freedesktop.systemd1.UnitMasked", "Unit is masked."));
            }
            match asked {
                Asked::Start => world.starts += 1,
                Asked::Stop => world.stops += 1,
            }
            world.jobs += 1;
            (world.jobs, world.script.pop_front().unwrap_or(Outcome::Job("done")))
        };
        let (active, sub) = match asked {
            Asked::Start => ("active", "running"),
            Asked::Stop => ("inactive", "dead"),
        };
        let path = OwnedObjectPath::try_from(format!("{MANAGER_PATH}/job/{number}")).unwrap();
        let systemd = self.clone();
        let job = path.clone();
        let end = async move |result: &'static str| {
            let body = (number, job, "app.service", result);
            systemd
                .emit(MANAGER_PATH, "org.freedesktop.systemd1.Manager", "JobRemoved", &body)
                .await;
        };
        let systemd = self.clone();
        match outcome {
            Outcome::Denied => {
                let name = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
                return Err(Refusal(name, "Interactive authentication required."));
            }
            Outcome::Lost => {
                self.set(active, sub).await;
                let connections = std::mem::take(&mut lock(&self.0.world).connections);
                for connection in connections {
                    drop(connection.close().await);
                }
            }
            // Sometimes told before the job's answer is, as by systemd.
            Outcome::Job("done") => {
                self.set(active, sub).await;
                end("done").await;
            }
            Outcome::Job(result) => {
                if result == "failed" {
                    self.fail().await;
                }
                tokio::spawn(async move { end(result).await });
            }
            Outcome::Activates(time) => {
                self.set("activating", "start").await;
                // Its port is open already: that alone is not what the unit calls ready.
                self.0.app.boot();
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    systemd.set("active", "running").await;
                    end("done").await;
                });
            }
            Outcome::Fails(time) => {
                self.set("activating", "start").await;
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    systemd.fail().await;
                    end("failed").await;
                });
            }
        }
        Ok(path)
    }

    async fn fail(&self) {
        {
            let mut world = lock(&self.0.world);
            "exit-code".clone_into(&mut world.unit.result);
            world.unit.status = 37;
        }
        self.set("failed", "failed").await;
        let mut world = lock(&self.0.world);
        "exit-code".clone_into(&mut world.unit.result);
    }

    fn unit(&self) -> Unit {
        lock(&self.0.world).unit.clone()
    }
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Start,
    Stop,
}
