//! Reads typed values from the merged layers, and notes an error for each that is wrong.

use super::{
    error::Errors,
    layers::{Data, Origin, Table, TreeNode},
    masking::{quoted, without_userinfo},
    schema::join,
    value::{Network, Rate, Secret},
};
use std::{fmt::Debug, net::SocketAddr, ops::RangeInclusive, time::Duration};

/// Reads the keys of one section.
pub(super) struct SectionReader<'a> {
    /// The section's dotted name; empty for the root.
    pub(super) path: String,
    pub(super) table: &'a Table,
    pub(super) errors: &'a Errors,
}

impl<'a> SectionReader<'a> {
    /// The dotted name of `key`.
    pub(super) fn key(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The place where `key` was written.
    pub(super) fn origin(&self, key: &str) -> Option<&'a Origin> {
        self.table.get(key).map(|it| &it.origin)
    }

    /// Notes an error at `key`.
    pub(super) fn error(&self, key: &str, message: String) {
        self.errors.push(self.origin(key), &self.key(key), message);
    }

    /// Which of two contradicting keys an error names: the first that is not a default.
    pub(super) fn written<'k>(&self, first: &'k str, second: &'k str) -> &'k str {
        let is_written = |key: &&str| self.origin(key).is_some_and(|it| !it.is_default);
        [first, second].into_iter().find(is_written).unwrap_or(first)
    }

    /// The section at `key`, if there is one. A value that is not a table was refused when the keys
    /// were checked.
    pub(super) fn section(&self, key: &str) -> Option<SectionReader<'a>> {
        let table = self.table.get(key)?.as_table()?;
        Some(SectionReader { path: self.key(key), table, errors: self.errors })
    }

    /// The value at `key`. `None` if there is none, or if it is of another type, which is noted.
    pub(super) fn read<T: Typed>(&self, key: &str) -> Option<T> {
        self.errors.expect(self.key(key), T::EXPECTED);
        let node = self.table.get(key)?;
        let value = T::from_node(node);
        // A table in place of a value was noted when the keys were checked.
        if value.is_none() && !self.errors.has(&self.key(key)) {
            let shown = if T::IS_SECRET { None } else { shown(node) };
            let is = shown.map(|text| format!(" is {text}")).unwrap_or_default();
            self.error(key, format!("`{}`{is}: expected {}", self.key(key), T::EXPECTED));
        }
        value
    }

    /// The value at `key`. If it cannot be read, its type's default: the error that was noted
    /// prevents its use.
    pub(super) fn get<T: Typed + Default>(&self, key: &str) -> T {
        self.read(key).unwrap_or_default()
    }

    /// The value at `key`. `None` if it cannot be read or is not in `range`, which is noted.
    pub(super) fn read_in<T: Bounded>(&self, key: &str, range: RangeInclusive<T>) -> Option<T> {
        let value: Option<T> = self.read(key);
        let (least, most) = (range.start().show(), range.end().show());
        let key_name = self.key(key);
        self.errors.expect_in(&key_name, least.clone(), most.clone());
        let value = value?;
        if range.contains(&value) {
            return Some(value);
        }
        let message = format!("`{key_name}` is {}: it must be {least} to {most}", value.show());
        self.error(key, message);
        None
    }

    /// As [`Self::read_in`], with the type's default in place of `None`; see [`Self::get`].
    pub(super) fn get_in<T: Bounded + Default>(&self, key: &str, range: RangeInclusive<T>) -> T {
        self.read_in(key, range).unwrap_or_default()
    }

    /// The text at `key`, parsed by `parse`, whose error is put after the key's name. The text may
    /// hold a secret, so no error shows it. See [`Self::read`].
    pub(super) fn read_by<T>(&self, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let text: Secret = self.read(key)?;
        // A reference to nothing has its error already, and left an empty text.
        if self.errors.has(&self.key(key)) {
            return None;
        }
        let note = |reason| self.error(key, format!("`{}`{reason}", self.key(key)));
        parse(text.expose()).map_err(note).ok()
    }

    /// The secrets at `key`: one, or a list. `flaw` gives the reason why a text cannot be a secret.
    pub(super) fn secrets(
        &self,
        key: &str,
        mut flaw: impl FnMut(&str) -> Option<String>,
    ) -> Vec<Secret> {
        let secrets: Vec<Secret> = self.get(key);
        for (index, secret) in secrets.iter().enumerate() {
            if let Some(reason) = flaw(secret.expose()) {
                self.error(key, format!("`{}[{index}]` {reason}", self.key(key)));
            }
        }
        secrets
    }
}

/// How an error shows a value. A value from a reference may be a secret, so it is not shown.
fn shown(node: &TreeNode) -> Option<String> {
    match &node.data {
        Data::Text(text) => Some(quoted(text)),
        Data::Integer(it) => Some(format!("`{it}`")),
        Data::Decimal(it) => Some(format!("`{it}`")),
        Data::Flag(it) => Some(format!("`{it}`")),
        Data::List(_) => Some("a list".to_owned()),
        Data::Table(_) => Some("a table".to_owned()),
        Data::Raw(raw) if raw.may_be_toml => Some(format!("`{}`", without_userinfo(&raw.text))),
        Data::Raw(_) => None,
    }
}

