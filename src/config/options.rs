//! What one service is asked to be, wherever that was written: nothing is checked beyond the shape
//! of one value, and what was not said is `None` or empty.

use std::time::Duration;

use super::OnExit;
use super::duration::IdleTimeout;
use super::rules::{Activity, AsleepClients, Silent, Switch};
use crate::engine::Manager;
use crate::port::Port;
use crate::proxy::header::Version;

/// The options of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the flag of its name")]
pub struct Options {
    pub container: Option<String>,
    pub compose: Option<String>,
    pub unit: Option<String>,
    pub port: Vec<Port>,
    pub map: Vec<String>,
    pub listen: Vec<String>,
    /// An empty list says that there are none.
    pub depends_on: Option<Vec<String>>,
    pub with: Vec<String>,
    pub upstream: Option<String>,
    pub network: Option<String>,
    pub engine: Option<String>,
    pub idle_timeout: Option<IdleTimeout>,
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
    pub activity: Option<Activity>,
    pub silent_after: Option<Duration>,
    pub silent: Option<Silent>,
    pub stop_condition: Option<Vec<String>>,
    pub stop_condition_interval: Option<Duration>,
    pub busy_cpu: Option<String>,
    pub busy_net: Option<String>,
    pub min_awake: Option<Duration>,
    pub sleep: Option<String>,
    pub reclaim: Option<Switch>,
    pub on_waiting_stop: Option<String>,
    pub awake: Vec<String>,
    pub asleep: Vec<String>,
    pub asleep_clients: Option<AsleepClients>,
    pub wake_on: Option<String>,
    pub wake_from: Vec<String>,
    pub allow_from: Vec<String>,
    pub wake_rate: Option<String>,
    pub wake_rate_total: Option<String>,
    pub http_rule: Vec<String>,
    pub idle_min: Option<Duration>,
    pub idle_max: Option<Duration>,
    pub cold_start_worth: Option<Duration>,
    pub dry_run: Option<Switch>,
}

