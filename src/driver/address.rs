//! Where the target is, in this run.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Target;
use super::networks::{Network, device_to};
use crate::config::GivenUpstream;
use crate::engine::{Engine, Locality, Networking, Observed, TargetName};
use crate::port::{Port, Protocol};
use crate::proxy::Address;

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The address.
    pub address: Address,
    /// What answers there.
    pub via: Via,
}

impl Upstream {
    fn at(address: SocketAddr, via: Via) -> Self {
        Self { address: Address::Ip(address), via }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.via {
            Via::Direct => write!(f, "{}", self.address),
            Via::Published => write!(f, "{}, published", self.address),
        }
    }
}

/// What answers at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The application itself: it refuses until it listens.
    Direct,
    /// A forwarder of the engine, which accepts before the application listens.
    Published,
}

/// What can be said of the address without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// There.
    At(Vec<Upstream>),
    /// Published on the engine's host, which has this name.
    PublishedOn(String, Vec<u16>),
    /// Nowhere, and what to do about it.
    Nowhere(String),
}

/// The addresses to try of each port, in order; or why there is none, and what to do.
pub(super) async fn find<E: Engine>(
    engine: &E,
    target: &Target,
    observed: &Observed,
) -> Result<Vec<Vec<Upstream>>, String> {
    let ports = target.ports.all();
    let mut found = Vec::new();
    match &target.upstream {
        None => found = of(engine, ports, target.network.as_deref(), observed).await?,
        Some(GivenUpstream::Unix(path)) => {
            let address = Address::Unix(path.as_path().into());
            found.push(vec![Upstream { address, via: Via::Direct }]);
        }
        Some(GivenUpstream::Host(host, given)) => {
            for port in ports {
                let number = given.unwrap_or(port.number);
                let mut published =
                    observed.published.iter().filter(|(of, _)| of.protocol == port.protocol);
                let published =
                    published.any(|(_, own)| own.iter().any(|own| own.port() == number));
                let via = if published { Via::Published } else { Via::Direct };
                found.push(resolve(host, &[number], via).await?);
            }
        }
    }
    let each = ports.iter().zip(found);
    each.map(|(port, upstreams)| not_ourselves(target, port.protocol, upstreams)).collect()
}

/// The addresses of each port of what was observed, in order; or why there is none, and what to
/// do.
pub async fn of<E: Engine>(
    engine: &E,
    ports: &[Port],
    network: Option<&str>,
    observed: &Observed,
) -> Result<Vec<Vec<Upstream>>, String> {
    let mut owner = None;
    // A chain of two is refused by the engines; the bound only keeps nonsense from looping.
    for _ in 0..3 {
        let seen = owner.as_ref().unwrap_or(observed);
        let Networking::Container(other) = &seen.networking else { break };
        let name = TargetName::container(other).map_err(|error| error.to_string())?;
        owner = Some(engine.inspect(&name).await.map_err(|error| {
            format!("it uses the network of container {other}, which cannot be looked up: {error}")
        })?);
    }
    let seen = owner.as_ref().unwrap_or(observed);
    let locality = engine.locality().await;
    let networks = Network::all();
    let mut found = Vec::new();
    for port in ports {
        found.push(match choose(seen, *port, network, &locality, &networks) {
            Choice::At(upstreams) => upstreams,
            Choice::PublishedOn(host, ports) => resolve(&host, &ports, Via::Published).await?,
            Choice::Nowhere(why) => return Err(why),
        });
    }
    Ok(found)
}

/// One address of each port: of `first` the one that has answered, of the others the one of the
/// same IP address, which may be one of several networks.
pub(super) fn beside(
    answered: &Upstream,
    first: usize,
    candidates: Vec<Vec<Upstream>>,
) -> Vec<Upstream> {
    let ip = |upstream: &Upstream| upstream.address.ip().map(|address| address.ip());
    let same_ip = |other: &Upstream| ip(answered).is_some() && ip(answered) == ip(other);
    let choose = |(place, of): (usize, Vec<Upstream>)| {
        if place == first {
            return Some(answered.clone());
        }
        of.iter().find(|upstream| same_ip(upstream)).or(of.first()).cloned()
    };
    candidates.into_iter().enumerate().filter_map(choose).collect()
}

