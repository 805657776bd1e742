//! What a request asks for: filters, limit and cursor. An unknown name is refused, because a filter
//! that was passed over would show, retry or cancel too much.

use super::json::object_in;
use crate::{
    domain::{Id, Timestamp},
    http::{
        openapi::{LIMIT_MAX, VALUE_CHARS_MAX},
        problem::Problem,
        ui::Viewer,
    },
    store::{LeadCursor, wall_clock},
};
use actix_web::{HttpMessage as _, HttpRequest};
use serde_json::Value;

/// Items on a page if the request names no limit.
const LIMIT_DEFAULT: usize = 50;
/// The parameter that selects by client.
const CLIENT: &str = "client";
/// Stands for the time in the cursor of a lead that has no message.
const NO_TIME: &str = "-";

/// Named values, in the order in which they are given. An empty value counts as not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a request, with these names and no others. Where it selects by client, it
    /// is limited to those that its sender may see.
    pub(in crate::http) fn parse<K: AsRef<str>>(
        request: &HttpRequest,
        known: &[K],
    ) -> Result<Self, Problem> {
        let query = Self::from_text(request.query_string(), known)?;
        match request.extensions().get::<Viewer>() {
            Some(viewer) if known.iter().any(|it| it.as_ref() == CLIENT) => {
                Ok(query.limited(viewer))
            }
            _ => Ok(query),
        }
    }

    /// The same, limited to clients that the viewer may see.
    pub(in crate::http) fn limited(self, viewer: &Viewer) -> Self {
        if viewer.clients.is_none() {
            return self;
        }
        let clients = viewer.limited(self.values(CLIENT));
        let others = self.0.into_iter().filter(|it| it.0 != CLIENT);
        Self(others.chain([(CLIENT.to_owned(), clients.join(","))]).collect())
    }

    /// Refuses a request that has a query.
    pub(in crate::http) fn none(request: &HttpRequest) -> Result<(), Problem> {
        Self::parse::<&str>(request, &[]).map(drop)
    }

    /// Reads the text behind the `?`, with these names and no others.
    pub(in crate::http) fn from_text<K: AsRef<str>>(
        text: &str,
        known: &[K],
    ) -> Result<Self, Problem> {
        let pairs = url::form_urlencoded::parse(text.as_bytes()).into_owned();
        Self::of_pairs(pairs.collect(), known)
    }

    /// Reads a JSON object, with these names and no others. A value is a text or a list of texts.
    pub(in crate::http) fn from_json<K: AsRef<str>>(
        body: &[u8],
        known: &[K],
    ) -> Result<Self, Problem> {
        let fields = object_in(body)?;
        let mut pairs = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            match value {
                Value::Null => must_know(&name, known, "field")?,
                Value::String(text) => pairs.push((name, text)),
                Value::Array(items) => {
                    for (at, item) in items.iter().enumerate() {
                        let Some(text) = item.as_str() else {
                            return Err(Problem::bad_request(
                                format!("{name}.{at}"),
                                "must be a text",
                            ));
                        };
                        pairs.push((name.clone(), text.to_owned()));
                    }
                }
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                    return Err(Problem::bad_request(name, "must be a text or a list of texts"));
                }
            }
        }
        Self::of(pairs, known, "field")
    }

    /// Takes the pairs of a query, with these names and no others.
    pub(in crate::http) fn of_pairs<K: AsRef<str>>(
        pairs: Vec<(String, String)>,
        known: &[K],
    ) -> Result<Self, Problem> {
        Self::of(pairs, known, "query parameter")
    }

    fn of<K: AsRef<str>>(
        pairs: Vec<(String, String)>,
        known: &[K],
        what: &str,
    ) -> Result<Self, Problem> {
        for (name, value) in &pairs {
            must_know(name, known, what)?;
            if value.split(',').any(is_too_long) {
                return Err(too_long(name));
            }
            // One database finds nothing by it, and the other refuses it.
            if value.contains('\0') {
                let detail =
                    format!("a value of `{name}` has a NUL character, and nothing stored has one");
                return Err(Problem::bad_request(name, detail));
            }
        }
        Ok(Self(pairs))
    }

    /// The texts given for `name`, without the blanks around them.
    fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = move |pair: &&(String, String)| pair.0 == name;
        self.0.iter().filter(of_name).map(|it| it.1.trim()).filter(|it| !it.is_empty())
    }

    /// The text given for `name`.
    ///
    /// # Errors
    /// 400 if there are two, or if it is too long.
    pub(in crate::http) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut texts = self.texts(name);
        match (texts.next(), texts.next()) {
            (_, Some(_)) => Err(Problem::bad_request(name, format!("`{name}` is given twice"))),
            (Some(text), None) if is_too_long(text) => Err(too_long(name)),
            (text, None) => Ok(text),
        }
    }

    /// The values given for `name`, separated by commas.
    pub(in crate::http) fn values(&self, name: &str) -> Vec<String> {
        let parts = self.texts(name).flat_map(|it| it.split(','));
        parts.map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    }

    /// The texts given for `name`, each as it is: commas do not part it, and an empty one counts.
    ///
    /// # Errors
    /// 400 for one that is too long.
    pub(in crate::http) fn whole(&self, name: &str) -> Result<Vec<String>, Problem> {
        let texts = self.0.iter().filter(|it| it.0 == name).map(|it| &it.1);
        let checked = texts.map(|it| if is_too_long(it) { Err(too_long(name)) } else { Ok(it) });
        checked.map(|it| it.cloned()).collect()
    }

    /// The values given for `name`, parsed.
    ///
    /// # Errors
    /// 400 for a value that cannot be parsed; `expected` says what would be right.
    pub(in crate::http) fn parsed<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        expected: impl Fn() -> String,
    ) -> Result<Vec<T>, Problem> {
        let parsed = self.values(name).into_iter().map(|value| {
            parse(&value).ok_or_else(|| {
                let detail = format!("unknown {name} `{value}`; expected {}", expected());
                Problem::bad_request(name, detail)
            })
        });
        parsed.collect()
    }

    /// The values given for `name`, each of which must be one of these words.
    pub(in crate::http) fn one_of(
        &self,
        name: &str,
        words: &[&str],
    ) -> Result<Vec<String>, Problem> {
        let parse = |word: &str| words.contains(&word).then(|| word.to_owned());
        self.parsed(name, parse, || words.join(", "))
    }

    /// The ids given for `name`.
    pub(in crate::http) fn ids(&self, name: &str) -> Result<Vec<Id>, Problem> {
        self.parsed(name, parse_id, || "an id".to_owned())
    }

    /// The instant given for `name`: an RFC 3339 time, or a duration back from now.
    pub(in crate::http) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let expected =
            "a time such as 2026-01-18T14:03:11Z, or a duration back from now such as 4h";
        parse_instant(text, wall_clock()).map(Some).ok_or_else(|| {
            Problem::bad_request(name, format!("unknown {name} `{text}`; expected {expected}"))
        })
    }

    /// The most items that are asked for, if the request names a limit.
    pub(in crate::http) fn limit_if_given(&self) -> Result<Option<usize>, Problem> {
        let Some(text) = self.text("limit")? else { return Ok(None) };
        match text.parse::<usize>() {
            Ok(limit @ 1..=LIMIT_MAX) => Ok(Some(limit)),
            _ => Err(Problem::bad_request("limit", format!("`limit` must be 1 to {LIMIT_MAX}"))),
        }
    }

    /// The most items that are asked for.
    pub(in crate::http) fn limit(&self) -> Result<usize, Problem> {
        Ok(self.limit_if_given()?.unwrap_or(LIMIT_DEFAULT))
    }

    fn cursor_of<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let Some(text) = self.text("cursor")? else { return Ok(None) };
        let refused = || Problem::bad_request("cursor", "not a cursor of this list");
        parse(text).map(Some).ok_or_else(refused)
    }

    /// The place where the page begins, in a list that is ordered by id.
    pub(in crate::http) fn cursor(&self) -> Result<Option<Id>, Problem> {
        self.cursor_of(parse_id)
    }

    /// The place where the page begins, in the list of leads.
    pub(in crate::http) fn lead_cursor(&self) -> Result<Option<LeadCursor>, Problem> {
        self.cursor_of(parse_lead_cursor)
    }
}

