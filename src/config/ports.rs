//! `--port`, `--map` and `--listen`: which ports the application has, and which socket leads to
//! which of them.

use super::{ListenAddress, Wrong};
use crate::port::{Port, Protocol};

/// The application's ports, and the sockets of our own that lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// None of them twice; none at all of a service without clients.
    all: Vec<Port>,
    /// Descriptor names of systemd, and the ports they lead to.
    names: Vec<(String, Port)>,
}

/// A socket to be had: where, and the port it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: ListenAddress,
    /// Where it leads.
    pub port: Port,
}

/// A socket whose port has to be found.
#[derive(Debug, Clone, Copy)]
pub struct Socket<'a> {
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Its descriptor name, if it was handed over with one.
    pub name: Option<&'a str>,
    /// The number of the port that it was said to lead to.
    pub wished: Option<u16>,
}

impl Ports {
    /// These, of which none is there twice.
    pub fn of(all: Vec<Port>) -> Self {
        Self { all, names: Vec::new() }
    }

    /// No port: of a container that nobody connects to.
    pub fn none() -> Self {
        Self::of(Vec::new())
    }

    /// One port.
    pub fn one(port: Port) -> Self {
        Self::of(vec![port])
    }

    /// From the values of `--port`, and those of `--map`: `NAME=PORT[/udp]`.
    pub(super) fn parse(ports: &[Port], maps: &[String]) -> Result<Self, Vec<Wrong>> {
        let mut errors = Vec::new();
        let mut all: Vec<Port> = Vec::new();
        let mut names = Vec::new();
        for port in ports {
            if all.contains(port) {
                errors.push(Wrong::new("port", format!("{port} is there twice")));
            }
            all.push(*port);
        }
        for text in maps {
            let Some((name, port)) = text.trim().split_once('=').filter(|(name, _)| is_name(name))
            else {
                errors.push(Wrong::new(
                    "map",
                    format!(
                        "{text:?} is not NAME=PORT, with the FileDescriptorName= of a socket unit \
                         as its name"
                    ),
                ));
                continue;
            };
            match port.parse::<Port>() {
                Ok(port) => {
                    if !all.contains(&port) {
                        all.push(port);
                    }
                    let same = |(known, of): &(String, Port)| {
                        known == name && of.protocol == port.protocol
                    };
                    if names.iter().any(same) {
                        errors.push(Wrong::new(
                            "map",
                            format!(
                                "{name} leads to two {} ports; one socket can lead to one only",
                                port.protocol
                            ),
                        ));
                    }
                    names.push((name.to_owned(), port));
                }
                Err(error) => errors.push(Wrong::new("map", error)),
            }
        }
        if ports.is_empty() && maps.is_empty() {
            errors.push(Wrong::new(
                "port",
                "is missing: give the port the application listens on in the container",
            ));
        }
        if errors.is_empty() { Ok(Self { all, names }) } else { Err(errors) }
    }

    /// The ports.
    pub fn all(&self) -> &[Port] {
        &self.all
    }

    /// The port whose answer tells that the application is there: the first TCP port, since a UDP
    /// port tells nothing when it is asked. Of no port this is no place.
    pub fn first(&self) -> usize {
        self.all.iter().position(|port| port.protocol == Protocol::Tcp).unwrap_or(0)
    }

    /// Whether one of them is UDP.
    pub fn has_udp(&self) -> bool {
        self.all.iter().any(|port| port.protocol == Protocol::Udp)
    }

    /// Whether a socket of that name leads to one of them.
    pub fn names(&self, name: &str) -> bool {
        self.names.iter().any(|(known, _)| known == name)
    }

    /// The first of the names whose sockets lead to that port.
    pub fn name_of(&self, port: Port) -> Option<&str> {
        self.names.iter().find(|(_, of)| *of == port).map(|(name, _)| name.as_str())
    }

    /// Whether sockets are told by their names.
    pub fn named(&self) -> bool {
        !self.names.is_empty()
    }

