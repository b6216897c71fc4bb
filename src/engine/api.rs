//! Docker's API, as Docker and Podman speak it.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bollard::query_parameters::{
    InspectContainerOptions, InspectNetworkOptions, KillContainerOptionsBuilder,
    LogsOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::error::{translate, unanswered};
use super::hello::{Flavour, Hello, hello, host_of};
use super::transport::Kept;
use super::watch::{Watchers, Whom};
use super::{
    Endpoint, Engine, EngineError, HealthCheck, Locality, Networking, Observed, TargetName, Usage,
    Verdict, exec, healthcheck, inspect, usage, watch,
};

/// How long a call that only looks may take. An engine under load answers an inspect late, as it
/// waits for the container's lock.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(15);

/// How long a start or a thaw may take before it counts as not answered. Pulling nothing, even a
/// slow disk does it in seconds.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How much longer than its grace a stop may take before it counts as not answered.
const STOP_MARGIN: Duration = Duration::from_secs(20);

/// The client library has a time limit of its own for response heads, in whole seconds; ours are
/// shorter, so it is set out of the way.
const OUT_OF_THE_WAY: u64 = 24 * 60 * 60;

/// After a reconnect every target is looked at, and the engine is to answer others in between; an
/// inspect beside a start holds its place until the start is done.
const INSPECTS_AT_ONCE: usize = 32;

/// A client with its API version agreed.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) docker: Docker,
    pub(super) hello: Hello,
}

/// An engine that speaks Docker's API.
#[derive(Debug)]
pub struct Api {
    endpoint: Endpoint,
    client: Mutex<Option<Client>>,
    /// Where it runs, once it has answered.
    locality: OnceLock<Locality>,
    watchers: Watchers,
    /// One for each inspect there may be at once.
    inspects: Semaphore,
}

impl Api {
    /// An engine at `endpoint`; nothing is sent yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            client: Mutex::new(None),
            locality: OnceLock::new(),
            watchers: Watchers::default(),
            inspects: Semaphore::new(INSPECTS_AT_ONCE),
        }
    }

    /// Notifies `look` whenever a container may have been made, removed or renamed, and after every
    /// gap in which that may have been missed. Never ends, and shares the event stream of
    /// [`Engine::watch`].
    pub async fn watch_all(&self, look: &Notify) {
        watch::watch(self, Whom::Everybody, look).await;
    }

    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Where it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connects anew and agrees on the API version, and answers what engine it is.
    pub async fn connect(&self) -> Result<String, EngineError> {
        self.forget();
        let client = self.client().await?;
        let name = match client.hello.flavour {
            Flavour::Docker => "docker",
            Flavour::Podman => "podman",
        };
        Ok(format!("{name} {}", client.hello.version).trim_end().to_owned())
    }

    /// Gives a stopped container what stands for the addresses it will have: the first address of
    /// each of its networks, and its wished ports. For asking whether it could be reached.
    ///
    /// True if this machine gets an interface in one of its networks only with the start: Podman
    /// takes a bridge away that nobody is on.
    pub async fn foresee_addresses(&self, observed: &mut Observed) -> bool {
        for (port, addresses) in &observed.publishes {
            observed.published.entry(*port).or_insert_with(|| addresses.clone());
        }
        let Networking::Own(addresses) = &mut observed.networking else { return false };
        let Ok(client) = self.client().await else { return false };
        let comes_with_the_start =
            client.hello.flavour == Flavour::Podman && client.hello.locality == Locality::Local;
        let mut with_the_start = false;
        for network in &observed.networks {
            let call = client.docker.inspect_network(network, None::<InspectNetworkOptions>);
            let Ok(answer) = self.look("network", call).await else { continue };
            with_the_start |= comes_with_the_start && answer.driver.as_deref() == Some("bridge");
            let subnets = answer.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
            let first = subnets.into_iter().find_map(|config| {
                config.subnet?.split_once('/').and_then(|(address, _)| address.parse().ok())
            });
            if let Some(first) = first {
                addresses.insert(network.clone(), first);
            }
        }
        with_the_start
    }

    /// The next call connects anew: the engine may have been replaced by another version.
    pub(super) fn forget(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A client whose API version is agreed with the engine.
    pub(super) async fn client(&self) -> Result<Client, EngineError> {
        let cached = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = cached {
            return Ok(client);
        }
        let hello = hello(&self.endpoint).await?;
        self.locality.get_or_init(|| hello.locality.clone());
        let version = hello.api.as_ref().unwrap_or(API_DEFAULT_VERSION);
        let docker = match &self.endpoint {
            Endpoint::Unix(path) => {
                let kept = Kept::new(path.clone());
                let send = move |request| kept.clone().send(request);
                let address = Some("unix://localhost");
                Docker::connect_with_custom_transport(send, address, OUT_OF_THE_WAY, version)
            }
            Endpoint::Http(authority) => {
                Docker::connect_with_http(authority, OUT_OF_THE_WAY, version)
            }
        };
        let mut docker = docker.map_err(|error| self.translate(error))?;
        if hello.api.is_none() {
            docker = self.look("version", docker.negotiate_version()).await?;
        }
        let client = Client { docker, hello };
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    /// Awaits one call, under its own time limit.
    pub(super) async fn call<T>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        match timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| self.translate(error)),
            Err(_) => Err(EngineError::timed_out(what, limit)),
        }
    }

    /// Awaits one call that only looks.
    pub(super) async fn look<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        self.call(what, LOOK_LIMIT, call).await
    }

    fn translate(&self, error: bollard::errors::Error) -> EngineError {
        translate(error, &self.endpoint)
    }

    /// A GET outside the client library's vocabulary, at the engine's own path; an answer of more
    /// than `most` bytes is an error.
    pub(super) async fn get(
        &self,
        path: &str,
        most: usize,
        limit: Duration,
    ) -> Result<(u16, hyper::body::Bytes), EngineError> {
        let lost = |error: &(dyn std::error::Error + 'static)| unanswered(error, &self.endpoint);
        let answer = match &self.endpoint {
            Endpoint::Unix(socket) => {
                let stream =
                    tokio::net::UnixStream::connect(socket).await.map_err(|error| lost(&error))?;
                super::http::get(stream, "localhost", path, most, limit).await
            }
            Endpoint::Http(authority) => {
                let stream = tokio::net::TcpStream::connect(authority)
                    .await
                    .map_err(|error| lost(&error))?;
                super::http::get(stream, authority, path, most, limit).await
            }
        };
        answer.map_err(|error| lost(&error))
    }
}

