//! `--listen`: where clients connect.

use std::net::SocketAddr;
use std::path::PathBuf;

/// One place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// That port on all interfaces, IPv4 and IPv6.
    Everywhere(u16),
    /// That address.
    Tcp(SocketAddr),
    /// That path.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Understands `ADDR:PORT`, `PORT`, `:PORT`, `localhost:PORT` and `unix:/path`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(format!("{text:?}: the path of a Unix socket begins with '/'"))
            };
        }
        if let Some(port) = port(text.strip_prefix(':').unwrap_or(text)) {
            return Ok(Self::Everywhere(port));
        }
        if let Some(port) = text.strip_prefix("localhost:").and_then(port) {
            return Ok(Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self::Tcp(address)),
            Ok(_) => Err(format!("{text:?}: the port must be from 1 to 65535")),
            Err(_) => Err(format!(
                "{text:?} is none of ADDR:PORT (127.0.0.1:3000, [::1]:3000), PORT, unix:/path"
            )),
        }
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_ports_and_paths() {
        let parse = |text| ListenAddress::parse(text).unwrap();
        assert_eq!(parse("3000"), ListenAddress::Everywhere(3000));
        assert_eq!(parse(":3000"), ListenAddress::Everywhere(3000));
        assert_eq!(parse("[::1]:3000"), ListenAddress::Tcp("[::1]:3000".parse().unwrap()));
        assert_eq!(parse("localhost:1"), ListenAddress::Tcp("127.0.0.1:1".parse().unwrap()));
        assert_eq!(parse("unix:/run/x"), ListenAddress::Unix("/run/x".into()));
        assert_eq!(parse("unix:///run/x"), ListenAddress::Unix("/run/x".into()));
        for bad in ["", "0", "70000", "unix:x", "1.2.3.4:0", "1.2.3.4", "host:80"] {
            assert!(ListenAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
