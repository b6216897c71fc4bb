//! Requests that a rule is for: answered while the service sleeps, passed on while it is awake, and no
//! use of it either way.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use super::connect::{self, Wish};
use super::{Proxy, Stream, Unserved};
use crate::admin::StateWord;
use crate::driver::Lease;
use crate::gate::HttpRule;

/// An answer of ours may take so long, with what the client sends after its request.
const LIMIT: Duration = Duration::from_secs(3);

/// So much of that is read: if a socket is closed over bytes that nobody has read, the client is sent a
/// reset, which may overtake the answer.
const UNREAD: usize = 1024 * 1024;

/// Answers such a client, or connects it with a lease that is no use.
pub(super) async fn serve(
    proxy: &Proxy,
    client: &Stream,
    wish: Wish,
    (rule, method): (&HttpRule, String),
    cut: impl Future<Output = ()> + Send,
) -> Result<(Lease, Stream), Unserved> {
    if let Some(lease) = proxy.service.acquire_uncounted(wish.port) {
        let connect = connect::connect(proxy, &lease, &wish, None);
        let reached = tokio::select! {
            reached = timeout(proxy.start_timeout, connect) => reached.unwrap_or_default(),
            () = client.broken() => return Err(Unserved::Left),
            () = cut => None,
        };
        // Where it has fallen asleep meanwhile, the client asks again.
        return reached.map(|upstream| (lease, upstream)).ok_or(Unserved::Refused);
    }
    let state = StateWord::of(proxy.service.status().phase).word();
    debug!(state, "answered by a rule");
    let answer = rule.answer(&method, state);
    tokio::select! {
        answered = timeout(LIMIT, send(client, &answer)) => drop(answered),
        () = cut => {}
    }
    Err(Unserved::Left)
}

/// Sends it, and closes in a way that lets it arrive.
async fn send(client: &Stream, answer: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < answer.len() {
        sent += poll_fn(|cx| client.poll_write(cx, &answer[sent..])).await?;
    }
    client.end();
    let (mut bytes, mut read) = (vec![0; 4096], 0);
    while read < UNREAD {
        match poll_fn(|cx| client.poll_read(cx, &mut bytes)).await? {
            0 => break,
            count => read += count,
        }
    }
    Ok(())
}
