//! Clients that never stop asking.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::live::client;
use crate::live::clock::ms;

/// Asks until it is told to stop.
pub(crate) struct Load {
    stop: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    pub(crate) fn new() -> Self {
        Load { stop: AtomicBool::new(false), answered: AtomicUsize::new(0) }
    }

    /// A client that asks over and over; its thread answers with what went wrong.
    pub(crate) fn client<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        address: SocketAddr,
    ) -> ScopedJoinHandle<'s, Vec<String>> {
        scope.spawn(move || {
            let mut lost = Vec::new();
            while !self.stop.load(Ordering::SeqCst) {
                // Some are under way when the daemon is told to end.
                match client::get(address, "/slow?ms=20") {
                    Ok(answer) if answer.status == 200 => {
                        self.answered.fetch_add(1, Ordering::SeqCst);
                    }
                    other => lost.push(format!("{other:?}")),
                }
                thread::sleep(ms(5));
            }
            lost
        })
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Ends the clients also when the test fails among them.
pub(crate) struct StopOnDrop<'l>(pub(crate) &'l Load);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
