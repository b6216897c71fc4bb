//! Many clients on one thread: each connects, asks, is answered, and then does what it is told.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use serde_json::{Value, json};

use crate::clock::now_ns;
use crate::wire::{FRAME, REQUESTS};

/// A server that refuses is not asked for ever.
const ENOUGH_LOST: u64 = 1000;

/// What a client does once it is answered.
#[derive(Clone, Copy)]
pub(super) enum After {
    /// It asks again.
    Again,
    /// It closes, and another one comes.
    Renew,
    /// It stays, silent.
    Keep,
    /// It closes.
    End,
}

pub(super) struct Swarm {
    to: SocketAddr,
    after: After,
    epoll: OwnedFd,
    clients: Vec<Option<Client>>,
    /// Places without a client.
    free: VecDeque<usize>,
    answered: u64,
    lost: u64,
    last_answer: u64,
    /// What a lost client saw, the first time.
    why: Option<String>,
}

struct Client {
    socket: OwnedFd,
    asked: bool,
    /// Bytes of the answer that are there.
    got: usize,
}

impl Swarm {
    pub(super) fn new(to: SocketAddr, clients: usize, after: After) -> io::Result<Self> {
        Ok(Self {
            to,
            after,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            clients: std::iter::repeat_with(|| None).take(clients).collect(),
            free: (0..clients).collect(),
            answered: 0,
            lost: 0,
            last_answer: 0,
            why: None,
        })
    }

    /// Counts answers for `time`.
    pub(super) fn run_for(mut self, time: Duration) -> io::Result<Value> {
        let began = Instant::now();
        while began.elapsed() < time {
            while let Some(index) = self.free.pop_front() {
                self.begin(index)?;
            }
            self.turn(Duration::from_millis(100))?;
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(json!({
            "answered": self.answered, "lost": self.lost, "why": self.why, "seconds": seconds,
            "per_second": self.answered as f64 / seconds,
        }))
    }

    /// Sets all of them up, says so with an empty line, and holds them until standard input ends.
    pub(super) fn hold(mut self) -> io::Result<Value> {
        let began = Instant::now();
        while self.answered + self.lost < self.clients.len() as u64 {
            // In small groups: a listen backlog is not what is measured here.
            for _ in 0..32 {
                let Some(index) = self.free.pop_front() else { break };
                self.begin(index)?;
            }
            self.turn(Duration::from_millis(100))?;
            if began.elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        println!();
        io::stdin().read_to_end(&mut Vec::new())?;
        Ok(json!({ "held": self.answered, "lost": self.lost }))
    }

    /// Lets all of them come, evenly spread over `over`, and waits until each has been answered or
    /// lost, or `limit` has passed: who then waits is lost, too.
    pub(super) fn storm(mut self, over: Duration, limit: Duration) -> io::Result<Value> {
        let all = self.clients.len();
        let began = Instant::now();
        let mut came = 0;
        while self.answered + self.lost < all as u64 && began.elapsed() < limit {
            let part = (began.elapsed().as_secs_f64() / over.as_secs_f64().max(1e-6)).min(1.0);
            let due = (part * all as f64) as usize;
            while came < due
                && let Some(index) = self.free.pop_front()
            {
                came += 1;
                self.begin(index)?;
            }
            self.turn(Duration::from_millis(1))?;
        }
        let lost = all as u64 - self.answered;
        Ok(json!({
            "clients": all, "answered": self.answered, "lost": lost, "why": self.why,
            "last_answer_ns": self.last_answer,
        }))
    }

    fn begin(&mut self, index: usize) -> io::Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &self.to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => {
                self.lose(index, error);
                return Ok(());
            }
        }
        epoll::add(&self.epoll, &socket, EventData::new_u64(index as u64), EventFlags::OUT)?;
        self.clients[index] = Some(Client { socket, asked: false, got: 0 });
        Ok(())
    }

    /// Waits for less than a second.
    fn turn(&mut self, longest: Duration) -> io::Result<()> {
        let mut events = Vec::with_capacity(256);
        let longest = Timespec { tv_sec: 0, tv_nsec: longest.subsec_nanos().into() };
        let room = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, room, Some(&longest)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            self.ready(event.data.u64() as usize)?;
        }
        Ok(())
    }

    fn ready(&mut self, index: usize) -> io::Result<()> {
        let Some(client) = &mut self.clients[index] else { return Ok(()) };
        if !client.asked {
            client.asked = true;
            let watch = EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &client.socket, watch, EventFlags::IN)?;
            if let Err(error) = ask(client) {
                self.clients[index] = None;
                self.lose(index, error);
            }
            return Ok(());
        }
        let mut room = [0; FRAME];
        match recv(&client.socket, &mut room, RecvFlags::empty()) {
            Ok((n, _)) if n > 0 => client.got += n,
            Err(Errno::AGAIN) => return Ok(()),
            end => {
                self.clients[index] = None;
                self.lose(index, end.err().unwrap_or(Errno::PIPE));
                return Ok(());
            }
        }
        if client.got < FRAME {
            return Ok(());
        }
        self.answered += 1;
        self.last_answer = now_ns();
        match self.after {
            After::Again => {
                client.got = 0;
                if let Err(error) = ask(client) {
                    self.clients[index] = None;
                    self.lose(index, error);
                }
            }
            After::Keep => {}
            After::Renew => {
                self.clients[index] = None;
                self.free.push_back(index);
            }
            After::End => self.clients[index] = None,
        }
        Ok(())
    }

    /// A lost client's place is taken by another one where clients come and go.
    fn lose(&mut self, index: usize, error: Errno) {
        self.lost += 1;
        if matches!(self.after, After::Renew) && self.lost < ENOUGH_LOST {
            self.free.push_back(index);
        }
        self.why.get_or_insert_with(|| error.to_string());
    }
}

fn ask(client: &Client) -> Result<(), Errno> {
    send(&client.socket, &[REQUESTS; FRAME], SendFlags::NOSIGNAL).map(drop)
}
