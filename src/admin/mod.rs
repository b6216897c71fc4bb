//! The admin interface: HTTP inside a Unix socket, for whoever may write to that socket.
//!
//! It only asks what a client could ask, too, and for a sleep, which the core grants when nobody is
//! in the way: no request here breaks an invariant. It never holds up a service: requests are few
//! at once, and bounded in size and time. `docs/admin.md` describes it for its users.

mod act;
mod answer;
mod events;
mod holds;
mod route;
mod server;
mod socket;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use socket::ControlSocket;
pub use view::{Because, Problem, ServiceView, StateWord, StatusView, WakeView};

use crate::driver::ServiceHandle;
use holds::Holds;

/// A service as it is administered.
#[derive(Debug, Clone)]
pub struct Administered {
    /// Its container's name, to be shown.
    pub container: String,
    /// The service itself.
    pub handle: ServiceHandle,
}

/// All services of the process, by their names.
pub type Services = Arc<BTreeMap<String, Administered>>;

/// The running interface.
#[derive(Debug)]
pub struct Admin {
    desk: Arc<Desk>,
    ended: CancellationToken,
    task: JoinHandle<()>,
    /// Removes the socket's file when it goes.
    socket: socket::File,
}

/// What all requests share.
#[derive(Debug)]
struct Desk {
    services: watch::Receiver<Services>,
    holds: Arc<Holds>,
    /// The process drains: nothing is woken or held any more.
    draining: CancellationToken,
    ended: CancellationToken,
}

impl Admin {
    /// Begins to answer on `socket`; `services` may change.
    pub fn begin(socket: ControlSocket, services: watch::Receiver<Services>) -> Self {
        let ended = CancellationToken::new();
        let desk = Arc::new(Desk {
            services,
            holds: Arc::default(),
            draining: CancellationToken::new(),
            ended: ended.clone(),
        });
        info!(path = %socket.file.path().display(), "control socket");
        let task = tokio::spawn(server::serve(socket.listener, Arc::clone(&desk)));
        Self { desk, ended, task, socket: socket.file }
    }

    /// Ends all holds and wakes nothing any more; status and events go on.
    pub fn drain(&self) {
        self.desk.draining.cancel();
        self.desk.holds.release_all();
    }

    /// Ends all requests and streams, and removes the socket.
    pub async fn end(self) {
        let Self { ended, task, socket, desk: _ } = self;
        drop(socket);
        ended.cancel();
        if let Err(error) = task.await {
            warn!(%error, "the admin interface has failed");
        }
    }
}

impl Desk {
    fn services(&self) -> Services {
        Arc::clone(&self.services.borrow())
    }
}
