//! The layer of the environment: variables named `POSTROOM__SECTION__KEY` override the files.

use super::{
    error::Errors,
    layers::{Data, Origin, Raw, Table, TreeNode, from_value},
    schema::{ROOT, Shape, join, unknown_key},
};
use toml_edit::Value;

/// The prefix of a variable that sets a key. Other variables, such as `POSTROOM_TEST_…`, have one
/// underscore.
const PREFIX: &str = "POSTROOM__";
const SEPARATOR: &str = "__";

/// The layer of each variable that sets a key, in the order of their names. `below` is what the
/// layers below them set.
pub(super) fn layers(below: &Table, env: &[(String, String)], errors: &Errors) -> Vec<Table> {
    let mut layers = Vec::new();
    let mut variables: Vec<&(String, String)> = env.iter().collect();
    variables.sort();
    for (name, text) in variables {
        let has_prefix = name.get(..PREFIX.len()).is_some_and(|it| it.eq_ignore_ascii_case(PREFIX));
        if !has_prefix {
            continue;
        }
        let origin = Origin::variable(name);
        let words = name.get(PREFIX.len()..).unwrap_or_default();
        match keys(words, below) {
            Ok(keys) => {
                let layer = keys.iter().rev().fold(node(text, &origin), |inner, key| TreeNode {
                    data: Data::Table(Table::from([(key.clone(), inner)])),
                    origin: origin.clone(),
                });
                if let Data::Table(layer) = layer.data {
                    super::schema::check_keys(&ROOT, &layer, "", errors);
                    layers.push(layer);
                }
            }
            Err(message) => errors.push(Some(&origin), "", message),
        }
    }
    layers
}

/// The value of a variable: an array or a table if the text is one in TOML, otherwise text without
/// a type yet.
fn node(text: &str, origin: &Origin) -> TreeNode {
    match text.trim().parse::<Value>() {
        Ok(value @ (Value::Array(_) | Value::InlineTable(_))) => {
            from_value(&value, &|_| origin.clone())
        }
        _ => TreeNode {
            data: Data::Raw(Raw { text: text.to_owned(), may_be_toml: true }),
            origin: origin.clone(),
        },
    }
}

/// The keys that `SECTION__KEY` names, in the spelling of the configuration.
///
/// # Errors
/// If there is no such key, or the name goes on after a value or a list.
fn keys(words: &str, table: &Table) -> Result<Vec<String>, String> {
    let mut shape = &ROOT;
    let mut table = Some(table);
    let mut path = String::new();
    let mut keys = Vec::new();
    for word in words.split(SEPARATOR) {
        let key = match shape {
            Shape::Section(known) => {
                let found = known.iter().find(|(key, _)| key.eq_ignore_ascii_case(word));
                let written = join(&path, &word.to_ascii_lowercase());
                let (key, inner) = found.ok_or_else(|| unknown_key(&written, known))?;
                shape = inner;
                (*key).to_owned()
            }
            Shape::Map(inner) => {
                shape = inner;
                // Job kinds are upper case. A key that exists already (`default`) keeps its
                // spelling.
                let existing =
                    table.and_then(|inner| inner.keys().find(|key| key.eq_ignore_ascii_case(word)));
                existing.cloned().unwrap_or_else(|| word.to_ascii_uppercase())
            }
            Shape::List(_) => {
                return Err(format!(
                    "`{path}` is a list: set `{PREFIX}{}` to the whole of it, as a TOML array",
                    path.to_ascii_uppercase()
                ));
            }
            Shape::Value | Shape::Secret | Shape::Url | Shape::Free => {
                return Err(format!("`{path}` is a value and has no key `{word}` in it"));
            }
        };
        table = table.and_then(|it| it.get(&key)).and_then(TreeNode::as_table);
        path = join(&path, &key);
        keys.push(key);
    }
    Ok(keys)
}
