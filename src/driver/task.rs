//! The loop: what the core asks is done, what comes back is told to the core.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::operation::{self, End, Looked};
use super::readiness::{Probe, Progress, Readied};
use super::report::{self, Failure};
use super::{ServiceHandle, Target, Wake};
use crate::activation::{
    Action, Cause, Due, Event, Moment, Pauses, Phase, Policy, Rest, Run, Seen, Window,
};
use crate::clock::Clock;
use crate::config::OnExit;
use crate::engine::{Engine, EngineError, Observed, State};

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
    /// The readiness question under way, and its run.
    probing: Option<(Run, AbortHandle)>,
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
    /// When the present start began, and how long the engine took for it.
    started: Option<(Moment, Duration)>,
}

/// What a task of the driver brings back.
#[derive(Debug)]
enum Done {
    Started(Run, End),
    Stopped(Run, End),
    /// When the look began that had an answer, and what was seen; `None` when nothing of that name
    /// exists.
    Looked(Run, Moment, Option<Arc<Observed>>),
    Probed(Run, Result<Readied, (Cause, String)>),
    Reported,
}

impl<E: Engine> Driver<E> {
    /// A driver for one service, and the handle that its clients use.
    pub fn new(engine: Arc<E>, target: Target, policy: Policy, clock: Clock) -> Self {
        Self {
            engine,
            target: Arc::new(target),
            handle: ServiceHandle::new(policy.clone(), clock),
            policy,
            clock,
            tasks: JoinSet::new(),
            probing: None,
            looking: false,
            looked: None,
            retired: false,
            observed: watch::Sender::new(None),
            stale_verdict: None,
            progress: Progress::default(),
            forbidden_said: Arc::default(),
            detail: String::new(),
            started: None,
        }
    }

    /// What clients use.
    pub fn handle(&self) -> ServiceHandle {
        self.handle.clone()
    }

    /// Runs until `ended`; then refuses whoever waits or comes, and does what is asked with the
    /// target. Whoever wants connections to be drained does so before.
    pub async fn run(mut self, ended: CancellationToken, on_end: OnExit) {
        let engine = Arc::clone(&self.engine);
        let handle = self.handle.clone();
        let shared = handle.shared();
        let target = Arc::clone(&self.target);
        shared.look.notify_one();
        tokio::select! {
            () = engine.watch(&target.name, &shared.look) => {}
            () = async {
                loop {
                    if ended.is_cancelled() && self.wind_down(on_end) {
                        break;
                    }
                    self.turn(&ended).await;
                }
            } => {}
        }
        self.tasks.shutdown().await;
    }

