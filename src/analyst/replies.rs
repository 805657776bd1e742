//! Labelled replies: what leads might write, with the tag that a person gave (tests/replies).

use crate::domain::Sentiment;
use serde::{Deserialize, Deserializer, de::Error as _};

/// A reply and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelledReply {
    /// What the lead wrote, without quotes.
    pub text: String,
    /// The subject of a mail.
    #[serde(default)]
    pub subject: Option<String>,
    /// Its tag.
    #[serde(deserialize_with = "tag")]
    pub tag: Sentiment,
    /// Its language: two letters; empty if nobody said.
    #[serde(default)]
    pub lang: String,
    /// Its channel.
    pub channel: String,
    /// True if the lead demands that nobody writes to it any more.
    #[serde(default)]
    pub opt_out: bool,
    /// True if a machine wrote it.
    #[serde(default)]
    pub machine: bool,
    /// False if people may differ about the tag.
    #[serde(default = "clear")]
    pub clear: bool,
    /// What is peculiar about it.
    #[serde(default)]
    pub note: Option<String>,
}

const fn clear() -> bool {
    true
}

fn tag<'de, D: Deserializer<'de>>(from: D) -> Result<Sentiment, D::Error> {
    let name = String::deserialize(from)?;
    Sentiment::parse(&name).ok_or_else(|| D::Error::custom(format!("there is no tag `{name}`")))
}

/// The replies in a file: JSON, one on each line.
///
/// # Errors
/// Says which line is not a labelled reply, and why.
pub fn read(file: &str) -> Result<Vec<LabelledReply>, String> {
    let lines = file.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_reply_and_a_wrong_one_is_named() {
        let line = r#"{"text":"Hi","tag":"Neutral","lang":"en","channel":"sms"}"#;
        let read_back = read(&format!("{line}\n\n{line}\n")).expect("two replies");
        assert_eq!(read_back.len(), 2);
        assert!(read_back[0].clear && !read_back[0].opt_out && !read_back[0].machine);
        let error = read(&format!("{line}\n{}", line.replace("Neutral", "Nice"))).unwrap_err();
        assert!(error.starts_with("line 2: there is no tag `Nice`"), "{error}");
    }
}
