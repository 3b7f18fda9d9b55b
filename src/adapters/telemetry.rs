//! Where the log goes: the journal under systemd, standard error elsewhere. Messages are readable alone; keys are fields.

use std::{io::IsTerminal, os::linux::fs::MetadataExt};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// The journal under systemd, text elsewhere.
    Auto,
    /// One line of text an event, on standard error.
    Text,
    /// One JSON object an event, on standard error.
    Json,
    /// The systemd journal.
    Journal,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not readable.
    #[error("--log-filter is not readable; write a level, or target=level pairs with commas between")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// No journal.
    #[error("cannot reach the systemd journal; use --log text")]
    Journal(#[source] std::io::Error),
    /// It was started before.
    #[error("the log was already started")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts the log. `journal_stream` is JOURNAL_STREAM, which systemd sets where standard error is the journal.
///
/// # Errors
///
/// `TelemetryError` if a logger is installed already or the filter is invalid.
pub fn start(format: LogFormat, filter: &str, journal_stream: Option<&str>) -> Result<(), TelemetryError> {
    // The scheduler logs each job it is given at INFO.
    let filter = EnvFilter::try_new(format!("tokio_cron_scheduler=warn,{filter}")).map_err(TelemetryError::Filter)?;
    let journal = match format {
        LogFormat::Auto => journal_stream.is_some_and(stderr_is),
        LogFormat::Journal => true,
        LogFormat::Text | LogFormat::Json => false,
    };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = if journal {
        let journald = tracing_journald::layer().map_err(TelemetryError::Journal)?;
        Box::new(journald.with_field_prefix(None).with_syslog_identifier("imagebaked".to_owned()))
    } else if format == LogFormat::Json {
        Box::new(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
    } else {
        Box::new(
            tracing_subscriber::fmt::layer()
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr),
        )
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().map_err(TelemetryError::Twice)
}

/// Whether standard error is the journal's socket: `device:inode`.
fn stderr_is(journal_stream: &str) -> bool {
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stderr| format!("{}:{}", stderr.st_dev(), stderr.st_ino()) == journal_stream)
}
