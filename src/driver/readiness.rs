//! Finding out whether the target of this run is ready.
//!
//! The port is tried every millisecond at first, and only from the moment the start has returned:
//! a SYN sent before leaves an incomplete neighbour entry behind, and the port is then seen a
//! second late. The connection that succeeds is kept for the first client. A declared health check
//! is run by us as soon as the port accepts, beside the engine's own verdicts: Docker gives its
//! first one a whole interval (30 s by default) after the start.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};

use super::bonds::Met;
use super::lease::Shared;
use super::spare::Spare;
use super::{Target, Upstream, Via, address, listening};
use crate::activation::{Cause, Pauses};
use crate::clock;
use crate::config::Ready;
use crate::engine::{Engine, HealthCheck, Networking, Observed, State, Verdict, head_of};
use crate::port::{Port, Protocol};
use crate::proxy::header;

/// Beside the events the target is looked at this often while it is waited for: an event lost on
/// the way must not cost a client its whole wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A forwarder of the kind that finds nobody behind it at once (docker-proxy, packet filters)
/// closes an accepted connection within a round trip; an application does not.
const FORWARDER_CLOSES_WITHIN: Duration = Duration::from_millis(25);

/// One that has to ask a network stack of its own (slirp4netns) takes longer: 160 ms were seen.
const SLOW_FORWARDER_CLOSES_WITHIN: Duration = Duration::from_millis(400);

/// The longest that is waited for that.
const FORWARDER_CLOSES_AT_LAST: Duration = Duration::from_secs(1);

/// In so many steps: a machine that has stood still for a while has missed one of them and not all.
const STEPS: u32 = 4;

/// So many tries come one after the other, before the first pause; each takes some 25 µs.
const EAGER_TRIES: u32 = 20;

/// How much later than its first TCP port an application may bind its other ports.
const OTHERS_LATER: Duration = Duration::from_secs(1);

/// How long one answer to `--ready http:` may take.
const HTTP_LIMIT: Duration = Duration::from_secs(5);

/// The first time limit of a connect; doubled each time it is reached, as the target may be far.
const CONNECT_LIMIT: Duration = Duration::from_millis(100);

/// The last.
const CONNECT_LIMIT_MAX: Duration = Duration::from_secs(2);

/// A ready target.
#[derive(Debug)]
pub(super) struct Readied {
    /// Where each port is.
    pub(super) upstreams: Vec<Upstream>,
    /// The connection to the first TCP port that proved it.
    pub(super) spare: Option<Spare>,
    /// How long it took to connect; zero if nobody has.
    pub(super) took: Duration,
}

/// A ready target with what it depends on.
#[derive(Debug)]
pub(super) enum AllReady {
    Yes(Met, Readied),
    /// This has ended in between: the question is to be asked anew.
    No(String),
}

/// What stands in the way of readiness at the moment; shown when the time is up.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<String>>);

