//! What a driver holds of the services that its own is bound to.

use std::mem;
use std::sync::Arc;

use super::ServiceHandle;
use super::bonds::{AfterUse, Bonds, Met, Needed};
use super::lease::{Shared, State};
use crate::activation::{Cause, Event, Phase};

/// A service that another depends on: as long as this is held it is not put to sleep. It is not
/// woken by it either. Dropping it gives it back.
#[derive(Debug)]
pub struct Pinned {
    shared: Arc<Shared>,
    after: AfterUse,
}

impl ServiceHandle {
    /// Keeps it from going to sleep, whether it is awake or not.
    pub fn pin(&self) -> Pinned {
        let pinned = self.pin_locked(&mut self.shared().lock());
        self.shared().changed();
        pinned
    }

    /// The same where more has to change in one step.
    pub(super) fn pin_locked(&self, state: &mut State) -> Pinned {
        state.pinned += 1;
        self.shared().feed_locked(state, Event::Pin);
        Pinned { shared: Arc::clone(self.shared()), after: AfterUse::IdleWindow }
    }
}

impl Pinned {
    /// Gives it back, and has it sleep at once unless somebody uses it.
    pub fn let_sleep(mut self) {
        self.after = AfterUse::Sleep;
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.pinned = state.pinned.saturating_sub(1);
        self.shared.feed_locked(&mut state, Event::Release);
        match self.after {
            AfterUse::Sleep => self.shared.feed_locked(&mut state, Event::Sleep),
            AfterUse::IdleWindow => {}
        }
        if state.closed && state.pinned == 0 {
            // Its driver may have waited for that to end.
            self.shared.work.notify_one();
        }
        drop(state);
        self.shared.changed();
    }
}

/// The pins of a service that may run, and whether what it needs was there.
#[derive(Debug, Default)]
pub(super) struct Group {
    pins: Vec<Tied>,
    /// What the pins were made for.
    of: Option<(Arc<Bonds>, Extent)>,
    /// What it depends on was there when it was last asked for.
    pub(super) met: Option<Met>,
    /// What came of its companions while it was started, if that is known.
    pub(super) companions: Option<Result<(), String>>,
    put_to_rest: By,
}

/// What came of the services that the target is bound to while it was started.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) of: Arc<Bonds>,
    pub(super) met: Met,
    /// Of its companions, if they are done.
    pub(super) companions: Option<Result<(), String>>,
}

#[derive(Debug)]
struct Tied {
    to: ServiceHandle,
    pinned: Pinned,
    after: AfterUse,
}

/// Which services are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// It rests.
    None,
    /// It is on its way to sleep: its companions are before it.
    Dependencies,
    /// It runs, or may.
    All,
}

/// Who has put it to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum By {
    Us,
    #[default]
    Others,
}

impl Group {
    /// Whether nothing is pinned.
    pub(super) fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    /// Makes the pins those of `bonds` for a service in that phase.
    pub(super) fn repin(&mut self, bonds: &Arc<Bonds>, phase: Phase) {
        let extent = Extent::of(phase);
        let same = |(of, to): &(Arc<Bonds>, Extent)| Arc::ptr_eq(of, bonds) && *to == extent;
        if self.of.as_ref().is_some_and(same) {
            return;
        }
        let none: &[Needed] = &[];
        let (before, beside, after) = match extent {
            Extent::None => (none, none, none),
            Extent::Dependencies => (&*bonds.before, none, none),
            Extent::All => (&*bonds.before, &*bonds.beside, &*bonds.after),
        };
        let wanted = before.iter().chain(beside).chain(after).filter_map(Needed::pinned);
        let mut earlier = mem::take(&mut self.pins);
        self.pins = wanted
            .map(|(to, after)| match earlier.iter().position(|tied| tied.to.is(to)) {
                Some(place) => Tied { after, ..earlier.swap_remove(place) },
                None => Tied { to: to.clone(), pinned: to.pin(), after },
            })
            .collect();
        let by = mem::take(&mut self.put_to_rest);
        for Tied { pinned, after, .. } in earlier {
            match (extent, by, after) {
                (Extent::None, By::Us, AfterUse::Sleep) => pinned.let_sleep(),
                (Extent::None | Extent::Dependencies | Extent::All, _, _) => drop(pinned),
            }
        }
        let other_bonds = self.of.as_ref().is_some_and(|(of, _)| !Arc::ptr_eq(of, bonds));
        if extent != Extent::All {
            self.met = None;
        }
        if extent != Extent::All || other_bonds {
            self.companions = None;
        }
        if let Some(met) = &mut self.met {
            met.retain(bonds);
        }
        self.of = Some((Arc::clone(bonds), extent));
    }

    /// That much is known from the start.
    pub(super) fn awaited(&mut self, awaited: Awaited) {
        self.met = Some(awaited.met);
        // Others may accompany it by now.
        let as_asked = self.of.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, &awaited.of));
        self.companions = awaited.companions.filter(|_| as_asked);
    }

    /// It was just seen at rest after a stop of ours.
    pub(super) fn put_to_rest(&mut self) {
        self.put_to_rest = By::Us;
    }

    /// What it depends on, if all of that is known to be there.
    pub(super) fn take_met(&mut self, bonds: &Bonds) -> Option<Met> {
        self.met.take().filter(|met| met.lost().is_none() && met.covers(bonds))
    }

    /// Waits until something that it depends on lives no more, and says what; for ever if nothing does.
    pub(super) async fn need_ends(&mut self) -> String {
        match &mut self.met {
            Some(met) => met.broken().await,
            None => std::future::pending().await,
        }
    }
}

impl Extent {
    fn of(phase: Phase) -> Self {
        match phase {
            // As long as the engine is away nobody knows whether it runs.
            Phase::Unknown
            | Phase::Failed(Cause::EngineAway)
            | Phase::Starting { .. }
            | Phase::Probing { .. }
            | Phase::Awake { .. }
            | Phase::Found { .. } => Self::All,
            Phase::Stopping { .. } => Self::Dependencies,
            Phase::Asleep { .. } | Phase::Failed(_) => Self::None,
        }
    }
}
