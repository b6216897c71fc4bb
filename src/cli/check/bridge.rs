//! Whether the bridge before a container keeps its hardware address.
//!
//! A bridge that was given none has the lowest of those of its ports, so it changes as containers come and
//! go. Whoever has learnt the old one sends to nobody until his ARP entry has aged: established
//! connections stand still for up to a minute. netavark gives its bridges one since 1.9
//! (<https://github.com/containers/netavark/pull/833>), Docker always has, and udev does by its
//! `MACAddressPolicy=persistent`, where it runs and was not told otherwise.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::findings::Finding;

/// `NET_ADDR_SET` of linux/netdevice.h: somebody has given the interface its address.
const GIVEN: &str = "3";

/// A warning, if the container is reached over a bridge whose hardware address changes.
pub(super) fn unsteady(container: IpAddr) -> Option<Finding> {
    let bridge = unsteady_at(Path::new("/"), container)?;
    Some(Finding::warning(format!(
        "the hardware address of the bridge {bridge} changes as containers start and stop (netavark \
         before 1.9 without udev), and connections may stand still for a minute then: use a newer \
         netavark, or give {bridge} an address that stays"
    )))
}

/// The bridge, seen from that root directory.
fn unsteady_at(root: &Path, container: IpAddr) -> Option<String> {
    let IpAddr::V4(container) = container else { return None };
    let routes = fs::read_to_string(root.join("proc/net/route")).ok()?;
    let interface = routes
        .lines()
        .filter_map(route)
        .filter(|route| u32::from(container) & route.mask == route.network)
        .max_by_key(|route| route.mask)?
        .interface;
    let interface_at = root.join("sys/class/net").join(interface);
    let given = fs::read_to_string(interface_at.join("addr_assign_type")).ok()?;
    (interface_at.join("bridge").exists() && given.trim() != GIVEN).then(|| interface.to_owned())
}

struct Route<'a> {
    interface: &'a str,
    network: u32,
    mask: u32,
}

/// A line of `/proc/net/route` (`proc_net(5)`): the addresses are in the machine's own order.
fn route(line: &str) -> Option<Route<'_>> {
    let mut words = line.split_ascii_whitespace();
    let interface = words.next()?;
    let mut address = |skipped| {
        let number = u32::from_str_radix(words.nth(skipped)?, 16).ok()?;
        Some(u32::from(Ipv4Addr::from(number.to_ne_bytes())))
    };
    Some(Route { interface, network: address(0)?, mask: address(5)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 89, 0, 7));

    /// A host whose default route is over `eth0` and that of the containers over `podman0`.
    fn host(name: &str, is_bridge: bool, given: &str) -> tempfile::TempDir {
        let root = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        let number = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let line = |interface: &str, network, mask| {
            let (network, mask) = (number(network), number(mask));
            format!("{interface}\t{network}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n")
        };
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
            .to_owned()
            + &line("eth0", [0; 4], [0; 4])
            + &line("podman0", [10, 89, 0, 0], [255, 255, 255, 0]);
        fs::create_dir_all(root.path().join("proc/net")).unwrap();
        fs::write(root.path().join("proc/net/route"), routes).unwrap();
        for (interface, is_bridge) in [("eth0", false), ("podman0", is_bridge)] {
            let interface = root.path().join("sys/class/net").join(interface);
            fs::create_dir_all(&interface).unwrap();
            fs::write(interface.join("addr_assign_type"), format!("{given}\n")).unwrap();
            if is_bridge {
                fs::create_dir(interface.join("bridge")).unwrap();
            }
        }
        root
    }

    #[test]
    fn a_bridge_without_an_address_of_its_own_is_named() {
        let host = host("borrowed", true, "1");
        assert_eq!(unsteady_at(host.path(), CONTAINER).as_deref(), Some("podman0"));
    }

    #[test]
    fn one_with_an_address_of_its_own_is_steady() {
        assert_eq!(unsteady_at(host("given", true, "3").path(), CONTAINER), None);
    }

    #[test]
    fn what_is_no_bridge_or_leads_elsewhere_is_none_of_this() {
        assert_eq!(unsteady_at(host("no-bridge", false, "1").path(), CONTAINER), None);
        let host = host("elsewhere", true, "1");
        for other in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(unsteady_at(host.path(), other.parse().unwrap()), None);
        }
        assert_eq!(unsteady_at(Path::new("/nonexistent"), CONTAINER), None);
    }
}
