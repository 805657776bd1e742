//! The failures of a command: their text on stderr, and the exit code.

use super::output::complain;
use crate::{app::AppError, config::ConfigErrors};
use std::{
    error::Error,
    fmt::{self, Display},
    process::ExitCode,
};

const FAILED: u8 = 1;
const WRONG: u8 = 2;
const UNWELL: u8 = 3;
const INTERRUPTED: u8 = 130;

/// Why a command ends without success.
pub(super) enum Failure {
    /// The command ran and did not succeed.
    Failed(String),
    /// The arguments name something that does not exist or does not fit.
    Wrong(String),
    /// The configuration is not valid: all its errors, one per line.
    Config(String),
    /// The arguments cannot be parsed. Help and version are returned in this way, too.
    Usage(Box<clap::Error>),
    /// The command did not succeed, and the reason is on stderr already.
    Told,
    /// The command did what it was asked, and its answer says that not all is well.
    Unwell,
    /// The person stopped the command by Ctrl-C, and it has told what it has done.
    Interrupted,
    /// The reader of stdout closed it: it wanted only the start. The command ends with success.
    ReaderGone,
}

impl Failure {
    /// Prints the failure to stderr, and returns the exit code.
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
                // If stderr cannot be written, there is no other place for the message.
                error.print().ok();
                if error.exit_code() == 0 { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
            }
            Self::Told => ExitCode::from(FAILED),
            Self::Unwell => ExitCode::from(UNWELL),
            Self::Interrupted => ExitCode::from(INTERRUPTED),
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

/// The message alone, for a command that goes on without what has failed.
impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Wrong(message) | Self::Config(message) => {
                f.write_str(message)
            }
            Self::Usage(error) => error.fmt(f),
            Self::Told | Self::Unwell | Self::ReaderGone | Self::Interrupted => {
                f.write_str("the reason is told above")
            }
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

/// An error and its causes, in one line. A cause that the text contains already is not repeated.
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
