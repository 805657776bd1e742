//! By what a message got its tag.

use super::text::beginning;
use std::{borrow::Cow, fmt};

/// The most bytes of a [`JudgedBy`]. It is stored with each message, so it is short.
pub const JUDGED_BY_BYTES_MAX: usize = 40;

/// The word for rules and learned weights.
const RULES: &str = "local";
/// The word for a person.
const PERSON: &str = "person";
/// The word for a provider.
const PROVIDER: &str = "provider";

/// By what a message got its tag, in at most [`JUDGED_BY_BYTES_MAX`] bytes.
///
/// It begins with a word: `person`, `provider`, `local 3f2a91c0` (rules and learned weights of this
/// version), or `openai gpt-5-mini v1` (a model, and the version of its prompt).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedBy(Cow<'static, str>);

impl JudgedBy {
    /// A person.
    pub const PERSON: Self = Self(Cow::Borrowed(PERSON));
    /// The provider on whose channel the message came.
    pub const PROVIDER: Self = Self(Cow::Borrowed(PROVIDER));

    /// Rules and learned weights of this version.
    pub fn rules(version: &str) -> Self {
        let spelled = format!("{RULES} {version}");
        Self(Cow::Owned(beginning(&spelled, JUDGED_BY_BYTES_MAX).to_owned()))
    }

    /// The model of this name at a server of this kind, asked with a prompt of this version. The
    /// end of a long name is left out.
    pub fn model(server: &'static str, name: &str, prompt: &'static str) -> Self {
        let version = prompt.rsplit('.').next().unwrap_or(prompt);
        let room = JUDGED_BY_BYTES_MAX.saturating_sub(server.len() + version.len() + 2);
        // A blank parts the words.
        let name: String = name.chars().map(|c| if c.is_whitespace() { '-' } else { c }).collect();
        Self(Cow::Owned(format!("{server} {} {version}", beginning(&name, room))))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JudgedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is stored as [`JudgedBy`], as the rest of a sentence for people: `by rules 3f2a91c0`.
pub fn in_words(stored: &str) -> String {
    let words: Vec<&str> = stored.split(' ').collect();
    match words[..] {
        [PERSON] => "by a person".to_owned(),
        [PROVIDER] => "by its provider".to_owned(),
        [RULES, version] => format!("by rules {version}"),
        [_, model, prompt] => format!("by {model}, prompt {prompt}"),
        _ => format!("by {stored}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_judged_is_spelled_short_and_said_in_words() {
        for (by, stored, words) in [
            (JudgedBy::PERSON, "person", "by a person"),
            (JudgedBy::PROVIDER, "provider", "by its provider"),
            (JudgedBy::rules("3f2a91c0"), "local 3f2a91c0", "by rules 3f2a91c0"),
            (
                JudgedBy::model("openai", "gpt-5-mini", "classify.v1"),
                "openai gpt-5-mini v1",
                "by gpt-5-mini, prompt v1",
            ),
            (
                JudgedBy::model("openai", "my model", "classify.v12"),
                "openai my-model v12",
                "by my-model, prompt v12",
            ),
        ] {
            assert_eq!((by.as_str(), in_words(stored).as_str()), (stored, words));
        }
        // What a later version stores is shown as it is.
        assert_eq!(in_words("oracle"), "by oracle");
        assert_eq!(in_words(""), "by ");
    }

    #[test]
    fn no_name_of_a_model_is_stored_beyond_the_bound() {
        for name in ["m".repeat(200), "ä".repeat(200), "\u{1f4ee}".repeat(50), String::new()] {
            let by = JudgedBy::model("openai", &name, "classify.v1");
            assert!(by.as_str().len() <= JUDGED_BY_BYTES_MAX, "{by}");
            assert!(by.as_str().starts_with("openai ") && by.as_str().ends_with(" v1"), "{by}");
            assert_eq!(by.as_str().split(' ').count(), 3, "{by}");
        }
        assert!(JudgedBy::rules(&"x".repeat(200)).as_str().len() <= JUDGED_BY_BYTES_MAX);
    }
}
