//! The loop: what the core asks is done, what comes back is told to the core.

mod asking;
mod group;
mod look;
mod memory;
mod notes;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::history::Waking;
use super::operation::{self, End, Looked};
use super::pin::{Awaited, Group};
use super::readiness::{AllReady, Probe, Progress};
use super::report::{self, Failure};
use super::{Bonds, ServiceHandle, Setup, Target};
use crate::activation::{Action, Cause, Event, Moment, Phase, Policy, Question, Rest, Run, Seen};
use crate::clock::Clock;
use crate::config::OnExit;
use crate::config::rules::Switch;
use crate::engine::{Engine, Observed, State};

/// Looks that failing connects ask for begin no closer together than this, however many fail.
const SUSPECTED_EVERY: Duration = Duration::from_millis(50);

/// The one task that owns a service.
#[derive(Debug)]
pub struct Driver<E> {
    engine: Arc<E>,
    target: Arc<Target>,
    policy: Policy,
    handle: ServiceHandle,
    clock: Clock,
    tasks: JoinSet<Done>,
    /// What is held of the services that the target is bound to.
    group: Group,
    /// The readiness question under way, and its run.
    probing: Option<(Run, AbortHandle)>,
    /// The question under way whether the target may sleep.
    asking: Option<AbortHandle>,
    /// The memory of the paused target is being given back.
    reclaiming: Option<AbortHandle>,
    /// Ends with the kill that was asked for: one that is late must not meet the next run.
    killing: Option<CancellationToken>,
    unread_said: Arc<AtomicBool>,
    unreclaimed_said: Arc<AtomicBool>,
    /// An inspect is under way.
    looking: bool,
    /// When the last one began.
    looked: Option<Moment>,
    /// The target was asked to stop because the daemon ends.
    retired: bool,
    /// What was last seen.
    observed: watch::Sender<Option<Arc<Observed>>>,
    stale_verdict: Option<String>,
    progress: Progress,
    forbidden_said: Arc<AtomicBool>,
    /// What went wrong last, for the report.
    detail: String,
    /// The present wake.
    started: Option<Waking>,
    /// What becomes of the target at the end.
    on_exit: OnExit,
}

/// What a task of the driver brings back.
#[derive(Debug)]
enum Done {
    Started(Run, End, Awaited, Took),
    /// What the target depended on, by those bonds, is not there: it was not started.
    Unmet(Run, Moment, Arc<Bonds>, String),
    /// With the memory that it had before.
    Stopped(Run, Option<u64>, End),
    /// Its pause has given back so much memory.
    Freed(u64),
    /// When the look began that had an answer, and what was seen; `None` when nothing of that name
    /// exists.
    Looked(Run, Moment, Option<Arc<Observed>>),
    /// What whoever was asked has said, and why not.
    Answered(Question, Result<(), String>),
    /// With the time that it took.
    Probed(Run, Result<AllReady, (Cause, String)>, Duration),
    /// What had nothing to bring back.
    Over,
}

/// How long the parts of a start took: until what it depends on was there, and the engine.
#[derive(Debug, Clone, Copy)]
struct Took {
    needs: Duration,
    engine: Duration,
}

impl<E: Engine> Driver<E> {
    /// A driver for one service, and the handle that its clients use.
    pub fn new(engine: Arc<E>, target: Target, policy: Policy, clock: Clock) -> Self {
        let mut driver = Self {
            engine,
            target: Arc::new(target),
            handle: ServiceHandle::new(policy.clone(), clock),
            policy,
            clock,
            tasks: JoinSet::new(),
            group: Group::default(),
            probing: None,
            asking: None,
            reclaiming: None,
            killing: None,
            unread_said: Arc::default(),
            unreclaimed_said: Arc::default(),
            looking: false,
            looked: None,
            retired: false,
            observed: watch::Sender::new(None),
            stale_verdict: None,
            progress: Progress::default(),
            forbidden_said: Arc::default(),
            detail: String::new(),
            started: None,
            on_exit: OnExit::Leave,
        };
        driver.repin();
        driver
    }

    /// What clients use.
    pub fn handle(&self) -> ServiceHandle {
        self.handle.clone()
    }

