//! Giving a paused target's memory back to the host.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{Target, counted};
pub(super) use crate::cgroup::Reclaimed;
use crate::config::rules::Switch;
use crate::engine::{Engine, Observed};

/// Takes back what it can of the memory of a target that is paused, if that is wanted; what came of it
/// is logged, and once per service (`said`) why nothing did.
///
/// Whoever drops it, because a client has come, ends it at the kernel's next step.
pub(super) async fn reclaim<E: Engine>(
    engine: &E,
    target: &Target,
    observed: &Observed,
    said: &AtomicBool,
) -> Option<Reclaimed> {
    match target.reclaim {
        Switch::Yes => {}
        Switch::No => return None,
    }
    let taken = match counted::cgroup_of(engine, target, observed).await {
        None => Err("its control group cannot be seen from here".to_owned()),
        Some(group) => {
            let given_up = Arc::new(AtomicBool::new(false));
            let _giving_up = GiveUp(Arc::clone(&given_up));
            let go_on = move || !given_up.load(Ordering::Relaxed);
            match spawn_blocking(move || group.reclaim(go_on)).await {
                Ok(taken) => taken.map_err(|error| reason(&error)),
                Err(error) => Err(error.to_string()),
            }
        }
    };
    match taken {
        Ok(taken) => {
            info!(
                container = %target.name, before = taken.before, after = taken.after,
                "{} MiB of its {} MiB of memory are given back",
                mib(taken.before.saturating_sub(taken.after)), mib(taken.before)
            );
            Some(taken)
        }
        Err(reason) => {
            if !said.swap(true, Ordering::Relaxed) {
                warn!(
                    container = %target.name, %reason,
                    "its memory is not given back while it is paused; see --reclaim in the docs on \
                     sleeping, or take it away"
                );
            }
            None
        }
    }
}

/// Ends what goes on in another thread.
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel's errors: all others are rare")]
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "this kernel has no memory.reclaim (Linux 5.19), nor does it count the memory of its \
             control group by the first version"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not write to its control group: that takes root, or the user whose the \
             container is"
                .to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the control groups are read-only here (ProtectControlGroups= of this daemon's unit)"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

fn mib(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::rules::MaySleep;
    use crate::config::{Ports, Ready};
    use crate::engine::TargetName;
    use crate::engine::fake::{Delays, FakeEngine};

    /// Whether something was said of a target whose control group nobody sees.
    async fn said(reclaim_it: Switch) -> bool {
        let target = Target {
            service: "web".to_owned(),
            name: TargetName::container("web").unwrap(),
            ports: Ports::none(),
            upstream: None,
            network: None,
            ready: Ready::Auto,
            stop_timeout: None,
            keepalive: Duration::from_secs(60),
            announce: None,
            own_addresses: Vec::new(),
            may_sleep: MaySleep::default(),
            reclaim: reclaim_it,
            bonds: Arc::default(),
        };
        let engine = FakeEngine::new(1, Delays::default());
        let observed = engine.inspect(&target.name).await.unwrap();
        let said = AtomicBool::new(false);
        assert_eq!(reclaim(&engine, &target, &observed, &said).await, None);
        said.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn where_it_cannot_be_done_it_is_said_if_it_was_wanted() {
        assert!(said(Switch::Yes).await);
        assert!(!said(Switch::No).await);
    }

    #[test]
    fn what_stands_in_the_way_is_told_with_what_to_do() {
        for (kind, words) in [
            (io::ErrorKind::NotFound, "Linux 5.19"),
            (io::ErrorKind::PermissionDenied, "takes root"),
            (io::ErrorKind::ReadOnlyFilesystem, "ProtectControlGroups="),
        ] {
            assert!(reason(&kind.into()).contains(words));
        }
    }
}
