//! What happens to the container: by the API, or by somebody else behind the daemon's back.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use super::super::app::Behaviour;
use super::super::container::{Boot, Container, Health, Status};
use super::super::{lock, ms, now};
use super::Engine;

impl Engine {
    /// Starts the container.
    pub(crate) fn start_container(&self) {
        self.alter(|container| {
            container.status = Status::Running;
            container.run += 1;
            if container.health != Health::Undeclared {
                container.health = Health::Starting;
            }
        });
        self.emit("start", &[]);
        self.boot();
    }

    /// Ends the container's main process with this code, after what a stop sends or without.
    pub(crate) fn end_container(&self, code: i64, events: &[&str]) {
        self.0.app.die();
        self.alter(|container| {
            container.status = Status::Exited;
            container.exit_code = code;
            // As Docker does, which then shows the verdict until the next start.
            if container.health != Health::Undeclared {
                container.health = Health::Unhealthy;
            }
        });
        for event in events {
            self.emit(event, &[("exitCode", &code.to_string())]);
        }
    }

    /// Lets that run go on for so long; false if it has ended before.
    pub(super) fn outlasts(&self, run: &Container, time: Duration) -> bool {
        let since = now();
        loop {
            let same = |seen: &Container| seen.id == run.id && seen.run == run.run && seen.runs();
            if !lock(&self.0.world).container.as_ref().is_some_and(same) {
                return false;
            }
            let left = time.saturating_sub(since.elapsed());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(ms(2)));
        }
    }

    /// Pauses the container.
    pub(crate) fn pause_container(&self) {
        self.0.app.freeze();
        self.alter(|container| container.status = Status::Paused);
        self.emit("pause", &[]);
    }

    /// Resumes the container.
    pub(crate) fn unpause_container(&self) {
        self.0.app.thaw();
        self.alter(|container| container.status = Status::Running);
        self.emit("unpause", &[]);
    }

    /// Removes the container, running or not.
    pub(crate) fn remove_container(&self) {
        if self.status().is_some_and(|status| status == Status::Running) {
            self.end_container(137, &["kill", "die"]);
        }
        self.emit("destroy", &[]);
        lock(&self.0.world).container = None;
    }

    /// Makes a new `app`, with a new ID.
    pub(crate) fn create_container(&self) {
        let mut world = lock(&self.0.world);
        world.serial += 1;
        let mut container = Container::new(world.serial);
        container.status = Status::Created;
        world.container = Some(container);
        drop(world);
        self.emit("create", &[]);
    }

    /// Renames the container.
    pub(crate) fn rename_container(&self, name: &str) {
        self.alter(|container| name.clone_into(&mut container.name));
        self.emit("rename", &[]);
    }

    /// The engine's own monitor has run the health check once more.
    pub(crate) fn verdict(&self, health: Health) {
        self.alter(|container| {
            container.health = health;
            container.checks += 1;
        });
        let word = if health == Health::Healthy { "healthy" } else { "unhealthy" };
        self.emit(&format!("health_status: {word}"), &[]);
    }

    pub(super) fn emit(&self, action: &str, attributes: &[(&str, &str)]) {
        let mut world = lock(&self.0.world);
        let Some(container) = &world.container else { return };
        if !world.sends_events {
            return;
        }
        let mut all = HashMap::from([("image", "scripted:1"), ("name", container.name.as_str())]);
        all.extend(attributes.iter().copied());
        let event = serde_json::json!({
            "status": action,
            "id": container.id,
            "from": "scripted:1",
            "Type": "container",
            "Action": action,
            "Actor": { "ID": container.id, "Attributes": all },
            "scope": "local",
            "time": 1_704_067_200,
            "timeNano": 1_704_067_200_000_000_001_u64,
        });
        let line = format!("{event}\n");
        world.told.push((now(), line.clone()));
        world.subscribers.retain(|subscriber| subscriber.send(line.clone()).is_ok());
    }

    /// Runs the application of the run that has just begun.
    fn boot(&self) {
        let Some(container) = lock(&self.0.world).container.clone() else { return };
        let engine = self.clone();
        thread::spawn(move || {
            let app = &engine.0.app;
            let same_run = || {
                lock(&engine.0.world).container.as_ref().is_some_and(|now| {
                    now.id == container.id && now.run == container.run && now.runs()
                })
            };
            match container.boot {
                Boot::Listens(delay) => {
                    thread::sleep(delay);
                    if same_run() {
                        app.boot();
                    }
                }
                Boot::Lies(delay) => {
                    app.behave(Behaviour::Close);
                    app.boot();
                    thread::sleep(delay);
                    app.behave(Behaviour::Echo);
                }
                Boot::Exits(delay, code) => {
                    thread::sleep(delay);
                    if same_run() {
                        engine.end_container(code, &["die"]);
                    }
                }
                Boot::Never => {}
            }
        });
    }
}
