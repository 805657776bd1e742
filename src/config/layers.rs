//! The layers of a configuration: read, each value with its place, and laid one over the other.

use super::{error::Errors, files::read_bounded, references::is_reference, warnings};
use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};
use toml_edit::{Document, Item, Value};

/// A configuration file larger than this is refused: it cannot be one.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Where a value was written.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    place: Arc<str>,
    /// True for the compiled-in defaults.
    pub(super) is_default: bool,
}

impl Origin {
    /// A place of which only the words are known.
    pub(super) fn new(place: &str) -> Self {
        Self { place: place.into(), is_default: false }
    }

    /// This place, and what it refers to.
    pub(super) fn via(&self, what: &str) -> Self {
        Self { place: format!("{self} ({what})").into(), is_default: self.is_default }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// Keys and values of a section.
pub(super) type Table = BTreeMap<String, TreeNode>;

/// A value as written. No `Debug`: it may hold a secret.
#[derive(Clone)]
pub(super) struct TreeNode {
    pub(super) data: Data,
    pub(super) origin: Origin,
}

/// What was written.
#[derive(Clone)]
pub(super) enum Data {
    Text(String),
    Integer(i64),
    Decimal(f64),
    Flag(bool),
    List(Vec<TreeNode>),
    Table(Table),
    /// Text from an environment variable or a file, which has no type until somebody asks for one:
    /// the token `12345678` is text, the pool size `8` a number.
    Raw(Raw),
}

/// Text without a type.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) text: String,
    /// True for an overriding variable, whose text may be TOML (`"quoted"`); what a value refers to is
    /// taken as it is.
    pub(super) may_be_toml: bool,
}

impl TreeNode {
    /// The keys, if it is a table.
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

    /// True for a single value, and for a list of such.
    pub(super) fn is_plain(&self) -> bool {
        match &self.data {
            Data::Table(_) => false,
            Data::List(nodes) => nodes.iter().all(Self::is_plain),
            Data::Raw(_) => !matches!(self.typed(), Data::Table(_) | Data::List(_)),
            Data::Text(_) | Data::Integer(_) | Data::Decimal(_) | Data::Flag(_) => true,
        }
    }

    /// The value with a type: raw text becomes the TOML value that it spells, or else a string.
    pub(super) fn typed(&self) -> Data {
        let Data::Raw(raw) = &self.data else { return self.data.clone() };
        match raw.text.trim().parse::<Value>() {
            Ok(value) => from_value(&value, &|_| self.origin.clone()).data,
            Err(_) => Data::Text(raw.text.clone()),
        }
    }

    /// The value as text, if it is that.
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

/// Lays `over` on `under`: sections key by key, anything else as a whole (so a list replaces a list).
pub(super) fn merge(under: &mut Table, over: Table) {
    for (key, node) in over {
        match (under.get_mut(&key).map(|it| &mut it.data), node) {
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

/// Reads a file of the configuration. What cannot be read or is no TOML is noted, and gives no keys.
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
            let message = format!("cannot read the configuration file: {reason}");
            errors.push(Some(&Origin::new(&name)), "", message);
            Table::new()
        }
    }
}

/// Parses TOML, each value with its line.
pub(super) fn parse(name: &str, text: &str, is_default: bool, errors: &Errors) -> Table {
    let origin_of = |span: Option<std::ops::Range<usize>>| {
        let before = span.and_then(|it| text.get(..it.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Origin { place: format!("{name}:{line}").into(), is_default }
    };
    match Document::parse(text) {
        Ok(document) => from_entries(document.as_table().iter_with_keys(), &origin_of),
        Err(error) => {
            // `message` and not the whole error, which would quote the line and any secret in it.
            let message = format!("not valid TOML: {}", error.message().replace('\n', ", "));
            errors.push(Some(&origin_of(error.span())), "", message);
            Table::new()
        }
    }
}

type OriginOf<'a> = dyn Fn(Option<std::ops::Range<usize>>) -> Origin + 'a;

/// Iterates over a table with its keys' places, which `toml_edit` has but for inline tables only.
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
                let table = |it: &toml_edit::Table| TreeNode {
                    data: Data::Table(from_entries(it.iter_with_keys(), origin_of)),
                    origin: origin_of(it.span()),
                };
                Data::List(tables.iter().map(table).collect())
            }
        };
        Some((key.get().to_owned(), TreeNode { data, origin }))
    };
    entries.into_iter().filter_map(node).collect()
}

/// A TOML value as a node.
pub(super) fn from_value(value: &Value, origin_of: &OriginOf<'_>) -> TreeNode {
    let data = match value {
        Value::String(it) => Data::Text(it.value().clone()),
        Value::Integer(it) => Data::Integer(*it.value()),
        Value::Float(it) => Data::Decimal(*it.value()),
        Value::Boolean(it) => Data::Flag(*it.value()),
        Value::Datetime(it) => Data::Text(it.value().to_string()),
        Value::Array(it) => Data::List(it.iter().map(|it| from_value(it, origin_of)).collect()),
        Value::InlineTable(it) => Data::Table(from_entries(it.iter_with_keys(), origin_of)),
    };
    TreeNode { data, origin: origin_of(value.span()) }
}
