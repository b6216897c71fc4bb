//! A small pool of pipes for splicing.
//!
//! A pipe per connection would exhaust what an unprivileged user may own (pipe(7),
//! `pipe-user-pages-soft`) and halve the throughput of everybody; sixteen in all do not.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// How many pipes there are at most.
const MOST: usize = 16;

/// What is asked for; the kernel may give less, which is no harm.
const SIZE: usize = 1024 * 1024;

static FREE: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// One pipe.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// An empty pipe, if there is one to be had.
pub(super) fn take() -> Option<Pipe> {
    if let Some(pipe) = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop() {
        return Some(pipe);
    }
    if LIVE.fetch_add(1, Ordering::Relaxed) >= MOST {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    if let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
        let pipe = Pipe { read, write };
        // Refused to those who own many pages already; a small pipe works as well.
        let _as_given = fcntl_setpipe_size(&pipe.write, SIZE);
        Some(pipe)
    } else {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

/// Takes an empty pipe back.
pub(super) fn give_back(pipe: Pipe) {
    FREE.lock().unwrap_or_else(PoisonError::into_inner).push(pipe);
}

impl Drop for Pipe {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pipe {
    /// Moves bytes from a socket into the empty pipe; 0 is the end of the socket's data.
    pub(super) fn fill(&self, from: impl AsFd) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(splice(from, None, &self.write, None, SIZE, flags)?)
    }

    /// Moves at most `len` bytes from the pipe into a socket.
    pub(super) fn drain(&self, to: impl AsFd, len: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(splice(&self.read, None, to, None, len, flags)?)
    }
}
