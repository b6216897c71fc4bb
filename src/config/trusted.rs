//! `--accept-proxy-protocol`: who may tell a client's address.

use std::net::IpAddr;

use ipnet::IpNet;

/// The peers whose PROXY header is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    networks: Vec<IpNet>,
    unix: Unix,
}

/// Whether the peers of Unix sockets are trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Unix {
    Trusted,
    #[default]
    Distrusted,
}

impl Trusted {
    /// Adds what one word names: a network, an address, or `unix`.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        if text == "unix" {
            self.unix = Unix::Trusted;
            return Ok(());
        }
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                format!("{text:?} is none of a network (10.0.0.0/8), an address, unix")
            })?,
        };
        if let IpNet::V6(v6) = network
            && v6.addr().to_ipv4_mapped().is_some()
        {
            // Peers are compared as IPv4 when they are, so it would never fit.
            return Err(format!("{text:?}: write the IPv4 network itself"));
        }
        self.networks.push(network);
        Ok(())
    }

    /// Whether the peer at `address` is trusted; without one it is that of a Unix socket.
    pub fn has(&self, address: Option<IpAddr>) -> bool {
        match address {
            None => self.unix == Unix::Trusted,
            Some(address) => {
                let address = address.to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_addresses_and_unix() {
        let mut trusted = Trusted::default();
        for text in ["10.1.2.3/8", "192.0.2.1", "2001:db8::/32", " ::1 "] {
            trusted.add(text).unwrap();
        }
        let has = |text: &str| trusted.has(Some(text.parse().unwrap()));
        for yes in ["10.0.0.1", "192.0.2.1", "2001:db8::5", "::1", "::ffff:10.0.0.1"] {
            assert!(has(yes), "{yes}");
        }
        for no in ["11.0.0.1", "192.0.2.2", "2001:db9::", "::2"] {
            assert!(!has(no), "{no}");
        }
        assert!(!trusted.has(None));
        trusted.add("unix").unwrap();
        assert!(trusted.has(None));
    }

    #[test]
    fn all_else_is_refused() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "host", "10.0.0.1:80", "::ffff:10.0.0.0/104"] {
            assert!(Trusted::default().add(bad).is_err(), "{bad}");
        }
    }
}