/// Refuses a name that is none of those known.
fn must_know<K: AsRef<str>>(name: &str, known: &[K], what: &str) -> Result<(), Problem> {
    if known.iter().any(|it| it.as_ref() == name) {
        return Ok(());
    }
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let detail = format!("unknown {what} `{name}`; known here: {known}");
    Err(Problem::bad_request(name, detail))
}

fn is_too_long(value: &str) -> bool {
    value.trim().chars().nth(VALUE_CHARS_MAX).is_some()
}

fn too_long(name: &str) -> Problem {
    let detail = format!("a value of `{name}` may have {VALUE_CHARS_MAX} characters at the most");
    Problem::bad_request(name, detail)
}

/// An id as it is shown.
pub(in crate::http) fn parse_id(text: &str) -> Option<Id> {
    let is_plain = text.bytes().all(|it| it.is_ascii_digit());
    text.parse().ok().filter(|id| is_plain && *id > 0)
}

/// A time, or a duration back from `now`.
fn parse_instant(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.into());
    }
    let back = humantime::parse_duration(text).ok()?;
    Some(now.plus_millis(-i64::try_from(back.as_millis()).ok()?))
}

/// The cursor of the list of leads, as text.
pub(super) fn lead_cursor_text(cursor: LeadCursor) -> String {
    let at = cursor.last_message_at.map(|it| it.as_millis().to_string());
    format!("{}.{}", at.as_deref().unwrap_or(NO_TIME), cursor.id)
}

