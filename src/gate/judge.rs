//! What the first bytes of a client say about its being let in.

use super::http::Head;
use super::{Parsed, http, tls};
use crate::config::rules::{Gate, WakeOn};

/// Whether there is anything to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is: it sleeps, or is about to, or somebody is waking it.
    Asleep,
    /// It runs already.
    Awake,
}

/// Whether more may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// It may.
    On,
    /// The client has ended its half.
    Ended,
}

/// What becomes of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is let in.
    In,
    /// That one of the rules is for it.
    Rule {
        /// Which one.
        rule: usize,
        /// How it has asked.
        method: String,
    },
    /// It is none of those who may wake.
    Out(&'static str),
    /// It has left before it was known.
    Left,
}

/// Judges the bytes that a client has sent so far; `None` if it depends on those that follow.
///
/// Rules come first: whom they mean is the same whatever a client has to do.
pub fn judge(gate: &Gate, standing: Standing, sending: Sending, bytes: &[u8]) -> Option<Verdict> {
    if bytes.is_empty() {
        return match (sending, &gate.on) {
            (Sending::Ended, _) => Some(Verdict::Left),
            (Sending::On, WakeOn::Connect) if gate.rules.is_empty() => Some(Verdict::In),
            (Sending::On, _) => None,
        };
    }
    match by_rule(gate, bytes) {
        Ruled::By(rule, method) => return Some(Verdict::Rule { rule, method }),
        Ruled::Perhaps if sending == Sending::On => return None,
        Ruled::Perhaps | Ruled::ByNone => {}
    }
    if standing == Standing::Awake {
        return Some(Verdict::In);
    }
    let parsed = match &gate.on {
        WakeOn::Connect | WakeOn::Data => Parsed::Whole(Verdict::In),
        WakeOn::Tls(hosts) => match tls::hello(bytes) {
            Parsed::Whole(hello) => Parsed::Whole(wanted(hosts, hello.server_name.as_deref())),
            Parsed::Incomplete => Parsed::Incomplete,
            Parsed::Broken(why) => Parsed::Broken(why),
        },
        WakeOn::Http => match http::head(bytes) {
            Parsed::Whole(_) => Parsed::Whole(Verdict::In),
            Parsed::Incomplete => Parsed::Incomplete,
            Parsed::Broken(why) => Parsed::Broken(why),
        },
    };
    match (parsed, sending) {
        (Parsed::Whole(verdict), _) => Some(verdict),
        (Parsed::Broken(why), _) => Some(Verdict::Out(why)),
        (Parsed::Incomplete, Sending::Ended) => Some(Verdict::Left),
        (Parsed::Incomplete, Sending::On) => None,
    }
}

enum Ruled {
    By(usize, String),
    Perhaps,
    ByNone,
}

fn by_rule(gate: &Gate, bytes: &[u8]) -> Ruled {
    if gate.rules.is_empty() {
        return Ruled::ByNone;
    }
    match http::head(bytes) {
        Parsed::Incomplete => Ruled::Perhaps,
        Parsed::Broken(_) | Parsed::Whole(Head::Two) => Ruled::ByNone,
        Parsed::Whole(Head::One(asked)) => {
            match gate.rules.iter().position(|rule| rule.fits(&asked)) {
                Some(rule) => Ruled::By(rule, asked.method.to_owned()),
                None => Ruled::ByNone,
            }
        }
    }
}

/// Whether somebody who names that host may wake.
fn wanted(hosts: &[String], named: Option<&str>) -> Verdict {
    let is = |host: &String| match (named, host.strip_prefix("*.")) {
        (None, _) => false,
        (Some(named), None) => named == host,
        (Some(named), Some(parent)) => {
            named.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
        }
    };
    if hosts.is_empty() || hosts.iter().any(is) {
        Verdict::In
    } else {
        Verdict::Out("it wants another host")
    }
}

