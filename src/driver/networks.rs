//! The networks that this process has an interface in.

use std::net::IpAddr;

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Network {
    own: IpAddr,
    mask: IpAddr,
    device: Box<str>,
}

impl Network {
    /// All of them, loopback left out.
    pub(super) fn all() -> Vec<Self> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        interfaces
            .into_iter()
            .filter(|interface| !interface.is_loopback())
            .map(|interface| {
                let (own, mask): (IpAddr, IpAddr) = match interface.addr {
                    if_addrs::IfAddr::V4(v4) => (v4.ip.into(), v4.netmask.into()),
                    if_addrs::IfAddr::V6(v6) => (v6.ip.into(), v6.netmask.into()),
                };
                // A second address may have a label, as in eth0:1.
                let device = interface.name.split(':').next().unwrap_or_default();
                Self { own, mask, device: device.into() }
            })
            .collect()
    }

    /// Whether that is the address of this process there.
    pub(super) fn is_own(&self, ip: IpAddr) -> bool {
        self.own == ip
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        match (self.own, self.mask, ip) {
            (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(ip)) => {
                own.to_bits() & mask.to_bits() == ip.to_bits() & mask.to_bits()
            }
            (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(ip)) => {
                own.to_bits() & mask.to_bits() == ip.to_bits() & mask.to_bits()
            }
            _ => false,
        }
    }

    /// How much of an address says that it is of this network, in bits.
    fn prefix(&self) -> u32 {
        match self.mask {
            IpAddr::V4(mask) => mask.to_bits().count_ones(),
            IpAddr::V6(mask) => mask.to_bits().count_ones(),
        }
    }
}

/// The interface that leads to an address: that of the network which says most of it. `None` if there is
/// no such network, if two say as much, or if it is an address of this process, which is reached by loopback.
pub(super) fn device_to(networks: &[Network], ip: IpAddr) -> Option<&str> {
    let around = || networks.iter().filter(|network| network.contains(ip));
    let longest = around().map(Network::prefix).max()?;
    if networks.iter().any(|network| network.is_own(ip)) {
        return None;
    }
    let mut devices =
        around().filter(|network| network.prefix() == longest).map(|network| &network.device);
    let device = devices.next()?;
    devices.all(|other| other == device).then_some(&**device)
}

#[cfg(test)]
pub(super) fn network(own: &str, mask: &str, device: &str) -> Network {
    Network { own: own.parse().unwrap(), mask: mask.parse().unwrap(), device: device.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(networks: &[Network], ip: &str) -> Option<String> {
        device_to(networks, ip.parse().unwrap()).map(str::to_owned)
    }

    #[test]
    fn the_narrowest_network_around_an_address_leads_to_it() {
        let networks = [
            network("10.0.0.7", "255.0.0.0", "eth0"),
            network("10.89.0.1", "255.255.255.0", "podman1"),
            network("fd00::1", "ffff:ffff:ffff:ffff::", "podman1"),
        ];
        for (ip, expected) in [
            ("10.89.0.2", Some("podman1")),
            ("10.89.1.2", Some("eth0")),
            ("10.89.0.1", None),
            ("192.0.2.1", None),
            ("fd00::2", Some("podman1")),
            ("2001:db8::2", None),
        ] {
            assert_eq!(device(&networks, ip).as_deref(), expected, "{ip}");
        }
    }

    #[test]
    fn two_ways_to_the_same_network_are_left_to_the_kernel() {
        let one = network("192.0.2.7", "255.255.255.0", "eth0");
        let again = network("192.0.2.8", "255.255.255.0", "eth0");
        let other = network("192.0.2.9", "255.255.255.0", "wlan0");
        let there = "192.0.2.1";
        assert_eq!(device(&[one.clone(), again], there).as_deref(), Some("eth0"));
        assert_eq!(device(&[one, other], there), None);
    }
}
