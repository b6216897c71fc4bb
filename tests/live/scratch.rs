//! Names, addresses and files that no other test has, also with many test processes at once.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

static COUNTER: AtomicU16 = AtomicU16::new(1);

/// A number that is new in this process.
pub(crate) fn number() -> u16 {
    COUNTER.fetch_add(1, Ordering::SeqCst)
}

/// This process's own address in 127/8: ports there are free without asking.
pub(crate) fn address() -> Ipv4Addr {
    let [_, high, middle, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, middle, low)
}

/// A port for an application that shares the host's network with everybody else: below the range
/// the kernel takes for outgoing connections, and another one in each process and call.
pub(crate) fn host_port() -> u16 {
    let process = u16::try_from(process::id() % 1000).unwrap();
    let port = || 20_000 + process * 12 + number() % 12;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(port).take(12).find(free).unwrap()
}

/// A directory that goes with its owner.
#[derive(Debug)]
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("odt-{}-{}", process::id(), number()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}
