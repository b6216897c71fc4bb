//! Which engine: from `--engine`, the environment and the sockets that exist.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// How an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// Plain HTTP at `host:port`.
    Http(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Http(authority) => write!(f, "http://{authority}"),
        }
    }
}

/// No engine can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectError {
    /// None of the known sockets exists.
    #[error(
        "no container engine found (looked for {0}): start docker, or `systemctl enable --now \
         podman.socket`, or name the socket with --engine unix:///path"
    )]
    NoneFound(String),
    /// The words name no engine.
    #[error(
        "{by}: {value:?} is not understood: auto, docker, podman, unix:///path, tcp://host:port or \
         http://host:port (ssh:// and TLS are not supported)"
    )]
    NotUnderstood {
        /// Where the words come from.
        by: &'static str,
        /// The words.
        value: String,
    },
}

/// Chooses an endpoint, and says by what it was chosen.
///
/// `env` reads a variable, `exists` tells whether a socket is there; both are passed in so that
/// the choice itself is a pure function.
pub fn select(
    wish: &str,
    env: impl Fn(&str) -> Option<String>,
    exists: impl Fn(&Path) -> bool,
) -> Result<(Endpoint, &'static str), SelectError> {
    let runtime = env("XDG_RUNTIME_DIR");
    let in_runtime = |name: &str| runtime.as_ref().map(|dir| Path::new(dir).join(name));
    let docker = || {
        [Some(PathBuf::from("/var/run/docker.sock")), in_runtime("docker.sock")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    let podman = || {
        [Some(PathBuf::from("/run/podman/podman.sock")), in_runtime("podman/podman.sock")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    // Rootful before rootless, and Docker before Podman within each.
    let both = || {
        let (docker, podman) = (docker(), podman());
        let mut all = vec![docker[0].clone(), podman[0].clone()];
        all.extend(docker.into_iter().skip(1).chain(podman.into_iter().skip(1)));
        all
    };
    let first = |sockets: Vec<PathBuf>, why| match sockets.iter().find(|path| exists(path)) {
        Some(found) => Ok((Endpoint::Unix(found.clone()), why)),
        None => Err(SelectError::NoneFound(
            sockets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        )),
    };
    let variable = |name: &str| env(name).filter(|value| !value.is_empty());
    match wish {
        "auto" => {
            if let Some(host) = variable("DOCKER_HOST") {
                return Ok((parse("DOCKER_HOST", &host)?, "DOCKER_HOST"));
            }
            if let Some(host) = variable("CONTAINER_HOST") {
                return Ok((parse("CONTAINER_HOST", &host)?, "CONTAINER_HOST"));
            }
            first(both(), "the first socket that exists")
        }
        // A named engine whose socket is not there yet is waited for, at the place it would be.
        "docker" => first(docker(), "--engine docker")
            .or_else(|_| Ok((Endpoint::Unix(docker()[0].clone()), "--engine docker"))),
        "podman" => first(podman(), "--engine podman")
            .or_else(|_| Ok((Endpoint::Unix(podman()[0].clone()), "--engine podman"))),
        other => Ok((parse("--engine", other)?, "--engine")),
    }
}

/// Checks the word of `--engine` without choosing.
pub fn check_word(word: &str) -> Result<(), SelectError> {
    match word {
        "auto" | "docker" | "podman" => Ok(()),
        uri => parse("--engine", uri).map(drop),
    }
}

fn parse(by: &'static str, uri: &str) -> Result<Endpoint, SelectError> {
    let bad = || SelectError::NotUnderstood { by, value: uri.to_owned() };
    match uri.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Endpoint::Unix(path.into())),
        Some(("tcp" | "http", rest)) => {
            let authority = rest.trim_end_matches('/');
            let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "2375"));
            let port: u16 = port.parse().map_err(|_| bad())?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            if host.is_empty() || !host.chars().all(plain) {
                return Err(bad());
            }
            Ok(Endpoint::Http(format!("{host}:{port}")))
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(
        wish: &str,
        env: &[(&str, &str)],
        sockets: &[&str],
    ) -> Result<(String, &'static str), SelectError> {
        select(
            wish,
            |name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
            |path| sockets.iter().any(|socket| Path::new(socket) == path),
        )
        .map(|(endpoint, why)| (endpoint.to_string(), why))
    }

    #[test]
    fn auto_takes_the_environment_first_then_sockets_rootful_first() {
        let env = [("DOCKER_HOST", "tcp://h:1"), ("CONTAINER_HOST", "unix:///c")];
        let all = ["/run/podman/podman.sock", "/r/docker.sock", "/var/run/docker.sock"];
        let runtime = ("XDG_RUNTIME_DIR", "/r");
        assert_eq!(with("auto", &env, &all).unwrap().0, "http://h:1");
        assert_eq!(with("auto", &env[1..], &all).unwrap().0, "unix:///c");
        assert_eq!(with("auto", &[runtime], &all).unwrap().0, "unix:///var/run/docker.sock");
        assert_eq!(
            with("auto", &[runtime], &all[..2]).unwrap().0,
            "unix:///run/podman/podman.sock"
        );
        assert_eq!(with("auto", &[runtime], &all[1..2]).unwrap().0, "unix:///r/docker.sock");
        assert!(matches!(with("auto", &[], &[]), Err(SelectError::NoneFound(_))));
        assert_eq!(
            with("auto", &[("DOCKER_HOST", "")], &all).unwrap().1,
            "the first socket that exists"
        );
    }

    #[test]
    fn a_named_engine_is_waited_for_at_its_place() {
        assert_eq!(with("docker", &[], &[]).unwrap().0, "unix:///var/run/docker.sock");
        let env = [("XDG_RUNTIME_DIR", "/r")];
        let sockets = ["/r/podman/podman.sock"];
        assert_eq!(with("podman", &env, &sockets).unwrap().0, "unix:///r/podman/podman.sock");
    }

    #[test]
    fn uris_are_understood_or_named() {
        assert_eq!(with("http://[::1]:99", &[], &[]).unwrap().0, "http://[::1]:99");
        assert_eq!(with("tcp://box", &[], &[]).unwrap().0, "http://box:2375");
        for bad in ["ssh://box", "unix://relative", "dockr", "tcp://", "tcp://h:x", "http://a b:1"]
        {
            assert!(matches!(with(bad, &[], &[]), Err(SelectError::NotUnderstood { .. })), "{bad}");
        }
    }
}
