//! Datagrams kept for a target that is not there yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many datagrams of one flow are kept at most; what asks for something asks with few.
const DATAGRAMS: usize = 64;

/// So many bytes of one flow; two datagrams of any length.
const BYTES: usize = 128 * 1024;

/// So many bytes of all flows of a service, with what each datagram costs beside its own.
const ALL_BYTES: usize = 4 * 1024 * 1024;
const EACH: usize = 64;

/// The first datagrams of a flow, in their order.
#[derive(Debug)]
pub(super) struct Held {
    datagrams: Vec<Box<[u8]>>,
    bytes: usize,
    /// Bytes of all flows.
    all: Arc<AtomicUsize>,
}

impl Held {
    /// Keeps none yet; `all` counts the bytes of all flows.
    pub(super) fn new(all: Arc<AtomicUsize>) -> Self {
        Self { datagrams: Vec::new(), bytes: 0, all }
    }

    /// Keeps it; false if there is no room.
    pub(super) fn push(&mut self, datagram: &[u8]) -> bool {
        let bytes = self.bytes + datagram.len();
        if self.datagrams.len() == DATAGRAMS || bytes > BYTES {
            return false;
        }
        let cost = EACH + datagram.len();
        let before = self.all.fetch_add(cost, Ordering::Relaxed);
        if before + cost > ALL_BYTES {
            self.all.fetch_sub(cost, Ordering::Relaxed);
            return false;
        }
        self.bytes = bytes;
        self.datagrams.push(datagram.into());
        true
    }

    /// What is kept.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.datagrams.iter().map(|datagram| &**datagram)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes + EACH * self.datagrams.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_and_all_flows_are_bounded_and_give_back() {
        let all = Arc::new(AtomicUsize::new(0));
        let mut held = Held::new(Arc::clone(&all));
        assert!((0..DATAGRAMS).all(|_| held.push(b"x")) && !held.push(b"x"));
        let mut flows = Vec::new();
        let long = vec![0; 65_000];
        while all.load(Ordering::Relaxed) + EACH + long.len() <= ALL_BYTES {
            let mut flow = Held::new(Arc::clone(&all));
            flow.push(&long);
            flow.push(&long);
            assert!(!flow.push(&long), "a third is too much for one flow");
            flows.push(flow);
        }
        assert!(!Held::new(Arc::clone(&all)).push(&long));
        let empty = (0..ALL_BYTES).find(|_| {
            let mut flow = Held::new(Arc::clone(&all));
            let kept = flow.push(b"");
            flows.push(flow);
            !kept
        });
        assert!(empty.is_some_and(|count| count <= long.len() / EACH), "empty ones cost, too");
        drop((held, flows));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
