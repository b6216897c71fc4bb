//! The first message of a TLS client, written by hand from RFC 8446, 4.1.2.
#![allow(clippy::unwrap_used, reason = "these are short")]

/// A `ClientHello` in one record, for that host.
pub(crate) fn client_hello(host: &str) -> Vec<u8> {
    let name = [&[0][..], &listed(2, host.as_bytes())].concat();
    let named = [&[0, 0][..], &listed(2, &listed(2, &name))].concat();
    let versions = [0, 43, 0, 3, 2, 3, 4];
    let fields = [
        vec![3, 3],
        vec![0x5a; 32],
        listed(1, &[7; 32]),
        listed(2, &[0x13, 1, 0x13, 2]),
        vec![1, 0],
        listed(2, &[&named[..], &versions].concat()),
    ];
    let message = [&[1][..], &listed(3, &fields.concat())].concat();
    [&[22, 3, 1][..], &listed(2, &message)].concat()
}

/// The bytes with their count before them, in so many bytes.
fn listed(width: usize, bytes: &[u8]) -> Vec<u8> {
    let count = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&count[4 - width..], bytes].concat()
}
