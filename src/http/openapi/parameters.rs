//! What requests may name: the parameters of a query and the fields of a body. Handlers check names
//! by these lists, and the document shows them.

use super::document::Vocabulary;
use crate::{config::POOL_SIZES, store::DRAFT_STATUSES};
use serde_json::{Map, Value, json};

/// The most characters of a value in a query. No name is longer, and databases bound the values
/// that they compare.
pub(in crate::http) const VALUE_CHARS_MAX: usize = 200;
/// The most items on a page.
pub(in crate::http) const LIMIT_MAX: usize = 500;
/// The most characters of a note.
pub(in crate::http) const NOTE_CHARS_MAX: usize = 500;

/// A name that a request may use, and what stands behind it.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct ApiParameter {
    pub(in crate::http) name: &'static str,
    takes: Takes,
    is_needed: bool,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum Takes {
    /// A text of at most so many characters.
    Text(usize),
    /// Texts of at most so many characters, which may have commas.
    Texts(usize),
    /// Names, which may be unknown here.
    Names,
    /// An id.
    Id,
    /// Ids.
    Ids,
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// Some of these words.
    Words(fn() -> Vec<&'static str>),
    /// Some of the channels.
    Channels,
    /// Some of the job kinds.
    Kinds,
    /// A time, or a duration back from now.
    Instant,
    /// A duration with its unit.
    Duration,
    /// The most items on a page.
    Limit,
    /// The number of slots of a pool.
    Size,
    /// True or false.
    Flag,
}

/// The name of a client.
pub(in crate::http) const CLIENT: ApiParameter = ApiParameter::new("client", Takes::Names);
/// The id of a lead.
pub(in crate::http) const LEAD: ApiParameter = ApiParameter::new("lead", Takes::Ids);
/// The id of anything else.
pub(in crate::http) const ID: ApiParameter = ApiParameter::new("id", Takes::Ids);
/// A channel of this version.
pub(in crate::http) const CHANNEL: ApiParameter = ApiParameter::new("channel", Takes::Channels);
/// A text to search for.
pub(in crate::http) const Q: ApiParameter = ApiParameter::new("q", Takes::Text(VALUE_CHARS_MAX));
/// From then on.
pub(in crate::http) const SINCE: ApiParameter = ApiParameter::new("since", Takes::Instant);
/// Before then.
pub(in crate::http) const UNTIL: ApiParameter = ApiParameter::new("until", Takes::Instant);
/// The node that a change is for.
pub(in crate::http) const NODE: ApiParameter = ApiParameter::new("node", Takes::Id);
/// Whether to say only what would be done.
pub(in crate::http) const DRY_RUN: ApiParameter = ApiParameter::new("dry_run", Takes::Flag);
/// Why it is done.
pub(in crate::http) const NOTE: ApiParameter =
    ApiParameter::new("note", Takes::Text(NOTE_CHARS_MAX));
/// The same, where it must be said.
pub(in crate::http) const NOTE_NEEDED: ApiParameter = NOTE.needed();
/// The most items of a list.
pub(in crate::http) const LIMIT: ApiParameter = ApiParameter::new("limit", Takes::Limit);
/// Where a page begins: `next_cursor` of the page before.
pub(in crate::http) const CURSOR: ApiParameter =
    ApiParameter::new("cursor", Takes::Text(VALUE_CHARS_MAX));
/// The parameters of a list that is not filtered.
pub(in crate::http) const PAGE: [ApiParameter; 2] = [LIMIT, CURSOR];
/// The states of a draft.
pub(in crate::http) const STATUS_OF_DRAFTS: ApiParameter =
    ApiParameter::new("status", Takes::Words(|| DRAFT_STATUSES.to_vec()));

impl ApiParameter {
    /// One that may be left out.
    pub(in crate::http) const fn new(name: &'static str, takes: Takes) -> Self {
        Self { name, takes, is_needed: false }
    }

    /// True if it may not be left out.
    pub(super) const fn is_needed(&self) -> bool {
        self.is_needed
    }

    /// The same, which may not be left out.
    pub(in crate::http) const fn needed(self) -> Self {
        Self { is_needed: true, ..self }
    }

    /// As a parameter of a query or, with `place` `path`, of a path.
    pub(super) fn spelled(&self, place: &str, vocabulary: &Vocabulary) -> Value {
        let is_of_path = place == "path";
        let one = if is_of_path && matches!(self.takes, Takes::Names) {
            // What is too long to be a name is not found, like all that is not known.
            json!({"type": "string", "minLength": 1})
        } else {
            self.takes.one(vocabulary)
        };
        let mut spelled = json!({
            "name": self.name, "in": place, "required": is_of_path || self.is_needed,
        });
        if let Some(fields) = spelled.as_object_mut() {
            if self.takes.is_several() && !is_of_path {
                fields.insert("schema".to_owned(), json!({"type": "array", "items": one}));
                // Several values are separated by commas, unless each may have some.
                fields.insert("style".to_owned(), "form".into());
                let is_repeated = matches!(self.takes, Takes::Texts(_));
                fields.insert("explode".to_owned(), is_repeated.into());
            } else {
                fields.insert("schema".to_owned(), one);
            }
            if let Some(description) = self.description() {
                fields.insert("description".to_owned(), description.into());
            }
        }
        spelled
    }

    /// What is worth a sentence.
    fn description(&self) -> Option<&'static str> {
        Some(match (self.name, self.takes) {
            ("cursor", _) => "The `next_cursor` of the page before.",
            ("event_type", _) => "The provider's name of the event; an empty text: without a name.",
            ("dry_run", _) => "Says what would be done, and changes nothing.",
            ("node", _) => "The node that the change is for; all nodes if it is left out.",
            (_, Takes::Instant) => "A time, or a duration back from now such as `4h`.",
            (_, Takes::Duration) => "A duration with its unit, such as `4h` or `30m`.",
            _ => return None,
        })
    }

    /// As a field of a JSON object.
    fn in_body(&self, vocabulary: &Vocabulary) -> Value {
        let one = self.takes.one(vocabulary);
        match self.is_needed {
            // Blanks are as good as nothing.
            true if matches!(self.takes, Takes::Text(_)) => {
                json!({"allOf": [one, {"pattern": r"\S"}]})
            }
            true => one,
            // `null` is as good as nothing.
            false => json!({"anyOf": [one, {"type": "null"}]}),
        }
    }
}

