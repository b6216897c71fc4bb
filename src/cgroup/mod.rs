//! What the kernel counts of a container's, or a unit's, processes, and what it takes back of their
//! memory: control groups of both versions, and of both beside each other.
//!
//! Whose group it is, is made sure of first: a process counts as a container's if the ID is in the
//! path of its group, so a number of another PID namespace leads nowhere. What cannot be read, or is
//! of another form than cgroups(7) says, is not there; nothing here panics or guesses. All of it
//! blocks for microseconds, [`Cgroup::reclaim`] apart.

mod mounts;
mod reclaim;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mounts::mounts;
pub use reclaim::Reclaimed;

/// Where the kernel tells of processes.
pub const PROC: &str = "/proc";

/// Of which kind a directory's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A hierarchy for each controller.
    One,
    /// One hierarchy.
    Two,
}

/// The control group of a container or a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    cpu: Option<(Version, PathBuf)>,
    memory: Option<(Version, PathBuf)>,
}

/// Whether process `pid` is in a control group of container `id`; `proc` is [`PROC`] outside tests.
pub fn is_of(proc: &Path, pid: u32, id: &str) -> bool {
    groups_of(proc, pid).is_some_and(|groups| groups.iter().any(|group| group.within(id).is_some()))
}

/// Bytes received and sent on all interfaces but loopback of the network of process `pid`, which must
/// be of container `id`.
pub fn net_bytes(proc: &Path, pid: u32, id: &str) -> Option<u64> {
    if !is_of(proc, pid, id) {
        return None;
    }
    let text = fs::read_to_string(proc.join(pid.to_string()).join("net/dev")).ok()?;
    // Two lines of headings, which have no colon behind a name.
    let counted = text.lines().filter_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        let mut numbers = numbers.split_whitespace();
        let received: u64 = numbers.next()?.parse().ok()?;
        let sent: u64 = numbers.nth(7)?.parse().ok()?;
        (name.trim() != "lo").then(|| received.saturating_add(sent))
    });
    Some(counted.fold(0, u64::saturating_add))
}

impl Cgroup {
    /// That of container `id`, one of whose processes is `pid`; `None` if that cannot be told.
    pub fn of_container(proc: &Path, pid: u32, id: &str) -> Option<Self> {
        let groups: Vec<Group> =
            groups_of(proc, pid)?.iter().filter_map(|group| group.within(id)).collect();
        Self::at(proc, &groups)
    }

    /// That of a unit, as systemd names it: `/system.slice/web.service`. It is the same in every
    /// hierarchy that counts for this unit.
    pub fn of_unit(proc: &Path, path: &str) -> Option<Self> {
        if !path.starts_with('/') || path == "/" || leads_up(path) {
            return None;
        }
        let group = |controllers: &str| Group {
            controllers: controllers.split(',').map(str::to_owned).collect(),
            path: path.to_owned(),
        };
        Self::at(proc, &[group("cpuacct"), group("memory"), group("")])
    }

    fn at(proc: &Path, groups: &[Group]) -> Option<Self> {
        let mounts = mounts(proc)?;
        let find = |controller: &str, file_of: fn(Version) -> &'static str| {
            [(Version::One, controller), (Version::Two, "")].into_iter().find_map(
                |(version, controller)| {
                    let group = groups.iter().find(|group| group.has(controller))?;
                    let mut there = mounts
                        .iter()
                        .filter(|mount| mount.is_for(version, controller))
                        .filter_map(|mount| mount.directory(&group.path));
                    let found =
                        there.find(|directory| directory.join(file_of(version)).exists())?;
                    Some((version, found))
                },
            )
        };
        let (cpu, memory) = (find("cpuacct", cpu_file), find("memory", memory_file));
        (cpu.is_some() || memory.is_some()).then_some(Self { cpu, memory })
    }

    /// Processor time used so far.
    pub fn cpu(&self) -> Option<Duration> {
        let (version, directory) = self.cpu.as_ref()?;
        let text = fs::read_to_string(directory.join(cpu_file(*version))).ok()?;
        match version {
            Version::One => text.trim().parse().ok().map(Duration::from_nanos),
            Version::Two => {
                let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                used.trim().parse().ok().map(Duration::from_micros)
            }
        }
    }

    /// Bytes of memory that it has now, what is cached of its files included.
    pub fn memory(&self) -> Option<u64> {
        let (version, directory) = self.memory.as_ref()?;
        fs::read_to_string(directory.join(memory_file(*version))).ok()?.trim().parse().ok()
    }
}

fn cpu_file(version: Version) -> &'static str {
    match version {
        Version::One => "cpuacct.usage",
        Version::Two => "cpu.stat",
    }
}

fn memory_file(version: Version) -> &'static str {
    match version {
        Version::One => "memory.usage_in_bytes",
        Version::Two => "memory.current",
    }
}

/// A line of `/proc/PID/cgroup`: `4:memory:/docker/ID`, or `0::/system.slice/docker-ID.scope`.
#[derive(Debug)]
struct Group {
    /// One empty name for the second version's.
    controllers: Vec<String>,
    path: String,
}

impl Group {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }

    /// The container's own group: a systemd in it, or the engine, may have made others below that.
    fn within(&self, id: &str) -> Option<Self> {
        if !is_id(id) || leads_up(&self.path) {
            return None;
        }
        let end = self.path.find(id)? + id.len();
        let rest = self.path[end..].find('/').map_or(self.path.len(), |slash| end + slash);
        Some(Self { controllers: self.controllers.clone(), path: self.path[..rest].to_owned() })
    }
}

fn groups_of(proc: &Path, pid: u32) -> Option<Vec<Group>> {
    let text = fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).ok()?;
    let groups = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?.split(',').map(str::to_owned).collect();
        Some(Group { controllers, path: parts.next()?.to_owned() })
    });
    Some(groups.collect())
}

/// The engines' IDs are 64 hexadecimal digits. Less might be found in anybody's path.
fn is_id(id: &str) -> bool {
    id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Seen from a cgroup namespace beside it, a group's path begins with `/..`.
fn leads_up(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests;
