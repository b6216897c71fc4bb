//! A client of the held port.
#![allow(clippy::unwrap_used, reason = "a test without sockets cannot go on")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use super::app::reset;
use super::{PATIENCE, wait_until};

/// A TCP client whose reads give up after [`PATIENCE`].
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// The kernel has told of a reset already, which it does once.
    told: bool,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|err| panic!("connecting to {address}: {err}"))
    }

    /// Connects, unless it is refused.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        match TcpStream::connect(address) {
            Ok(stream) => Self::of(stream),
            // Accepted and reset before connect(2) was done.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                let listener = TcpListener::bind(("127.0.0.1", 0))?;
                let stream = TcpStream::connect(listener.local_addr()?)?;
                reset(&listener.accept()?.0)?;
                Ok(Self { told: true, ..Self::of(stream)? })
            }
            Err(error) => Err(error),
        }
    }

    /// Connects from that address of this machine.
    pub(crate) fn connect_from(own: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((own, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::of(socket.into()).unwrap()
    }

    fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, told: false })
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes to somebody who may have reset the connection already.
    pub(crate) fn send_in_vain(&mut self, bytes: &[u8]) {
        self.told |= self.stream.write_all(bytes).is_err();
    }

    /// Reads exactly that much.
    pub(crate) fn receive(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).map(|()| bytes)
    }

    /// Sends `text` and gets it back, or says why not.
    pub(crate) fn try_echo(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())?;
        let answer = self.receive(text.len())?;
        assert_eq!(String::from_utf8_lossy(&answer), text, "the echo differs");
        Ok(())
    }

    /// Sends `text` and must get it back.
    pub(crate) fn echo(&mut self, text: &str) {
        self.try_echo(text).unwrap_or_else(|err| panic!("no echo of {text:?}: {err}"));
    }

    /// Ends the client's half.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Everything up to the other side's end.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).map(|_| bytes)
    }

    /// That many bytes, or the end or the reset that comes instead: for what may go either way but
    /// may not last.
    pub(crate) fn settle(&mut self, count: usize) {
        drop(self.receive(count));
    }

    /// Waits for the daemon to reset this connection.
    pub(crate) fn expect_reset(&mut self) {
        if self.told {
            return;
        }
        match self.rest() {
            Ok(bytes) => panic!("an orderly end after {} bytes instead of a reset", bytes.len()),
            Err(err) => assert_eq!(err.kind(), io::ErrorKind::ConnectionReset, "{err}"),
        }
    }

    /// Waits until the connection fails, without reading or writing.
    pub(crate) fn wait_failure(&self) {
        wait_until("the connection to fail", || self.stream.take_error().unwrap().is_some());
    }

    /// Goes with a reset.
    pub(crate) fn reset(self) {
        reset(&self.stream).unwrap();
    }

    /// Whether neither byte nor end has arrived.
    pub(crate) fn is_held(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let outcome = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        outcome.is_err_and(|err| err.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits until exactly `count` sent bytes lie unread in the daemon's socket, as the kernel
    /// counts them.
    pub(crate) fn wait_unread(&self, count: usize) {
        wait_until(&format!("{count} unread bytes in the daemon's socket"), || {
            unread(self.stream.peer_addr().unwrap(), self.stream.local_addr().unwrap())
                == Some(count)
        });
    }

    /// How many bytes lie unread in the daemon's socket.
    pub(crate) fn unread(&self) -> Option<usize> {
        unread(self.stream.peer_addr().unwrap(), self.stream.local_addr().unwrap())
    }

    /// The stream itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// The receive queue of the socket `local` that is connected to `peer`.
fn unread(local: SocketAddr, peer: SocketAddr) -> Option<usize> {
    let socket = kernel_table(|from, to| from == local.port() && to == peer.port()).pop()?;
    usize::from_str_radix(socket[4].split_once(':')?.1, 16).ok()
}

/// The columns of proc(5)'s table of IPv4 sockets for those whose local and remote ports fit.
pub(crate) fn kernel_table(fits: impl Fn(u16, u16) -> bool) -> Vec<Vec<String>> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |column: &str| {
        u16::from_str_radix(column.rsplit(':').next().unwrap_or_default(), 16).unwrap_or_default()
    };
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        // State 06 is TIME_WAIT: of connections that earlier tests had, on the same ports even.
        .filter(|columns| columns[3] != "06" && fits(port(&columns[1]), port(&columns[2])))
        .collect()
}
