//! Sockets that take datagrams.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

use crate::proxy::udp;

/// A bound UDP socket that clients send to.
#[derive(Debug)]
pub struct Datagrams {
    /// The socket; it tells with every datagram where it was sent to.
    pub(crate) socket: UdpSocket,
    /// The place of the port it leads to.
    pub(crate) port: usize,
    name: String,
}

impl Datagrams {
    pub(super) fn new(socket: std::net::UdpSocket, port: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        udp::prepare(&socket)?;
        let name = format!("udp:{}", socket.local_addr()?);
        Ok(Self { socket: UdpSocket::from_std(socket)?, port, name })
    }

    /// How it is told in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }
}
