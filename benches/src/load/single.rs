//! One connection, one request after the other: the distribution of round trips.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::wire::{FRAME, REQUESTS};

/// The percentiles that are handed on; those of the plot.
pub(crate) const PERCENTILES: [f64; 12] =
    [1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9];

/// Long enough for the first half to be on its way through any proxy.
const BETWEEN: Duration = Duration::from_micros(300);

/// In how many pieces a request is written.
#[derive(Clone, Copy)]
pub(super) enum Writes {
    One,
    /// The second a moment after the first: a proxy that delays small writes waits for an
    /// acknowledgement between the two, and the kernel delays that, too.
    Two,
}

/// Asks for `time`, at least 20 times.
pub(super) fn requests(to: SocketAddr, writes: Writes, time: Duration) -> io::Result<Value> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut trips = Vec::with_capacity(1 << 17);
    let began = Instant::now();
    while began.elapsed() < time || trips.len() < 20 {
        let asked = Instant::now();
        exchange(&mut stream, writes)?;
        trips.push(asked.elapsed().as_nanos() as u64);
    }
    // The first ones pay for cold caches and for the set-up of the connection behind the proxy.
    trips.drain(..=trips.len() / 20);
    trips.sort_unstable();
    let at = |percent: f64| {
        let index = (percent / 100.0 * (trips.len() - 1) as f64).round() as usize;
        trips[index] as f64 / 1e3
    };
    Ok(json!({
        "count": trips.len(),
        "percentiles_us": PERCENTILES.map(at),
        "p50_us": at(50.0),
        "p99_us": at(99.0),
    }))
}

fn exchange(stream: &mut TcpStream, writes: Writes) -> io::Result<()> {
    let request = [REQUESTS; FRAME];
    match writes {
        Writes::One => stream.write_all(&request)?,
        Writes::Two => {
            stream.write_all(&request[..FRAME / 2])?;
            std::thread::sleep(BETWEEN);
            stream.write_all(&request[FRAME / 2..])?;
        }
    }
    stream.read_exact(&mut [0; FRAME])
}
