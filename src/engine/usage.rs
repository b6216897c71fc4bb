//! What a container has used, as its engine counts it.
//!
//! Read leniently: Docker leaves out the networks of one that uses the host's, and Podman writes
//! `null` for what it does not count.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::api::{Api, LOOK_LIMIT};
use super::http::BODY_LIMIT;
use super::{EngineError, TargetName, Usage, plain};

pub(super) async fn of(api: &Api, name: &TargetName) -> Result<Usage, EngineError> {
    let client = api.client().await?;
    let version = client.docker.client_version();
    let (major, minor) = (version.major_version, version.minor_version);
    // One sample; an API before 1.41 takes two, a second apart.
    let path = format!("/v{major}.{minor}/containers/{name}/stats?stream=false&one-shot=true");
    let (status, body) = api.get(&path, BODY_LIMIT, LOOK_LIMIT).await?;
    let text = || plain(&String::from_utf8_lossy(&body));
    match status {
        200 => from_json(&body),
        404 => Err(EngineError::Missing(text())),
        409 => Err(EngineError::Conflict(text())),
        _ => Err(EngineError::Refused { status, message: text() }),
    }
}

fn from_json(bytes: &[u8]) -> Result<Usage, EngineError> {
    let stats: Stats =
        serde_json::from_slice(bytes).map_err(|error| EngineError::Garbled(error.to_string()))?;
    let nanos = stats.cpu.cpu_usage.total_usage;
    Ok(Usage {
        // What runs has used some; of what does not run Docker writes zero.
        cpu: nanos.filter(|nanos| *nanos > 0).map(Duration::from_nanos),
        net: stats.networks.map(|networks| {
            networks.values().fold(0_u64, |sum, one| {
                let both = one.rx_bytes.unwrap_or(0).saturating_add(one.tx_bytes.unwrap_or(0));
                sum.saturating_add(both)
            })
        }),
        memory: stats.memory.usage.filter(|bytes| *bytes > 0),
    })
}

/// What counts of `GET /containers/NAME/stats`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stats {
    #[serde(deserialize_with = "lenient")]
    #[serde(rename = "cpu_stats")]
    cpu: CpuStats,
    #[serde(deserialize_with = "lenient")]
    #[serde(rename = "memory_stats")]
    memory: MemoryStats,
    #[serde(deserialize_with = "lenient")]
    networks: Option<BTreeMap<String, Network>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuStats {
    #[serde(deserialize_with = "lenient")]
    cpu_usage: CpuUsage,
}

/// In nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    #[serde(deserialize_with = "lenient")]
    total_usage: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemoryStats {
    #[serde(deserialize_with = "lenient")]
    usage: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    #[serde(deserialize_with = "lenient")]
    rx_bytes: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    tx_bytes: Option<u64>,
}

/// What is of another kind than expected is not there.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(json: &str) -> Usage {
        from_json(json.as_bytes()).unwrap()
    }

    /// As Docker 20.10 writes it.
    #[test]
    fn docker_counts_per_interface() {
        let seen = usage(
            r#"{"read":"2026-11-23T12:32:45.98Z","cpu_stats":{"cpu_usage":
            {"total_usage":35548681,"percpu_usage":[12751292,22797389]}},
            "memory_stats":{"usage":2371584,"stats":{"cache":1413120}},"networks":
            {"eth0":{"rx_bytes":646,"tx_bytes":4},"eth1":{"rx_bytes":50,"tx_bytes":0}}}"#,
        );
        let cpu = Some(Duration::from_nanos(35_548_681));
        assert_eq!(seen, Usage { cpu, net: Some(700), memory: Some(2_371_584) });
    }

    /// As Podman 4.3 does.
    #[test]
    fn podman_writes_null_for_what_it_does_not_count() {
        let seen = usage(
            r#"{"blkio_stats":{"io_serviced_recursive":null},"cpu_stats":{"cpu_usage":
            {"total_usage":1000,"percpu_usage":null}},"memory_stats":{"usage":10,"limit":20},
            "networks":{"network":{"rx_bytes":266,"rx_packets":0,"tx_bytes":790}}}"#,
        );
        let cpu = Some(Duration::from_micros(1));
        assert_eq!(seen, Usage { cpu, net: Some(1056), memory: Some(10) });
        assert_eq!(usage(r#"{"cpu_stats":null,"networks":null}"#), Usage::default());
    }

    /// One that does not run, and nonsense.
    #[test]
    fn nothing_is_made_of_zeros_and_odd_kinds() {
        let stopped = r#"{"read":"0001-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":0}},
            "memory_stats":{}}"#;
        assert_eq!(usage(stopped), Usage::default());
        let odd =
            r#"{"cpu_stats":{"cpu_usage":{"total_usage":-1}},"memory_stats":[],"networks":7}"#;
        assert_eq!(usage(odd), Usage::default());
        assert!(matches!(from_json(b"[]x"), Err(EngineError::Garbled(_))));
    }
}
