//! The layers of a configuration: how each is read, with the place of every value, and how they are
//! merged.

use super::{
    DEFAULT_PLACE, error::Errors, files::read_bounded, references::is_reference, warnings,
};
use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};
use toml_edit::{Document, Item, Value};

/// The largest configuration file, in bytes. A larger file is refused: it is not a configuration.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the place of a value in the environment begins with.
const VARIABLE: &str = "environment variable";

/// Where a value was written.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// `FILE:LINE` or `environment variable NAME`. The defaults are shown without.
    place: Arc<str>,
    /// True for the compiled-in defaults.
    pub(super) is_default: bool,
}

impl Origin {
    /// A place that is described by `place` alone.
    pub(super) fn new(place: &str) -> Self {
        Self { place: place.into(), is_default: false }
    }

    /// The place of a value that the environment variable `name` sets.
    pub(super) fn variable(name: &str) -> Self {
        Self::new(&format!("{VARIABLE} {name}"))
    }

    /// True if an environment variable sets the value.
    pub(super) fn is_variable(&self) -> bool {
        is_place_of_variable(&self.place)
    }

    /// The line of its file; 0 if it has none.
    pub(super) fn line(&self) -> usize {
        self.place.rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    /// This place, with the variable or file that it refers to in parentheses.
    pub(super) fn via(&self, what: &str) -> Self {
        Self { place: format!("{self} ({what})").into(), is_default: self.is_default }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On an installed machine there is no file with the defaults.
        f.write_str(if self.is_default { DEFAULT_PLACE } else { &self.place })
    }
}

/// True for the place of a value that an environment variable sets.
pub(super) fn is_place_of_variable(place: &str) -> bool {
    place.starts_with(VARIABLE)
}

/// A section: its values by key.
pub(super) type Table = BTreeMap<String, TreeNode>;

/// A value as it was written. It has no `Debug`, since it may hold a secret.
#[derive(Clone)]
pub(super) struct TreeNode {
    pub(super) data: Data,
    pub(super) origin: Origin,
}

/// The forms of a value.
#[derive(Clone)]
pub(super) enum Data {
    Text(String),
    Integer(i64),
    Decimal(f64),
    Flag(bool),
    List(Vec<TreeNode>),
    Table(Table),
    /// Text from an environment variable or a file. It gets its type from the key that reads it:
    /// the token `12345678` is text, the pool size `8` is a number.
    Raw(Raw),
}

/// Text whose type is not known yet.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) text: String,
    /// True for a variable that sets a key: its text may be TOML (`"quoted"`). False for the target
    /// of a reference, whose text is used unchanged.
    pub(super) may_be_toml: bool,
}

impl TreeNode {
    /// The table, if it is one.
    pub(super) fn as_table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(table) => Some(table),
            Data::Text(_)
            | Data::Integer(_)
            | Data::Decimal(_)
            | Data::Flag(_)
            | Data::List(_)
            | Data::Raw(_) => None,
        }
    }

    /// The table, if it is one.
    pub(super) fn as_table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.data {
            Data::Table(table) => Some(table),
            Data::Text(_)
            | Data::Integer(_)
            | Data::Decimal(_)
            | Data::Flag(_)
            | Data::List(_)
            | Data::Raw(_) => None,
        }
    }

    /// The value with a type: raw text becomes the TOML value that it spells, otherwise a string.
    pub(super) fn typed(&self) -> Data {
        let Data::Raw(raw) = &self.data else { return self.data.clone() };
        match raw.text.trim().parse::<Value>() {
            Ok(value) => from_value(&value, &|_| self.origin.clone()).data,
            Err(_) => Data::Text(raw.text.clone()),
        }
    }

    /// The value as text, if it is text.
    pub(super) fn as_text(&self) -> Option<String> {
        match &self.data {
            Data::Text(text) => Some(text.clone()),
            Data::Raw(raw) if raw.may_be_toml => {
                let quoted = raw.text.trim().parse::<Value>().ok();
                let text = quoted.as_ref().and_then(Value::as_str).unwrap_or(&raw.text);
                Some(text.to_owned())
            }
            Data::Raw(raw) => Some(raw.text.clone()),
            Data::Integer(_)
            | Data::Decimal(_)
            | Data::Flag(_)
            | Data::List(_)
            | Data::Table(_) => None,
        }
    }
}

/// Merges `over` into `under`. Sections are merged key by key; anything else is replaced as a
/// whole, lists too.
pub(super) fn merge(under: &mut Table, over: Table) {
    for (key, node) in over {
        match (under.get_mut(&key).map(|node| &mut node.data), node) {
            (Some(Data::Table(below)), TreeNode { data: Data::Table(above), .. })
                if !is_reference(below) && !is_reference(&above) =>
            {
                merge(below, above);
            }
            (_, node) => {
                under.insert(key, node);
            }
        }
    }
}

