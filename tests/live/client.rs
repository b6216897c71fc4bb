//! Clients, as plain as they come.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::clock::secs;

/// Longer than any wait that is part of a test.
const PATIENCE: Duration = secs(60);

/// An HTTP answer of the fixture.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Which start of its container this was.
    #[track_caller]
    pub(crate) fn boot(&self) -> u64 {
        self.field("boot").parse().unwrap()
    }

    /// The identity of the run that answered.
    #[track_caller]
    pub(crate) fn run(&self) -> String {
        self.field("run")
    }

    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> String {
        let text = self.text();
        let found = text.split_whitespace().filter_map(|word| word.split_once('='));
        match found.into_iter().find(|(key, _)| *key == name) {
            Some((_, value)) => value.to_owned(),
            None => panic!("no {name}= in an answer with status {}: {text}", self.status),
        }
    }
}

pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    get_on(&mut connect(address)?, path)
}

/// A request that asks for the connection to be closed afterwards.
pub(crate) fn get_on(stream: &mut (impl Read + Write), path: &str) -> io::Result<Answer> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: fixture\r\nConnection: close\r\n\r\n")?;
    read_answer(stream)
}

/// A request after which the connection stays.
pub(crate) fn ask_on(stream: &mut (impl Read + Write), path: &str) -> io::Result<Answer> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: fixture\r\n\r\n")?;
    read_answer(stream)
}

pub(crate) fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(status) = line.split(' ').nth(1).and_then(|word| word.parse().ok()) else {
        return Err(Error::new(ErrorKind::UnexpectedEof, format!("no status in {line:?}")));
    };
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().map_err(Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Answer { status, body })
}

/// A client that was turned away sees a reset: not a silent end, which it could take for an answer,
/// and not a timeout.
#[track_caller]
pub(crate) fn assert_reset<T: std::fmt::Debug>(result: io::Result<T>) {
    match result {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionRefused
            ) => {}
        other => panic!("a reset was expected: {other:?}"),
    }
}

/// Leaves without a goodbye: the other side sees a reset.
pub(crate) fn leave_with_reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// The checksum of the fixture's `count` mode (FNV-1a, 64 bits).
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Bytes in which no shift or swap goes unnoticed.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24).to_le_bytes()[0]
    })
    .take(length)
    .collect()
}
