//! Texts from outside: names, subjects, bodies, errors, payloads.

use crate::domain::visible::visible;
use maud::{Markup, html};

/// The most characters of a text that a page shows unless its reader asks for all.
pub(in crate::http::ui) const TEXT_CHARS_MAX: usize = 20_000;
/// The same for a text inside of a line, such as a name.
const NAME_CHARS_MAX: usize = 200;

/// A short text from outside, such as a name or a subject, inside of a line. It cannot turn the
/// direction of the text around it.
pub(in crate::http::ui) fn outside(text: &str) -> Markup {
    one_line(text, NAME_CHARS_MAX)
}

/// The beginning of a text from outside on one line, with at most `chars_max` characters.
pub(in crate::http::ui) fn one_line(text: &str, chars_max: usize) -> Markup {
    let (start, is_cut) = cut(text, chars_max);
    let line = start.split_whitespace().collect::<Vec<_>>().join(" ");
    html! { bdi dir="auto" { (visible(&line, &[])) @if is_cut { "…" } } }
}

/// A value that was changed: what it was, if it was there, and what it is, or that it is gone. Of
/// each, at most `chars_max` characters.
pub(in crate::http::ui) fn old_and_new(
    old: Option<&str>,
    new: Option<&str>,
    chars_max: usize,
) -> Markup {
    html! {
        @if let Some(old) = old { del { (one_line(old, chars_max)) } " " }
        @if let Some(new) = new { ins { (one_line(new, chars_max)) } } @else { "gone" }
    }
}

/// A long text from outside, in its own lines. Beyond [`TEXT_CHARS_MAX`] it is cut, with a link to
/// `show_all`, at which the page shows all of it; without such a link it is whole.
pub(in crate::http::ui) fn long_text(text: &str, show_all: Option<&str>) -> Markup {
    let chars_max = if show_all.is_some() { TEXT_CHARS_MAX } else { usize::MAX };
    let (start, is_cut) = cut(text, chars_max);
    html! {
        div.text dir="auto" { (visible(start, &['\n', '\t'])) @if is_cut { "…" } }
        @if let Some(all) = show_all.filter(|_| is_cut) {
            p.sm { a href=(all) { "Show all " (super::number(chars(text))) " characters" } }
        }
    }
}

fn chars(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// The first `chars_max` characters, and whether there are more.
fn cut(text: &str, chars_max: usize) -> (&str, bool) {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => (text.split_at(at).0, true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_shown_and_does_nothing() {
        let hostile = "<script>alert(1)</script>\u{202e}evil\u{200b}";
        let shown = outside(hostile).into_string();
        assert!(shown.starts_with("<bdi dir=\"auto\">&lt;script&gt;"), "{shown}");
        assert!(shown.contains("\\u202eevil\\u200b"), "{shown}");
        let lines = long_text("a\r\n\u{2066}b", None).into_string();
        assert!(lines.contains("a\\u000d\n\\u2066b"), "{lines}");
    }

    #[test]
    fn a_long_text_is_cut_and_says_how_to_see_all() {
        let long = "ä".repeat(TEXT_CHARS_MAX + 1);
        let shown = long_text(&long, Some("/leads/1?full=1")).into_string();
        assert!(shown.chars().count() < TEXT_CHARS_MAX + 200, "{}", shown.len());
        assert!(shown.contains("href=\"/leads/1?full=1\"") && shown.contains("20,001"));
        assert!(long_text(&long, None).into_string().contains(&long));
        assert!(!long_text("short", Some("/x")).into_string().contains("href"));
        assert!(one_line(&"x".repeat(1 << 20), 90).into_string().len() < 130);
        assert_eq!(one_line("a\n  b", 9).into_string(), "<bdi dir=\"auto\">a b</bdi>");
    }
}
