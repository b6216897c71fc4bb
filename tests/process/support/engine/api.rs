//! The API itself: which request does what, and what it is answered.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::container::{Container, Status};
use super::super::http::{Answer, Request, write_chunk};
use super::super::lock;
use super::{Call, Engine, Fault, hang};

impl Engine {
    /// Answers one request; an error ends the connection.
    pub(super) fn handle(&self, request: &Request, stream: &mut UnixStream) -> io::Result<()> {
        let (call, reference) = recognise(request);
        let number = self.note(call, &request.query);
        self.wait_thawed();
        let fault = lock(&self.0.world).script.next(call);
        match fault {
            None => self.answer(call, &reference, request, stream, number),
            Some(Fault::Slow(delay)) => {
                thread::sleep(delay);
                self.answer(call, &reference, request, stream, number)
            }
            Some(Fault::Gated) => {
                self.wait_gate();
                self.answer(call, &reference, request, stream, number)
            }
            Some(Fault::Error(status, message)) => {
                self.over(number);
                Answer::error(status, message).write(stream)
            }
            Some(Fault::ErrorYetDone(status, message)) => {
                drop(self.effect(call, &reference, request));
                self.over(number);
                Answer::error(status, message).write(stream)
            }
            Some(Fault::Hang) => {
                hang(stream);
                self.over(number);
                Err(io::ErrorKind::TimedOut.into())
            }
            Some(Fault::HangYetDone) => {
                drop(self.effect(call, &reference, request));
                hang(stream);
                self.over(number);
                Err(io::ErrorKind::TimedOut.into())
            }
            Some(Fault::Garbage) => {
                self.over(number);
                Answer { status: 200, body: b"<html>\x1b[31mnot an engine".to_vec() }.write(stream)
            }
            Some(Fault::Truncated) => {
                self.over(number);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n{\"Id\":\"")?;
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Some(Fault::Closed) => {
                self.over(number);
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }

    /// The operation of that number is in flight no longer, of which the daemon hears next.
    fn over(&self, number: usize) {
        lock(&self.0.world).operations.remove(&number);
    }

    /// Counts the call, and notes when it may not happen now; the number of the call.
    fn note(&self, call: Call, query: &str) -> usize {
        let live = if matches!(call, Call::Stop | Call::Pause) { self.0.app.used() } else { 0 };
        let mut world = lock(&self.0.world);
        *world.counts.entry(call).or_default() += 1;
        world.queries.insert(call, query.to_owned());
        world.calls += 1;
        let number = world.calls;
        if !matches!(call, Call::Start | Call::Stop | Call::Pause | Call::Unpause) {
            return number;
        }
        if !world.operations.is_empty() {
            world.offences.push(format!("{call:?} while another operation is in flight"));
        }
        world.operations.insert(number);
        if live > 0 {
            world.offences.push(format!("{call:?} while the application has {live} connections"));
        }
        number
    }

    fn answer(
        &self,
        call: Call,
        reference: &str,
        request: &Request,
        stream: &mut UnixStream,
        number: usize,
    ) -> io::Result<()> {
        if call == Call::Events {
            return self.stream_events(stream);
        }
        if call == Call::ExecStart && !request.body.contains("\"Detach\":true") {
            let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                        Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            // The end of the stream is the end of the command.
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let answer = self.effect(call, reference, request);
        self.over(number);
        self.wait_thawed();
        answer.write(stream)
    }

    /// Does what the call asks for.
    fn effect(&self, call: Call, reference: &str, request: &Request) -> Answer {
        match call {
            Call::Version => Answer::json(200, &version()),
            Call::Ping => Answer { status: 200, body: b"OK".to_vec() },
            Call::Info => Answer::json(200, &info()),
            Call::ExecStart => Answer::empty(200),
            Call::ExecInspect => {
                let code = lock(&self.0.world).check_exit;
                Answer::json(200, &json!({ "ID": "e", "Running": false, "ExitCode": code }))
            }
            Call::List => {
                let container = lock(&self.0.world).container.clone();
                let all = container.map(|container| {
                    let Container { id, name, labels, .. } = container;
                    json!({ "Id": id, "Names": [format!("/{name}")], "Labels": labels })
                });
                Answer::json(200, &all.into_iter().collect())
            }
            Call::Events | Call::Unknown => {
                let message = format!("page not found: {} {}", request.method, request.path);
                Answer::error(404, &message)
            }
            Call::Inspect
            | Call::Start
            | Call::Stop
            | Call::Pause
            | Call::Unpause
            | Call::Kill
            | Call::ExecCreate
            | Call::Logs => {
                let container = lock(&self.0.world).container.clone();
                match container.filter(|container| container.is(reference)) {
                    Some(container) => self.effect_on(&container, call),
                    None => Answer::error(404, &format!("No such container: {reference}")),
                }
            }
        }
    }

    fn effect_on(&self, container: &Container, call: Call) -> Answer {
        match (call, container.status) {
            (Call::Inspect, _) => Answer::json(200, &container.inspect(self.0.app.port())),
            (Call::Logs, _) => Answer { status: 200, body: container.log_frames() },
            (Call::ExecCreate, Status::Running) => match lock(&self.0.world).check_exit {
                Some(_) => Answer::json(201, &json!({ "Id": "e".repeat(64) })),
                None => Answer::error(403, "exec is forbidden here"),
            },
            (Call::Start, Status::Running) | (Call::Stop, Status::Created | Status::Exited) => {
                Answer::empty(304)
            }
            (Call::Start, Status::Paused) => {
                Answer::error(409, "cannot start a paused container, try unpause instead")
            }
            (Call::Start, Status::Created | Status::Exited) => {
                self.start_container();
                Answer::empty(204)
            }
            (Call::Stop, Status::Running | Status::Paused) => {
                self.emit("kill", &[("signal", "15")]);
                if self.outlasts(container, container.stops_in) {
                    self.end_container(143, &["die", "stop"]);
                }
                Answer::empty(204)
            }
            (Call::Kill, Status::Running) => {
                self.end_container(137, &["kill", "die"]);
                Answer::empty(204)
            }
            (Call::Pause, Status::Running) => {
                self.pause_container();
                Answer::empty(204)
            }
            (Call::Unpause, Status::Paused) => {
                self.unpause_container();
                Answer::empty(204)
            }
            (Call::Unpause, _) => Answer::error(500, "container is not paused"),
            (_, _) => Answer::error(409, "container is not running"),
        }
    }

    fn stream_events(&self, stream: &mut UnixStream) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        let (sender, events) = mpsc::channel();
        {
            let mut world = lock(&self.0.world);
            // As `since` asks for: what came shortly before the stream is told again.
            for (at, event) in &world.told {
                if at.elapsed() < Duration::from_secs(2) {
                    drop(sender.send(event.clone()));
                }
            }
            world.subscribers.push(sender);
        }
        stream.write_all(head.as_bytes())?;
        // Ends when the engine goes away: that drops the sender.
        while let Ok(event) = events.recv() {
            self.wait_thawed();
            write_chunk(stream, event.as_bytes())?;
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

fn version() -> Value {
    json!({
        "Platform": { "Name": "Docker Engine - Scripted" },
        "Components": [{ "Name": "Engine", "Version": "20.10.24", "Details": {} }],
        "Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12",
        "Os": "linux", "Arch": "amd64",
    })
}

fn info() -> Value {
    json!({
        "ID": "scripted", "Name": "scripted", "ServerVersion": "20.10.24", "OSType": "linux",
        "SecurityOptions": ["name=seccomp,profile=default"],
    })
}

/// The kind of the call and the container it names.
fn recognise(request: &Request) -> (Call, String) {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let reference = parts.get(1).map(ToString::to_string).unwrap_or_default();
    let call = match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => Call::Version,
        ("GET" | "HEAD", ["_ping"]) => Call::Ping,
        ("GET", ["info"]) => Call::Info,
        ("GET", ["events"]) => Call::Events,
        ("GET", ["containers", "json"]) => Call::List,
        ("GET", ["containers", _, "json"]) => Call::Inspect,
        ("GET", ["containers", _, "logs"]) => Call::Logs,
        ("POST", ["containers", _, "start"]) => Call::Start,
        ("POST", ["containers", _, "stop"]) => Call::Stop,
        ("POST", ["containers", _, "pause"]) => Call::Pause,
        ("POST", ["containers", _, "unpause"]) => Call::Unpause,
        ("POST", ["containers", _, "kill"]) => Call::Kill,
        ("POST", ["containers", _, "exec"]) => Call::ExecCreate,
        ("POST", ["exec", _, "start"]) => Call::ExecStart,
        ("GET", ["exec", _, "json"]) => Call::ExecInspect,
        _ => Call::Unknown,
    };
    (call, reference)
}
