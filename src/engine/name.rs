//! Container names, checked before they get into a URL.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// A container's name or ID, in the grammar that Docker and Podman share:
/// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerName(Arc<str>);

/// Not a container name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a container name: letters, digits, '_', '.' and '-', beginning with a letter or \
     digit"
)]
pub struct BadName(String);

impl ContainerName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let name_ok = name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if name_ok { Ok(Self(name.into())) } else { Err(BadName(name.to_owned())) }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
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
            assert!(ContainerName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "../etc", "a b", "a/b", "a?b", "a%20b", "a\nb", "ä"] {
            assert!(ContainerName::new(bad).is_err(), "{bad}");
        }
    }
}
