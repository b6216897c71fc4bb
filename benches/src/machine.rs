//! What is measured on: goes into every raw line.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Map, Value, json};

/// Thousands of clients need as many descriptors; a failure shows as lost clients.
pub(crate) fn raise_fd_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _refused = setrlimit(Resource::Nofile, raised);
}

/// Kernel, processor, versions.
pub(crate) fn describe(daemon: &Path) -> Map<String, Value> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = |program: &str, flag: &str| first_line(program, flag);
    let daemon = daemon.display().to_string();
    let mut versions = Map::new();
    for (name, program, flag) in [
        ("ondemand-container", daemon.as_str(), "--version"),
        ("haproxy", "haproxy", "-v"),
        ("nginx", "nginx", "-v"),
        ("socat", "socat", "-V"),
        ("systemd", "systemctl", "--version"),
        ("docker", "docker", "--version"),
        ("podman", "podman", "--version"),
    ] {
        if let Some(line) = version(program, flag) {
            versions.insert(name.to_owned(), json!(line));
        }
    }
    let mut all = Map::new();
    all.insert("kernel".into(), json!(release.trim()));
    all.insert("cpu".into(), json!(model));
    all.insert("cores".into(), json!(cores));
    all.insert("versions".into(), Value::Object(versions));
    all
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

fn first_line(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit())).map(str::to_owned)
}
