//! What went wrong with a command: what stderr says of it, and the exit code.

use super::output::complain;
use crate::{app::AppError, config::ConfigErrors};
use std::{error::Error, fmt::Display, process::ExitCode};

const FAILED: u8 = 1;
const WRONG: u8 = 2;

/// Why a command ends without success.
pub(super) enum Failure {
    /// It was tried and did not succeed.
    Failed(String),
    /// The arguments do not fit what is there.
    Wrong(String),
    /// The configuration is not valid: all that is wrong, one a line.
    Config(String),
    /// The arguments cannot be read; help and version come this way, too.
    Usage(Box<clap::Error>),
    /// It did not succeed, and stderr has been told.
    Told,
}

impl Failure {
    /// Tells it and gives the exit code.
    pub(super) fn tell(self) -> ExitCode {
        match self {
            Self::Failed(message) => {
                complain(&format!("error: {message}"));
                ExitCode::from(FAILED)
            }
            Self::Wrong(message) => {
                complain(&format!("error: {message}"));
                ExitCode::from(WRONG)
            }
            Self::Config(messages) => {
                complain(&messages);
                ExitCode::from(WRONG)
            }
            Self::Usage(error) => {
                // Nobody is left to be told when this fails.
                error.print().ok();
                if error.exit_code() == 0 { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
            }
            Self::Told => ExitCode::from(FAILED),
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors.to_string())
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        let message = chain(&error);
        if error.is_config() { Self::Config(message) } else { Self::Failed(message) }
    }
}

/// An error and what caused it, in one line. A cause that the error quotes already is not said again.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        append(&mut text, error);
        cause = error.source();
    }
    text
}

fn append(text: &mut String, cause: &dyn Display) {
    let cause = cause.to_string();
    if !text.contains(&cause) {
        text.push_str(": ");
        text.push_str(&cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_every_cause_once() {
        let inner = anyhow::anyhow!("permission denied");
        let quoted = inner.context("data/x: permission denied").context("cannot migrate");
        assert_eq!(chain(&*quoted), "cannot migrate: data/x: permission denied");
    }
}
