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
        let shared = Arc::new(Shared {
            line: Mutex::new(Line::Open),
            requests: Mutex::new(Vec::new()),
            streams: Mutex::new(Vec::new()),
            path: engine.dir.join("tap.sock"),
            engine: engine.socket.clone(),
        });
        let listener = listen(&shared.path);
        let inner = Arc::clone(&shared);
        thread::spawn(move || inner.accept(listener));
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
        *self.shared.line.lock().unwrap() = line;
        if line == Line::Gone {
            _ = std::fs::remove_file(&self.shared.path);
            for stream in self.shared.streams.lock().unwrap().drain(..) {
                _ = stream.shutdown(Shutdown::Both);
            }
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

    fn accept(self: Arc<Self>, listener: UnixListener) {
        let mut listener = Some(listener);
        loop {
            match self.line() {
                Line::Over => return,
                Line::Gone => listener = None,
                Line::Hung => {}
                Line::Open => {
                    let listener = listener.get_or_insert_with(|| listen(&self.path));
                    while let Ok((client, _)) = listener.accept() {
                        // The engine may be away itself; its client is dropped then.
                        _ = self.join(client);
                    }
                }
            }
            thread::sleep(ms(2));
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
