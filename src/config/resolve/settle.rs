//! What has come of a draft: conditions that fit together, no circles, and times for the members.

use std::collections::BTreeSet;

use super::Resolved;
use super::draft::{Draft, Edge, Why};
use crate::activation::Window;
use crate::config::circles::{circles, drawn};
use crate::config::{Bond, Bonds, Condition, Level, OnExit, Origin, Role, Service};

impl Draft<'_> {
    /// What has come of it all.
    pub(super) fn end(mut self) -> Resolved {
        self.settle_conditions();
        self.name_bonds();
        let left_out = self.left_out();
        let kept = self.kept(&left_out);
        self.settle_policies(&kept);
        let mut services: Vec<Service> = Vec::new();
        for (at, node) in self.nodes.into_iter().enumerate() {
            if kept.contains(&at) {
                services.push(node.service);
            }
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Resolved { services, complaints: self.complaints.into_iter().collect() }
    }

    /// Makes of those that have to complete for somebody what they are, for everybody.
    fn settle_conditions(&mut self) {
        let mut completes = BTreeSet::new();
        for node in &self.nodes {
            let once = node.before.iter().filter(|edge| edge.until == Condition::Completed);
            completes.extend(once.map(|edge| edge.to));
        }
        for at in completes {
            if self.nodes[at].why == Why::Needed {
                self.nodes[at].service.role = Role::OneShot;
            }
        }
        let roles: Vec<(String, Role)> =
            self.nodes.iter().map(|of| (of.service.name.clone(), of.service.role)).collect();
        let mut told = Vec::new();
        for node in &mut self.nodes {
            let about = &node.service.name;
            for edge in &mut node.before {
                let (name, role) = &roles[edge.to];
                match (role, edge.until) {
                    (Role::OneShot, Condition::Started | Condition::Healthy) => {
                        edge.until = Condition::Completed;
                        let text =
                            format!("{name} completes for others: it is waited for until then");
                        told.push((Level::Info, about.clone(), text));
                    }
                    (Role::Clients | Role::Member, Condition::Completed) => {
                        edge.until = Condition::Healthy;
                        let text = format!(
                            "{name} is a service of its own, and never completes: it is waited for \
                             until it is ready"
                        );
                        told.push((Level::Warn, about.clone(), text));
                    }
                    (Role::OneShot, Condition::Completed)
                    | (Role::Clients | Role::Member, Condition::Started | Condition::Healthy) => {}
                }
            }
        }
        for (level, about, text) in told {
            self.complain(level, &about, &text);
        }
    }

    fn name_bonds(&mut self) {
        let names: Vec<String> = self.nodes.iter().map(|of| of.service.name.clone()).collect();
        let bond = |edge: &Edge| Bond {
            to: names[edge.to].clone(),
            until: edge.until,
            optional: edge.optional,
        };
        for node in &mut self.nodes {
            node.service.bonds = Bonds {
                before: node.before.iter().map(bond).collect(),
                beside: node.beside.iter().map(bond).collect(),
            };
        }
    }

    /// Those that cannot be served, be it for a circle, and those that need them one way or another.
    fn left_out(&mut self) -> BTreeSet<usize> {
        let graph = self.nodes.iter().map(|of| (of.service.name.as_str(), &of.service.bonds));
        let mut causes: Vec<(Vec<usize>, String)> = Vec::new();
        for circle in circles(&graph.collect()) {
            let places = circle.iter().filter_map(|name| self.by_name(name)).collect();
            let text = format!(
                "left out: it needs a circle, {}, of which none could be the first",
                drawn(&circle)
            );
            causes.push((places, text));
        }
        for at in &self.dropped {
            let text = format!("left out, as {} is", self.nodes[*at].service.name);
            causes.push((vec![*at], text));
        }
        if causes.is_empty() {
            return BTreeSet::new();
        }
        let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            for edge in node.before.iter().chain(&node.beside) {
                needed_by[edge.to].push(at);
            }
        }
        let mut left_out = BTreeSet::new();
        for (mut open, text) in causes {
            while let Some(at) = open.pop() {
                if !left_out.insert(at) {
                    continue;
                }
                open.extend(&needed_by[at]);
                if self.nodes[at].why == Why::Described && !self.dropped.contains(&at) {
                    let name = self.nodes[at].service.name.clone();
                    self.complain(Level::Warn, &name, &text);
                }
            }
        }
        left_out
    }

    /// Those that are described, and those that these need.
    fn kept(&self, left_out: &BTreeSet<usize>) -> BTreeSet<usize> {
        let described = |at: &usize| self.nodes[*at].why == Why::Described;
        let mut open: Vec<usize> = (0..self.nodes.len()).filter(described).collect();
        let mut kept = BTreeSet::new();
        while let Some(at) = open.pop() {
            if !left_out.contains(&at) && kept.insert(at) {
                let node = &self.nodes[at];
                open.extend(node.before.iter().chain(&node.beside).map(|edge| edge.to));
            }
        }
        kept
    }

    /// Gives members the times of those that need them, the longest of each, the gentlest
    /// end, and their origin.
    fn settle_policies(&mut self, kept: &BTreeSet<usize>) {
        let mut settled: BTreeSet<usize> = BTreeSet::new();
        let mut open: Vec<usize> =
            kept.iter().copied().filter(|at| self.nodes[*at].why == Why::Described).collect();
        while let Some(at) = open.pop() {
            let node = &self.nodes[at];
            let edges: Vec<usize> =
                node.before.iter().chain(&node.beside).map(|edge| edge.to).collect();
            let (settings, origin) = (node.service.settings.clone(), node.service.origin);
            for to in edges.into_iter().filter(|to| kept.contains(to)) {
                let node = &mut self.nodes[to];
                if node.why != Why::Needed {
                    continue;
                }
                let before = node.service.clone();
                let member = &mut node.service;
                let first = settled.insert(to);
                if first {
                    member.settings.policy = settings.policy.clone();
                    member.settings.on_exit = settings.on_exit;
                    member.origin = origin;
                } else {
                    let policy = &mut member.settings.policy;
                    policy.idle = longer(policy.idle, settings.policy.idle);
                    policy.start_timeout = policy.start_timeout.max(settings.policy.start_timeout);
                    // It is not stopped under somebody who is left running.
                    if settings.on_exit == OnExit::Leave {
                        member.settings.on_exit = OnExit::Leave;
                    }
                    if origin == Origin::Operator {
                        member.origin = Origin::Operator;
                    }
                }
                if first || *member != before {
                    open.push(to);
                }
            }
        }
    }
}

fn longer(one: Window, other: Window) -> Window {
    match (one, other) {
        (Window::Never, _) | (_, Window::Never) => Window::Never,
        (Window::After(one), Window::After(other)) => Window::After(one.max(other)),
    }
}
