//! Just enough HTTP/1.1 for bollard: requests with a head and a counted body, answers likewise.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// A request, without what no call here looks at.
#[derive(Debug)]
pub(crate) struct Request {
    /// GET, POST …
    pub(crate) method: String,
    /// The path without the version prefix and the query.
    pub(crate) path: String,
    /// The query, without its question mark.
    pub(crate) query: String,
    /// The body, lossily.
    pub(crate) body: String,
}

/// Reads one request; none when the peer is done.
pub(crate) fn read_request(reader: &mut BufReader<UnixStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (without_version(path).to_owned(), query.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 {
            return Ok(None);
        }
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Request { method, path, query, body }))
}

/// `/v1.41/version` and `/version` mean the same.
fn without_version(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/v") else { return path };
    match rest.find('/') {
        Some(end) if rest[..end].chars().all(|c| c.is_ascii_digit() || c == '.') => &rest[end..],
        _ => path,
    }
}

/// An answer that is not a stream.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body; nothing for 204 and 304.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A JSON body.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, body: body.to_string().into_bytes() }
    }

    /// Docker's form of an error.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "message": message }))
    }

    /// A status alone.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, body: Vec::new() }
    }

    /// Writes it; the connection may go on.
    pub(crate) fn write(&self, stream: &mut UnixStream) -> io::Result<()> {
        let mut bytes = format!("HTTP/1.1 {} Scripted\r\n", self.status).into_bytes();
        if !matches!(self.status, 204 | 304) {
            let length = self.body.len();
            bytes.extend(
                format!("Content-Type: application/json\r\nContent-Length: {length}\r\n").bytes(),
            );
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        stream.write_all(&bytes)
    }
}

/// One chunk of a chunked body.
pub(crate) fn write_chunk(stream: &mut UnixStream, data: &[u8]) -> io::Result<()> {
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend(data);
    bytes.extend(b"\r\n");
    stream.write_all(&bytes)
}
