//! Turns HTML into text in one pass over the tags, without a tree, so that deep or broken HTML
//! costs nothing extra.

use super::{
    entities,
    markup::{self, Mark},
};
use crate::domain::lazy_pattern::LazyPattern;

/// What happens to the older mail in a mail, which is `blockquote` and what mail programs mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// It is dropped with all its content.
    Drop,
    /// It is kept like other text.
    Keep,
}

static KNOWN_TAG: LazyPattern = LazyPattern::of(concat!(
    r"(?i)<(?:html|head|body|div|p|br|span|table|tr|td|ul|ol|li|blockquote|a|b|i|u|strong|em|font",
    r"|style|pre|h[1-6])(?:\s[^<>]*)?/?>"
));

/// True for a text that holds a tag of HTML.
pub fn looks_like_html(text: &str) -> bool {
    KNOWN_TAG.is_match(text)
}

/// The text of `html`. Breaks and ends of blocks become newlines, entities are decoded, and styles
/// and scripts are dropped.
pub fn to_text(html: &str, quotes: Quotes) -> String {
    read(html, quotes).text.trim().to_owned()
}

/// The text of `html` without the older mail; `None` if no mail program has marked that by an id, a
/// class or a style.
pub(super) fn above_marks(html: &str) -> Option<String> {
    let page = read(html, Quotes::Drop);
    page.is_marked.then(|| page.text.trim().to_owned())
}

fn read(html: &str, quotes: Quotes) -> HtmlText {
    let mut page =
        HtmlText { text: String::with_capacity(html.len() / 2), ..HtmlText::new(quotes) };
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (text, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        page.text(text);
        rest = page.markup(tail);
    }
    page.text(rest);
    page
}

/// Elements that have no end.
const IS_EMPTY: [&str; 7] = ["br", "hr", "img", "input", "meta", "link", "wbr"];

struct HtmlText {
    text: String,
    quotes: Quotes,
    /// How many dropped block quotes are open.
    quoted: usize,
    /// The name of the element that is dropped as old, and how many elements of that name are open.
    old: Option<(String, usize)>,
    /// True once a mark said that the rest is old.
    no_more_text: bool,
    /// True once a mark of a mail program was met.
    is_marked: bool,
    in_head: bool,
    preformatted: usize,
    /// False once a quoted attribute was not closed: from then on a tag ends at the next `>`.
    trusts_quotes: bool,
    /// True once a tag was not closed: then no later tag is closed either.
    no_more_tags: bool,
}

impl HtmlText {
    const fn new(quotes: Quotes) -> Self {
        Self {
            text: String::new(),
            quotes,
            quoted: 0,
            old: None,
            no_more_text: false,
            is_marked: false,
            in_head: false,
            preformatted: 0,
            trusts_quotes: true,
            no_more_tags: false,
        }
    }