impl Options {
    /// These, and of `defaults` what they do not say.
    ///
    /// What is only for containers is no default of a unit's service, nor the other way round: so a
    /// file can have both.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        let is_unit = self.unit.is_some();
        let fits = |engine: &&String| Manager::of_word(engine).is_some() == is_unit;
        let of_containers = if is_unit { &Self::default() } else { defaults };
        let list = |own: Vec<String>, default: &Vec<String>| {
            if own.is_empty() { default.clone() } else { own }
        };
        Self {
            container: self.container.or_else(|| of_containers.container.clone()),
            compose: self.compose.or_else(|| of_containers.compose.clone()),
            unit: self.unit,
            port: if self.port.is_empty() { defaults.port.clone() } else { self.port },
            map: list(self.map, &defaults.map),
            listen: list(self.listen, &defaults.listen),
            depends_on: self.depends_on.or_else(|| defaults.depends_on.clone()),
            with: list(self.with, &defaults.with),
            upstream: self.upstream.or_else(|| defaults.upstream.clone()),
            network: self.network.or_else(|| of_containers.network.clone()),
            engine: self.engine.or_else(|| defaults.engine.as_ref().filter(fits).cloned()),
            idle_timeout: self.idle_timeout.or(defaults.idle_timeout),
            start_timeout: self.start_timeout.or(defaults.start_timeout),
            stop_timeout: self.stop_timeout.or(of_containers.stop_timeout),
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
            activity: self.activity.or(defaults.activity),
            silent_after: self.silent_after.or(defaults.silent_after),
            silent: self.silent.or(defaults.silent),
            stop_condition: self.stop_condition.or_else(|| defaults.stop_condition.clone()),
            stop_condition_interval: self
                .stop_condition_interval
                .or(defaults.stop_condition_interval),
            busy_cpu: self.busy_cpu.or_else(|| defaults.busy_cpu.clone()),
            busy_net: self.busy_net.or_else(|| of_containers.busy_net.clone()),
            min_awake: self.min_awake.or(defaults.min_awake),
            sleep: self.sleep.or_else(|| defaults.sleep.clone()),
            reclaim: self.reclaim.or(of_containers.reclaim),
            on_waiting_stop: self.on_waiting_stop.or_else(|| defaults.on_waiting_stop.clone()),
            awake: list(self.awake, &defaults.awake),
            asleep: list(self.asleep, &defaults.asleep),
            asleep_clients: self.asleep_clients.or(defaults.asleep_clients),
            wake_on: self.wake_on.or_else(|| defaults.wake_on.clone()),
            wake_from: list(self.wake_from, &defaults.wake_from),
            allow_from: list(self.allow_from, &defaults.allow_from),
            wake_rate: self.wake_rate.or_else(|| defaults.wake_rate.clone()),
            wake_rate_total: self.wake_rate_total.or_else(|| defaults.wake_rate_total.clone()),
            http_rule: list(self.http_rule, &defaults.http_rule),
            idle_min: self.idle_min.or(defaults.idle_min),
            idle_max: self.idle_max.or(defaults.idle_max),
            cold_start_worth: self.cold_start_worth.or(defaults.cold_start_worth),
            dry_run: self.dry_run.or(defaults.dry_run),
        }
    }

    /// The names of those that say something.
    pub fn said(&self) -> Vec<&'static str> {
        let all = [
            ("container", self.container.is_some()),
            ("compose", self.compose.is_some()),
            ("unit", self.unit.is_some()),
            ("port", !self.port.is_empty()),
            ("map", !self.map.is_empty()),
            ("listen", !self.listen.is_empty()),
            ("depends-on", self.depends_on.is_some()),
            ("with", !self.with.is_empty()),
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
            ("activity", self.activity.is_some()),
            ("silent-after", self.silent_after.is_some()),
            ("silent", self.silent.is_some()),
            ("stop-condition", self.stop_condition.is_some()),
            ("stop-condition-interval", self.stop_condition_interval.is_some()),
            ("busy-cpu", self.busy_cpu.is_some()),
            ("busy-net", self.busy_net.is_some()),
            ("min-awake", self.min_awake.is_some()),
            ("sleep", self.sleep.is_some()),
            ("reclaim", self.reclaim.is_some()),
            ("on-waiting-stop", self.on_waiting_stop.is_some()),
            ("awake", !self.awake.is_empty()),
            ("asleep", !self.asleep.is_empty()),
            ("asleep-clients", self.asleep_clients.is_some()),
            ("wake-on", self.wake_on.is_some()),
            ("wake-from", !self.wake_from.is_empty()),
            ("allow-from", !self.allow_from.is_empty()),
            ("wake-rate", self.wake_rate.is_some()),
            ("wake-rate-total", self.wake_rate_total.is_some()),
            ("http-rule", !self.http_rule.is_empty()),
            ("idle-min", self.idle_min.is_some()),
            ("idle-max", self.idle_max.is_some()),
            ("cold-start-worth", self.cold_start_worth.is_some()),
            ("dry-run", self.dry_run.is_some()),
        ];
        all.into_iter().filter(|(_, said)| *said).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_for_containers_are_none_for_units() {
        let text = |text: &str| Some(text.to_owned());
        let defaults = Options {
            engine: text("podman"),
            stop_timeout: Some(Duration::from_secs(5)),
            network: text("net"),
            keepalive: Some(Duration::from_secs(7)),
            ..Options::default()
        };
        let unit = Options { unit: text("web"), ..Options::default() }.or(&defaults);
        assert_eq!(unit.said(), ["unit", "keepalive"]);
        let container = Options { container: text("web"), ..Options::default() };
        assert_eq!(container.clone().or(&defaults).engine, text("podman"));
        let defaults = Options { engine: text("systemd-user"), ..Options::default() };
        assert_eq!(container.or(&defaults).engine, None);
        let unit = Options { unit: text("web"), ..Options::default() }.or(&defaults);
        assert_eq!(unit.engine, text("systemd-user"));
    }
}
