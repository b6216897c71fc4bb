//! Connecting to the target.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use super::stream::{Stream, tune};

/// Where something listens. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(Arc<Path>),
}

impl Address {
    /// Connects, without a time limit; a TCP connection gets the options of [`tune`].
    pub async fn connect(&self, keepalive: Duration) -> io::Result<Stream> {
        match self {
            Self::Ip(address) => {
                let stream = TcpStream::connect(address).await?;
                // A failure to tune says that the connection is gone; whoever uses it will see.
                drop(tune(&SockRef::from(&stream), keepalive));
                Ok(stream.into())
            }
            Self::Unix(path) => Ok(UnixStream::connect(path).await?.into()),
        }
    }

    /// What an HTTP request names as its host.
    pub fn host(&self) -> String {
        match self {
            Self::Ip(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
