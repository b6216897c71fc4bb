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

/// What is at a socket's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or nothing that this user may see.
    Nothing,
    /// Something that this user may not write to.
    Forbidden,
    /// Something that this user may connect to.
    Usable,
}

impl Found {
    /// What is there now, for this process. Connecting takes the right to write (unix(7)).
    pub fn at(path: &Path) -> Self {
        match rustix::fs::access(path, rustix::fs::Access::WRITE_OK) {
            Ok(()) => Self::Usable,
            Err(_) if path.exists() => Self::Forbidden,
            Err(_) => Self::Nothing,
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
    #[error("{by}: {}", not_understood(value))]
    NotUnderstood {
        /// Where the words come from.
        by: &'static str,
        /// The words.
        value: String,
    },
}

/// Chooses an endpoint, and says by what it was chosen.
///
/// `env` reads a variable, `look` looks at a socket; both are passed in so that the choice itself is a
/// pure function.
pub fn select(
    wish: &str,
    env: impl Fn(&str) -> Option<String>,
    look: impl Fn(&Path) -> Found,
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
    // Rootful before rootless, and Docker before Podman within each; but what this user may use comes
    // before what exists.
    let both = || {
        let (docker, podman) = (docker(), podman());
        let mut all = vec![docker[0].clone(), podman[0].clone()];
        all.extend(docker.into_iter().skip(1).chain(podman.into_iter().skip(1)));
        all
    };
    let first = |sockets: Vec<PathBuf>, why| {
        let found = |wanted| sockets.iter().find(|path| look(path) == wanted);
        match found(Found::Usable).or_else(|| found(Found::Forbidden)) {
            Some(found) => Ok((Endpoint::Unix(found.clone()), why)),
            None => Err(SelectError::NoneFound(
                sockets
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            )),
        }
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
            first(both(), "the first socket that can be used")
        }
        // A named engine whose socket is not there yet is waited for, at the place it would be.
        "docker" => first(docker(), "--engine docker")
            .or_else(|_| Ok((Endpoint::Unix(docker()[0].clone()), "--engine docker"))),
        "podman" => first(podman(), "--engine podman")
            .or_else(|_| Ok((Endpoint::Unix(podman()[0].clone()), "--engine podman"))),
        other => Ok((parse("--engine", other)?, "--engine")),
    }
}

/// Checks a word of `--labels` without choosing: one of `--engine`, but for those of units.
pub fn check_labels_word(word: &str) -> Result<(), String> {
    match word {
        "systemd" | "systemd-user" => Err(format!(
            "{word}: units have no labels; give a container engine, like docker or podman, and \
             name units with --unit"
        )),
        word => check_word(word),
    }
}

/// Checks the word of `--engine` without choosing.
pub fn check_word(word: &str) -> Result<(), String> {
    match word {
        "auto" | "docker" | "podman" | "systemd" | "systemd-user" => Ok(()),
        // Whoever asks says where the word stands.
        uri => endpoint(uri).map(drop).ok_or_else(|| not_understood(uri)),
    }
}

fn parse(by: &'static str, uri: &str) -> Result<Endpoint, SelectError> {
    endpoint(uri).ok_or_else(|| SelectError::NotUnderstood { by, value: uri.to_owned() })
}

fn not_understood(value: &str) -> String {
    format!(
        "{value:?} is not understood: auto, docker, podman, unix:///path, tcp://host:port or \
         http://host:port (ssh:// and TLS are not supported); for units systemd or systemd-user"
    )
}

fn endpoint(uri: &str) -> Option<Endpoint> {
    match uri.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Some(Endpoint::Unix(path.into())),
        Some(("tcp" | "http", rest)) => {
            let authority = rest.trim_end_matches('/');
            let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "2375"));
            let port: u16 = port.parse().ok()?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            (!host.is_empty() && host.chars().all(plain))
                .then(|| Endpoint::Http(format!("{host}:{port}")))
        }
        _ => None,
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
            |path| {
                let mut found =
                    sockets.iter().filter_map(|socket| match socket.strip_prefix('!') {
                        Some(forbidden) => {
                            (Path::new(forbidden) == path).then_some(Found::Forbidden)
                        }
                        None => (Path::new(socket) == path).then_some(Found::Usable),
                    });
                found.next().unwrap_or(Found::Nothing)
            },
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
            "the first socket that can be used"
        );
    }

    /// `!` marks a socket of others.
    #[test]
    fn what_may_be_used_comes_before_what_exists() {
        let runtime = [("XDG_RUNTIME_DIR", "/r")];
        let own = ["!/var/run/docker.sock", "/r/podman/podman.sock"];
        assert_eq!(with("auto", &runtime, &own).unwrap().0, "unix:///r/podman/podman.sock");
        let docker = ["!/var/run/docker.sock", "/r/docker.sock"];
        assert_eq!(with("docker", &runtime, &docker).unwrap().0, "unix:///r/docker.sock");
        // Else the permission that is missing is told, of the one that exists.
        assert_eq!(with("auto", &runtime, &own[..1]).unwrap().0, "unix:///var/run/docker.sock");
    }

    #[test]
    fn a_named_engine_is_waited_for_at_its_place() {
        assert_eq!(with("docker", &[], &[]).unwrap().0, "unix:///var/run/docker.sock");
        let env = [("XDG_RUNTIME_DIR", "/r")];
        let sockets = ["/r/podman/podman.sock"];
        assert_eq!(with("podman", &env, &sockets).unwrap().0, "unix:///r/podman/podman.sock");
    }

    #[test]
    fn a_word_is_complained_of_without_where_it_stands() {
        assert!(check_word("dockr").unwrap_err().starts_with("\"dockr\" is not understood: auto"));
        let whole = with("dockr", &[], &[]).unwrap_err().to_string();
        assert_eq!(whole, format!("--engine: {}", check_word("dockr").unwrap_err()));
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
