//! What a service has to do with others: which are awake with it, and which before it.

use super::{Options, Wrong};
use crate::engine::TargetName;

/// The services that are awake with a service. Together they form no circle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bonds {
    /// Those that it depends on: they are woken before it, and sleep after it.
    pub before: Vec<Bond>,
    /// Its companions: they are woken with it, and sleep before it. One of them may depend on it.
    pub beside: Vec<Bond>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    /// The name of that service. Before [`resolve`](super::resolve::resolve) it may be that of a
    /// container of the same engine.
    pub to: String,
    /// When it has come far enough.
    pub until: Condition,
    /// If there is no such container, it is done without.
    pub optional: bool,
}

/// When a dependency has come far enough; the words are compose's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// It runs (`service_started`).
    #[default]
    Started,
    /// It is ready (`service_healthy`).
    Healthy,
    /// It has run to its end, with exit code 0 (`service_completed_successfully`).
    Completed,
}

impl Condition {
    /// Understands the short words, and compose's.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "started" | "service_started" => Some(Self::Started),
            "healthy" | "service_healthy" => Some(Self::Healthy),
            "completed" | "service_completed_successfully" => Some(Self::Completed),
            _ => None,
        }
    }
}

impl Bonds {
    /// From `--depends-on` and `--with`; everything that is wrong at once.
    pub fn parse(options: &Options) -> Result<Self, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut read = |key, texts: &[String], parse: fn(&str) -> Result<Bond, String>| {
            let mut bonds: Vec<Bond> = Vec::new();
            for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
                match parse(text) {
                    Ok(bond) if bonds.iter().any(|known| known.to == bond.to) => {
                        wrong.push(Wrong::new(key, format!("{} is there twice", bond.to)));
                    }
                    Ok(bond) => bonds.push(bond),
                    Err(error) => wrong.push(Wrong::new(key, error)),
                }
            }
            bonds
        };
        let before = read("depends-on", options.depends_on.as_deref().unwrap_or_default(), before);
        let beside = read("with", &options.with, beside);
        let bonds = Self { before, beside };
        wrong.extend(bonds.in_both().map(both));
        if wrong.is_empty() { Ok(bonds) } else { Err(wrong) }
    }

    /// The names that are dependencies and companions at once.
    pub(super) fn in_both(&self) -> impl Iterator<Item = &str> {
        let depended = |bond: &&Bond| self.before.iter().any(|other| other.to == bond.to);
        self.beside.iter().filter(depended).map(|bond| bond.to.as_str())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Bond> {
        self.before.iter().chain(&self.beside)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Bond> {
        self.before.iter_mut().chain(&mut self.beside)
    }
}

/// Nothing can be asleep before itself and after itself.
pub(super) fn both(name: &str) -> Wrong {
    Wrong::new("with", format!("{name} is in depends-on, too: remove it from one of the two"))
}

/// `NAME[:CONDITION][:optional]`
fn before(text: &str) -> Result<Bond, String> {
    let (name, words) = text.split_once(':').unwrap_or((text, ""));
    let mut bond = beside(name)?;
    let mut conditions = 0;
    for word in words.split(':').map(str::trim).filter(|word| !word.is_empty()) {
        match Condition::parse(word) {
            Some(condition) => {
                bond.until = condition;
                conditions += 1;
            }
            None if word == "optional" => bond.optional = true,
            None => conditions = 2,
        }
    }
    if conditions > 1 {
        return Err(format!(
            "{text:?} is not NAME[:CONDITION][:optional], with started, healthy or completed as \
             its condition"
        ));
    }
    Ok(bond)
}

fn beside(name: &str) -> Result<Bond, String> {
    let name = TargetName::container(name.trim()).map_err(|_| {
        let condition = if name.contains(':') { "; only depends-on takes a condition" } else { "" };
        format!("{name:?} is neither the name of a service nor that of a container{condition}")
    })?;
    Ok(Bond { to: name.to_string(), until: Condition::Started, optional: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bonds(before: &[&str], beside: &[&str]) -> Result<Bonds, Vec<Wrong>> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        Bonds::parse(&Options {
            depends_on: Some(words(before)),
            with: words(beside),
            ..Options::default()
        })
    }

    #[test]
    fn conditions_are_ours_or_composes() {
        let found = bonds(
            &["db:healthy", "cache", "seed:service_completed_successfully:optional", "x:optional"],
            &["worker"],
        )
        .unwrap();
        let before: Vec<_> =
            found.before.iter().map(|b| (b.to.as_str(), b.until, b.optional)).collect();
        assert_eq!(
            before,
            [
                ("db", Condition::Healthy, false),
                ("cache", Condition::Started, false),
                ("seed", Condition::Completed, true),
                ("x", Condition::Started, true),
            ]
        );
        assert_eq!(found.beside[0].to, "worker");
        assert_eq!(bonds(&[""], &[]), Ok(Bonds::default()));
    }

    #[test]
    fn what_makes_no_sense_is_told_at_once() {
        let found = bonds(&["db:ready", "a/b", "a", "a:healthy", "w"], &["w", "x:healthy"]);
        let keys: Vec<_> = found.unwrap_err().iter().map(|wrong| wrong.key).collect();
        assert_eq!(keys, ["depends-on", "depends-on", "depends-on", "with", "with"]);
    }
}
