//! Finds the text of a message. People build workflows and choose the names of fields.

use crate::{
    channels::{Received, fields, json},
    domain::text::is_blank,
};
use serde_json::Value;

/// The reason if a text may be under a key that is not known here.
pub(super) const UNKNOWN: &str = "unknown_text_field";

/// The paths of the text in a workflow's body, in this order.
const OF_WORKFLOW: [&str; 14] = [
    "message",
    "customData.Message",
    "customData.message",
    "customData.messageBody",
    "customData.body",
    "customData.text",
    "customData.Body",
    "customData.Text",
    "customData.sms",
    "Message",
    "messageBody",
    "body",
    "text",
    "customData",
];
/// The paths of the text in a marketplace event.
const OF_MARKETPLACE: [&str; 4] = ["body", "message", "messageBody", "text"];
/// The keys of the text in an object or a list at one of those paths.
const INSIDE: [&str; 9] =
    ["body", "text", "message", "Message", "content", "Body", "Text", "messageBody", "sms"];
/// How many levels deep a text is looked for.
const DEPTH_MAX: usize = 4;
/// How many entries of a list or an object are searched.
const ENTRIES_MAX: usize = 200;

/// The text of a workflow's message. The client's own field is searched first.
pub(super) fn of_workflow(received: &Received<'_>) -> Option<String> {
    first(received, &OF_WORKFLOW)
}

/// The text of a marketplace event. The client's own field is searched first.
pub(super) fn of_marketplace(received: &Received<'_>) -> Option<String> {
    first(received, &OF_MARKETPLACE)
}

fn first(received: &Received<'_>, paths: &[&str]) -> Option<String> {
    let body = received.body;
    let named = received.text_field.and_then(|path| at(body, path));
    named.or_else(|| {
        paths.iter().find_map(|path| match *path {
            "customData" => in_custom_data(body),
            path => at(body, path),
        })
    })
}

/// The text in `customData`, if that is a text: the text itself, or the fields in it if it is JSON.
fn in_custom_data(body: &Value) -> Option<String> {
    let Value::String(text) = fields::get(body, "customData")? else { return None };
    match object_in(text) {
        Some(Value::Object(map)) => {
            INSIDE.iter().find_map(|name| text_of(map.get(*name)?, DEPTH_MAX))
        }
        _ => shown(text),
    }
}

/// The text at a path, in any of the known shapes. A step of the path may lead through a text that
/// is JSON.
fn at(body: &Value, path: &str) -> Option<String> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let value = body.as_object()?.get(name)?;
    match (rest, value) {
        (None, _) => text_of(value, DEPTH_MAX),
        (Some(rest), Value::String(text)) => at(&object_in(text)?, rest),
        (Some(rest), _) => at(value, rest),
    }
}

/// A text, or the first in a list, or the one under a known key of an object. A text may hold such
/// an object as JSON.
fn text_of(value: &Value, depth: usize) -> Option<String> {
    if depth == 0 {
        return None;
    }
    match value {
        Value::String(text) => match object_in(text) {
            Some(inner) => text_of(&inner, depth - 1).or_else(|| shown(text)),
            None => shown(text),
        },
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => items
            .iter()
            .take(ENTRIES_MAX)
            .filter(|it| !it.is_number())
            .find_map(|it| text_of(it, depth - 1)),
        Value::Object(map) => INSIDE.iter().find_map(|name| text_of(map.get(*name)?, depth - 1)),
        Value::Null | Value::Bool(_) => None,
    }
}

/// A text as it came, without U+0000; `None` if it counts as absent (docs/RULES.md P5).
fn shown(text: &str) -> Option<String> {
    let bare = text.trim_matches(is_blank);
    (!bare.is_empty() && bare != "N/A").then(|| text.replace('\0', ""))
}

/// An object that is written as JSON in a text.
fn object_in(text: &str) -> Option<Value> {
    let text = text.trim();
    let is_object = text.starts_with('{') && text.ends_with('}');
    let value = is_object.then(|| json::parse(text.as_bytes()).ok()).flatten()?;
    value.as_object().is_some_and(|it| !it.is_empty()).then_some(value)
}

