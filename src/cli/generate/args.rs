//! What `generate` is asked for.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::RunArgs;

/// Things that can be generated.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// The man pages, in roff: the first, or with --output-dir one for each subcommand, too
    Man(FolderArgs),
    /// A shell completion script
    Completions(CompletionArgs),
    /// The JSON schema of the configuration file
    Schema,
    /// Units for systemd: the ports in its hands, the daemon started by the first client
    ///
    /// Takes the flags of the daemon itself: those of one service, or --config. Where --listen says,
    /// the sockets are systemd's; with --config those of all services that do not say listen.
    Systemd(Box<SystemdArgs>),
    /// The daemon as a Quadlet, a container that systemd runs with Podman
    ///
    /// Takes the flags of the daemon itself. It is on the host's network, or with --network NAME on
    /// that network with its ports published.
    Quadlet(Box<QuadletArgs>),
    /// The labels of a compose service that have the effect of the flags
    ///
    /// Takes the flags of one service, or --config for a block for each service of the file.
    ComposeLabels(Box<RunArgs>),
}

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(long, value_enum, default_value = "bash")]
    pub shell: clap_complete::Shell,
}

/// Units of what, and where they go.
#[derive(Debug, Args)]
pub struct SystemdArgs {
    /// The daemon's flags.
    #[command(flatten)]
    pub run: RunArgs,
    /// Where the files go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A Quadlet of what, and where it goes.
#[derive(Debug, Args)]
pub struct QuadletArgs {
    /// The daemon's flags.
    #[command(flatten)]
    pub run: RunArgs,
    /// The daemon's image; `make image` builds it
    #[arg(long, value_name = "IMAGE", default_value = "localhost/ondemand-container:latest")]
    pub image: String,
    /// Where the files go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Whose files, and where they go.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// For the service manager of a user, not that of the system
    #[arg(long)]
    pub user: bool,
    /// Where the files go.
    #[command(flatten)]
    pub folder: FolderArgs,
}

/// Where files go.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// Write the files into this folder, instead of all to standard output
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, requires = "output_dir")]
    pub force: bool,
}

/// Whose service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    /// The system's.
    System,
    /// A user's.
    User,
}

impl OutputArgs {
    /// Whose.
    pub(super) fn manager(&self) -> Manager {
        if self.user { Manager::User } else { Manager::System }
    }
}
