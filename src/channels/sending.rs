//! An answer's call at a provider, and what the provider's answer means (docs/RULES.md SENDING).
//!
//! Each channel makes its own call and reads its own success; what a status means is decided here,
//! for all of them.

use super::fields;
use crate::{
    config::{Secret, SendSettings},
    domain::{
        event::Address,
        sending::{AccountState, AccountTrouble, SendEnd, storable_id},
    },
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::{fmt, time::Duration};

/// How long nothing is sent through an account whose credentials its provider does not accept.
pub const DISCONNECTED_PAUSE: Duration = Duration::from_secs(300);
/// How long an account pauses that has sent too much, if its provider does not say.
pub const RATE_LIMITED_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that a provider can ask for.
pub const PAUSE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The header with the delivery's id, which is the same at each try. No provider documents one, so
/// nothing relies on it; it lets a proxy, or a provider's support, tell tries apart from answers.
pub const DELIVERY_HEADER: &str = "idempotency-key";

/// An answer that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// What the channel stored with the message that is answered.
    pub reply_handle: &'a Value,
    /// The account that sends.
    pub settings: &'a SendSettings,
    /// Who is answered: who wrote the message, else the lead.
    pub to: &'a Address,
    /// The subject, on channels that have one.
    pub subject: Option<&'a str>,
    /// The text, as a person approved it.
    pub body: &'a str,
    /// The text of the message that is answered, for providers that do not quote it themselves.
    pub quoted: &'a str,
    /// The delivery's id. The same at each try of the same answer.
    pub delivery_id: &'a str,
}

/// A call at a provider. `Debug` shows neither its secrets nor a person's text.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The URL. Its query may hold a secret.
    pub url: String,
    /// The headers besides those of the connection, with names in small letters.
    pub headers: Vec<(&'static str, Secret)>,
    /// The body.
    pub body: Vec<u8>,
    /// The secrets in it. What comes back is searched for them.
    pub secrets: Vec<Secret>,
    /// True if its server may be in a private network, and may be asked without TLS.
    pub allow_private: bool,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| *name).collect();
        write!(f, "Call({} {url}, {headers:?}, {} bytes)", self.method, self.body.len())
    }
}

/// A provider's answer to a [`Call`], without the call's secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallAnswer {
    /// The status.
    pub status: u16,
    /// The headers, with names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body, or as much of it as came and is kept.
    pub body: Vec<u8>,
}

impl CallAnswer {
    /// The first value of a header, whose name is given in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// Why an answer cannot be sent, whatever its text: its delivery has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsendable(pub String);

/// What the body of a success says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The provider has the answer, and perhaps gave it an id.
    Yes(Option<String>),
    /// The provider says that it did not take it.
    No,
    /// It says neither.
    Unclear,
}

impl Taken {
    /// Taken if there is an id, else unclear.
    pub fn with_id(id: Option<String>) -> Self {
        id.map_or(Self::Unclear, |id| Self::Yes(Some(id)))
    }
}