/// The client library's futures are several KiB each: on the heap, so that whoever waits for one
/// stays small.
impl Engine for Api {
    async fn inspect(&self, name: &TargetName) -> Result<Observed, EngineError> {
        // Never closed, so an error cannot be.
        let _place = self.inspects.acquire().await;
        Box::pin(async {
            let client = self.client().await?;
            let call =
                client.docker.inspect_container(name.as_str(), None::<InspectContainerOptions>);
            inspect::observed(self.look("inspect", call).await?)
        })
        .await
    }

    async fn start(&self, name: &TargetName) -> Result<(), EngineError> {
        Box::pin(async {
            let client = self.client().await?;
            let call = client.docker.start_container(name.as_str(), None::<StartContainerOptions>);
            self.call("start", START_LIMIT, call).await
        })
        .await
    }

    async fn resume(&self, name: &TargetName) -> Result<(), EngineError> {
        Box::pin(async {
            let client = self.client().await?;
            self.call("unpause", START_LIMIT, client.docker.unpause_container(name.as_str())).await
        })
        .await
    }

    async fn stop(&self, name: &TargetName, grace: Duration) -> Result<(), EngineError> {
        Box::pin(async {
            let client = self.client().await?;
            // Rounded up: none at all would be a kill.
            let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
            let options = StopContainerOptionsBuilder::new().t(seconds).build();
            let call = client.docker.stop_container(name.as_str(), Some(options));
            self.call("stop", grace.saturating_add(STOP_MARGIN), call).await
        })
        .await
    }

    async fn pause(&self, name: &TargetName) -> Result<(), EngineError> {
        Box::pin(async {
            let client = self.client().await?;
            self.call("pause", START_LIMIT, client.docker.pause_container(name.as_str())).await
        })
        .await
    }

    async fn kill(&self, name: &TargetName) -> Result<(), EngineError> {
        Box::pin(async {
            let client = self.client().await?;
            let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
            let call = client.docker.kill_container(name.as_str(), Some(options));
            self.call("kill", START_LIMIT, call).await
        })
        .await
    }

    async fn exec(
        &self,
        name: &TargetName,
        argv: &[String],
        limit: Duration,
    ) -> Result<i64, EngineError> {
        Box::pin(async { exec::run(self, name, argv, limit).await }).await
    }

    async fn usage(&self, name: &TargetName) -> Result<Usage, EngineError> {
        Box::pin(async { usage::of(self, name).await }).await
    }

    async fn check_health(
        &self,
        name: &TargetName,
        check: &HealthCheck,
    ) -> Result<Verdict, EngineError> {
        Box::pin(async { healthcheck::run(self, name, check).await }).await
    }

    async fn last_output(&self, name: &TargetName, lines: u8) -> Result<Vec<String>, EngineError> {
        Box::pin(async {
            let client = self.client().await?;
            let options = LogsOptionsBuilder::new()
                .stdout(true)
                .stderr(true)
                .tail(&lines.to_string())
                .build();
            let mut stream = std::pin::pin!(client.docker.logs(name.as_str(), Some(options)));
            let read = async {
                // Chunks are not lines: one may hold several, or a part of one.
                let mut text = Vec::new();
                while let Some(chunk) = stream.next().await {
                    text.extend_from_slice(&chunk?.into_bytes());
                    if text.len() > 64 * 1024 {
                        break;
                    }
                }
                Ok(text)
            };
            let text = self.look("logs", read).await?;
            let mut all: Vec<String> =
                String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
            Ok(all.split_off(all.len().saturating_sub(lines.into())))
        })
        .await
    }

    async fn locality(&self) -> Locality {
        // It does not change while the daemon runs; an engine that is away does not move.
        if let Some(known) = self.locality.get() {
            return known.clone();
        }
        match (self.client().await, &self.endpoint) {
            (Ok(client), _) => client.hello.locality,
            (Err(_), Endpoint::Unix(_)) => Locality::Rootless,
            (Err(_), Endpoint::Http(authority)) => Locality::Remote(host_of(authority)),
        }
    }

    async fn watch(&self, name: &TargetName, look: &Notify) {
        watch::watch(self, Whom::Target(name.clone()), look).await;
    }

    fn describe(&self) -> String {
        self.endpoint.to_string()
    }
}
