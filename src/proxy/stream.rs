//! A connection, over TCP or a Unix socket.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::copy::with_shared;
use super::header::Ends;
use crate::gate::{LONGEST, Sending};

/// One connected stream socket.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// The runtime was told that there is nothing to read, though there may be: it learns of new
    /// bytes only, so what is there already has to be asked for.
    unasked: AtomicBool,
    /// The runtime may not have been told yet that there is room to write, though there is.
    untold: AtomicBool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::new(Socket::Tcp(stream))
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::new(Socket::Unix(stream))
    }
}

impl Stream {
    fn new(socket: Socket) -> Self {
        Self { socket, unasked: AtomicBool::new(false), untold: AtomicBool::new(true) }
    }

    /// Waits until the peer has left for good.
    ///
    /// A reset says so, and an end of its data when it has sent none. A peer that has sent
    /// something and then closed its sending half may still wait for the answer: that is no
    /// leaving. Nothing is read from the socket. Cancel-safe.
    pub async fn left(&self) {
        loop {
            if poll_fn(|cx| self.poll_read_ready(cx)).await.is_err() {
                return;
            }
            // The look and the clearing of the readiness are one step, so that an edge (more data,
            // the end, a reset) that comes between them is not cleared with it.
            let mut peeked = Peeked::Nothing;
            let _cleared: io::Result<()> = self.try_io(Interest::READABLE, || {
                peeked = self.peek();
                self.unasked.store(true, Ordering::Relaxed);
                Err(io::ErrorKind::WouldBlock.into())
            });
            match peeked {
                Peeked::Data if self.poll_now().contains(PollFlags::RDHUP) => {
                    return self.broken().await;
                }
                Peeked::Data | Peeked::Nothing => {}
                Peeked::End | Peeked::Broken => return,
            }
        }
    }

