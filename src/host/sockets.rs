//! Which socket is whose, when the services change.
//!
//! Everything that can fail is done before anything is changed: sockets that are there are handed on,
//! new ones are bound beside them. Only an address that overlaps with one that is given up (every
//! interface instead of one) has to wait until that is closed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use tracing::{info, warn};

use crate::config::{Listen, Origin, Role, Service, Socket};
use crate::listen::{self, BindError, InheritError, Place, Sockets, claims};
use crate::port::{Port, Protocol};

/// The sockets that there are, by what they are known by: whose they are, or nobody's.
pub(super) type Current = HashMap<(Protocol, Place), Option<String>>;

/// The sockets of services, by their names.
#[derive(Debug, Default)]
pub(super) struct Allocation {
    of: BTreeMap<String, Wanted>,
    /// All of their sockets, and whose they are to be.
    owners: HashMap<(Protocol, Place), String>,
    /// Those whose sockets stay what they are.
    left: BTreeSet<String>,
    /// What cannot be had, of services that do without for now: wholly, or without that socket.
    pub(super) refused: Vec<(String, SocketError)>,
}

/// The sockets of one service.
#[derive(Debug, Default)]
struct Wanted {
    /// Those that are there.
    kept: Vec<(Place, Port)>,
    /// New ones.
    bound: Sockets,
    /// Those that can be bound when others are closed.
    later: Vec<Listen>,
}

/// What it means that a service of the operator cannot have its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing is changed: somebody waits for an answer.
    OfAll,
    /// It is left out: nobody has asked, and the others have changed.
    OfOne,
}

/// Whether a service is the only one that clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    Yes,
    No,
}

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What systemd has handed over is no use for it.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// It is told by its name, and was not handed over.
    #[error(
        "{0}: --map names sockets from systemd, and none of those were handed over (LISTEN_FDS, \
         LISTEN_FDNAMES): start it by its socket unit, or give --port and --listen instead"
    )]
    NotHandedOver(String),
    /// Another service has it.
    #[error("{0}: {1} is another service's: give one of them another place")]
    Taken(String, String),
}

impl Allocation {
    /// Finds or binds what each of `services` wants; all that is wrong at once.
    pub(super) fn new(
        services: &[Service],
        current: &Current,
        failure: Failure,
    ) -> Result<Self, Vec<SocketError>> {
        let mut allocation = Self::default();
        let mut errors = Vec::new();
        // What was handed over cannot be had anew, so it goes first.
        let by_handing_over = |service: &&Service| !service.settings.listen.is_empty();
        let mut services: Vec<&Service> = services.iter().collect();
        services.retain(|service| service.role == Role::Clients);
        services.sort_by_key(by_handing_over);
        let wishes: Vec<Place> = services
            .iter()
            .flat_map(|service| service.settings.listens())
            .map(|listen| Place::Own(listen.address))
            .collect();
        let alone = if services.len() == 1 { Alone::Yes } else { Alone::No };
        for service in services {
            match allocation.want(service, current, (&wishes, alone)) {
                Ok(wanted) => {
                    let kept = wanted.kept.iter().map(|(place, port)| (port.protocol, place));
                    let all = kept.chain(wanted.bound.places());
                    let all = all.map(|(protocol, place)| (protocol, place.clone()));
                    allocation.owners.extend(all.map(|known| (known, service.name.clone())));
                    allocation.of.insert(service.name.clone(), wanted);
                }
                Err(error) => match (service.origin, failure) {
                    (Origin::Operator, Failure::OfAll) => errors.push(error),
                    (Origin::Labels, _) | (Origin::Operator, Failure::OfOne) => {
                        allocation.refused.push((service.name.clone(), error));
                    }
                },
            }
        }
        if errors.is_empty() { Ok(allocation) } else { Err(errors) }
    }

