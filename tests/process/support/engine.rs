//! A scripted container engine: Docker's API for one container, on a Unix socket.
//!
//! It counts every call, misbehaves on request, and notes what no daemon may do to it: two
//! operations at once, or a stop while the application has a connection.
#![allow(clippy::unwrap_used, reason = "a test without threads or sockets cannot go on")]

mod api;
mod deeds;
mod faults;

use std::collections::{BTreeSet, HashMap};
use std::io::{BufReader, Read};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use socket2::SockRef;

use self::faults::Script;
pub(crate) use self::faults::{Call, Fault};
use super::app::App;
use super::container::{Container, Status};
use super::http::read_request;
use super::{lock, wait_until};

/// A handle; clones are the same engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: PathBuf,
    app: App,
    world: Mutex<World>,
    thawed: Condvar,
}

#[derive(Debug)]
struct World {
    container: Option<Container>,
    serial: u32,
    script: Script,
    counts: HashMap<Call, usize>,
    /// The query of the last call of a kind.
    queries: HashMap<Call, String>,
    /// What exec'd health checks return; forbidden when there is none.
    check_exit: Option<i64>,
    sends_events: bool,
    frozen: bool,
    gate_open: bool,
    listener: Option<UnixListener>,
    connections: Vec<UnixStream>,
    subscribers: Vec<Sender<String>>,
    /// Every event so far, and when it was told.
    told: Vec<(Instant, String)>,
    /// How many calls there were.
    calls: usize,
    /// The calls that are operations, and in flight.
    operations: BTreeSet<usize>,
    /// How often it has gone.
    departures: usize,
    offences: Vec<String>,
}

impl Engine {
    /// An engine that listens on `socket` and has the stopped container `app`.
    pub(crate) fn start(socket: &Path, app: &App) -> Self {
        let world = World {
            container: Some(Container::new(1)),
            serial: 1,
            script: Script::default(),
            counts: HashMap::new(),
            queries: HashMap::new(),
            check_exit: Some(0),
            sends_events: true,
            frozen: false,
            gate_open: false,
            listener: None,
            connections: Vec::new(),
            subscribers: Vec::new(),
            told: Vec::new(),
            calls: 0,
            operations: BTreeSet::new(),
            departures: 0,
            offences: Vec::new(),
        };
        let engine = Self(Arc::new(Inner {
            socket: socket.to_owned(),
            app: app.clone(),
            world: Mutex::new(world),
            thawed: Condvar::new(),
        }));
        engine.come_back();
        engine
    }

