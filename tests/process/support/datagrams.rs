//! UDP: an application that is bound only while the test wants it to be, and clients.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test without sockets cannot go on")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{PATIENCE, lock, ms};

/// A UDP address that nobody else takes: a loopback address of this process, and a port below the
/// range from which the kernel takes those of clients.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = std::process::id();
    let [.., high, low] = process.to_be_bytes();
    // A test process needs fewer than eight; with the standard test runner all of them are one's.
    let first = 10_000 + u16::try_from(process % 2_000).unwrap() * 8;
    let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
    (Ipv4Addr::new(127, 77, high, low.max(1)), port).into()
}

/// An application that answers each datagram with `re:` and the same bytes.
#[derive(Debug)]
pub(crate) struct DatagramApp {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Whether it answers.
    talks: Arc<AtomicBool>,
    bound: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl DatagramApp {
    /// Not bound yet.
    pub(crate) fn new() -> Self {
        let talks = Arc::new(AtomicBool::new(true));
        Self { address: free_address(), received: Arc::default(), talks, bound: None }
    }

    /// Binds its port and answers from now on.
    pub(crate) fn bind(&mut self) {
        let socket = UdpSocket::bind(self.address).unwrap();
        socket.set_read_timeout(Some(ms(20))).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (over, received, talks) =
            (Arc::clone(&ended), Arc::clone(&self.received), Arc::clone(&self.talks));
        let task = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !over.load(Ordering::SeqCst) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                lock(&received).push(buffer[..len].to_vec());
                if talks.load(Ordering::SeqCst) {
                    let answer = [b"re:", &buffer[..len]].concat();
                    // One that is too long with these three is not answered.
                    drop(socket.send_to(&answer, from));
                }
            }
        });
        self.bound = Some((ended, task));
    }

    /// Ends; its port refuses from now on.
    pub(crate) fn unbind(&mut self) {
        if let Some((ended, task)) = self.bound.take() {
            ended.store(true, Ordering::SeqCst);
            task.join().unwrap();
        }
    }

    /// Answers nothing from now on.
    pub(crate) fn fall_silent(&self) {
        self.talks.store(false, Ordering::SeqCst);
    }

    /// What has come so far.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        lock(&self.received).clone()
    }
}

impl Drop for DatagramApp {
    fn drop(&mut self) {
        self.unbind();
    }
}

/// A client that takes answers only from whom it speaks to.
#[derive(Debug)]
pub(crate) struct DatagramClient(UdpSocket);

impl DatagramClient {
    /// Nothing is sent yet.
    pub(crate) fn new(to: SocketAddr) -> Self {
        let own: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        Self::from(own, to)
    }

    /// One with that address of this machine.
    pub(crate) fn from(own: IpAddr, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((own, 0)).unwrap();
        socket.connect(to).unwrap();
        Self(socket)
    }

    /// Sends one datagram.
    pub(crate) fn send(&self, datagram: &[u8]) {
        self.0.send(datagram).unwrap();
    }

    /// The next answer, waited for.
    pub(crate) fn receive(&self) -> Vec<u8> {
        self.receive_within(PATIENCE).expect("an answer")
    }

    /// The next answer, if it comes in time.
    pub(crate) fn receive_within(&self, limit: Duration) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = vec![0; 65_536];
        let len = self.0.recv(&mut buffer).ok()?;
        buffer.truncate(len);
        Some(buffer)
    }

    /// Sends one and takes its answer.
    pub(crate) fn ask(&self, question: &str) {
        self.send(question.as_bytes());
        assert_eq!(String::from_utf8_lossy(&self.receive()), format!("re:{question}"));
    }
}
