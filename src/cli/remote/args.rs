#![expect(
    clippy::doc_markdown,
    reason = "these doc comments are the help text, where marks would be shown"
)]
//! The command lines of those that ask a running daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::duration::parse_positive;

/// Where the daemon is asked.
#[derive(Debug, Args)]
pub struct ControlArgs {
    /// The daemon's control socket [default: /run/ondemand-container/control.sock, or that in
    /// $XDG_RUNTIME_DIR for others than root]
    #[arg(long, env = "ONDEMAND_CONTROL", value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// What `status` tells.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The service; without one, all of them
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print it again whenever it changes
    #[arg(long)]
    pub watch: bool,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `wake` does.
#[derive(Debug, Args)]
pub struct WakeArgs {
    /// The service
    pub name: String,
    /// Wait until it is awake, or will not be
    #[arg(long)]
    pub wait: bool,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `sleep` does.
#[derive(Debug, Args)]
pub struct SleepArgs {
    /// The service
    pub name: String,
    /// Also while it is held or clients use it: they are cut off. While somebody waits for it, or a
    /// service that depends on it may run, it is refused all the same
    #[arg(long)]
    pub force: bool,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `hold` does.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// The service
    pub name: String,
    /// For how long, like 2h; without it until it is released
    #[arg(value_name = "DURATION", value_parser = parse_positive)]
    pub time: Option<Duration>,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// A service.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// The service
    pub name: String,
    /// Where the daemon is asked.
    #[command(flatten)]
    pub control: ControlArgs,
}
