//! What `config/default.toml` says about each key, for `postroom config explain`.

use super::{
    DEFAULT, DEFAULT_NAME,
    error::Errors,
    key_path::ANY,
    layers::{self, Data, Table, TreeNode},
};

/// The comment of the key or section with this pattern, without its `#`; empty if it has none.
///
/// A comment stands above its key. A key without one has the comment of the line above it: that of
/// its neighbour, or of its section.
pub(super) fn comment(pattern: &[&str]) -> String {
    let table = layers::parse(DEFAULT_NAME, DEFAULT, true, &Errors::default());
    let lines: Vec<&str> = DEFAULT.lines().collect();
    match place(pattern, &table) {
        Some(CommentPlace::Line(line)) => text(above(&lines, line.saturating_sub(1))),
        Some(CommentPlace::OfChannel(line, key)) => {
            of_channel(above(&lines, line.saturating_sub(1)), key)
        }
        None => String::new(),
    }
}

/// Where a comment stands.
enum CommentPlace<'a> {
    /// Above this line.
    Line(usize),
    /// In the list of a channel's keys above this line.
    OfChannel(usize, &'a str),
}

/// Where the default of a key is written. A kind is described by `[pools.default]`, a client by the
/// one that is in the file.
fn place<'a>(pattern: &[&'a str], defaults: &Table) -> Option<CommentPlace<'a>> {
    let mut node: Option<&TreeNode> = None;
    let mut before = "";
    for (at, word) in pattern.iter().enumerate() {
        let table = node.map_or(Some(defaults), TreeNode::as_table);
        let next = match (*word, before) {
            (ANY, "channels") => {
                let line = line_of(table?.values().min_by_key(|it| line_of(it))?);
                return Some(match pattern.get(at + 1) {
                    Some(key) => CommentPlace::OfChannel(line, key),
                    None => CommentPlace::Line(line),
                });
            }
            (ANY, "pools") => table?.get("default")?,
            (ANY, "clients") => {
                let Data::List(nodes) = &node?.data else { return None };
                nodes.first()?
            }
            // A template or a campaign is described with the others.
            (ANY, _) => break,
            (word, _) => table?.get(word)?,
        };
        (node, before) = (Some(next), word);
    }
    node.map(|node| CommentPlace::Line(line_of(node)))
}

/// The number of the line in which the value was written; the first is 1.
fn line_of(node: &TreeNode) -> usize {
    node.origin.line()
}

/// The comment above the line at this index.
fn above<'a>(lines: &'a [&'a str], at: usize) -> &'a [&'a str] {
    let before = lines.get(..at).unwrap_or_default();
    let count = before.iter().rev().take_while(|line| line.starts_with('#')).count();
    match before.last() {
        _ if count > 0 => before.get(at - count..).unwrap_or_default(),
        Some(line) if !line.is_empty() => above(lines, at - 1),
        _ => &[],
    }
}

fn text(comment: &[&str]) -> String {
    let line = |line: &&str| line.trim_start_matches('#').trim().to_owned();
    comment.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The comment of one key of a channel. In the list, a key begins a line `#   KEY = FORM  # TEXT`,
/// and its text goes on in lines `#    # TEXT`.
fn of_channel(comment: &[&str], key: &str) -> String {
    let (mut lines, mut is_meant) = (Vec::new(), false);
    for line in comment {
        let Some(line) = line.strip_prefix("#   ") else { continue };
        let begins = !line.trim_start().starts_with('#');
        if begins {
            is_meant = line.split(" = ").next() == Some(key);
        }
        if is_meant {
            let (form, text) = line.split_once("# ").unwrap_or((line, ""));
            lines.extend([form.trim(), text.trim()].map(str::to_owned));
        }
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}
