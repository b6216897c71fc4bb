//! What an inspect tells of a container's fitness.

use std::net::SocketAddr;

use crate::config::{Ready, Settings};
use crate::engine::{Lasting, Networking, Observed};
use crate::port::{Port, Protocol};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Fine,
    Advice,
    Warning,
    Problem,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) text: String,
}

/// Where the daemon would listen.
#[derive(Debug, Default)]
pub(super) struct Listens {
    pub(super) everywhere: Vec<Port>,
    pub(super) at: Vec<(Protocol, SocketAddr)>,
}

impl Finding {
    pub(super) fn fine(text: impl Into<String>) -> Self {
        Self { level: Level::Fine, text: text.into() }
    }

    pub(super) fn advice(text: impl Into<String>) -> Self {
        Self { level: Level::Advice, text: text.into() }
    }

    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self { level: Level::Warning, text: text.into() }
    }

    pub(super) fn problem(text: impl Into<String>) -> Self {
        Self { level: Level::Problem, text: text.into() }
    }
}

impl Listens {
    /// Whether a socket of somebody else at `address` would be in the way.
    pub(super) fn clash(&self, protocol: Protocol, address: SocketAddr) -> bool {
        self.everywhere.contains(&Port { number: address.port(), protocol })
            || self.at.iter().any(|(spoken, own)| {
                *spoken == protocol
                    && own.port() == address.port()
                    && (own.ip() == address.ip()
                        || own.ip().is_unspecified()
                        || address.ip().is_unspecified())
            })
    }
}

/// Everything that can be said without asking anybody.
pub(super) fn of(observed: &Observed, settings: &Settings, listens: &Listens) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (port, addresses) in &observed.publishes {
        for address in addresses.iter().filter(|at| listens.clash(port.protocol, **at)) {
            findings.push(Finding::problem(format!(
                "the container publishes {address}, the very port this daemon holds: make it anew \
                 without that -p, or give --listen another port"
            )));
        }
    }
    let wanted = settings.ports.all().iter().filter(|port| {
        let here = SocketAddr::from(([127, 0, 0, 1], port.number));
        observed.networking == Networking::Host && listens.clash(port.protocol, here)
    });
    for port in wanted {
        findings.push(Finding::problem(format!(
            "the container uses the host's network, so it wants port {port} itself, which this \
             daemon holds: give --listen another port"
        )));
    }
    match &observed.lasting {
        Lasting::Yes => {}
        Lasting::AutoRemove => findings.push(Finding::problem(
            "the container was made with --rm: the first stop would delete it; make it anew \
             without --rm",
        )),
        Lasting::Unit(unit) => findings.push(Finding::problem(format!(
            "the container belongs to the systemd unit {unit}, whose stop deletes it, and whose \
             restart setting may bring it back: make a container of its own for this daemon"
        ))),
    }
    if observed.restart_policy == "always" {
        findings.push(Finding::warning(
            "its restart policy is 'always': the engine starts it at boot, and it sleeps only \
             after an idle window; 'unless-stopped' or 'no' lets it sleep through a reboot",
        ));
    }
    match (&observed.check, &settings.ready) {
        (None, Ready::Health) => findings.push(Finding::problem(
            "--ready health, but the container declares no health check: declare one, or use \
             --ready tcp or --ready http:/path",
        )),
        (None, Ready::Auto) if !settings.ports.all().is_empty() => findings.push(Finding::advice(
            "the container declares no health check: it counts as ready once the port accepts; if \
             it accepts before it can answer, declare one or use --ready http:/path",
        )),
        (Some(_), _) | (None, Ready::Auto | Ready::Tcp | Ready::Http(_) | Ready::None) => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;
    use crate::engine::{Exit, Health, State};

    fn observed() -> Observed {
        Observed {
            id: "1".to_owned(),
            name: "web".to_owned(),
            started_at: String::new(),
            pid: None,
            state: State::Stopped,
            exit: Exit::default(),
            check: None,
            health: Health::default(),
            networking: Networking::Own(BTreeMap::new()),
            networks: Vec::new(),
            published: BTreeMap::new(),
            publishes: BTreeMap::new(),
            stop_timeout: None,
            lasting: Lasting::Yes,
            restart_policy: "no".to_owned(),
        }
    }

    fn found(observed: &Observed, listens: &Listens) -> Vec<(Level, String)> {
        let cli = Cli::parse_from(["ondemand-container", "-c", "web", "-p", "80"]);
        let settings = Settings::new(&cli.run.options()).unwrap();
        of(observed, &settings, listens).into_iter().map(|f| (f.level, f.text)).collect()
    }

    fn everywhere(port: u16) -> Listens {
        Listens { everywhere: vec![Port::tcp(port)], at: Vec::new() }
    }

    #[test]
    fn without_a_health_check_there_is_advice_and_nothing_else() {
        let found = found(&observed(), &everywhere(80));
        assert!(matches!(&found[..], [(Level::Advice, _)]), "{found:?}");
    }

    #[test]
    fn the_port_we_hold_is_found_published() {
        let mut seen = observed();
        seen.publishes.insert(Port::tcp(80), vec!["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(found(&seen, &everywhere(8080))[0].0, Level::Problem);
        assert_eq!(found(&seen, &everywhere(80)).len(), 1);
        let datagrams = Listens { everywhere: vec![Port::udp(8080)], at: Vec::new() };
        assert_eq!(found(&seen, &datagrams).len(), 1);
        let elsewhere = Listens {
            everywhere: Vec::new(),
            at: vec![(Protocol::Tcp, "10.0.0.1:8080".parse().unwrap())],
        };
        assert_eq!(found(&seen, &elsewhere).len(), 1);
    }

    #[test]
    fn what_a_stop_would_delete_is_a_problem_and_always_a_warning() {
        for lasting in [Lasting::AutoRemove, Lasting::Unit("web.service".to_owned())] {
            let seen = Observed { lasting, ..observed() };
            assert_eq!(found(&seen, &everywhere(80))[0].0, Level::Problem);
        }
        let seen = Observed { restart_policy: "always".to_owned(), ..observed() };
        assert_eq!(found(&seen, &everywhere(80))[0].0, Level::Warning);
    }

    #[test]
    fn a_host_network_container_wants_the_port_itself() {
        let seen = Observed { networking: Networking::Host, ..observed() };
        assert_eq!(found(&seen, &everywhere(80))[0].0, Level::Problem);
        assert_eq!(found(&seen, &everywhere(81)).len(), 1);
    }
}
