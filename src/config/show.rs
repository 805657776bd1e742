//! The effective configuration for people: every value with its origin, secrets masked.

use super::{
    database_url::DatabaseUrl,
    layers::{Data, Node, Table},
    schema::{ROOT, Shape, join},
    value::{MASK, names_a_secret},
};

/// One value of the effective configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveValue {
    /// Its dotted key; a client's keys are `clients.ID.…`.
    pub key: String,
    /// As TOML would spell it, secrets as `"***"`.
    pub value: String,
    /// `FILE:LINE`, or the environment variable; what it refers to in parentheses.
    pub origin: String,
}

/// All values, in the order of `config/default.toml`.
pub(super) fn effective(table: &Table) -> Vec<EffectiveValue> {
    let mut values = Vec::new();
    keys(&ROOT, table, "", &mut values);
    values
}

fn keys(shape: &Shape, table: &Table, path: &str, values: &mut Vec<EffectiveValue>) {
    match shape {
        Shape::Section(known) => {
            for (key, inner) in *known {
                if let Some(node) = table.get(*key) {
                    value(inner, node, &join(path, key), values);
                }
            }
        }
        Shape::Map(inner) => {
            for (key, node) in table {
                value(inner, node, &join(path, key), values);
            }
        }
        Shape::Value | Shape::Secret | Shape::Url | Shape::Free | Shape::List(_) => {}
    }
}

fn value(shape: &Shape, node: &Node, path: &str, values: &mut Vec<EffectiveValue>) {
    let shown = match (shape, &node.data) {
        (Shape::Section(_) | Shape::Map(_), Data::Table(table)) if !table.is_empty() => {
            return keys(shape, table, path, values);
        }
        (Shape::List(inner), Data::List(nodes)) => {
            for node in nodes {
                let id = node.as_table().and_then(|it| it.get("id")).and_then(Node::as_text);
                let path = join(path, &id.unwrap_or_default());
                value(inner, node, &path, values);
            }
            return;
        }
        (Shape::Secret, _) => spelled("secret", node),
        (Shape::Url, _) => {
            let url = node.as_text().and_then(|it| DatabaseUrl::parse(&it).ok());
            url.map_or_else(|| format!("{MASK:?}"), |it| format!("{:?}", it.to_string()))
        }
        (Shape::Section(_) | Shape::Map(_) | Shape::Value | Shape::Free | Shape::List(_), _) => {
            spelled("", node)
        }
    };
    let origin = node.origin.to_string();
    values.push(EffectiveValue { key: path.to_owned(), value: shown, origin });
}

/// A value as TOML, `***` for what stands under a key that tells of a secret.
fn spelled(key: &str, node: &Node) -> String {
    let is_secret = names_a_secret(key);
    match node.typed() {
        Data::List(nodes) => {
            let nodes: Vec<String> = nodes.iter().map(|it| spelled(key, it)).collect();
            format!("[{}]", nodes.join(", "))
        }
        Data::Table(table) => {
            let entry = |(name, node): (&String, &Node)| {
                let key = if is_secret { key } else { name };
                format!("{name} = {}", spelled(key, node))
            };
            let entries: Vec<String> = table.iter().map(entry).collect();
            if entries.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", entries.join(", "))
            }
        }
        Data::Text(text) if is_secret && !text.is_empty() => format!("{MASK:?}"),
        Data::Text(text) => format!("{text:?}"),
        Data::Integer(_) | Data::Decimal(_) | Data::Flag(_) if is_secret => format!("{MASK:?}"),
        Data::Integer(it) => it.to_string(),
        Data::Decimal(it) => it.to_string(),
        Data::Flag(it) => it.to_string(),
        // Not reached: `typed` makes text of what is raw.
        Data::Raw(raw) => format!("{:?}", raw.text),
    }
}
