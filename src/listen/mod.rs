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
pub use inherited::{InheritError, Inherited};
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use crate::config::ConnectionLimits;
use crate::port::Protocol;
use crate::proxy::{Stream, tune};

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
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// The place of the port it leads to.
    port: usize,
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
        port: usize,
        limits: ConnectionLimits,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        // Accepted sockets inherit these from the listening one.
        tune(&SockRef::from(&listener), limits.keepalive)?;
        let name = listener.local_addr()?.to_string();
        Ok(Self { socket: Socket::Tcp(TcpListener::from_std(listener)?), port, name, unlink: None })
    }

    fn unix(
        listener: std::os::unix::net::UnixListener,
        port: usize,
        unlink: Option<PathBuf>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let name = match address.as_pathname() {
            Some(path) => format!("unix:{}", path.display()),
            None => "unix:(unnamed)".to_owned(),
        };
        Ok(Self { socket: Socket::Unix(UnixListener::from_std(listener)?), port, name, unlink })
    }

    /// How it is told in the log.
    pub fn name(&self) -> &str {
        &self.name
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
