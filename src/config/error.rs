//! What is wrong with a configuration: all of it at once, each with the place where it was written.

use super::layers::Origin;
use std::{cell::RefCell, fmt};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it was written: `FILE:LINE`, or the environment variable. `None` where no place is at fault.
    pub origin: Option<String>,
    /// The key at fault, dotted (`supervisor.lease`), where there is one.
    pub key: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// All that is wrong, one a line, in the order in which it was found. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What is allowed and yet should not stay as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Where it was written; see [`ConfigError::origin`].
    pub origin: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Collects errors and warnings while a configuration is read. A `RefCell`, so that readers of
/// nested sections can share it.
#[derive(Default)]
pub(super) struct Errors {
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<ConfigWarning>>,
}

impl Errors {
    /// Takes note of what is wrong with `key` as written at `origin`.
    pub(super) fn push(&self, origin: Option<&Origin>, key: &str, message: String) {
        self.errors.borrow_mut().push(ConfigError {
            origin: origin.map(Origin::to_string),
            key: (!key.is_empty()).then(|| key.to_owned()),
            message,
        });
    }

    /// Takes note of what should not stay as it is.
    pub(super) fn warn(&self, origin: Option<&Origin>, message: String) {
        let origin = origin.map(Origin::to_string);
        self.warnings.borrow_mut().push(ConfigWarning { origin, message });
    }

    /// The warnings so far, in the order in which they were found.
    pub(super) fn take_warnings(&self) -> Vec<ConfigWarning> {
        self.warnings.take()
    }

    /// True where `key` could not be read: then no relation with it is worth a word.
    pub(super) fn has(&self, key: &str) -> bool {
        self.errors.borrow().iter().any(|it| it.key.as_deref() == Some(key))
    }

    /// `value`, if nothing was wrong.
    pub(super) fn or<T>(self, value: T) -> Result<T, ConfigErrors> {
        let errors = self.errors.into_inner();
        if errors.is_empty() { Ok(value) } else { Err(ConfigErrors(errors)) }
    }
}