#[cfg(test)]
mod tests {
    use super::super::HttpRule;
    use super::*;

    const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

    fn gate(on: &str, rules: &[&str]) -> Gate {
        let rules = rules.iter().map(|rule| HttpRule::parse(rule).unwrap()).collect();
        Gate { on: WakeOn::parse(on).unwrap(), rules, ..Gate::default() }
    }

    fn asleep(gate: &Gate, bytes: &[u8]) -> Option<Verdict> {
        judge(gate, Standing::Asleep, Sending::On, bytes)
    }

    #[test]
    fn each_way_to_wake_asks_for_more() {
        let bytes: [&[u8]; 4] = [b"", b"?", &REQUEST[..9], REQUEST];
        let (inside, waits) = (Some(Verdict::In), None);
        let garbage = Some(Verdict::Out("no HTTP"));
        for (on, expected) in [
            ("connect", [&inside, &inside, &inside, &inside]),
            ("data", [&waits, &inside, &inside, &inside]),
            ("http", [&waits, &garbage, &waits, &inside]),
        ] {
            let gate = gate(on, &[]);
            for (bytes, expected) in bytes.iter().zip(expected) {
                assert_eq!(&asleep(&gate, bytes), expected, "{on}");
            }
        }
        assert_eq!(asleep(&gate("tls", &[]), REQUEST), Some(Verdict::Out("no TLS")));
    }

    #[test]
    fn whoever_ends_before_it_is_known_has_left() {
        let ended = |on, bytes| judge(&gate(on, &[]), Standing::Asleep, Sending::Ended, bytes);
        assert_eq!(ended("data", b""), Some(Verdict::Left));
        assert_eq!(ended("data", b"?"), Some(Verdict::In));
        assert_eq!(ended("http", &REQUEST[..9]), Some(Verdict::Left));
        assert_eq!(ended("http", REQUEST), Some(Verdict::In));
        assert_eq!(ended("tls", b"\x16\x03"), Some(Verdict::Left));
    }

    #[test]
    fn rules_come_first_and_all_others_are_heard_for_their_sake() {
        let rules = ["path=/ready", "path=/health"];
        let by_second = Some(Verdict::Rule { rule: 1, method: "GET".to_owned() });
        for on in ["connect", "data", "http", "tls"] {
            let gate = gate(on, &rules);
            for standing in [Standing::Asleep, Standing::Awake] {
                let judged = |bytes| judge(&gate, standing, Sending::On, bytes);
                assert_eq!(judged(REQUEST), by_second, "{on}");
                assert_eq!(judged(b""), None, "{on}");
                assert_eq!(judged(&REQUEST[..9]), None, "{on}");
            }
            let awake = |bytes| judge(&gate, Standing::Awake, Sending::On, bytes);
            assert_eq!(awake(b"SSH-2.0-x\r\n"), Some(Verdict::In), "{on}");
            assert_eq!(awake(b"GET / HTTP/1.0\r\n\r\n"), Some(Verdict::In), "{on}");
        }
        assert_eq!(asleep(&gate("connect", &rules), b"SSH-2.0-x\r\n"), Some(Verdict::In));
        assert_eq!(asleep(&gate("http", &rules), b"SSH-2.0-x\r\n"), Some(Verdict::Out("no HTTP")));
    }

    #[test]
    fn hosts_are_named_or_one_label_below() {
        let hosts: Vec<_> = ["git.example.org", "*.example.net"].map(str::to_owned).into();
        let is_in = |named| wanted(&hosts, named) == Verdict::In;
        for yes in ["git.example.org", "a.example.net"] {
            assert!(is_in(Some(yes)), "{yes}");
        }
        for no in ["example.org", "example.net", ".example.net", "a.b.example.net", ""] {
            assert!(!is_in(Some(no)), "{no}");
        }
        assert!(!is_in(None), "who names no host wants none of these");
        assert_eq!(wanted(&[], None), Verdict::In);
    }
}
