//! A socket between the daemon and the engine: counts what is asked, and takes the engine away.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use super::clock::ms;
use super::engine::Engine;

/// What the daemon finds where its engine should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Open,
    /// Connections are made and stay, and nothing moves.
    Hung,
    /// No socket file, no connection.
    Gone,
    /// The test is over.
    Over,
}

#[derive(Debug)]
struct Shared {
    line: Mutex<Line>,
    /// There as long as the line is not gone.
    listener: Mutex<Option<UnixListener>>,
    requests: Mutex<Vec<String>>,
    streams: Mutex<Vec<UnixStream>>,
    path: PathBuf,
    engine: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Tap {
    shared: Arc<Shared>,
}

impl Tap {
    pub(crate) fn on(engine: &Engine) -> Self {
        let path = engine.dir.join("tap.sock");
        let shared = Arc::new(Shared {
            line: Mutex::new(Line::Open),
            listener: Mutex::new(Some(listen(&path))),
            requests: Mutex::new(Vec::new()),
            streams: Mutex::new(Vec::new()),
            path,
            engine: engine.socket.clone(),
        });
        let inner = Arc::clone(&shared);
        thread::spawn(move || inner.accept());
        Tap { shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.shared.path.display())
    }

    /// Request lines since the last call, such as `POST /v1.41/containers/x/start HTTP/1.1`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }

    pub(crate) fn set(&self, line: Line) {
        let shared = &self.shared;
        *shared.line.lock().unwrap() = line;
        match line {
            Line::Open => {
                shared.listener.lock().unwrap().get_or_insert_with(|| listen(&shared.path));
            }
            Line::Gone => {
                _ = std::fs::remove_file(&shared.path);
                *shared.listener.lock().unwrap() = None;
                for stream in shared.streams.lock().unwrap().drain(..) {
                    _ = stream.shutdown(Shutdown::Both);
                }
            }
            Line::Hung | Line::Over => {}
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.set(Line::Gone);
        self.set(Line::Over);
    }
}

fn listen(path: &Path) -> UnixListener {
    let listener = UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

impl Shared {
    fn line(&self) -> Line {
        *self.line.lock().unwrap()
    }

    fn accept(self: Arc<Self>) {
        loop {
            let client = match (self.line(), &*self.listener.lock().unwrap()) {
                (Line::Over, _) => return,
                (Line::Open, Some(listener)) => listener.accept().ok(),
                (Line::Open | Line::Hung | Line::Gone, _) => None,
            };
            match client {
                // The engine may be away itself; its client is dropped then.
                Some((client, _)) => _ = self.join(client),
                None => thread::sleep(ms(2)),
            }
        }
    }

    fn join(self: &Arc<Self>, client: UnixStream) -> io::Result<()> {
        let engine = UnixStream::connect(&self.engine)?;
        client.set_nonblocking(false)?;
        // Under the lock: a line that goes meanwhile either is seen here, or sees these streams.
        let mut streams = self.streams.lock().unwrap();
        if matches!(self.line(), Line::Gone | Line::Over) {
            return Ok(());
        }
        streams.extend([client.try_clone()?, engine.try_clone()?]);
        for (from, to, asks) in
            [(client.try_clone()?, engine.try_clone()?, true), (engine, client, false)]
        {
            let inner = Arc::clone(self);
            thread::spawn(move || {
                // Either end going away ends both.
                _ = inner.copy(&from, &to, asks);
                _ = from.shutdown(Shutdown::Both);
                _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    fn copy(&self, mut from: &UnixStream, mut to: &UnixStream, asks: bool) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            while self.line() == Line::Hung {
                thread::sleep(ms(2));
            }
            if asks {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let lines = text.lines().filter(|line| line.ends_with(" HTTP/1.1"));
                self.requests.lock().unwrap().extend(lines.map(str::to_owned));
            }
            to.write_all(&buffer[..length])?;
        }
    }
}
