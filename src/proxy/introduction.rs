//! Reading the PROXY header that a trusted peer's connection begins with.
//!
//! There is no guessing (`proxy-protocol.txt`, section 2): where headers are asked for, each
//! connection has one, from somebody who may tell. Only the header's own bytes are taken from the
//! socket; all that follows stays in the kernel until there is somebody to read it.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use thiserror::Error;
use tokio::io::Interest;
use tokio::time::timeout;
use tracing::Span;
use tracing::field::display;

use super::Stream;
use super::header::{Ends, LONGEST, Parsed, parse};
use crate::config::Trusted;

/// How long the header may take. The specification asks for three seconds at least, so that one
/// lost packet is sent again in time.
const LIMIT: Duration = Duration::from_secs(5);

/// Why a connection is not served.
#[derive(Debug, Error)]
pub(super) enum Unheard {
    #[error("its peer is not in --accept-proxy-protocol")]
    Distrusted,
    #[error("{0}")]
    Broken(&'static str),
    #[error("it ended before its PROXY header did")]
    Ended,
    #[error("no whole PROXY header within {} s", LIMIT.as_secs())]
    TimedOut,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header of `client`, and answers whose the connection is as far as it says so.
pub(super) async fn hear(client: &Stream, trusted: &Trusted) -> Result<Option<Ends>, Unheard> {
    let peer = client.ends()?.map(|ends| ends.source.ip());
    if !trusted.has(peer) {
        return Err(Unheard::Distrusted);
    }
    let told = timeout(LIMIT, header(client)).await.unwrap_or(Err(Unheard::TimedOut))?;
    let of = told.map_or_else(|| client.peer(), |ends| ends.of_one_family().source.to_string());
    Span::current().record("client", display(of));
    Ok(told)
}

async fn header(client: &Stream) -> Result<Option<Ends>, Unheard> {
    loop {
        poll_fn(|cx| client.poll_read_ready(cx)).await?;
        // A look that finds too little and the clearing of the readiness are one step, so that an
        // edge that comes between them is not cleared with it. One that finds the whole header
        // leaves the readiness as it is, for whoever reads what follows.
        match client.try_io(Interest::READABLE, || look(client)) {
            Ok(Look::Header(ends, length)) => {
                take(client, length)?;
                return Ok(ends);
            }
            Ok(Look::Broken(why)) => return Err(Unheard::Broken(why)),
            Ok(Look::Ended) => return Err(Unheard::Ended),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

enum Look {
    /// Whose it is, and how many bytes say so.
    Header(Option<Ends>, usize),
    Broken(&'static str),
    Ended,
}

/// Looks at what has come, without taking it; too little of it would block.
fn look(client: &Stream) -> io::Result<Look> {
    // Asked first: an end that comes after it makes an edge.
    let ended = client.has_ended();
    let mut bytes = [0; LONGEST];
    let (count, _) = recv(client, &mut bytes, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    match parse(&bytes[..count]) {
        Parsed::Complete { ends, length } => Ok(Look::Header(ends, length)),
        Parsed::Broken(why) => Ok(Look::Broken(why)),
        Parsed::Incomplete if ended || count == 0 => Ok(Look::Ended),
        Parsed::Incomplete => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Takes exactly that many bytes, which are there.
fn take(client: &Stream, length: usize) -> io::Result<()> {
    let mut bytes = [0; LONGEST];
    let mut taken = 0;
    while taken < length {
        let (count, _) = recv(client, &mut bytes[taken..length], RecvFlags::DONTWAIT)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        taken += count;
    }
    Ok(())
}
