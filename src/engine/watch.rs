//! The engine's event stream, taken up again whenever it breaks: one for all targets of an engine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::api::Api;
use super::{EngineError, TargetName};
use crate::activation::Pauses;
use crate::clock;

/// Events from shortly before the stream was asked for are replayed, so that none falls between
/// the look that follows a reconnect and the stream's first byte.
const OVERLAP: Duration = Duration::from_secs(2);

/// A stream that ends sooner is no reason to ask at once again: something cuts it each time.
pub(super) const LIVED: Duration = Duration::from_secs(5);

/// After so long without an event the stream is taken up anew.
const QUIET: Duration = Duration::from_secs(10 * 60);

/// Who wants to know of which target. One of them follows the stream for all; when it ends, another
/// does.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Mutex<Vec<Watcher>>,
    following: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Watcher {
    whom: Whom,
    hint: Arc<Notify>,
}

/// What a watcher wants to know of.
#[derive(Debug, Clone)]
pub(super) enum Whom {
    /// Whatever happens to that target.
    Target(TargetName),
    /// That a container comes, goes, or is called otherwise.
    Everybody,
}

/// Watches for ever; see [`Engine::watch`](super::Engine::watch).
pub(super) async fn watch(api: &Api, whom: Whom, look: &Notify) {
    api.watchers().watch(whom, look, || follow_all(api)).await;
}

/// Takes a watcher off the list with its future.
struct Registered<'a> {
    watchers: &'a Watchers,
    hint: &'a Arc<Notify>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.watchers.lock().retain(|watcher| !Arc::ptr_eq(&watcher.hint, self.hint));
    }
}

impl Watchers {
    /// Passes the hints on that concern it, for ever. Whoever is first follows, for all.
    pub(super) async fn watch<F: Future<Output = ()>>(
        &self,
        whom: Whom,
        look: &Notify,
        follow_all: impl FnOnce() -> F,
    ) {
        let hint = Arc::new(Notify::new());
        self.lock().push(Watcher { whom, hint: Arc::clone(&hint) });
        let _registered = Registered { watchers: self, hint: &hint };
        let follow = async {
            let _turn = self.following.lock().await;
            // Large, and needed by one of them.
            Box::pin(follow_all()).await;
        };
        let pass_on = async {
            loop {
                hint.notified().await;
                look.notify_one();
            }
        };
        tokio::select! {
            () = follow => {}
            never = pass_on => never,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those whom it concerns; true if there are any.
    pub(super) fn tell(&self, concerns: impl Fn(&Whom) -> bool) -> bool {
        let all = self.lock();
        let concerned = all.iter().filter(|watcher| concerns(&watcher.whom));
        concerned.map(|watcher| watcher.hint.notify_one()).count() > 0
    }
}

/// Follows stream after stream, for ever.
async fn follow_all(api: &Api) {
    let mut pauses = Pauses::watch();
    let mut away = false;
    loop {
        // Asked anew at every turn: the engine may be another version by now.
        match api.connect().await {
            Ok(version) => {
                if away {
                    info!(engine = %api.endpoint(), %version, "the engine is back");
                    away = false;
                }
                api.watchers().tell(|_| true);
                let began = clock::instant();
                let end = follow(api).await;
                if began.elapsed() >= LIVED {
                    pauses = Pauses::watch();
                }
                debug!(engine = %api.endpoint(), reason = ?end, "the event stream has ended");
            }
            Err(error) => {
                if !away {
                    warn!(
                        engine = %api.endpoint(), reason = %error,
                        "the engine cannot be asked; connections go on, new wakes wait for it"
                    );
                    away = true;
                }
            }
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

/// Follows one stream to its end.
async fn follow(api: &Api) -> Option<EngineError> {
    let client = match api.client().await {
        Ok(client) => client,
        Err(error) => return Some(error),
    };
    let since = clock::unix_time().saturating_sub(OVERLAP).as_secs();
    let filters = [("type".to_owned(), vec!["container".to_owned()])].into();
    let options = EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build();
    let mut events = std::pin::pin!(client.docker.events(Some(options)));
    // A stream that a firewall has silently dropped looks just like a quiet engine.
    while let Ok(Some(event)) = timeout(QUIET, events.next()).await {
        match event {
            Ok(event) => {
                if api.watchers().tell(|whom| whom.is_concerned(&event)) {
                    debug!(action = event.action.as_deref().unwrap_or(""), "engine event");
                }
            }
            // One odd event is no reason to lose the stream; what it said is looked up.
            Err(bollard::errors::Error::JsonDataError { .. }) => {
                api.watchers().tell(|_| true);
            }
            Err(error) => return Some(super::error::translate(error, api.endpoint())),
        }
    }
    None
}

impl Whom {
    fn is_concerned(&self, event: &EventMessage) -> bool {
        match self {
            Self::Target(name) => concerns(event, name),
            // Docker destroys, Podman removes.
            Self::Everybody => event
                .action
                .as_deref()
                .is_none_or(|action| matches!(action, "create" | "destroy" | "remove" | "rename")),
        }
    }
}

/// Whether the event may be about the target. Its own execs are noise; a target named by ID is
/// known by that.
fn concerns(event: &EventMessage, name: &TargetName) -> bool {
    let action = event.action.as_deref().unwrap_or_default();
    // Podman does not say what the renamed one was called before.
    if action == "rename" {
        return true;
    }
    if action.starts_with("exec_") {
        return false;
    }
    let Some(actor) = &event.actor else { return true };
    let name = name.as_str();
    let id = actor.id.as_deref().unwrap_or_default();
    if id.starts_with(name) && name.len() >= 4 {
        return true;
    }
    let Some(attributes) = &actor.attributes else { return true };
    attributes.get("name").is_some_and(|value| value.trim_start_matches('/') == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> EventMessage {
        serde_json::from_str(json).expect("the API's shape")
    }

    #[test]
    fn events_of_the_target_are_told_from_others_and_from_our_own_execs() {
        let name = TargetName::container("web").unwrap();
        let of = |json| concerns(&event(json), &name);
        assert!(of(r#"{"Action":"die","Actor":{"ID":"f00","Attributes":{"name":"web"}}}"#));
        assert!(!of(r#"{"Action":"die","Actor":{"ID":"f00","Attributes":{"name":"other"}}}"#));
        assert!(of(r#"{"Action":"rename","Actor":{"ID":"f00","Attributes":{"name":"x"}}}"#));
        assert!(!of(r#"{"Action":"exec_die","Actor":{"ID":"f00","Attributes":{"name":"web"}}}"#));
        let everybody = |json| Whom::Everybody.is_concerned(&event(json));
        assert!(everybody(r#"{"Action":"create","Actor":{"ID":"f00"}}"#));
        assert!(everybody(r#"{"Action":"remove","Actor":{"ID":"f00"}}"#));
        assert!(!everybody(r#"{"Action":"die","Actor":{"ID":"f00"}}"#));
        let by_id = TargetName::container("f00dbabe").unwrap();
        assert!(concerns(
            &event(r#"{"Action":"die","Actor":{"ID":"f00dbabe99","Attributes":{}}}"#),
            &by_id
        ));
    }
}
