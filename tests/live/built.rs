//! What `make setup` has built: static programs, which run in any container.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The target it was built for.
pub(crate) fn target() -> String {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// One of its programs.
pub(crate) fn binary(name: &str) -> PathBuf {
    let dir = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir).join(target()).join("release");
    let binary = release.join(name);
    assert!(binary.exists(), "{} is missing: `make setup` builds it", binary.display());
    binary
}
