//! Looking at the target when nothing was done to it.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use super::{Done, Driver};
use crate::activation::{Event, Moment, Pauses, Rest, Run, Seen};
use crate::driver::operation;
use crate::engine::{Engine, EngineError, Observed, State};

impl<E: Engine> Driver<E> {
    /// Looks at the target, after a pause, until the engine has answered.
    pub(super) fn look(&mut self, delay: Duration) {
        let engine = Arc::clone(&self.engine);
        let name = self.target.name.clone();
        let run = self.handle.shared().lock().core.run();
        let clock = self.clock;
        self.looking = true;
        self.tasks.spawn(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let mut pauses = Pauses::engine();
            let mut said = false;
            loop {
                let began = clock.now();
                let error = match engine.inspect(&name).await {
                    Ok(observed) => return Done::Looked(run, began, Some(Arc::new(observed))),
                    Err(EngineError::Missing(_)) => return Done::Looked(run, began, None),
                    Err(error) => error,
                };
                // That the engine is away is told by its watch; that it answers so is told here.
                if !said && !operation::transient(&error) {
                    warn!(container = %name, reason = %error, "it cannot be looked at, trying again");
                    said = true;
                }
                debug!(%error, "the look failed, trying again");
                tokio::time::sleep(pauses.pause()).await;
            }
        });
    }

    /// A look that began then has ended.
    pub(super) fn looked(&mut self, run: Run, began: Moment, observed: Option<Arc<Observed>>) {
        let seen = match &observed {
            None => Seen::Resting(Rest::Missing),
            Some(observed) => {
                let known = self.observed.borrow();
                match observed.state {
                    State::Running | State::Restarting
                        if known.as_ref().is_some_and(|known| !known.same_life(observed)) =>
                    {
                        Seen::Renewed
                    }
                    State::Running | State::Restarting => Seen::Running,
                    State::Paused => Seen::Resting(Rest::Paused),
                    State::Stopped => Seen::Resting(Rest::Stopped),
                }
            }
        };
        let before = self.handle.status().phase;
        // A look that an operation has overtaken says how things were before.
        if self.handle.shared().lock().core.run() == run {
            self.saw(observed);
            self.handle.shared().feed(Event::Observed(run, seen));
            // A renewed or ended life has made its run end with it, so nobody reads this then.
            self.handle.shared().lock().vouched = Some(began);
        }
        self.note_change(before, seen);
    }

    /// Keeps what was seen last: it tells a life from the next.
    pub(super) fn saw(&self, observed: Option<Arc<Observed>>) {
        if observed.is_some() {
            self.observed.send_replace(observed);
        }
    }
}
