//! Bytes, both ways, until both ends have said that they are done.
//!
//! No connection owns a buffer: all of a thread share one, and a connection keeps bytes only when
//! its peer takes fewer than it was given. A flow that comes in large pieces is handed to
//! splice(2) through a pipe from a small pool, and goes back to copying when it runs dry or the
//! pieces get small.
//!
//! The halves close on their own: an end of one side's data is passed on, and the other direction
//! goes on. A reset is passed on as a reset.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::time::{Sleep, sleep};

use super::pipe::{self, Pipe};
use super::stream::Stream;
use super::vigil::{Guard, Moved, Over};
use crate::clock;
use crate::config::ConnectionLimits;

/// The buffer that all connections of a thread share.
const BUFFER: usize = 64 * 1024;

/// Reads of at least this much, so many times in a row, make a flow bulky.
const BULKY: usize = 32 * 1024;
const BULKY_IN_A_ROW: u8 = 4;

/// A spliced flow whose pieces are smaller than this, so many times in a row, is not bulky.
const SMALL: usize = 16 * 1024;

/// After so many rounds a flow lets the others of its thread have a turn.
const ROUNDS: u32 = 16;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into_boxed_slice());
}

/// Lends the buffer that all connections of the thread share; it holds what any of them left there.
pub(super) fn with_shared<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    SHARED.with_borrow_mut(|buffer| work(buffer))
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both sides said that they were done.
    Closed,
    /// A side reset it, or an error came up; the other side was reset.
    Reset,
    /// One side was done, and the other was silent for too long.
    HalfClosedTooLong,
    /// The daemon ended it; both sides were reset.
    Cut,
    /// It was silent, and is closed.
    Silent,
}

/// What passed through a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Bytes from the client.
    pub up: u64,
    /// Bytes to the client.
    pub down: u64,
    /// How it ended.
    pub ended: Ended,
}

/// Copies both ways until the connection has ended or is `cut`. What has ended as
/// [`Ended::Closed`] or [`Ended::Silent`] is to be closed, anything else to be reset, and both at once.
pub(super) async fn copy(
    client: &Stream,
    upstream: &Stream,
    limits: &ConnectionLimits,
    guard: &mut Guard,
    cut: impl Future<Output = ()>,
) -> Summary {
    let mut up = Flow::default();
    let mut down = Flow::default();
    let ended = tokio::select! {
        biased;
        ended = both_ways(&mut up, &mut down, client, upstream, limits, guard) => ended,
        () = cut => Ended::Cut,
    };
    Summary { up: up.total, down: down.total, ended }
}

async fn both_ways(
    up: &mut Flow,
    down: &mut Flow,
    client: &Stream,
    upstream: &Stream,
    limits: &ConnectionLimits,
    guard: &mut Guard,
) -> Ended {
    let mut half: Option<Half<'_>> = None;
    poll_fn(|cx| {
        let before = up.total + down.total;
        let owed = up.left.len() + down.left.len();
        if let Guard::Watched(vigil) = guard
            && let Err(Over) = vigil.admit(cx, client, upstream)
        {
            return Poll::Ready(if owed == 0 { Ended::Silent } else { Ended::Cut });
        }
        let up_done = up.poll(cx, client, upstream);
        down.learn(up);
        let down_done = down.poll(cx, upstream, client);
        up.learn(down);
        if let Guard::Watched(vigil) = guard {
            let left = up.left.len() + down.left.len();
            let nothing = up.total + down.total == before && left == owed;
            let moved = if nothing { Moved::Nothing } else { Moved::Bytes };
            if let Err(Over) = vigil.after(cx, moved) {
                return Poll::Ready(if left == 0 { Ended::Silent } else { Ended::Cut });
            }
        }
        let ended = match (up_done, down_done) {
            (Poll::Ready(Err(Lost)), _) | (_, Poll::Ready(Err(Lost))) => {
                return Poll::Ready(Ended::Reset);
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                let lost = up.destination_lost || down.destination_lost;
                return Poll::Ready(if lost { Ended::Reset } else { Ended::Closed });
            }
            (Poll::Pending, Poll::Pending) => return Poll::Pending,
            (Poll::Ready(Ok(())), Poll::Pending) => client,
            (Poll::Pending, Poll::Ready(Ok(()))) => upstream,
        };
        let half = half.get_or_insert_with(|| Half {
            reaper: Box::pin(sleep(limits.half_closed)),
            broken: Box::pin(ended.broken()),
        });
        if up.total + down.total > before {
            half.reaper.as_mut().reset(clock::instant() + limits.half_closed);
        }
        if half.broken.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ended::Reset);
        }
        half.reaper.as_mut().poll(cx).map(|()| Ended::HalfClosedTooLong)
    })
    .await
}

/// What a connection needs once one side has ended its half; most never do before the end.
struct Half<'a> {
    /// Ends it after too long a silence.
    reaper: Pin<Box<Sleep>>,
    /// A side that has ended is not read any more, so its reset is waited for here.
    broken: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

/// The source of a flow has failed: the whole connection has.
#[derive(Debug)]
struct Lost;

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    total: u64,
    /// Bytes the destination has not taken yet.
    left: Vec<u8>,
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    piped: usize,
    in_a_row: u8,
    stage: Stage,
    /// Splicing does not work between these two sockets.
    copy_only: bool,
    /// A write has failed with more than a broken pipe: the error is spent, and the other
    /// direction, which reads from there, would see a clean end.
    destination_lost: bool,
    /// The same, of the socket this direction reads from.
    source_lost: bool,
    /// How far the other direction is.
    other: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The source has ended; what is left has to be written, and then the end passed on.
    Ending,
    Done,
}