impl Progress {
    pub(super) fn set(&self, text: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    pub(super) fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One run's question.
#[derive(Debug)]
pub(super) struct Probe<E> {
    pub(super) engine: Arc<E>,
    pub(super) target: Arc<Target>,
    pub(super) shared: Arc<Shared>,
    /// What the start saw at its end; without it the target is looked at first.
    pub(super) observed: Option<Arc<Observed>>,
    /// A verdict that ended then is of an earlier run.
    pub(super) stale_verdict: Option<String>,
    /// The target was found running, and healthy by the engine's last word: believed if we may not
    /// ask for ourselves.
    pub(super) found_healthy: bool,
    /// What the driver's looks see.
    pub(super) seen: watch::Receiver<Option<Arc<Observed>>>,
    pub(super) progress: Progress,
    /// Whether it was said already that this engine lets us run no health check.
    pub(super) forbidden_said: Arc<AtomicBool>,
}

impl<E: Engine> Probe<E> {
    /// Waits until the target is ready, and with it what it depends on and its companions. What is
    /// known of those already is not asked for again.
    pub(super) async fn until_all_ready(
        self,
        met: Option<Met>,
        companions: Option<Result<(), String>>,
    ) -> Result<AllReady, (Cause, String)> {
        let bonds = Arc::clone(&self.target.bonds);
        let unmet = |detail| (Cause::Dependency, detail);
        let mut met = match met {
            Some(met) => met,
            None if bonds.before.is_empty() => Met::default(),
            None => {
                self.progress.set("what it depends on is not there");
                bonds.needs(None).await.map_err(unmet)?
            }
        };
        let companions = async {
            match companions {
                Some(done) => done,
                None => bonds.companions().await,
            }
            .map_err(unmet)
        };
        let both = async { tokio::try_join!(self.until_ready(), companions) };
        let (readied, ()) = tokio::select! {
            both = both => both?,
            lost = met.broken() => return Ok(AllReady::No(lost)),
        };
        Ok(AllReady::Yes(met, readied))
    }

    /// Waits until the target is ready; an error is a target that never will be.
    async fn until_ready(mut self) -> Result<Readied, (Cause, String)> {
        let shared = Arc::clone(&self.shared);
        let looks = async {
            loop {
                sleep(LOOK_EVERY).await;
                shared.look.notify_one();
            }
        };
        tokio::select! {
            ready = self.wait() => ready,
            () = looks => unreachable!("it loops for ever"),
        }
    }

    async fn wait(&mut self) -> Result<Readied, (Cause, String)> {
        let observed = if let Some(observed) = self.observed.take() {
            observed
        } else {
            // Found running: a verdict of this life is there already, though an old one.
            let observed = self.look().await;
            self.found_healthy = observed.health.healthy;
            self.stale_verdict.clone_from(&observed.health.last);
            observed
        };
        let check = match (&self.target.ready, &observed.check) {
            (Ready::Health, None) => {
                return Err((
                    Cause::Unreachable,
                    "--ready health, but the container declares no health check: declare one, or \
                     use --ready tcp"
                        .to_owned(),
                ));
            }
            (Ready::Auto | Ready::Health, check) => check.clone(),
            (Ready::Tcp | Ready::Http(_) | Ready::None, _) => None,
        };
        let began = clock::instant();
        if self.target.ports.all().is_empty() {
            if let Some(check) = check {
                self.healthy(&check).await;
            }
            self.lives_on(began, &observed).await;
            return Ok(Readied { upstreams: Vec::new(), spare: None, took: Duration::ZERO });
        }
        let candidates = self.candidates(Arc::clone(&observed)).await?;
        let first = self.target.ports.first();
        let port = self.target.ports.all()[first];
        let mut answer = match &self.target.ready {
            Ready::Auto | Ready::Tcp => self.port(&observed, port, &candidates[first]).await,
            Ready::Http(path) => self.http(&candidates[first], path).await,
            // One of several has to be chosen; one alone needs no asking.
            Ready::Health | Ready::None if candidates[first].len() > 1 => {
                self.port(&observed, port, &candidates[first]).await
            }
            Ready::Health | Ready::None => Answer::unasked(&candidates[first][0]),
        };
        if let Some(check) = check {
            self.healthy(&check).await;
            // The application may have closed a connection that said nothing for so long.
            if answer.spare.as_ref().is_some_and(Spare::is_dead) {
                answer = self.port(&observed, port, &candidates[first]).await;
            }
        }
        let Answer { upstream, spare, took } = answer;
        let upstreams = address::beside(&upstream, first, candidates);
        if self.target.ready == Ready::Auto {
            self.others(&observed, first, &upstreams).await;
        }
        self.lives_on(began, &observed).await;
        Ok(Readied { upstreams, spare, took })
    }

    /// After long it may have died, and another container own its address. The driver's own look ends
    /// this question then; what is only paused may go on.
    async fn lives_on(&self, began: Instant, observed: &Observed) {
        while began.elapsed() > LOOK_EVERY {
            let now = self.look().await;
            if now.state == State::Running && now.same_life(observed) {
                break;
            }
            self.shared.look.notify_one();
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the engine says of the target, as soon as it says something.
    async fn look(&self) -> Arc<Observed> {
        let mut pauses = Pauses::engine();
        loop {
            match self.engine.inspect(&self.target.name).await {
                Ok(observed) => return Arc::new(observed),
                Err(error) => self.progress.set(error.to_string()),
            }
            sleep(pauses.pause()).await;
        }
    }

    /// Where to try each port. While the engine restarts the target it has no address for a moment.
    async fn candidates(
        &self,
        mut observed: Arc<Observed>,
    ) -> Result<Vec<Vec<Upstream>>, (Cause, String)> {
        let mut tries = 0;
        loop {
            match address::find(&*self.engine, &self.target, &observed).await {
                Ok(found) if found.iter().all(|port| !port.is_empty()) => return Ok(found),
                Ok(_) => self.progress.set("it has no address"),
                Err(why) if tries >= 20 => return Err((Cause::Unreachable, why)),
                Err(why) => self.progress.set(why),
            }
            tries += 1;
            sleep(Duration::from_millis(50)).await;
            observed = self.look().await;
        }
    }

    /// Waits until one of the port's addresses accepts; a UDP port accepts nothing, so it is waited
    /// for until something is bound to it, if that can be told.
    async fn port(&self, observed: &Observed, port: Port, candidates: &[Upstream]) -> Answer {
        if port.protocol == Protocol::Udp {
            self.datagrams(observed, port).await;
            return Answer::unasked(&candidates[0]);
        }
        let mut pauses = Pauses::port();
        let mut limit = CONNECT_LIMIT;
        let mut eager = EAGER_TRIES;
        let mut longest = match observed.networking {
            Networking::Own(ref addresses) if !addresses.is_empty() => FORWARDER_CLOSES_WITHIN,
            Networking::Own(_)
            | Networking::Host
            | Networking::Forwarded
            | Networking::Container(_)
            | Networking::None => SLOW_FORWARDER_CLOSES_WITHIN,
        };
        loop {
            for upstream in candidates {
                let truth = Self::listens(observed, port, upstream);
                if truth == Some(false) {
                    self.progress.set(format!("nothing listens behind {} yet", upstream.address));
                    continue;
                }
                let patience = if truth == Some(true) { Duration::ZERO } else { longest };
                match self.try_port(upstream, limit, patience).await {
                    Tried::Forwarder(closed_after) => {
                        let why = "accepts and closes: nothing listens behind it yet";
                        self.progress.set(format!("{} {why}", upstream.address));
                        // A busy machine lets the forwarder run late: it has shown how late.
                        longest = longest.max(10 * closed_after).min(FORWARDER_CLOSES_AT_LAST);
                    }
                    Tried::Ready(spare, took) => {
                        let upstream = upstream.clone();
                        return Answer { upstream, spare: Some(spare), took };
                    }
                    Tried::NotYet(why) => self.progress.set(why),
                    Tried::TimedOut => {
                        self.progress.set(format!("{} does not answer", upstream.address));
                        limit = (limit * 2).min(CONNECT_LIMIT_MAX);
                    }
                }
            }
            // An application that boots at once opens its port a moment after the start returns,
            // and no timer is as short as that moment.
            if eager > 0 {
                eager -= 1;
                yield_now().await;
            } else {
                sleep(pauses.pause()).await;
            }
        }
    }

    /// What the kernel says of a port that somebody else accepts for; `None` if it does not say.
    fn listens(observed: &Observed, port: Port, upstream: &Upstream) -> Option<bool> {
        match upstream.via {
            Via::Direct => None,
            Via::Published => listening::listens(observed.pid?, &observed.id, port),
        }
    }

    /// Waits until something is bound to a UDP port, as far as the kernel tells.
    async fn datagrams(&self, observed: &Observed, port: Port) {
        let mut pauses = Pauses::port();
        while let Some(pid) = observed.pid
            && listening::listens(pid, &observed.id, port) == Some(false)
        {
            self.progress.set(format!("nothing is bound to its port {port} yet"));
            sleep(pauses.pause()).await;
        }
    }

    /// The same for the other ports: they are bound by then or within a moment, and nobody waits long
    /// for one that never is. A TCP port without a forwarder needs no waiting, as it refuses until
    /// then and its clients try again.
    async fn others(&self, observed: &Observed, first: usize, upstreams: &[Upstream]) {
        let in_time = clock::instant() + OTHERS_LATER;
        for (place, (port, upstream)) in self.target.ports.all().iter().zip(upstreams).enumerate() {
            let refuses = port.protocol == Protocol::Tcp && upstream.via == Via::Direct;
            if place == first || refuses {
                continue;
            }
            let bound = self.port(observed, *port, std::slice::from_ref(upstream));
            if timeout_at(in_time, bound).await.is_err() {
                warn!(
                    container = %self.target.name, %port,
                    "it answers, but nothing is bound to this port of it yet; what is sent there \
                     may be lost"
                );
            }
        }
    }

    async fn try_port(&self, upstream: &Upstream, limit: Duration, patience: Duration) -> Tried {
        let began = clock::instant();
        match timeout(limit, upstream.address.connect(self.target.keepalive)).await {
            Err(_) => Tried::TimedOut,
            Ok(Err(error)) => Tried::NotYet(format!("{}: {error}", upstream.address)),
            Ok(Ok(stream)) => {
                let took = began.elapsed();
                let spare = Spare::new(stream, self.target.announce);
                if upstream.via == Via::Published && !patience.is_zero() {
                    let connected = clock::instant();
                    let step = (patience + 2 * (connected - began)) / STEPS;
                    for _ in 0..STEPS {
                        if timeout(step, spare.left()).await.is_ok() {
                            return Tried::Forwarder(connected.elapsed());
                        }
                    }
                }
                Tried::Ready(spare, took)
            }
        }
    }

    /// Waits until a GET of `path` answers 2xx or 3xx.
    async fn http(&self, candidates: &[Upstream], path: &str) -> Answer {
        let mut pauses = Pauses::http();
        loop {
            for upstream in candidates {
                let host = upstream.address.host();
                let connect = async {
                    let stream = upstream.address.connect(self.target.keepalive).await?;
                    if let Some(version) = self.target.announce {
                        stream.announce(header::local(version))?;
                    }
                    Ok::<_, io::Error>(stream)
                };
                let why = match timeout(HTTP_LIMIT, connect).await {
                    Err(_) => format!("{host} does not answer"),
                    Ok(Err(error)) => format!("{host}: {error}"),
                    Ok(Ok(stream)) => match head_of(stream, &host, path, HTTP_LIMIT).await {
                        Ok((200..=399, _)) => {
                            return Answer::unasked(upstream);
                        }
                        Ok((status, _)) => format!("GET {path} answers {status}"),
                        Err(error) => format!("GET {path}: {error}"),
                    },
                };
                self.progress.set(why);
            }
            sleep(pauses.pause()).await;
        }
    }

    /// Waits until the check passes or the engine says healthy, whichever is first.
    async fn healthy(&mut self, check: &HealthCheck) {
        let stale = self.stale_verdict.take();
        let engine_says = {
            let mut seen = self.seen.clone();
            async move {
                let fresh = |seen: &Option<Arc<Observed>>| {
                    seen.as_ref()
                        .is_some_and(|seen| seen.health.healthy && seen.health.last != stale)
                };
                // The sender lives in the driver, which outlives its probes.
                drop(seen.wait_for(fresh).await);
            }
        };
        tokio::select! {
            () = engine_says => debug!("healthy, says the engine"),
            () = self.until_check_passes(check) => debug!("healthy, says its check"),
        }
    }

    async fn until_check_passes(&self, check: &HealthCheck) {
        let mut pauses = Pauses::health();
        loop {
            match self.engine.check_health(&self.target.name, check).await {
                Ok(Verdict::Healthy) => return,
                Ok(Verdict::Unhealthy(output)) => {
                    self.progress.set(format!("its health check fails: {output}"));
                }
                Ok(Verdict::Forbidden(_)) if self.found_healthy => return,
                Ok(Verdict::Forbidden(why)) => {
                    self.progress.set("the engine has not called it healthy");
                    if !self.forbidden_said.swap(true, Ordering::Relaxed) {
                        warn!(
                            container = %self.target.name, reason = ?why,
                            "the engine does not let us run the health check; waiting for its own \
                             verdicts, which come once per health interval"
                        );
                    }
                    std::future::pending::<()>().await;
                }
                Err(error) => {
                    self.progress.set(format!("its health check cannot be run: {error}"));
                    self.shared.look.notify_one();
                }
            }
            sleep(pauses.pause()).await;
        }
    }
}

/// The first port's answer.
struct Answer {
    upstream: Upstream,
    spare: Option<Spare>,
    took: Duration,
}

impl Answer {
    /// Of a port that was not connected to.
    fn unasked(upstream: &Upstream) -> Self {
        Self { upstream: upstream.clone(), spare: None, took: Duration::ZERO }
    }
}

enum Tried {
    /// It took so long to connect.
    Ready(Spare, Duration),
    NotYet(String),
    /// It accepted, and closed after so long.
    Forwarder(Duration),
    TimedOut,
}
