//! From the daemon's command line to its plan.

use super::args::RunArgs;
use crate::config::file::DaemonOptions;
use crate::config::{ConfigErrors, Given, Options, Plan};

impl RunArgs {
    /// The whole plan: of the file, or of the one service that is described.
    pub fn plan(&self) -> Result<Plan, ConfigErrors> {
        let options = self.options();
        let said = options.said();
        if self.config.is_some() && !said.is_empty() {
            let said: Vec<String> = said.into_iter().map(|key| format!("--{key}")).collect();
            return Err(ConfigErrors(vec![format!(
                "--config: the services are in the file, and {} is for one without a file: put \
                 that into the file, for all of them under [defaults], or leave --config out",
                said.join(", ")
            )]));
        }
        let daemon = DaemonOptions {
            drain_timeout: self.drain_timeout,
            exit_idle_time: self.exit_idle_time,
            threads: self.threads,
            log_format: self.log_format,
            control: self.control.clone(),
            control_group: self.control_group.clone(),
            labels: self.labels.clone(),
            history: self.history.clone(),
        };
        Plan::new(Given { file: self.config.clone(), daemon }, &options)
    }

    /// What is said of the service.
    pub fn options(&self) -> Options {
        Options {
            container: self.container.clone(),
            compose: self.compose.clone(),
            unit: self.unit.clone(),
            port: self.port.clone(),
            map: self.map.clone(),
            listen: self.listen.clone(),
            depends_on: (!self.depends_on.is_empty()).then(|| self.depends_on.clone()),
            with: self.with.clone(),
            upstream: self.upstream.clone(),
            network: self.network.clone(),
            engine: self.engine.clone(),
            idle_timeout: self.idle_timeout,
            start_timeout: self.start_timeout,
            stop_timeout: self.stop_timeout,
            ready: self.ready.clone(),
            max_connections: self.max_connections,
            on_exit: self.on_exit,
            keepalive: self.keepalive,
            half_closed_timeout: self.half_closed_timeout,
            udp_idle: self.udp_idle,
            proxy_protocol: self.proxy_protocol,
            accept_proxy_protocol: self.accept_proxy_protocol.clone(),
            activity: self.activity,
            silent_after: self.silent_after,
            silent: self.silent,
            stop_condition: self.stop_condition.clone().map(|words| words.0),
            stop_condition_interval: self.stop_condition_interval,
            busy_cpu: self.busy_cpu.clone(),
            busy_net: self.busy_net.clone(),
            min_awake: self.min_awake,
            sleep: self.sleep.clone(),
            reclaim: self.reclaim,
            on_waiting_stop: self.on_waiting_stop.clone(),
            awake: self.awake.clone(),
            asleep: self.asleep.clone(),
            asleep_clients: self.asleep_clients,
            wake_on: self.wake_on.clone(),
            wake_from: self.wake_from.clone(),
            allow_from: self.allow_from.clone(),
            wake_rate: self.wake_rate.clone(),
            wake_rate_total: self.wake_rate_total.clone(),
            http_rule: self.http_rule.clone(),
            idle_min: self.idle_min,
            idle_max: self.idle_max,
            cold_start_worth: self.cold_start_worth,
            dry_run: self.dry_run,
        }
    }
}
