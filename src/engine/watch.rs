//! The engine's event stream, taken up again whenever it breaks.

use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::api::Api;
use super::{ContainerName, EngineError};
use crate::activation::Pauses;
use crate::clock;

/// Events from shortly before the stream was asked for are replayed, so that none falls between
/// the look that follows a reconnect and the stream's first byte.
const OVERLAP: Duration = Duration::from_secs(2);

/// A stream that ends sooner is no reason to ask at once again: something cuts it each time.
const LIVED: Duration = Duration::from_secs(5);

/// After so long without an event the stream is taken up anew.
const QUIET: Duration = Duration::from_secs(10 * 60);

/// Watches for ever; see [`Engine::watch`](super::Engine::watch).
pub(super) async fn watch(api: &Api, name: &ContainerName, look: &Notify) {
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
                look.notify_one();
                let began = clock::instant();
                let end = follow(api, name, look).await;
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
async fn follow(api: &Api, name: &ContainerName, look: &Notify) -> Option<EngineError> {
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
                if concerns(&event, name) {
                    debug!(action = event.action.as_deref().unwrap_or(""), "engine event");
                    look.notify_one();
                }
            }
            // One odd event is no reason to lose the stream; what it said is looked up.
            Err(bollard::errors::Error::JsonDataError { .. }) => look.notify_one(),
            Err(error) => return Some(super::error::translate(error, api.endpoint())),
        }
    }
    None
}

/// Whether the event may be about the target. Its own execs are noise; a target named by ID is
/// known by that.
fn concerns(event: &EventMessage, name: &ContainerName) -> bool {
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
        let name = ContainerName::new("web").unwrap();
        let of = |json| concerns(&event(json), &name);
        assert!(of(r#"{"Action":"die","Actor":{"ID":"f00","Attributes":{"name":"web"}}}"#));
        assert!(!of(r#"{"Action":"die","Actor":{"ID":"f00","Attributes":{"name":"other"}}}"#));
        assert!(of(r#"{"Action":"rename","Actor":{"ID":"f00","Attributes":{"name":"x"}}}"#));
        assert!(!of(r#"{"Action":"exec_die","Actor":{"ID":"f00","Attributes":{"name":"web"}}}"#));
        let by_id = ContainerName::new("f00dbabe").unwrap();
        assert!(concerns(
            &event(r#"{"Action":"die","Actor":{"ID":"f00dbabe99","Attributes":{}}}"#),
            &by_id
        ));
    }
}