impl AsRef<str> for ApiParameter {
    fn as_ref(&self) -> &str {
        self.name
    }
}

/// The JSON object of a body with these fields. In a filter, several values are a list, or a text
/// with commas.
pub(super) fn body_schema(fields: &[ApiParameter], vocabulary: &Vocabulary) -> Value {
    let schema = |field: &ApiParameter| match field.takes.is_several() {
        false => field.in_body(vocabulary),
        true if field.name == "opt_outs" => json!({
            "type": ["array", "null"], "items": field.takes.one(vocabulary),
        }),
        true => json!({"anyOf": [
            {"type": "array", "items": field.takes.one(vocabulary)},
            field.takes.one(vocabulary),
            {"type": "null"},
        ]}),
    };
    let properties: Map<String, Value> =
        fields.iter().map(|it| (it.name.to_owned(), schema(it))).collect();
    let needed = fields.iter().filter(|it| it.is_needed);
    let needed: Vec<&str> = needed.map(|it| it.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": false,
    })
}

impl Takes {
    const fn is_several(self) -> bool {
        matches!(
            self,
            Self::Texts(_)
                | Self::Names
                | Self::Ids
                | Self::Words(_)
                | Self::Channels
                | Self::Kinds
        )
    }

    /// The schema of one value.
    fn one(self, vocabulary: &Vocabulary) -> Value {
        let words = |words: Vec<&str>| json!({"type": "string", "enum": words});
        match self {
            // No database keeps a NUL.
            Self::Text(most) | Self::Texts(most) => {
                json!({"type": "string", "maxLength": most, "pattern": r"^[^\u0000]*$"})
            }
            Self::Names => json!({
                "type": "string", "minLength": 1, "maxLength": VALUE_CHARS_MAX,
                "pattern": r"^[^\u0000]*$",
            }),
            Self::Id | Self::Ids => json!({"$ref": "#/components/schemas/Id"}),
            Self::Word(known) | Self::Words(known) => words(known()),
            Self::Channels => words(vocabulary.channels.clone()),
            Self::Kinds => words(vocabulary.kinds.clone()),
            Self::Instant => json!({"anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "string", "pattern": "^[0-9]{1,4}(ms|s|m|h|d)$"},
            ]}),
            Self::Duration => json!({"type": "string", "pattern": "^[1-9][0-9]?(s|m|h|d)$"}),
            Self::Limit => json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}),
            Self::Size => json!({
                "type": "integer", "minimum": POOL_SIZES.start(), "maximum": POOL_SIZES.end(),
            }),
            Self::Flag => json!({"type": "boolean"}),
        }
    }
}
