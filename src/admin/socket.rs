//! The Unix socket of the admin interface and its file.

use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
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
    ///
    /// With `group`, a name or a number, that is the socket's; this process has to be in it, or to be
    /// root.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, BindError> {
        let bound = || {
            let group = group.map(group_id).transpose()?;
            // The mode is there before the name is: nobody gets in between the two.
            let socket = bind_unix(path, |socket| {
                rustix::fs::fchmod(socket, Mode::from_raw_mode(MODE)).map_err(io::Error::from)
            })?;
            let file = File(path.to_owned());
            // Nothing to be asked of a kernel that is told to refuse it (SystemCallFilter=).
            if let Some(group) = group {
                chown(path, None, Some(group)).map_err(|error| {
                    let why = format!(
                        "its group cannot be set ({error}): this user has to be in it, and allowed \
                         chown (SystemCallFilter=@chown)"
                    );
                    io::Error::new(error.kind(), why)
                })?;
            }
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

/// The number of a group, which may be given itself.
fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    // Not by the C library, which loads what else may know groups: a static binary cannot.
    let all = std::fs::read_to_string("/etc/group")?;
    let number = all.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        if name == group { number.parse().ok() } else { None }
    });
    number.ok_or_else(|| {
        let why = format!("there is no group {group} in /etc/group: give its number");
        io::Error::new(io::ErrorKind::NotFound, why)
    })
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
