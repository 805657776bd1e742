//! Sets up the log: lines on stderr, filtered, for people or for machines.

use super::{escaped::Lines, sparse::Sparse};
use crate::config::{LogFormat, TelemetryConfig};
use std::{
    io::IsTerminal,
    sync::{Mutex, OnceLock, PoisonError},
};
use tokio::time::Instant;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    fmt,
    layer::{Context, SubscriberExt},
    reload,
    util::{SubscriberInitExt, TryInitError},
};

/// Noisy crates, each with the level that they get unless the filter names them. Some log every
/// statement with its values at `info` or `debug`. `actix_http` logs a line for everything that is
/// not HTTP, and strangers can send that; it is counted instead.
const QUIET: [(&str, &str); 4] =
    [("sqlx", "warn"), ("sea_orm", "warn"), ("actix_server", "warn"), ("actix_http", "off")];
/// The target of events about accepting connections. When the process has no file descriptors left,
/// it tries twice a second and logs a line each time.
const ACCEPTING: &str = "actix_server::accept";

/// The filter of this process's log, once [`init`] has set up the log.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter cannot be parsed.
    #[error(
        "`telemetry.log` is `{filter}`: expected a filter such as `info` or `info,postroom::ingest=debug`"
    )]
    Filter {
        /// The filter as it was written.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
}

/// Sets up logging for this process. If it is set up already (by another daemon in a test process),
/// that stays.
///
/// # Errors
/// If the filter of `config` cannot be parsed.
pub fn init(config: &TelemetryConfig) -> Result<(), LoggingError> {
    let (filter, handle) = reload::Layer::new(filter(&config.log)?);
    let registry = tracing_subscriber::registry().with(filter).with(OnceAMinute::default());
    let done: Result<(), TryInitError> = match config.format {
        LogFormat::Pretty => {
            let is_terminal = std::io::stderr().is_terminal();
            let lines = move || Lines { has_colours: is_terminal };
            let layer = fmt::layer().compact().with_ansi(is_terminal).with_writer(lines);
            registry.with(layer).try_init()
        }
        LogFormat::Json => {
            let lines = || Lines { has_colours: false };
            let layer = fmt::layer().json().flatten_event(true).with_writer(lines);
            registry.with(layer).try_init()
        }
    };
    // The only possible error is that a logger is set already.
    if done.is_ok() {
        FILTER.get_or_init(|| handle);
    }
    Ok(())
}

/// A filter for the log of this process that is ready to be used.
#[derive(Debug)]
pub struct LogFilter(EnvFilter);

/// Parses the filter in `log`.
///
/// # Errors
/// If it cannot be parsed.
pub fn prepare(log: &str) -> Result<LogFilter, LoggingError> {
    filter(log).map(LogFilter)
}

impl LogFilter {
    /// Puts it in the place of the filter of this process. Does nothing if the log was not set up
    /// by [`init`].
    pub fn apply(self) {
        if let Some(handle) = FILTER.get() {
            // Fails only if the subscriber is gone, and nothing is logged then.
            handle.reload(self.0).ok();
        }
    }
}

/// A layer that drops lines about connections that cannot be accepted, except one per minute. All
/// other lines pass.
#[derive(Debug, Default)]
struct OnceAMinute(Mutex<Sparse>);

impl<S: Subscriber> Layer<S> for OnceAMinute {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().target() != ACCEPTING {
            return true;
        }
        let mut sparse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sparse.count(Instant::now()).is_some()
    }
}

/// The filter in `log`, with the levels of [`QUIET`] for crates that it does not name.
fn filter(log: &str) -> Result<EnvFilter, LoggingError> {
    let quiet = QUIET.into_iter().filter(|(name, _)| !names(log, name));
    let mut spelled = log.to_owned();
    for (name, level) in quiet {
        if !spelled.is_empty() {
            spelled.push(',');
        }
        spelled.push_str(name);
        spelled.push('=');
        spelled.push_str(level);
    }
    EnvFilter::try_new(&spelled)
        .map_err(|source| LoggingError::Filter { filter: log.to_owned(), source })
}

/// True if a directive of `log` is about the crate `name` or a module of it.
fn names(log: &str, name: &str) -> bool {
    log.split(',').filter_map(|part| part.trim().strip_prefix(name)).any(|rest| {
        rest.is_empty() || rest.starts_with('=') || rest.starts_with("::") || rest.starts_with('[')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SERVER: &str = "actix_server=warn";
    const HTTP: &str = "actix_http=off";

    fn telemetry(log: &str, format: LogFormat) -> TelemetryConfig {
        let log = log.to_owned();
        TelemetryConfig { log, format, otlp_endpoint: None, sample: 0.0, trace_url: None }
    }

    #[test]
    fn statements_are_not_logged_unless_asked_for() {
        for (log, expected) in [
            ("info", vec!["info", "sqlx=warn", "sea_orm=warn", SERVER, HTTP]),
            ("info,sqlx=debug", vec!["info", "sqlx=debug", "sea_orm=warn", SERVER, HTTP]),
            (
                "info,sqlx::query=debug,sea_orm=off",
                vec!["info", "sqlx::query=debug", "sea_orm=off", SERVER, HTTP],
            ),
            (
                "info,sqlxx=debug",
                vec!["info", "sqlxx=debug", "sqlx=warn", "sea_orm=warn", SERVER, HTTP],
            ),
            ("actix_http=trace", vec!["actix_http=trace", "sqlx=warn", "sea_orm=warn", SERVER]),
        ] {
            let filter = filter(log).expect(log).to_string();
            let mut directives: Vec<&str> = filter.split(',').collect();
            let mut expected = expected;
            directives.sort_unstable();
            expected.sort_unstable();
            assert_eq!(directives, expected, "{log}");
        }
    }

    #[test]
    fn a_lack_of_descriptors_is_told_once_a_minute() {
        #[derive(Clone, Default)]
        struct Written(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Written {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let written = Written::default();
        let writer = written.clone();
        let layer = fmt::layer().with_writer(move || writer.clone());
        let lines = tracing_subscriber::registry().with(OnceAMinute::default()).with(layer);
        tracing::subscriber::with_default(lines, || {
            for number in 0..5 {
                tracing::error!(target: "actix_server::accept", "too many open files");
                tracing::error!(number, "something else");
            }
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("too many open files").count(), 1, "{text}");
        assert_eq!(text.matches("something else").count(), 5, "{text}");
    }

    #[test]
    fn a_second_set_up_is_no_error_and_a_wrong_filter_is_one() {
        assert!(init(&telemetry("info", LogFormat::Pretty)).is_ok());
        assert!(init(&telemetry("debug", LogFormat::Json)).is_ok());
        let error = init(&telemetry("info,x=loud", LogFormat::Json)).expect_err("an error");
        assert!(error.to_string().starts_with("`telemetry.log` is `info,x=loud`"), "{error}");
    }
}
