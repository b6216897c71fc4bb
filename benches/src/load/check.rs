//! Correctness: are the halves closed on their own, and are the bytes the same?

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::wire::{BLOCK, ECHO, UPLOAD};

const PATIENCE: Duration = Duration::from_secs(5);

/// Sends something, closes the sending half and waits for the reply: how many replies arrive?
pub(super) fn halves(to: SocketAddr, connections: usize) -> Value {
    let mut replies = 0;
    for index in 0..connections {
        let bytes = vec![UPLOAD; 1 + index * 4999];
        let one = || -> io::Result<bool> {
            let mut stream = TcpStream::connect(to)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&bytes)?;
            stream.shutdown(Shutdown::Write)?;
            let mut count = [0; 8];
            stream.read_exact(&mut count)?;
            Ok(u64::from_le_bytes(count) == bytes.len() as u64)
        };
        replies += usize::from(one().unwrap_or(false));
    }
    json!({ "replies": replies, "connections": connections })
}

/// Sends `bytes` in pieces of very different sizes, both ways at once, and compares what comes
/// back, offset by offset, up to the end that follows its own half-close.
pub(super) fn echo(to: SocketAddr, bytes: u64) -> io::Result<Value> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let writer = stream.try_clone()?;
    let writing = thread::spawn(move || write(writer, bytes));
    let (mut got, mut wrong) = (0_u64, 0_u64);
    let mut buffer = vec![0; BLOCK];
    let mut reader = stream;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => {
                for byte in &buffer[..n] {
                    wrong += u64::from(*byte != byte_at(got));
                    got += 1;
                }
            }
        }
    }
    let wrote = writing.join().is_ok_and(|written| written.is_ok());
    Ok(json!({ "whole": wrote && got == bytes && wrong == 0, "got": got, "wrong": wrong }))
}

fn write(mut stream: TcpStream, bytes: u64) -> io::Result<()> {
    let mut sent = 0;
    let mut piece = Vec::with_capacity(BLOCK);
    // From single bytes to whole blocks and back: bulk begins and ends many times.
    let sizes = [1, 700, 64, 16_384, 33_000, 100_000, BLOCK, BLOCK, BLOCK, BLOCK, 4096, 9];
    for size in sizes.iter().cycle() {
        if sent == bytes {
            break;
        }
        let end = bytes.min(sent + *size as u64);
        piece.clear();
        piece.extend((sent..end).map(byte_at));
        stream.write_all(&piece)?;
        sent = end;
    }
    stream.shutdown(Shutdown::Write)
}

/// Each offset has a byte of its own kind; the first is the mode.
fn byte_at(offset: u64) -> u8 {
    if offset == 0 { ECHO } else { (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 }
}