/// A type that the reader can turn a value into.
pub(super) trait Typed: Sized {
    /// What an error says was expected.
    const EXPECTED: &'static str;
    /// True if an error must not show the value.
    const IS_SECRET: bool = false;
    /// The value, if `node` holds one of this type.
    fn from_node(node: &TreeNode) -> Option<Self>;
}

/// A type whose values can be compared with a least and a greatest value.
pub(super) trait Bounded: Typed + PartialOrd {
    /// The value as an error shows it.
    fn show(&self) -> String;
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Size(pub(super) u64);

/// Implements `Typed` for a type that is written as a string.
macro_rules! from_text {
    ($type:ty, $expected:literal, $parse:expr) => {
        impl Typed for $type {
            const EXPECTED: &'static str = $expected;
            fn from_node(node: &crate::config::layers::TreeNode) -> Option<Self> {
                let parse: fn(&str) -> Option<Self> = $parse;
                node.as_text().and_then(|text| parse(&text))
            }
        }
    };
}
pub(super) use from_text;

from_text!(String, "a string", |text| Some(text.to_owned()));
from_text!(
    Duration,
    "a duration with its unit, such as `\"30s\"`, `\"10ms\"` or `\"7d\"`",
    |text| { humantime::parse_duration(text).ok() }
);
from_text!(Size, "a size with its unit, such as `\"64KiB\"` or `\"1MiB\"`", |text| {
    let has_unit = text.ends_with(|it: char| it.is_ascii_alphabetic());
    has_unit
        .then(|| text.parse::<bytesize::ByteSize>().ok())
        .flatten()
        .map(|size| Size(size.as_u64()))
});
from_text!(SocketAddr, "an address and port, such as `\"127.0.0.1:8080\"`", |text| text
    .parse()
    .ok());
from_text!(Network, "an address or a block of addresses, such as `\"10.0.0.0/8\"`", Network::parse);
from_text!(
    jiff::tz::TimeZone,
    "a time zone of the system's IANA database, such as `\"Europe/Berlin\"`",
    |text| { jiff::tz::TimeZone::get(text).ok() }
);
from_text!(Option<String>, "a string", |text| Some((!text.is_empty()).then(|| text.to_owned())));
from_text!(Option<Rate>, "`\"off\"` or a rate, such as `\"50/s\"` or `\"600/m\"`", |text| {
    if text == "off" { Some(None) } else { Rate::parse(text).map(Some) }
});

impl Typed for Secret {
    const EXPECTED: &'static str = "a string";
    const IS_SECRET: bool = true;
    fn from_node(node: &TreeNode) -> Option<Self> {
        node.as_text().map(Self::new)
    }
}

impl Typed for Option<Secret> {
    const EXPECTED: &'static str = "a string";
    const IS_SECRET: bool = true;
    fn from_node(node: &TreeNode) -> Option<Self> {
        node.as_text().map(|text| (!text.is_empty()).then(|| Secret::new(text)))
    }
}

impl Typed for bool {
    const EXPECTED: &'static str = "`true` or `false`";
    fn from_node(node: &TreeNode) -> Option<Self> {
        if let Data::Flag(it) = node.typed() { Some(it) } else { None }
    }
}

/// Implements `Typed` for whole numbers.
macro_rules! from_integer {
    ($($type:ty),*) => {$(
        impl Typed for $type {
            const EXPECTED: &'static str = "a whole number";
            fn from_node(node: &TreeNode) -> Option<Self> {
                if let Data::Integer(it) = node.typed() { it.try_into().ok() } else { None }
            }
        }
        impl Bounded for $type {
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
from_integer!(u32, usize);

impl Typed for f64 {
    const EXPECTED: &'static str = "a number";
    fn from_node(node: &TreeNode) -> Option<Self> {
        match node.typed() {
            Data::Decimal(it) => Some(it),
            Data::Integer(it) => i32::try_from(it).ok().map(Self::from),
            Data::Text(_) | Data::Flag(_) | Data::List(_) | Data::Table(_) | Data::Raw(_) => None,
        }
    }
}

impl Bounded for f64 {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Bounded for Duration {
    fn show(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

impl Bounded for Size {
    fn show(&self) -> String {
        bytesize::ByteSize::b(self.0).to_string()
    }
}

/// Implements `Typed` for a list.
macro_rules! from_list {
    ($type:ty, $expected:literal) => {
        impl Typed for Vec<$type> {
            const EXPECTED: &'static str = $expected;
            fn from_node(node: &TreeNode) -> Option<Self> {
                let Data::List(nodes) = node.typed() else { return None };
                nodes.iter().map(<$type>::from_node).collect()
            }
        }
    };
}
from_list!(String, "a list of strings");
from_list!(Network, "a list of addresses or blocks, such as `[\"10.0.0.0/8\"]`");

impl Typed for Vec<Secret> {
    const EXPECTED: &'static str = "a secret or a list of secrets, none of them empty";
    const IS_SECRET: bool = true;
    fn from_node(node: &TreeNode) -> Option<Self> {
        // The target of a reference is a single secret, even if its text looks like a list.
        let is_referred = matches!(&node.data, Data::Raw(raw) if !raw.may_be_toml);
        if let Data::List(nodes) = node.typed()
            && !is_referred
        {
            return nodes.iter().map(|item| Option::from_node(item)?).collect();
        }
        Option::<Secret>::from_node(node).map(|secret| secret.into_iter().collect())
    }
}
