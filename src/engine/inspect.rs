//! From the API's inspect answer to [`Observed`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, HealthConfig, HealthStatusEnum, PortMap,
};

use super::{EngineError, Exit, Health, HealthCheck, Lasting, Networking, Observed, State};
use crate::port::Port;

/// A check without a time limit of its own gets the engines' default.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Podman writes the unit that made a container into this label; Quadlet and
/// `podman generate systemd --new` both set it.
const UNIT_LABEL: &str = "PODMAN_SYSTEMD_UNIT";

/// Translates; fails when the answer lacks what cannot be done without.
pub(super) fn observed(answer: ContainerInspectResponse) -> Result<Observed, EngineError> {
    let missing = |what: &str| EngineError::Garbled(format!("an inspect without {what}"));
    let state = answer.state.ok_or_else(|| missing("a state"))?;
    let config = answer.config.unwrap_or_default();
    let host = answer.host_config.unwrap_or_default();
    let settings = answer.network_settings.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let health = state.health.unwrap_or_default();
    let endpoints = settings.networks.unwrap_or_default();
    let last = health.log.unwrap_or_default().pop();
    Ok(Observed {
        id: answer.id.ok_or_else(|| missing("an ID"))?,
        name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        started_at: state.started_at.unwrap_or_default(),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
        state: running(
            state.status.unwrap_or(ContainerStateStatusEnum::EMPTY),
            state.running == Some(true),
            state.paused == Some(true),
        ),
        exit: Exit {
            code: state.exit_code.unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            out_of_memory: state.oom_killed == Some(true),
        },
        check: config.healthcheck.and_then(check),
        health: Health {
            healthy: health.status == Some(HealthStatusEnum::HEALTHY),
            last: last.as_ref().and_then(|result| result.end.clone()),
            output: last.and_then(|result| result.output).unwrap_or_default(),
        },
        networking: networking(
            host.network_mode.as_deref().unwrap_or_default(),
            endpoints.iter().filter_map(|(name, endpoint)| {
                let parse = |ip: &Option<String>| ip.as_ref().and_then(|ip| ip.parse().ok());
                let ip = parse(&endpoint.ip_address).or(parse(&endpoint.global_ipv6_address));
                Some((name.clone(), ip?))
            }),
        ),
        networks: endpoints.into_keys().collect(),
        published: ports(settings.ports),
        publishes: ports(host.port_bindings),
        stop_timeout: config.stop_timeout.map(grace),
        lasting: match labels.get(UNIT_LABEL) {
            Some(unit) => Lasting::Unit(unit.clone()),
            None if host.auto_remove == Some(true) => Lasting::AutoRemove,
            None => Lasting::Yes,
        },
        restart_policy: host
            .restart_policy
            .and_then(|policy| policy.name)
            .map(|name| name.to_string())
            .unwrap_or_default(),
    })
}

/// The same from the answer's bytes: for fuzzing, which is worth more without a socket.
#[doc(hidden)]
pub fn observed_from_json(bytes: &[u8]) -> Result<Observed, EngineError> {
    let answer =
        serde_json::from_slice(bytes).map_err(|error| EngineError::Garbled(error.to_string()))?;
    observed(answer)
}

/// Seconds; a negative number of them means never to kill it.
fn grace(seconds: i64) -> Duration {
    u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs)
}

fn running(status: ContainerStateStatusEnum, running: bool, paused: bool) -> State {
    match status {
        ContainerStateStatusEnum::RESTARTING => State::Restarting,
        ContainerStateStatusEnum::PAUSED => State::Paused,
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING => State::Running,
        ContainerStateStatusEnum::EMPTY if paused => State::Paused,
        ContainerStateStatusEnum::EMPTY if running => State::Running,
        ContainerStateStatusEnum::EMPTY
        | ContainerStateStatusEnum::CREATED
        | ContainerStateStatusEnum::REMOVING
        | ContainerStateStatusEnum::EXITED
        | ContainerStateStatusEnum::DEAD => State::Stopped,
    }
}

fn networking(mode: &str, addresses: impl Iterator<Item = (String, IpAddr)>) -> Networking {
    match mode {
        "host" => Networking::Host,
        "none" => Networking::None,
        _ => match mode.strip_prefix("container:") {
            Some(other) => Networking::Container(other.to_owned()),
            None => Networking::Own(addresses.collect()),
        },
    }
}

