//! Everything that is written by hand, or by a generator of configurations: flags, variables, names.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ondemand_container::config::duration::{
    parse_duration, parse_keepalive, parse_positive, parse_window,
};
use ondemand_container::config::{GivenUpstream, ListenAddress, Ports, Ready, Trusted};
use ondemand_container::engine::{Found, TargetName, plain, select};
use ondemand_container::port::Port;

fuzz_target!(|text: &str| {
    drop((parse_duration(text), parse_window(text)));
    assert!(
        parse_positive(text).is_ok_and(|time| !time.is_zero()) || parse_positive(text).is_err()
    );
    assert!(parse_keepalive(text).is_err() || parse_keepalive(text).is_ok_and(|t| t.as_secs() > 0));
    if let Ok(port) = text.parse::<Port>() {
        assert_eq!(port.to_string().parse(), Ok(port));
    }
    if let Ok(upstream) = GivenUpstream::parse(text, None) {
        assert_eq!(GivenUpstream::parse(&upstream.to_string(), None), Ok(upstream));
    }
    if let Ok(Ready::Http(path)) = Ready::parse(text) {
        assert!(path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic()));
    }
    if let Ok(name) = TargetName::container(text) {
        // It goes into URLs as it is.
        assert!(name.as_str().chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)));
    }
    if let Ok(name) = TargetName::unit(text) {
        assert_eq!(TargetName::unit(name.as_str()), Ok(name.clone()));
    }
    drop((ListenAddress::parse(text), Trusted::default().add(text)));
    let words: Vec<String> = text.split(',').map(str::to_owned).collect();
    let ports = Ports::of(vec![Port::tcp(80), Port::tcp(443), Port::udp(53)]);
    if let Ok(listens) = ports.listens(&words) {
        for listen in listens {
            assert_eq!(listen.port.protocol, listen.address.protocol());
        }
    }
    drop(select(text, |_| Some(text.to_owned()), |_: &Path| Found::Usable));
    // What it becomes in a log line can end none and begin none.
    assert!(!plain(text).chars().any(char::is_control));
});
