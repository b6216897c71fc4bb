//! Sockets that clients connect to: inherited from systemd, or bound here; and accepting on them.

mod accept;
mod bind;
mod datagrams;
mod inherited;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::task::{Context, Poll, ready};

pub use accept::{Accepted, Acceptor, accept_all, accept_rest};
pub(crate) use bind::bind_unix;
pub use bind::{BindError, bind};
pub use datagrams::Datagrams;
pub use inherited::{InheritError, Inherited, claims};
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use crate::config::{ConnectionLimits, ListenAddress};
use crate::port::{Port, Protocol};
use crate::proxy::{Stream, tune};

/// What a socket is known by when the configuration changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// It was bound here, for that address.
    Own(ListenAddress),
    /// systemd has handed it over.
    Inherited {
        /// Its place among those that were.
        index: usize,
        /// Its name; empty if it has none.
        name: String,
        /// The service that it was first handed to.
        of: String,
    },
}

/// The sockets of one service.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Those that accept connections.
    pub streams: Vec<Listener>,
    /// Those that take datagrams.
    pub datagrams: Vec<Datagrams>,
}

impl Sockets {
    /// How they are told in the log.
    pub fn names(&self) -> Vec<&str> {
        let streams = self.streams.iter().map(Listener::name);
        streams.chain(self.datagrams.iter().map(Datagrams::name)).collect()
    }

    /// Their IP addresses.
    pub fn addresses(&self) -> Vec<(Protocol, SocketAddr)> {
        let streams = self.streams.iter().filter_map(Listener::address);
        let datagrams = self.datagrams.iter().filter_map(Datagrams::address);
        let streams = streams.map(|address| (Protocol::Tcp, address));
        streams.chain(datagrams.map(|address| (Protocol::Udp, address))).collect()
    }

    /// What they are known by, each with its protocol.
    pub fn places(&self) -> Vec<(Protocol, &Place)> {
        let streams = self.streams.iter().map(|listener| (Protocol::Tcp, &listener.place));
        let datagrams = self.datagrams.iter().map(|socket| (Protocol::Udp, &socket.place));
        streams.chain(datagrams).collect()
    }

    /// Those of both.
    pub fn append(&mut self, mut others: Self) {
        self.streams.append(&mut others.streams);
        self.datagrams.append(&mut others.datagrams);
    }

    /// Takes out those that are known by something of which `is` is true.
    #[must_use]
    pub fn extract(&mut self, is: impl Fn(Protocol, &Place) -> bool) -> Self {
        let streams = self.streams.extract_if(.., |of| is(Protocol::Tcp, &of.place)).collect();
        let datagrams = self.datagrams.extract_if(.., |of| is(Protocol::Udp, &of.place)).collect();
        Self { streams, datagrams }
    }

    /// Takes out those that are known by that, and makes them lead to `port`.
    #[must_use]
    pub fn take(&mut self, place: &Place, port: Port) -> Self {
        let mut taken = self.extract(|protocol, of| protocol == port.protocol && of == place);
        taken.streams.iter_mut().for_each(|listener| listener.port = port);
        taken.datagrams.iter_mut().for_each(|socket| socket.port = port);
        taken
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.datagrams.is_empty()
    }

    /// Has connections to come watched in that rhythm.
    pub fn tune(&self, limits: ConnectionLimits) -> io::Result<()> {
        self.streams.iter().try_for_each(|listener| listener.tune(limits))
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// The port it leads to.
    port: Port,
    place: Place,
    /// How it is told in the log.
    name: String,
    /// A path to remove at the end.
    unlink: Option<PathBuf>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn tcp(
        listener: std::net::TcpListener,
        (place, port): (Place, Port),
        limits: ConnectionLimits,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let name = listener.local_addr()?.to_string();
        let socket = Socket::Tcp(TcpListener::from_std(listener)?);
        let listener = Self { socket, port, place, name, unlink: None };
        listener.tune(limits)?;
        Ok(listener)
    }

    /// Accepted sockets inherit these from the listening one.
    fn tune(&self, limits: ConnectionLimits) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(listener) => tune(&SockRef::from(listener), limits.keepalive),
            Socket::Unix(_) => Ok(()),
        }
    }

    fn unix(
        listener: std::os::unix::net::UnixListener,
        (place, port): (Place, Port),
        unlink: Option<PathBuf>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let name = match address.as_pathname() {
            Some(path) => format!("unix:{}", path.display()),
            None => "unix:(unnamed)".to_owned(),
        };
        let socket = Socket::Unix(UnixListener::from_std(listener)?);
        Ok(Self { socket, port, place, name, unlink })
    }

    /// How it is told in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is known by.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its address, if it is a TCP socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        Poll::Ready(Ok(match &self.socket {
            Socket::Tcp(listener) => ready!(listener.poll_accept(cx))?.0.into(),
            Socket::Unix(listener) => ready!(listener.poll_accept(cx))?.0.into(),
        }))
    }

    /// Accepts without waiting, whatever the runtime knows of the socket.
    fn accept_now(&self) -> io::Result<Stream> {
        let socket = match &self.socket {
            Socket::Tcp(listener) => SockRef::from(listener).accept()?.0,
            Socket::Unix(listener) => SockRef::from(listener).accept()?.0,
        };
        socket.set_nonblocking(true)?;
        Ok(match &self.socket {
            Socket::Tcp(_) => tokio::net::TcpStream::from_std(socket.into())?.into(),
            Socket::Unix(_) => tokio::net::UnixStream::from_std(socket.into())?.into(),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.unlink {
            // Gone already is as good.
            drop(std::fs::remove_file(path));
        }
    }
}
