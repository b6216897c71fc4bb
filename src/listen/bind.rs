//! Sockets of our own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

use super::{Datagrams, Listener, Place, Sockets};
use crate::config::{ConnectionLimits, Listen, ListenAddress};
use crate::port::{Port, Protocol};

/// How many clients may wait in the kernel before they are accepted. With 128 a burst of
/// thousands waits 8 to 16 s for retransmissions; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A socket that cannot be had.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {error}{}", hint(.error, .address))]
pub struct BindError {
    /// Where.
    pub address: String,
    /// Why not. It is told in ours, so it is no source.
    pub error: io::Error,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "std's enum: all others speak for themselves")]
fn hint(error: &io::Error, address: &str) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse if address.starts_with("unix:") => {
            ": another process listens there, or it is no socket"
        }
        io::ErrorKind::AddrInUse => {
            ": another process, or the container itself, holds this port; do not publish it with \
             -p, or give --listen another one"
        }
        // What is not the kernel's own has said what it is about.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => "",
        io::ErrorKind::PermissionDenied if address.starts_with("unix:") => {
            ": this user may not write to its folder"
        }
        io::ErrorKind::PermissionDenied => {
            ": ports below 1024 need CAP_NET_BIND_SERVICE, or a socket from systemd"
        }
        io::ErrorKind::AddrNotAvailable => ": no interface of this machine has that address",
        _ => "",
    }
}

/// Binds all of `listens`, or none.
pub fn bind(listens: &[Listen], limits: ConnectionLimits) -> Result<Sockets, BindError> {
    let mut sockets = Sockets::default();
    for Listen { address, port } in listens {
        let leads_to = || (Place::Own(address.clone()), *port);
        match address {
            ListenAddress::Everywhere(Port { number, protocol: Protocol::Tcp }) => {
                let tcp = |address| tcp(address, leads_to(), limits);
                sockets.streams.extend(everywhere(*number, tcp)?);
            }
            ListenAddress::Everywhere(Port { number, protocol: Protocol::Udp }) => {
                sockets.datagrams.extend(everywhere(*number, |address| udp(address, leads_to()))?);
            }
            ListenAddress::At(Protocol::Tcp, address) => {
                sockets.streams.push(tcp(*address, leads_to(), limits)?);
            }
            ListenAddress::At(Protocol::Udp, address) => {
                sockets.datagrams.push(udp(*address, leads_to())?);
            }
            ListenAddress::Unix(path) => sockets.streams.push(unix(path, leads_to())?),
        }
    }
    Ok(sockets)
}

/// Binds a port on all interfaces, IPv4 and IPv6, as `docker -p` does; a machine without IPv6
/// gets IPv4 alone.
fn everywhere<T>(
    number: u16,
    bind: impl Fn(SocketAddr) -> Result<T, BindError>,
) -> Result<Vec<T>, BindError> {
    let v4 = bind((Ipv4Addr::UNSPECIFIED, number).into())?;
    match bind((Ipv6Addr::UNSPECIFIED, number).into()) {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(BindError { error, .. })
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
            ) || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) =>
        {
            Ok(vec![v4])
        }
        Err(error) => Err(error),
    }
}

fn tcp(
    address: SocketAddr,
    leads_to: (Place, Port),
    limits: ConnectionLimits,
) -> Result<Listener, BindError> {
    let bound = move || {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        bind_to(&socket, address)?;
        socket.listen(BACKLOG)?;
        Listener::tcp(socket.into(), leads_to, limits)
    };
    bound().map_err(|error| BindError { address: address.to_string(), error })
}

/// Without `SO_REUSEADDR`, which would let another process of ours take the datagrams.
fn udp(address: SocketAddr, leads_to: (Place, Port)) -> Result<Datagrams, BindError> {
    let bound = || {
        let socket =
            Socket::new(Domain::for_address(address), Type::DGRAM, Some(socket2::Protocol::UDP))?;
        bind_to(&socket, address)?;
        Datagrams::new(socket.into(), leads_to)
    };
    bound().map_err(|error| BindError { address: format!("udp:{address}"), error })
}

fn bind_to(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        // So that it can stand beside a socket of the same port on IPv4.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

fn unix(path: &Path, leads_to: (Place, Port)) -> Result<Listener, BindError> {
    let bound = || {
        let socket = bind_unix(path, |_| Ok(()))?;
        socket.listen(BACKLOG)?;
        Listener::unix(socket.into(), leads_to, Some(path.to_owned()))
    };
    bound().map_err(|error| BindError { address: format!("unix:{}", path.display()), error })
}

/// A socket at `path` that does not listen yet; `prepare` sees it before it has a name.
pub(crate) fn bind_unix(
    path: &Path,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    let bind = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        prepare(&socket)?;
        socket.bind(&address).map(|()| socket)
    };
    match bind() {
        // A socket that nobody listens on was left behind by a process that is gone.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            bind()
        }
        socket => socket,
    }
}

fn is_abandoned(path: &Path) -> bool {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
