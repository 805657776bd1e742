//! The keys that a configuration may have. `config/default.toml` says what they mean.

use super::{
    error::Errors,
    layers::{Data, Table, TreeNode},
    references::is_reference,
};
use schemars::JsonSchema;
use serde::Serialize;

/// When a changed value takes effect in a running daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// At once.
    Live,
    /// For jobs that are stored from then on.
    NextJob,
    /// At the next start. Until then the value of the last start applies.
    Restart,
}

impl Applies {
    /// When a change of the dotted `key` takes effect.
    pub fn of(key: &str) -> Self {
        applies(key)
    }

    /// As it is spelled in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NextJob => "next_job",
            Self::Restart => "restart",
        }
    }

    /// In words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NextJob => "next job",
            Self::Restart => "restart",
        }
    }
}

/// The keys that do not apply at once; a section stands for all its keys, and `*` for any one name.
pub(super) const NOT_LIVE: &[(&str, Applies)] = &[
    ("server.bind", Applies::Restart),
    ("server.workers", Applies::Restart),
    ("database", Applies::Restart),
    ("ingest.commit_lanes", Applies::Restart),
    ("supervisor.heartbeat", Applies::Restart),
    // A lease that shrinks on one node before the others' heartbeats do would kill live nodes.
    ("supervisor.lease", Applies::Restart),
    ("pools.*.max_attempts", Applies::NextJob),
    ("telemetry.format", Applies::Restart),
    ("telemetry.otlp_endpoint", Applies::Restart),
];

/// When a change of the dotted `key` takes effect.
pub(super) fn applies(key: &str) -> Applies {
    let is_under = |pattern: &str| {
        let mut words = key.split('.');
        pattern
            .split('.')
            .all(|wanted| words.next().is_some_and(|it| wanted == "*" || wanted == it))
    };
    NOT_LIVE
        .iter()
        .find(|(pattern, _)| is_under(pattern))
        .map_or(Applies::Live, |(_, applies)| *applies)
}

