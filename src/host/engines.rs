//! The engines that services name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tracing::{error, info};

use crate::engine::{AnyEngine, Engine as _, EngineError, Found, SelectError};

/// How long the start waits for an engine to say who it is.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// One client for each engine, by the word that names it.
#[derive(Debug, Default)]
pub(super) struct Engines {
    known: HashMap<String, Arc<AnyEngine>>,
}

impl Engines {
    /// The engine of that word, if it is known.
    pub(super) fn get(&self, word: &str) -> Option<&Arc<AnyEngine>> {
        self.known.get(word)
    }

    /// Makes the engines of those words known, and asks the new ones who they are: what is wrong
    /// with them is told at once. One that is away is waited for by whoever wants something of it.
    ///
    /// Fails when a word leads nowhere, and when permission is missing for all there are; while
    /// another engine can be used, the one that may not be is told and left alone.
    pub(super) async fn know(
        &mut self,
        words: impl Iterator<Item = &str>,
    ) -> Result<(), EnginesError> {
        let mut fresh: HashMap<String, (Arc<AnyEngine>, &'static str)> = HashMap::new();
        for word in words {
            if self.known.contains_key(word) || fresh.contains_key(word) {
                continue;
            }
            let env = |name: &str| std::env::var(name).ok();
            let (engine, why) = AnyEngine::choose(word, env, Found::at)?;
            fresh.insert(word.to_owned(), (Arc::new(engine), why));
        }
        let asked = fresh.values().map(|(engine, why)| greet(engine, why));
        let forbidden: Vec<EngineError> = join_all(asked).await.into_iter().flatten().collect();
        match forbidden.first() {
            Some(first) if forbidden.len() == fresh.len() && self.known.is_empty() => {
                return Err(EnginesError::Forbidden(first.clone()));
            }
            Some(_) | None => {}
        }
        for why in forbidden {
            error!(%why, "an engine may not be used; its services stay as they are");
        }
        self.known.extend(fresh.into_iter().map(|(word, (engine, _))| (word, engine)));
        Ok(())
    }
}

/// Engines that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EnginesError {
    /// A word leads nowhere.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// This user may talk to none of them.
    #[error(transparent)]
    Forbidden(EngineError),
}

/// Asks an engine who it is; the error if it is one of permission.
async fn greet(engine: &AnyEngine, why: &'static str) -> Option<EngineError> {
    match timeout(FIRST_ANSWER, engine.connect()).await {
        Ok(Ok(version)) => {
            info!(engine = %engine.describe(), chosen_by = why, %version, "engine");
            None
        }
        Ok(Err(error)) if error.is_permission() => Some(error),
        // The driver's event watch tells of an engine that is away, and of its return.
        Ok(Err(
            EngineError::Unavailable { .. }
            | EngineError::Missing(_)
            | EngineError::Conflict(_)
            | EngineError::Refused { .. }
            | EngineError::Garbled(_),
        ))
        | Err(_) => {
            info!(engine = %engine.describe(), chosen_by = why, "engine, not answering yet");
            None
        }
    }
}