    /// Takes what starts with `<` and gives back what follows it.
    fn markup<'a>(&mut self, html: &'a str) -> &'a str {
        if let Some(comment) = html.strip_prefix("<!--") {
            return comment.split_once("-->").map_or("", |(_, rest)| rest);
        }
        let inner = html.strip_prefix('<').unwrap_or(html);
        let starts_tag =
            inner.starts_with(|char: char| char.is_ascii_alphabetic() || "/!?".contains(char));
        let end = if starts_tag && !self.no_more_tags { self.tag_end(inner) } else { None };
        let Some((tag, rest)) = end.and_then(|end| inner.split_at_checked(end)) else {
            self.text("<");
            return inner;
        };
        let rest = rest.strip_prefix('>').unwrap_or(rest);
        let (closing, tag) = match tag.strip_prefix('/') {
            Some(tag) => (true, tag),
            None => (false, tag),
        };
        let name: String = tag
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .take(12)
            .map(|it| it.to_ascii_lowercase())
            .collect();
        if !closing && matches!(name.as_str(), "style" | "script" | "title") {
            return after_element(rest, &name);
        }
        if self.quotes == Quotes::Drop && self.is_old(&name, tag, closing) {
            return rest;
        }
        self.tag(&name, closing);
        rest
    }

    /// The end of the tag whose inside is at the start of `inner`.
    fn tag_end(&mut self, inner: &str) -> Option<usize> {
        if self.trusts_quotes {
            let mut quote = None;
            for (at, byte) in inner.bytes().enumerate() {
                match (quote, byte) {
                    (None, b'>') => return Some(at),
                    (None, b'"' | b'\'') => quote = Some(byte),
                    (Some(open), _) if open == byte => quote = None,
                    _ => {}
                }
            }
            self.trusts_quotes = false;
        }
        let end = inner.find('>');
        self.no_more_tags = end.is_none();
        end
    }

    /// Keeps track of what mail programs mark as old. True for a tag within that.
    fn is_old(&mut self, name: &str, tag: &str, closing: bool) -> bool {
        if let Some((old, open)) = &mut self.old {
            if old == name {
                *open = if closing { *open - 1 } else { *open + 1 };
            }
            if *open == 0 {
                self.old = None;
                self.line();
            }
            return true;
        }
        if closing || self.no_more_text {
            return self.no_more_text;
        }
        match markup::mark(name, tag) {
            Some(Mark::Rest) => self.no_more_text = true,
            Some(Mark::Element) if !IS_EMPTY.contains(&name) => {
                self.line();
                self.old = Some((name.to_owned(), 1));
            }
            Some(Mark::Element) | None => return false,
        }
        self.is_marked = true;
        true
    }

    fn tag(&mut self, name: &str, closing: bool) {
        match name {
            "head" => self.in_head = !closing,
            "body" => self.in_head = false,
            "blockquote" if self.quotes == Quotes::Drop => {
                self.line();
                self.quoted = if closing { self.quoted.saturating_sub(1) } else { self.quoted + 1 };
            }
            "pre" => {
                self.line();
                self.preformatted = if closing {
                    self.preformatted.saturating_sub(1)
                } else {
                    self.preformatted + 1
                };
            }
            "br" => self.push('\n'),
            "p" if closing => {
                self.line();
                if !self.text.is_empty() && !self.text.ends_with("\n\n") {
                    self.push('\n');
                }
            }
            "td" | "th" if !closing => self.text(" "),
            "p" | "div" | "li" | "tr" | "table" | "ul" | "ol" | "hr" | "blockquote" | "section"
            | "article" | "header" | "footer" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.line()
            }
            _ => {}
        }
    }

    fn shows(&self) -> bool {
        self.quoted == 0 && !self.in_head && self.old.is_none() && !self.no_more_text
    }

    fn push(&mut self, char: char) {
        if self.shows() {
            self.text.push(char);
        }
    }

    /// Starts a new line unless one has just been started.
    fn line(&mut self) {
        while self.text.ends_with(' ') {
            self.text.pop();
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.push('\n');
        }
    }

    fn text(&mut self, text: &str) {
        if !self.shows() {
            return;
        }
        let mut rest = text;
        while let Some(at) = rest.find('&') {
            let (before, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.plain(before);
            rest = match entities::decode(tail) {
                Some((char, left)) => {
                    self.plain(char.encode_utf8(&mut [0; 4]));
                    left
                }
                None => {
                    self.plain("&");
                    tail.strip_prefix('&').unwrap_or_default()
                }
            };
        }
        self.plain(rest);
    }

    fn plain(&mut self, text: &str) {
        for char in text.chars() {
            match char {
                // Newsletters pad with these; they are no text.
                '\u{200b}' | '\u{200c}' | '\u{feff}' | '\u{ad}' | '\u{34f}' | '\0' => {}
                '\n' if self.preformatted > 0 => self.text.push('\n'),
                _ if char.is_whitespace() => {
                    if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
                        self.text.push(' ');
                    }
                }
                _ => self.text.push(char),
            }
        }
    }
}

/// The text behind the end tag of an element that holds no markup.
fn after_element<'a>(html: &'a str, name: &str) -> &'a str {
    let mut rest = html;
    while let Some((_, tail)) = rest.split_once("</") {
        if tail.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name)) {
            return tail.split_once('>').map_or("", |(_, rest)| rest);
        }
        rest = tail;
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_are_valid() {
        LazyPattern::assert_valid([&KNOWN_TAG]);
    }
}
