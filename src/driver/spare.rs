//! The connection that proved the target ready, until a client takes it.

use crate::proxy::Stream;
use crate::proxy::header::{self, Version};

/// A probe's connection. Nothing is sent on it, so that it can become a client's, with the
/// client's header. One that nobody takes says that it was ours before it closes: an application
/// that expects a PROXY header would log a broken one.
#[derive(Debug)]
pub(super) struct Spare {
    stream: Option<Stream>,
    announce: Option<Version>,
}

impl Spare {
    pub(super) fn new(stream: Stream, announce: Option<Version>) -> Self {
        Self { stream: Some(stream), announce }
    }

    /// The connection, for a client.
    pub(super) fn take(mut self) -> Option<Stream> {
        self.stream.take()
    }

    /// Whether the target has ended or reset it.
    pub(super) fn is_dead(&self) -> bool {
        self.stream.as_ref().is_none_or(Stream::is_dead)
    }

    /// Waits until the target has left it.
    pub(super) async fn left(&self) {
        if let Some(stream) = &self.stream {
            stream.left().await;
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let (Some(stream), Some(version)) = (&self.stream, self.announce) {
            // A target that is gone already needs no telling.
            drop(stream.announce(header::local(version)));
        }
    }
}
