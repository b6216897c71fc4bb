//! Scale to zero for self-hosted containers.
//!
//! # Usage
//!
//! `ondemand-container --container gitea --port 3000` holds port 3000, starts the stopped
//! container `gitea` when the first client connects, holds the client until the container is
//! ready, and stops the container after an idle window. The crate is the daemon's; it is a library
//! so that its parts can be tested from outside.
//!
//! # Theory of operation
//!
//! A connection task knows four steps: accept, [acquire](driver::ServiceHandle::acquire), connect,
//! copy. What happens within *acquire* is decided by a pure state machine, [`activation`], which
//! has neither clock nor tasks; one [`driver`] task per service does what the machine asks, by
//! calls to an [`engine`], and tells it what came of them. `ARCHITECTURE.md` says more.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use ondemand_container::activation::*;
//!
//! let (idle, start_timeout) = (Duration::from_secs(900), Duration::from_secs(120));
//! let policy = Policy::new(Window::After(idle), start_timeout);
//! let mut service = Service::new(policy);
//! let mut actions = Vec::new();
//! let now = Moment::default();
//! service.handle(now, Event::Observed(service.run(), Seen::Resting(Rest::Stopped)), &mut actions);
//!
//! // The first client makes the core ask for a start.
//! assert_eq!(service.acquire(now, Client(1), &mut actions), Admission::Waiting);
//! assert!(matches!(actions[..], [Action::Start { .. }]));
//! ```

pub mod activation;
pub mod admin;
pub mod calendar;
pub mod cgroup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod discover;
pub mod driver;
pub mod economy;
pub mod engine;
pub mod gate;
pub mod history;
pub mod host;
pub mod listen;
pub mod logging;
pub mod notify;
pub mod port;
pub mod proxy;
pub mod server;
pub mod shutdown;