/// True if the body has a field for the text, even an empty one.
pub(super) fn is_named(body: &Value) -> bool {
    let told = |path: &&str| fields::raw(body, path).is_some_and(|it| !it.is_null());
    fields::get(body, "message").is_some()
        || OF_WORKFLOW.iter().filter(|it| !["message", "customData"].contains(it)).any(told)
}

/// True if a body of an unknown event has a text, so that it could be a message under a new name.
pub(super) fn has_text(body: &Value) -> bool {
    let is_none = |path| fields::get(body, path).is_none_or(Value::is_number);
    ["body", "message"].iter().any(|path| !is_none(path) && at(body, path).is_some())
}

/// Keys whose text is about the contact or the workflow, and no message.
#[rustfmt::skip]
const KNOWN: [&str; 64] = [
    "id", "type", "direction", "status", "contactid", "locationid", "conversationid", "messageid", "userid", "date", "time",
    "datetime", "timestamp", "dateadded", "phone", "phonenumber", "mobile", "email", "emailaddress", "name", "firstname",
    "lastname", "fullname", "client", "company", "companyname", "companyid", "country", "timezone", "tags", "tag", "source",
    "originkey", "campaign", "workflow", "pipeline", "stage", "owner", "assignedto", "user", "city", "state", "address", "zip",
    "postalcode", "website", "url", "link", "from", "to", "messagetype", "contenttype", "channel", "provider", "secret", "token",
    "key", "apikey",
    "utmcontent", "replyto", "replytoemail", "context", "smsoptin", "textoptin",
];
/// A key that contains one of these may hold what somebody wrote.
#[rustfmt::skip]
const TELLING: [&str; 32] = [
    "message", "msg", "text", "txt", "sms", "body", "reply", "replied", "response", "answer", "comment", "content", "note",
    "said", "inquiry", "enquiry", "nachricht", "antwort", "mensaje", "respuesta", "mensagem", "resposta", "messaggio", "risposta",
    "réponse", "reponse", "bericht", "antwoord", "meddelande", "besked", "melding", "wiadomo",
];

/// True if something like a text is under a key that is not known: in the message, in the custom
/// data, or at the top level under a name that suggests a text.
pub(super) fn may_stand_elsewhere(body: &Value) -> bool {
    let Some(map) = body.as_object() else { return false };
    let in_message = map.get("message").is_some_and(|it| holds_words(it, DEPTH_MAX));
    let custom = match map.get("customData") {
        Some(Value::String(text)) => object_in(text).or_else(|| Some(Value::from(text.as_str()))),
        Some(other) => Some(other.clone()),
        None => None,
    };
    let in_custom = custom.is_some_and(|it| holds_words(&it, DEPTH_MAX));
    in_message
        || in_custom
        || map.iter().take(ENTRIES_MAX).any(|(name, value)| {
            let name = bare(name);
            !["message", "customdata"].contains(&name.as_str())
                && !KNOWN.contains(&name.as_str())
                && TELLING.iter().any(|it| name.contains(it))
                && holds_words(value, DEPTH_MAX)
        })
}

