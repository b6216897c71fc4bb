//! Starts and stops: jobs of systemd, followed to their end.
//!
//! systemd answers `StartUnit` with a job, and says with `JobRemoved` how that has ended. The signal
//! is subscribed to before the job is asked for. A start that has made the unit activate is not
//! waited for any longer: how that goes on the unit itself tells, and the time it has is the
//! service's, not ours.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};
use zbus::zvariant::{ObjectPath, OwnedObjectPath};
use zbus::{MatchRule, MessageStream};

use super::Systemd;
use super::bus::{Bus, MANAGER, MANAGER_PATH, Manager, SERVICE, SYSTEMD, UNIT};
use super::error::{Doing, FAILED};
use super::unit::path_of;
use crate::clock;
use crate::engine::{EngineError, Sent, TargetName};

/// A start that is not done by then is looked at: it waits in the queue, or the unit activates.
const SOON: Duration = Duration::from_secs(1);

/// How long a start may wait for other units before it counts as not answered.
const QUEUED: Duration = Duration::from_secs(90);

/// The time to stop of a unit that has none of its own (`DefaultTimeoutStopSec=`,
/// systemd-system.conf(5)).
const DEFAULT_STOP: Duration = Duration::from_secs(90);

/// How much longer a stop may take before it counts as not answered: the kill and `ExecStopPost=`.
const STOP_MARGIN: Duration = Duration::from_secs(20);

/// The signal's number, job, unit and result.
pub(super) type JobRemoved = (u32, OwnedObjectPath, String, String);

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Start,
    Stop,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Start => "StartUnit",
            Self::Stop => "StopUnit",
        }
    }
}

/// Starts the unit: answers when its job has ended, or the unit activates.
pub(super) async fn start(systemd: &Systemd, name: &TargetName) -> Result<(), EngineError> {
    let bus = systemd.bus();
    let mut removals = Removals::subscribe(bus).await?;
    let job = removals.ask(bus, Verb::Start, name).await?;
    let began = clock::instant();
    loop {
        let next_look = clock::instant() + SOON;
        if let Some(result) = removals.wait_for(&job, next_look).await? {
            return verdict(Verb::Start, &result, name, bus.manager());
        }
        let path = path_of(name.as_str());
        let path = ObjectPath::from_string_unchecked(path);
        let look = bus.property::<String>(path, UNIT, "ActiveState", Doing::Asking);
        match removals.beside(look).await?.as_str() {
            // The job may be done since, and its signal be on its way.
            "activating" | "active" | "reloading" | "refreshing" => return Ok(()),
            _ if began.elapsed() < QUEUED => {}
            _ => {
                return Err(EngineError::Unavailable {
                    reason: format!(
                        "systemd has not begun to start {name} for {} s, as it waits for other units: \
                         see `{} list-jobs`",
                        QUEUED.as_secs(),
                        bus.manager().systemctl()
                    ),
                    sent: Sent::Maybe,
                });
            }
        }
    }
}

/// Stops the unit: answers when its job has ended. The grace is the unit's own.
pub(super) async fn stop(systemd: &Systemd, name: &TargetName) -> Result<(), EngineError> {
    let bus = systemd.bus();
    let limit = stop_timeout(bus, name).await.saturating_add(STOP_MARGIN);
    let mut removals = Removals::subscribe(bus).await?;
    let job = removals.ask(bus, Verb::Stop, name).await?;
    // Beyond what a clock can hold nothing is limited.
    let end = clock::instant().checked_add(limit);
    let result = match end {
        Some(end) => removals.wait_for(&job, end).await?,
        None => Some(removals.wait(&job).await?),
    };
    match result {
        Some(result) => verdict(Verb::Stop, &result, name, bus.manager()),
        None => Err(EngineError::timed_out("StopUnit", limit)),
    }
}

/// How long the unit may take to stop; a target has no time of its own, nor needs it.
async fn stop_timeout(bus: &Bus, name: &TargetName) -> Duration {
    let path = ObjectPath::from_string_unchecked(path_of(name.as_str()));
    match bus.property::<u64>(path, SERVICE, "TimeoutStopUSec", Doing::Asking).await {
        Ok(u64::MAX) => Duration::MAX,
        Ok(microseconds) => Duration::from_micros(microseconds),
        Err(_) => DEFAULT_STOP,
    }
}