enum Round {
    Again,
    Yield,
}

impl Flow {
    /// Takes in how the other direction stands.
    fn learn(&mut self, other: &Self) {
        self.source_lost = other.destination_lost;
        self.other = other.stage;
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &Stream, to: &Stream) -> Poll<Result<(), Lost>> {
        for _ in 0..ROUNDS {
            if self.stage == Stage::Done {
                return Poll::Ready(Ok(()));
            }
            let round = if self.pipe.is_some() {
                self.poll_splice(cx, from, to)
            } else {
                self.poll_copy(cx, from, to)
            };
            match ready!(round)? {
                Round::Again => {}
                Round::Yield => break,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<Round, Lost>> {
        if !self.left.is_empty() {
            match ready!(to.poll_write(cx, &self.left)) {
                Ok(n) if n > 0 => {
                    self.left.drain(..n);
                    if self.left.is_empty() {
                        // A connection that is idle again owns no memory.
                        self.left = Vec::new();
                    }
                }
                Ok(_) => self.destination_gone(None),
                Err(error) => self.destination_gone(Some(&error)),
            }
            return Poll::Ready(Ok(Round::Again));
        }
        if self.stage == Stage::Ending {
            if self.source_lost {
                return Poll::Ready(Err(Lost));
            }
            // When both are done, closing says so.
            if self.other != Stage::Done {
                to.end();
            }
            self.stage = Stage::Done;
            return Poll::Ready(Ok(Round::Again));
        }
        SHARED.with_borrow_mut(|buffer| {
            match ready!(from.poll_read(cx, buffer)) {
                Err(_) => return Poll::Ready(Err(Lost)),
                Ok(0) => self.stage = Stage::Ending,
                Ok(n) => self.pass_on(cx, from, to, &buffer[..n]),
            }
            Poll::Ready(Ok(Round::Again))
        })
    }

    fn pass_on(&mut self, cx: &mut Context<'_>, from: &Stream, to: &Stream, read: &[u8]) {
        self.total += read.len() as u64;
        match to.poll_write(cx, read) {
            Poll::Ready(Ok(n)) if n == read.len() => {}
            Poll::Ready(Ok(n)) if n > 0 => self.left = read[n..].to_vec(),
            Poll::Ready(Ok(_)) => return self.destination_gone(None),
            Poll::Ready(Err(error)) => return self.destination_gone(Some(&error)),
            Poll::Pending => self.left = read.to_vec(),
        }
        if read.len() < BULKY {
            self.in_a_row = 0;
            return;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let bulky = self.in_a_row >= BULKY_IN_A_ROW && self.left.is_empty();
        if bulky && !self.copy_only && from.readiness_is_true() {
            self.pipe = pipe::take();
            self.in_a_row = 0;
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<Round, Lost>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(Round::Again)) };
        if self.piped == 0 {
            match from.poll_read_ready(cx) {
                Poll::Ready(_) => {}
                Poll::Pending => {
                    self.end_splicing();
                    return Poll::Pending;
                }
            }
            match from.try_io(Interest::READABLE, || pipe.fill(from)) {
                Ok(0) => {
                    self.end_splicing();
                    self.stage = Stage::Ending;
                    return Poll::Ready(Ok(Round::Again));
                }
                Ok(n) => {
                    self.piped = n;
                    self.total += n as u64;
                    self.in_a_row = if n < SMALL { self.in_a_row + 1 } else { 0 };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Ok(Round::Again));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.end_splicing();
                    self.copy_only = true;
                    return Poll::Ready(Ok(Round::Again));
                }
                Err(_) => return Poll::Ready(Err(Lost)),
            }
        }
        while self.piped > 0 {
            if let Err(error) = ready!(to.poll_write_ready(cx)) {
                self.destination_gone(Some(&error));
                return Poll::Ready(Ok(Round::Again));
            }
            match to.try_io(Interest::WRITABLE, || pipe.drain(to, self.piped)) {
                Ok(n) if n > 0 => self.piped -= n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) => {
                    self.destination_gone(None);
                    return Poll::Ready(Ok(Round::Again));
                }
                Err(error) => {
                    self.destination_gone(Some(&error));
                    return Poll::Ready(Ok(Round::Again));
                }
            }
        }
        if self.in_a_row >= BULKY_IN_A_ROW {
            self.end_splicing();
        }
        Poll::Ready(Ok(Round::Yield))
    }

    fn end_splicing(&mut self) {
        self.in_a_row = 0;
        if let Some(pipe) = self.pipe.take() {
            if self.piped == 0 {
                pipe::give_back(pipe);
            }
            self.piped = 0;
        }
    }

    /// The destination takes nothing any more. The other direction still brings what it had sent
    /// before. A broken pipe says that it was reset earlier, or shut by us; any other error is the
    /// reset itself, told once.
    fn destination_gone(&mut self, error: Option<&io::Error>) {
        self.destination_lost =
            error.is_some_and(|error| error.kind() != io::ErrorKind::BrokenPipe);
        self.end_splicing();
        self.left = Vec::new();
        self.stage = Stage::Done;
    }
}
