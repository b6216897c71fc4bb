//! Where the hierarchies of control groups are mounted.

use std::fs;
use std::path::{Path, PathBuf};

use super::Version;

/// One mounted hierarchy, or a part of it.
#[derive(Debug)]
pub(super) struct Mount {
    version: Version,
    /// Of the first version: the controllers, among other words.
    options: Vec<String>,
    /// Which of its directories is at `point`.
    root: String,
    point: PathBuf,
}

impl Mount {
    pub(super) fn is_for(&self, version: Version, controller: &str) -> bool {
        self.version == version
            && match version {
                Version::One => self.options.iter().any(|option| option == controller),
                Version::Two => true,
            }
    }

    /// Where the group is, if this mount shows it.
    pub(super) fn directory(&self, group: &str) -> Option<PathBuf> {
        let below = match self.root.as_str() {
            "/" => group,
            root => {
                group.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?
            }
        };
        Some(self.point.join(below.trim_start_matches('/')))
    }
}

/// Those that this process sees (`/proc/PID/mountinfo`, proc(5)); other lines are passed over.
pub(super) fn mounts(proc: &Path) -> Option<Vec<Mount>> {
    let text = fs::read_to_string(proc.join("self/mountinfo")).ok()?;
    Some(text.lines().filter_map(mount).collect())
}

/// `35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`; before the dash there may be
/// more words.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let version = match after.next()? {
        "cgroup" => Version::One,
        "cgroup2" => Version::Two,
        _ => return None,
    };
    let options = after.nth(1)?.split(',').map(str::to_owned).collect();
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    Some(Mount { version, options, root: unescaped(root), point: unescaped(point).into() })
}

/// Space, tab, line feed and backslash are written as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}
