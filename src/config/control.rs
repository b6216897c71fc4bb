//! `--control` and `--control-group`: where the admin interface listens, and for whom.

use std::path::PathBuf;

use rustix::process::geteuid;

/// The socket's usual place below the run-time directory.
const PLACE: &str = "ondemand-container/control.sock";

/// The word for having none.
pub const NO_CONTROL: &str = "none";

/// Where the admin interface listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Nowhere.
    None,
    /// There; without it the daemon does not start.
    At(PathBuf),
    /// In the usual place, if that can be had.
    Usual,
}

impl Control {
    /// What was said: a path or `none`. A daemon of many services has one in the usual place; of the
    /// daemons of one service there may be several.
    pub(super) fn new(said: Option<PathBuf>, of_many: OfMany) -> Self {
        match (said, of_many) {
            (Some(path), _) if path.as_os_str() == NO_CONTROL => Self::None,
            (Some(path), _) => Self::At(path),
            (None, OfMany::Yes) => Self::Usual,
            (None, OfMany::No) => Self::None,
        }
    }
}

/// Whether a daemon is the one for a host's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfMany {
    Yes,
    No,
}

/// The usual place: `/run/ondemand-container/control.sock`, for others than root below
/// `$XDG_RUNTIME_DIR`.
pub fn usual_control() -> PathBuf {
    let directory = if geteuid().is_root() { None } else { std::env::var_os("XDG_RUNTIME_DIR") };
    directory.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join(PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_outranks_the_usual_place_and_none_is_none() {
        let said = |text: &str| Some(PathBuf::from(text));
        assert_eq!(Control::new(None, OfMany::Yes), Control::Usual);
        assert_eq!(Control::new(None, OfMany::No), Control::None);
        assert_eq!(Control::new(said("none"), OfMany::Yes), Control::None);
        assert_eq!(Control::new(said("/x"), OfMany::No), Control::At("/x".into()));
    }
}
