//! Sockets that systemd handed over (`sd_listen_fds(3)`).

use std::env;
use std::fmt;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use socket2::SockRef;
use thiserror::Error;

use super::{Datagrams, Listener, Place, Sockets};
use crate::config::{self, Service};
use crate::port::Protocol;

/// A handed over descriptor that is no use.
#[derive(Debug, Error)]
pub enum InheritError {
    /// Not a TCP, UDP or Unix stream socket.
    #[error(
        "the socket {name} that systemd handed over cannot be used ({error}): ListenStream= of a \
         TCP port or a Unix path is needed, or ListenDatagram= of a UDP port"
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
    /// They do not fit the ports of the application.
    #[error("{service}: the sockets that systemd handed over do not fit its ports: {wrong}")]
    Ports {
        /// The service.
        service: String,
        /// Everything that does not fit.
        wrong: String,
    },
    /// No service wants them.
    #[error(
        "no service takes the sockets {0} that systemd handed over: name each after its service \
         (FileDescriptorName=), or give the service map = \"NAME=PORT\""
    )]
    Unclaimed(String),
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

    /// Those of each service, in the order of `services`; `None` for one that has none. Wants to
    /// be called within the runtime.
    ///
    /// A service with `--listen` takes none. One service alone takes all of them; of several each
    /// takes those that its `--map` names, and those that bear its own name.
    pub fn hand_out(mut self, services: &[Service]) -> Result<Vec<Option<Sockets>>, InheritError> {
        let mut of: Vec<Vec<(usize, Taken)>> = services.iter().map(|_| Vec::new()).collect();
        if let [one] = services
            && !one.settings.listen.is_empty()
        {
            // As without any: they may be meant for something else that this process does.
            return Ok(vec![None]);
        }
        let mut unclaimed = Vec::new();
        for index in 0..self.len() {
            let name = self.names.get(index).map_or("", String::as_str);
            let owner = match services {
                [_] => Some(0),
                _ => services.iter().position(|service| claims(service, name)),
            };
            match owner {
                Some(owner) => {
                    let taken = self.take(index)?;
                    of[owner].push((index, taken));
                }
                None => unclaimed.push(self.name(index)),
            }
        }
        if !unclaimed.is_empty() {
            return Err(InheritError::Unclaimed(unclaimed.join(", ")));
        }
        let each = services.iter().zip(of);
        each.map(
            |(service, taken)| {
                if taken.is_empty() { Ok(None) } else { self.sockets(service, taken).map(Some) }
            },
        )
        .collect()
    }

    fn sockets(
        &self,
        service: &Service,
        taken: Vec<(usize, Taken)>,
    ) -> Result<Sockets, InheritError> {
        let limits = service.settings.connection;
        let told: Vec<_> = taken
            .iter()
            .map(|(index, socket)| config::Socket {
                protocol: socket.protocol(),
                name: self.names.get(*index).map(String::as_str),
                wished: None,
            })
            .collect();
        let places = service.settings.ports.assign(&told).map_err(|wrong| InheritError::Ports {
            service: service.name.clone(),
            wrong: wrong.join("; "),
        })?;
        let mut sockets = Sockets::default();
        for ((index, socket), port) in taken.into_iter().zip(places) {
            let kind = |error| InheritError::Kind { name: self.name(index), error };
            let name = self.names.get(index).cloned().unwrap_or_default();
            let to = (Place::Inherited { index, name, of: service.name.clone() }, port);
            match socket {
                Taken::Tcp(tcp) => {
                    sockets.streams.push(Listener::tcp(tcp, to, limits).map_err(kind)?);
                }
                Taken::Unix(unix) => {
                    sockets.streams.push(Listener::unix(unix, to, None).map_err(kind)?);
                }
                Taken::Udp(udp) => sockets.datagrams.push(Datagrams::new(udp, to).map_err(kind)?),
            }
        }
        Ok(sockets)
    }

    fn take(&mut self, index: usize) -> Result<Taken, InheritError> {
        let name = self.name(index);
        let kind = |error| InheritError::Kind { name: name.clone(), error };
        let listening = |socket: SockRef<'_>| match socket.is_listener() {
            Ok(true) => Ok(()),
            Ok(false) => Err(InheritError::NotListening(name.clone())),
            Err(error) => Err(kind(error)),
        };
        if let Ok(Some(tcp)) = self.fds.take_tcp_listener(index) {
            listening(SockRef::from(&tcp))?;
            return Ok(Taken::Tcp(tcp));
        }
        if let Ok(Some(udp)) = self.fds.take_udp_socket(index) {
            return Ok(Taken::Udp(udp));
        }
        let unix = self.fds.take_unix_listener(index).map_err(kind)?;
        let unix = unix.ok_or_else(|| kind(io::ErrorKind::NotFound.into()))?;
        listening(SockRef::from(&unix))?;
        Ok(Taken::Unix(unix))
    }

    fn name(&self, index: usize) -> String {
        match self.names.get(index).map(String::as_str) {
            None | Some("" | "unknown") => format!("number {}", index + 1),
            Some(name) => format!("number {} ({name:?})", index + 1),
        }
    }
}

/// Whether a socket of that name is the service's.
pub fn claims(service: &Service, name: &str) -> bool {
    let own = name == service.name || name.strip_suffix(".socket") == Some(&*service.name);
    service.settings.listen.is_empty() && (own || service.settings.ports.names(name))
}

/// A handed over socket of a kind that is some use.
enum Taken {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Unix(UnixListener),
}

impl Taken {
    fn protocol(&self) -> Protocol {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Protocol::Tcp,
            Self::Udp(_) => Protocol::Udp,
        }
    }
}
