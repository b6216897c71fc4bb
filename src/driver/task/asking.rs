//! What is asked before the target sleeps, and what hastens a stop.

use std::sync::Arc;

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Done, Driver};
use crate::activation::{Event, Moment, Permission, Question};
use crate::driver::may_sleep;
use crate::driver::reclaim::reclaim;
use crate::engine::{Engine, State};
use crate::port::Protocol;

impl<E: Engine> Driver<E> {
    /// Asks whether the target may sleep at that moment. The answer is told no sooner.
    pub(super) fn ask(&mut self, question: Question, until: Moment) {
        self.end_asking();
        let clock = self.clock;
        let first = self.target.ports.all().iter().find(|port| port.protocol == Protocol::Tcp);
        let upstreams = self.handle.shared().lock().upstreams.clone();
        let upstream = upstreams.into_iter().find(|(port, _)| Some(port) == first);
        let asked = may_sleep::Question {
            engine: Arc::clone(&self.engine),
            target: Arc::clone(&self.target),
            observed: self.observed.borrow().clone().filter(|seen| seen.state == State::Running),
            upstream: upstream.map(|(_, upstream)| upstream),
            lead: until.since(clock.now()),
            said: Arc::clone(&self.unread_said),
        };
        let task = self.tasks.spawn(async move {
            let answer = match may_sleep::ask(asked).await {
                may_sleep::Permission::Given => {
                    sleep_until(clock.instant(until)).await;
                    Ok(())
                }
                may_sleep::Permission::Denied(why) => Err(why),
            };
            Done::Answered(question, answer)
        });
        self.asking = Some(task);
    }

    /// Gives the memory of the target, which was just paused, back to the host.
    pub(super) fn reclaim(&mut self) {
        let Some(observed) = self.observed.borrow().clone() else { return };
        let (engine, target) = (Arc::clone(&self.engine), Arc::clone(&self.target));
        let said = Arc::clone(&self.unreclaimed_said);
        self.reclaiming = Some(self.tasks.spawn(async move {
            match reclaim(&*engine, &target, &observed, &said).await {
                Some(taken) => Done::Freed(taken.before.saturating_sub(taken.after)),
                None => Done::Over,
            }
        }));
    }

    /// It is needed again.
    pub(super) fn end_reclaiming(&mut self) {
        if let Some(task) = self.reclaiming.take() {
            task.abort();
        }
    }

    /// Somebody has come: nobody wants to know any more.
    pub(super) fn end_asking(&mut self) {
        if let Some(task) = self.asking.take() {
            task.abort();
        }
    }

    pub(super) fn answered(&mut self, question: Question, answer: Result<(), String>) {
        let permission = match &answer {
            Ok(()) => Permission::Given,
            Err(_) => Permission::Denied,
        };
        let before = self.handle.status().phase;
        self.handle.shared().feed(Event::Answered(question, permission));
        if let Err(reason) = answer {
            self.handle.shared().lock().history.denied(reason.clone());
            let again = self.policy.asking.map(|asking| asking.interval).unwrap_or_default();
            let again = humantime::format_duration(again);
            info!(container = %self.target.name, %reason, asked_again_in = %again, "stays awake");
        }
        self.note_stop(before);
    }

    /// Ends the target at once: somebody waits behind its stop, which goes on and tells the end.
    pub(super) fn kill(&mut self) {
        let (engine, target) = (Arc::clone(&self.engine), Arc::clone(&self.target));
        warn!(container = %target.name, "clients wait and it has not stopped yet: killing it");
        let killing = CancellationToken::new();
        let over = killing.clone().drop_guard();
        self.killing = Some(killing);
        self.tasks.spawn(async move {
            if let Err(error) = engine.kill(&target.name).await {
                debug!(container = %target.name, %error, "it cannot be killed");
            }
            drop(over);
            Done::Over
        });
    }
}