/// What a job's end means (`JobRemoved` in org.freedesktop.systemd1(5), `job_result` in systemd's
/// job.c).
fn verdict(
    verb: Verb,
    result: &str,
    name: &TargetName,
    manager: Manager,
) -> Result<(), EngineError> {
    let (word, ctl) = (verb.word(), manager.systemctl());
    let refused = |message| Err(EngineError::Refused { status: FAILED, message });
    match result {
        "done" => Ok(()),
        "canceled" => Err(EngineError::Conflict(format!(
            "the {word} of {name} was cancelled by another job: somebody stops or starts it, or a \
             unit that conflicts with it"
        ))),
        "timeout" => refused(format!("the {word} job of {name} has timed out (JobTimeoutSec=)")),
        "dependency" => refused(format!(
            "a unit that {name} requires could not be started: see `{ctl} list-dependencies {name}`"
        )),
        "skipped" => refused(format!("systemd has skipped the {word} of {name}")),
        "assert" => refused(format!("an assertion of {name} (Assert...=) is not met")),
        "once" => refused(format!("{name} may be started once only, and was")),
        "frozen" => refused(format!("{name} is frozen: `{ctl} thaw {name}`")),
        "failed" => refused(format!("the {word} of {name} has failed: see `{ctl} status {name}`")),
        other => refused(format!(
            "the {word} of {name} has ended with {:?}: see `{ctl} status {name}`",
            crate::engine::plain(other)
        )),
    }
}

/// The ends of jobs, of all units: the unit's own name may be another than ours for it.
///
/// Polled whenever something is waited for: a queue that nobody empties would hold up the answers
/// behind it.
struct Removals {
    stream: MessageStream,
    /// Those seen since it was subscribed to: ours may end before its answer has told its path.
    seen: Vec<(OwnedObjectPath, String)>,
    lost: bool,
}

impl Removals {
    async fn subscribe(bus: &Bus) -> Result<Self, EngineError> {
        let connection = bus.connection().await?;
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(SYSTEMD)
            .and_then(|rule| rule.path(MANAGER_PATH))
            .and_then(|rule| rule.interface(MANAGER))
            .and_then(|rule| rule.member("JobRemoved"))
            .map_err(|error| EngineError::Garbled(error.to_string()))?
            .build();
        let stream = MessageStream::for_match_rule(rule, &connection, None);
        let stream = match bus.within("AddMatch", stream).await {
            Ok(stream) => stream,
            Err(error) => {
                bus.forget().await;
                return Err(error);
            }
        };
        Ok(Self { stream, seen: Vec::new(), lost: false })
    }

    /// Asks for a job, whose end is not missed: it was subscribed to before.
    async fn ask(
        &mut self,
        bus: &Bus,
        verb: Verb,
        name: &TargetName,
    ) -> Result<OwnedObjectPath, EngineError> {
        // In place of a contrary job, as `systemctl` does.
        let body = (name.as_str(), "replace");
        let doing = Doing::Managing(verb.word(), name.as_str());
        let asked = bus.manager_call::<_, OwnedObjectPath>(verb.method(), &body, doing);
        self.beside(asked).await
    }

    /// Awaits something, and takes what comes meanwhile.
    async fn beside<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return done,
                () = self.next(), if !self.lost => {}
            }
        }
    }

    /// The result of that job; `None` if it has none by `limit`.
    async fn wait_for(
        &mut self,
        job: &OwnedObjectPath,
        limit: Instant,
    ) -> Result<Option<String>, EngineError> {
        match timeout_at(limit, self.wait(job)).await {
            Ok(result) => result.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn wait(&mut self, job: &OwnedObjectPath) -> Result<String, EngineError> {
        loop {
            if let Some(at) = self.seen.iter().position(|(path, _)| path == job) {
                return Ok(self.seen.swap_remove(at).1);
            }
            self.seen.clear();
            if self.lost {
                return Err(EngineError::Unavailable {
                    reason: "the connection to the bus was lost before systemd had done it"
                        .to_owned(),
                    sent: Sent::Maybe,
                });
            }
            self.next().await;
        }
    }

    /// Takes the next one. Cancel-safe: what has been taken is kept at once.
    async fn next(&mut self) {
        match self.stream.next().await {
            Some(Ok(message)) => {
                // One that makes no sense is none of ours: whoever waits has a limit.
                if let Ok((_, job, _, result)) = message.body().deserialize::<JobRemoved>() {
                    self.seen.push((job, result));
                }
            }
            Some(Err(_)) | None => self.lost = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_job_is_told_in_words() {
        let name = TargetName::unit("web").unwrap();
        let of = |verb, result: &str| verdict(verb, result, &name, Manager::System);
        assert_eq!(of(Verb::Start, "done"), Ok(()));
        assert!(matches!(of(Verb::Start, "canceled"), Err(EngineError::Conflict(_))));
        for (result, words) in [
            ("failed", "systemctl status web.service"),
            ("dependency", "requires"),
            ("timeout", "timed out"),
            ("skipped", "skipped the start"),
            ("assert", "assertion"),
            ("novel\n", "\"novel\""),
        ] {
            let Err(EngineError::Refused { message, .. }) = of(Verb::Start, result) else {
                panic!("{result}")
            };
            assert!(message.contains(words), "{message}");
        }
    }
}
