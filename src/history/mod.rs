//! What has become of the services, in one small file: wakes, gaps between uses, times asleep, holds.
//!
//! It is for people, and for what is chosen by experience; nothing that a client gets depends on it.
//! So whatever is wrong with the file, the daemon goes on without it and says so once. It is written as
//! a whole beside its place and then renamed into it, so it is never half a file; of two daemons with one
//! file the last to write wins. It holds names of services and figures, and nothing of their clients.

mod book;
mod file;
mod record;
mod store;

pub use book::{Book, Unread};
pub use record::{Asleep, Freed, Hold, Record, Resting, Step};
pub use store::{NO_HISTORY, Store, Told, place};
