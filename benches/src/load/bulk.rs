//! Throughput: a thread per connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backend::discard;
use crate::wire::{BLOCK, DOWNLOAD, UPLOAD};

/// A reply that is not there so long after the upload's end is lost.
const REPLY_LIMIT: Duration = Duration::from_secs(5);

/// Downloads `bytes` on each of `connections`.
pub(super) fn down(to: SocketAddr, connections: usize, bytes: u64) -> io::Result<Value> {
    all(connections, move || {
        let mut stream = TcpStream::connect(to)?;
        let mut head = vec![DOWNLOAD];
        head.extend(bytes.to_le_bytes());
        stream.write_all(&head)?;
        let got = discard(&stream)?;
        Ok((got, got == bytes))
    })
}

/// Uploads on each of `connections` for `time`, closes the sending half, and compares the count
/// that comes back.
pub(super) fn up(to: SocketAddr, connections: usize, time: Duration) -> io::Result<Value> {
    let block = vec![UPLOAD; BLOCK];
    all(connections, move || {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        let began = Instant::now();
        let mut sent = 0;
        while began.elapsed() < time {
            stream.write_all(&block)?;
            sent += block.len() as u64;
        }
        stream.shutdown(Shutdown::Write)?;
        let mut count = [0; 8];
        let replied = stream.read_exact(&mut count).is_ok();
        Ok((sent, replied && u64::from_le_bytes(count) == sent))
    })
}

fn all(
    connections: usize,
    one: impl Fn() -> io::Result<(u64, bool)> + Clone + Send + 'static,
) -> io::Result<Value> {
    let began = Instant::now();
    let threads: Vec<_> = (0..connections).map(|_| thread::spawn(one.clone())).collect();
    let (mut bytes, mut whole) = (0, 0);
    for thread in threads {
        let (moved, ok) =
            thread.join().map_err(|_| io::Error::other("a client panicked"))?.unwrap_or((0, false));
        bytes += moved;
        whole += usize::from(ok);
    }
    Ok(json!({
        "bytes": bytes,
        "seconds": began.elapsed().as_secs_f64(),
        "whole": whole,
        "connections": connections,
    }))
}