/// Chooses from what an inspect said. `networks` are those this process has an interface in.
fn choose(
    observed: &Observed,
    port: Port,
    network: Option<&str>,
    locality: &Locality,
    networks: &[Network],
) -> Choice {
    let at = |ip, via| Upstream::at(SocketAddr::new(ip, port.number), via);
    let direct = |ip| {
        let address = SocketAddr::new(ip, port.number);
        let address = match (locality, device_to(networks, ip)) {
            (Locality::Local, Some(device)) => Address::on_link(address, device),
            (Locality::Local | Locality::Rootless | Locality::Remote(_), _) => Address::Ip(address),
        };
        Upstream { address, via: Via::Direct }
    };
    match &observed.networking {
        Networking::Host | Networking::Forwarded => {
            let via = match observed.networking {
                Networking::Forwarded => Via::Published,
                Networking::Host
                | Networking::Own(_)
                | Networking::Container(_)
                | Networking::None => Via::Direct,
            };
            return match locality {
                Locality::Local | Locality::Rootless => Choice::At(vec![
                    at(Ipv4Addr::LOCALHOST.into(), via),
                    at(Ipv6Addr::LOCALHOST.into(), via),
                ]),
                Locality::Remote(host) => Choice::PublishedOn(host.clone(), vec![port.number]),
            };
        }
        Networking::Own(addresses) => {
            let mine = match network {
                None => addresses.clone(),
                Some(wished) => {
                    if let Some(ip) = addresses.get(wished) {
                        BTreeMap::from([(wished.to_owned(), *ip)])
                    } else {
                        let names: Vec<_> = addresses.keys().map(String::as_str).collect();
                        return Choice::Nowhere(format!(
                            "it is not on the network {wished:?} of --network, only on: {}",
                            names.join(", ")
                        ));
                    }
                }
            };
            // Without an interface in the network the address may belong to somebody else's, off
            // this machine even: it is not dialled.
            let near = match locality {
                Locality::Local => true,
                Locality::Rootless => false,
                // Behind a filtered socket at a host name: whoever names a network knows it.
                Locality::Remote(_) => network.is_some(),
            };
            if near {
                let reachable: Vec<Upstream> = mine
                    .values()
                    .filter(|ip| networks.iter().any(|network| network.contains(**ip)))
                    .map(|ip| direct(*ip))
                    .collect();
                if !reachable.is_empty() {
                    return Choice::At(reachable);
                }
            }
        }
        Networking::Container(other) => {
            return Choice::Nowhere(format!("it uses the network of {other}, without an end"));
        }
        Networking::None => {}
    }
    match (observed.published.get(&port), locality) {
        (None, _) => Choice::Nowhere(format!(
            "port {port} of it cannot be reached from here: publish it (-p 127.0.0.1::{port}), put \
             the container on a network of this host, or give --upstream HOST:PORT"
        )),
        (Some(published), Locality::Remote(host)) => {
            Choice::PublishedOn(host.clone(), published.iter().map(SocketAddr::port).collect())
        }
        (Some(published), Locality::Local | Locality::Rootless) => Choice::At(
            published.iter().map(|address| Upstream::at(here(*address), Via::Published)).collect(),
        ),
    }
}

/// An address of everywhere is reached at loopback.
fn here(published: SocketAddr) -> SocketAddr {
    match published.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, published.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, published.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => published,
    }
}

async fn resolve(host: &str, ports: &[u16], via: Via) -> Result<Vec<Upstream>, String> {
    let mut found = Vec::new();
    for port in ports {
        let addresses = tokio::net::lookup_host((host, *port))
            .await
            .map_err(|error| format!("the host name {host:?} cannot be resolved: {error}"))?;
        found.extend(addresses.map(|address| Upstream::at(address, via)));
    }
    Ok(found)
}

/// Leaves out the daemon's own listening addresses: connecting there would be a loop.
fn not_ourselves(
    target: &Target,
    protocol: Protocol,
    upstreams: Vec<Upstream>,
) -> Result<Vec<Upstream>, String> {
    // Asking for the interfaces takes longer than all the rest, and hardly ever matters.
    let here =
        |ip: IpAddr| ip.is_loopback() || Network::all().iter().any(|network| network.is_own(ip));
    let ours = |upstream: &Upstream| {
        target.own_addresses.iter().any(|(spoken, own)| {
            let Some(address) = upstream.address.ip() else { return false };
            *spoken == protocol
                && own.port() == address.port()
                && (own.ip() == address.ip() || (own.ip().is_unspecified() && here(address.ip())))
        })
    };
    let (own, others): (Vec<_>, Vec<_>) = upstreams.into_iter().partition(ours);
    match (own.first(), others.is_empty()) {
        (Some(own), true) => Err(format!(
            "its address {} is where this daemon listens itself: give one of the two another port",
            own.address
        )),
        (Some(_) | None, _) => Ok(others),
    }
}

#[cfg(test)]
mod tests {
    use super::super::networks::network;
    use super::*;
    use crate::config::Ports;
    use crate::engine::{Exit, Health, Lasting, State};

    const WEB: Port = Port::tcp(80);

    fn observed(networking: Networking, published: &[(u16, &str)]) -> Observed {
        let mut ports: BTreeMap<Port, Vec<SocketAddr>> = BTreeMap::new();
        for (port, address) in published {
            ports.entry(Port::tcp(*port)).or_default().push(address.parse().unwrap());
        }
        Observed {
            id: "1".to_owned(),
            name: "web".to_owned(),
            started_at: String::new(),
            pid: None,
            state: State::Running,
            exit: Exit::default(),
            check: None,
            health: Health::default(),
            networking,
            networks: Vec::new(),
            published: ports,
            publishes: BTreeMap::new(),
            stop_timeout: None,
            lasting: Lasting::Yes,
            restart_policy: String::new(),
        }
    }

    fn bridge(ip: &str) -> Networking {
        Networking::Own([("bridge".to_owned(), ip.parse().unwrap())].into())
    }

