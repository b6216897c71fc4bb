//! A port of an application: its number and its protocol.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Streams: TCP, or a Unix stream socket in its place.
    Tcp,
    /// Datagrams: UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A port that an application listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// What is spoken there.
    pub protocol: Protocol,
}

impl Port {
    /// A TCP port.
    pub const fn tcp(number: u16) -> Self {
        Self { number, protocol: Protocol::Tcp }
    }

    /// A UDP port.
    pub const fn udp(number: u16) -> Self {
        Self { number, protocol: Protocol::Udp }
    }
}

/// As it is given on the command line: `53` is TCP, `53/udp` is UDP.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Tcp => self.number.fmt(f),
            Protocol::Udp => write!(f, "{}/udp", self.number),
        }
    }
}

/// Text that is no port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no port: give a number from 1 to 65535, with /udp behind it if it is UDP")]
pub struct BadPort(String);

/// `53`, `53/tcp` or `53/udp`, as the engines write it.
impl FromStr for Port {
    type Err = BadPort;

    fn from_str(text: &str) -> Result<Self, BadPort> {
        let bad = || BadPort(text.to_owned());
        let (number, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((number, "tcp")) => (number, Protocol::Tcp),
            Some((number, "udp")) => (number, Protocol::Udp),
            Some(_) => return Err(bad()),
        };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|number| digits && *number != 0);
        Ok(Self { number: number.ok_or_else(bad)?, protocol })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_and_without_a_protocol() {
        assert_eq!("53".parse(), Ok(Port::tcp(53)));
        assert_eq!("53/tcp".parse(), Ok(Port::tcp(53)));
        assert_eq!("53/udp".parse(), Ok(Port::udp(53)));
        assert_eq!(Port::udp(53).to_string().parse(), Ok(Port::udp(53)));
        for bad in ["", "0", "65536", "+5", "53/", "53/sctp", "udp/53", " 53"] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
    }
}
