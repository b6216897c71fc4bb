//! Sockets of our own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

use super::Listener;
use crate::config::{ConnectionLimits, ListenAddress};

/// How many clients may wait in the kernel before they are accepted. With 128 a burst of
/// thousands waits 8 to 16 s for retransmissions; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A socket that cannot be had.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {error}{}", hint(.error, .address))]
pub struct BindError {
    /// Where.
    pub address: String,
    /// Why not.
    #[source]
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

/// Binds all of `addresses`, or none.
pub fn bind(
    addresses: &[ListenAddress],
    limits: ConnectionLimits,
) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::new();
    for address in addresses {
        match address {
            ListenAddress::Everywhere(port) => listeners.extend(everywhere(*port, limits)?),
            ListenAddress::Tcp(address) => listeners.push(tcp(*address, limits)?),
            ListenAddress::Unix(path) => listeners.push(unix(path)?),
        }
    }
    Ok(listeners)
}

/// Binds a port on all interfaces, IPv4 and IPv6, as `docker -p` does; a machine without IPv6
/// gets IPv4 alone.
pub fn everywhere(port: u16, limits: ConnectionLimits) -> Result<Vec<Listener>, BindError> {
    let v4 = tcp((Ipv4Addr::UNSPECIFIED, port).into(), limits)?;
    match tcp((Ipv6Addr::UNSPECIFIED, port).into(), limits) {
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

fn tcp(address: SocketAddr, limits: ConnectionLimits) -> Result<Listener, BindError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // So that it can stand beside a socket of the same port on IPv4.
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Listener::tcp(socket.into(), limits)
    };
    bound().map_err(|error| BindError { address: address.to_string(), error })
}

fn unix(path: &Path) -> Result<Listener, BindError> {
    let bound = || {
        let address = SockAddr::unix(path)?;
        let bind = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.bind(&address).map(|()| socket)
        };
        let socket = match bind() {
            // A socket that nobody listens on was left behind by a process that is gone.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
                std::fs::remove_file(path)?;
                bind()?
            }
            socket => socket?,
        };
        socket.listen(BACKLOG)?;
        Listener::unix(socket.into(), Some(path.to_owned()))
    };
    bound().map_err(|error| BindError { address: format!("unix:{}", path.display()), error })
}

fn is_abandoned(path: &Path) -> bool {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
