//! Values that are kept elsewhere: `{ env = "NAME" }` and `{ file = "/run/secrets/name" }`.

use super::{
    error::Errors,
    files::read_bounded,
    layers::{Data, Raw, Table, TreeNode},
};
use std::path::{Path, PathBuf};

/// The largest file that a value may refer to, in bytes: it holds a secret or a short text.
const VALUE_BYTES_MAX: u64 = 64 << 10;

/// True for a table that is not a section but a reference to a value elsewhere.
pub(super) fn is_reference(table: &Table) -> bool {
    target(table).is_some()
}

/// The scheme (`env` or `file`) and the name of a reference; `None` if the table is not one.
fn target(table: &Table) -> Option<(&str, &str)> {
    let mut entries = table.iter();
    match (entries.next(), entries.next()) {
        (Some((key, TreeNode { data: Data::Text(name), .. })), None)
            if key == "env" || key == "file" =>
        {
            Some((key, name))
        }
        _ => None,
    }
}

/// Adds the files that `table` refers to.
pub(super) fn files(table: &Table, found: &mut Vec<PathBuf>) {
    for node in table.values() {
        files_of_node(node, found);
    }
}

fn files_of_node(node: &TreeNode, found: &mut Vec<PathBuf>) {
    match &node.data {
        Data::Table(table) => match target(table) {
            Some(("file", name)) => found.push(name.into()),
            Some(_) => {}
            None => files(table, found),
        },
        Data::List(nodes) => nodes.iter().for_each(|node| files_of_node(node, found)),
        Data::Text(_) | Data::Integer(_) | Data::Decimal(_) | Data::Flag(_) | Data::Raw(_) => {}
    }
}

/// Replaces every reference in `table` with its target. Runs after the layers are merged, so that
/// the target of a reference that a later layer overrides need not exist.
pub(super) fn resolve(table: &mut Table, path: &str, env: &[(String, String)], errors: &Errors) {
    for (key, node) in table.iter_mut() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        resolve_node(node, &path, env, errors);
    }
}

fn resolve_node(node: &mut TreeNode, path: &str, env: &[(String, String)], errors: &Errors) {
    let origin = node.origin.clone();
    match &mut node.data {
        Data::Table(table) => match target(table) {
            Some((scheme, name)) => {
                let place = origin.via(&format!("{scheme} {name}"));
                let text = match fetch(scheme, name, env) {
                    Ok(text) => text,
                    Err(message) => {
                        errors.push(Some(&origin), path, format!("`{path}` {message}"));
                        String::new()
                    }
                };
                *node =
                    TreeNode { data: Data::Raw(Raw { text, may_be_toml: false }), origin: place };
            }
            None => resolve(table, path, env, errors),
        },
        Data::List(nodes) => {
            for node in nodes {
                resolve_node(node, path, env, errors);
            }
        }
        Data::Text(_) | Data::Integer(_) | Data::Decimal(_) | Data::Flag(_) | Data::Raw(_) => {}
    }
}

/// The text of a reference's target, without the byte order mark, blanks and line ends that
/// editors, shells and secret stores add around it.
///
/// # Errors
/// If there is no such variable or file. If the text is empty, too: a forgotten secret must not
/// count as "no secret".
fn fetch(scheme: &str, name: &str, env: &[(String, String)]) -> Result<String, String> {
    let (what, text) = if scheme == "env" {
        let found = env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let what = format!("environment variable `{name}`");
        let text = found.ok_or_else(|| format!("refers to the {what}, which is not set"))?;
        (what, text)
    } else {
        let what = format!("file `{name}`");
        let found = read_bounded(Path::new(name), VALUE_BYTES_MAX)
            .map_err(|reason| format!("refers to the {what}, which cannot be read: {reason}"))?;
        (what, found.text)
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim();
    if text.is_empty() {
        return Err(format!("refers to the {what}, which is empty"));
    }
    Ok(text.to_owned())
}
