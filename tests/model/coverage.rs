//! What has to happen somewhere in the model, so that no rule holds for want of an occasion.

use stateright::Property;

use super::Setup;
use super::activation::{Cause, Phase, Refused, Rest};
use super::world::{Guest, Kind, State, World};

macro_rules! happens {
    ($($name:literal: |$world:ident| $happens:expr,)*) => {
        pub(super) fn properties() -> Vec<Property<Setup>> {
            vec![$(Property::sometimes($name, |_, $world: &World| $happens),)*]
        }
    };
}

happens! {
    "asleep": |world| world.core.phase() == Phase::Asleep(Rest::Stopped),
    "asleep, frozen": |world| world.core.phase() == Phase::Asleep(Rest::Paused),
    "asleep, missing": |world| world.core.phase() == Phase::Asleep(Rest::Missing),
    "starting": |world| matches!(world.core.phase(), Phase::Starting { .. }),
    "probing": |world| matches!(world.core.phase(), Phase::Probing { .. }),
    "awake and used": |world| world.core.phase() == Phase::Awake { idle_at: None },
    "awake and unused": |world| matches!(world.core.phase(), Phase::Awake { idle_at: Some(_) }),
    "found awake": |world| matches!(world.core.phase(), Phase::Found { idle_at: Some(_) }),
    "renewed while it is used": |world| world.core.phase() == Phase::Found { idle_at: None },
    "asked to sleep before its time": |world| {
        world.core.phase() == Phase::Stopping && !world.retired && !world.window_over()
    },
    "stopping": |world| world.core.phase() == Phase::Stopping,
    "failed to start": |world| world.core.phase() == Phase::Failed(Cause::StartFailed),
    "failed by its end": |world| world.core.phase() == Phase::Failed(Cause::Exited),
    "failed as it is missing": |world| world.core.phase() == Phase::Failed(Cause::Missing),
    "failed as the engine is away": |world| world.core.phase() == Phase::Failed(Cause::EngineAway),
    "never became ready": |world| world.refused == Some(Refused::Failed(Cause::NotReady)),
    "waited the whole time": |world| world.refused == Some(Refused::TimedOut),
    "refused in the back-off": |world| matches!(world.refused, Some(Refused::BackOff(_))),
    "started again after the back-off": |world| {
        world.notes.failures > 0 && matches!(world.core.phase(), Phase::Starting { .. })
    },
    "left running by a failed start, and found": |world| {
        world.notes.failures > 0 && matches!(world.core.phase(), Phase::Found { .. })
    },
    "carried out after it was given up": |world| {
        world.stray_start && world.target.state == State::Stopped && world.operation.is_none()
    },
    "came while it stopped, and was served": |world| {
        world.clients.iter().any(|client| matches!(client, Guest::Holds { into_stop: true }))
    },
    "two leases at once": |world| world.held() == 2,
    "two wait at once": |world| world.dues().count() == 2,
    "left, which the core does not know": |world| {
        world.clients.iter().any(|client| matches!(client, Guest::Leaves { .. }))
    },
    "thawed": |world| {
        world.target.state == State::Paused
            && world.operation.is_some_and(|operation| operation.kind == Kind::Start)
    },
    "a late answer to an old question": |world| {
        world.answers.iter().any(|answer| answer.run != world.core.run())
    },
    "two answers to be read": |world| world.answers.len() == 2,
    "a look that an operation has overtaken": |world| {
        world.look.is_some_and(|look| look.run != world.core.run())
    },
}
