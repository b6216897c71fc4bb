//! What one service is asked to be, wherever that was written: nothing is checked beyond the shape
//! of one value, and what was not said is `None` or empty.

use std::time::Duration;

use super::OnExit;
use super::duration::Window;
use crate::port::Port;
use crate::proxy::header::Version;

/// The options of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the flag of its name")]
pub struct Options {
    pub container: Option<String>,
    pub port: Vec<Port>,
    pub map: Vec<String>,
    pub listen: Vec<String>,
    pub upstream: Option<String>,
    pub network: Option<String>,
    pub engine: Option<String>,
    pub idle_timeout: Option<Window>,
    pub start_timeout: Option<Duration>,
    pub stop_timeout: Option<Duration>,
    pub ready: Option<String>,
    pub max_connections: Option<u32>,
    pub on_exit: Option<OnExit>,
    pub keepalive: Option<Duration>,
    pub half_closed_timeout: Option<Duration>,
    pub udp_idle: Option<Duration>,
    pub proxy_protocol: Option<Version>,
    pub accept_proxy_protocol: Vec<String>,
}

impl Options {
    /// These, and of `defaults` what they do not say.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        let list = |own: Vec<String>, default: &Vec<String>| {
            if own.is_empty() { default.clone() } else { own }
        };
        Self {
            container: self.container.or_else(|| defaults.container.clone()),
            port: if self.port.is_empty() { defaults.port.clone() } else { self.port },
            map: list(self.map, &defaults.map),
            listen: list(self.listen, &defaults.listen),
            upstream: self.upstream.or_else(|| defaults.upstream.clone()),
            network: self.network.or_else(|| defaults.network.clone()),
            engine: self.engine.or_else(|| defaults.engine.clone()),
            idle_timeout: self.idle_timeout.or(defaults.idle_timeout),
            start_timeout: self.start_timeout.or(defaults.start_timeout),
            stop_timeout: self.stop_timeout.or(defaults.stop_timeout),
            ready: self.ready.or_else(|| defaults.ready.clone()),
            max_connections: self.max_connections.or(defaults.max_connections),
            on_exit: self.on_exit.or(defaults.on_exit),
            keepalive: self.keepalive.or(defaults.keepalive),
            half_closed_timeout: self.half_closed_timeout.or(defaults.half_closed_timeout),
            udp_idle: self.udp_idle.or(defaults.udp_idle),
            proxy_protocol: self.proxy_protocol.or(defaults.proxy_protocol),
            accept_proxy_protocol: list(
                self.accept_proxy_protocol,
                &defaults.accept_proxy_protocol,
            ),
        }
    }

    /// The names of those that say something.
    pub fn said(&self) -> Vec<&'static str> {
        let all = [
            ("container", self.container.is_some()),
            ("port", !self.port.is_empty()),
            ("map", !self.map.is_empty()),
            ("listen", !self.listen.is_empty()),
            ("upstream", self.upstream.is_some()),
            ("network", self.network.is_some()),
            ("engine", self.engine.is_some()),
            ("idle-timeout", self.idle_timeout.is_some()),
            ("start-timeout", self.start_timeout.is_some()),
            ("stop-timeout", self.stop_timeout.is_some()),
            ("ready", self.ready.is_some()),
            ("max-connections", self.max_connections.is_some()),
            ("on-exit", self.on_exit.is_some()),
            ("keepalive", self.keepalive.is_some()),
            ("half-closed-timeout", self.half_closed_timeout.is_some()),
            ("udp-idle", self.udp_idle.is_some()),
            ("proxy-protocol", self.proxy_protocol.is_some()),
            ("accept-proxy-protocol", !self.accept_proxy_protocol.is_empty()),
        ];
        all.into_iter().filter(|(_, said)| *said).map(|(name, _)| name).collect()
    }
}
