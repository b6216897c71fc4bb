//! What `check` says of a systemd unit.

use std::net::{Ipv4Addr, SocketAddr};

use super::findings::{Finding, Listens};
use crate::config::Settings;
use crate::engine::{Manager, Systemd};

/// What stands in the way of serving it, and what may surprise.
pub(super) async fn of(systemd: &Systemd, settings: &Settings, listens: &Listens) -> Vec<Finding> {
    let root = rustix::process::geteuid().is_root();
    let mut findings = ports(settings, listens);
    findings.extend(right(systemd.manager(), settings, root));
    let (trouble, triggered_by) = systemd.circumstances(&settings.target).await;
    findings.extend(trouble.map(Finding::problem));
    findings.extend(triggers(&triggered_by));
    findings
}

/// The application listens on this machine itself, so its port cannot be the daemon's, too.
fn ports(settings: &Settings, listens: &Listens) -> Vec<Finding> {
    if settings.upstream.is_some() {
        return Vec::new();
    }
    let wanted = settings.ports.all().iter().filter(|port| {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number));
        listens.clash(port.protocol, here)
    });
    wanted
        .map(|port| {
            let text = format!(
                "the unit wants port {port} of 127.0.0.1 itself, which this daemon would hold: give \
                 --listen another port or address"
            );
            if settings.listen.is_empty() {
                Finding::warning(format!("{text} (right if systemd hands over other sockets)"))
            } else {
                Finding::problem(text)
            }
        })
        .collect()
}

/// Nobody but root is told beforehand what polkit would say of a unit.
fn right(manager: Manager, settings: &Settings, root: bool) -> Option<Finding> {
    match manager {
        Manager::System if !root => Some(Finding::advice(format!(
            "whether this user may start and stop it shows only then; if not: {}",
            Systemd::right_needed(&settings.target)
        ))),
        Manager::System | Manager::User => None,
    }
}

fn triggers(triggers: &[String]) -> Vec<Finding> {
    let finding = |trigger: &String| {
        let text = format!(
            "{trigger} starts it, too: the daemon sees that, and begins its idle window; disable \
             {trigger} if clients are the only reason to run it"
        );
        if trigger.ends_with(".socket") { Finding::warning(text) } else { Finding::advice(text) }
    };
    triggers.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::findings::Level;
    use super::*;
    use crate::config::Options;
    use crate::port::Port;

    fn settings() -> Settings {
        let unit = Some("web".to_owned());
        Settings::new(&Options { unit, port: vec![Port::tcp(80)], ..Options::default() }).unwrap()
    }

    #[test]
    fn a_port_that_both_want_is_a_problem() {
        let everywhere = |port| Listens { everywhere: vec![Port::tcp(port)], at: Vec::new() };
        let said = Settings { listen: settings().listens(), ..settings() };
        assert_eq!(ports(&said, &everywhere(80))[0].level, Level::Problem);
        assert_eq!(ports(&settings(), &everywhere(80))[0].level, Level::Warning);
        assert!(ports(&settings(), &everywhere(81)).is_empty());
        let at = vec![(crate::port::Protocol::Tcp, "192.0.2.1:80".parse().unwrap())];
        assert!(ports(&settings(), &Listens { everywhere: Vec::new(), at }).is_empty());
    }

    #[test]
    fn who_is_not_root_is_told_of_the_rule() {
        let advice = right(Manager::System, &settings(), false).unwrap();
        assert!(advice.text.contains("web.service") && advice.text.contains("polkit"));
        assert_eq!(right(Manager::System, &settings(), true), None);
        assert_eq!(right(Manager::User, &settings(), false), None);
    }

    #[test]
    fn whatever_else_starts_it_is_told() {
        let found = triggers(&["web.socket".to_owned(), "web.timer".to_owned()]);
        assert_eq!((found[0].level, found[1].level), (Level::Warning, Level::Advice));
    }
}
