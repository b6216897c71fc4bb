//! What has to happen somewhere in the model, so that no rule holds for want of an occasion.

use stateright::Property;

use super::Setup;
use super::activation::{Cause, Depth, Idle, Kill, Permission, Phase, Refused, Rest};
use super::world::{Guest, Kind, State, World};

fn rests(world: &World, like: Rest) -> bool {
    matches!(world.core.phase(), Phase::Asleep { rest, .. } if rest == like)
}

macro_rules! happens {
    ($($name:literal: |$world:ident| $happens:expr,)*) => {
        pub(super) fn properties() -> Vec<Property<Setup>> {
            vec![$(Property::sometimes($name, |_, $world: &World| $happens),)*]
        }
    };
}

happens! {
    "asleep": |world| rests(world, Rest::Stopped),
    "asleep, frozen": |world| rests(world, Rest::Paused),
    "asleep, missing": |world| rests(world, Rest::Missing),
    "starting": |world| matches!(world.core.phase(), Phase::Starting { .. }),
    "probing": |world| matches!(world.core.phase(), Phase::Probing { .. }),
    "awake and used": |world| world.core.phase() == Phase::Awake { idle: Idle::Never },
    "awake and unused": |world| matches!(world.core.phase(), Phase::Awake { idle: Idle::At(_) }),
    "found awake": |world| matches!(world.core.phase(), Phase::Found { idle: Idle::At(_) }),
    "renewed while it is used": |world| world.core.phase() == Phase::Found { idle: Idle::Never },
    "asked to sleep before its time": |world| {
        world.core.phase().is_stopping() && !world.retired && !world.window_over()
    },
    "pinned and awake": |world| {
        world.pins > 0 && matches!(world.core.phase(), Phase::Awake { .. })
    },
    "pinned while it stops": |world| world.pins > 0 && world.core.phase().is_stopping(),
    "pinned while it sleeps": |world| {
        world.pins > 0 && rests(world, Rest::Stopped)
    },
    "failed for want of another": |world| {
        world.core.phase() == Phase::Failed(Cause::Dependency)
    },
    "stopping": |world| world.core.phase().is_stopping(),
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
        world.clients.iter().any(|client| matches!(client, Guest::Holds { into_stop: true, .. }))
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
    "asked whether it may sleep": |world| {
        matches!(world.core.phase(), Phase::Awake { idle: Idle::Asking(..) })
    },
    "a permission that came too late": |world| {
        world.permission.is_some()
            && matches!(world.core.phase(), Phase::Awake { idle: Idle::Never })
    },
    "denied": |world| {
        matches!(world.permission, Some((_, Permission::Denied)))
    },
    "silent, and asleep in its window": |world| {
        world.silent() > 0 && matches!(world.core.phase(), Phase::Awake { idle: Idle::At(_) })
    },
    "silent under a stop": |world| world.silent() > 0 && world.core.phase().is_stopping(),
    "paused by its window": |world| {
        world.operation.is_some_and(|of| of.kind == Kind::Stop(Depth::Pause))
    },
    "paused, and on its way deeper": |world| {
        matches!(world.core.phase(), Phase::Asleep { deeper_at: Some(_), .. })
    },
    "stopped out of a pause": |world| {
        world.target.state == State::Paused
            && world.operation.is_some_and(|of| of.kind == Kind::Stop(Depth::Stop))
    },
    "paused for all that was done": |world| {
        world.notes.stays_paused && rests(world, Rest::Paused)
    },
    "held by the hours": |world| world.kept_out().next().is_some(),
    "held by the hours while it stops": |world| {
        world.kept_out().next().is_some() && world.core.phase().is_stopping()
    },
    "refused by the hours": |world| matches!(world.refused, Some(Refused::Curfew(_))),
    "about to be killed": |world| {
        matches!(world.core.phase(), Phase::Stopping { kill: Kill::At(_), .. })
    },
    "killed": |world| world.notes.killed,
    "dry": |world| matches!(world.core.phase(), Phase::Awake { idle: Idle::Dry }),
}
