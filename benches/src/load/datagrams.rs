//! UDP: flows of small datagrams that are echoed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

/// As small as a question, and as large as most real datagrams.
const LENGTH: usize = 1200;

/// So many are on the way in each flow.
const WINDOW: usize = 8;

/// What is not back after this long is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);

/// One flow, one datagram after the other, for `time`, at least 20 times.
pub(super) fn single(to: SocketAddr, time: Duration) -> io::Result<Value> {
    let socket = flow(to)?;
    socket.set_read_timeout(Some(LOST_AFTER))?;
    let mut trips = Vec::with_capacity(1 << 17);
    let mut lost = 0;
    let mut buffer = [0; LENGTH];
    let began = Instant::now();
    while began.elapsed() < time || trips.len() < 20 {
        let asked = Instant::now();
        socket.send(&[b'd'; LENGTH])?;
        match socket.recv(&mut buffer) {
            Ok(_) => trips.push(asked.elapsed().as_nanos() as u64),
            Err(_) => lost += 1,
        }
        if lost > 20 {
            return Err(io::Error::other("datagrams are not answered"));
        }
    }
    trips.sort_unstable();
    let p50 = trips[trips.len() / 2] as f64 / 1e3;
    Ok(json!({ "count": trips.len(), "p50_us": p50, "lost": lost }))
}

/// So many flows at once for `time`, each with a window of datagrams on the way.
pub(super) fn flows(to: SocketAddr, count: usize, time: Duration) -> io::Result<Value> {
    let sockets: Vec<UdpSocket> = (0..count).map(|_| flow(to)).collect::<io::Result<_>>()?;
    // What cannot be sent is lost, and counted as that.
    let send = |socket: &UdpSocket| drop(socket.send(&[b'd'; LENGTH]));
    let mut heard = Vec::new();
    for socket in &sockets {
        socket.set_nonblocking(true)?;
        (0..WINDOW).for_each(|_| send(socket));
        heard.push(Instant::now());
    }
    let mut buffer = [0; LENGTH];
    let (mut answered, mut lost) = (0_u64, 0_u64);
    let began = Instant::now();
    while began.elapsed() < time {
        let mut fds: Vec<PollFd<'_>> =
            sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 20_000_000 }))?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for ((socket, heard), ready) in sockets.iter().zip(&mut heard).zip(ready) {
            while ready && socket.recv(&mut buffer).is_ok() {
                answered += 1;
                *heard = Instant::now();
                send(socket);
            }
            if heard.elapsed() > LOST_AFTER {
                lost += WINDOW as u64;
                *heard = Instant::now();
                (0..WINDOW).for_each(|_| send(socket));
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({
        "flows": count,
        "answered": answered,
        "lost": lost,
        "seconds": seconds,
        "per_second": answered as f64 / seconds,
    }))
}

fn flow(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(to)?;
    Ok(socket)
}
