//! Sockets that systemd handed over (`sd_listen_fds(3)`).

use std::env;
use std::fmt;
use std::io;

use listenfd::ListenFd;
use socket2::SockRef;
use thiserror::Error;

use super::Listener;
use crate::config::ConnectionLimits;

/// A handed over descriptor that is no use.
#[derive(Debug, Error)]
pub enum InheritError {
    /// Not a TCP or Unix stream socket.
    #[error(
        "the socket {name} that systemd handed over cannot be used ({error}): ListenStream= of a \
         TCP port or a Unix path is needed"
    )]
    Kind {
        /// Its place, and its name if it has one.
        name: String,
        /// What is wrong.
        error: io::Error,
    },
    /// A connection.
    #[error(
        "the socket {0} that systemd handed over does not listen: Accept=yes in the socket unit \
         hands over single connections; set Accept=no"
    )]
    NotListening(String),
}

/// What was handed over, not looked at yet.
pub struct Inherited {
    fds: ListenFd,
    names: Vec<String>,
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inherited").field("fds", &self.len()).field("names", &self.names).finish()
    }
}

impl Inherited {
    /// Takes the descriptors of `LISTEN_FDS`, if `LISTEN_PID` says that they are ours.
    ///
    /// It edits the environment, so it comes before any thread.
    pub fn from_env() -> Self {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self { fds: ListenFd::from_env(), names: names.split(':').map(str::to_owned).collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.fds.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them as listeners. Wants to be called within the runtime.
    pub fn listeners(mut self, limits: ConnectionLimits) -> Result<Vec<Listener>, InheritError> {
        (0..self.len()).map(|index| self.listener(index, limits)).collect()
    }

    fn listener(
        &mut self,
        index: usize,
        limits: ConnectionLimits,
    ) -> Result<Listener, InheritError> {
        let name = match self.names.get(index).map(String::as_str) {
            None | Some("" | "unknown") => format!("number {}", index + 1),
            Some(name) => format!("number {} ({name:?})", index + 1),
        };
        let kind = |error| InheritError::Kind { name: name.clone(), error };
        let listening = |socket: SockRef<'_>| match socket.is_listener() {
            Ok(true) => Ok(()),
            Ok(false) => Err(InheritError::NotListening(name.clone())),
            Err(error) => Err(kind(error)),
        };
        if let Ok(Some(tcp)) = self.fds.take_tcp_listener(index) {
            listening(SockRef::from(&tcp))?;
            return Listener::tcp(tcp, limits).map_err(kind);
        }
        let unix = self.fds.take_unix_listener(index).map_err(kind)?;
        let unix = unix.ok_or_else(|| kind(io::ErrorKind::NotFound.into()))?;
        listening(SockRef::from(&unix))?;
        Listener::unix(unix, None).map_err(kind)
    }
}
