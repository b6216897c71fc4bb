//! The header of the PROXY protocol, as bytes: pure, nothing is read or written here.
//!
//! The source of all rules is haproxy's `proxy-protocol.txt`, revision 2020/03/05. A parse gives
//! the same answer however the bytes were cut: a beginning of a header is [`Parsed::Incomplete`],
//! and never more than [`LONGEST`] bytes are asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::ValueEnum;

/// The longest version 1 header, with its line end (section 2.1).
const LONGEST_V1: usize = 107;

/// What comes before the addresses of version 2: signature, command, family, length.
const FIXED_V2: usize = 16;

/// As much of addresses and TLVs is taken. A certificate's names and a token fit; what a header may
/// claim, 64 KiB, is more than anybody should have to hold for a client that is not known yet.
const VARIABLE_V2: usize = 4096;

/// The longest header that is accepted.
pub const LONGEST: usize = FIXED_V2 + VARIABLE_V2;

/// The first twelve bytes of version 2 (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The two addresses and ports of TCP over IPv4 and IPv6, and the two paths of a Unix socket.
const V4_LENGTH: usize = 12;
const V6_LENGTH: usize = 36;
const UNIX_LENGTH: usize = 216;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// A line of text
    V1,
    /// Binary
    V2,
}

/// The two ends of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A whole header.
    Complete {
        /// What it tells; `None` where the connection's own ends count: `LOCAL`, `UNKNOWN`, and
        /// what is no TCP (section 2.2 leaves it to the receiver).
        ends: Option<Ends>,
        /// Its bytes.
        length: usize,
    },
    /// The beginning of one, perhaps.
    Incomplete,
    /// Something else, whatever follows.
    Broken(&'static str),
}

/// Looks at the beginning of a connection.
pub fn parse(bytes: &[u8]) -> Parsed {
    let signature = &SIGNATURE[..bytes.len().min(SIGNATURE.len())];
    if bytes.starts_with(signature) { parse_v2(bytes) } else { parse_v1(bytes) }
}

/// The header of a client's connection; without ends that of a client whose address is no TCP.
pub fn encode(version: Version, ends: Option<Ends>) -> Vec<u8> {
    match version {
        Version::V1 => encode_v1(ends),
        Version::V2 => encode_v2(ends),
    }
}

/// The header of a connection of our own, which is nobody's.
pub fn local(version: Version) -> &'static [u8] {
    match version {
        Version::V1 => b"PROXY UNKNOWN\r\n",
        Version::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    let begins = |word: &[u8]| bytes.starts_with(&word[..bytes.len().min(word.len())]);
    if !begins(b"PROXY TCP4 ") && !begins(b"PROXY TCP6 ") && !begins(b"PROXY UNKNOWN") {
        return Parsed::Broken("no PROXY header");
    }
    let line = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if line.len() < LONGEST_V1 {
            Parsed::Incomplete
        } else {
            Parsed::Broken("the line of the PROXY header is too long")
        };
    };
    let length = end + 2;
    let mut words = line[..end].split(|byte| *byte == b' ').skip(1);
    let ends = match words.next() {
        // What follows is to be ignored.
        Some(b"UNKNOWN") => return Parsed::Complete { ends: None, length },
        Some(b"TCP4") => ends_v1::<Ipv4Addr>(words),
        Some(b"TCP6") => ends_v1::<Ipv6Addr>(words),
        _ => None,
    };
    match ends {
        Some(ends) => Parsed::Complete { ends: Some(ends), length },
        None => Parsed::Broken("the PROXY header cannot be understood"),
    }
}

/// Two addresses and two ports, and nothing after them.
fn ends_v1<'a, Ip: std::str::FromStr + Into<IpAddr>>(
    words: impl Iterator<Item = &'a [u8]>,
) -> Option<Ends> {
    let mut words = words.map(|word| str::from_utf8(word).ok());
    let mut ip = || words.next()??.parse().ok().map(Ip::into);
    let (source, destination) = (ip()?, ip()?);
    let mut port = || number(words.next()??);
    let (source_port, destination_port) = (port()?, port()?);
    let ends = Ends {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    };
    words.next().is_none().then_some(ends)
}

