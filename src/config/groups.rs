//! The services of the file that have to do with each other: what each of them is there for, and
//! whether that can be.

use std::collections::BTreeMap;

use super::circles::{circles, drawn};
use super::file::{Problem, Written};
use super::{Bond, Bonds, Condition, Options, Role, bonds};

/// What the services of the file have to do with each other, by their names.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    services: &'a BTreeMap<String, Written>,
    /// A bond to another service of the file bears its name, also where its container was named.
    /// What cannot be read is none: that is told where its service is checked.
    pub(super) bonds: BTreeMap<&'a str, Bonds>,
    /// Of those without a port that others name.
    pub(super) roles: BTreeMap<&'a str, Role>,
}

impl<'a> Groups<'a> {
    /// Finds them, and adds everything that cannot be to `problems`.
    pub(super) fn of(services: &'a BTreeMap<String, Written>, problems: &mut Vec<Problem>) -> Self {
        let mut bonds = BTreeMap::new();
        for (name, written) in services {
            let mut own = Bonds::parse(&written.options).unwrap_or_default();
            for bond in own.all_mut() {
                if let Some(service) = find(services, written, &bond.to) {
                    service.clone_into(&mut bond.to);
                }
            }
            bonds.insert(name.as_str(), own);
        }
        let mut groups = Self { services, bonds, roles: BTreeMap::new() };
        let mut found = groups.find_roles();
        found.extend(groups.doubles());
        found.extend(groups.circles());
        for (name, key, text) in found {
            if let Some(written) = services.get(name) {
                let text = format!("services.{name}.{key}: {text}");
                problems.push(Problem { place: written.place_of(key).clone(), text });
            }
        }
        groups
    }

    /// What is said of one service in ways that exclude each other is wrong.
    fn find_roles(&mut self) -> Vec<Wrong<'a>> {
        let mut wrong = Vec::new();
        for (name, bonds) in &self.bonds {
            let before = bonds.before.iter().map(|bond| ("depends-on", bond));
            let beside = bonds.beside.iter().map(|bond| ("with", bond));
            for (key, bond) in before.chain(beside) {
                let Some((to, named)) = self.services.get_key_value(&bond.to) else { continue };
                let once = bond.until == Condition::Completed;
                if has_ports(&named.options) {
                    if once {
                        let text =
                            format!("{to} has a port, so it is for clients and never completes");
                        wrong.push((*name, key, text));
                    }
                    continue;
                }
                let role = if once { Role::OneShot } else { Role::Member };
                if *self.roles.entry(to).or_insert(role) != role {
                    let text = format!(
                        "{to} is to complete for some, and to go on for others: say completed \
                         everywhere, or nowhere"
                    );
                    wrong.push((*name, key, text));
                }
            }
        }
        wrong
    }

    /// What only the name of the container hid.
    fn doubles(&self) -> Vec<Wrong<'a>> {
        let mut wrong = Vec::new();
        for (name, bonds) in &self.bonds {
            wrong.extend(bonds.in_both().map(bonds::both).map(|both| (*name, both.key, both.text)));
            for (key, list) in [("depends-on", &bonds.before), ("with", &bonds.beside)] {
                let again =
                    |(at, bond): &(usize, &Bond)| list[..*at].iter().any(|b| b.to == bond.to);
                let again = list.iter().enumerate().find(again);
                wrong.extend(
                    again.map(|(_, bond)| (*name, key, format!("{} is there twice", bond.to))),
                );
            }
        }
        wrong
    }

    fn circles(&self) -> Vec<Wrong<'a>> {
        let graph: BTreeMap<&str, &Bonds> =
            self.bonds.iter().map(|(name, bonds)| (*name, bonds)).collect();
        let mut wrong = Vec::new();
        for circle in circles(&graph) {
            let Some((name, bonds)) =
                circle.first().and_then(|name| self.bonds.get_key_value(name.as_str()))
            else {
                continue;
            };
            let next = circle.get(1).map_or(*name, String::as_str);
            let depends = bonds.before.iter().any(|bond| bond.to == next);
            let key = if depends { "depends-on" } else { "with" };
            let text = format!("a circle, {}: none of them could be the first", drawn(&circle));
            wrong.push((*name, key, text));
        }
        wrong
    }
}

/// The service, the key and what is wrong with it.
type Wrong<'a> = (&'a str, &'static str, String);

/// The service that a bond of `from` names: itself, or its container of the same engine.
fn find<'a>(
    services: &'a BTreeMap<String, Written>,
    from: &Written,
    to: &str,
) -> Option<&'a String> {
    fn engine(of: &Written) -> &str {
        of.options.engine.as_deref().unwrap_or(super::default::AUTO)
    }
    let by_container = || {
        services.iter().find(|(_, written)| {
            written.options.container.as_deref() == Some(to) && engine(written) == engine(from)
        })
    };
    services.get_key_value(to).or_else(by_container).map(|(name, _)| name)
}

fn has_ports(options: &Options) -> bool {
    !options.port.is_empty() || !options.map.is_empty()
}
