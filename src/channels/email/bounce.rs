//! Reports of returned mail: which address they are about, and why the mail was returned.

use super::people::is_ours;
use crate::{
    channels::{fields, text},
    domain::text::beginning,
};
use serde_json::Value;

/// How many bytes of a report are read: it says at its beginning what it is about, and quotes our
/// mail below.
const READ_BYTES: usize = 20_000;
/// How many characters of a report are kept as the reason.
const REASON_CHARS: usize = 1_000;

/// The address to which mail could not be delivered, as the report's text names it; never a robot's
/// or ours.
pub(super) fn address(body: &Value) -> Option<String> {
    let shown = shown(body)?;
    text::report::addresses(&shown)
        .find(|address| !fields::has_robots_name(address) && !is_ours(body, address))
}

/// True if the text reads like such a report.
pub(super) fn names_an_address(body: &Value) -> bool {
    address(body).is_some()
}

/// The report's own words, else its subject.
pub(super) fn reason(body: &Value) -> Option<String> {
    let told = shown(body).or_else(|| fields::text(body, "data.reply.email_subject"))?;
    text::shortened(&told, REASON_CHARS)
}

fn shown(body: &Value) -> Option<String> {
    let plain = fields::text(body, "data.reply.text_body");
    let html = fields::text(body, "data.reply.html_body");
    let read = |it: &String| beginning(it, READ_BYTES).to_owned();
    let (plain, html) = (plain.as_ref().map(read), html.as_ref().map(read));
    let shown = text::readable(plain.as_deref(), html.as_deref());
    (!shown.is_empty()).then_some(shown)
}
