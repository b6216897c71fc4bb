//! Headers of the PROXY protocol, written by hand from its specification.

use std::net::{IpAddr, SocketAddr};

/// The first twelve bytes of version 2.
const SIGNATURE: [u8; 12] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];

/// A connection of the sender's own, in version 2.
pub(crate) fn local_v2() -> Vec<u8> {
    v2(0x20, 0x00, &[])
}

/// Version 1 for a client; both addresses are of one family.
pub(crate) fn client_v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into()
}

/// Version 2 for a client, with these bytes after the addresses.
pub(crate) fn client_v2(source: SocketAddr, destination: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let mut told = Vec::new();
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(ip) => told.extend(ip.octets()),
            IpAddr::V6(ip) => told.extend(ip.octets()),
        }
    }
    for address in [source, destination] {
        told.extend(address.port().to_be_bytes());
    }
    told.extend(tlvs);
    v2(0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, &told)
}

/// Version 2 with these bytes after its length.
pub(crate) fn v2(command: u8, family: u8, told: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(told.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&SIGNATURE[..], &[command, family, high, low], told].concat()
}
