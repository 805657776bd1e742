//! A regular expression that is compiled when it is first used.

use regex::Regex;
use std::{borrow::Cow, ops::Deref, sync::OnceLock};

/// A pattern of the code.
///
/// It is compiled when it is first used: most texts need few of the patterns, and to compile all of
/// them costs more than to judge a thousand texts. A pattern that is not valid panics at its first
/// use, so a test uses each pattern that the code has, or gives it to `assert_valid`.
#[derive(Debug)]
pub(crate) struct LazyPattern {
    text: Cow<'static, str>,
    compiled: OnceLock<Regex>,
}

impl LazyPattern {
    /// A pattern that is put together.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// A pattern that stands in the code as it is, for a `static`.
    pub(crate) const fn of(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), compiled: OnceLock::new() }
    }

    /// The pattern as it is written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True if it was used.
    #[cfg(test)]
    pub(crate) fn is_compiled(&self) -> bool {
        self.compiled.get().is_some()
    }

    /// Fails a test in which one of `patterns` is not valid, and names it.
    #[cfg(test)]
    pub(crate) fn assert_valid<'a>(patterns: impl IntoIterator<Item = &'a Self>) {
        for Self { text, .. } in patterns {
            assert_eq!(Regex::new(text).err(), None, "{text}");
        }
    }
}

impl Deref for LazyPattern {
    type Target = Regex;

    #[expect(clippy::expect_used, reason = "constants, all of them compiled by a test")]
    fn deref(&self) -> &Regex {
        self.compiled.get_or_init(|| Regex::new(&self.text).expect("a valid pattern"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_compiled_once_and_when_it_is_used() {
        for pattern in [LazyPattern::new("b".to_owned() + "+"), LazyPattern::of("b+")] {
            assert!(pattern.compiled.get().is_none());
            assert!(pattern.is_match("abba") && !pattern.is_match("a"));
            assert!(pattern.compiled.get().is_some());
        }
    }

    #[test]
    #[should_panic(expected = "a(b")]
    fn a_pattern_that_is_not_valid_is_named() {
        LazyPattern::assert_valid([&LazyPattern::of("b+"), &LazyPattern::of("a(b")]);
    }
}