/// What may stand at a key.
pub(super) enum Shape {
    /// A value. The code that reads the key knows its type.
    Value,
    /// A value that is never shown.
    Secret,
    /// A URL whose password is never shown.
    Url,
    /// A table with any keys. Values whose key's name stands for a secret are not shown.
    Free,
    /// A table with these keys and no others.
    Section(&'static [SchemaKey]),
    /// A table with any keys, each of this shape.
    Map(&'static Shape),
    /// A list of tables of this shape.
    List(&'static Shape),
}

/// A key and the shape of its value.
pub(super) type SchemaKey = (&'static str, Shape);

use Shape::{Free, List, Map, Secret, Section, Url, Value};

const BACKOFF: Shape = Section(&[("base", Value), ("cap", Value)]);

const POOL: Shape = Section(&[
    ("size", Value),
    ("timeout", Value),
    ("max_attempts", Value),
    ("backoff", BACKOFF),
    ("prefetch", Value),
    ("paused", Value),
]);

/// The keys of one channel of a client.
pub(super) const CHANNEL: Shape = Section(&[
    ("secret", Secret),
    (
        "signature",
        Section(&[
            ("scheme", Value),
            ("secrets", Secret),
            ("public_key", Value),
            ("window", Value),
        ]),
    ),
    ("account", Value),
    ("ignore_events", Value),
    ("allow_unauthenticated", Value),
    ("text_field", Value),
    (
        "send",
        Section(&[
            ("api_key", Secret),
            ("base_url", Value),
            ("timeout", Value),
            ("allow_private", Value),
            ("automatic", Value),
            ("sender_email_id", Value),
            ("from_number", Value),
            ("version", Value),
        ]),
    ),
]);

const CLIENT: Shape = Section(&[
    ("id", Value),
    ("name", Value),
    ("timezone", Value),
    ("rate_limit", Value),
    ("max_running", Value),
    ("auto_reply", Value),
    (
        "auto_send",
        Section(&[
            ("threshold", Value),
            ("delay_min", Value),
            ("delay_max", Value),
            ("schedule", Free),
            ("campaigns", Map(&Value)),
        ]),
    ),
    ("country", Value),
    ("sender", Value),
    ("reply_style", Value),
    ("ideal_customer", Value),
    ("templates", Map(&Value)),
    ("business_hours", Free),
    ("channels", Map(&CHANNEL)),
]);

const USER: Shape =
    Section(&[("name", Value), ("role", Value), ("token", Secret), ("clients", Value)]);

/// The whole configuration, in the order of `config/default.toml`.
pub(super) const ROOT: Shape = Section(&[
    (
        "server",
        Section(&[
            ("bind", Value),
            ("workers", Value),
            ("body_limit", Value),
            ("shutdown_timeout", Value),
            ("request_timeout", Value),
            ("address_rate_limit", Value),
            ("trusted_proxies", Value),
            ("public_url", Value),
            ("hosts", Value),
            ("tls", Section(&[("cert", Value), ("key", Value)])),
        ]),
    ),
    (
        "database",
        Section(&[
            ("url", Url),
            ("max_connections", Value),
            ("auto_migrate", Value),
            ("acquire_timeout", Value),
            ("pooler", Value),
        ]),
    ),
    (
        "ingest",
        Section(&[
            ("batch_max", Value),
            ("batch_bytes", Value),
            ("queue", Value),
            ("queue_bytes", Value),
            ("commit_lanes", Value),
            ("quarantine_items", Value),
            ("quarantine_bytes", Value),
        ]),
    ),
    (
        "supervisor",
        Section(&[
            ("tick", Value),
            ("heartbeat", Value),
            ("lease", Value),
            ("max_running_per_client", Value),
        ]),
    ),
    ("pools", Map(&POOL)),
    (
        "restart",
        Section(&[
            ("max_restarts", Value),
            ("window", Value),
            ("backoff", BACKOFF),
            ("max_lost_threads", Value),
        ]),
    ),
    ("sending", Section(&[("enabled", Value), ("undo", Value)])),
    (
        "analyst",
        Section(&[
            ("provider", Value),
            ("fallback", Value),
            ("base_url", Value),
            ("model", Value),
            ("api_key", Secret),
            ("timeout", Value),
            ("max_concurrent", Value),
        ]),
    ),
    (
        "retention",
        Section(&[
            ("succeeded", Value),
            ("failed", Value),
            ("quarantine", Value),
            ("payloads", Value),
        ]),
    ),
    ("admin", Section(&[("token", Secret), ("allow_plain", Value), ("users", List(&USER))])),
    ("alerts", Section(&[("webhook", Secret), ("allow_private", Value)])),
    (
        "telemetry",
        Section(&[
            ("log", Value),
            ("format", Value),
            ("otlp_endpoint", Value),
            ("sample", Value),
            ("trace_url", Value),
        ]),
    ),
    ("clients", List(&CLIENT)),
]);

/// Notes every unknown key of a layer, with the nearest known one.
pub(super) fn check_keys(shape: &Shape, table: &Table, path: &str, errors: &Errors) {
    for (key, node) in table {
        let path = join(path, key);
        let inner = match shape {
            Section(keys) => match keys.iter().find(|(known, _)| known == key) {
                Some((_, inner)) => inner,
                None => {
                    errors.push(Some(&node.origin), &path, unknown_key(&path, keys));
                    continue;
                }
            },
            Map(inner) => inner,
            Value | Secret | Url | Free | List(_) => return,
        };
        check_node(inner, node, &path, errors);
    }
}

fn check_node(shape: &Shape, node: &TreeNode, path: &str, errors: &Errors) {
    match (shape, &node.data) {
        (Section(_) | Map(_), Data::Table(table)) => check_keys(shape, table, path, errors),
        (Section(_) | Map(_), _) => {
            let message = format!("`{path}` is a section, so it takes a table and no single value");
            errors.push(Some(&node.origin), path, message);
        }
        (List(inner), Data::List(nodes)) => {
            for node in nodes {
                check_node(inner, node, path, errors);
            }
        }
        (List(_), _) => {
            let message = format!("`{path}` is a list: write each entry as `[[{path}]]`");
            errors.push(Some(&node.origin), path, message);
        }
        (Value | Secret | Url, Data::Table(table)) if !is_reference(table) => {
            let message = format!(
                "`{path}` is a table: expected a value, or `{{ env = \"NAME\" }}` or `{{ file = \"PATH\" }}`"
            );
            errors.push(Some(&node.origin), path, message);
        }
        (Value | Secret | Url | Free, _) => {}
    }
}

/// The message for an unknown key. `keys` are those of its section.
pub(super) fn unknown_key(path: &str, keys: &[SchemaKey]) -> String {
    let (section, name) =
        path.rsplit_once('.').map_or(("", path), |(section, name)| (section, name));
    let known = || keys.iter().map(|(known, _)| *known);
    if let Some(near) = nearest(name, known()) {
        return format!("unknown key `{path}`: the nearest known key is `{}`", join(section, near));
    }
    if let Some(elsewhere) = in_another_section(name) {
        return format!("unknown key `{path}`: did you mean `{elsewhere}`");
    }
    let known: Vec<&str> = known().collect();
    format!("unknown key `{path}`: known here are `{}`", known.join("`, `"))
}

/// The message for a name in `key` that is not one of `known`. `what` is what it would be: a job
/// kind, a channel, a client.
pub(super) fn unknown_name(what: &str, name: &str, key: &str, known: &[&str]) -> String {
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("the nearest known {what} is `{near}`"),
        None if known.is_empty() => "there is none".to_owned(),
        None => format!("known are `{}`", known.join("`, `")),
    };
    format!("unknown {what} in `{key}`: {hint}")
}

/// A known key of that name in another section: it may have been written under the wrong heading.
fn in_another_section(name: &str) -> Option<String> {
    let Section(sections) = &ROOT else { return None };
    sections.iter().find_map(|(section, shape)| match shape {
        Section(keys) => {
            keys.iter().find(|(key, _)| *key == name).map(|(key, _)| join(section, key))
        }
        Value | Secret | Url | Free | Map(_) | List(_) => None,
    })
}

/// The entry of `known` that is most like `name`, if it is near enough to be meant. Ignores case.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distance = |entry: &str| strsim::damerau_levenshtein(&name, &entry.to_lowercase());
    let by_distance = known.into_iter().map(|entry| (distance(entry), entry));
    // Near enough: at most a third of the letters (or two) differ, or `name` is the beginning of
    // the entry, as `SMS_INBOUND` is of `SMS_INBOUND_POST_PROCESS`.
    let is_near = |(distance, entry): &(usize, &str)| {
        let starts_alike = name.len() >= 3 && entry.to_lowercase().starts_with(&name);
        *distance <= (name.chars().count() / 3).max(2) || starts_alike
    };
    by_distance.filter(is_near).min().map(|(_, entry)| entry)
}

/// The dotted name of `key`: `section.key`, or `key` alone in the root.
pub(super) fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}
