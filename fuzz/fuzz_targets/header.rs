//! The beginning of a connection that should bring a PROXY header: any client's bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondemand_container::proxy::header::{LONGEST, Parsed, Version, encode, parse};

fuzz_target!(|bytes: &[u8]| {
    let parsed = parse(bytes);
    match parsed {
        Parsed::Complete { ends, length } => {
            assert!(length <= bytes.len() && length <= LONGEST);
            // What follows belongs to the client, and its beginning says nothing yet.
            assert_eq!(parse(&bytes[..length]), parsed);
            assert_eq!(parse(&bytes[..length - 1]), Parsed::Incomplete);
            if ends.is_some() {
                for version in [Version::V1, Version::V2] {
                    let again = encode(version, ends);
                    let told = ends.map(|ends| ends.of_one_family());
                    let expected = Parsed::Complete { ends: told, length: again.len() };
                    assert_eq!(parse(&again), expected);
                }
            }
        }
        // However long it waits, it waits for no more than the longest header.
        Parsed::Incomplete => assert!(bytes.len() < LONGEST),
        // Nothing that follows mends it.
        Parsed::Broken(_) => {
            let more = [bytes, b"\r\n"].concat();
            assert!(matches!(parse(&more), Parsed::Broken(_)));
        }
    }
});
