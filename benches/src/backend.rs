//! The server behind every contender.
//!
//! Small requests are answered by one thread around epoll; a bulk connection gets a thread of its
//! own. Uploads are discarded in the kernel (`MSG_TRUNC`), so that the ends cost less than what
//! stands between them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with,
};

use crate::clock::now_ns;
use crate::wire::{BLOCK, DOWNLOAD, ECHO, FRAME, REQUESTS, UPLOAD};

const LISTENER: u64 = u64::MAX;

/// Boots for `boot`, listens on `port`, says so on standard output with the moment (see
/// [`now_ns`]), and serves for ever.
pub(crate) fn run(port: u16, backlog: i32, boot: Duration) -> io::Result<()> {
    std::thread::sleep(boot);
    let listener = listener(port, backlog)?;
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    std::thread::spawn(move || echo_datagrams(&datagrams));
    println!("listening {}", now_ns());
    Server { epoll: epoll::create(CreateFlags::CLOEXEC)?, listener, clients: Vec::new() }.serve()
}

fn echo_datagrams(socket: &UdpSocket) {
    let mut buffer = vec![0; 65_536];
    loop {
        // An error is of one client that is gone.
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        drop(socket.send_to(&buffer[..len], from));
    }
}

fn listener(port: u16, backlog: i32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    // Accepted connections inherit it.
    set_tcp_nodelay(&socket, true)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listen(&socket, backlog)?;
    Ok(socket)
}

struct Server {
    epoll: OwnedFd,
    listener: OwnedFd,
    /// By descriptor number.
    clients: Vec<Option<Client>>,
}

struct Client {
    socket: OwnedFd,
    /// Bytes of requests that were not answered yet; none before the mode is known.
    owed: Option<usize>,
}

impl Server {
    fn serve(mut self) -> io::Result<()> {
        epoll::add(&self.epoll, &self.listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0; 4096];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    index => self.readable(index as usize, &mut buffer),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // An error other than an empty queue is of one client.
        while let Ok(socket) = accept_with(&self.listener, flags) {
            let index = rustix::fd::AsRawFd::as_raw_fd(&socket) as usize;
            if self.clients.len() <= index {
                self.clients.resize_with(index + 1, || None);
            }
            epoll::add(&self.epoll, &socket, EventData::new_u64(index as u64), EventFlags::IN)?;
            self.clients[index] = Some(Client { socket, owed: None });
        }
        Ok(())
    }

    fn readable(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(client) = &mut self.clients[index] else { return };
        let n = match recv(&client.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((n, _)) if n > 0 => n,
            Err(Errno::AGAIN) => return,
            Ok(_) | Err(_) => return self.clients[index] = None,
        };
        let owed = match client.owed {
            Some(owed) => owed,
            None if buffer[0] == REQUESTS => 0,
            None => return self.hand_over(index, buffer[..n].to_vec()),
        };
        let mut owed = owed + n;
        while owed >= FRAME {
            owed -= FRAME;
            if send(&client.socket, &[REQUESTS; FRAME], SendFlags::NOSIGNAL).is_err() {
                return self.clients[index] = None;
            }
        }
        client.owed = Some(owed);
    }

    /// Gives a bulk connection to a thread.
    fn hand_over(&mut self, index: usize, first: Vec<u8>) {
        let Some(client) = self.clients[index].take() else { return };
        if epoll::delete(&self.epoll, &client.socket).is_err() {
            return;
        }
        let stream = TcpStream::from(client.socket);
        std::thread::spawn(move || {
            // A client that went away is its own business.
            drop(stream.set_nonblocking(false).and_then(|()| bulk(stream, first)));
        });
    }
}

fn bulk(mut stream: TcpStream, mut first: Vec<u8>) -> io::Result<()> {
    match first[0] {
        DOWNLOAD => {
            while first.len() < 9 {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                first.push(byte[0]);
            }
            let mut count = [0; 8];
            count.copy_from_slice(&first[1..9]);
            send_bulk(&mut stream, u64::from_le_bytes(count))?;
            stream.shutdown(Shutdown::Write)?;
            discard(&stream).map(drop)
        }
        UPLOAD => {
            let count = first.len() as u64 + discard(&stream)?;
            stream.write_all(&count.to_le_bytes())
        }
        ECHO => {
            stream.write_all(&first)?;
            let mut buffer = vec![0; BLOCK];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return stream.shutdown(Shutdown::Write),
                    n => stream.write_all(&buffer[..n])?,
                }
            }
        }
        _ => Ok(()),
    }
}

fn send_bulk(stream: &mut TcpStream, mut left: u64) -> io::Result<()> {
    let block = vec![b'd'; BLOCK];
    while left > 0 {
        let part = left.min(BLOCK as u64) as usize;
        stream.write_all(&block[..part])?;
        left -= part as u64;
    }
    Ok(())
}

/// Reads to the end without looking, and answers how much there was.
pub(crate) fn discard(stream: &TcpStream) -> io::Result<u64> {
    let mut room = vec![0; 1024 * 1024];
    let mut total = 0;
    loop {
        match recv(stream, room.as_mut_slice(), RecvFlags::TRUNC) {
            Ok((_, 0)) => return Ok(total),
            Ok((_, n)) => total += n as u64,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
