//! Templates of answers: texts with named fields, such as `{first_name}` (docs/RULES.md DRAFTS).

use super::LeadView;
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// The names of the fields.
pub const FIELDS: [&str; 6] =
    ["first_name", "last_name", "company_name", "company", "title", "sender"];
/// The most characters of a field's value. A longer text is no name.
const VALUE_MAX: usize = 80;

#[expect(clippy::expect_used, reason = "constants, each of them used by the tests")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// What is meant as a field, rightly written or not.
static MEANT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{+\s*([A-Za-z_][\w -]{0,60})\}+"));
/// A field, together with the little word before it, which goes with it if there is no value.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?P<before>(?:\b(?:at|for|from|with|of|by) )?)(?P<open>\(?)\{(?P<name>[a-z_]{1,40})\}(?P<close>\)?)",
    )
});
/// An English greeting that needs a name after it.
static GREETING: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(?:hi|hello|hey) $"));
static BLANKS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[ \t]{2,}"));
static BLANK_BEFORE_MARK: LazyLock<Regex> = LazyLock::new(|| pattern(r"[ \t]+([,.!?;:])"));
static COMMA_BEFORE_MARK: LazyLock<Regex> = LazyLock::new(|| pattern(r",+([,.!?;:])"));
static BLANK_LINES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\n{3,}"));

/// The first field of the template that does not exist: as it is written, and its name.
pub fn unknown_field(template: &str) -> Option<(&str, &str)> {
    MEANT.captures_iter(template).find_map(|found| {
        let (written, name) = (found.get(0)?.as_str(), found.get(1)?.as_str());
        let inner = written.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        (!FIELDS.iter().any(|field| inner == Some(*field))).then_some((written, name.trim()))
    })
}

/// `template` with its fields filled in. A field without a value is removed with the blank around
/// it, and so is a line of which nothing is left. Fields in values are not filled in.
pub fn filled(template: &str, lead: &LeadView, sender: Option<&str>) -> String {
    let lines = template.lines().filter_map(|line| filled_line(line.trim_end(), lead, sender));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = BLANK_LINES.replace_all(text.trim(), "\n\n");
    // A comma at the very end stood before the name of a sender that is not known.
    text.trim_end_matches(',').to_owned()
}

fn filled_line(line: &str, lead: &LeadView, sender: Option<&str>) -> Option<String> {
    let has_last_name = line.contains("{last_name}") && value("last_name", lead, None).is_some();
    let mut is_one_gone = false;
    let text = FIELD.replace_all(line, |found: &Captures<'_>| {
        let part = |name| found.name(name).map_or("", |it| it.as_str());
        let name = part("name");
        let head = line.get(..found.get(0).map_or(0, |it| it.start())).unwrap_or_default();
        let has_greeting = name == "first_name" && !has_last_name && GREETING.is_match(head);
        let fallback = has_greeting.then(|| "there".to_owned());
        if let Some(value) = value(name, lead, sender).or(fallback) {
            return format!("{}{}{value}{}", part("before"), part("open"), part("close"));
        }
        is_one_gone = true;
        // Brackets go only in pairs.
        let (open, close) = (part("open"), part("close"));
        if open.len() == close.len() { String::new() } else { format!("{open}{close}") }
    });
    if !is_one_gone {
        return Some(text.into_owned());
    }
    let text = BLANKS.replace_all(text.trim(), " ");
    let text = BLANK_BEFORE_MARK.replace_all(&text, "$1");
    let text = COMMA_BEFORE_MARK.replace_all(&text, "$1");
    let text = text.trim_start_matches([',', ';', ':', ' ']);
    text.contains(char::is_alphanumeric).then(|| text.to_owned())
}

