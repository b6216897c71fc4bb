//! The log: one subscriber, on standard error or in the journal.

use std::io::IsTerminal;
use std::path::Path;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{self, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// Sets the log up. `RUST_LOG` outranks `verbose` (0 info, 1 debug, 2 and more trace).
pub fn init(format: LogFormat, verbose: u8) -> anyhow::Result<()> {
    let registry = tracing_subscriber::registry().with(filter(verbose)?);
    match format {
        LogFormat::Auto if journal_is_stderr() => {
            let layer = fmt::layer().event_format(Prioritised).with_writer(std::io::stderr);
            registry.with(layer.with_ansi(false)).init();
        }
        LogFormat::Auto | LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr),
            )
            .init(),
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

/// What is logged: directives `target=level` or `level`, separated by commas. Those with spans or
/// fields in brackets are not understood: they need regular expressions, 0.2 MiB of an idle
/// process.
fn filter(verbose: u8) -> anyhow::Result<Targets> {
    if let Ok(directives) = std::env::var("RUST_LOG")
        && !directives.is_empty()
    {
        return directives
            .parse()
            .map_err(|error| anyhow::anyhow!("RUST_LOG is not understood: {error}"));
    }
    let (others, ours) = match verbose {
        0 => (Level::INFO, Level::INFO),
        1 => (Level::INFO, Level::DEBUG),
        _ => (Level::DEBUG, Level::TRACE),
    };
    Ok(Targets::new().with_default(others).with_target("ondemand_container", ours))
}

/// A line for the journal: the priority as sd-daemon(3) wants it, the text with its fields, and no
/// time, which the journal knows. Its native protocol would keep the fields out of sight.
struct Prioritised;

impl<S, N> FormatEvent<S, N> for Prioritised
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        fmt::format()
            .without_time()
            .with_level(false)
            .with_target(false)
            .format_event(context, writer, event)
    }
}

/// Whether systemd connected standard error to the journal: `JOURNAL_STREAM` names its device and
/// inode then (systemd.exec(5)).
fn journal_is_stderr() -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata(Path::new("/proc/self/fd/2")) else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
