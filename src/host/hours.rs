//! The hours of a service that runs, and who keeps them.

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::{Clock, System};
use crate::config::Settings;
use crate::config::rules::{AsleepClients, Hours};
use crate::driver::{ServiceHandle, Timekeeper};

/// Of a service that has some. The task that keeps them ends with it.
#[derive(Debug)]
pub(super) struct Timetable {
    hours: watch::Sender<Hours>,
    /// Until it is spawned.
    idle: Option<Box<Timekeeper<System>>>,
}

impl Timetable {
    /// That of a service with those settings, if the clock has a say in them.
    pub(super) fn of(settings: &Settings, service: &ServiceHandle, clock: Clock) -> Option<Self> {
        if !settings.hours.any() {
            return None;
        }
        let (hours, told) = watch::channel(settings.hours.clone());
        let container = settings.target.to_string();
        let keeper = Timekeeper::new(container, service.clone(), told, System, clock);
        Some(Self { hours, idle: Some(Box::new(keeper)) })
    }

    /// Has other hours kept, or the same.
    pub(super) fn renew(&self, hours: &Hours) {
        self.change(|known| known.clone_from(hours));
    }

    /// Has them kept, if they are not yet.
    pub(super) fn drive(&mut self, tasks: &mut JoinSet<()>) {
        if let Some(keeper) = self.idle.take() {
            tasks.spawn(keeper.run());
        }
    }

    /// Keeps it awake no longer.
    pub(super) fn let_sleep(&self) {
        self.change(|hours| hours.awake.clear());
    }

    /// Has nobody wait for the end of the hours in which it is kept asleep.
    pub(super) fn turn_away(&self) {
        self.change(|hours| match hours.clients {
            AsleepClients::Hold => hours.clients = AsleepClients::Refuse,
            AsleepClients::Refuse | AsleepClients::Wake => {}
        });
    }

    fn change(&self, change: impl FnOnce(&mut Hours)) {
        self.hours.send_if_modified(|hours| {
            let before = hours.clone();
            change(hours);
            *hours != before
        });
    }
}
