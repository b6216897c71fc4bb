//! How many clients the process can hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tracing::warn;

use crate::config::Service;
use crate::server::Places;

/// Descriptors that are no connection's: log, engine, events, epoll, pipes.
const OTHER_FDS: u64 = 96;

/// A flow of datagrams takes one of the machine's ephemeral ports, 28,232 by default (ip(7),
/// `ip_local_port_range`): half of them are left to everybody else's, name look-ups among them.
const MOST_FLOWS: u64 = 14_000;

/// Whether there is a UDP port among those that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Datagrams {
    /// There is.
    Some,
    /// There is not: no place is kept for flows.
    None,
}

/// The places of all services.
#[derive(Debug)]
pub(super) struct Room {
    /// Connections of all services without a limit of their own.
    connections: Arc<Semaphore>,
    /// Flows of datagrams, of all services.
    flows: Arc<Semaphore>,
    /// How many there are of both, whether taken or not.
    planned: Mutex<Planned>,
    fds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Planned {
    connections: usize,
    flows: usize,
}

impl Planned {
    /// Two descriptors for each connection and one for each flow, and some are the daemon's own. More
    /// could be taken, but not be served.
    fn of(fds: u64, listening: usize, datagrams: Datagrams) -> Self {
        let theirs = fds.saturating_sub(listening as u64);
        let theirs = theirs - OTHER_FDS.min(theirs / 2);
        // Anybody can send a datagram from many addresses: connections keep half of the descriptors.
        let flows = match datagrams {
            Datagrams::Some => MOST_FLOWS.min(theirs / 2),
            Datagrams::None => 0,
        };
        let count = |fds: u64| usize::try_from(fds).unwrap_or(usize::MAX);
        Self {
            connections: count((theirs - flows) / 2).clamp(1, Semaphore::MAX_PERMITS),
            flows: count(flows).min(Semaphore::MAX_PERMITS),
        }
    }
}

impl Room {
    /// Of a process that may have so many descriptors; nothing is planned for yet.
    pub(super) fn new(fds: u64) -> Self {
        let planned = Mutex::new(Planned { connections: 0, flows: 0 });
        let none = || Arc::new(Semaphore::new(0));
        Self { connections: none(), flows: none(), planned, fds }
    }

    /// Makes it fit what is to be served. Places that are taken are not taken away.
    pub(super) fn fit(&self, services: &BTreeMap<String, Service>) {
        // One place may be a socket for IPv4 and another for IPv6. Hours have a timer.
        let sockets = services.values().map(|Service { settings, .. }| {
            2 * settings.listens().len() + usize::from(settings.hours.any())
        });
        let udp = services.values().any(|service| service.settings.ports.has_udp());
        self.plan(sockets.sum(), if udp { Datagrams::Some } else { Datagrams::None });
    }

    fn plan(&self, listening: usize, datagrams: Datagrams) {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = Planned::of(self.fds, listening, datagrams);
        planned.connections = resize(&self.connections, planned.connections, wanted.connections);
        planned.flows = resize(&self.flows, planned.flows, wanted.flows);
    }

    /// The places of a service that wants so many connections, or has no wish. `own` are those that it
    /// has had: who has one of them keeps it, and counts.
    pub(super) fn places(
        &self,
        service: &str,
        wished: Option<u32>,
        own: &mut Option<Own>,
    ) -> Places {
        let possible = self.planned.lock().unwrap_or_else(PoisonError::into_inner).connections;
        let connections = match wished.map(|wished| wished as usize) {
            None => {
                *own = None;
                Arc::clone(&self.connections)
            }
            Some(wished) => {
                if wished > possible {
                    warn!(
                        service,
                        wished,
                        possible,
                        "--max-connections is more than the file descriptor limit allows; raise \
                         the limit (LimitNOFILE=, ulimit -Hn)"
                    );
                }
                let none = || Own { places: Arc::new(Semaphore::new(0)), count: 0 };
                let own = own.get_or_insert_with(none);
                own.count = resize(&own.places, own.count, wished.min(possible));
                Arc::clone(&own.places)
            }
        };
        Places { connections, flows: Arc::clone(&self.flows) }
    }
}

/// The places of a service with a limit of its own, and how many there are, whether taken or not.
#[derive(Debug)]
pub(super) struct Own {
    places: Arc<Semaphore>,
    count: usize,
}

/// Answers how many places there are then: those that are taken stay.
fn resize(places: &Semaphore, have: usize, want: usize) -> usize {
    if want >= have {
        places.add_permits(want - have);
        want
    } else {
        have - places.forget_permits(have - want)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_keep_their_half_and_places_that_are_taken_are_not_taken_away() {
        let without = Planned::of(20_000, 2, Datagrams::None);
        assert_eq!((without.connections, without.flows), (9_951, 0));
        let with = Planned::of(20_000, 2, Datagrams::Some);
        assert_eq!((with.connections, with.flows), (4_975, 9_951));
        assert_eq!(Planned::of(10, 2, Datagrams::None).connections, 2);

        let (room, mut own) = (Room::new(1_000), None);
        room.plan(2, Datagrams::None);
        let four = room.places("web", Some(4), &mut own).connections;
        let taken = four.try_acquire_many(3).unwrap();
        let two = room.places("web", Some(2), &mut own).connections;
        assert_eq!(two.available_permits(), 0, "three are there");
        drop(taken);
        let again = room.places("web", Some(4), &mut own).connections;
        assert_eq!(again.available_permits(), 4);

        let room = Room::new(1_000);
        room.plan(2, Datagrams::None);
        let places = room.places("web", None, &mut None);
        let most = places.connections.available_permits();
        let taken = places.connections.try_acquire_many(300).unwrap();
        room.plan(2, Datagrams::Some);
        let now = Planned::of(1_000, 2, Datagrams::Some);
        assert_eq!(places.connections.available_permits(), 0);
        drop(taken);
        assert!(places.connections.available_permits() < most);
        assert_eq!(places.flows.available_permits(), now.flows);
        room.plan(2, Datagrams::None);
        assert_eq!(places.connections.available_permits(), most);
    }
}
