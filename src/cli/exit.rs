//! How the process ends.

use std::process::ExitCode;

/// Exit statuses beside 0, after sysexits(3) where it has one. 2, wrong usage, is clap's.
/// In the order in which one outranks another where several are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Something failed at run time.
    Runtime,
    /// Permission is missing (`EX_NOPERM`).
    Permission,
    /// The configuration is wrong (`EX_CONFIG`).
    Config,
}

/// An error with the exit status it leads to.
#[derive(Debug)]
pub struct Failure {
    /// The status.
    pub status: Status,
    /// What and why, and what to do.
    pub error: anyhow::Error,
}

impl Failure {
    /// An error of the configuration.
    pub fn config(error: impl Into<anyhow::Error>) -> Self {
        Self { status: Status::Config, error: error.into() }
    }

    /// An error at run time.
    pub fn runtime(error: impl Into<anyhow::Error>) -> Self {
        Self { status: Status::Runtime, error: error.into() }
    }

    /// A missing permission.
    pub fn permission(error: impl Into<anyhow::Error>) -> Self {
        Self { status: Status::Permission, error: error.into() }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Runtime => 1,
            Status::Permission => 77,
            Status::Config => 78,
        })
    }
}
