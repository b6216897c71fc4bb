//! The PROXY protocol's header under arbitrary bytes, and what it does to be read back.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;

use ondemand_container::proxy::header::{Ends, LONGEST, Parsed, Version, encode, local, parse};
use proptest::prelude::*;

fn versions() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![Version::V1, Version::V2])
}

fn ends() -> impl Strategy<Value = Option<Ends>> {
    let v4 = || any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = || any::<([u8; 16], u16)>().prop_map(SocketAddr::from);
    let mapped = v4().prop_map(|v4| match v4 {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        SocketAddr::V6(_) => v4,
    });
    let any_address = || prop_oneof![v4(), v6()];
    let of = |(source, destination)| Ends { source, destination };
    prop::option::of(prop_oneof![
        (v4(), v4()).prop_map(of),
        (v6(), v6()).prop_map(of),
        (mapped, any_address()).prop_map(of),
    ])
}

/// A header of either version, of a client or of ours, with the ends it tells.
fn headers() -> impl Strategy<Value = (Vec<u8>, Option<Ends>)> {
    let client =
        |(version, ends): (_, Option<Ends>)| (encode(version, ends), ends.map(Ends::of_one_family));
    prop_oneof![
        8 => (versions(), ends()).prop_map(client),
        1 => versions().prop_map(|version| (local(version).to_vec(), None)),
    ]
}

/// Bytes that get past the first checks now and then.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let begins =
        vec![&b""[..], b"\r\n\r\n\0\r\nQUIT\n\x21", b"PROXY TCP4 ", b"PROXY TCP6 ::1 ", b"PROXY "];
    let text = "[0-9a-f:. \r\n]{0,120}".prop_map(String::into_bytes);
    let bytes = prop_oneof![prop::collection::vec(any::<u8>(), 0..300), text];
    (prop::sample::select(begins), bytes).prop_map(|(begin, rest)| [begin, &rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_read_back_and_no_byte_more((header, told) in headers(), more: Vec<u8>) {
        let expected = Parsed::Complete { ends: told, length: header.len() };
        prop_assert_eq!(parse(&header), expected);
        prop_assert_eq!(parse(&[header, more].concat()), expected);
    }

    #[test]
    fn every_beginning_of_a_header_is_incomplete((header, _) in headers()) {
        for cut in 0..header.len() {
            prop_assert_eq!(parse(&header[..cut]), Parsed::Incomplete, "of {}", cut);
        }
    }

    #[test]
    fn a_flipped_bit_in_the_first_bytes_is_broken((header, _) in headers(), bit in 0..48_usize) {
        let mut flipped = header;
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(matches!(parse(&flipped), Parsed::Broken(_)), "{:?}", flipped);
        prop_assert!(matches!(parse(&flipped[..=bit / 8]), Parsed::Broken(_)), "{:?}", flipped);
    }

    #[test]
    fn a_flipped_bit_in_the_signature_is_broken(told in ends(), bit in 0..96_usize) {
        let mut flipped = encode(Version::V2, told);
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(matches!(parse(&flipped), Parsed::Broken(_)), "{:?}", flipped);
    }

    /// Whatever comes: no panic, no header longer than what came, no wait without an end; and what
    /// was decided stays so when more comes.
    #[test]
    fn arbitrary_bytes_are_decided_once(bytes in nearly(), more: Vec<u8>) {
        let parsed = parse(&bytes);
        match parsed {
            Parsed::Complete { length, .. } => prop_assert!(length <= bytes.len()),
            Parsed::Incomplete => prop_assert!(bytes.len() < LONGEST),
            Parsed::Broken(_) => {}
        }
        if parsed != Parsed::Incomplete {
            prop_assert_eq!(parse(&[bytes, more].concat()), parsed);
        }
    }
}
