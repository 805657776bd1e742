//! The effective configuration as people see it: every value with its origin, secrets masked.

use super::{
    database_url::DatabaseUrl,
    layers::{Data, Raw, Table, TreeNode},
    masking::{names_a_secret, without_userinfo},
    schema::{Applies, ROOT, Shape, applies, join},
    value::MASK,
};
use sha2::{Digest, Sha256};

/// One value of the effective configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveValue {
    /// The dotted key; a client's keys are `clients.ID.…`.
    pub key: String,
    /// The value in TOML, secrets as `"***"`.
    pub value: String,
    /// The place: `FILE:LINE`, or the environment variable. The target of a reference follows in
    /// parentheses.
    pub origin: String,
    /// When a change takes effect in a running daemon.
    pub applies: Applies,
    /// SHA-256 of the value with its secrets, by which two values are compared.
    pub(super) digest: [u8; 32],
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

/// Adds the values at and below `node`, whose dotted key is `path`.
pub(super) fn value(shape: &Shape, node: &TreeNode, path: &str, values: &mut Vec<EffectiveValue>) {
    let shown = match (shape, &node.data) {
        (Shape::Section(_) | Shape::Map(_), Data::Table(table)) if !table.is_empty() => {
            return keys(shape, table, path, values);
        }
        (Shape::List(inner), Data::List(nodes)) => {
            for node in nodes {
                let name = node.as_table().and_then(name_in_list);
                let path = join(path, &name.unwrap_or_default());
                value(inner, node, &path, values);
            }
            return;
        }
        (Shape::Secret, _) => masked(node),
        (Shape::Url, _) => {
            let url = node.as_text().and_then(|text| DatabaseUrl::parse(&text).ok());
            url.map_or_else(|| format!("{MASK:?}"), |url| format!("{:?}", url.to_string()))
        }
        (Shape::Section(_) | Shape::Map(_) | Shape::Value | Shape::Free | Shape::List(_), _) => {
            spelled("", node)
        }
    };
    let mut digest = Sha256::new();
    hash(node, &mut digest);
    values.push(EffectiveValue {
        key: path.to_owned(),
        value: shown,
        origin: node.origin.to_string(),
        applies: applies(path),
        digest: digest.finalize().into(),
    });
}

/// The name by which an entry of a list is known: the `id` of a client, the `name` of a user.
pub(super) fn name_in_list(entry: &Table) -> Option<String> {
    entry.get("id").or_else(|| entry.get("name")).and_then(TreeNode::as_text)
}

/// Hashes a value, with its secrets and without its place. Each part is preceded by its kind and
/// its length, so that no two values are hashed alike.
fn hash(node: &TreeNode, digest: &mut Sha256) {
    let mut part = |kind: u8, bytes: &[u8]| {
        digest.update([kind]);
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(bytes);
    };
    match node.typed() {
        Data::Text(text) => part(0, text.as_bytes()),
        Data::Integer(number) => part(1, &number.to_be_bytes()),
        Data::Decimal(number) => part(2, &number.to_be_bytes()),
        Data::Flag(flag) => part(3, &[u8::from(flag)]),
        Data::List(nodes) => {
            part(4, &nodes.len().to_be_bytes());
            nodes.iter().for_each(|node| hash(node, digest));
        }
        Data::Table(table) => {
            part(5, &table.len().to_be_bytes());
            for (key, node) in &table {
                digest.update(u64::try_from(key.len()).unwrap_or(u64::MAX).to_be_bytes());
                digest.update(key.as_bytes());
                hash(node, digest);
            }
        }
        // Not reached: `typed` never gives `Raw`.
        Data::Raw(raw) => part(6, raw.text.as_bytes()),
    }
}

/// A value that holds only secrets, with `***` for each. An empty text is shown as it is.
fn masked(node: &TreeNode) -> String {
    match &node.data {
        Data::List(nodes) => {
            let nodes: Vec<String> = nodes.iter().map(masked).collect();
            format!("[{}]", nodes.join(", "))
        }
        Data::Text(text) | Data::Raw(Raw { text, .. }) if text.is_empty() => "\"\"".to_owned(),
        Data::Text(_)
        | Data::Integer(_)
        | Data::Decimal(_)
        | Data::Flag(_)
        | Data::Table(_)
        | Data::Raw(_) => format!("{MASK:?}"),
    }
}

/// A value in TOML, with `***` for everything under a key whose name stands for a secret.
fn spelled(key: &str, node: &TreeNode) -> String {
    if names_a_secret(key) {
        return masked(node);
    }
    match node.typed() {
        Data::List(nodes) => {
            let nodes: Vec<String> = nodes.iter().map(|it| spelled(key, it)).collect();
            format!("[{}]", nodes.join(", "))
        }
        Data::Table(table) => {
            let entry = |(name, node): (&String, &TreeNode)| {
                format!("{} = {}", quoted_key(name), spelled(name, node))
            };
            braced(table.iter().map(entry).collect())
        }
        Data::Text(text) => format!("{:?}", without_userinfo(&text)),
        Data::Integer(it) => it.to_string(),
        Data::Decimal(it) => it.to_string(),
        Data::Flag(it) => it.to_string(),
        // Not reached: `typed` never gives `Raw`.
        Data::Raw(_) => format!("{MASK:?}"),
    }
}

fn braced(entries: Vec<String>) -> String {
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
}

/// A key as TOML spells it.
fn quoted_key(name: &str) -> String {
    let is_bare = |char: char| char.is_ascii_alphanumeric() || "_-".contains(char);
    let is_plain = !name.is_empty() && name.chars().all(is_bare);
    if is_plain { name.to_owned() } else { format!("{name:?}") }
}
