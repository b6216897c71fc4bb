//! What the engines have, and what was told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::engines::Engines;
use crate::config::resolve::Snapshots;
use crate::config::{Complaint, Level};
use crate::discover::Discovery;
use crate::engine::{AnyEngine, Snapshot};

/// How long the first answers of engines are waited for: services that need one come later, then.
const FIRST_ANSWERS: Duration = Duration::from_secs(1);

/// One for each engine that is discovered.
#[derive(Debug, Default)]
pub(super) struct Discoveries {
    of: BTreeMap<String, Followed>,
    /// What was complained of last, which is not told again.
    told: BTreeSet<Complaint>,
}

#[derive(Debug)]
struct Followed {
    latest: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Ends with this.
    _discovery: Discovery,
}

impl Discoveries {
    /// Follows the engines of those words, too. New ones are waited for a moment.
    pub(super) async fn follow(&mut self, words: &BTreeSet<&str>, engines: &Engines) {
        let known = self.of.len();
        for word in words {
            if self.of.contains_key(*word) {
                continue;
            }
            // Units have no labels.
            if let Some(AnyEngine::Api(engine)) = engines.get(word).map(|engine| &**engine) {
                let discovery = Discovery::begin(Arc::clone(engine));
                let followed = Followed { latest: discovery.latest(), _discovery: discovery };
                self.of.insert((*word).to_owned(), followed);
            }
        }
        if self.of.len() > known {
            self.first_answers().await;
        }
    }

    /// Follows no others than the engines of those words any more.
    pub(super) fn keep_only(&mut self, words: &BTreeSet<&str>) {
        self.of.retain(|word, _| words.contains(word.as_str()));
    }

    async fn first_answers(&mut self) {
        let answers = self.of.values_mut().map(|of| Box::pin(of.latest.wait_for(Option::is_some)));
        drop(timeout(FIRST_ANSWERS, join_all(answers)).await);
    }

    /// What those of these words have said last; what the others have said is passed over.
    pub(super) fn latest(&mut self, words: &BTreeSet<&str>) -> Snapshots {
        let latest = self.of.iter_mut().filter_map(|(word, of)| {
            let snapshot = of.latest.borrow_and_update().clone()?;
            words.contains(word.as_str()).then(|| (word.clone(), snapshot))
        });
        latest.collect()
    }

    /// Waits until one of them says something else. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.of.is_empty() {
            return std::future::pending().await;
        }
        // A discovery that has failed says nothing any more.
        let changes = self.of.values_mut().map(|of| {
            Box::pin(async {
                if of.latest.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        });
        select_all(changes).await;
    }

    /// Tells what is to be complained of and was not told before.
    pub(super) fn tell(&mut self, complaints: Vec<Complaint>) {
        let now = BTreeSet::from_iter(complaints);
        for complaint in now.difference(&self.told) {
            let Complaint { level, about, text } = complaint;
            match level {
                Level::Warn => warn!(service = about, "{text}"),
                Level::Info => info!(service = about, "{text}"),
                Level::Debug => debug!(service = about, "{text}"),
            }
        }
        self.told = now;
    }
}