    fn docker0() -> Vec<Network> {
        vec![network("172.17.0.1", "255.255.0.0", "docker0")]
    }

    fn at(choice: &Choice) -> Vec<String> {
        let Choice::At(upstreams) = choice else { panic!("{choice:?}") };
        upstreams.iter().map(|u| format!("{} {:?}", u.address, u.via)).collect()
    }

    #[test]
    fn its_own_address_is_preferred_to_the_published_port() {
        let seen = observed(bridge("172.17.0.2"), &[(80, "0.0.0.0:8080")]);
        let choice = choose(&seen, WEB, None, &Locality::Local, &docker0());
        assert_eq!(at(&choice), ["172.17.0.2:80 Direct"]);
        let Choice::At(upstreams) = choice else { panic!("{choice:?}") };
        let there = "172.17.0.2:80".parse().unwrap();
        assert_eq!(upstreams[0].address, Address::on_link(there, "docker0"));
    }

    #[test]
    fn an_address_in_no_network_of_ours_is_not_dialled() {
        let seen = observed(bridge("10.9.0.2"), &[(80, "0.0.0.0:8080")]);
        let choice = choose(&seen, WEB, None, &Locality::Local, &docker0());
        assert_eq!(at(&choice), ["127.0.0.1:8080 Published"]);
        let seen = observed(bridge("10.9.0.2"), &[]);
        let choice = choose(&seen, WEB, None, &Locality::Local, &docker0());
        assert!(matches!(choice, Choice::Nowhere(why) if why.contains("--upstream")));
    }

    #[test]
    fn a_rootless_address_is_somebody_elses() {
        let seen = observed(bridge("172.17.0.2"), &[(80, "127.0.0.1:8080")]);
        let choice = choose(&seen, WEB, None, &Locality::Rootless, &docker0());
        assert_eq!(at(&choice), ["127.0.0.1:8080 Published"]);
    }

    #[test]
    fn a_remote_engine_is_reached_on_its_host() {
        let remote = Locality::Remote("box".to_owned());
        let seen = observed(bridge("172.17.0.2"), &[(80, "0.0.0.0:8080")]);
        let choice = choose(&seen, WEB, None, &remote, &docker0());
        assert_eq!(choice, Choice::PublishedOn("box".to_owned(), vec![8080]));
        let choice = choose(&observed(Networking::Host, &[]), WEB, None, &remote, &[]);
        assert_eq!(choice, Choice::PublishedOn("box".to_owned(), vec![80]));
    }

    #[test]
    fn the_hosts_own_network() {
        let choice = choose(&observed(Networking::Host, &[]), WEB, None, &Locality::Local, &[]);
        assert_eq!(at(&choice), ["127.0.0.1:80 Direct", "[::1]:80 Direct"]);
        let choice =
            choose(&observed(Networking::Forwarded, &[]), WEB, None, &Locality::Local, &[]);
        assert_eq!(at(&choice), ["127.0.0.1:80 Published", "[::1]:80 Published"]);
    }

    #[test]
    fn a_wished_network_is_taken_or_missed_by_name() {
        let networks = [("a", "172.17.0.2"), ("b", "172.17.0.3")];
        let own = networks.map(|(name, ip)| (name.to_owned(), ip.parse().unwrap())).into();
        let seen = observed(Networking::Own(own), &[]);
        let choice = choose(&seen, WEB, Some("b"), &Locality::Local, &docker0());
        assert_eq!(at(&choice), ["172.17.0.3:80 Direct"]);
        let choice = choose(&seen, WEB, Some("c"), &Locality::Local, &docker0());
        assert!(matches!(choice, Choice::Nowhere(why) if why.contains("a, b")));
    }

    #[test]
    fn the_daemon_never_connects_to_itself() {
        let target = |own: &str| Target {
            service: "web".to_owned(),
            name: TargetName::container("web").unwrap(),
            ports: Ports::one(WEB),
            upstream: None,
            network: None,
            ready: crate::config::Ready::Auto,
            stop_timeout: None,
            keepalive: std::time::Duration::from_secs(60),
            announce: None,
            own_addresses: vec![(Protocol::Tcp, own.parse().unwrap())],
            may_sleep: crate::config::rules::MaySleep::default(),
            reclaim: crate::config::rules::Switch::No,
            bonds: std::sync::Arc::default(),
        };
        let upstream = || vec![Upstream::at("127.0.0.1:80".parse().unwrap(), Via::Direct)];
        assert!(not_ourselves(&target("0.0.0.0:80"), Protocol::Tcp, upstream()).is_err());
        assert!(not_ourselves(&target("127.0.0.1:80"), Protocol::Tcp, upstream()).is_err());
        assert!(not_ourselves(&target("127.0.0.2:80"), Protocol::Tcp, upstream()).is_ok());
        assert!(not_ourselves(&target("0.0.0.0:81"), Protocol::Tcp, upstream()).is_ok());
        assert!(not_ourselves(&target("0.0.0.0:80"), Protocol::Udp, upstream()).is_ok());
    }
}
