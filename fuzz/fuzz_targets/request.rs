//! A rule for requests in the first line, and the beginning of a connection after it: what every
//! container's maker and any client has a hand in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondemand_container::config::rules::{Gate, WakeOn};
use ondemand_container::gate::http::{Head, head};
use ondemand_container::gate::{HttpRule, LONGEST, Parsed, Sending, Standing, Verdict, judge};

fuzz_target!(|bytes: &[u8]| {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (rule, bytes) = (&bytes[..line], bytes.get(line + 1..).unwrap_or_default());
    let rule = std::str::from_utf8(rule).ok().and_then(|text| HttpRule::parse(text).ok());
    let more = [bytes, b"\r\n\r\n"].concat();
    match head(bytes) {
        Parsed::Whole(whole) => {
            assert_eq!(head(&more), Parsed::Whole(whole.clone()));
            if let (Head::One(asked), Some(rule)) = (&whole, &rule) {
                // What it is answered is one head, whatever the rule says.
                let answer = rule.answer(asked.method, "asleep");
                let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an end");
                assert!(answer[..end].iter().all(|byte| byte.is_ascii()));
            }
        }
        Parsed::Incomplete => assert!(bytes.len() < LONGEST),
        Parsed::Broken(_) => assert!(matches!(head(&more), Parsed::Broken(_))),
    }
    for on in [WakeOn::Connect, WakeOn::Data, WakeOn::Http, WakeOn::Tls(Vec::new())] {
        let gate = Gate { on, rules: rule.iter().cloned().collect(), ..Gate::default() };
        for standing in [Standing::Awake, Standing::Asleep] {
            let ended = judge(&gate, standing, Sending::Ended, bytes).expect("nothing follows");
            // A client that may still say more is decided once, too.
            if let Some(verdict) = judge(&gate, standing, Sending::On, bytes) {
                assert!(verdict == ended || bytes.is_empty());
                if !matches!(verdict, Verdict::Out(_)) && !bytes.is_empty() {
                    assert_eq!(judge(&gate, standing, Sending::On, &more), Some(verdict));
                }
            }
        }
    }
});