    fn want(
        &self,
        service: &Service,
        current: &Current,
        (wishes, alone): (&[Place], Alone),
    ) -> Result<Wanted, SocketError> {
        let Service { name, settings, .. } = service;
        let mut wanted = Wanted::default();
        if settings.listen.is_empty() {
            wanted.kept = self.handed_over(service, current, alone)?;
            if !wanted.kept.is_empty() {
                return Ok(wanted);
            }
            if settings.ports.named() {
                return Err(SocketError::NotHandedOver(name.clone()));
            }
        }
        for listen in settings.listens() {
            let known = (listen.address.protocol(), Place::Own(listen.address.clone()));
            if self.owners.contains_key(&known) {
                return Err(SocketError::Taken(name.clone(), listen.address.to_string()));
            }
            if current.contains_key(&known) {
                wanted.kept.push((known.1, listen.port));
                continue;
            }
            match listen::bind(std::slice::from_ref(&listen), settings.connection) {
                Ok(sockets) => wanted.bound.append(sockets),
                Err(BindError { error, .. })
                    if error.kind() == io::ErrorKind::AddrInUse
                        && current.keys().any(|(_, known)| match known {
                            Place::Own(address) => {
                                address.clashes(&listen.address) && !wishes.contains(known)
                            }
                            Place::Inherited { .. } => false,
                        }) =>
                {
                    wanted.later.push(listen);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(wanted)
    }

    /// The sockets from systemd that are the service's, or that nobody else wants and bear its name,
    /// and the ports they lead to. One service alone takes all.
    fn handed_over(
        &self,
        service: &Service,
        current: &Current,
        alone: Alone,
    ) -> Result<Vec<(Place, Port)>, InheritError> {
        let mine = current.iter().filter_map(|(known, owner)| match &known.1 {
            Place::Own(_) => None,
            Place::Inherited { index, name, of } => {
                let own = *owner.as_ref().unwrap_or(of) == service.name;
                let free = !self.owners.contains_key(known);
                let mine = own || (free && (alone == Alone::Yes || claims(service, name)));
                mine.then_some((*index, known.0, name.as_str(), &known.1))
            }
        });
        // In the order in which they were handed over, which may be what tells the ports.
        let mine: BTreeMap<_, _> =
            mine.map(|(index, protocol, name, place)| (index, (protocol, name, place))).collect();
        let (told, places): (Vec<Socket<'_>>, Vec<&Place>) = mine
            .into_values()
            .map(|(protocol, name, place)| {
                (Socket { protocol, name: Some(name), wished: None }, place)
            })
            .unzip();
        if told.is_empty() {
            return Ok(Vec::new());
        }
        let ports = service.settings.ports.assign(&told).map_err(|wrong| InheritError::Ports {
            service: service.name.clone(),
            wrong: wrong.join("; "),
        })?;
        Ok(places.into_iter().cloned().zip(ports).collect())
    }

    /// A service that has sockets of its own, which end with the process.
    pub(super) fn own(&self) -> Option<&str> {
        let own = self.of.iter().find(|(_, wanted)| {
            let kept = wanted.kept.iter().any(|(place, _)| matches!(place, Place::Own(_)));
            kept || !wanted.bound.is_empty() || !wanted.later.is_empty()
        });
        own.map(|(name, _)| name.as_str())
    }

    /// Whether there is one that can be bound only when others are closed.
    pub(super) fn waits(&self) -> bool {
        self.of.values().any(|wanted| !wanted.later.is_empty())
    }

    /// Whether that socket, which is there, stays somebody's.
    pub(super) fn keeps(&self, known: &(Protocol, Place)) -> bool {
        self.owners.contains_key(known)
    }

    /// Has a service keep the sockets that it has; `known` are those.
    pub(super) fn leave(&mut self, name: &str, known: &[(Protocol, Place)]) {
        for known in known {
            self.owners.entry(known.clone()).or_insert_with(|| name.to_owned());
        }
        self.left.insert(name.to_owned());
    }

    /// Whether a service has just the sockets that it is to have; `known` are those.
    pub(super) fn fits(&self, name: &str, known: &[(Protocol, Place)]) -> bool {
        if self.left.contains(name) {
            return true;
        }
        let Some(wanted) = self.of.get(name) else { return known.is_empty() };
        let stays = |(place, port): &(Place, Port)| known.contains(&(port.protocol, place.clone()));
        let goes = |known: &(Protocol, Place)| self.owners.get(known).is_none_or(|of| of != name);
        wanted.bound.is_empty()
            && wanted.later.is_empty()
            && wanted.kept.iter().all(stays)
            && !known.iter().any(goes)
    }

    /// The sockets of a service, those that are there out of `stash`; what was to be closed before is
    /// closed.
    pub(super) fn take(&mut self, service: &Service, stash: &mut Sockets) -> Sockets {
        let Wanted { kept, bound, later } = self.of.remove(&service.name).unwrap_or_default();
        let mut sockets = bound;
        for (place, port) in kept {
            sockets.append(stash.take(&place, port));
        }
        for listen in later {
            match listen::bind(std::slice::from_ref(&listen), service.settings.connection) {
                Ok(bound) => sockets.append(bound),
                Err(error) => self.refused.push((service.name.clone(), error.into())),
            }
        }
        if let Err(error) = sockets.tune(service.settings.connection) {
            warn!(service = service.name, %error, "its connections are not watched as asked");
        }
        sockets
    }
}

/// Says where a service listens.
pub(super) fn tell(service: &Service, sockets: &Sockets) {
    let inherited = sockets.places().iter().any(|(_, place)| match place {
        Place::Inherited { .. } => true,
        Place::Own(_) => false,
    });
    if service.settings.listen.is_empty() && !inherited {
        info!(
            service = service.name,
            "no --listen and no socket from systemd: listening on all interfaces, IPv4 and IPv6"
        );
    }
    for name in sockets.names() {
        info!(address = name, container = %service.settings.target, "listening");
    }
}