/// Reads a configuration file. If it cannot be read or is not TOML, the error is noted and the
/// table is empty.
pub(super) fn read_file(path: &Path, errors: &Errors) -> Table {
    let name = path.display().to_string();
    match read_bounded(path, FILE_BYTES_MAX) {
        Ok(found) => {
            let table = parse(&name, &found.text, false, errors);
            if let Some(mode) = found.open_mode {
                warnings::literal_secrets(&table, &name, mode, errors);
            }
            table
        }
        Err(reason) => {
            let message = format!(
                "cannot read the configuration file: {reason}; write it, or name another one with `--config`"
            );
            errors.push(Some(&Origin::new(&name)), "", message);
            Table::new()
        }
    }
}

/// Reads what can be read of a configuration file: all of it, or the lines above the first error.
/// Says whether it is all.
pub(super) fn read_above_error(path: &Path) -> (Table, bool) {
    let Ok(found) = read_bounded(path, FILE_BYTES_MAX) else { return (Table::new(), false) };
    let name = path.display().to_string();
    // The caller has the errors.
    let errors = Errors::default();
    let end = match Document::parse(found.text.as_str()) {
        Ok(_) => return (parse(&name, &found.text, false, &errors), true),
        Err(error) => error.span().map_or(0, |span| span.start),
    };
    let above = found.text.get(..end).unwrap_or_default();
    let above = above.get(..above.rfind('\n').map_or(0, |at| at + 1)).unwrap_or_default();
    (parse(&name, above, false, &errors), false)
}

/// Parses TOML and notes the line of each value.
pub(super) fn parse(name: &str, text: &str, is_default: bool, errors: &Errors) -> Table {
    let line_ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let origin_of = |span: Option<std::ops::Range<usize>>| {
        let start = span.map_or(0, |range| range.start);
        let line = line_ends.partition_point(|end| *end < start) + 1;
        Origin { place: format!("{name}:{line}").into(), is_default }
    };
    match Document::parse(text) {
        Ok(document) => from_entries(document.as_table().iter_with_keys(), &origin_of),
        Err(error) => {
            // Only `message`: the whole error would quote the line, with any secret in it.
            let message = format!("not valid TOML: {}", error.message().replace('\n', ", "));
            errors.push(Some(&origin_of(error.span())), "", message);
            Table::new()
        }
    }
}

/// Gives the place of a span in the file.
type OriginOf<'a> = dyn Fn(Option<std::ops::Range<usize>>) -> Origin + 'a;

/// Iterates over a table with the spans of its keys. `toml_edit` offers this for inline tables
/// only.
trait IterWithKeys {
    fn iter_with_keys(&self) -> Vec<(&toml_edit::Key, &Item)>;
}

impl<T: toml_edit::TableLike> IterWithKeys for T {
    fn iter_with_keys(&self) -> Vec<(&toml_edit::Key, &Item)> {
        self.iter().filter_map(|(key, _)| self.get_key_value(key)).collect()
    }
}

fn from_entries(entries: Vec<(&toml_edit::Key, &Item)>, origin_of: &OriginOf<'_>) -> Table {
    let node = |(key, item): (&toml_edit::Key, &Item)| {
        let origin = origin_of(key.span());
        let data = match item {
            Item::None => return None,
            Item::Value(value) => from_value(value, origin_of).data,
            Item::Table(table) => Data::Table(from_entries(table.iter_with_keys(), origin_of)),
            Item::ArrayOfTables(tables) => {
                let table = |table: &toml_edit::Table| TreeNode {
                    data: Data::Table(from_entries(table.iter_with_keys(), origin_of)),
                    origin: origin_of(table.span()),
                };
                Data::List(tables.iter().map(table).collect())
            }
        };
        Some((key.get().to_owned(), TreeNode { data, origin }))
    };
    entries.into_iter().filter_map(node).collect()
}

/// Converts a TOML value.
pub(super) fn from_value(value: &Value, origin_of: &OriginOf<'_>) -> TreeNode {
    let data = match value {
        Value::String(it) => Data::Text(it.value().clone()),
        Value::Integer(it) => Data::Integer(*it.value()),
        Value::Float(it) => Data::Decimal(*it.value()),
        Value::Boolean(it) => Data::Flag(*it.value()),
        Value::Datetime(it) => Data::Text(it.value().to_string()),
        Value::Array(array) => {
            Data::List(array.iter().map(|item| from_value(item, origin_of)).collect())
        }
        Value::InlineTable(it) => Data::Table(from_entries(it.iter_with_keys(), origin_of)),
    };
    TreeNode { data, origin: origin_of(value.span()) }
}
