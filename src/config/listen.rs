//! `--listen`: where clients connect.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::port::{Port, Protocol};

/// One place to listen at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// That port on all interfaces, IPv4 and IPv6.
    Everywhere(Port),
    /// That address.
    At(Protocol, SocketAddr),
    /// That path.
    Unix(PathBuf),
}

/// What addresses that clash have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Spot {
    Port(Port),
    Path(PathBuf),
}

impl ListenAddress {
    /// Understands `ADDR:PORT`, `PORT`, `:PORT`, `localhost:PORT`, each with `udp:` before it for
    /// datagrams, and `unix:/path`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let relative = path.trim_start_matches('/');
            return match path.len() - relative.len() {
                // A path, or a URL of one: after two slashes a URL has a host.
                1 | 3.. => Ok(Self::Unix(format!("/{relative}").into())),
                _ => Err(format!("{text:?}: the path of a Unix socket begins with '/'")),
            };
        }
        let (protocol, place) = match text.split_once(':') {
            Some(("udp", place)) => (Protocol::Udp, place),
            Some(("tcp", place)) => (Protocol::Tcp, place),
            Some(_) | None => (Protocol::Tcp, text),
        };
        if let Some(number) = number(place.strip_prefix(':').unwrap_or(place)) {
            return Ok(Self::Everywhere(Port { number, protocol }));
        }
        if let Some(number) = place.strip_prefix("localhost:").and_then(number) {
            return Ok(Self::At(protocol, SocketAddr::from(([127, 0, 0, 1], number))));
        }
        match place.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self::At(protocol, address)),
            Ok(_) => Err(format!("{text:?}: the port must be from 1 to 65535")),
            Err(_) => Err(format!(
                "{text:?} is none of ADDR:PORT (127.0.0.1:3000, [::1]:3000), PORT, udp:ADDR:PORT, \
                 unix:/path"
            )),
        }
    }

    /// Where it is looked for: addresses that clash have the same.
    pub(super) fn spot(&self) -> Spot {
        match self {
            Self::Everywhere(port) => Spot::Port(*port),
            Self::At(protocol, at) => Spot::Port(Port { number: at.port(), protocol: *protocol }),
            Self::Unix(path) => Spot::Path(path.clone()),
        }
    }

    /// Whether both cannot be had at once.
    pub fn clashes(&self, other: &Self) -> bool {
        let of = |address: &Self| match address {
            Self::Everywhere(port) => Some((*port, None)),
            Self::At(protocol, at) => {
                let ip = Some(at.ip()).filter(|ip| !ip.is_unspecified());
                Some((Port { number: at.port(), protocol: *protocol }, ip))
            }
            Self::Unix(_) => None,
        };
        match (of(self), of(other)) {
            (Some((own, here)), Some((other, there))) => {
                own == other && (here.is_none() || there.is_none() || here == there)
            }
            _ => self == other,
        }
    }

    /// What clients speak there.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Everywhere(port) => port.protocol,
            Self::At(protocol, _) => *protocol,
            Self::Unix(_) => Protocol::Tcp,
        }
    }
}

/// As it is given on the command line.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere(Port { number, protocol: Protocol::Tcp }) => number.fmt(f),
            Self::Everywhere(Port { number, protocol: Protocol::Udp }) => write!(f, "udp:{number}"),
            Self::At(Protocol::Tcp, address) => address.fmt(f),
            Self::At(Protocol::Udp, address) => write!(f, "udp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_ports_and_paths() {
        let parse = |text| ListenAddress::parse(text).unwrap();
        let at = |protocol, text: &str| ListenAddress::At(protocol, text.parse().unwrap());
        assert_eq!(parse("3000"), ListenAddress::Everywhere(Port::tcp(3000)));
        assert_eq!(parse(":3000"), ListenAddress::Everywhere(Port::tcp(3000)));
        assert_eq!(parse("[::1]:3000"), at(Protocol::Tcp, "[::1]:3000"));
        assert_eq!(parse("localhost:1"), at(Protocol::Tcp, "127.0.0.1:1"));
        assert_eq!(parse("unix:/run/x"), ListenAddress::Unix("/run/x".into()));
        assert_eq!(parse("unix:///run/x"), ListenAddress::Unix("/run/x".into()));
        assert_eq!(parse("unix:////run/x").to_string(), "unix:/run/x");
        assert_eq!(parse("unix:////").to_string(), "unix:/");
        assert_eq!(parse("udp:53"), ListenAddress::Everywhere(Port::udp(53)));
        assert_eq!(parse("udp:[::1]:53"), at(Protocol::Udp, "[::1]:53"));
        assert_eq!(parse("udp:localhost:53"), at(Protocol::Udp, "127.0.0.1:53"));
        assert_eq!(parse("tcp:0.0.0.0:53"), at(Protocol::Tcp, "0.0.0.0:53"));
        for bad in [
            "",
            "0",
            "70000",
            "unix:x",
            "unix://x",
            "1.2.3.4:0",
            "1.2.3.4",
            "host:80",
            "udp:unix:/x",
        ] {
            assert!(ListenAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
