//! The Unix socket of the admin interface and its file.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::UnixListener;

use crate::listen::{BindError, bind_unix};

/// Whoever may write to the socket may use it: its owner and its group.
const MODE: u32 = 0o660;

/// How many clients may wait in the kernel.
const BACKLOG: i32 = 64;

/// A control socket that listens.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    pub(super) file: File,
}

/// The socket's file; removed on drop.
#[derive(Debug)]
pub(super) struct File(PathBuf);

impl ControlSocket {
    /// Listens at `path` with mode 0660. A socket that nobody listens on is replaced.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let bound = || {
            // The mode is there before the name is: nobody gets in between the two.
            let socket = bind_unix(path, |socket| {
                rustix::fs::fchmod(socket, Mode::from_raw_mode(MODE)).map_err(io::Error::from)
            })?;
            let file = File(path.to_owned());
            // What the umask has taken away of it.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
            socket.listen(BACKLOG)?;
            let listener: std::os::unix::net::UnixListener = socket.into();
            listener.set_nonblocking(true)?;
            Ok(Self { listener: UnixListener::from_std(listener)?, file })
        };
        bound().map_err(|error| BindError { address: format!("unix:{}", path.display()), error })
    }
}

impl File {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(std::fs::remove_file(&self.0));
    }
}