    /// Runs until `ended`; then refuses whoever waits or comes, and does what is asked with the
    /// target. Whoever wants connections to be drained does so before.
    pub async fn run(mut self, ended: CancellationToken, on_exit: OnExit) {
        self.on_exit = on_exit;
        let engine = Arc::clone(&self.engine);
        let handle = self.handle.clone();
        let shared = handle.shared();
        let target = Arc::clone(&self.target);
        shared.look.notify_one();
        tokio::select! {
            () = engine.watch(&target.name, &shared.look) => {}
            () = async {
                loop {
                    if ended.is_cancelled() && self.wind_down() {
                        break;
                    }
                    self.turn(&ended).await;
                }
            } => {}
        }
        self.tasks.shutdown().await;
        self.handle.shared().lock().over = true;
        self.handle.shared().changed();
    }

    /// One round: does what there is to do, then waits for the next thing that happens.
    async fn turn(&mut self, ended: &CancellationToken) {
        self.learn();
        let handle = self.handle.clone();
        let shared = handle.shared();
        let (todo, deadline, operating) = {
            let mut state = shared.lock();
            let deadline = state.core.deadline();
            state.armed = deadline.map(|(at, _)| at);
            let todo = std::mem::take(&mut state.todo);
            (todo, deadline, state.core.operating())
        };
        self.take_on();
        // Before a stop: the connection that has probed the target is not one that it waits for.
        self.end_stale_probe();
        for action in todo {
            self.act(action);
        }
        let due = async {
            match deadline {
                Some((at, _)) => sleep_until(self.clock.instant(at)).await,
                None => std::future::pending().await,
            }
        };
        // Every arm only waits for a notification, a timer or a finished task: cancel-safe.
        tokio::select! {
            () = shared.work.notified() => {}
            Some(done) = self.tasks.join_next() => match done {
                Ok(done) => self.done(done),
                // Without its answer the service would stand still: whoever runs us has to know.
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                Err(_) => {}
            },
            // An operation ends with a look of its own, so a hint waits for it.
            () = shared.look.notified(), if !self.looking && !operating => {
                self.look(Duration::ZERO);
            }
            () = shared.suspicion.notified(), if !self.looking && !operating => {
                let now = self.clock.now();
                let next = self.looked.map_or(now, |last| last + SUSPECTED_EVERY);
                self.look(next.since(now));
            }
            () = due => {
                let before = handle.status().phase;
                shared.feed(Event::Deadline);
                debug!(due = ?deadline.map(|(_, due)| due), "a deadline has come");
                self.note_stop(before);
            }
            lost = self.group.need_ends() => self.unproven(&lost),
            () = ended.cancelled(), if !ended.is_cancelled() => {}
        }
    }

    /// What it was told lately, which holds for what is done from now on.
    fn take_on(&mut self) {
        let setup = self.handle.shared().lock().setup.take();
        if let Some(Setup { target, policy, on_exit }) = setup {
            (self.target, self.policy, self.on_exit) = (target, policy, on_exit);
        }
        self.repin();
    }

    /// Refuses everybody; true once nothing is left to be done.
    fn wind_down(&mut self) -> bool {
        self.handle.shared().close();
        let mut state = self.handle.shared().lock();
        if state.core.operating() {
            // It cannot be called back; with the engine gone it would keep us for ever, so only
            // who wants the target stopped waits for it.
            return self.on_exit == OnExit::Leave;
        }
        // Who depends on it stops before it, and tells.
        if self.on_exit == OnExit::Stop && state.pinned > 0 && !self.retired {
            return false;
        }
        // A stop that failed is not tried again: the daemon has said so, and ends.
        if self.on_exit == OnExit::Leave || std::mem::replace(&mut self.retired, true) {
            return true;
        }
        let before = state.core.phase();
        self.handle.shared().feed_locked(&mut state, Event::Retire);
        if matches!(before, Phase::Unknown | Phase::Failed(Cause::EngineAway)) {
            warn!(
                container = %self.target.name,
                "the engine has not said how the container stands: it is not stopped"
            );
        }
        !state.core.operating()
    }

