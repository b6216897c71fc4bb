//! Where the kernel counts what a target uses.

use std::path::Path;

use super::Target;
use crate::cgroup::{Cgroup, PROC};
use crate::engine::{Engine, Observed};

/// The target's control group, if it can be seen from here: a container's by its first process, a
/// unit's by its name.
pub(super) async fn cgroup_of<E: Engine>(
    engine: &E,
    target: &Target,
    observed: &Observed,
) -> Option<Cgroup> {
    let proc = Path::new(PROC);
    match observed.pid {
        Some(pid) => Cgroup::of_container(proc, pid, &observed.id),
        None => Cgroup::of_unit(proc, &engine.control_group(&target.name).await?),
    }
}
