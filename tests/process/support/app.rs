//! The application in the container: it listens on 127.0.0.1 only while the container runs.
#![allow(clippy::unwrap_used, reason = "a test without threads or sockets cannot go on")]

mod behaviour;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockRef, Socket};

pub(crate) use self::behaviour::Behaviour;
use super::port::Port;
use super::{lock, ms, now, wait_for};

/// How the client's half of a connection ended, as the application saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// An orderly end.
    Eof,
    /// A reset or any other error.
    Reset,
}

/// One finished connection.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// Every byte that came.
    pub(crate) received: Vec<u8>,
    /// How it ended.
    pub(crate) ending: Ending,
}

/// A handle; clones are the same application.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    port: Port,
    state: Mutex<State>,
    thawed: Condvar,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    frozen: bool,
    listener: Option<Arc<Socket>>,
    live: HashMap<usize, TcpStream>,
    accepted: usize,
    /// Bytes read in [`Behaviour::TwoForOne`].
    read: usize,
    reports: Vec<Report>,
}

impl App {
    /// Not listening yet.
    pub(crate) fn new() -> Self {
        let state = State {
            behaviour: Behaviour::Echo,
            frozen: false,
            listener: None,
            live: HashMap::new(),
            accepted: 0,
            read: 0,
            reports: Vec::new(),
        };
        Self(Arc::new(Inner {
            port: Port::reserve(),
            state: Mutex::new(state),
            thawed: Condvar::new(),
        }))
    }

    /// The port it listens on when it does.
    pub(crate) fn port(&self) -> u16 {
        self.0.port.number()
    }

    /// Decides about connections from now on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        lock(&self.0.state).behaviour = behaviour;
    }

    /// How many connections it has accepted over all its lives.
    pub(crate) fn accepted(&self) -> usize {
        lock(&self.0.state).accepted
    }

    /// How many bytes it has read in [`Behaviour::TwoForOne`].
    pub(crate) fn read(&self) -> usize {
        lock(&self.0.state).read
    }

    /// How many connections are in use. One that the daemon has ended is given a moment: the
    /// application's own thread may be late to notice.
    pub(crate) fn used(&self) -> usize {
        let since = now();
        loop {
            let state = lock(&self.0.state);
            let open = state.live.values().filter(|stream| !has_ended(stream)).count();
            let known = state.live.len();
            drop(state);
            if open > 0 {
                return open;
            }
            if known == 0 || since.elapsed() > ms(1000) {
                return known;
            }
            thread::sleep(ms(1));
        }
    }

    /// How many connections are open now.
    pub(crate) fn live(&self) -> usize {
        lock(&self.0.state).live.len()
    }

    /// Whether it listens.
    pub(crate) fn listens(&self) -> bool {
        lock(&self.0.state).listener.is_some()
    }

    /// The report of the first finished connection that carried bytes, waited for: a probe
    /// carries none.
    pub(crate) fn report(&self) -> Report {
        wait_for("a finished connection of the application", || {
            lock(&self.0.state).reports.iter().find(|report| !report.received.is_empty()).cloned()
        })
    }

    /// Starts to listen, as the booted application does.
    pub(crate) fn boot(&self) {
        let mut state = lock(&self.0.state);
        if state.listener.is_some() {
            return;
        }
        let listener = Arc::new(self.0.port.listen());
        state.listener = Some(Arc::clone(&listener));
        let app = self.clone();
        thread::spawn(move || app.accept(&listener));
    }

    /// Is paused: the kernel still accepts for it, but it answers nothing.
    pub(crate) fn freeze(&self) {
        lock(&self.0.state).frozen = true;
    }

    /// Goes on.
    pub(crate) fn thaw(&self) {
        lock(&self.0.state).frozen = false;
        self.0.thawed.notify_all();
    }

    /// Dies: the kernel closes its listener and its connections.
    pub(crate) fn die(&self) {
        self.thaw();
        let mut state = lock(&self.0.state);
        if let Some(listener) = state.listener.take() {
            // Wakes the accepting thread, whose reference is the last one then.
            drop(listener.shutdown(Shutdown::Both));
        }
        for stream in state.live.values() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Waits while frozen.
    fn awake(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.0.state);
        while state.frozen {
            state = self.0.thawed.wait(state).unwrap();
        }
        state
    }

    fn accept(&self, listener: &Arc<Socket>) {
        while let Ok((socket, _)) = listener.accept() {
            let stream = TcpStream::from(socket);
            let mut state = self.awake();
            // The same life still: a connection accepted while dying belongs to nobody.
            if !state.listener.as_ref().is_some_and(|current| Arc::ptr_eq(current, listener)) {
                return;
            }
            state.accepted += 1;
            let number = state.accepted;
            if matches!(state.behaviour, Behaviour::Close) {
                // In this very thread: the daemon gives a forwarder little time to do so.
                continue;
            }
            state.live.insert(number, stream.try_clone().unwrap());
            let behaviour = state.behaviour.clone();
            drop(state);
            let app = self.clone();
            thread::spawn(move || {
                let mut received = Vec::new();
                let ending = match app.serve(stream, &behaviour, &mut received) {
                    Ok(()) => Ending::Eof,
                    Err(_) => Ending::Reset,
                };
                let mut state = lock(&app.0.state);
                state.live.remove(&number);
                state.reports.push(Report { received, ending });
            });
        }
    }
}

/// Whether the other side has ended its half.
fn has_ended(stream: &TcpStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().intersects(ends)
}

/// Ends a connection with a reset when the stream is dropped.
pub(crate) fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Bytes whose order and completeness a comparison proves: the period is a prime and no power of
/// two fits it, so a lost or doubled buffer shows.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0_u8..251).cycle().take(count).collect()
}
