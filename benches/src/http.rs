//! Just enough HTTP/1.1 over a Unix socket to ask an engine, and to be one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// An engine that does not answer for so long is stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// A kept-alive connection to an engine.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    pub(crate) fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Calls, and answers the status and the body.
    pub(crate) fn call(&mut self, method: &str, path: &str) -> io::Result<(u16, Value)> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: engine\r\nContent-Length: 0\r\n\r\n");
        self.stream.get_mut().write_all(head.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("{path}: answers {line:?}")))?;
        let (length, chunked) = read_headers(&mut self.stream)?;
        let body = if chunked {
            self.read_chunks()?
        } else {
            let mut body = vec![0; if matches!(status, 204 | 304) { 0 } else { length }];
            self.stream.read_exact(&mut body)?;
            body
        };
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
}

/// Reads one request: its method, and its path without version and query. `None` at the end.
pub(crate) fn read_request(
    stream: &mut BufReader<UnixStream>,
) -> io::Result<Option<(String, String)>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default();
    let path = match path.strip_prefix("/v1.").and_then(|rest| rest.find('/')) {
        Some(slash) => &path[slash + 4..],
        None => path,
    };
    let path = path.to_owned();
    let (length, _) = read_headers(stream)?;
    io::copy(&mut stream.take(length as u64), &mut io::sink())?;
    Ok(Some((method, path)))
}

pub(crate) fn write_answer(stream: &mut UnixStream, status: u16, body: &Value) -> io::Result<()> {
    if matches!(status, 204 | 304) {
        return write!(stream, "HTTP/1.1 {status} -\r\n\r\n");
    }
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())
}

fn read_headers(stream: &mut impl BufRead) -> io::Result<(usize, bool)> {
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok((length, chunked));
        }
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(("transfer-encoding", "chunked")) => chunked = true,
            _ => {}
        }
    }
}
