//! What the kernel knows of a local container's network, from `/proc`: whether its application
//! listens, and whether it has an address.
//!
//! A forwarder of the engine (docker-proxy, slirp4netns, pasta) accepts before the application
//! listens, and closes some time later: a lie that only waiting uncovers. The kernel's own list of
//! the container's listening sockets (`proc_net(5)`) tells the truth at once, where it can be read.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::port::{Port, Protocol};

/// Whether something listens on TCP `port`, or is bound to UDP `port`, in the network of process
/// `pid`, which must be of container `id`. `None` if that cannot be told: the process is not ours to see, or not of this
/// container because its number is of another PID namespace.
pub(super) fn listens(pid: u32, id: &str, port: Port) -> Option<bool> {
    let process = process_of(pid, id)?;
    let (v4, v6) = match port.protocol {
        Protocol::Tcp => ("net/tcp", "net/tcp6"),
        Protocol::Udp => ("net/udp", "net/udp6"),
    };
    let v4 = fs::read_to_string(process.join(v4)).ok()?;
    let v6 = fs::read_to_string(process.join(v6)).unwrap_or_default();
    Some(v4.lines().chain(v6.lines()).any(|line| is_listener(line, port)))
}

/// Whether `address` is one of the network of process `pid`, which must be of container `id`. False
/// also if that cannot be told.
pub(super) fn has_address(pid: u32, id: &str, address: IpAddr) -> bool {
    let Some(process) = process_of(pid, id) else { return false };
    match address {
        IpAddr::V4(_) => fs::read_to_string(process.join("net/fib_trie"))
            .is_ok_and(|routes| is_local(&routes, &address.to_string())),
        IpAddr::V6(address) => {
            let wanted = format!("{:032x}", address.to_bits());
            fs::read_to_string(process.join("net/if_inet6"))
                .is_ok_and(|addresses| addresses.lines().any(|line| line.starts_with(&wanted)))
        }
    }
}

/// The process's directory, if it is of that container.
fn process_of(pid: u32, id: &str) -> Option<PathBuf> {
    let process = Path::new("/proc").join(pid.to_string());
    let cgroup = fs::read_to_string(process.join("cgroup")).ok()?;
    (!id.is_empty() && cgroup.contains(id)).then_some(process)
}

/// `|-- 172.17.0.2`, and below it `/32 host LOCAL`: an address of this network's own.
fn is_local(routes: &str, address: &str) -> bool {
    let mut lines = routes.lines().peekable();
    while let Some(line) = lines.next() {
        let is_it = line.trim_start().strip_prefix("|-- ") == Some(address);
        if is_it && lines.peek().is_some_and(|below| below.trim() == "/32 host LOCAL") {
            return true;
        }
    }
    false
}

/// `  0: 00000000:1F90 00000000:0000 0A …`: number, local address, remote address, state; 0A is
/// LISTEN, and 07 a UDP socket that takes datagrams from anybody.
fn is_listener(line: &str, port: Port) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let (local, _remote, state) = (words.next(), words.next(), words.next());
    let local_port = local
        .and_then(|local| local.rsplit_once(':'))
        .and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    let taking = match port.protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    state == Some(taking) && local_port == Some(port.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_lines_are_told_from_others() {
        let line = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        assert!(is_listener(line, Port::tcp(8080)));
        assert!(!is_listener(line, Port::tcp(8081)));
        let v6 = "   1: 00000000000000000000000000000000:1F90 0000:0000 0A 0:0";
        assert!(is_listener(v6, Port::tcp(8080)));
        assert!(!is_listener("   2: 0100007F:1F90 0100007F:9999 01 0:0", Port::tcp(8080)));
        assert!(!is_listener("  sl  local_address rem_address   st", Port::tcp(8080)));
        assert!(!is_listener("", Port::tcp(8080)));
    }

    #[test]
    fn a_bound_datagram_socket_is_no_tcp_listener() {
        let line = " 2411: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000";
        assert!(is_listener(line, Port::udp(53)));
        assert!(!is_listener(line, Port::tcp(53)));
    }

    #[test]
    fn an_address_of_its_network_is_told_from_others() {
        // Every cgroup has a slash in its path, and every network has loopback.
        let own = |address: &str| has_address(std::process::id(), "/", address.parse().unwrap());
        assert!(own("127.0.0.1"));
        assert!(!own("127.255.255.255"), "a broadcast");
        assert!(!own("192.0.2.1"));
        assert!(!own("2001:db8::1"));
        let loopback = "127.0.0.1".parse().unwrap();
        assert!(!has_address(std::process::id(), "0123456789abcdef", loopback));
        assert!(!has_address(u32::MAX, "/", loopback));
    }

    #[test]
    fn a_process_of_no_such_container_tells_nothing() {
        assert_eq!(listens(std::process::id(), "0123456789abcdef", Port::tcp(80)), None);
        assert_eq!(listens(std::process::id(), "", Port::tcp(80)), None);
    }
}