    fn act(&mut self, action: Action) {
        let engine = Arc::clone(&self.engine);
        let target = Arc::clone(&self.target);
        let clock = self.clock;
        match action {
            Action::Start { run, give_up } => {
                info!(container = %target.name, "waking");
                self.end_reclaiming();
                let now = clock.now();
                let asked = if let Phase::Starting { began } = self.handle.status().phase {
                    began
                } else {
                    now
                };
                self.started =
                    Some(Waking { asked, needs: Duration::ZERO, engine: Duration::ZERO });
                let killing = self.killing.clone();
                let known = self.observed.borrow().clone().filter(|known| match known.state {
                    State::Stopped | State::Paused => true,
                    State::Running | State::Restarting => false,
                });
                self.tasks.spawn(async move {
                    let give_up_at = clock.instant(give_up);
                    let start = async {
                        let needs = clock.now().since(now);
                        if let Some(killing) = killing {
                            drop(timeout_at(give_up_at, killing.cancelled()).await);
                        }
                        let began = clock.now();
                        let end = operation::start(&*engine, &target, clock, known, give_up).await;
                        let engine = clock.now().since(began);
                        (end, Took { needs, engine })
                    };
                    match group::start(&target.bonds, give_up_at, start).await {
                        Ok(((end, took), awaited)) => Done::Started(run, end, awaited, took),
                        Err(detail) => Done::Unmet(run, give_up, Arc::clone(&target.bonds), detail),
                    }
                });
            }
            Action::Stop { run, depth } => {
                self.started = None;
                self.end_reclaiming();
                let seen = self.observed.borrow().clone();
                self.tasks.spawn(async move {
                    let (had, ()) = tokio::join!(
                        memory::of(&*engine, &target, seen),
                        target.bonds.companions_asleep()
                    );
                    Done::Stopped(run, had, operation::stop(&*engine, &target, depth).await)
                });
            }
            Action::Kill => self.kill(),
            Action::Ask { question, until } => self.ask(question, until),
            Action::EndAsking => self.end_asking(),
            Action::WouldSleep => info!(
                container = %target.name,
                "dry run: it would go to sleep now, and is left awake"
            ),
            Action::Probe { run } => self.probe(run),
            Action::Report(cause) => {
                let back_off = self.back_off();
                self.started = None;
                let detail = match cause {
                    Cause::NotReady => self.progress.get(),
                    Cause::StartFailed
                    | Cause::Exited
                    | Cause::Missing
                    | Cause::Unreachable
                    | Cause::EngineAway
                    | Cause::Dependency => std::mem::take(&mut self.detail),
                };
                let failure = Failure { cause, detail, back_off };
                self.handle.shared().lock().history.failed(failure.told());
                self.tasks.spawn(async move {
                    report::failure(engine, target, failure).await;
                    Done::Over
                });
            }
            Action::Grant(_) | Action::Refuse(..) => {
                unreachable!("clients are answered where the core decides")
            }
        }
    }

    fn probe(&mut self, run: Run) {
        self.progress = Progress::default();
        let fresh_start = self.started.is_some();
        let probe = Probe {
            engine: Arc::clone(&self.engine),
            target: Arc::clone(&self.target),
            shared: Arc::clone(self.handle.shared()),
            observed: fresh_start.then(|| self.observed.borrow().clone()).flatten(),
            stale_verdict: self.stale_verdict.take(),
            found_healthy: false,
            seen: self.observed.subscribe(),
            progress: self.progress.clone(),
            forbidden_said: Arc::clone(&self.forbidden_said),
        };
        let met = self.group.take_met(&self.target.bonds);
        let companions = self.group.companions.take();
        let clock = self.clock;
        let task = self.tasks.spawn(async move {
            let began = clock.now();
            let answer = probe.until_all_ready(met, companions).await;
            Done::Probed(run, answer, clock.now().since(began))
        });
        if let Some((_, earlier)) = self.probing.replace((run, task)) {
            earlier.abort();
        }
    }