    /// Has `decide` look at the first bytes that have come, at most [`LONGEST`] of them, whenever
    /// there are more, until it has decided. They stay where they are. An error says that the peer
    /// has gone. Cancel-safe.
    pub(super) async fn look<T>(
        &self,
        mut decide: impl FnMut(&[u8], Sending) -> Option<T>,
    ) -> io::Result<T> {
        let block = || io::ErrorKind::WouldBlock.into();
        // The runtime tells of new bytes only.
        if self.unasked.load(Ordering::Relaxed) {
            match self.glance(&mut decide) {
                Ok(Some(decided)) => return Ok(decided),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        loop {
            poll_fn(|cx| self.poll_read_ready(cx)).await?;
            // A look that decides nothing and the clearing of the readiness are one step, so that an
            // edge that comes between them is not cleared with it.
            let looked = self.try_io(Interest::READABLE, || {
                let decided = self.glance(&mut decide)?;
                if decided.is_none() {
                    self.unasked.store(true, Ordering::Relaxed);
                }
                decided.ok_or_else(block)
            });
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                looked => return looked,
            }
        }
    }

    fn glance<T>(&self, decide: impl FnOnce(&[u8], Sending) -> Option<T>) -> io::Result<Option<T>> {
        // Asked first: an end that comes after it makes an edge.
        let flags = self.poll_now();
        if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        with_shared(|buffer| {
            let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            let (count, _) = recv(self, &mut buffer[..LONGEST], peek)?;
            let ended = count == 0 || flags.contains(PollFlags::RDHUP);
            Ok(decide(&buffer[..count], if ended { Sending::Ended } else { Sending::On }))
        })
    }

    /// Whether the peer has ended or reset the connection and nothing is left to read.
    pub fn is_dead(&self) -> bool {
        matches!(self.peek(), Peeked::End | Peeked::Broken)
    }

    /// Who is at the other end, for the log.
    pub fn peer(&self) -> String {
        match &self.socket {
            Socket::Tcp(stream) => match stream.peer_addr() {
                Ok(address) => {
                    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
                }
                Err(_) => "gone".to_owned(),
            },
            Socket::Unix(_) => "local".to_owned(),
        }
    }

    /// The addresses of its two ends; `None` of a Unix socket.
    pub(super) fn ends(&self) -> io::Result<Option<Ends>> {
        match &self.socket {
            Socket::Tcp(stream) => {
                Ok(Some(Ends { source: stream.peer_addr()?, destination: stream.local_addr()? }))
            }
            Socket::Unix(_) => Ok(None),
        }
    }

    /// Sends the header that a new connection begins with, in one piece. Its send buffer is empty,
    /// so a header that does not fit says that something is wrong with it.
    pub(crate) fn announce(&self, header: &[u8]) -> io::Result<()> {
        let sent = send(self, header, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        if sent == header.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Whether the peer has ended its half or is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.poll_now().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }

    /// Closes the connection with a reset, so that the peer sees a failure and not an end.
    pub fn reset(self) {
        self.close_with_reset();
    }

    /// Has it be closed with a reset when it is dropped.
    pub(super) fn close_with_reset(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            // A failure to set it means that the connection is gone already.
            drop(stream.set_zero_linger());
        }
    }

    /// Waits until the connection is reset, whatever else happens to it; for ever on a Unix
    /// socket, which knows no reset. Cancel-safe.
    pub async fn broken(&self) {
        match &self.socket {
            // An error of the call itself says that the runtime ends.
            Socket::Tcp(stream) => drop(stream.ready(Interest::ERROR).await),
            Socket::Unix(_) => std::future::pending().await,
        }
    }

    /// Reads what is there; 0 bytes are the end.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.unasked.load(Ordering::Relaxed) {
            match recv(self, &mut *buf, RecvFlags::DONTWAIT) {
                Ok((n, _)) => return Poll::Ready(Ok(n)),
                // From here on new bytes make an edge that the runtime sees.
                Err(Errno::AGAIN) => self.unasked.store(false, Ordering::Relaxed),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        loop {
            ready!(self.poll_read_ready(cx))?;
            let mut short = None;
            let read = self.try_io(Interest::READABLE, || {
                let (n, _) = recv(self, &mut *buf, RecvFlags::DONTWAIT)?;
                if n > 0 && n < buf.len() {
                    // A short read has emptied the socket: saying so saves asking again.
                    short = Some(n);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(n)
            });
            match (read, short) {
                (_, Some(n)) => return Poll::Ready(Ok(n)),
                (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => {}
                (read, None) => return Poll::Ready(read),
            }
        }
    }

    /// Writes what fits.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if self.untold.load(Ordering::Relaxed) {
            match send(self, buf, flags) {
                Ok(n) => return Poll::Ready(Ok(n)),
                // From here on new room makes an edge that the runtime sees.
                Err(Errno::AGAIN) => self.untold.store(false, Ordering::Relaxed),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        loop {
            ready!(self.poll_write_ready(cx))?;
            match self.try_io(Interest::WRITABLE, || Ok(send(self, buf, flags)?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Tells the peer that no more bytes follow.
    pub(super) fn end(&self) {
        // A peer that is gone already needs no telling.
        let _already_gone = shutdown(self, Shutdown::Write);
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            Socket::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(stream) => stream.poll_write_ready(cx),
            Socket::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Does `io` if the socket is ready for it; when that would block, the readiness is cleared.
    pub(super) fn try_io<R>(
        &self,
        interest: Interest,
        io: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        match &self.socket {
            Socket::Tcp(stream) => stream.try_io(interest, io),
            Socket::Unix(stream) => stream.try_io(interest, io),
        }
    }

    /// Whether the runtime knows of everything that waits to be read, so that its readiness can
    /// be trusted.
    pub(super) fn readiness_is_true(&self) -> bool {
        !self.unasked.load(Ordering::Relaxed)
    }

    /// What poll(2) says of the socket now.
    fn poll_now(&self) -> PollFlags {
        let mut fds = [PollFd::new(self, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut fds, Some(&now)) {
            Ok(_) => fds[0].revents(),
            Err(_) => PollFlags::ERR,
        }
    }

    fn peek(&self) -> Peeked {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(self).peek(&mut byte) {
            Ok(0) => Peeked::End,
            Ok(_) => Peeked::Data,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peeked::Nothing,
            Err(_) => Peeked::Broken,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = ready!(Self::poll_read(&self, cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

enum Peeked {
    Data,
    Nothing,
    End,
    Broken,
}

/// How many probes a silent peer may leave unanswered.
const KEEPALIVE_PROBES: u32 = 6;

/// Sets what both legs have: no delay of small writes, and keepalive probes after `keepalive` of
/// silence that end a dead peer's connection after as long again.
///
/// `TCP_USER_TIMEOUT` is left alone: it also ends peers that live but do not read for so long. A
/// peer that dies with data on the way is given up by the kernel's retransmissions (tcp(7),
/// `tcp_retries2`, a quarter of an hour).
///
/// On a listening socket: Linux hands these options on to every accepted connection, which saves
/// five system calls each.
pub fn tune(socket: &SockRef<'_>, keepalive: Duration) -> io::Result<()> {
    let between = (keepalive / KEEPALIVE_PROBES).max(Duration::from_secs(1));
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(keepalive)
            .with_interval(between)
            .with_retries(KEEPALIVE_PROBES),
    )
}