    /// One round: does what there is to do, then waits for the next thing that happens.
    async fn turn(&mut self, ended: &CancellationToken) {
        let handle = self.handle.clone();
        let shared = handle.shared();
        let (todo, deadline, operating) = {
            let mut state = shared.lock();
            let deadline = state.core.deadline();
            state.armed = deadline.map(|(at, _)| at);
            (std::mem::take(&mut state.todo), deadline, state.core.operating())
        };
        for action in todo {
            self.act(action);
        }
        self.end_stale_probe();
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
                if let Some((_, due)) = deadline {
                    debug!(?due, "a deadline has come");
                    self.note_stop(before, due);
                }
            }
            () = ended.cancelled(), if !ended.is_cancelled() => {}
        }
    }

    /// Refuses everybody; true once nothing is left to be done.
    fn wind_down(&mut self, on_end: OnExit) -> bool {
        self.handle.shared().close();
        let mut state = self.handle.shared().lock();
        if state.core.operating() {
            // It cannot be called back; with the engine gone it would keep us for ever, so only
            // who wants the target stopped waits for it.
            return on_end == OnExit::Leave;
        }
        // A stop that failed is not tried again: the daemon has said so, and ends.
        if on_end == OnExit::Leave || std::mem::replace(&mut self.retired, true) {
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
                self.started = Some((clock.now(), Duration::ZERO));
                let known = self.observed.borrow().clone().filter(|known| match known.state {
                    State::Stopped | State::Paused => true,
                    State::Running | State::Restarting => false,
                });
                self.tasks.spawn(async move {
                    let end = operation::start(&*engine, &target, clock, known, give_up).await;
                    Done::Started(run, end)
                });
            }
            Action::Stop { run } => {
                self.tasks.spawn(async move {
                    Done::Stopped(run, operation::stop(&*engine, &target).await)
                });
            }
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
                    | Cause::EngineAway => std::mem::take(&mut self.detail),
                };
                let failure = Failure { cause, detail, back_off };
                self.tasks.spawn(async move {
                    report::failure(engine, target, failure).await;
                    Done::Reported
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
        let task = self.tasks.spawn(async move { Done::Probed(run, probe.until_ready().await) });
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

    fn look(&mut self, delay: Duration) {
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

    fn done(&mut self, done: Done) {
        match done {
            Done::Started(run, end) => {
                if let Some((began, took)) = &mut self.started {
                    *took = self.clock.now().since(*began);
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
            Done::Stopped(run, end) => {
                match (&end.seen, &end.error) {
                    (Ok(Seen::Resting(_)), _) => info!(container = %self.target.name, "asleep"),
                    (_, error) => warn!(
                        container = %self.target.name,
                        reason = error.as_ref().map(tracing::field::display),
                        "the stop failed: it is still awake"
                    ),
                }
                self.saw(end.observed);
                self.handle.shared().feed(Event::StopEnded(run, end.seen));
            }
            Done::Looked(run, began, observed) => {
                self.looking = false;
                self.looked = Some(began);
                self.looked(run, began, observed);
                self.handle.shared().looked.notify_waiters();
            }
            Done::Probed(run, answer) => self.probed(run, answer),
            Done::Reported => {}
        }
    }

    fn looked(&mut self, run: Run, began: Moment, observed: Option<Arc<Observed>>) {
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
    fn saw(&self, observed: Option<Arc<Observed>>) {
        if observed.is_some() {
            self.observed.send_replace(observed);
        }
    }

    fn probed(&mut self, run: Run, answer: Result<Readied, (Cause, String)>) {
        let handle = self.handle.clone();
        let shared = handle.shared();
        let mut state = shared.lock();
        if state.core.run() != run {
            return;
        }
        match answer {
            Ok(ready) => {
                let waited = state.core.waiting();
                let first = self.target.ports.first();
                let address = ready.upstreams[first].address.clone();
                state.upstreams = ready.upstreams;
                state.spare = ready.spare.map(|spare| (first, spare));
                shared.connect_limit.reset(ready.took);
                shared.feed_locked(&mut state, Event::Ready(run));
                state.spare = None;
                let woken = self.started.take().map(|(began, engine)| {
                    let all = self.clock.now().since(began);
                    state.history.woken(Wake { engine, ready: all.saturating_sub(engine) });
                    (all, engine)
                });
                drop(state);
                shared.changed();
                if let Some((all, engine)) = woken {
                    info!(
                        container = %self.target.name, %address, clients = waited,
                        "awake after {:.3} s: engine {:.3}, ready {:.3}",
                        all.as_secs_f64(), engine.as_secs_f64(), (all.saturating_sub(engine)).as_secs_f64()
                    );
                } else {
                    info!(
                        container = %self.target.name, %address, clients = waited,
                        "found awake and ready"
                    );
                }
            }
            Err((cause, detail)) => {
                self.detail = detail;
                shared.feed_locked(&mut state, Event::NotReady(run, cause));
                drop(state);
                shared.changed();
            }
        }
    }

    /// Says what somebody else has done to the target.
    fn note_change(&self, before: Phase, seen: Seen) {
        let after = self.handle.status().phase;
        let name = &self.target.name;
        match (before, after, seen) {
            (Phase::Unknown, Phase::Asleep(Rest::Missing), _) => warn!(
                container = %name, engine = %self.engine.describe(),
                "there is no container {name}: create it, or mend --container; it is served as \
                 soon as it exists"
            ),
            (Phase::Unknown, Phase::Asleep(_), _) => info!(container = %name, "asleep"),
            (Phase::Unknown, Phase::Found { .. }, _) => info!(
                container = %name, idle = %self.window(), "found awake; its idle window begins"
            ),
            (Phase::Asleep(_) | Phase::Failed(_), Phase::Found { .. }, _) => info!(
                container = %name, idle = %self.window(),
                "started by somebody else; its idle window begins"
            ),
            (Phase::Awake { .. } | Phase::Found { .. }, Phase::Asleep(rest), _) => {
                info!(container = %name, now = ?rest, "put to rest by somebody else");
            }
            (Phase::Awake { .. }, Phase::Found { .. }, Seen::Renewed) => {
                info!(container = %name, "restarted by somebody else");
            }
            _ => {}
        }
    }

    /// Says that the idle window has ended.
    fn note_stop(&mut self, before: Phase, due: Due) {
        let now = self.handle.status().phase;
        if due == Due::Idle && before != Phase::Stopping && now == Phase::Stopping {
            self.started = None;
            info!(container = %self.target.name, idle = %self.window(), "going to sleep");
        }
    }

    fn window(&self) -> String {
        match self.policy.idle {
            Window::After(window) => humantime::format_duration(window).to_string(),
            Window::Never => "infinity".to_owned(),
        }
    }

    fn back_off(&self) -> Duration {
        self.handle.shared().lock().core.back_off(self.clock.now()).unwrap_or_default()
    }
}
