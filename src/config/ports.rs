//! `--port`, `--map` and `--listen`: which ports the application has, and which socket leads to
//! which of them.

use super::{ListenAddress, Wrong};
use crate::port::{Port, Protocol};

/// The application's ports, and the sockets of our own that lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// At least one, none of them twice. A place in this list is what names a port elsewhere.
    all: Vec<Port>,
    /// Descriptor names of systemd, and the places of the ports they lead to.
    names: Vec<(String, usize)>,
}

/// A socket to be had: where, and the place of the port it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: ListenAddress,
    /// Where it leads.
    pub port: usize,
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
    /// These, of which there is at least one and none twice.
    pub fn of(all: Vec<Port>) -> Self {
        Self { all, names: Vec::new() }
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
                    let place = all.iter().position(|known| *known == port).unwrap_or_else(|| {
                        all.push(port);
                        all.len() - 1
                    });
                    let same = |(known, at): &(String, usize)| {
                        known == name && all[*at].protocol == port.protocol
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
                    names.push((name.to_owned(), place));
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

    /// The ports, by their places.
    pub fn all(&self) -> &[Port] {
        &self.all
    }

    /// The port whose answer tells that the application is there: the first TCP port, since a UDP
    /// port tells nothing when it is asked.
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
        let places = self.assign(&sockets).map_err(|errors| {
            errors.into_iter().map(|error| Wrong::new("listen", error)).collect::<Vec<_>>()
        })?;
        let listen = |(address, port)| Listen { address, port };
        Ok(addresses.into_iter().zip(places).map(listen).collect())
    }

    /// Every port on all interfaces, under its own number.
    pub fn everywhere(&self) -> Vec<Listen> {
        let listen = |(port, wished): (usize, &Port)| Listen {
            address: ListenAddress::Everywhere(*wished),
            port,
        };
        self.all.iter().enumerate().map(listen).collect()
    }

    /// The places of the ports that `sockets` lead to: by their wish, else by their names, else
    /// in their order, if that leaves no doubt. Everything that is wrong at once.
    pub fn assign(&self, sockets: &[Socket<'_>]) -> Result<Vec<usize>, Vec<String>> {
        let mut errors = Vec::new();
        let mut places: Vec<Option<usize>> = Vec::new();
        for socket in sockets {
            let told = self.told(socket);
            if let Err(error) = &told {
                errors.push(error.clone());
            }
            places.push(told.unwrap_or_default());
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let ports: Vec<usize> =
                (0..self.all.len()).filter(|place| self.all[*place].protocol == protocol).collect();
            let free: Vec<usize> =
                ports.iter().copied().filter(|place| !places.contains(&Some(*place))).collect();
            let open: Vec<usize> = (0..sockets.len())
                .filter(|at| sockets[*at].protocol == protocol && places[*at].is_none())
                .collect();
            let suffix = if protocol == Protocol::Udp { "/udp" } else { "" };
            match (&ports[..], &free[..], open.len()) {
                (_, [], 0) => {}
                (_, free, 0) => errors.extend(
                    free.iter()
                        .map(|place| format!("no socket leads to port {}", self.all[*place])),
                ),
                ([], ..) => errors.push(format!(
                    "a {protocol} socket, but none of the application's ports is {protocol}: add \
                     --port N{suffix}"
                )),
                ([only], ..) | (_, [only], _) => {
                    for at in open {
                        places[at] = Some(*only);
                    }
                }
                (_, free, count) if free.len() == count => {
                    for (at, place) in open.iter().zip(free) {
                        places[*at] = Some(*place);
                    }
                }
                (_, free, count) => errors.push(format!(
                    "{count} {protocol} sockets for {} {protocol} ports: say which leads where, \
                     with --listen ADDR:PORT->PORT, or for sockets of systemd with --map NAME=PORT",
                    free.len()
                )),
            }
        }
        if errors.is_empty() { Ok(places.into_iter().flatten().collect()) } else { Err(errors) }
    }

    /// The place that a socket was said to lead to.
    fn told(&self, socket: &Socket<'_>) -> Result<Option<usize>, String> {
        let mine = |place: &usize| self.all[*place].protocol == socket.protocol;
        if let Some(number) = socket.wished {
            let wished = Port { number, protocol: socket.protocol };
            let place = self.all.iter().position(|port| *port == wished);
            return place.map(Some).ok_or_else(|| format!("->{number}: add --port {wished}"));
        }
        let Some(name) = socket.name else { return Ok(None) };
        let named = |(known, _): &&(String, usize)| known == name;
        let place =
            self.names.iter().filter(named).map(|(_, place)| *place).find(|place| mine(place));
        match place {
            None if self.names.iter().any(|(known, _)| known == name) => Err(format!(
                "the socket {name} is {}, and --map has no such port for it: add --map \
                 {name}=PORT{}",
                socket.protocol,
                if socket.protocol == Protocol::Udp { "/udp" } else { "" }
            )),
            place => Ok(place),
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

    fn listens(ports: &Ports, texts: &[&str]) -> Result<Vec<usize>, Vec<Wrong>> {
        let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        Ok(ports.listens(&texts)?.into_iter().map(|listen| listen.port).collect())
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
        assert_eq!(named.assign(&sockets), Ok(vec![2, 1, 0]));
        let strange = [handed_over("http", Protocol::Udp)];
        assert!(named.assign(&strange).unwrap_err()[0].contains("--map http=PORT/udp"));
        // A name that nobody mapped is as good as none.
        let one = ports(&["80"], &[]);
        assert_eq!(one.assign(&[handed_over("web.socket", Protocol::Tcp)]), Ok(vec![0]));
    }

    #[test]
    fn wrong_ports_and_maps_are_told_at_once() {
        let maps = ["a", "=1", "b=", "c=1", "c=2"].map(str::to_owned);
        let errors = Ports::parse(&[Port::tcp(80), Port::tcp(80)], &maps);
        assert_eq!(errors.unwrap_err().len(), 5);
    }
}
