//! What load generator and backend say to each other. The first byte of a connection is its mode.

/// Small requests: every [`FRAME`] bytes are answered with as many. Any bytes will do.
pub(crate) const REQUESTS: u8 = b'R';

/// A download: an 8-byte count follows, that many bytes come back, then the end.
pub(crate) const DOWNLOAD: u8 = b'D';

/// An upload: everything is read to the end; then its length comes back in 8 bytes.
pub(crate) const UPLOAD: u8 = b'U';

/// An echo to the end of the stream, for byte integrity.
pub(crate) const ECHO: u8 = b'H';

/// One small request, and its answer.
pub(crate) const FRAME: usize = 64;

/// How much bulk senders hand over at once.
pub(crate) const BLOCK: usize = 256 * 1024;
