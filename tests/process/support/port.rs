//! Port numbers nobody else takes.
#![allow(clippy::unwrap_used, reason = "a test without sockets cannot go on")]

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// A free port of 127.0.0.1 that stays ours: the socket is bound and never listens.
///
/// Linux gives such a port to no `bind(0)` and no outgoing connection, yet a second socket with
/// `SO_REUSEADDR` may bind and listen on it. So the application and the daemon can be told the
/// number long before they listen, and connecting to it until then is refused.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _reserved: Socket,
}

impl Port {
    /// Reserves one.
    pub(crate) fn reserve() -> Self {
        let socket = bound(0);
        let number = socket.local_addr().unwrap().as_socket().unwrap().port();
        Self { number, _reserved: socket }
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 and this port.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }

    /// A socket that listens on it.
    pub(crate) fn listen(&self) -> Socket {
        let socket = bound(self.number);
        socket.listen(1024).unwrap();
        socket
    }
}

fn bound(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    socket
}
