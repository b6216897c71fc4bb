//! Calls over connections that are kept.
//!
//! The client library connects anew for every call, which costs Docker 0.2 ms and Podman 0.5, twice
//! in every wake. A Unix socket says at once when its engine has gone, so a connection to it can be
//! kept however long; over TCP it could have been dropped silently, and a start be lost on it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard::errors::Error;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error as ThisError;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// So many unused connections are kept: a wake has two calls under way.
const MOST_UNUSED: usize = 2;

/// A connect that failed, so nothing was sent.
#[derive(Debug, ThisError)]
#[error("{0}")]
pub(super) struct Unreached(#[source] io::Error);

/// Connections to one Unix socket. Cheap to clone.
#[derive(Debug)]
pub(super) struct Kept<B>(Arc<Inner<B>>);

#[derive(Debug)]
struct Inner<B> {
    socket: PathBuf,
    connections: Mutex<Connections<B>>,
}

#[derive(Debug)]
struct Connections<B> {
    /// All whose answers have begun; an unused one is ready for the next request.
    open: Vec<SendRequest<B>>,
    /// What drives them; they end with it.
    tasks: JoinSet<()>,
}

impl<B> Clone for Kept<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Kept<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    /// Connections to `socket`; none is made yet.
    pub(super) fn new(socket: PathBuf) -> Self {
        let connections = Connections { open: Vec::new(), tasks: JoinSet::new() };
        Self(Arc::new(Inner { socket, connections: Mutex::new(connections) }))
    }

    /// Sends `request`, once: what has been sent is never sent again.
    pub(super) async fn send(self, mut request: Request<B>) -> Result<Response<Incoming>, Error> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        while let Some(mut sender) = self.unused() {
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(self.keep(sender, answer)),
                // It was closed in this very moment.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut sender = self.connect().await?;
        let answer = sender.send_request(request).await?;
        Ok(self.keep(sender, answer))
    }

    /// One that nobody uses and that the engine has not closed.
    fn unused(&self) -> Option<SendRequest<B>> {
        let open = &mut self.lock().open;
        open.retain(|sender| !sender.is_closed());
        let unused = open.iter().position(SendRequest::is_ready)?;
        Some(open.swap_remove(unused))
    }

    fn keep(&self, sender: SendRequest<B>, answer: Response<Incoming>) -> Response<Incoming> {
        let open = &mut self.lock().open;
        let mut room = MOST_UNUSED - 1;
        open.retain(|sender| {
            let unused = sender.is_ready();
            let keep = !unused || room > 0;
            room = room.saturating_sub(usize::from(unused));
            keep && !sender.is_closed()
        });
        open.push(sender);
        answer
    }

    async fn connect(&self) -> Result<SendRequest<B>, Error> {
        let unreached = |error: io::Error| io::Error::new(error.kind(), Unreached(error));
        let stream = UnixStream::connect(&self.0.socket).await.map_err(unreached)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let tasks = &mut self.lock().tasks;
        while tasks.try_join_next().is_some() {}
        // How it ends is told to whoever waits for an answer.
        tasks.spawn(async move { drop(connection.with_upgrades().await) });
        Ok(sender)
    }

    fn lock(&self) -> MutexGuard<'_, Connections<B>> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use hyper::body::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;
    use tokio::task::yield_now;

    use super::*;

    const YES: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";

    fn kept(name: &str) -> (Kept<Empty<Bytes>>, UnixListener) {
        let socket = std::env::temp_dir().join(format!("odt-{}-{name}", std::process::id()));
        drop(std::fs::remove_file(&socket));
        let listener = UnixListener::bind(&socket).unwrap();
        (Kept::new(socket), listener)
    }

    async fn ask(kept: &Kept<Empty<Bytes>>) -> Result<Bytes, Error> {
        let request = Request::get("unix://localhost/v1/json?a=b").body(Empty::new()).unwrap();
        let answer = kept.clone().send(request).await?;
        Ok(answer.into_body().collect().await?.to_bytes())
    }

    async fn answer(stream: &mut UnixStream) -> String {
        let mut request = vec![0; 1024];
        let length = stream.read(&mut request).await.unwrap_or(0);
        if length == 0 {
            std::future::pending::<()>().await;
        }
        stream.write_all(YES).await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    }

    #[tokio::test]
    async fn one_connection_serves_call_after_call() {
        let (kept, listener) = kept("kept");
        let engine = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..3 {
                let request = answer(&mut stream).await;
                assert!(request.starts_with("GET /v1/json?a=b HTTP/1.1\r\n"), "{request}");
                assert!(request.contains("host: localhost"), "{request}");
            }
        };
        let calls = async {
            for _ in 0..3 {
                assert_eq!(ask(&kept).await.unwrap(), "yes");
            }
        };
        tokio::join!(engine, calls);
    }

    #[tokio::test]
    async fn one_that_is_used_or_closed_is_not_taken() {
        let (kept, listener) = kept("closed");
        let engine = async {
            let (mut first, _) = listener.accept().await.unwrap();
            let (mut second, _) = listener.accept().await.unwrap();
            answer(&mut first).await;
            answer(&mut second).await;
            drop((first, second));
            let (mut third, _) = listener.accept().await.unwrap();
            answer(&mut third).await;
        };
        let calls = async {
            let (one, other) = tokio::join!(ask(&kept), ask(&kept));
            assert!(one.is_ok() && other.is_ok());
            while kept.lock().open.iter().any(|sender| !sender.is_closed()) {
                yield_now().await;
            }
            assert_eq!(ask(&kept).await.unwrap(), "yes");
            assert_eq!(kept.lock().open.len(), 1);
        };
        tokio::join!(engine, calls);
    }

    #[tokio::test]
    async fn few_unused_ones_are_kept() {
        let (kept, listener) = kept("few");
        let engine = async {
            let mut all = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                all.spawn(async move {
                    loop {
                        answer(&mut stream).await;
                    }
                });
            }
        };
        let calls = async {
            let together = tokio::join!(ask(&kept), ask(&kept), ask(&kept), ask(&kept), ask(&kept));
            assert!(together.0.is_ok() && together.4.is_ok());
            ask(&kept).await
        };
        tokio::select! {
            last = calls => assert_eq!(last.unwrap(), "yes"),
            () = engine => panic!("nobody listens"),
        }
        assert!(kept.lock().open.len() <= MOST_UNUSED);
    }

    #[tokio::test]
    async fn a_connect_that_fails_has_sent_nothing() {
        let (kept, listener) = kept("refused");
        drop(listener);
        let error = ask(&kept).await.unwrap_err();
        let Error::IOError { err } = error else { panic!("{error}") };
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);
        assert!(err.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Unreached>));
    }
}
