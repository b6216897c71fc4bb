//! Names of targets, checked before they get into a URL or a method call.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// What an engine calls a target, in that engine's grammar. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(Arc<str>);

/// The types of units that no client wants started (systemd.unit(5)).
const OTHER_TYPES: &[&str] =
    &["socket", "device", "mount", "automount", "swap", "path", "timer", "slice", "scope"];

/// Not a name that can be served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadName {
    /// Not in the grammar of containers.
    #[error(
        "{0:?} is not a container name: letters, digits, '_', '.' and '-', beginning with a letter \
         or digit"
    )]
    Container(String),
    /// Not in the grammar of units.
    #[error(
        "{0:?} is not a unit name: letters, digits, ':', '-', '_', '.', '\\' and one '@' before an \
         instance, at most 255 of them"
    )]
    Unit(String),
    /// A unit of a type that is not started by clients.
    #[error(
        "{0:?} is a {1} unit: name a .service or a .target; what a socket unit does this daemon does \
         itself"
    )]
    Type(String, &'static str),
    /// A template alone.
    #[error("{0:?} is a template: name an instance of it, like {1:?}")]
    Template(String, String),
}

impl TargetName {
    /// A container's name or ID, in the grammar that Docker and Podman share:
    /// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
    pub fn container(name: &str) -> Result<Self, BadName> {
        let name_ok = name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if name_ok { Ok(Self(name.into())) } else { Err(BadName::Container(name.to_owned())) }
    }

    /// A systemd unit, in the grammar of systemd.unit(5) and `unit_name_is_valid` of systemd. A name
    /// without a type is a service, as for `systemctl`.
    pub fn unit(name: &str) -> Result<Self, BadName> {
        let typed = name
            .rsplit_once('.')
            .filter(|(_, of)| matches!(*of, "service" | "target") || OTHER_TYPES.contains(of));
        let (full, stem) = match typed {
            Some((stem, of)) => {
                if let Some(other) = OTHER_TYPES.iter().find(|other| **other == of) {
                    return Err(BadName::Type(name.to_owned(), other));
                }
                (name.to_owned(), stem)
            }
            None => (format!("{name}.service"), name),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        if stem.is_empty() || stem.starts_with('@') || full.len() > 255 || !stem.chars().all(plain)
        {
            return Err(BadName::Unit(name.to_owned()));
        }
        match stem.split_once('@') {
            Some((_, "")) => {
                let example = full.replacen('@', "@INSTANCE", 1);
                Err(BadName::Template(name.to_owned(), example))
            }
            Some(_) | None => Ok(Self(full.into())),
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_engines_own_grammar_passes() {
        for good in ["gitea", "my_app-1.db", "0123456789ab"] {
            assert!(TargetName::container(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "../etc", "a b", "a/b", "a?b", "a%20b", "a\nb", "ä"] {
            assert!(TargetName::container(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_unit_is_a_service_unless_it_says_otherwise() {
        for (given, name) in [
            ("gitea", "gitea.service"),
            ("gitea.service", "gitea.service"),
            ("stack.target", "stack.target"),
            ("web@a:b-c_d\\x20.service", "web@a:b-c_d\\x20.service"),
            ("example.org", "example.org.service"),
            ("1@2@3", "1@2@3.service"),
        ] {
            assert_eq!(TargetName::unit(given).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_are_no_units_and_units_that_are_not_served_are_told_apart() {
        let long = "x".repeat(250);
        for bad in ["", ".service", "a b", "a/b.service", "@x.service", "a\nb", "ä", &long] {
            assert!(matches!(TargetName::unit(bad), Err(BadName::Unit(_))), "{bad}");
        }
        let socket = TargetName::unit("web.socket").unwrap_err().to_string();
        assert!(socket.contains("is a socket unit"), "{socket}");
        let template = TargetName::unit("web@.service").unwrap_err().to_string();
        assert!(template.contains("web@INSTANCE.service"), "{template}");
    }
}