    /// A question about a run that is over is not worth its connects.
    fn end_stale_probe(&mut self) {
        let state = self.handle.shared().lock();
        let wanted = matches!(state.core.phase(), Phase::Probing { .. });
        let run = state.core.run();
        drop(state);
        if let Some((_, task)) = self.probing.take_if(|(of, _)| !wanted || *of != run) {
            task.abort();
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Started(run, end, awaited, Took { needs, engine }) => {
                self.group.awaited(awaited);
                if let Some(waking) = &mut self.started {
                    (waking.needs, waking.engine) = (needs, engine);
                }
                self.stale_verdict = end.stale_verdict;
                self.saw(end.observed);
                match end.looked {
                    Looked::Yes => {}
                    Looked::NotYet => self.handle.shared().look.notify_one(),
                }
                self.detail = end.error.map(|error| error.to_string()).unwrap_or_default();
                self.handle.shared().feed(Event::StartEnded(run, end.seen));
                if !matches!(self.handle.status().phase, Phase::Probing { .. }) {
                    // Nobody waited for it any more, or it failed: a later question looks anew.
                    self.started = None;
                }
            }
            Done::Unmet(run, give_up, bonds, detail) => {
                self.take_on();
                if !Arc::ptr_eq(&bonds, &self.target.bonds) {
                    // What is not there may be none of its business any more.
                    return self.act(Action::Start { run, give_up });
                }
                self.detail = detail;
                self.started = None;
                self.handle.shared().feed(Event::StartEnded(run, Err(Cause::Dependency)));
            }
            Done::Stopped(run, had, end) => {
                if let Ok(Seen::Resting(rest)) = end.seen {
                    self.group.put_to_rest();
                    self.note_memory(had, rest);
                }
                match (&end.seen, &end.error) {
                    (Ok(Seen::Resting(_)), _) => info!(container = %self.target.name, "asleep"),
                    (_, error) => warn!(
                        container = %self.target.name,
                        reason = error.as_ref().map(tracing::field::display),
                        "the stop failed: it is still awake"
                    ),
                }
                self.saw(end.observed);
                let paused = matches!(end.seen, Ok(Seen::Resting(Rest::Paused)));
                self.handle.shared().feed(Event::StopEnded(run, end.seen));
                let rests = matches!(self.handle.status().phase, Phase::Asleep { .. });
                if paused && rests && self.target.reclaim == Switch::Yes {
                    self.reclaim();
                }
            }
            Done::Looked(run, began, observed) => {
                self.looking = false;
                self.looked = Some(began);
                self.looked(run, began, observed);
                self.handle.shared().looked.notify_waiters();
            }
            Done::Freed(bytes) => self.handle.shared().lock().history.past.paused(bytes),
            Done::Answered(question, answer) => self.answered(question, answer),
            Done::Probed(run, answer, took) => self.probed(run, answer, took),
            Done::Over => {}
        }
    }

    fn probed(&mut self, run: Run, answer: Result<AllReady, (Cause, String)>, took: Duration) {
        let handle = self.handle.clone();
        let shared = handle.shared();
        let mut state = shared.lock();
        if state.core.run() != run {
            return;
        }
        match answer {
            Ok(AllReady::No(lost)) => {
                drop(state);
                self.unproven(&lost);
            }
            Ok(AllReady::Yes(met, ready)) => {
                if let Some(lost) = met.lost() {
                    drop(state);
                    return self.unproven(lost);
                }
                self.group.met = Some(met);
                let waited = state.core.waiting();
                let first = self.target.ports.first();
                let address = ready.upstreams.get(first).map(|upstream| upstream.address.clone());
                let ports = self.target.ports.all();
                state.spare = ready.spare.zip(ports.get(first)).map(|(spare, port)| (*port, spare));
                state.upstreams = ports.iter().copied().zip(ready.upstreams).collect();
                shared.connect_limit.reset(ready.took);
                self.wake_dependents(&mut state);
                shared.feed_locked(&mut state, Event::Ready(run));
                state.spare = None;
                let woken = self.started.take().map(|waking| {
                    let wake = waking.end(took, self.clock.now());
                    state.history.woken(wake, self.clock.now());
                    wake
                });
                drop(state);
                shared.changed();
                self.note_ready(woken, address, waited);
            }
            Err((cause, detail)) => {
                self.detail = detail;
                shared.feed_locked(&mut state, Event::NotReady(run, cause));
                drop(state);
                shared.changed();
            }
        }
    }

    fn back_off(&self) -> Duration {
        self.handle.shared().lock().core.back_off(self.clock.now()).unwrap_or_default()
    }
}
