//! From bonds between names to bonds between services that are there.

use std::collections::{BTreeMap, BTreeSet};

use super::{AfterUse, Bonds, Needed, On, OneShotHandle, Optional, ServiceHandle, Until};
use crate::config::{self, Bond, Condition};

/// What stands behind a name.
#[derive(Debug, Clone)]
pub enum Tied {
    /// A service, and what becomes of it when nobody needs it any more.
    Service(ServiceHandle, AfterUse),
    /// A container that runs to its end.
    OneShot(OneShotHandle),
}

/// The bonds of the service `name`, for its driver. `all` are those of every service; a name that
/// `behind` knows nothing of is left out.
///
/// A service that is to be awake whenever another is must not keep that one awake in turn: where a
/// companion, or what a companion needs, depends on its entrance, it waits for it without a pin.
pub fn tie(
    name: &str,
    all: &BTreeMap<String, config::Bonds>,
    behind: impl Fn(&str) -> Option<Tied>,
) -> Bonds {
    let Some(own) = all.get(name) else { return Bonds::default() };
    let needed = |bond: &Bond| {
        let entrance = companions_of(&bond.to, all).contains(name);
        Some(Needed {
            name: bond.to.clone(),
            on: match behind(&bond.to)? {
                Tied::Service(handle, _) if entrance => {
                    On::Entrance { handle, until: until(bond.until) }
                }
                Tied::Service(handle, after) => {
                    On::Service { handle, until: until(bond.until), after }
                }
                Tied::OneShot(one_shot) => On::OneShot(one_shot),
            },
            optional: if bond.optional { Optional::Yes } else { Optional::No },
        })
    };
    let (after, beside): (Vec<&Bond>, Vec<&Bond>) =
        own.beside.iter().partition(|bond| depend_on(name, all).contains(bond.to.as_str()));
    Bonds {
        before: own.before.iter().filter_map(needed).collect(),
        beside: beside.into_iter().filter_map(needed).collect(),
        after: after.into_iter().filter_map(needed).collect(),
    }
}

/// The companions of `entrance`, and whatever is awake because of them.
fn companions_of<'a>(
    entrance: &str,
    all: &'a BTreeMap<String, config::Bonds>,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let beside = all.get(entrance).map(|bonds| bonds.beside.iter());
    let mut open: Vec<&str> = beside.into_iter().flatten().map(|bond| bond.to.as_str()).collect();
    while let Some(next) = open.pop() {
        if next != entrance && found.insert(next) {
            let bonds = all.get(next).into_iter();
            let further = bonds.flat_map(|bonds| bonds.before.iter().chain(&bonds.beside));
            open.extend(further.map(|bond| bond.to.as_str()));
        }
    }
    found
}

/// Whatever depends on `name`, over however many others.
fn depend_on<'a>(name: &'a str, all: &'a BTreeMap<String, config::Bonds>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([name]);
    loop {
        let before = found.len();
        for (other, bonds) in all {
            if bonds.before.iter().any(|bond| found.contains(bond.to.as_str())) {
                found.insert(other);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// What is never over is waited for until it is ready.
const fn until(condition: Condition) -> Until {
    match condition {
        Condition::Started => Until::Started,
        Condition::Healthy | Condition::Completed => Until::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::activation::{Policy, Window};
    use crate::clock::Clock;

    fn bonds(before: &[&str], beside: &[&str]) -> config::Bonds {
        let bond =
            |to: &&str| Bond { to: (*to).to_owned(), until: Condition::Healthy, optional: false };
        config::Bonds {
            before: before.iter().map(bond).collect(),
            beside: beside.iter().map(bond).collect(),
        }
    }

    /// `before`, `beside` and `after` of a service; what is not pinned has brackets.
    fn tied(name: &str, all: &[(&str, config::Bonds)]) -> [String; 3] {
        let all: BTreeMap<_, _> =
            all.iter().map(|(name, bonds)| ((*name).to_owned(), bonds.clone())).collect();
        let behind = |_: &str| {
            let start_timeout = Duration::from_secs(1);
            let policy = Policy::new(Window::Never, start_timeout);
            Some(Tied::Service(ServiceHandle::new(policy, Clock::new()), AfterUse::Sleep))
        };
        let word = |needed: &Needed| match needed.on {
            On::Service { .. } => needed.name.clone(),
            On::Entrance { .. } | On::OneShot(_) => format!("({})", needed.name),
        };
        let Bonds { before, beside, after } = tie(name, &all, behind);
        [before, beside, after].map(|needed| needed.iter().map(word).collect::<Vec<_>>().join(" "))
    }

    #[tokio::test]
    async fn what_is_needed_is_pinned() {
        let all = [("web", bonds(&["db", "cache"], &[])), ("db", bonds(&[], &[]))];
        assert_eq!(tied("web", &all), ["db cache", "", ""]);
        assert_eq!(tied("db", &all), ["", "", ""]);
        assert_eq!(tied("nobody", &all), ["", "", ""]);
    }

    #[tokio::test]
    async fn a_companion_that_needs_its_entrance_follows_it_and_pins_it_not() {
        let all = [
            ("web", bonds(&["db"], &["worker", "metrics"])),
            ("worker", bonds(&["web", "db"], &[])),
            ("other", bonds(&["web"], &[])),
        ];
        assert_eq!(tied("web", &all), ["db", "metrics", "worker"]);
        assert_eq!(tied("worker", &all), ["(web) db", "", ""]);
        assert_eq!(tied("other", &all), ["web", "", ""], "which is no companion of it");
    }

    #[tokio::test]
    async fn so_does_what_stands_between_the_two() {
        let all = [
            ("web", bonds(&[], &["worker"])),
            ("worker", bonds(&["queue"], &[])),
            ("queue", bonds(&["web"], &[])),
        ];
        assert_eq!(tied("web", &all), ["", "", "worker"]);
        assert_eq!(tied("worker", &all), ["queue", "", ""]);
        assert_eq!(tied("queue", &all), ["(web)", "", ""]);
    }
}
