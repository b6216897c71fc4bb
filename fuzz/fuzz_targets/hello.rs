//! The beginning of a connection of TLS: any client's bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondemand_container::gate::tls::hello;
use ondemand_container::gate::{LONGEST, Parsed};

fuzz_target!(|bytes: &[u8]| {
    let parsed = hello(bytes);
    let more = [bytes, b"\x16\x03\x01\0\x05\x01\0\0\x01\x03"].concat();
    match &parsed {
        Parsed::Whole(found) => {
            if let Some(name) = &found.server_name {
                assert!(name.len() <= 255 && !name.contains(|c: char| c.is_ascii_uppercase()));
            }
            // What follows belongs to the application, and no beginning says as much.
            assert_eq!(hello(&more), parsed);
            let cuts = [bytes.len() / 2, bytes.len().min(5), 1];
            let is_begun = |cut: &usize| !matches!(hello(&bytes[..*cut]), Parsed::Broken(_));
            assert!(cuts.iter().all(is_begun));
        }
        // However long it waits, it waits for no more than the longest one.
        Parsed::Incomplete => assert!(bytes.len() < LONGEST),
        // Nothing that follows mends it.
        Parsed::Broken(_) => assert!(matches!(hello(&more), Parsed::Broken(_))),
    }
});