fn parse_lead_cursor(text: &str) -> Option<LeadCursor> {
    let (at, id) = text.split_once('.')?;
    let last_message_at = match at {
        NO_TIME => None,
        at => Some(Timestamp::from_millis(at.parse().ok()?)),
    };
    Some(LeadCursor { last_message_at, id: parse_id(id)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["status", "lead", "limit", "cursor", "q"];

    fn parse(text: &str) -> Query {
        Query::from_text(text, KNOWN).unwrap()
    }

    #[test]
    fn an_instant_is_a_time_or_a_duration_back_from_now() {
        let now = Timestamp::from_millis(1_768_744_991_120);
        for (text, millis) in [
            ("2026-01-18T14:03:11.120Z", Some(1_768_744_991_120)),
            ("2026-01-18T15:03:11+01:00", Some(1_768_744_991_000)),
            ("4h", Some(1_768_744_991_120 - 14_400_000)),
            ("2026-01-18", None),
            ("4", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse_instant(text, now).map(Timestamp::as_millis), millis, "{text}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let problem = Query::from_text("status=a&stauts=b", KNOWN).unwrap_err();
        assert!(problem.to_string().contains("`stauts`"), "{problem}");
        for json in [r#"{"clients": "a"}"#, r#"{"clients": null}"#] {
            let problem = Query::from_json(json.as_bytes(), KNOWN).unwrap_err();
            assert!(problem.to_string().contains("`clients`"), "{problem}");
        }
    }

    #[test]
    fn values_are_separated_by_commas_and_what_is_empty_is_not_given() {
        let query = parse("status=failed,%20cancelled&status=pending&lead=&q=a%2Cb");
        assert_eq!(query.values("status"), ["failed", "cancelled", "pending"]);
        assert!(query.values("lead").is_empty());
        assert_eq!(query.text("q").unwrap(), Some("a,b"));
        assert!(query.text("status").is_err());
        let json = br#"{"status": ["failed", "cancelled"], "lead": null, "q": "x"}"#;
        let query = Query::from_json(json, KNOWN).unwrap();
        assert_eq!(query.values("status"), ["failed", "cancelled"]);
        assert!(query.values("lead").is_empty());
    }

    #[test]
    fn a_whole_text_keeps_its_commas_and_may_be_empty() {
        let query = parse("q=a,%20b&q=&status=x");
        assert_eq!(query.whole("q").unwrap(), ["a, b", ""]);
        assert!(query.whole("lead").unwrap().is_empty());
        let of = |json: &[u8]| Query::from_json(json, KNOWN).unwrap().whole("q").unwrap();
        assert_eq!(of(br#"{"q": ["a,b", ""]}"#), ["a,b", ""]);
        assert_eq!(of(br#"{"q": ""}"#), [""]);
        assert!(of(br#"{"q": null}"#).is_empty(), "null is as good as not given");
        assert!(parse(&format!("q={}", "a,".repeat(101))).whole("q").is_err());
    }

    #[test]
    fn a_value_has_at_most_200_characters() {
        let (most, more) = ("ä".repeat(200), "ä".repeat(201));
        assert_eq!(parse(&format!("q={most}")).text("q").unwrap(), Some(most.as_str()));
        let many = [most.as_str(); 50].join(",");
        assert_eq!(parse(&format!("status={many}")).values("status").len(), 50);
        for (text, name) in [
            (format!("q={more}"), "q"),
            (format!("status=a,{more}"), "status"),
            (format!("cursor={more}"), "cursor"),
        ] {
            let problem = Query::from_text(&text, KNOWN).unwrap_err().to_string();
            assert!(problem.contains("200") && problem.contains(name), "{problem}");
        }
        // Commas do not part a text.
        assert!(parse(&format!("q={}", "a,".repeat(101))).text("q").is_err());
        let body = serde_json::json!({"lead": ["1", more]}).to_string();
        assert!(Query::from_json(body.as_bytes(), KNOWN).is_err());
    }

    #[test]
    fn a_value_has_no_nul() {
        for text in ["q=a%00b", "status=a,%00", "cursor=%00"] {
            let problem = Query::from_text(text, KNOWN).unwrap_err();
            assert!(problem.to_string().contains("NUL"), "{problem}");
        }
        assert!(Query::from_json(br#"{"lead": ["a\u0000"]}"#, KNOWN).is_err());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for body in ["", "[]", "7", r#"{"status": 7}"#, r#"{"status": [7]}"#, r#"{"status": {}}"#] {
            assert!(Query::from_json(body.as_bytes(), KNOWN).is_err(), "{body}");
        }
    }

    #[test]
    fn limits_and_cursors_are_checked() {
        assert_eq!(parse("").limit().unwrap(), 50);
        assert_eq!(parse("limit=500").limit().unwrap(), 500);
        for text in ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=1&limit=2"] {
            assert!(parse(text).limit().is_err(), "{text}");
        }
        assert_eq!(parse("cursor=7").cursor().unwrap(), Some(7));
        for text in
            ["cursor=x", "cursor=-7", "cursor=%2B7", "cursor=0", "cursor=99999999999999999999"]
        {
            assert!(parse(text).cursor().is_err(), "{text}");
        }
        assert_eq!(parse("lead=1,2").ids("lead").unwrap(), [1, 2]);
        assert!(parse("lead=1,b").ids("lead").is_err());
    }

    #[test]
    fn the_cursor_of_leads_comes_back_as_it_was_given() {
        for last_message_at in
            [None, Some(Timestamp::from_millis(-5)), Some(Timestamp::from_millis(7))]
        {
            let cursor = LeadCursor { last_message_at, id: 42 };
            assert_eq!(parse_lead_cursor(&lead_cursor_text(cursor)), Some(cursor));
        }
        for text in ["", "7", "7.", ".7", "x.7", "7.-1", "7.1.2"] {
            assert_eq!(parse_lead_cursor(text), None, "{text}");
        }
    }
}
