//! The service manager's side of `sd_notify(3)`.
#![allow(clippy::unwrap_used, reason = "a test without threads or sockets cannot go on")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use super::{lock, ms};

/// Collects every message.
#[derive(Debug, Clone)]
pub(crate) struct Notify(Arc<Mutex<Vec<String>>>);

impl Notify {
    /// Listens on `path`, for as long as a handle lives.
    pub(crate) fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        // Bounded, so that the thread notices when nobody listens any more.
        socket.set_read_timeout(Some(ms(100))).unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let weak = Arc::downgrade(&messages);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(messages) = weak.upgrade() {
                if let Ok(count) = socket.recv(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..count]);
                    lock(&messages).extend(text.lines().map(str::to_owned));
                }
            }
        });
        Self(messages)
    }

    /// How many lines equal `message`.
    pub(crate) fn count(&self, message: &str) -> usize {
        lock(&self.0).iter().filter(|line| *line == message).count()
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}
