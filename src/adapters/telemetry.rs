//! Where the log goes: the journal under systemd, standard error elsewhere. Messages are readable alone; keys are fields.

use std::{io::IsTerminal, os::linux::fs::MetadataExt};

use clap::ValueEnum;
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{Layer, Registry, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

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
    #[error(
        "--log-filter: {0:?} is no level (error, warn, info, debug, trace, off) and no target=level pair; write one level, \
         pairs, or both with commas between, as in `info,imagebaked::adapters::cloud=debug`"
    )]
    Filter(String),
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
    let filter = parse_filter(filter)?;
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

/// Reads a level and `target=level` pairs. The targets are prefixes of module paths.
///
/// `EnvFilter` reads more (spans and their fields), and brings an engine of regular expressions into the build.
fn parse_filter(text: &str) -> Result<Targets, TelemetryError> {
    // The scheduler logs each job it is given at INFO.
    let mut filter = Targets::new().with_target("tokio_cron_scheduler", Level::WARN);
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let unreadable = || TelemetryError::Filter(part.to_owned());
        let (target, level) =
            part.split_once('=').map_or((None, part), |(target, level)| (Some(target.trim()), level.trim()));
        let level: LevelFilter = level.parse().map_err(|_| unreadable())?;
        filter = match target {
            None => filter.with_default(level),
            Some(target) if target.is_empty() || target.contains(char::is_whitespace) => return Err(unreadable()),
            Some(target) => filter.with_target(target, level),
        };
    }
    Ok(filter)
}

/// Whether standard error is the journal's socket: `device:inode`.
fn stderr_is(journal_stream: &str) -> bool {
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stderr| format!("{}:{}", stderr.st_dev(), stderr.st_ino()) == journal_stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(filter: &str, target: &str, level: Level) -> bool {
        parse_filter(filter).unwrap().would_enable(target, &level)
    }

    #[test]
    fn a_filter_is_a_level_and_levels_of_targets() {
        assert!(enabled("info", "imagebaked::app", Level::INFO));
        assert!(!enabled("info", "imagebaked::app", Level::DEBUG));
        assert!(enabled("info, imagebaked::adapters=debug", "imagebaked::adapters::cloud", Level::DEBUG));
        assert!(!enabled("info, imagebaked::adapters=debug", "imagebaked::app", Level::DEBUG));
        assert!(!enabled("off", "imagebaked::app", Level::ERROR));
        assert!(!enabled("info", "tokio_cron_scheduler::job", Level::INFO));
        assert!(enabled("tokio_cron_scheduler=debug", "tokio_cron_scheduler::job", Level::DEBUG));
    }

    #[test]
    fn a_filter_with_a_word_that_is_no_level_is_refused() {
        for wrong in ["debgu", "info,sqlx", "info,=debug", "a=verbose", "[bake{id=3}]=debug", "info,a b=warn"] {
            let error = parse_filter(wrong).expect_err(wrong).to_string();
            assert!(error.contains("is no level"), "{error}");
        }
    }
}