/// The check's own argv: `CMD` as it is, `CMD-SHELL` through `/bin/sh` as the engines do.
fn check(config: HealthConfig) -> Option<HealthCheck> {
    let mut test = config.test?.into_iter();
    let argv = match test.next()?.as_str() {
        "CMD" => test.collect(),
        "CMD-SHELL" => {
            ["/bin/sh".to_owned(), "-c".to_owned()].into_iter().chain(test).collect::<Vec<_>>()
        }
        _ => return None,
    };
    let timeout = match config.timeout {
        Some(nanos @ 1..) => Duration::from_nanos(nanos.unsigned_abs()),
        _ => CHECK_TIMEOUT,
    };
    (!argv.is_empty()).then_some(HealthCheck { argv, timeout })
}

/// TCP and UDP ports; an address of everywhere is kept as it is.
fn ports(map: Option<PortMap>) -> BTreeMap<Port, Vec<SocketAddr>> {
    let mut ports = BTreeMap::new();
    for (port, bindings) in map.unwrap_or_default() {
        let Ok(port) = port.parse::<Port>() else { continue };
        let addresses: Vec<SocketAddr> = bindings
            .unwrap_or_default()
            .into_iter()
            .map(|binding| {
                let ip = binding.host_ip.and_then(|ip| ip.parse().ok());
                let port = binding.host_port.and_then(|port| port.parse().ok()).unwrap_or(0);
                SocketAddr::new(ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port)
            })
            .collect();
        if !addresses.is_empty() {
            ports.insert(port, addresses);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Observed, EngineError> {
        observed(serde_json::from_str(json).expect("the API's shape"))
    }

    #[test]
    fn a_published_bridged_container_with_a_shell_check() {
        let seen = parse(
            r#"{"Id":"abc","Name":"/web","State":{"Status":"running","Running":true,
            "StartedAt":"t1","Health":{"Status":"healthy","Log":[{"End":"t2","Output":"ok"}]}},
            "Config":{"Healthcheck":{"Test":["CMD-SHELL","true"],"Timeout":2000000000},
            "StopTimeout":3,"Labels":{}},
            "HostConfig":{"NetworkMode":"default","AutoRemove":true,
            "RestartPolicy":{"Name":"always"},
            "PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}},
            "NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],
            "53/udp":[{"HostIp":"::","HostPort":"5353"}],"9/sctp":null},"Networks":{"bridge":{"IPAddress":"172.17.0.2"},
            "none":{"IPAddress":""}}}}"#,
        )
        .unwrap();
        assert_eq!((seen.name.as_str(), seen.state), ("web", State::Running));
        assert!(seen.health.healthy && seen.health.last.as_deref() == Some("t2"));
        let check = seen.check.unwrap();
        assert_eq!(check.argv, ["/bin/sh", "-c", "true"]);
        assert_eq!(check.timeout, Duration::from_secs(2));
        assert_eq!(seen.stop_timeout, Some(Duration::from_secs(3)));
        assert_eq!(seen.lasting, Lasting::AutoRemove);
        assert_eq!(seen.restart_policy, "always");
        assert_eq!(
            seen.networking,
            Networking::Own([("bridge".to_owned(), "172.17.0.2".parse().unwrap())].into())
        );
        assert_eq!(seen.published[&Port::tcp(80)], ["0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(seen.published[&Port::udp(53)], ["[::]:5353".parse().unwrap()]);
        assert_eq!(seen.publishes[&Port::tcp(80)], ["0.0.0.0:8080".parse().unwrap()]);
    }

    /// As Docker 20.10 and Podman 4.3 write them: one that was never started has exit code 0, too.
    #[test]
    fn one_that_was_never_started_is_told_from_one_that_has_ended_well() {
        let seen = |state: &str| parse(&format!(r#"{{"Id":"abc","State":{{{state}}}}}"#)).unwrap();
        for never in [
            r#""Status":"created","ExitCode":0,"StartedAt":"0001-01-01T00:00:00Z""#,
            r#""Status":"created","ExitCode":0,"StartedAt":"0001-01-01T00:00:00.000000000Z""#,
            r#""Status":"created","ExitCode":0"#,
        ] {
            let seen = seen(never);
            assert_eq!((seen.state, seen.was_started()), (State::Stopped, false), "{never}");
        }
        let seen =
            seen(r#""Status":"exited","ExitCode":0,"StartedAt":"2024-05-01T08:00:00.123456789Z""#);
        assert!(seen.was_started());
    }

    #[test]
    fn a_bare_answer_is_stopped_and_one_without_a_state_is_garbled() {
        let seen = parse(r#"{"Id":"abc","State":{}}"#).unwrap();
        assert_eq!((seen.state, seen.check), (State::Stopped, None));
        assert!(matches!(parse(r#"{"Id":"abc"}"#), Err(EngineError::Garbled(_))));
    }
}