/// A port, without a sign or heading zeros, as section 2.1 wants it.
fn number(text: &str) -> Option<u16> {
    let plain = text == "0" || text.starts_with(|first: char| ('1'..='9').contains(&first));
    text.parse().ok().filter(|_| plain)
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_V2) else {
        return Parsed::Incomplete;
    };
    let size = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if size > VARIABLE_V2 {
        return Parsed::Broken("the PROXY header is too long");
    }
    // The high half is the version, the low one the command; then family and transport.
    let least = match (fixed[12], fixed[13]) {
        // Of LOCAL all else is to be ignored, the family included.
        (0x20, _) | (0x21, 0x00) => 0,
        (0x21, 0x11) => V4_LENGTH,
        (0x21, 0x21) => V6_LENGTH,
        (0x21, 0x31) => UNIX_LENGTH,
        (0x21, 0x12 | 0x22 | 0x32) => {
            return Parsed::Broken("the PROXY header tells of datagrams on a stream");
        }
        (0x21, _) => return Parsed::Broken("the PROXY header's family is unknown"),
        _ => return Parsed::Broken("the PROXY header's version or command is unknown"),
    };
    if size < least {
        return Parsed::Broken("the PROXY header is shorter than its addresses");
    }
    let Some(told) = rest.get(..size) else { return Parsed::Incomplete };
    let ends = match (fixed[12], fixed[13]) {
        (0x21, 0x11) => ends_v2::<4>(told),
        (0x21, 0x21) => ends_v2::<16>(told),
        _ => None,
    };
    Parsed::Complete { ends, length: FIXED_V2 + size }
}

/// Two addresses of so many bytes and two ports; what follows are TLVs, which nobody here reads.
fn ends_v2<const N: usize>(told: &[u8]) -> Option<Ends>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = told.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, _tlvs) = rest.split_first_chunk()?;
    Some(Ends {
        source: SocketAddr::new((*source).into(), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new((*destination).into(), u16::from_be_bytes(*destination_port)),
    })
}

fn encode_v1(ends: Option<Ends>) -> Vec<u8> {
    let Some(ends) = ends.map(Ends::of_one_family) else { return local(Version::V1).to_vec() };
    let Ends { source, destination } = ends;
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

fn encode_v2(ends: Option<Ends>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED_V2 + V6_LENGTH);
    bytes.extend_from_slice(SIGNATURE);
    let ends = ends.map(Ends::of_one_family);
    match ends.map(|ends| (ends.source.ip(), ends.destination.ip())) {
        Some((IpAddr::V4(source), IpAddr::V4(destination))) => {
            bytes.extend_from_slice(&[0x21, 0x11, 0, 12]);
            bytes.extend_from_slice(&source.octets());
            bytes.extend_from_slice(&destination.octets());
        }
        Some((source, destination)) => {
            bytes.extend_from_slice(&[0x21, 0x21, 0, 36]);
            bytes.extend_from_slice(&v6(source).octets());
            bytes.extend_from_slice(&v6(destination).octets());
        }
        // Relayed for a client without an address: PROXY and AF_UNSPEC. LOCAL would call it ours.
        None => bytes.extend_from_slice(&[0x21, 0x00, 0, 0]),
    }
    if let Some(ends) = ends {
        bytes.extend_from_slice(&ends.source.port().to_be_bytes());
        bytes.extend_from_slice(&ends.destination.port().to_be_bytes());
    }
    bytes
}

