//! Reports of returned mail: which address they are about, and why.

use super::people::is_ours;
use crate::channels::{fields, text};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// A report says at its beginning what it is about; below it quotes our mail.
const READ_BYTES: usize = 20_000;
/// So much of a report is kept.
const REASON_CHARS: usize = 1_000;

/// Behind such a phrase an address is looked for in so many bytes.
const WINDOW_BYTES: usize = 160;
const PHRASES_MAX: usize = 40;

/// After these a report names the address that it is about.
static PHRASE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:was|were)(?:n't|n’t| not| never) (?:delivered|sent)|delivery to|recipients?:?",
        r"|could ?(?:n't|n’t| not) be (?:delivered|sent)|address(?:es|\(es\))? (?:failed|had permanent)",
        r"|(?:could ?(?:n't|n’t| not)|unable to|cannot|can't|can’t) (?:reach|deliver|send)",
        r"|(?:undeliverable|undelivered|bounced|failed|rejected)(?-u:\b)|(?-u:\b)55[0-9][ -]5\.[0-9]+\.[0-9]+",
        r"|nicht zugestellt|unzustellbar|pas pu être (?:remis|distribué)|no se (?:ha )?(?:pudo|podido) entregar",
        r"|no entregado|non è stato (?:recapitato|consegnato)|não (?:foi|pôde ser) entregue|niet (?:worden )?(?:bezorgd|afgeleverd)",
    ))
    .ok()
});

static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)[a-z0-9!#$%&'*+/=?^_{|}~.\-]{1,64}@[a-z0-9.\-]{1,190}[a-z0-9]").ok()
});

/// The address that mail to could not be delivered, as the report's text names it; neither a robot's nor
/// ours.
pub(super) fn address(body: &Value) -> Option<String> {
    let shown = shown(body)?;
    let (phrase, address) = (PHRASE.as_ref()?, ADDRESS.as_ref()?);
    phrase.find_iter(&shown).take(PHRASES_MAX).find_map(|found| {
        let behind = fields::beginning(shown.get(found.end()..)?, WINDOW_BYTES);
        address
            .find_iter(behind)
            .filter_map(|it| fields::email_address(it.as_str()))
            .find(|it| !fields::is_robot(it) && !is_ours(body, it))
    })
}

/// The report's own words, else its subject.
pub(super) fn reason(body: &Value) -> Option<String> {
    let told = shown(body).or_else(|| fields::text(body, "data.reply.email_subject"))?;
    text::shortened(&told, REASON_CHARS)
}

fn shown(body: &Value) -> Option<String> {
    let plain = fields::text(body, "data.reply.text_body");
    let html = fields::text(body, "data.reply.html_body");
    let beginning = |it: &String| fields::beginning(it, READ_BYTES).to_owned();
    let (plain, html) = (plain.as_ref().map(beginning), html.as_ref().map(beginning));
    let shown = text::readable(plain.as_deref(), html.as_deref());
    (!shown.is_empty()).then_some(shown)
}