fn value(name: &str, lead: &LeadView, sender: Option<&str>) -> Option<String> {
    let given = match name {
        "first_name" => lead.first_name.as_deref(),
        "last_name" => lead.last_name.as_deref(),
        "company_name" | "company" => lead.company_name.as_deref(),
        "title" => lead.title.as_deref(),
        "sender" => sender,
        _ => None,
    };
    let value = given.map(super::text::one_line).filter(|it| !it.is_empty());
    value.map(|value| value.chars().take(VALUE_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LeadStatus;
    use proptest::prelude::*;

    fn lead() -> LeadView {
        LeadView {
            id: 1,
            status: LeadStatus::New,
            sentiment: None,
            first_name: Some(" Dana ".to_owned()),
            last_name: None,
            company_name: Some("Larkspur\nFreight".to_owned()),
            title: None,
            opted_out: false,
            bounced: false,
            sms_dnd: false,
            has_inbound: true,
            newest_inbound_id: Some(1),
        }
    }

    #[test]
    fn fields_are_filled_and_those_without_a_value_vanish() {
        let rows = [
            ("Hi {first_name} {last_name},", None, "Hi Dana"),
            ("Hi {first_name} {last_name}, welcome.", None, "Hi Dana, welcome."),
            ("Hi {first_name}!\nFor {company_name}.", None, "Hi Dana!\nFor Larkspur Freight."),
            ("At {company} ({title}) too.", None, "At Larkspur Freight too."),
            ("One ({first_name}).", None, "One (Dana)."),
            ("One.\n\nBest,\n{sender}", Some("Sam"), "One.\n\nBest,\nSam"),
            ("One.\n\nBest,\n{sender}", None, "One.\n\nBest"),
            ("One.\n\n\n- {sender}\n\n\nTwo.", None, "One.\n\nTwo."),
            ("A letter from {sender}.", Some("  "), "A letter."),
            ("Thanks, {last_name}!", None, "Thanks!"),
            ("{last_name}, thanks.", None, "thanks."),
            ("Nothing {unknown} here.", None, "Nothing here."),
            ("Bonjour {first_name} !", None, "Bonjour Dana !"),
            ("Braces {} and { x } stay.", None, "Braces {} and { x } stay."),
            ("{sender}", Some("{first_name}"), "{first_name}"),
            ("{sender}", None, ""),
        ];
        for (template, sender, expected) in rows {
            assert_eq!(filled(template, &lead(), sender), expected, "{template:?}");
        }
    }

    #[test]
    fn a_greeting_without_a_name_is_clean() {
        let nameless = LeadView { first_name: Some(" ".to_owned()), ..lead() };
        let surname = LeadView { last_name: Some("Reyes".to_owned()), ..nameless.clone() };
        let rows = [
            ("Hi {first_name},\n\nwelcome.", "Hi there,\n\nwelcome.", "Hi there,\n\nwelcome."),
            ("HELLO {first_name}!", "HELLO there!", "HELLO there!"),
            ("Hi {first_name} {last_name}, welcome.", "Hi there, welcome.", "Hi Reyes, welcome."),
            ("Hallo {first_name},\n\ndanke.", "Hallo,\n\ndanke.", "Hallo,\n\ndanke."),
            ("Thanks, {first_name}.", "Thanks.", "Thanks."),
        ];
        for (template, without, with_surname) in rows {
            assert_eq!(filled(template, &nameless, None), without, "{template:?}");
            assert_eq!(filled(template, &surname, None), with_surname, "{template:?}");
        }
    }

    #[test]
    fn a_field_that_does_not_exist_is_found() {
        let rows = [
            ("Hi {first_name}, {company} {company_name} {last_name} {title} {sender}", None),
            ("Hi {frist_name}", Some(("{frist_name}", "frist_name"))),
            ("Hi {first_name}, on {day}", Some(("{day}", "day"))),
            ("Hi {First Name }", Some(("{First Name }", "First Name"))),
            ("Hi { first_name }", Some(("{ first_name }", "first_name"))),
            ("Hi {{first_name}}", Some(("{{first_name}}", "first_name"))),
            ("Braces {} and {1} stay", None),
        ];
        for (template, expected) in rows {
            assert_eq!(unknown_field(template), expected, "{template}");
        }
    }

    proptest! {
        #[test]
        fn no_template_panics_or_leaves_a_field(template: String, sender: Option<String>) {
            let _unknown = unknown_field(&template);
            let text = filled(&template, &lead(), sender.as_deref());
            prop_assert_eq!(text.trim(), text.as_str());
        }

        #[test]
        fn known_fields_are_never_left(
            words in proptest::collection::vec("[a-z]{1,6}[,.!]?|\\{first_name\\}|\\{title\\}|\\{sender\\}", 1..12),
        ) {
            let text = filled(&words.join(" "), &lead(), None);
            prop_assert!(!text.contains(['{', '}']), "{text}");
            prop_assert!(!text.contains(" ,") && !text.contains("  "), "{text}");
        }
    }
}
