//! How explanations spell times, spans, counts and texts of others.

use super::{BEFORE_MAX, FactValue};
use crate::domain::{Id, Timestamp, visible::visible};
use std::time::Duration;

/// The most characters of a text of others in a sentence: an error, or a note.
const TEXT_CHARS_MAX: usize = 200;
const DAY_MS: i64 = 86_400_000;

/// A span in the words of the configuration, such as `1m 5s`: whole seconds from ten seconds on,
/// else milliseconds.
pub(super) fn span(ms: i64) -> String {
    let ms = ms.unsigned_abs();
    let shown = if ms >= 10_000 { ms / 1_000 * 1_000 } else { ms };
    humantime::format_duration(Duration::from_millis(shown)).to_string()
}

/// An instant in UTC, with its date if that is another than today's.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    // `2026-01-18T14:03:11.120Z`
    let text = at.to_string();
    let is_today = at.as_millis().div_euclid(DAY_MS) == now.as_millis().div_euclid(DAY_MS);
    match (text.get(..10), text.get(11..19)) {
        (Some(_), Some(time)) if is_today => format!("{time} UTC"),
        (Some(date), Some(time)) => format!("{date} {time} UTC"),
        _ => text,
    }
}

/// An instant, and how far it is from now: `14:03:11 UTC (12s ago)`.
pub(super) fn when(at: Timestamp, now: Timestamp) -> String {
    let ms = at.millis_since(now);
    let clock = clock(at, now);
    match ms {
        0.. => format!("{clock} (in {})", span(ms)),
        _ => format!("{clock} ({} ago)", span(ms)),
    }
}

/// A count that was bounded by [`BEFORE_MAX`].
pub(super) fn bounded(count: i64) -> String {
    if count > BEFORE_MAX { "more than 1,000".to_owned() } else { count.to_string() }
}

/// The same as a fact.
pub(super) fn count(count: i64) -> FactValue {
    if count > BEFORE_MAX { bounded(count).into() } else { count.into() }
}

/// What to send to those who maintain Postroom.
pub(super) fn what_to_send(id: Id) -> String {
    format!(
        "Send us what `postroom jobs explain {id} --json`, `postroom jobs show {id} --json` and `/readyz` answer, with the log of that time."
    )
}

/// A text of others on one line: hidden characters are spelled out, and a long text is cut.
pub(super) fn quoted(text: &str) -> String {
    let blank = |char: char| if char.is_whitespace() { ' ' } else { char };
    let line: String = text.trim().chars().map(blank).take(TEXT_CHARS_MAX + 1).collect();
    let is_cut = line.chars().count() > TEXT_CHARS_MAX;
    let kept: String = line.chars().take(TEXT_CHARS_MAX).collect();
    let shown = visible(kept.trim_end(), &[]);
    if is_cut { format!("{shown}…") } else { shown.into_owned() }
}

/// `1 job`, `2 jobs`.
pub(super) fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_for_a_person() {
        let now = Timestamp::from_millis(1_768_744_991_120);
        for (ms, text) in [
            (0, "14:03:11 UTC (in 0s)"),
            (-12_345, "14:02:58 UTC (12s ago)"),
            (9_500, "14:03:20 UTC (in 9s 500ms)"),
            (-86_400_000, "2026-01-17 14:03:11 UTC (1day ago)"),
            (36_000_000, "2026-01-19 00:03:11 UTC (in 10h)"),
        ] {
            assert_eq!(when(now.plus_millis(ms), now), text);
        }
    }

    #[test]
    fn a_text_of_others_is_one_short_line() {
        assert_eq!(quoted(" a\nb\u{1b}[31m "), "a b\\u001b[31m");
        assert_eq!(quoted(&"x".repeat(300)), format!("{}…", "x".repeat(200)));
        assert_eq!((bounded(1_000), bounded(1_001)), ("1000".into(), "more than 1,000".into()));
        assert_eq!((many(1, "slot"), many(0, "slot")), ("1 slot".into(), "0 slots".into()));
    }
}
