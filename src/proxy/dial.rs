//! Connecting to the target.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::stream::{Stream, tune};

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Where something listens. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The same behind that interface of this host. Nobody is dialled once it has gone: the address is
    /// somebody else's then, off this machine.
    OnLink(Arc<Near>),
    /// The path of a Unix socket.
    Unix(Arc<Path>),
}

/// An IP address and a port behind an interface of this host.
#[derive(Debug, PartialEq, Eq)]
pub struct Near {
    address: SocketAddr,
    device: Box<str>,
}

impl Address {
    /// That address, behind the interface of that name.
    pub fn on_link(address: SocketAddr, device: &str) -> Self {
        Self::OnLink(Arc::new(Near { address, device: device.into() }))
    }

    /// Connects, without a time limit; a TCP connection gets the options of [`tune`].
    pub async fn connect(&self, keepalive: Duration) -> io::Result<Stream> {
        match self.dial(keepalive)? {
            Dialled::Connected(stream) => Ok(stream),
            Dialled::OnTheWay(connecting) => connecting.wait().await,
        }
    }

    /// Begins to connect, and looks at once how that went: within this host the answer is there
    /// already, and neither the runtime nor a timer has to be troubled.
    pub(super) fn dial(&self, keepalive: Duration) -> io::Result<Dialled> {
        match self {
            Self::Ip(address) => self.dial_at(address, keepalive),
            Self::OnLink(near) => self.dial_at(&near.address, keepalive),
            Self::Unix(path) => {
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
                // Done or refused at once, if only as its backlog is full (unix(7)).
                connect(&socket, &SocketAddrUnix::new(path.as_ref())?)?;
                Ok(Dialled::Connected(UnixStream::from_std(socket.into())?.into()))
            }
        }
    }

    fn dial_at(&self, address: &SocketAddr, keepalive: Duration) -> io::Result<Dialled> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket_with(family, SocketType::STREAM, FLAGS, None)?;
        // Before the connect, while the kernel has no timers to set anew. A failure is that
        // of a socket that will not connect either.
        drop(tune(&SockRef::from(&socket), keepalive));
        self.bind_near(&SockRef::from(&socket))?;
        let mut outcome = connect(&socket, address);
        if outcome == Err(Errno::INPROGRESS) {
            outcome = connect(&socket, address);
        }
        let connected = match outcome {
            Err(Errno::ALREADY) => false,
            Ok(()) | Err(Errno::ISCONN) => true,
            Err(error) => return Err(error.into()),
        };
        let stream = TcpStream::from_std(socket.into())?;
        Ok(if connected {
            Dialled::Connected(stream.into())
        } else {
            Dialled::OnTheWay(Connecting { stream, address: *address })
        })
    }

    /// Has a socket use the interface that leads there (`SO_BINDTODEVICE`, socket(7)), and no other.
    pub(super) fn bind_near(&self, socket: &SockRef<'_>) -> io::Result<()> {
        let Self::OnLink(near) = self else { return Ok(()) };
        match socket.bind_device(Some(near.device.as_bytes())) {
            // Before Linux 5.7 it takes a privilege.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            bound => bound,
        }
    }

    /// The IP address, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::OnLink(near) => Some(near.address),
            Self::Unix(_) => None,
        }
    }

    /// What an HTTP request names as its host.
    pub fn host(&self) -> String {
        match self {
            Self::Ip(address) => address.to_string(),
            Self::OnLink(near) => near.address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// Whether the way there has gone, or the interface that led there.
pub(super) fn is_cut_off(error: &io::Error) -> bool {
    let gone = Errno::from_io_error(error) == Some(Errno::NODEV);
    gone || error.kind() == io::ErrorKind::NetworkUnreachable
}

/// A connect that has not failed so far.
#[derive(Debug)]
pub(super) enum Dialled {
    /// It is done.
    Connected(Stream),
    /// It is not answered yet.
    OnTheWay(Connecting),
}

/// A connect that is on its way; dropping it is giving it up.
#[derive(Debug)]
pub(super) struct Connecting {
    stream: TcpStream,
    address: SocketAddr,
}

impl Connecting {
    /// Waits for the answer, without a time limit. Cancel-safe.
    pub(super) async fn wait(self) -> io::Result<Stream> {
        loop {
            self.stream.writable().await?;
            let answer = self.stream.try_io(Interest::WRITABLE, || {
                // Asking again tells how the first one went (connect(2)).
                match connect(&self.stream, &self.address) {
                    Ok(()) | Err(Errno::ISCONN) => Ok(()),
                    Err(Errno::ALREADY) => Err(io::ErrorKind::WouldBlock.into()),
                    Err(error) => Err(error.into()),
                }
            });
            match answer {
                Ok(()) => return Ok(self.stream.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::OnLink(near) => near.address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener as StdListener};

    use socket2::{Domain, Socket, Type};

    use super::*;

    const KEEPALIVE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn within_the_host_a_connect_is_answered_at_once() {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let dialled = Address::Ip(address).dial(KEEPALIVE).unwrap();
        assert!(matches!(dialled, Dialled::Connected(_)), "{dialled:?}");
        // Bound and not listening, it refuses, and its number is nobody else's.
        let closed = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        closed.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = closed.local_addr().unwrap().as_socket().unwrap();
        let refused = Address::Ip(address).dial(KEEPALIVE).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn behind_an_interface_that_has_gone_nobody_is_looked_for() {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let there = Address::on_link(address, "lo");
        assert!(there.connect(KEEPALIVE).await.is_ok());
        let gone = Address::on_link(address, "no-such-bridge");
        let error = gone.connect(KEEPALIVE).await.unwrap_err();
        assert!(is_cut_off(&error), "{error}");
    }

    #[tokio::test]
    async fn a_unix_socket_is_connected_or_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let address = Address::Unix(path.as_path().into());
        let missing = address.dial(KEEPALIVE).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let dialled = address.dial(KEEPALIVE);
        assert!(matches!(dialled, Ok(Dialled::Connected(_))), "{dialled:?}");
        drop(listener);
    }

    #[tokio::test]
    async fn a_full_backlog_is_waited_for() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = Address::Ip(listener.local_addr().unwrap().as_socket().unwrap());
        let mut there = Vec::new();
        let connecting = loop {
            match address.dial(KEEPALIVE).unwrap() {
                Dialled::Connected(stream) => there.push(stream),
                Dialled::OnTheWay(connecting) => break connecting,
            }
        };
        assert!(!there.is_empty());
        let waiting = tokio::spawn(connecting.wait());
        // Makes room; the kernel sends again after a second.
        let mut accepted: Vec<_> = there.iter().map(|_| listener.accept().unwrap()).collect();
        let stream = waiting.await.unwrap().unwrap();
        accepted.push(listener.accept().unwrap());
        assert!(!stream.is_dead());
    }
}