impl Ends {
    /// Both IPv4 if they can be written so, else both IPv6: a header has one family.
    #[must_use]
    pub fn of_one_family(self) -> Self {
        let ips = (self.source.ip().to_canonical(), self.destination.ip().to_canonical());
        let (source, destination) = match ips {
            (IpAddr::V4(_), IpAddr::V4(_)) => ips,
            (source, destination) => (v6(source).into(), v6(destination).into()),
        };
        Self {
            source: SocketAddr::new(source, self.source.port()),
            destination: SocketAddr::new(destination, self.destination.port()),
        }
    }
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, destination: &str) -> Ends {
        Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let v4 = Some(ends("192.0.2.1:56324", "[::ffff:198.51.100.7]:443"));
        assert_eq!(
            encode(Version::V1, v4),
            b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n".as_slice()
        );
        assert_eq!(
            encode(Version::V2, v4),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"
        );
        let v6 = Some(ends("[2001:db8::1]:1", "[::1]:65535"));
        assert_eq!(encode(Version::V1, v6), b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".as_slice());
        assert_eq!(encode(Version::V2, v6)[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(encode(Version::V1, None), b"PROXY UNKNOWN\r\n".as_slice());
        assert_eq!(encode(Version::V2, None)[12..], [0x21, 0, 0, 0]);
    }

    #[test]
    fn a_header_has_one_family() {
        let mixed = encode(Version::V1, Some(ends("192.0.2.1:1", "[::1]:2")));
        assert_eq!(mixed, b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".as_slice());
    }

    #[test]
    fn text_that_is_no_header_of_version_1_is_broken() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "proxy UNKNOWN\r\n",
            "PROXY TCP5 ",
            "PROXY UNKNOWNX\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
            "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
            &long,
        ] {
            assert!(matches!(parse(bad.as_bytes()), Parsed::Broken(_)), "{bad:?}");
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(parse(longest.as_bytes()), Parsed::Complete { ends: None, length: LONGEST_V1 });
    }

    #[test]
    fn version_2_is_checked_before_it_is_whole() {
        let fixed = |command, family, length: u16| {
            let [high, low] = length.to_be_bytes();
            parse(&[SIGNATURE, &[command, family, high, low]].concat())
        };
        let broken = [
            (0x11, 0x11, 12),
            (0x31, 0x11, 12),
            (0x22, 0x11, 12),
            (0x21, 0x11, 11),
            (0x21, 0x21, 35),
            (0x21, 0x31, 215),
            (0x21, 0x12, 12),
            (0x21, 0x22, 36),
            (0x21, 0x32, 216),
            (0x21, 0x10, 12),
            (0x21, 0x01, 12),
            (0x21, 0x41, 12),
            (0x21, 0x11, 4097),
            (0x20, 0x00, u16::MAX),
        ];
        for (command, family, length) in broken {
            let parsed = fixed(command, family, length);
            assert!(matches!(parsed, Parsed::Broken(_)), "{command:x} {family:x} {length}");
        }
        let ours = Parsed::Complete { ends: None, length: FIXED_V2 };
        assert_eq!([fixed(0x20, 0, 0), fixed(0x20, 0x12, 0), fixed(0x21, 0, 0)], [ours; 3]);
        for (command, family, length) in [(0x20, 0x00, 4096), (0x21, 0x11, 12), (0x21, 0x31, 216)] {
            assert_eq!(fixed(command, family, length), Parsed::Incomplete);
        }
    }

    #[test]
    fn tlvs_are_passed_over_and_a_path_is_nobodys_address() {
        let mut bytes = encode(Version::V2, Some(ends("192.0.2.1:1", "192.0.2.2:2")));
        bytes[15] += 5;
        bytes.extend_from_slice(b"\x04\0\x02xxGET");
        let ends = Some(ends("192.0.2.1:1", "192.0.2.2:2"));
        assert_eq!(parse(&bytes), Parsed::Complete { ends, length: 33 });
        let unix = [SIGNATURE, b"\x21\x31\0\xd8", &[b'/'; 216], b"GET"].concat();
        assert_eq!(parse(&unix), Parsed::Complete { ends: None, length: 232 });
    }
}
