//! Signals.

use std::io;

use tokio::signal::unix::{self, SignalKind, signal};

/// The signals that the daemon heeds.
#[derive(Debug)]
pub struct Signals {
    term: unix::Signal,
    int: unix::Signal,
    hup: unix::Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To end; by its name.
    End(&'static str),
    /// To read the configuration anew.
    Reload,
}

impl Signals {
    /// Begins to listen for SIGTERM, SIGINT and SIGHUP.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one. Cancel-safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::End("SIGTERM"),
            _ = self.int.recv() => Signal::End("SIGINT"),
            _ = self.hup.recv() => Signal::Reload,
        }
    }
}
