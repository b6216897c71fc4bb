//! Circles among the bonds of services.

use std::collections::{BTreeMap, BTreeSet};

use super::Bonds;

/// Every circle among them, each service in one of them at most; a circle begins with the first of
/// its names. A companion may depend on the service that it accompanies: that is none.
///
/// Bonds to services that are not in `graph` lead nowhere. Takes time in proportion to the bonds, and
/// does not recurse: who names the containers decides about both.
pub(super) fn circles(graph: &BTreeMap<&str, &Bonds>) -> Vec<Vec<String>> {
    let names: Vec<&str> = graph.keys().copied().collect();
    let mut ways = Ways::of(graph, &names);
    let mut found = Vec::new();
    ways.peel(0..names.len());
    while let Some(start) = ways.live.first().copied() {
        let mut circle = ways.circle(start);
        let least = circle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(at, _)| at);
        circle.rotate_left(least);
        found.push(circle.iter().map(|at| names[*at].to_owned()).collect());
        for at in &circle {
            ways.remove(*at);
        }
        ways.peel(0..names.len());
    }
    found
}

/// `web -> db -> web`
pub(super) fn drawn(circle: &[String]) -> String {
    let whole = circle.iter().chain(circle.first());
    whole.map(String::as_str).collect::<Vec<_>>().join(" -> ")
}

/// Who must be awake before or beside whom, by places.
struct Ways {
    onward: Vec<Vec<usize>>,
    back: Vec<Vec<usize>>,
    /// How many ways lead on to live ones.
    left: Vec<usize>,
    live: BTreeSet<usize>,
}

impl Ways {
    fn of(graph: &BTreeMap<&str, &Bonds>, names: &[&str]) -> Self {
        let place = |name: &str| names.binary_search(&name).ok();
        let mut onward: Vec<Vec<usize>> = graph
            .values()
            .map(|bonds| bonds.before.iter().filter_map(|bond| place(&bond.to)).collect())
            .collect();
        let back = reversed(&onward);
        for (at, bonds) in graph.values().enumerate().filter(|(_, bonds)| !bonds.beside.is_empty())
        {
            let dependents = reaching(&back, at);
            let companions = bonds.beside.iter().filter_map(|bond| place(&bond.to));
            onward[at].extend(companions.filter(|companion| !dependents.contains(companion)));
        }
        for ways in &mut onward {
            ways.sort_unstable();
            ways.dedup();
        }
        let left = onward.iter().map(Vec::len).collect();
        Self { back: reversed(&onward), onward, left, live: (0..names.len()).collect() }
    }

    /// Takes away those that lead to nobody any more.
    fn peel(&mut self, from: impl Iterator<Item = usize>) {
        let mut ends: Vec<usize> = from.filter(|at| self.is_end(*at)).collect();
        while let Some(end) = ends.pop() {
            self.remove(end);
            ends.extend(self.back[end].iter().copied().filter(|at| self.is_end(*at)));
        }
    }

    fn is_end(&self, at: usize) -> bool {
        self.left[at] == 0 && self.live.contains(&at)
    }

    fn remove(&mut self, at: usize) {
        if self.live.remove(&at) {
            for other in &self.back[at] {
                self.left[*other] = self.left[*other].saturating_sub(1);
            }
        }
    }

    /// Where the first ways from a live one end up; every live one leads on to another.
    fn circle(&self, start: usize) -> Vec<usize> {
        let mut path = Vec::new();
        let mut places = BTreeMap::new();
        let mut at = start;
        loop {
            if let Some(first) = places.insert(at, path.len()) {
                return path.split_off(first);
            }
            path.push(at);
            match self.onward[at].iter().find(|next| self.live.contains(next)) {
                Some(next) => at = *next,
                None => return path,
            }
        }
    }
}

fn reversed(ways: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut back = vec![Vec::new(); ways.len()];
    for (from, to) in ways.iter().enumerate().flat_map(|(at, to)| to.iter().map(move |to| (at, to)))
    {
        back[*to].push(from);
    }
    back
}

/// Those from which `goal` is reached, in one step or more.
fn reaching(back: &[Vec<usize>], goal: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![goal];
    while let Some(at) = open.pop() {
        open.extend(back[at].iter().copied().filter(|before| found.insert(*before)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Bond, Condition};

    /// `a>b` a depends on b, `a+b` b accompanies a.
    fn found(text: &str) -> Vec<String> {
        let mut graph: BTreeMap<&str, Bonds> = BTreeMap::new();
        for word in text.split(' ') {
            let (from, to) = word.split_once(['>', '+']).unwrap();
            let bond = Bond { to: to.to_owned(), until: Condition::Started, optional: false };
            graph.entry(to).or_default();
            let bonds = graph.entry(from).or_default();
            if word.contains('>') { &mut bonds.before } else { &mut bonds.beside }.push(bond);
        }
        let graph = graph.iter().map(|(name, bonds)| (*name, bonds)).collect();
        circles(&graph).iter().map(|circle| drawn(circle)).collect()
    }

    #[test]
    fn circles_of_dependencies_are_found_each_once() {
        assert_eq!(found("web>db db>web other>web"), ["db -> web -> db"]);
        assert_eq!(found("a>a b>c c>d d>b"), ["a -> a", "b -> c -> d -> b"]);
        assert_eq!(found("a>b a>c b>d c>d"), Vec::<String>::new());
    }

    #[test]
    fn a_companion_may_depend_on_whom_it_accompanies_and_on_nobody_else_in_a_circle() {
        assert_eq!(found("web+worker worker>web"), Vec::<String>::new());
        assert_eq!(found("web+worker worker>queue queue>web"), Vec::<String>::new());
        assert_eq!(found("a+b b+a"), ["a -> b -> a"]);
        assert_eq!(found("a+b b>c c+a"), ["a -> b -> c -> a"]);
    }

    #[test]
    fn a_long_chain_is_walked() {
        let chain: Vec<String> = (0..20_000).map(|n| format!("n{n}>n{}", n + 1)).collect();
        assert_eq!(found(&chain.join(" ")), Vec::<String>::new());
    }
}
