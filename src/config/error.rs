//! The errors and warnings of a configuration, each with the place where the value was written.

use super::layers::Origin;
use std::{cell::RefCell, collections::BTreeMap, fmt};

/// One error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The place: `FILE:LINE`, or the environment variable. `None` if no single place is at fault.
    pub origin: Option<String>,
    /// The dotted key at fault (`supervisor.lease`), if there is one.
    pub key: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ConfigError {
    /// The file and the line; `None` if the value was not written in a file.
    pub fn place(&self) -> Option<(&str, Option<u64>)> {
        let origin = self.origin.as_deref()?;
        // The target of a reference may follow in parentheses.
        let written = origin.split(" (").next().unwrap_or(origin);
        if written.starts_with("environment variable ") {
            return None;
        }
        let with_line = written.rsplit_once(':');
        let line = with_line.and_then(|(file, line)| Some((file, Some(line.parse().ok()?))));
        Some(line.unwrap_or((written, None)))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// All errors of a configuration, in the order in which they were found. Never empty. Shown one per
/// line.
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

/// Something that is allowed but unsafe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The place; see [`ConfigError::origin`].
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

/// What the code that reads a key expects there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The type, as an error names it.
    pub what: &'static str,
    /// The least and the greatest value, if there are bounds.
    pub range: Option<(String, String)>,
}

/// Collects errors and warnings while a configuration is read, and what is expected of each key.
/// The fields are `RefCell`s, so that the readers of nested sections can share one collection.
#[derive(Default)]
pub(super) struct Errors {
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<ConfigWarning>>,
    /// By dotted key.
    expected: RefCell<BTreeMap<String, Expected>>,
}

impl Errors {
    /// Notes an error of `key`, which was written at `origin`.
    pub(super) fn push(&self, origin: Option<&Origin>, key: &str, message: String) {
        self.errors.borrow_mut().push(ConfigError {
            origin: origin.map(Origin::to_string),
            key: (!key.is_empty()).then(|| key.to_owned()),
            message,
        });
    }

    /// Notes a warning, with the place of the value if there is one.
    pub(super) fn warn(&self, origin: Option<&Origin>, message: String) {
        let origin = origin.map(Origin::to_string);
        self.warnings.borrow_mut().push(ConfigWarning { origin, message });
    }

    /// Takes the warnings out, in the order in which they were found.
    pub(super) fn take_warnings(&self) -> Vec<ConfigWarning> {
        self.warnings.take()
    }

    /// Notes the type of `key`.
    pub(super) fn expect(&self, key: String, what: &'static str) {
        self.expected.borrow_mut().insert(key, Expected { what, range: None });
    }

    /// Notes the bounds of `key`, whose type was noted before.
    pub(super) fn expect_in(&self, key: &str, least: String, most: String) {
        if let Some(expected) = self.expected.borrow_mut().get_mut(key) {
            expected.range = Some((least, most));
        }
    }

    /// Takes out what is expected of each key.
    pub(super) fn take_expected(&self) -> BTreeMap<String, Expected> {
        self.expected.take()
    }

    /// True if `key` has an error: then its relations to other keys are not checked.
    pub(super) fn has(&self, key: &str) -> bool {
        self.errors.borrow().iter().any(|error| error.key.as_deref() == Some(key))
    }

    /// `value` if there are no errors, otherwise the errors: those of a file in the order of its
    /// lines, and what has no place in a file last.
    pub(super) fn or<T>(self, value: T) -> Result<T, ConfigErrors> {
        let mut errors = self.errors.into_inner();
        if errors.is_empty() {
            return Ok(value);
        }
        let mut files: Vec<String> = Vec::new();
        for (file, _) in errors.iter().filter_map(ConfigError::place) {
            if files.iter().all(|it| it != file) {
                files.push(file.to_owned());
            }
        }
        errors.sort_by_key(|error| {
            let (file, line) = error.place().unzip();
            let place = file.and_then(|file| files.iter().position(|it| it == file));
            (place.unwrap_or(usize::MAX), line.flatten())
        });
        Err(ConfigErrors(errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_error_is_a_file_and_a_line() {
        for (origin, place) in [
            (None, None),
            (Some("environment variable POSTROOM__A"), None),
            (Some("config/a.toml:7"), Some(("config/a.toml", Some(7)))),
            (Some("a:b.toml:12 (file /run/secrets/x:3)"), Some(("a:b.toml", Some(12)))),
            (Some("config/a.toml"), Some(("config/a.toml", None))),
        ] {
            let origin = origin.map(str::to_owned);
            let error = ConfigError { origin, key: None, message: String::new() };
            assert_eq!(error.place(), place, "{error:?}");
        }
    }
}
