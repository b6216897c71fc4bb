//! One HTTP/1.1 GET over a connection that is already there.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Connection, handshake};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use std::future::Future;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// An answer about one thing is not longer.
pub(super) const BODY_LIMIT: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The connection or the protocol broke.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// The path or host does not make a request.
    #[error("not a request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The body is too long or broke off.
    #[error("the answer's body cannot be read: {0}")]
    Body(String),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
}

/// The status and the body of `path`; at most `most` bytes of body, within `limit`.
pub(super) async fn get<S>(
    stream: S,
    host: &str,
    path: &str,
    most: usize,
    limit: Duration,
) -> Result<(u16, Bytes), HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    ask(stream, host, path, limit, async |answer| {
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), most).collect().await;
        let body = body.map_err(|error| HttpError::Body(error.to_string()))?;
        Ok((status, body.to_bytes()))
    })
    .await
}

/// The status and the headers alone; the body is not read.
pub async fn head_of<S>(
    stream: S,
    host: &str,
    path: &str,
    limit: Duration,
) -> Result<(u16, HeaderMap), HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    ask(stream, host, path, limit, async |answer| {
        Ok((answer.status().as_u16(), answer.into_parts().0.headers))
    })
    .await
}

/// Sends the request and lets `read` take what it wants of the answer, all within `limit`.
async fn ask<S, T>(
    stream: S,
    host: &str,
    path: &str,
    limit: Duration,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, HttpError>,
) -> Result<T, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = async {
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // The connection is driven beside the exchange and dropped with it: nothing is spawned.
        let talk = async {
            let answer = sender.send_request(request(host, path)?).await?;
            read(answer).await
        };
        beside(connection, talk).await
    };
    tokio::time::timeout(limit, exchange).await.unwrap_or(Err(HttpError::TimedOut(limit)))
}

fn request(host: &str, path: &str) -> Result<Request<Empty<Bytes>>, HttpError> {
    Ok(Request::get(path)
        .header("host", host)
        .header("user-agent", concat!("ondemand-container/", env!("CARGO_PKG_VERSION")))
        .header("connection", "close")
        .body(Empty::new())?)
}

async fn beside<S, T>(
    connection: Connection<TokioIo<S>, Empty<Bytes>>,
    talk: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::pin!(talk);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        ended = connection => {
            ended?;
            talk.await
        }
    }
}
