//! Sockets that take datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::Place;
use crate::port::Port;
use crate::proxy::udp;

/// A bound UDP socket that clients send to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Datagrams {
    /// The socket; it tells with every datagram where it was sent to. Answers that are on their way
    /// keep it, too.
    pub(crate) socket: Arc<UdpSocket>,
    /// The port it leads to.
    pub(crate) port: Port,
    pub(super) place: Place,
    name: String,
}

impl Datagrams {
    pub(super) fn new(
        socket: std::net::UdpSocket,
        (place, port): (Place, Port),
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        udp::prepare(&socket)?;
        let name = format!("udp:{}", socket.local_addr()?);
        Ok(Self { socket: Arc::new(UdpSocket::from_std(socket)?), port, place, name })
    }

    /// How it is told in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is known by.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }
}
