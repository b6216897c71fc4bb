//! The log: one subscriber, on standard error or in the journal.

use std::io::IsTerminal;
use std::path::Path;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::cli::args::LogFormat;

/// Sets the log up. `RUST_LOG` outranks `verbose` (0 info, 1 debug, 2 and more trace).
pub fn init(format: LogFormat, verbose: u8) -> anyhow::Result<()> {
    let level = match verbose {
        0 => "info",
        1 => "info,ondemand_container=debug",
        _ => "debug,ondemand_container=trace",
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .map_err(|error| anyhow::anyhow!("RUST_LOG is not understood: {error}"))?,
        _ => EnvFilter::new(level),
    };
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Auto if journal_is_stderr() => match tracing_journald::layer() {
            Ok(journal) => registry.with(journal).init(),
            Err(_) => registry.with(text()).init(),
        },
        LogFormat::Auto | LogFormat::Text => registry.with(text()).init(),
        LogFormat::Json => {
            registry.with(fmt::layer().json().with_writer(std::io::stderr)).init();
        }
        LogFormat::Journald => {
            let journal = tracing_journald::layer().map_err(|error| {
                anyhow::anyhow!("--log-format journald: the journal cannot be reached: {error}")
            })?;
            registry.with(journal).init();
        }
    }
    Ok(())
}

fn text<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
}

/// Whether systemd connected standard error to the journal: `JOURNAL_STREAM` names its device and
/// inode then (systemd.exec(5)).
fn journal_is_stderr() -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata(Path::new("/proc/self/fd/2")) else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
