//! An engine's inspect answer: JSON that a container's maker has a hand in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondemand_container::engine::observed_from_json;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(observed) = observed_from_json(bytes) {
        assert!(observed.same_life(&observed));
        assert!(observed.check.is_none_or(|check| !check.argv.is_empty()));
        let published = observed.published.iter().chain(&observed.publishes);
        for (port, addresses) in published {
            assert!(port.number != 0 && !addresses.is_empty());
        }
    }
});
