//! Containers of the fixture, removed with their test.

use std::time::Duration;

use super::clock::{poll, secs, wait_for};
use super::engine::{Engine, IMAGE};
use super::scratch;

/// Makes the container run its check with the engine's own default timing.
pub(crate) const HEALTH: &[&str] = &["--health-cmd", "/fixture health"];

/// Longer than any engine takes on a busy machine, and shorter than what would be wrong.
const PATIENCE: Duration = secs(60);

#[derive(Debug)]
pub(crate) struct Container<'e> {
    pub(crate) name: String,
    engine: &'e Engine,
}

impl<'e> Container<'e> {
    /// Creates a container that runs `fixture serve` with the words of `app`.
    pub(crate) fn create(engine: &'e Engine, app: &str) -> Self {
        Self::create_with(engine, &[], app)
    }

    /// As [`Container::create`], with options of the engine's `create`.
    pub(crate) fn create_with(engine: &'e Engine, options: &[&str], app: &str) -> Self {
        let name = format!("odt-{}-{}", std::process::id(), scratch::number());
        let container = Container { name, engine };
        container.create_again(options, app);
        container
    }

    /// Makes a new container of the same name, the old one being gone.
    pub(crate) fn create_again(&self, options: &[&str], app: &str) {
        let mine = self.label();
        let mut words = vec!["create", "--name", &self.name, "--label", &mine];
        words.extend(options);
        words.extend([IMAGE, "serve"]);
        words.extend(app.split_whitespace());
        self.engine.cli(&words);
    }

    /// Marks what is ours under every name it may get.
    fn label(&self) -> String {
        format!("ondemand-test={}", self.name)
    }

    /// Runs `engine VERB NAME`.
    pub(crate) fn told(&self, verb: &str) {
        self.engine.cli(&[verb, &self.name]);
    }

    pub(crate) fn remove(&self) {
        self.engine.cli(&["rm", "-f", &self.name]);
    }

    pub(crate) fn inspect(&self, template: &str) -> String {
        self.engine.cli(&["container", "inspect", "-f", template, &self.name])
    }

    pub(crate) fn state(&self) -> String {
        self.inspect("{{.State.Status}}")
    }

    pub(crate) fn runs(&self) -> bool {
        self.state() == "running"
    }

    pub(crate) fn sleeps(&self) -> bool {
        matches!(self.state().as_str(), "exited" | "created" | "stopped")
    }

    #[track_caller]
    pub(crate) fn wait_asleep(&self) {
        wait_for("the container sleeps", PATIENCE, || self.sleeps());
    }

    /// What the fixture has printed, over all of its runs.
    pub(crate) fn output(&self) -> String {
        self.engine.cli(&["logs", &self.name])
    }

    #[track_caller]
    pub(crate) fn wait_output(&self, text: &str) {
        let found = poll(PATIENCE, || self.output().contains(text).then_some(()));
        assert!(found.is_some(), "the container never said {text:?}: {}", self.output());
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.engine.try_cli(&["logs", &self.name]);
            eprintln!("--- output of {} ---\n{}", self.name, output.unwrap_or_else(|error| error));
        }
        let filter = format!("label={}", self.label());
        let ids = self.engine.try_cli(&["ps", "-aq", "--filter", &filter]);
        for id in ids.unwrap_or_default().lines() {
            // Podman's removal would let a stubborn one have its whole stop timeout. Either may
            // fail, where it does not run or others remove it at this moment.
            _ = self.engine.try_cli(&["kill", id]);
            _ = self.engine.try_cli(&["rm", "-f", id]);
        }
    }
}
