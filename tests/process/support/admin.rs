//! A client of the control socket that speaks HTTP by hand, as curl would.
#![allow(clippy::unwrap_used, reason = "a test without sockets cannot go on")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{PATIENCE, wait_for};

/// The control socket of a daemon.
#[derive(Debug)]
pub(crate) struct Control(PathBuf);

impl Control {
    /// That one.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Connects and says nothing.
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.0).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The status and the body of a GET.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path)
    }

    /// The status and the body of a POST.
    pub(crate) fn post(&self, path: &str) -> (u16, Value) {
        self.ask("POST", path)
    }

    /// The status and the body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    /// The service `app`.
    pub(crate) fn app(&self) -> Value {
        let (status, view) = self.get("/v1/services/app");
        assert_eq!(status, 200, "{view}");
        view
    }

    /// Waits until `app` is in that state, and shows it.
    pub(crate) fn wait_state(&self, state: &str) -> Value {
        wait_for(state, || Some(self.app()).filter(|view| view["state"] == state))
    }

    /// Follows the events.
    pub(crate) fn events(&self) -> Events {
        let mut stream = self.connect();
        write!(stream, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        Events { reader }
    }
}

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    reader: BufReader<UnixStream>,
}

impl Events {
    /// The next event; none when the stream has ended in order.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "it broke off");
            if line == "0\r\n" {
                return None;
            }
            if line.starts_with('{') {
                return Some(serde_json::from_str(&line).unwrap());
            }
        }
    }

    /// Waits for an event that fits, and gives it.
    pub(crate) fn wait(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream has ended"));
            if fits(&event) {
                return event;
            }
        }
    }
}
