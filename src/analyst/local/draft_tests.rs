use super::*;
use crate::analyst::{
    RuledMessage,
    testing::{CHAT, TEXT, conversation},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The bound of `CHAT`.
const CHAT_CHARS: usize = 1_900;

fn templates(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("Interested".to_owned(), text.to_owned())])
}

fn of_template(medium: Medium, text: &str, sender: Option<&str>) -> Option<DraftText> {
    let templates = templates(text);
    let mut it = conversation("any", "Sounds good");
    it.lead.first_name = Some(" Dana ".to_owned());
    it.lead.company_name = Some("Larkspur\nFreight".to_owned());
    draft(&DraftRequest {
        message: &RuledMessage::new(&it, medium),
        tag: Sentiment::Interested,
        templates: &templates,
        sender,
        style: None,
        hint: None,
    })
}

fn filled_in(text: &str, sender: Option<&str>) -> String {
    of_template(Medium::Mail, text, sender).unwrap().body
}

#[test]
fn a_template_of_which_nothing_is_left_makes_no_draft() {
    assert_eq!(
        filled_in("Hi {first_name}\nFor {company_name}.", None),
        "Hi Dana\nFor Larkspur Freight."
    );
    assert_eq!(of_template(Medium::Mail, "{sender}", None), None);
}

#[test]
fn exactly_the_tags_that_get_a_draft_have_a_template() {
    for tag in Sentiment::ALL {
        for medium in [Medium::Mail, TEXT, CHAT] {
            let it = conversation("any", "hello");
            let request = DraftRequest {
                message: &RuledMessage::new(&it, medium),
                tag,
                templates: &BTreeMap::new(),
                sender: None,
                style: None,
                hint: None,
            };
            let text = draft(&request);
            assert_eq!(text.is_some(), tag.gets_draft(), "{tag:?} {medium:?}");
            let Some(text) = text else { continue };
            assert!(!text.body.contains(['{', '}']), "{}", text.body);
            assert!(text.body.starts_with("Hi there,"), "{}", text.body);
            let length = text.body.chars().count();
            assert!(if medium == TEXT { length <= 160 } else { (220..=1_200).contains(&length) });
        }
    }
}

#[test]
fn a_blank_template_counts_as_none() {
    assert!(filled_in(" \n", None).starts_with("Hi Dana,\n\nThat is good to hear"));
}

#[test]
fn a_mail_answers_under_one_re() {
    let rows = [
        (Some("Quick question"), Some("Re: Quick question")),
        (Some("RE: Re: quick question"), Some("Re: quick question")),
        (Some("AW: Re[2]: Frage"), Some("Re: Frage")),
        (Some("Regarding prices"), Some("Re: Regarding prices")),
        (Some("Bcc: x\r\nsubject"), Some("Re: Bcc: x subject")),
        (Some("Re: "), None),
        (Some(" "), None),
        (None, None),
    ];
    for (subject, expected) in rows {
        let mut it = conversation("any", "Sounds good");
        it.message.subject = subject.map(str::to_owned);
        let request = DraftRequest {
            message: &RuledMessage::new(&it, Medium::Mail),
            tag: Sentiment::Interested,
            templates: &BTreeMap::new(),
            sender: None,
            style: None,
            hint: None,
        };
        assert_eq!(draft(&request).unwrap().subject.as_deref(), expected, "{subject:?}");
        let sms =
            draft(&DraftRequest { message: &RuledMessage::new(&it, TEXT), ..request }).unwrap();
        assert_eq!(sms.subject, None);
    }
}

#[test]
fn an_sms_has_at_most_three_parts() {
    let text = of_template(TEXT, &"Some words that go on. ".repeat(40), None).unwrap();
    assert_eq!(text.parts.len(), 3);
    assert_eq!(text.parts.concat(), text.body);
}

#[test]
fn a_linkedin_answer_is_kept_short() {
    let text = of_template(CHAT, &"words and words ".repeat(300), None).unwrap();
    assert!(text.body.chars().count() <= CHAT_CHARS && text.body.ends_with(['d', 's']));
    assert!(text.parts.is_empty());
}

proptest! {
    #[test]
    fn no_template_panics(template: String, sender: Option<String>) {
        let text = of_template(CHAT, &template, sender.as_deref());
        prop_assert!(text.is_none_or(|it| !it.body.is_empty()));
    }
}
