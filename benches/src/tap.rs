//! A wire between the daemon and an engine that notes every call and how long the engine takes for
//! it: what of a cold start is the engine's.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::clock::now_ns;

/// One call: when it was asked, and when the first of the answer came.
#[derive(Clone)]
pub(crate) struct Call {
    /// Method and path, the query left out.
    pub(crate) what: String,
    pub(crate) asked: u64,
    pub(crate) answered: u64,
}

#[derive(Clone)]
pub(crate) struct Tap {
    pub(crate) socket: PathBuf,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Tap {
    pub(crate) fn new(socket: PathBuf, engine: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(&socket)?;
        let tap = Self { socket, calls: Arc::default() };
        let (engine, accepting) = (engine.to_owned(), tap.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = UnixStream::connect(&engine) {
                    drop(accepting.wire(client, server));
                }
            }
        });
        Ok(tap)
    }

    /// The answered calls since the last time.
    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.calls))
    }

    fn wire(&self, client: UnixStream, server: UnixStream) -> io::Result<()> {
        let pending: Arc<Mutex<Option<(String, u64)>>> = Arc::default();
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        let asked = Arc::clone(&pending);
        thread::spawn(move || {
            let copied = copy(&mut from_client, &mut to_server, |bytes| {
                if let Some(what) = request(bytes) {
                    *lock(&asked) = Some((what, now_ns()));
                }
            });
            drop(to_server.shutdown(Shutdown::Write));
            copied
        });
        let (mut from_server, mut to_client) = (server, client);
        let calls = Arc::clone(&self.calls);
        thread::spawn(move || {
            let copied = copy(&mut from_server, &mut to_client, |_| {
                if let Some((what, asked)) = lock(&pending).take() {
                    lock(&calls).push(Call { what, asked, answered: now_ns() });
                }
            });
            drop(to_client.shutdown(Shutdown::Both));
            copied
        });
        Ok(())
    }
}

impl Call {
    /// Whether it makes a container run.
    pub(crate) fn wakes(&self) -> bool {
        self.what.ends_with("/start") || self.what.ends_with("/unpause")
    }
}

/// A piece that begins with a request line is a request: the daemon sends one at a time.
fn request(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?.strip_suffix(" HTTP/1.1")?;
    let line = line.split('?').next()?;
    let known = ["GET ", "HEAD ", "POST "].iter().any(|method| line.starts_with(method));
    known.then(|| line.to_owned())
}

fn copy(from: &mut UnixStream, to: &mut UnixStream, mut note: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => {
                note(&buffer[..n]);
                to.write_all(&buffer[..n])?;
            }
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