impl Letter<'_> {
    /// A call by POST at `path`, which begins with `/` and follows the account's `base_url`, or
    /// `usual` if it has none.
    ///
    /// # Errors
    /// No `base_url`, and no usual one.
    pub fn post(
        &self,
        usual: Option<&str>,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Call, Unsendable> {
        let Some(base) = self.settings.base_url.as_deref().or(usual) else {
            return Err(Unsendable("the channel's `send.base_url` is not set".to_owned()));
        };
        Ok(Call {
            method: "POST",
            url: format!("{base}{path}"),
            headers: vec![
                ("accept", Secret::new("application/json")),
                ("content-type", Secret::new(content_type)),
                (DELIVERY_HEADER, Secret::new(self.delivery_id)),
            ],
            body,
            secrets: vec![self.settings.api_key.clone()],
            allow_private: self.settings.allow_private,
        })
    }

    /// As [`Self::post`], with a JSON body.
    pub fn post_json(
        &self,
        usual: Option<&str>,
        path: &str,
        body: &Value,
    ) -> Result<Call, Unsendable> {
        self.post(usual, path, "application/json", body.to_string().into_bytes())
    }

    /// The account's key as an `Authorization` header.
    pub fn bearer(&self) -> (&'static str, Secret) {
        let key = self.settings.api_key.expose();
        ("authorization", Secret::new(format!("Bearer {key}")))
    }

    /// An id in the handle that the provider cannot do without.
    ///
    /// # Errors
    /// The handle has none.
    pub fn id(&self, name: &str) -> Result<String, Unsendable> {
        fields::word(self.reply_handle, name)
            .ok_or_else(|| Unsendable(format!("the message was stored without `{name}`")))
    }

    /// As [`Self::id`], as one segment of a path.
    ///
    /// # Errors
    /// The handle has none, or one that a path cannot hold.
    pub fn segment(&self, name: &str) -> Result<String, Unsendable> {
        let id = self.id(name)?;
        // A URL parser takes these for steps through the path, encoded or not.
        if [".", ".."].contains(&id.as_str()) {
            return Err(Unsendable(format!("the message's `{name}` is no id")));
        }
        Ok(encoded(&id))
    }
}

/// What [`encoded`] leaves as it is: what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` for a segment of a path, or a value of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// What a body says that should be JSON. `read` reads it if it is.
pub fn in_json(body: &[u8], read: impl FnOnce(&Value) -> Taken) -> Taken {
    serde_json::from_slice(body).map_or(Taken::Unclear, |body| read(&body))
}

/// How the call ended, by its answer. `read` reads the body of a success: not every provider
/// answers with JSON.
pub fn end_of(answer: &CallAnswer, read: impl FnOnce(&[u8]) -> Taken) -> SendEnd {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let status = answer.status;
    let words = body.as_ref().and_then(words).map(|it| format!(" ({it})")).unwrap_or_default();
    let why = |what: &str| format!("{status}{words}: {what}");
    let trouble = |state, pause| Some(AccountTrouble { state, pause });
    let asked = retry_after(answer);
    let limited = |what: &str, pause: Duration| SendEnd::NotSent {
        why: why(what),
        account: trouble(AccountState::RateLimited, pause),
    };
    match status {
        200..=299 => match read(&answer.body) {
            Taken::Yes(id) => SendEnd::Sent { provider_id: id.as_deref().and_then(storable_id) },
            Taken::No => SendEnd::Failed { why: why("the provider says that it did not take it") },
            Taken::Unclear => {
                SendEnd::Unknown { why: why("a success whose body cannot be understood") }
            }
        },
        300..=399 => SendEnd::Failed {
            why: why("a redirect, and none is followed: set `send.base_url` to the final address"),
        },
        401 => SendEnd::NotSent {
            why: why("the provider does not accept the account's credentials"),
            account: trouble(AccountState::Disconnected, DISCONNECTED_PAUSE),
        },
        429 => limited("the account has sent too much", asked.unwrap_or(RATE_LIMITED_PAUSE)),
        400..=499 => SendEnd::Failed { why: why("the provider refused it") },
        503 if answer.header("retry-after").is_some() => {
            limited("the provider takes nothing now", asked.unwrap_or(RATE_LIMITED_PAUSE))
        }
        _ => SendEnd::Unknown { why: why("the provider failed, perhaps after it took the answer") },
    }
}

/// For how long `Retry-After` asks to wait, at least a second and at most [`PAUSE_MAX`]; `None` if
/// it cannot be read. A date is compared with the answer's own `Date`: the provider's clock wrote
/// both.
fn retry_after(answer: &CallAnswer) -> Option<Duration> {
    let asked = answer.header("retry-after")?.trim();
    let is_number = !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if is_number {
        // A number too large for the type is a long time, too.
        asked.parse::<u64>().unwrap_or(u64::MAX)
    } else {
        let [until, now] = [Some(asked), answer.header("date")]
            .map(|text| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text?).ok());
        u64::try_from(until?.as_second().saturating_sub(now?.as_second())).unwrap_or_default()
    };
    Some(Duration::from_secs(seconds).clamp(Duration::from_secs(1), PAUSE_MAX))
}