/// True for a text that somebody may have written, or for a value that holds one under a key that
/// is not known.
fn holds_words(value: &Value, depth: usize) -> bool {
    match value {
        Value::String(text) => is_written(text),
        Value::Array(items) => {
            depth > 0 && items.iter().take(ENTRIES_MAX).any(|it| holds_words(it, depth - 1))
        }
        Value::Object(map) => {
            depth > 0
                && map.iter().take(ENTRIES_MAX).any(|(name, value)| {
                    !KNOWN.contains(&bare(name).as_str()) && holds_words(value, depth - 1)
                })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// True for a text that somebody may have written: no id, number, address or date.
fn is_written(text: &str) -> bool {
    let text = text.trim();
    let is_id = !text.contains(char::is_whitespace)
        && (text.contains(['@', '/', '_'])
            || text.contains('-') && text.bytes().any(|it| it.is_ascii_digit())
            || text.bytes().filter(u8::is_ascii_digit).count() >= 3);
    text.chars().any(char::is_alphabetic) && text != "N/A" && !is_id && !text.starts_with("http")
}

/// A key in the form in which keys are compared: small letters, without marks and blanks.
fn bare(name: &str) -> String {
    name.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::tests::NOW;
    use serde_json::json;

    fn of(body: &Value, text_field: Option<&str>) -> Option<String> {
        of_workflow(&Received { body, received_at: NOW, country: None, text_field })
    }

    #[test]
    fn a_text_is_found_in_every_known_shape() {
        for body in [
            json!({"message": "Yes"}),
            json!({"message": {"body": "Yes"}}),
            json!({"message": {"text": "Yes"}}),
            json!({"message": {"body": {"text": "Yes"}}}),
            json!({"message": ["Yes"]}),
            json!({"message": [{"type": 2, "body": "Yes"}]}),
            json!({"message": [null, {"body": " "}, {"text": "Yes"}]}),
            json!({"message": "{\"type\":2,\"body\":\"Yes\"}"}),
            json!({"Message": "Yes"}),
            json!({"message": {"type": 2, "body": "N/A"}, "body": "Yes"}),
            json!({"text": "Yes"}),
            json!({"customData": {"text": "Yes"}}),
            json!({"customData": {"Message": "Yes"}}),
            json!({"customData": "{\"Message\":\"Yes\",\"Client\":\"x\"}"}),
            json!({"customData": "{\"text\":\"Yes\"}"}),
            json!({"customData": "Yes"}),
            json!({"customData": {"messageBody": {"text": "Yes"}}}),
        ] {
            assert_eq!(of(&body, None).as_deref(), Some("Yes"), "{body}");
            assert!(!may_stand_elsewhere(&json!({"message": {"type": 2}})));
        }
        assert_eq!(of(&json!({"message": "{not json}"}), None).as_deref(), Some("{not json}"));
        for body in [
            json!({"message": {}}),
            json!({"message": [7]}),
            json!({"customData": {"a": "b"}}),
            json!({}),
        ] {
            assert_eq!(of(&body, None), None, "{body}");
        }
    }

    #[test]
    fn a_client_names_its_own_field() {
        let body = json!({"message": {"body": "other"}, "customData": {"reply": {"text": "Yes"}}});
        for path in ["customData.reply", "customData.reply.text"] {
            assert_eq!(of(&body, Some(path)).as_deref(), Some("Yes"));
        }
        assert_eq!(of(&body, Some("customData.gone")).as_deref(), Some("other"));
        let written = json!({"customData": "{\"reply\":\"Yes\"}"});
        assert_eq!(of(&written, Some("customData.reply")).as_deref(), Some("Yes"));
    }

    #[test]
    fn what_may_be_a_text_under_an_unknown_key_is_seen() {
        for body in [
            json!({"customData": {"reply": "Yes please"}}),
            json!({"customData": {"their words": "Yes"}}),
            json!({"customData": "{\"their words\":\"Yes\"}"}),
            json!({"message": {"type": 2, "payload": "Yes please"}}),
            json!({"message": {"type": 2, "data": [{"value": "Yes"}]}}),
            json!({"sms_body": "Yes"}),
            json!({"Customer Reply": "Yes"}),
            json!({"lastMessage": {"value": "Yes"}}),
            json!({"Nachricht": "Ja gern"}),
        ] {
            assert!(may_stand_elsewhere(&body), "{body}");
        }
        for body in [
            json!({"message": {"type": 2, "body": "  ", "direction": "inbound", "status": "delivered"}}),
            json!({"customData": {"origin_key": "capture-012", "Client": "Northbeam", "Date": "Aug 4th, 2026", "n": 7}}),
            json!({"customData": {"ref": "a81-22", "page": "https://x.example/a", "who": "a@b.example"}}),
            json!({"first_name": "Rita", "tags": "text-opt-in", "contact_type": "lead", "Budget": "a lot", "full_address": ""}),
            json!({"location": {"name": "Message Street"}, "contact": {"attributionSource": {"medium": "manual"}}}),
            json!({}),
        ] {
            assert!(!may_stand_elsewhere(&body), "{body}");
        }
    }
}
