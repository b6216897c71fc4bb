//! `--install`: the peers, from the distribution, where that is Debian and we are root.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const PACKAGES: [&str; 4] = ["haproxy", "nginx-light", "libnginx-mod-stream", "socat"];

/// Where packages ask whether they may start their services.
const POLICY: &str = "/usr/sbin/policy-rc.d";

pub(crate) fn install() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() || !Path::new("/etc/debian_version").exists() {
        return Err(io::Error::other("--install needs root on Debian"));
    }
    // They are wanted as programs, not as services that hold ports.
    let ours = !Path::new(POLICY).exists();
    if ours {
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
    }
    let done = apt(&["update", "-qq"]).and_then(|()| {
        let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
        words.extend(PACKAGES);
        apt(&words)
    });
    if ours {
        fs::remove_file(POLICY)?;
    }
    done
}

fn apt(words: &[&str]) -> io::Result<()> {
    let status =
        Command::new("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive").status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("apt-get: {status}"))) }
}