/// Where providers put a word for what is wrong. Fields with sentences are left out: they may
/// repeat what a person wrote.
const WORDS: [&str; 8] =
    ["type", "code", "error", "title", "name", "error.type", "error.code", "data.error"];
/// The most characters of one such word, and of all in a cause.
const WORD_CHARS_MAX: usize = 60;
const WORDS_CHARS_MAX: usize = 200;

/// The provider's words for what is wrong, if there are any.
fn words(body: &Value) -> Option<String> {
    let mut found: Vec<String> = Vec::new();
    let mut chars = 0;
    for word in WORDS.iter().filter_map(|path| fields::word(body, path)) {
        let length = word.len() + 2;
        if is_word(&word) && !found.contains(&word) && chars + length <= WORDS_CHARS_MAX {
            chars += length;
            found.push(word);
        }
    }
    (!found.is_empty()).then(|| found.join(", "))
}

/// True for what a machine writes about an error: short, without addresses and numbers.
fn is_word(text: &str) -> bool {
    let may_hold = |char: char| char.is_ascii_alphanumeric() || " _-./:".contains(char);
    let digits = text.chars().filter(char::is_ascii_digit).count();
    text.len() <= WORD_CHARS_MAX && digits <= 4 && text.chars().all(may_hold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> CallAnswer {
        CallAnswer {
            status,
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn end(answer: &CallAnswer) -> SendEnd {
        end_of(answer, |body| in_json(body, |body| Taken::with_id(fields::word(body, "id"))))
    }

    /// The end in a word, and the pause of the account in seconds.
    fn word(end: &SendEnd) -> (&'static str, Option<(AccountState, u64)>) {
        let pause = |it: &AccountTrouble| (it.state, it.pause.as_secs());
        match end {
            SendEnd::Sent { .. } => ("sent", None),
            SendEnd::NotSent { account, .. } => ("not sent", account.as_ref().map(pause)),
            SendEnd::NotCalled { .. } => ("not called", None),
            SendEnd::Failed { .. } | SendEnd::Unsendable { .. } => ("failed", None),
            SendEnd::Unknown { .. } => ("unknown", None),
        }
    }

    #[test]
    fn a_status_decides_how_a_send_ended() {
        use AccountState::{Disconnected, RateLimited};
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (status, headers, body, expected) in [
            (200, &[][..], r#"{"id":"m-1"}"#, ("sent", None)),
            (201, &[], r#"{"id":"m-1"}"#, ("sent", None)),
            (202, &[], r#"{"id":"m-1"}"#, ("sent", None)),
            (200, &[], r#"{"id":"m"#, ("unknown", None)),
            (200, &[], r#"{"ok":true}"#, ("unknown", None)),
            (200, &[], "", ("unknown", None)),
            (204, &[], "", ("unknown", None)),
            (200, &[], "<html>", ("unknown", None)),
            (301, &[("location", "https://x")], "", ("failed", None)),
            (307, &[], "", ("failed", None)),
            (400, &[], "", ("failed", None)),
            (401, &[], "", ("not sent", Some((Disconnected, 300)))),
            (401, &[("retry-after", "9")], "", ("not sent", Some((Disconnected, 300)))),
            (402, &[], "", ("failed", None)),
            (403, &[], "", ("failed", None)),
            (404, &[], "", ("failed", None)),
            (408, &[], "", ("failed", None)),
            (409, &[], "", ("failed", None)),
            (422, &[], "", ("failed", None)),
            (429, &[], "", ("not sent", Some((RateLimited, 60)))),
            (429, &[("retry-after", "120")], "", ("not sent", Some((RateLimited, 120)))),
            (429, &[("retry-after", " 7 ")], "", ("not sent", Some((RateLimited, 7)))),
            (429, &[("retry-after", "0")], "", ("not sent", Some((RateLimited, 1)))),
            (429, &[("retry-after", "-5")], "", ("not sent", Some((RateLimited, 60)))),
            (429, &[("retry-after", "soon")], "", ("not sent", Some((RateLimited, 60)))),
            (429, &[("retry-after", "999999")], "", ("not sent", Some((RateLimited, 86_400)))),
            (
                429,
                &[("retry-after", "99999999999999999999")],
                "",
                ("not sent", Some((RateLimited, 86_400))),
            ),
            (
                429,
                &[date, ("retry-after", "Sun, 06 Nov 1994 08:51:07 GMT")],
                "",
                ("not sent", Some((RateLimited, 90))),
            ),
            (
                429,
                &[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")],
                "",
                ("not sent", Some((RateLimited, 1))),
            ),
            (
                429,
                &[("retry-after", "Sun, 06 Nov 1994 08:51:07 GMT")],
                "",
                ("not sent", Some((RateLimited, 60))),
            ),
            (500, &[], "", ("unknown", None)),
            (500, &[("retry-after", "5")], "", ("unknown", None)),
            (502, &[], "", ("unknown", None)),
            (503, &[], "", ("unknown", None)),
            (503, &[("retry-after", "30")], "", ("not sent", Some((RateLimited, 30)))),
            (503, &[("retry-after", "soon")], "", ("not sent", Some((RateLimited, 60)))),
            (504, &[("retry-after", "30")], "", ("unknown", None)),
            (529, &[], "", ("unknown", None)),
            (599, &[], "", ("unknown", None)),
        ] {
            let answer = answer(status, headers, body);
            assert_eq!(word(&end(&answer)), expected, "{answer:?}");
        }
    }

    #[test]
    fn a_cause_has_the_providers_words_and_nothing_a_person_wrote() {
        let why = |body: Value| {
            let end = end(&answer(422, &[], &body.to_string()));
            let SendEnd::Failed { why } = end else { panic!("{end:?}") };
            why
        };
        let body = json!({
            "type": "errors/invalid_parameters", "title": "Invalid parameters", "status": 422,
            "detail": "Text of Mary: call me at +1 555 0100", "message": "Hi Mary",
        });
        assert_eq!(
            why(body),
            "422 (errors/invalid_parameters, Invalid parameters): the provider refused it"
        );
        for body in [
            json!({"error": "mary@x.example is unknown"}),
            json!({"error": "5550100 is unknown"}),
            json!({"error": "Hi Mary, thanks"}),
            json!({"error": {"text": "x"}}),
            json!({"error": "x".repeat(61)}),
            json!({}),
            json!("text"),
        ] {
            assert_eq!(why(body), "422: the provider refused it");
        }
    }

    #[test]
    fn a_call_is_printed_without_its_secrets_and_texts() {
        let call = Call {
            method: "POST",
            url: "https://h.example/x?api_key=hunter2".to_owned(),
            headers: vec![("authorization", Secret::new("Bearer hunter2"))],
            body: b"Hi Mary".to_vec(),
            secrets: vec![Secret::new("hunter2")],
            allow_private: false,
        };
        assert_eq!(
            format!("{call:?}"),
            r#"Call(POST https://h.example/x, ["authorization"], 7 bytes)"#
        );
    }

    proptest! {
        /// Nothing but these says that an answer was certainly not sent and may be tried again.
        #[test]
        fn only_a_provider_that_took_nothing_lets_a_send_be_tried_again(
            status in 100_u16..=999, after in proptest::option::of("[ -~]{0,30}"), body in ".{0,40}",
        ) {
            let headers: Vec<(&str, &str)> =
                after.as_deref().map(|it| ("retry-after", it)).into_iter().collect();
            let ended = end(&answer(status, &headers, &body));
            let may_retry = matches!(status, 401 | 429) || status == 503 && after.is_some();
            prop_assert_eq!(matches!(ended, SendEnd::NotSent { .. }), may_retry);
            if (500..=599).contains(&status) && !may_retry {
                let is_unknown = matches!(ended, SendEnd::Unknown { .. });
                prop_assert!(is_unknown);
            }
            if let SendEnd::NotSent { account: Some(it), .. } = ended {
                prop_assert!((1..=86_400).contains(&it.pause.as_secs()));
            }
        }
    }
}
