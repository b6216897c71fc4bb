//! Taking memory back, through swap and by dropping what is cached.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::{Cgroup, Version};

/// So much is asked for at a time: between two steps it can be given up. A step takes 50 ms with a disk, and half a
/// second with a busy zram.
const STEP: u64 = 64 * 1024 * 1024;

/// What taking memory back has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reclaimed {
    /// Bytes of memory before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

impl Cgroup {
    /// Has the kernel take back what it can of the group's memory, as long as `go_on` says so. Blocks:
    /// where there is a slow swap, for seconds.
    ///
    /// The second version's `memory.reclaim` (Linux 5.19) takes it back in steps. The first version has
    /// `memory.force_empty`, which cannot be ended before it is done.
    pub fn reclaim(&self, go_on: impl Fn() -> bool) -> io::Result<Reclaimed> {
        let unread = || io::Error::new(io::ErrorKind::NotFound, "its memory is not counted");
        let (version, directory) = self.memory.as_ref().ok_or_else(unread)?;
        let before = self.memory().ok_or_else(unread)?;
        match version {
            Version::One => tell(directory, "memory.force_empty", "0")?,
            Version::Two => {
                let mut asked = 0;
                while asked < before && go_on() {
                    let step = STEP.min(before - asked);
                    match tell(directory, "memory.reclaim", &step.to_string()) {
                        Ok(()) => asked += step,
                        // Less than that was found: there is no more to have.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(Reclaimed { before, after: self.memory().ok_or_else(unread)? })
    }
}

fn tell(directory: &Path, file: &str, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).open(directory.join(file))?;
    // In one piece: what is written is a command.
    file.write(text.as_bytes()).map(drop)
}
