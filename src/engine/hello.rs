//! Who is at the endpoint: asked once per connection, with the one call that costs nothing.
//!
//! Podman forks package queries for `/version` and `/info`, which takes half a second on an idle
//! machine and ten on a busy one. `/_ping` answers at once and carries the versions in its headers.

use bollard::{API_DEFAULT_VERSION, ClientVersion};
use hyper::HeaderMap;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::api::LOOK_LIMIT;
use super::error::unanswered;
use super::{Endpoint, EngineError, Locality, http, plain};

/// Which engine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Docker,
    Podman,
}

/// What an engine says of itself.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) flavour: Flavour,
    /// Its own version, like `20.10.24`; may be empty.
    pub(super) version: String,
    /// The newest API version that both sides know; `None` if it did not say.
    pub(super) api: Option<ClientVersion>,
    pub(super) locality: Locality,
}

/// Asks.
pub(super) async fn hello(endpoint: &Endpoint) -> Result<Hello, EngineError> {
    match timeout(LOOK_LIMIT, ask(endpoint)).await {
        Ok(hello) => hello,
        Err(_) => Err(EngineError::timed_out("ping", LOOK_LIMIT)),
    }
}

async fn ask(endpoint: &Endpoint) -> Result<Hello, EngineError> {
    let lost = |error: &(dyn std::error::Error + 'static)| unanswered(error, endpoint);
    let (head, locality) = match endpoint {
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| EngineError::from_connect(&error, endpoint))?;
            // Whoever made the socket: a rootless engine's is its user's (unix(7), SO_PEERCRED).
            let rootless = stream.peer_cred().is_ok_and(|peer| peer.uid() != 0);
            let locality = if rootless { Locality::Rootless } else { Locality::Local };
            (http::head_of(stream, "localhost", "/_ping", LOOK_LIMIT).await, locality)
        }
        Endpoint::Http(authority) => {
            let stream = TcpStream::connect(authority)
                .await
                .map_err(|error| EngineError::from_connect(&error, endpoint))?;
            let near = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
            let locality =
                if near { Locality::Local } else { Locality::Remote(host_of(authority)) };
            (http::head_of(stream, authority, "/_ping", LOOK_LIMIT).await, locality)
        }
    };
    let (_, headers) = head.map_err(|error| lost(&error))?;
    Ok(read(&headers, locality))
}

/// The host of `host:port`, without the brackets of an IPv6 address.
pub(super) fn host_of(authority: &str) -> String {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_matches(['[', ']']).to_owned()
}

fn read(headers: &HeaderMap, locality: Locality) -> Hello {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let server = text("server");
    let flavour = if headers.contains_key("libpod-api-version") || server.starts_with("Libpod") {
        Flavour::Podman
    } else {
        Flavour::Docker
    };
    let version = server.split_once('/').map_or("", |(_, version)| version);
    let version = plain(version.split(' ').next().unwrap_or_default());
    let api = text("api-version").split_once('.').and_then(|(major, minor)| {
        let theirs = (major.parse().ok()?, minor.parse().ok()?);
        let ours = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
        let (major_version, minor_version) = theirs.min(ours);
        Some(ClientVersion { major_version, minor_version })
    });
    Hello { flavour, version, api, locality }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> (Flavour, String, Option<(usize, usize)>) {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let hello = read(&headers, Locality::Local);
        let api = hello.api.map(|api| (api.major_version, api.minor_version));
        (hello.flavour, hello.version, api)
    }

    #[test]
    fn docker_and_podman_say_who_they_are() {
        let docker = [("api-version", "1.41"), ("server", "Docker/20.10.24+dfsg1 (linux)")];
        assert_eq!(of(&docker), (Flavour::Docker, "20.10.24+dfsg1".to_owned(), Some((1, 41))));
        let podman = [
            ("api-version", "1.41"),
            ("libpod-api-version", "4.3.1"),
            ("server", "Libpod/4.3.1 (linux)"),
        ];
        assert_eq!(of(&podman), (Flavour::Podman, "4.3.1".to_owned(), Some((1, 41))));
    }

    #[test]
    fn a_newer_api_is_spoken_as_far_as_we_know_it_and_silence_is_no_version() {
        let ours = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
        assert_eq!(of(&[("api-version", "9.99")]).2, Some(ours));
        assert_eq!(of(&[]), (Flavour::Docker, String::new(), None));
        assert_eq!(of(&[("api-version", "new")]).2, None);
    }
}
