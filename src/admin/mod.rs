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
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use holds::HeldBefore;
pub use socket::ControlSocket;
pub use view::{
    Because, Changes, Problem, ServiceView, SoFarView, StateWord, StatusView, WakeView,
};

use crate::driver::ServiceHandle;
use holds::Holds;

/// A service as it is administered.
#[derive(Debug, Clone)]
pub struct Administered {
    /// Its container's name, to be shown.
    pub container: String,
    /// The service itself.
    pub handle: ServiceHandle,
    /// The names of those that it is awake with: those that depend on it, or whose companion it is.
    pub needed_by: Vec<String>,
}

/// All services of the process, by their names.
pub type Services = Arc<BTreeMap<String, Administered>>;

/// A wish that the configuration be read anew; answered with what has changed, or with what is wrong,
/// a line each.
pub type Reload = oneshot::Sender<Result<Changes, String>>;

/// How many such wishes may wait.
const RELOADS: usize = 4;

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
    reloads: mpsc::Sender<Reload>,
    holds: Arc<Holds>,
    /// The process drains: nothing is woken or held any more.
    draining: CancellationToken,
    ended: CancellationToken,
}

impl Admin {
    /// Begins to answer on `socket`; `services` may change, and those of `held` are held again. What comes back are wishes to be heeded.
    pub fn begin(
        socket: ControlSocket,
        services: watch::Receiver<Services>,
        held: mpsc::UnboundedReceiver<HeldBefore>,
    ) -> (Self, mpsc::Receiver<Reload>) {
        let (reloads, wishes) = mpsc::channel(RELOADS);
        let ended = CancellationToken::new();
        let desk = Arc::new(Desk {
            services,
            reloads,
            holds: Arc::default(),
            draining: CancellationToken::new(),
            ended: ended.clone(),
        });
        info!(path = %socket.file.path().display(), "control socket");
        let task = tokio::spawn(server::serve(socket.listener, Arc::clone(&desk), held));
        (Self { desk, ended, task, socket: socket.file }, wishes)
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
