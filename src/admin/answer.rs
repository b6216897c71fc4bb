//! Answers: JSON, whole or as a stream of lines.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::view::Problem;

/// A body of either kind.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A whole JSON document and a line's end.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    response(status, "application/json", Full::new(line(value)).boxed_unsync())
}

/// Why not.
pub(super) fn problem(status: StatusCode, error: impl Into<String>) -> Response<Body> {
    json(status, &Problem { error: error.into() })
}

/// The method is none of those.
pub(super) fn only(allowed: &'static str) -> Response<Body> {
    let mut answer =
        problem(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}; see docs/admin.md"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// JSON lines as they come.
pub(super) fn lines<S>(stream: S) -> Response<Body>
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    let frames = stream.map(|bytes| Ok(Frame::data(bytes)));
    response(StatusCode::OK, "application/x-ndjson", StreamBody::new(frames).boxed_unsync())
}

/// A JSON line.
pub(super) fn line(value: &impl Serialize) -> Bytes {
    // Serialising to memory what has text for keys cannot fail.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
