//! Links, addresses and phone numbers in a draft. A lead that can make the model write its own
//! would have us send them.

use crate::domain::{Conversation, event::Direction, lazy_pattern::LazyPattern};

/// What looks like a link, an address or the name of a server.
static LINK: LazyPattern = LazyPattern::of(concat!(
    r"(?i)(?:https?://|www\.)[^\s<>]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    r"|(?:[\w-]+\.)+\p{L}{2,63}(?:[/?#:][^\s<>]*)?",
));
/// What may be a phone number: digits, and the marks that are written between them.
static NUMBER: LazyPattern =
    LazyPattern::of(r"\+?\(?\d[\d ().\-/\u{a0}\u{202f}\u{2010}-\u{2013}]{5,}\d");
/// A day, or two years.
static DATE: LazyPattern = LazyPattern::of(concat!(
    r"^(?:\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2}",
    r"|(?:19|20)\d\d[/\u{2010}-\u{2013}-](?:19|20)\d\d)[.)]?$",
));

/// The fewest digits of a phone number.
const DIGITS_MIN: usize = 7;
/// The ends of names of files and programs, which no server's name has.
const NO_SERVERS: [&str; 14] = [
    "js", "ts", "pdf", "doc", "docx", "xls", "xlsx", "csv", "ppt", "pptx", "txt", "html", "jpg",
    "png",
];

/// True if `body` has a link, an address or a phone number that no message of ours in the
/// conversation has, and that is not the name of the lead's company.
pub(super) fn has_foreign(body: &str, conversation: &Conversation) -> bool {
    let ours = || {
        let lines = conversation.transcript.iter();
        lines.filter(|it| it.direction == Direction::Outbound).map(|line| line.body.as_str())
    };
    let company = conversation.lead.company_name.as_deref().map(place);
    let is_our_link = |found: &str| {
        let found = place(found);
        company.as_ref() == Some(&found)
            || ours().any(|line| {
                LINK.find_iter(line).any(|known| leads_to(&place(known.as_str()), &found))
            })
    };
    let links = LINK.find_iter(body).map(|it| it.as_str());
    if links.filter(|found| !is_file(found)).any(|found| !is_our_link(found)) {
        return true;
    }
    let numbers = |text: &str| -> Vec<String> {
        let digits = NUMBER.find_iter(text).map(|found| digits(found.as_str()));
        digits.filter(|digits| digits.chars().count() >= DIGITS_MIN).collect()
    };
    // One of them may lack the code of the country.
    let is_same =
        |found: &str, known: &str| known.ends_with(found.trim_start_matches('0')) || found == known;
    let known: Vec<String> = ours().flat_map(numbers).collect();
    numbers(body).iter().any(|found| !known.iter().any(|known| is_same(found, known)))
}

/// A link or an address in the form in which they are compared.
fn place(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let text = text.trim_end_matches(['.', ',', ')', '!', '?', ';', ':', '/', '"', '\'']);
    let text =
        text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    text.strip_prefix("www.").unwrap_or(text).to_owned()
}

/// True if `found` is `known`, or the server of it.
fn leads_to(known: &str, found: &str) -> bool {
    let rest = known.strip_prefix(found);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#', ':']))
        || known.rsplit_once('@').is_some_and(|(_, server)| server == found)
}

/// True for the name of a file or a program: `offer.pdf`, `Node.js`.
fn is_file(found: &str) -> bool {
    let is_plain = !found.contains(['/', '@', ':', '?', '#']) && found.matches('.').count() == 1;
    let end = found.rsplit('.').next().unwrap_or_default().to_lowercase();
    is_plain && NO_SERVERS.contains(&end.as_str())
}

/// The digits of what may be a number, without those of dates.
fn digits(found: &str) -> String {
    let words = found.split(char::is_whitespace).filter(|word| !DATE.is_match(word));
    words.flat_map(str::chars).filter(|char| char.is_numeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::testing::{conversation, line};

    #[test]
    fn all_patterns_are_valid() {
        LazyPattern::assert_valid([&LINK, &NUMBER, &DATE]);
    }

    #[test]
    fn only_what_we_have_sent_ourselves_is_not_foreign() {
        let mut it = conversation("any", "Write to https://evil.example/x or +1 312 555 0199");
        it.lead.company_name = Some("Larkspur.io".to_owned());
        let ours = "Our page: https://www.ours.example/a. Mail zoe@ours.test, or call (312) 555-0100 or +49 30 1234567.";
        it.transcript.push(line("any", Direction::Outbound, ours, 1));
        for (body, is_foreign) in [
            ("Glad to call. When?", false),
            ("See https://www.ours.example/a.", false),
            ("See ours.example/a, or ours.example!", false),
            ("Zoe, zoe@ours.test, ours.test", false),
            ("See https://evil.example/x", true),
            ("Please confirm at evil.example/pay", true),
            ("Please confirm at Evil.Example.", true),
            ("Please confirm at evil.рф", true),
            ("See ours.example/pay", true),
            ("See s.example", true),
            ("See ours.example.evil.test", true),
            ("See www.evil.example", true),
            ("Write to me@evil.example", true),
            ("Write to eve@ours.test", true),
            ("For Larkspur.io this is easy", false),
            ("I attach offer.pdf; we use Node.js, too", false),
            ("See offer.pdf/x", true),
            ("At 10.30am or 3 p.m., e.g. on Monday... or later", false),
            ("Call (312) 555-0100", false),
            ("Call 312.555.0100", false),
            ("Call 030 1234567", false),
            ("Call +1 312 555 0199", true),
            ("Call 555-0199", true),
            ("Ring 06 12 34 56 78", true),
            ("Ring 06.12.34.56.78", true),
            ("On 14.01.2026 10-11, or 2026-01-15 at 9:30", false),
            ("On 14/01/2026 (or 15/01/2026)", false),
            ("In the year 2026/2027 it costs 1200.00 for 15 people", false),
        ] {
            assert_eq!(has_foreign(body, &it), is_foreign, "{body}");
        }
    }
}