    /// Its address as `--engine` takes it.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.0.socket.display())
    }

    /// Listens (again).
    pub(crate) fn come_back(&self) {
        let mut world = lock(&self.0.world);
        drop(std::fs::remove_file(&self.0.socket));
        let listener = UnixListener::bind(&self.0.socket).unwrap();
        world.listener = Some(listener.try_clone().unwrap());
        let life = world.departures;
        drop(world);
        let engine = self.clone();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                engine.serve(stream, life);
            }
        });
    }

    /// Stops listening and drops every connection; the container goes on, as under
    /// `live-restore`. The socket file stays: connecting is refused.
    pub(crate) fn refuse(&self) {
        let mut world = lock(&self.0.world);
        if let Some(listener) = world.listener.take() {
            drop(SockRef::from(&listener).shutdown(Shutdown::Both));
        }
        world.departures += 1;
        world.operations.clear();
        world.subscribers.clear();
        for connection in world.connections.drain(..) {
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    /// As [`Self::refuse`], and the socket file is gone too.
    pub(crate) fn go_away(&self) {
        self.refuse();
        drop(std::fs::remove_file(&self.0.socket));
    }

    /// Lets nobody but root use the socket, and not even root when the tests are not root.
    pub(crate) fn lock_out(&self) {
        std::fs::set_permissions(&self.0.socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    }

    /// Takes connections and requests, answers nothing: a stopped process.
    pub(crate) fn freeze(&self) {
        lock(&self.0.world).frozen = true;
    }

    /// Ends [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        lock(&self.0.world).frozen = false;
        self.0.thawed.notify_all();
    }

    /// Lets [`Fault::Gated`] calls go on, now and later.
    pub(crate) fn proceed(&self) {
        lock(&self.0.world).gate_open = true;
        self.0.thawed.notify_all();
    }

    /// Misbehaves at the next call of this kind; several wait in line.
    pub(crate) fn once(&self, call: Call, fault: Fault) {
        lock(&self.0.world).script.once(call, fault);
    }

    /// Misbehaves at every call of this kind until healed.
    pub(crate) fn always(&self, call: Call, fault: Fault) {
        lock(&self.0.world).script.always(call, fault);
    }

    /// Behaves from now on.
    pub(crate) fn heal(&self) {
        lock(&self.0.world).script = Script::default();
    }

    /// From now on events are lost.
    pub(crate) fn lose_events(&self) {
        lock(&self.0.world).sends_events = false;
    }

    /// The exit code of exec'd health checks; none forbids exec, as a filtered socket does.
    pub(crate) fn check_exits(&self, code: Option<i64>) {
        lock(&self.0.world).check_exit = code;
    }

    /// How many calls of this kind arrived, answered or not.
    pub(crate) fn count(&self, call: Call) -> usize {
        lock(&self.0.world).counts.get(&call).copied().unwrap_or(0)
    }

    /// The query of the last call of this kind.
    pub(crate) fn query(&self, call: Call) -> String {
        lock(&self.0.world).queries.get(&call).cloned().unwrap_or_default()
    }

    /// How many calls of any kind arrived.
    pub(crate) fn count_all(&self) -> usize {
        lock(&self.0.world).counts.values().sum()
    }

    /// How many calls there were once no more come: what a wake itself still asks for, such as the
    /// event stream, comes to an end first.
    pub(crate) fn settled(&self) -> usize {
        let (mut calls, mut quiet) = (self.count_all(), 0);
        // Counted in looks, of which there is one a millisecond: a stall is no quiet.
        wait_until("the engine to be left alone", || {
            let seen = self.count_all();
            quiet = if seen == calls { quiet + 1 } else { 0 };
            calls = seen;
            quiet > 300
        });
        calls
    }

    /// Waits until that many calls of this kind have arrived.
    pub(crate) fn wait_count(&self, call: Call, count: usize) {
        wait_until(&format!("{call:?} call number {count}"), || self.count(call) >= count);
    }

    /// Waits for a state of the container.
    pub(crate) fn wait_status(&self, status: Status) {
        wait_until(&format!("{status:?}"), || self.status() == Some(status));
    }

    /// The container's state; none without a container.
    pub(crate) fn status(&self) -> Option<Status> {
        lock(&self.0.world).container.as_ref().map(|container| container.status)
    }

    /// Changes the container beneath the engine: no event, no count.
    pub(crate) fn alter(&self, change: impl FnOnce(&mut Container)) {
        if let Some(container) = &mut lock(&self.0.world).container {
            change(container);
        }
    }

    /// Forgives what was noted so far: for tests that force a stop.
    pub(crate) fn forgive(&self) {
        lock(&self.0.world).offences.clear();
    }

    /// What the daemon should not have done.
    pub(crate) fn offences(&self) -> Vec<String> {
        lock(&self.0.world).offences.clone()
    }

    fn serve(&self, stream: UnixStream, life: usize) {
        let mut world = lock(&self.0.world);
        if world.departures != life {
            // It has gone while this one was being accepted.
            return;
        }
        world.connections.push(stream.try_clone().unwrap());
        drop(world);
        let engine = self.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            while let Ok(Some(request)) = read_request(&mut reader) {
                if engine.handle(&request, &mut stream).is_err() {
                    break;
                }
            }
            drop(stream.shutdown(Shutdown::Both));
        });
    }

    /// Waits while the engine is frozen.
    fn wait_thawed(&self) {
        let world = lock(&self.0.world);
        drop(self.0.thawed.wait_while(world, |world| world.frozen));
    }

    /// Waits for [`Self::proceed`].
    fn wait_gate(&self) {
        let world = lock(&self.0.world);
        drop(self.0.thawed.wait_while(world, |world| !world.gate_open));
    }
}

/// Blocks until the peer gives up or the engine goes away.
fn hang(stream: &mut UnixStream) {
    drop(stream.read(&mut [0]));
}
