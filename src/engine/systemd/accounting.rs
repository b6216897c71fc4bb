//! What a unit has used, as systemd accounts for it (systemd.resource-control(5)).

use std::time::Duration;

use zbus::zvariant::ObjectPath;

use super::bus::{Bus, SERVICE};
use super::error::Doing;
use super::unit::path_of;
use crate::engine::{EngineError, TargetName, Usage};

/// What systemd answers for what is not accounted for.
const UNCOUNTED: u64 = u64::MAX;

pub(super) async fn usage(bus: &Bus, name: &TargetName) -> Result<Usage, EngineError> {
    let path = path_of(name.as_str());
    let count = async |property| {
        let path = ObjectPath::from_str_unchecked(&path);
        bus.property::<u64>(path, SERVICE, property, Doing::Asking).await
    };
    let (cpu, memory, received, sent) = tokio::join!(
        count("CPUUsageNSec"),
        count("MemoryCurrent"),
        count("IPIngressBytes"),
        count("IPEgressBytes"),
    );
    // What a systemd counts at all it has counted for long (235); one that is away answers nothing.
    let cpu = counted(cpu?);
    Ok(Usage {
        cpu: cpu.map(Duration::from_nanos),
        net: both(received.ok().and_then(counted), sent.ok().and_then(counted)),
        memory: memory.ok().and_then(counted),
    })
}

/// The unit's control group while it runs.
pub(super) async fn control_group(bus: &Bus, name: &TargetName) -> Option<String> {
    let path = path_of(name.as_str());
    let path = ObjectPath::from_str_unchecked(&path);
    let group: String = bus.property(path, SERVICE, "ControlGroup", Doing::Asking).await.ok()?;
    (!group.is_empty()).then_some(group)
}

fn counted(number: u64) -> Option<u64> {
    (number != UNCOUNTED).then_some(number)
}

fn both(received: Option<u64>, sent: Option<u64>) -> Option<u64> {
    Some(received?.saturating_add(sent?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_accounted_for_is_no_number() {
        assert_eq!((counted(u64::MAX), counted(0)), (None, Some(0)));
        assert_eq!(both(Some(1), Some(2)), Some(3));
        assert_eq!(both(counted(u64::MAX), Some(2)), None);
    }
}
