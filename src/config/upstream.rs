//! `--upstream`: where to connect, if the automatic answer is wrong.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Ports;

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenUpstream {
    /// That host; the port is that one, or each of the application's own.
    Host(String, Option<u16>),
    /// That Unix socket.
    Unix(PathBuf),
}

impl GivenUpstream {
    /// Understands `HOST:PORT`, `HOST` and `unix:/path`, as far as they make sense with `ports`.
    pub fn parse(text: &str, ports: Option<&Ports>) -> Result<Self, String> {
        let several = ports.is_some_and(|ports| ports.all().len() > 1);
        if let Some(path) = text.strip_prefix("unix:") {
            let path: &Path = path.as_ref();
            return match () {
                () if !path.is_absolute() => {
                    Err(format!("{text:?}: the path of a Unix socket begins with '/'"))
                }
                () if several || ports.is_some_and(Ports::has_udp) => Err(format!(
                    "{text:?}: a Unix socket can stand for one TCP port, not for several or UDP"
                )),
                () => Ok(Self::Unix(path.to_owned())),
            };
        }
        match host_port(text)? {
            (host, Some(_)) if several => {
                Err(format!("{text:?}: with several ports give the host alone, --upstream {host}"))
            }
            (host, port) => Ok(Self::Host(host.to_owned(), port)),
        }
    }
}

impl fmt::Display for GivenUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host, None) if host.contains(':') => write!(f, "[{host}]"),
            Self::Host(host, None) => f.write_str(host),
            Self::Host(host, Some(port)) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host(host, Some(port)) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Splits `host:port` and `host`.
fn host_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let bad = || {
        format!(
            "{text:?} is not HOST:PORT, like 127.0.0.1:8080 or [::1]:8080, nor HOST, nor unix:/path"
        )
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?))
        }
        Some(_) | None => (text, None),
    };
    // An IPv6 address stands in brackets (RFC 3986, section 3.2.2), and nothing else does.
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let bare = bracketed.unwrap_or(host);
    let fits = !bare.is_empty()
        && !bare.contains(['[', ']', '/'])
        && bare.contains(':') == bracketed.is_some();
    if fits { Ok((bare, port)) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Port;

    #[test]
    fn hosts_with_and_without_a_port() {
        let parse = |text| GivenUpstream::parse(text, None);
        let host = |host: &str, port| Ok(GivenUpstream::Host(host.to_owned(), port));
        assert_eq!(parse("127.0.0.1:80"), host("127.0.0.1", Some(80)));
        assert_eq!(parse("[::1]:80"), host("::1", Some(80)));
        assert_eq!(parse("[::1]"), host("::1", None));
        assert_eq!(parse("box.lan"), host("box.lan", None));
        assert_eq!(parse("unix:/run/x"), Ok(GivenUpstream::Unix("/run/x".into())));
        for bad in ["", ":80", "a:0", "a:b", "::1:80", "[::1", "[a]:80", "unix:x", "http://a"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_address_does_not_stand_for_several_ports() {
        let udp = Ports::one(Port::udp(53));
        assert!(GivenUpstream::parse("unix:/run/x", Some(&udp)).is_err());
        assert!(GivenUpstream::parse("box:53", Some(&udp)).is_ok());
    }
}
