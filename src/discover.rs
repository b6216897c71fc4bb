//! What containers an engine has, kept true.
//!
//! One task per engine lists them when it begins, after a container has come, gone or been renamed,
//! and whenever that may have been missed. While the engine is away the last list stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use crate::activation::Pauses;
use crate::engine::{Api, Engine, EngineError, Snapshot};

/// Compose makes and removes containers by the dozen: one list for all of them.
const SETTLE: Duration = Duration::from_millis(100);

/// The discovery of one engine. It ends when this is dropped.
#[derive(Debug)]
pub struct Discovery {
    latest: watch::Receiver<Option<Arc<Snapshot>>>,
    task: AbortOnDropHandle<()>,
}

impl Discovery {
    /// Begins; needs a runtime.
    pub fn begin(engine: Arc<Api>) -> Self {
        let (sender, latest) = watch::channel(None);
        let task = tokio::spawn(async move { follow(&engine, &sender).await });
        Self { latest, task: AbortOnDropHandle::new(task) }
    }

    /// The latest snapshot, and every change of it; `None` before the engine has answered once.
    pub fn latest(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.latest.clone()
    }

    /// Waits for its end, which comes only by a failure.
    pub async fn failed(&mut self) -> String {
        match (&mut self.task).await {
            Ok(()) => "the discovery has ended".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

async fn follow(engine: &Api, latest: &watch::Sender<Option<Arc<Snapshot>>>) {
    let look = Notify::new();
    let list = async {
        loop {
            list(engine, latest).await;
            look.notified().await;
            sleep(SETTLE).await;
        }
    };
    tokio::select! {
        never = list => never,
        () = engine.watch_all(&look) => {}
    }
}

/// Lists until it is answered. What changes in the meantime leaves a hint.
async fn list(engine: &Api, latest: &watch::Sender<Option<Arc<Snapshot>>>) {
    let mut pauses = Pauses::watch();
    let mut told = false;
    loop {
        match engine.list().await {
            Ok(snapshot) => return publish(snapshot, latest),
            // The event watch tells of an engine that is away.
            Err(EngineError::Unavailable { reason, .. }) => {
                debug!(engine = engine.describe(), reason, "containers cannot be listed");
            }
            Err(
                error @ (EngineError::Missing(_)
                | EngineError::Conflict(_)
                | EngineError::Refused { .. }
                | EngineError::Garbled(_)),
            ) => {
                if !told {
                    warn!(engine = engine.describe(), %error, "containers cannot be listed");
                    told = true;
                }
            }
        }
        sleep(pauses.pause()).await;
    }
}

fn publish(mut snapshot: Snapshot, latest: &watch::Sender<Option<Arc<Snapshot>>>) {
    latest.send_if_modified(|known| {
        if let Some(known) = known {
            snapshot.remember(known);
        }
        let changed = known.as_deref() != Some(&snapshot);
        if changed {
            *known = Some(Arc::new(snapshot));
        }
        changed
    });
}
