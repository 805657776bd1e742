//! Texts and times of leads: their names, links in what they wrote, and the time where they are.

use crate::{
    domain::{Timestamp, visible::visible},
    http::{
        api::{LeadJson, MessageJson},
        ui::parts::{link_outside, number_of, one_line},
    },
};
use maud::{Markup, html};

/// By what a person knows a lead: the name, else the address or the phone number.
pub(in crate::http::ui) fn name_of(lead: &LeadJson<'_>) -> String {
    let names: Vec<&str> = [lead.first_name, lead.last_name].into_iter().flatten().collect();
    let name = names.join(" ");
    let known = [Some(name.as_str()), lead.email, lead.phone];
    let known = known.into_iter().flatten().map(str::trim).find(|it| !it.is_empty());
    known.unwrap_or("no name known").to_owned()
}

/// A text with the links in it, in its own lines. Of a longer one than `chars_max`, the beginning.
pub(in crate::http::ui) fn linked(text: &str, chars_max: usize) -> Markup {
    let text = text.replace("\r\n", "\n");
    let start = text.char_indices().nth(chars_max).and_then(|(at, _)| text.get(..at));
    html! {
        div.text dir="auto" {
            @for piece in pieces(start.unwrap_or(&text)) {
                @match piece {
                    Piece::Text(text) => (visible(text, &['\n', '\t'])),
                    Piece::Link(address) => (link_outside(address, address)),
                }
            }
            @if start.is_some() { "…" }
        }
    }
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Link(&'a str),
}

/// The text in its order, cut where web addresses begin and end.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = ["https://", "http://"].iter().filter_map(|it| rest.find(it)).min() {
        let (before, from) = rest.split_at(at);
        let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"');
        let word = from.split(ends).next().unwrap_or(from);
        let address = word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '}', '\'']);
        // What is no address, such as "http://" alone, stays text.
        let length = if address.len() > "https://".len() { address.len() } else { word.len() };
        let (piece, after) = from.split_at(length);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let is_link = piece == address && address.len() > "https://".len();
        pieces.push(if is_link { Piece::Link(piece) } else { Piece::Text(piece) });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The beginning of a message on one line.
pub(in crate::http::ui) fn beginning(message: &MessageJson<'_>, chars_max: usize) -> Markup {
    let body = message.body.trim();
    let text = if body.is_empty() { message.subject.unwrap_or_default() } else { body };
    if text.trim().is_empty() {
        return html! { span.z { "no text" } };
    }
    one_line(text, chars_max)
}

/// The time of day in this zone: `Thu 09:02`. `None` if there is no such zone.
pub(in crate::http::ui) fn time_in(zone: &str, at: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?.in_tz(zone).ok()?;
    Some(at.strftime("%a %H:%M").to_string())
}

/// What a text became: the words between its common beginning and end are struck out and replaced.
pub(in crate::http::ui) fn difference(was: &str, is: &str) -> Markup {
    let (old, new) = (words(was), words(is));
    let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - start;
    let ends = old.iter().rev().zip(new.iter().rev()).take(rest);
    let end = ends.take_while(|(old, new)| old == new).count();
    let part = |all: &[&str], from: usize, to: usize| {
        all.get(from..to).map(<[&str]>::concat).unwrap_or_default()
    };
    html! {
        p.text.sm dir="auto" {
            (visible(&part(&old, 0, start), &['\n', '\t']))
            @if start + end < old.len() { del { (visible(&part(&old, start, old.len() - end), &['\n', '\t'])) } " " }
            @if start + end < new.len() { ins { (visible(&part(&new, start, new.len() - end), &['\n', '\t'])) } }
            (visible(&part(&new, new.len() - end, new.len()), &['\n', '\t']))
        }
    }
}

/// The words of a text, and what stands between them.
fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(char::is_whitespace)
        .flat_map(|piece| {
            let blanks = piece.char_indices().next_back().filter(|(_, it)| it.is_whitespace());
            let (word, blank) = piece.split_at(blanks.map_or(piece.len(), |(at, _)| at));
            [word, blank]
        })
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// `1 message`, `4 messages`.
pub(in crate::http::ui) fn many(count: usize, what: &str) -> Markup {
    html! { (number_of(count)) " " (what) @if count != 1 { "s" } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_addresses_in_a_text_are_found() {
        use Piece::{Link, Text};
        for (text, expected) in [
            ("", vec![]),
            ("no link", vec![Text("no link")]),
            (
                "see https://a.example/x?y=1.",
                vec![Text("see "), Link("https://a.example/x?y=1"), Text(".")],
            ),
            ("(http://a.example)", vec![Text("("), Link("http://a.example"), Text(")")]),
            ("https://", vec![Text("https://")]),
            ("http://. then", vec![Text("http://."), Text(" then")]),
            (
                "https://a.example\nhttps://b.example",
                vec![Link("https://a.example"), Text("\n"), Link("https://b.example")],
            ),
            ("javascript:alert(1)", vec![Text("javascript:alert(1)")]),
        ] {
            assert_eq!(pieces(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_link_shows_its_host_and_hostile_text_does_nothing() {
        let text = "<script>alert(1)</script> https://evil.example/\"><img src=x> \u{202e}x";
        let shown = linked(text, 1_000).into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<img"), "{shown}");
        assert!(
            shown.contains("href=\"https://evil.example/\"")
                && shown.contains("evil.example</bdi>)"),
            "{shown}"
        );
        assert!(shown.contains("\\u202ex"), "{shown}");
        assert!(linked(&"x".repeat(1 << 20), 100).into_string().len() < 200);
    }

    #[test]
    fn the_difference_is_between_what_both_begin_and_end_with() {
        let html =
            difference("Hi Rita, the Growth plan fits.", "Hi Rita, our plan fits.").into_string();
        assert!(
            html.contains("Hi Rita, <del>the Growth</del> <ins>our</ins> plan fits."),
            "{html}"
        );
        for (was, is) in [("", "a"), ("a", ""), ("a", "a"), ("a b", "a b c"), ("x y", "y")] {
            let html = difference(was, is).into_string();
            assert_eq!(
                html.contains("<del>"),
                was.len() > is.len() || was == "x y",
                "{was} {is} {html}"
            );
        }
    }

    #[test]
    fn the_time_of_a_zone_is_told_if_there_is_one() {
        let at = Timestamp::from_millis(1_768_744_991_120);
        assert_eq!(time_in("Europe/Berlin", at).as_deref(), Some("Sun 15:03"));
        assert_eq!(time_in("Mars/Base", at), None);
    }
}
