//! The stream of changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::future::select_all;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::answer::line;
use super::view::ServiceView;
use super::{Desk, Services};

/// The changes of this time are one.
const COALESCED: Duration = Duration::from_millis(50);

/// A line for each service, then one for each that has changed, until the process ends. Nothing is
/// queued: who reads slowly misses what is over.
pub(super) fn follow(
    desk: Arc<Desk>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let services = desk.services.clone();
    let following = Following { desk, services, changes: None, told: BTreeMap::new() };
    unfold((following, place), |(mut following, place)| async move {
        following.next().await.map(|lines| (lines, (following, place)))
    })
}

struct Following {
    desk: Arc<Desk>,
    services: watch::Receiver<Services>,
    /// None until the first line.
    changes: Option<Vec<watch::Receiver<()>>>,
    told: BTreeMap<String, ServiceView>,
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(changes) = &mut self.changes {
                let changed = async {
                    if changes.is_empty() {
                        return std::future::pending().await;
                    }
                    select_all(changes.iter_mut().map(|one| Box::pin(one.changed()))).await
                };
                tokio::select! {
                    _ = changed => {}
                    renewed = self.services.changed() => if renewed.is_err() { return None },
                    () = self.desk.ended.cancelled() => return None,
                }
                sleep(COALESCED).await;
            }
            let services = Arc::clone(&self.services.borrow_and_update());
            // Subscribed before the look, so that no change falls between the two.
            self.changes = Some(services.values().map(|of| of.handle.changes()).collect());
            let lines = self.tell(&services);
            if !lines.is_empty() {
                return Some(lines);
            }
        }
    }

    fn tell(&mut self, services: &Services) -> Bytes {
        let mut lines = BytesMut::new();
        self.told.retain(|name, _| services.contains_key(name));
        for (name, service) in services.iter() {
            let view = ServiceView::of(name, service);
            if self.told.get(name).is_none_or(|earlier| view.differs(earlier)) {
                lines.extend_from_slice(&line(&view));
                self.told.insert(name.clone(), view);
            }
        }
        lines.freeze()
    }
}
