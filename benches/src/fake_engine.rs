//! An engine without containers: what an engine costs is out of the picture.
//!
//! It answers what the daemon asks of Docker for one container on the host's network. A start runs
//! this binary's own backend, which boots for a given time; the moment it listens is known.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};

use crate::http::{read_request, write_answer};
use crate::process::{Group, User, own_path};

/// What the container does once it is started.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) port: u16,
    pub(crate) backlog: u32,
    pub(crate) boot_ms: u64,
}

/// A handle; the engine ends with the process.
#[derive(Clone)]
pub(crate) struct FakeEngine {
    shared: Arc<Shared>,
    pub(crate) socket: PathBuf,
}

struct Shared {
    calls: AtomicU64,
    state: Mutex<State>,
}

struct State {
    app: App,
    running: bool,
    runs: u32,
    group: Option<Group>,
    /// When the backend of this run began to listen.
    listening: Option<u64>,
    subscribers: Vec<Sender<String>>,
}

impl FakeEngine {
    /// With a container that runs already: whatever listens on the port is it.
    pub(crate) fn running(socket: &Path, port: u16) -> io::Result<Self> {
        let engine = Self::asleep(socket, App { port, backlog: 0, boot_ms: 0 })?;
        engine.lock().running = true;
        Ok(engine)
    }

    /// With a stopped container.
    pub(crate) fn asleep(socket: &Path, app: App) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666))?;
        let state = State {
            app,
            running: false,
            runs: 1,
            group: None,
            listening: None,
            subscribers: Vec::new(),
        };
        let shared = Shared { calls: AtomicU64::new(0), state: Mutex::new(state) };
        let engine = Self { shared: Arc::new(shared), socket: socket.to_owned() };
        let accepting = engine.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let engine = accepting.clone();
                thread::spawn(move || drop(engine.serve(stream)));
            }
        });
        Ok(engine)
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// When the backend of this run began to listen, once it does.
    pub(crate) fn listening(&self) -> Option<u64> {
        self.lock().listening
    }

    /// The next start is of another application.
    pub(crate) fn set_boot(&self, boot_ms: u64) {
        self.lock().app.boot_ms = boot_ms;
    }

    /// The container ends by itself.
    pub(crate) fn end_container(&self) {
        let mut state = self.lock();
        state.running = false;
        state.listening = None;
        drop(state.group.take());
        let event = json!({ "Type": "container", "Action": "die", "Actor": {
            "ID": "b".repeat(64), "Attributes": { "name": "bench", "exitCode": "0" } } });
        state.subscribers.retain(|subscriber| subscriber.send(event.to_string()).is_ok());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some((method, path)) = read_request(&mut reader)? {
            self.shared.calls.fetch_add(1, Ordering::Relaxed);
            let (status, body) = match (method.as_str(), path.as_str()) {
                (_, "/_ping") => (200, json!("OK")),
                (_, "/version") => (200, version()),
                (_, "/info") => (200, json!({ "ID": "bench", "SecurityOptions": [] })),
                (_, "/events") => return self.stream_events(&mut stream),
                ("GET", path) if path.ends_with("/json") => (200, self.inspect()),
                ("POST", path) if path.ends_with("/start") => (self.start()?, Value::Null),
                ("POST", path) if path.ends_with("/stop") => {
                    self.end_container();
                    (204, Value::Null)
                }
                _ => (404, json!({ "message": format!("page not found: {path}") })),
            };
            write_answer(&mut stream, status, &body)?;
        }
        Ok(())
    }

    fn start(&self) -> io::Result<u16> {
        let mut state = self.lock();
        if state.running {
            return Ok(304);
        }
        let App { port, backlog, boot_ms } = state.app.clone();
        let words = [own_path()?, "backend".to_owned()]
            .into_iter()
            .chain([u64::from(port), backlog.into(), boot_ms].iter().map(ToString::to_string))
            .collect::<Vec<_>>();
        let mut group = Group::start(&words, User::Ours, Stdio::piped())?;
        let lines = group.lines();
        state.group = Some(group);
        state.running = true;
        state.runs += 1;
        drop(state);
        let engine = self.clone();
        thread::spawn(move || {
            let Some(mut lines) = lines else { return };
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                let moment = line.trim().strip_prefix("listening ").map(str::parse);
                if let Some(Ok(moment)) = moment {
                    engine.lock().listening = Some(moment);
                }
                line.clear();
            }
        });
        Ok(204)
    }

    fn inspect(&self) -> Value {
        let state = self.lock();
        let status = if state.running { "running" } else { "exited" };
        json!({
            "Id": "b".repeat(64), "Name": "/bench", "Created": "2024-01-01T00:00:00Z",
            "Path": "/bench", "Args": [], "Image": "sha256:0", "RestartCount": 0,
            "State": {
                "Status": status, "Running": state.running, "Paused": false, "Restarting": false,
                "OOMKilled": false, "Dead": false, "Pid": 4242, "ExitCode": 0, "Error": "",
                "StartedAt": format!("2024-01-01T00:{:02}:{:02}Z", state.runs / 60, state.runs % 60),
                "FinishedAt": "2024-01-01T00:00:00Z",
            },
            "Config": { "Image": "bench", "Tty": false, "Labels": {} },
            "HostConfig": { "NetworkMode": "host", "AutoRemove": false },
            "NetworkSettings": { "Ports": {}, "Networks": { "host": { "IPAddress": "" } } },
        })
    }

    fn stream_events(&self, stream: &mut UnixStream) -> io::Result<()> {
        let (sender, events) = mpsc::channel();
        self.lock().subscribers.push(sender);
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        for event in events {
            write!(stream, "{:x}\r\n{event}\r\n", event.len())?;
        }
        Ok(())
    }
}

fn version() -> Value {
    json!({
        "Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12",
        "Components": [{ "Name": "Engine", "Version": "20.10.24" }],
    })
}
