//! Finds the newly written text of a mail (docs/RULES.md TEXT), in time that is linear in the
//! mail's size.

mod entities;
mod footer;
pub mod html;
mod markup;
mod quotes;
mod reactions;
pub mod reply;
pub(super) mod report;
mod shapes;

/// A mail's text, cleaned.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// The new text; the raw text if cleaning left nothing.
    pub body: String,
    /// False if there was a text and cleaning left nothing of it.
    pub has_new_text: bool,
}

impl Cleaned {
    /// A text that is kept as it is.
    pub fn whole(text: &str) -> Self {
        Self { body: text.to_owned(), has_new_text: true }
    }

    /// The text that may be judged: the new text, or `""` if there is none.
    pub fn new_text(&self) -> &str {
        if self.has_new_text { &self.body } else { "" }
    }
}

/// The new text of a mail of which `text` and `html` are two versions; `text` is preferred.
pub fn clean(text: Option<&str>, html: Option<&str>) -> Cleaned {
    let text = text.filter(|it| !it.trim().is_empty());
    let html = html.filter(|it| !it.trim().is_empty());
    let marked = text.and(html).and_then(above_marks);
    // The second version counts only if the first leaves nothing, and is not cleaned before.
    for part in text.into_iter().map(of_text).chain(html.into_iter().map(of_html)) {
        // If the HTML marks the older mail, the text ends where that begins.
        let part = match &marked {
            Some(above) if is_beginning(above, &part) => above.clone(),
            _ => part,
        };
        let part = match reactions::without_reaction(&part) {
            Some(rest) => rest.to_owned(),
            None => part,
        };
        if !part.is_empty() {
            return Cleaned { body: part, has_new_text: true };
        }
    }
    let raw = text.or(html);
    Cleaned { body: raw.unwrap_or_default().trim().to_owned(), has_new_text: raw.is_none() }
}

/// The new text of a text message or of a chat message. A mere reaction to a message of ours has
/// none. An empty message counts as new text.
pub fn spoken(raw: &str) -> Cleaned {
    let said = reply::spoken(raw);
    match reactions::without_reaction(&said) {
        Some("") => Cleaned { body: raw.trim().to_owned(), has_new_text: false },
        Some(rest) => Cleaned { body: rest.to_owned(), has_new_text: true },
        None => Cleaned { body: said, has_new_text: true },
    }
}

/// The new text of HTML in which a mail program has marked the older mail.
fn above_marks(html: &str) -> Option<String> {
    let above = reply::new_text(&html::above_marks(html)?);
    (!above.is_empty()).then_some(above)
}

/// True if `whole` begins with the words of `part` and goes on after them.
fn is_beginning(part: &str, whole: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|it| it.is_alphanumeric()).collect::<String>();
    let (part, whole) = (letters(part), letters(whole));
    !part.is_empty() && part.len() < whole.len() && whole.starts_with(&part)
}

/// A text as people read it, with its quotes. This is for mail that we wrote.
pub fn readable(text: Option<&str>, html: Option<&str>) -> String {
    let text = text.filter(|it| !it.trim().is_empty());
    match (text, html) {
        (Some(text), _) if html::looks_like_html(text) => html::to_text(text, html::Quotes::Keep),
        (Some(text), _) => entities::decoded(text).trim().to_owned(),
        (None, Some(html)) => html::to_text(html, html::Quotes::Keep),
        (None, None) => String::new(),
    }
}

/// `text` on one line, cut at a character if it is longer than `chars`; none if it is blank.
pub fn shortened(text: &str, chars: usize) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(chars).collect();
    (!cut.is_empty()).then_some(cut)
}

/// A plain text may have been escaped as if it were HTML.
fn of_text(text: &str) -> String {
    if html::looks_like_html(text) {
        of_html(text)
    } else {
        reply::new_text(&entities::decoded(text))
    }
}

fn of_html(html: &str) -> String {
    reply::new_text(&html::to_text(html, html::Quotes::Drop))
}

#[cfg(test)]
mod tests;
