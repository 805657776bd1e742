//! Log lines: to stderr, filtered, for people or for machines.

use crate::config::{LogFormat, Telemetry};
use std::io::IsTerminal;
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

/// Crates that log each statement at `info` or `debug`, values and all: `warn` unless asked for.
const QUIET: [&str; 3] = ["sqlx", "sea_orm", "actix_server"];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is none.
    #[error(
        "`telemetry.log` is `{filter}`: expected a filter such as `info` or `info,postroom::ingest=debug`"
    )]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
}

/// Sets up logging for this process. Where it is set up already (a second daemon in one test process),
/// the first stays.
pub fn init(config: &Telemetry) -> Result<(), LoggingError> {
    let filter = filter(&config.log)?;
    let registry = tracing_subscriber::registry().with(filter);
    let done: Result<(), TryInitError> = match config.format {
        LogFormat::Pretty => {
            let is_terminal = std::io::stderr().is_terminal();
            let layer = fmt::layer().compact().with_ansi(is_terminal).with_writer(std::io::stderr);
            registry.with(layer).try_init()
        }
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
            registry.with(layer).try_init()
        }
    };
    // The only error there is: a logger is set already.
    done.or(Ok(()))
}

/// The filter that `log` spells, with the noisy crates kept quiet unless it names them.
fn filter(log: &str) -> Result<EnvFilter, LoggingError> {
    let quiet = QUIET.into_iter().filter(|name| !names(log, name));
    let mut spelled = log.to_owned();
    for name in quiet {
        if !spelled.is_empty() {
            spelled.push(',');
        }
        spelled.push_str(name);
        spelled.push_str("=warn");
    }
    EnvFilter::try_new(&spelled)
        .map_err(|source| LoggingError::Filter { filter: log.to_owned(), source })
}

/// True if a directive of `log` is about the crate `name` or a module of it.
fn names(log: &str, name: &str) -> bool {
    log.split(',').filter_map(|it| it.trim().strip_prefix(name)).any(|rest| {
        rest.is_empty() || rest.starts_with('=') || rest.starts_with("::") || rest.starts_with('[')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telemetry(log: &str, format: LogFormat) -> Telemetry {
        Telemetry { log: log.to_owned(), format, otlp_endpoint: None }
    }

    #[test]
    fn statements_are_not_logged_unless_asked_for() {
        for (log, expected) in [
            ("info", vec!["info", "sqlx=warn", "sea_orm=warn", "actix_server=warn"]),
            ("info,sqlx=debug", vec!["info", "sqlx=debug", "sea_orm=warn", "actix_server=warn"]),
            (
                "info,sqlx::query=debug,sea_orm=off",
                vec!["info", "sqlx::query=debug", "sea_orm=off", "actix_server=warn"],
            ),
            (
                "info,sqlxx=debug",
                vec!["info", "sqlxx=debug", "sqlx=warn", "sea_orm=warn", "actix_server=warn"],
            ),
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
    fn a_second_set_up_is_no_error_and_a_wrong_filter_is_one() {
        assert!(init(&telemetry("info", LogFormat::Pretty)).is_ok());
        assert!(init(&telemetry("debug", LogFormat::Json)).is_ok());
        let error = init(&telemetry("info,x=loud", LogFormat::Json)).expect_err("an error");
        assert!(error.to_string().starts_with("`telemetry.log` is `info,x=loud`"), "{error}");
    }
}
