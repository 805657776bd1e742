//! Finds a key of the schema by its dotted name.

use super::schema::{ROOT, Shape, join, unknown_key};

/// In a pattern, stands for any name: of a kind, of a client, of a channel.
pub(super) const ANY: &str = "*";

/// A key or a section, with the names that lead to it.
#[derive(Clone)]
pub(super) struct KeyPath {
    /// The names, as they are given.
    pub(super) words: Vec<String>,
    /// The names, with [`ANY`] for those that the schema leaves open.
    pub(super) pattern: Vec<&'static str>,
    /// What may stand there.
    pub(super) shape: &'static Shape,
}

impl KeyPath {
    /// The path that `name` spells. A client's id may be left out: `clients.country` is the key
    /// of any client.
    ///
    /// # Errors
    /// That there is no such key, with the nearest one.
    pub(super) fn find(name: &str) -> Result<Self, String> {
        Self::root().walk(Some(name))
    }

    /// All keys with a value, in the order of `config/default.toml`.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        Self::root().collect(&mut all);
        all
    }

    /// The dotted name.
    pub(super) fn key(&self) -> String {
        self.words.join(".")
    }

    /// True if there are keys below it, and no value.
    pub(super) fn is_section(&self) -> bool {
        match self.shape {
            Shape::Section(_) | Shape::Map(_) | Shape::List(_) => true,
            Shape::Value | Shape::Secret | Shape::Url | Shape::Free => false,
        }
    }

    fn root() -> Self {
        Self { words: Vec::new(), pattern: Vec::new(), shape: &ROOT }
    }

    fn step(&self, word: &str, pattern: &'static str, shape: &'static Shape) -> Self {
        let mut next = Self { shape, ..self.clone() };
        next.words.push(word.to_owned());
        next.pattern.push(pattern);
        next
    }

    fn walk(self, rest: Option<&str>) -> Result<Self, String> {
        let Some(rest) = rest else { return Ok(self) };
        let (word, below) = match rest.split_once('.') {
            Some((word, below)) => (word, Some(below)),
            None => (rest, None),
        };
        match self.shape {
            Shape::Section(keys) => match keys.iter().find(|(key, _)| *key == word) {
                Some((key, inner)) => self.step(word, key, inner).walk(below),
                None => Err(unknown_key(&join(&self.key(), word), keys)),
            },
            Shape::Map(inner) => match self.step(rest, ANY, inner) {
                value if !value.is_section() => Ok(value),
                _ => self.step(word, ANY, inner).walk(below),
            },
            Shape::List(inner) => {
                let of_one = self.step(word, ANY, inner).walk(below);
                let is_key =
                    matches!(inner, Shape::Section(keys) if keys.iter().any(|it| it.0 == word));
                match of_one {
                    Ok(found) if !is_key || !found.is_section() => Ok(found),
                    _ if is_key => self.step(ANY, ANY, inner).walk(Some(rest)),
                    other => other,
                }
            }
            Shape::Value | Shape::Secret | Shape::Url | Shape::Free => {
                Err(format!("`{}` is a value and has no key `{rest}` in it", self.key()))
            }
        }
    }

    fn collect(self, all: &mut Vec<Self>) {
        match self.shape {
            Shape::Section(keys) => {
                for (key, inner) in *keys {
                    self.step(key, key, inner).collect(all);
                }
            }
            Shape::Map(inner) | Shape::List(inner) => self.step(ANY, ANY, inner).collect(all),
            Shape::Value | Shape::Secret | Shape::Url | Shape::Free => {
                all.push(self);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_name() {
        for (name, pattern) in [
            ("server.bind", "server.bind"),
            ("server", "server"),
            ("pools.SELF_CHECK.backoff.base", "pools.*.backoff.base"),
            ("pools.default", "pools.*"),
            ("clients.acme.country", "clients.*.country"),
            ("clients.acme", "clients.*"),
            ("clients.country", "clients.*.country"),
            ("clients.auto_send.threshold", "clients.*.auto_send.threshold"),
            ("clients.auto_send", "clients.*.auto_send"),
            // A client may have the name of a key.
            ("clients.country.country", "clients.*.country"),
            ("clients.acme.templates.Follow Up", "clients.*.templates.*"),
            ("clients.acme.templates.a.b", "clients.*.templates.*"),
            ("clients.acme.channels.sms.signature.window", "clients.*.channels.*.signature.window"),
            ("clients.acme.channels.sms.send", "clients.*.channels.*.send"),
            ("clients.acme.channels.sms.send.api_key", "clients.*.channels.*.send.api_key"),
        ] {
            let found = KeyPath::find(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(found.pattern.join("."), pattern, "{name}");
        }
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest() {
        for (name, expected) in [
            ("server.bnd", "unknown key `server.bnd`: the nearest known key is `server.bind`"),
            ("lease", "unknown key `lease`: did you mean `supervisor.lease`"),
            (
                "pools.SELF_CHECK.siz",
                "unknown key `pools.SELF_CHECK.siz`: the nearest known key is `pools.SELF_CHECK.size`",
            ),
            (
                "clients.acme.contry",
                "unknown key `clients.acme.contry`: the nearest known key is `clients.acme.country`",
            ),
            ("server.bind.port", "`server.bind` is a value and has no key `port` in it"),
        ] {
            assert_eq!(KeyPath::find(name).err().as_deref(), Some(expected));
        }
    }

    #[test]
    fn every_key_is_found_by_its_own_pattern() {
        let all = KeyPath::all();
        assert!(all.len() > 70, "{}", all.len());
        for path in all {
            let found = KeyPath::find(&path.key()).map(|it| it.pattern);
            assert_eq!(found, Ok(path.pattern));
        }
    }
}