    /// The sockets of `--listen`; without any, each port on all interfaces.
    pub fn listens(&self, texts: &[String]) -> Result<Vec<Listen>, Vec<Wrong>> {
        let mut errors = Vec::new();
        let mut addresses = Vec::new();
        let mut wishes = Vec::new();
        for text in texts {
            let (place, wished) = match text.split_once("->") {
                None => (text.trim(), None),
                Some((place, port)) => (place.trim(), Some(port.trim())),
            };
            // The protocol is that of the socket, and may be said again.
            let wished = wished.map(|text| text.trim_end_matches("/tcp").trim_end_matches("/udp"));
            let Ok(wished) = wished.map(str::parse).transpose() else {
                errors.push(Wrong::new("listen", format!("{text:?}: no port number after ->")));
                continue;
            };
            match ListenAddress::parse(place) {
                Ok(address) => {
                    if addresses.contains(&address) {
                        errors.push(Wrong::new("listen", format!("{place} is there twice")));
                    }
                    addresses.push(address);
                    wishes.push(wished);
                }
                Err(error) => errors.push(Wrong::new("listen", error)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let sockets: Vec<_> = addresses
            .iter()
            .zip(wishes)
            .map(|(address, wished)| Socket { protocol: address.protocol(), name: None, wished })
            .collect();
        let ports = self.assign(&sockets).map_err(|errors| {
            errors.into_iter().map(|error| Wrong::new("listen", error)).collect::<Vec<_>>()
        })?;
        let listen = |(address, port)| Listen { address, port };
        Ok(addresses.into_iter().zip(ports).map(listen).collect())
    }

    /// Every port on all interfaces, under its own number.
    pub fn everywhere(&self) -> Vec<Listen> {
        let listen =
            |port: &Port| Listen { address: ListenAddress::Everywhere(*port), port: *port };
        self.all.iter().map(listen).collect()
    }

    /// The ports that `sockets` lead to: by their wish, else by their names, else
    /// in their order, if that leaves no doubt. Everything that is wrong at once.
    pub fn assign(&self, sockets: &[Socket<'_>]) -> Result<Vec<Port>, Vec<String>> {
        let mut errors = Vec::new();
        let mut told_or_found: Vec<Option<Port>> = Vec::new();
        for socket in sockets {
            let told = self.told(socket);
            if let Err(error) = &told {
                errors.push(error.clone());
            }
            told_or_found.push(told.unwrap_or_default());
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let ports: Vec<Port> =
                self.all.iter().copied().filter(|port| port.protocol == protocol).collect();
            let free: Vec<Port> = ports
                .iter()
                .copied()
                .filter(|port| !told_or_found.contains(&Some(*port)))
                .collect();
            let open: Vec<usize> = (0..sockets.len())
                .filter(|at| sockets[*at].protocol == protocol && told_or_found[*at].is_none())
                .collect();
            let suffix = if protocol == Protocol::Udp { "/udp" } else { "" };
            match (&ports[..], &free[..], open.len()) {
                (_, [], 0) => {}
                (_, free, 0) => {
                    errors
                        .extend(free.iter().map(|port| format!("no socket leads to port {port}")));
                }
                ([], ..) => errors.push(format!(
                    "a {protocol} socket, but none of the application's ports is {protocol}: add \
                     --port N{suffix}"
                )),
                ([only], ..) | (_, [only], _) => {
                    for at in open {
                        told_or_found[at] = Some(*only);
                    }
                }
                (_, free, count) if free.len() == count => {
                    for (at, port) in open.iter().zip(free) {
                        told_or_found[*at] = Some(*port);
                    }
                }
                (_, free, count) => errors.push(format!(
                    "{count} {protocol} sockets for {} {protocol} ports: say which leads where, \
                     with --listen ADDR:PORT->PORT, or for sockets of systemd with --map NAME=PORT",
                    free.len()
                )),
            }
        }
        if errors.is_empty() {
            Ok(told_or_found.into_iter().flatten().collect())
        } else {
            Err(errors)
        }
    }

    /// The port that a socket was said to lead to.
    fn told(&self, socket: &Socket<'_>) -> Result<Option<Port>, String> {
        let mine = |port: &Port| port.protocol == socket.protocol;
        if let Some(number) = socket.wished {
            let wished = Port { number, protocol: socket.protocol };
            let known = self.all.contains(&wished);
            return known
                .then_some(Some(wished))
                .ok_or_else(|| format!("->{number}: add --port {wished}"));
        }
        let Some(name) = socket.name else { return Ok(None) };
        let named = |(known, _): &&(String, Port)| known == name;
        match self.names.iter().filter(named).map(|(_, port)| *port).find(mine) {
            None if self.names.iter().any(|(known, _)| known == name) => Err(format!(
                "the socket {name} is {}, and --map has no such port for it: add --map \
                 {name}=PORT{}",
                socket.protocol,
                if socket.protocol == Protocol::Udp { "/udp" } else { "" }
            )),
            port => Ok(port),
        }
    }
}

/// What systemd allows as a descriptor name (`sd_listen_fds_with_names(3)`): no control character
/// and no colon.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_graphic() && c != ':';
    !name.is_empty() && name.len() <= 255 && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(ports: &[&str], maps: &[&str]) -> Ports {
        let ports: Vec<Port> = ports.iter().map(|text| text.parse().unwrap()).collect();
        let maps: Vec<String> = maps.iter().map(|&text| text.to_owned()).collect();
        Ports::parse(&ports, &maps).unwrap()
    }

    /// The ports that the sockets lead to, by their places.
    fn listens(ports: &Ports, texts: &[&str]) -> Result<Vec<usize>, Vec<Wrong>> {
        let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        let place = |port| ports.all().iter().position(|known| *known == port).unwrap();
        Ok(ports.listens(&texts)?.into_iter().map(|listen| place(listen.port)).collect())
    }

    fn handed_over(name: &str, protocol: Protocol) -> Socket<'_> {
        Socket { protocol, name: Some(name), wished: None }
    }

    #[test]
    fn one_port_takes_all_sockets_and_several_take_them_in_order() {
        assert_eq!(listens(&ports(&["80"], &[]), &["1", "127.0.0.1:2"]), Ok(vec![0, 0]));
        let two = ports(&["80", "443"], &[]);
        assert_eq!(listens(&two, &["8080", "8443"]), Ok(vec![0, 1]));
        assert_eq!(listens(&two, &["8443->443", "8080"]), Ok(vec![1, 0]));
        assert_eq!(listens(&two, &["1->443", "2->80", "3 -> 80"]), Ok(vec![1, 0, 0]));
        let dns = ports(&["53", "53/udp"], &[]);
        assert_eq!(listens(&dns, &["udp:5353", "5353"]), Ok(vec![1, 0]));
        assert_eq!(listens(&dns, &["udp:5353->53/udp", "5353->53"]), Ok(vec![1, 0]));
    }

    #[test]
    fn what_leaves_a_doubt_is_an_error() {
        let two = ports(&["80", "443"], &[]);
        for bad in [&["1"][..], &["1", "2", "3"], &["1->81", "2"], &["1->80"], &["1->x", "2"]] {
            assert!(listens(&two, bad).is_err(), "{bad:?}");
        }
        let dns = ports(&["53", "53/udp"], &[]);
        let errors = listens(&dns, &["53"]).unwrap_err();
        assert!(errors[0].text.contains("no socket leads to port 53/udp"), "{errors:?}");
        let errors = listens(&ports(&["53"], &[]), &["udp:53", "53"]).unwrap_err();
        assert!(errors[0].text.contains("add --port N/udp"), "{errors:?}");
        assert!(listens(&ports(&["80"], &[]), &["80", "80"]).is_err());
    }

    #[test]
    fn sockets_of_systemd_are_told_by_their_names() {
        let named = ports(&[], &["http=3000", "dns=53", "dns=53/udp"]);
        assert_eq!(named.all(), [Port::tcp(3000), Port::tcp(53), Port::udp(53)]);
        let sockets = [
            handed_over("dns", Protocol::Udp),
            handed_over("dns", Protocol::Tcp),
            handed_over("http", Protocol::Tcp),
        ];
        assert_eq!(named.assign(&sockets), Ok(vec![Port::udp(53), Port::tcp(53), Port::tcp(3000)]));
        let strange = [handed_over("http", Protocol::Udp)];
        assert!(named.assign(&strange).unwrap_err()[0].contains("--map http=PORT/udp"));
        // A name that nobody mapped is as good as none.
        let one = ports(&["80"], &[]);
        assert_eq!(
            one.assign(&[handed_over("web.socket", Protocol::Tcp)]),
            Ok(vec![Port::tcp(80)])
        );
    }

    #[test]
    fn wrong_ports_and_maps_are_told_at_once() {
        let maps = ["a", "=1", "b=", "c=1", "c=2"].map(str::to_owned);
        let errors = Ports::parse(&[Port::tcp(80), Port::tcp(80)], &maps);
        assert_eq!(errors.unwrap_err().len(), 5);
    }
}
