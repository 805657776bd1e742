//! Cues: patterns over normalised text, and the words for times that many of them need.

use regex::Regex;

const WEEKDAY: &[&str] = &[
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?",
    r"mon",
    r"tues?",
    r"weds?",
    r"thurs?",
    r"thu",
    r"fri",
];
const MONTH: &[&str] = &[
    r"jan(?:uary)?",
    r"feb(?:ruary)?",
    r"mar(?:ch)?",
    r"apr(?:il)?",
    r"may",
    r"june?",
    r"july?",
    r"aug(?:ust)?",
    r"sept?(?:ember)?",
    r"oct(?:ober)?",
    r"nov(?:ember)?",
    r"dec(?:ember)?",
];
const DATE: &[&str] = &[
    r"<MONTH>\.? \d{1,2}(?:st|nd|rd|th)?",
    r"\d{1,2}(?:st|nd|rd|th)(?: of)?(?: <MONTH>)?",
    r"\d{1,2} <MONTH>",
    r"\d{4}-\d{2}-\d{2}",
    r"\d{1,2}/\d{1,2}(?:/\d{2,4})?",
    r"\d{1,2}\.\d{1,2}\.(?:\d{2,4})?",
];
const DAY: &[&str] = &[r"today", r"tonight", r"tomorrow", r"tmrw", r"<WEEKDAY>", r"<DATE>"];
/// Times of day that need no other word beside them.
const CLOCK: &[&str] = &[
    r"\d{1,2}:\d{2}(?: ?[ap]m)?",
    r"\d{1,2}(?:\.\d{2})? ?[ap]m",
    r"noon",
    r"midday",
    r"\d{1,2} ?o'?clock",
    r"\d{1,2}h(?:\d{2})?",
];
/// A time soon enough to meet at.
const NEAR: &[&str] = &[
    r"<DAY>",
    r"<CLOCK>",
    r"(?:this|next) week",
    r"this (?:morning|afternoon|evening)",
    r"(?:at|after|before|around) \d{1,2}",
];
const COUNT: &[&str] = &[
    r"an?",
    r"another",
    r"one",
    r"two",
    r"three",
    r"four",
    r"five",
    r"six",
    r"nine",
    r"twelve",
    r"few",
    r"a few",
    r"couple",
    r"a couple",
    r"a couple of",
    r"couple of",
    r"several",
    r"\d{1,3}",
];
/// A time that puts something off.
const LATER: &[&str] = &[
    r"next (?:month|quarter|year|spring|summer|autumn|fall|winter)",
    r"(?:in|after|another|give it) <COUNT>(?: more)?[ -](?:weeks?|months?|quarters?|years?)",
    r"<COUNT> (?:weeks?|months?|years?) (?:from now|time|later)",
    r"(?:in|until|till|after|come|by|around|early|mid|late|of) (?:<MONTH>|q[1-4]|spring|summer|
      autumn|fall|winter|\d{4})",
    r"q[1-4]",
    r"(?:the |a )?new year",
    r"(?:later|end of|early|late|middle of|beginning of|start of|after|until|till) (?:in )?
      (?:the |this |next )?(?:month|quarter|year|spring|summer|autumn|fall|winter|holidays?|
      christmas|easter|thanksgiving|xmas)",
    r"this (?:spring|summer|autumn|fall|winter)",
];

/// The names that a pattern may use, the outermost first.
const NAMES: [(&str, &[&str]); 8] = [
    ("<NEAR>", NEAR),
    ("<LATER>", LATER),
    ("<CLOCK>", CLOCK),
    ("<COUNT>", COUNT),
    ("<DAY>", DAY),
    ("<DATE>", DATE),
    ("<MONTH>", MONTH),
    ("<WEEKDAY>", WEEKDAY),
];

/// Compiles one pattern of these alternatives and replaces the names in it. If an alternative is
/// broken over lines, the break and the indentation are removed. Words are ASCII words, because a
/// Unicode `\b` is many times slower on texts that are not ASCII.
#[expect(clippy::expect_used, reason = "constants, all of them compiled by a test")]
pub(super) fn compiled(alternatives: &[&str]) -> Regex {
    let mut text = alternatives.join("|");
    for (name, meaning) in NAMES {
        text = text.replace(name, &format!("(?:{})", meaning.join("|")));
    }
    let first = text.lines().take(1);
    let text: String = first.chain(text.lines().skip(1).map(str::trim_start)).collect();
    let text =
        text.replace(r"\b", r"(?-u:\b)").replace(r"\d", "[0-9]").replace(r"\w", "[a-z0-9'-]");
    Regex::new(&text).expect("a valid pattern")
}

/// Patterns, each a list of alternatives, that are compiled when first used.
macro_rules! cues {
    ($($(#[$doc:meta])* $name:ident = [$($alternative:literal),+ $(,)?];)+) => {
        $($(#[$doc])* static $name: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| super::cue::compiled(&[$($alternative),+]));)+
        #[cfg(test)]
        pub(super) static ALL: &[&std::sync::LazyLock<regex::Regex>] = &[$(&$name),+];
    };
}
pub(super) use cues;
