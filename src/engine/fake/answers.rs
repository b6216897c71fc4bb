//! What it answers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::{FakeEngine, Outcome, away};
use crate::clock;
use crate::engine::{
    Engine, EngineError, Exit, Health, HealthCheck, Lasting, Locality, Networking, Observed, Sent,
    State, TargetName, Usage, Verdict,
};

impl Engine for FakeEngine {
    async fn inspect(&self, name: &TargetName) -> Result<Observed, EngineError> {
        self.inner().counts.inspects += 1;
        self.delay(|delays| delays.inspect.clone()).await?;
        let inner = self.inner();
        if inner.away {
            return Err(away(Sent::Maybe));
        }
        if !inner.exists {
            return Err(EngineError::Missing(name.to_string()));
        }
        Ok(Observed {
            id: inner.id.to_string(),
            name: name.to_string(),
            started_at: match inner.life {
                0 => "0001-01-01T00:00:00Z".to_owned(),
                life => life.to_string(),
            },
            pid: None,
            state: inner.state,
            exit: Exit { code: inner.exit, ..Exit::default() },
            check: Some(HealthCheck {
                argv: vec!["check".to_owned()],
                timeout: Duration::from_secs(1),
            }),
            health: Health::default(),
            networking: Networking::Host,
            networks: Vec::new(),
            published: BTreeMap::new(),
            publishes: BTreeMap::new(),
            stop_timeout: None,
            lasting: Lasting::Yes,
            restart_policy: String::new(),
        })
    }

    async fn start(&self, _name: &TargetName) -> Result<(), EngineError> {
        self.inner().counts.starts += 1;
        self.begin("start");
        self.write("start");
        self.check_needs("start");
        let waited = self.delay(|delays| delays.start.clone()).await;
        let outcome = match waited {
            Ok(()) => self.inner().starts.pop_front().unwrap_or(Outcome::Done),
            Err(error) => {
                self.inner().operations -= 1;
                return Err(error);
            }
        };
        self.end(outcome, |inner| {
            if inner.state == State::Running {
                return;
            }
            let boot = inner.delays.boot.clone();
            inner.life += 1;
            inner.state = State::Running;
            inner.ready_at = Some(clock::instant() + inner.draw(boot));
        })
    }

    async fn resume(&self, _name: &TargetName) -> Result<(), EngineError> {
        self.inner().counts.resumes += 1;
        self.begin("resume");
        self.end(Outcome::Done, |inner| inner.state = State::Running)
    }

    async fn stop(&self, _name: &TargetName, _grace: Duration) -> Result<(), EngineError> {
        self.inner().counts.stops += 1;
        self.begin("stop");
        self.write("stop");
        self.check_needed("stop");
        if self.in_use.load(Ordering::SeqCst) > 0 {
            self.inner().faults.push("stop while a client uses it".to_owned());
        }
        let waited = tokio::select! {
            waited = self.delay(|delays| delays.stop.clone()) => waited,
            () = self.killed.notified() => Ok(()),
        };
        let outcome = match waited {
            Ok(()) => self.inner().stops.pop_front().unwrap_or(Outcome::Done),
            Err(error) => {
                self.inner().operations -= 1;
                return Err(error);
            }
        };
        self.end(outcome, |inner| inner.end(0))
    }

    async fn pause(&self, _name: &TargetName) -> Result<(), EngineError> {
        self.inner().counts.pauses += 1;
        self.begin("pause");
        self.write("pause");
        self.check_needed("pause");
        if self.in_use.load(Ordering::SeqCst) > 0 {
            self.inner().faults.push("pause while a client uses it".to_owned());
        }
        let waited = self.delay(|delays| delays.stop.clone()).await;
        let outcome = match waited {
            Ok(()) => self.inner().stops.pop_front().unwrap_or(Outcome::Done),
            Err(error) => {
                self.inner().operations -= 1;
                return Err(error);
            }
        };
        self.end(outcome, |inner| inner.state = State::Paused)
    }

    /// It hastens the stop that is on its way.
    async fn kill(&self, _name: &TargetName) -> Result<(), EngineError> {
        self.inner().counts.kills += 1;
        self.delay(|delays| delays.kill.clone()).await?;
        let mut inner = self.inner();
        if inner.state == State::Running && inner.operations == 0 {
            inner.faults.push("a kill of a run that nobody stops".to_owned());
            inner.end(137);
        }
        drop(inner);
        self.killed.notify_waiters();
        Ok(())
    }

    async fn exec(
        &self,
        _name: &TargetName,
        _argv: &[String],
        _limit: Duration,
    ) -> Result<i64, EngineError> {
        self.inner().counts.execs += 1;
        self.delay(|delays| delays.inspect.clone()).await?;
        Ok(self.inner().execs.pop_front().unwrap_or(0))
    }

    async fn usage(&self, _name: &TargetName) -> Result<Usage, EngineError> {
        self.delay(|delays| delays.inspect.clone()).await?;
        Ok(self.inner().usage)
    }

    async fn check_health(
        &self,
        _name: &TargetName,
        _check: &HealthCheck,
    ) -> Result<Verdict, EngineError> {
        self.delay(|delays| delays.inspect.clone()).await?;
        let ready = self.inner().is_ready();
        Ok(if ready { Verdict::Healthy } else { Verdict::Unhealthy("booting".to_owned()) })
    }

    async fn last_output(
        &self,
        _name: &TargetName,
        _lines: u8,
    ) -> Result<Vec<String>, EngineError> {
        Ok(self.inner().output.clone())
    }

    async fn locality(&self) -> Locality {
        Locality::Local
    }

    async fn watch(&self, _name: &TargetName, look: &Notify) {
        loop {
            self.events.notified().await;
            let delay = {
                let mut inner = self.inner();
                let range = inner.delays.event.clone();
                inner.draw(range)
            };
            sleep(delay).await;
            look.notify_one();
        }
    }

    fn describe(&self) -> String {
        "a fake engine".to_owned()
    }
}
