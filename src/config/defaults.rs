//! How a configuration differs from the compiled-in defaults.

use super::{
    ChangedKey, ConfigErrors, Loaded, Sources, client::NOT_INHERITED, loaded::difference,
    show::EffectiveValue,
};

impl Loaded {
    /// The values that are not the defaults, and the default clients that are gone. The default of
    /// a client's key is that of the client in `config/default.toml`, and that of a kind's key is
    /// the one for all kinds. What only this configuration has has no default and is always told.
    ///
    /// # Errors
    /// Never, since the defaults are valid.
    pub fn changed_from_defaults(&self) -> Result<Vec<ChangedKey>, ConfigErrors> {
        let defaults = Self::load(&Sources::default())?.values();
        Ok(changed_from(&defaults, &self.values()))
    }
}

fn changed_from(defaults: &[EffectiveValue], values: &[EffectiveValue]) -> Vec<ChangedKey> {
    let is_id = |value: &&EffectiveValue| in_client(&value.key).is_some_and(|it| it.1 == "id");
    let default_clients: Vec<&EffectiveValue> = defaults.iter().filter(is_id).collect();
    let default_of = |key: &str| {
        let same = defaults.iter().find(|value| value.key == key);
        let of_all = || defaults.iter().find(|it| inherited_by_kind(key).as_ref() == Some(&it.key));
        same.or_else(of_all).or_else(|| {
            let (_, below) = in_client(key)?;
            let (client, _) = in_client(&default_clients.first()?.key)?;
            let is_inherited = !NOT_INHERITED.contains(&below.split('.').next()?);
            let key = format!("clients.{client}.{below}");
            defaults.iter().find(|value| is_inherited && value.key == key)
        })
    };
    let changed = values.iter().filter_map(|value| difference(default_of(&value.key), Some(value)));
    let has = |key: &str| values.iter().any(|value| value.key == key);
    let gone = default_clients.iter().filter(|value| !has(&value.key));
    changed.chain(gone.filter_map(|value| difference(Some(value), None))).collect()
}

/// The client of a key, and the rest of the key.
pub(super) fn in_client(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("clients.")?.split_once('.')
}

/// The key of `[pools.default]` whose value a kind has if it does not set `key` itself.
pub fn inherited_by_kind(key: &str) -> Option<String> {
    let (_, below) = key.strip_prefix("pools.")?.split_once('.')?;
    Some(format!("pools.default.{below}"))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sources, *};

    /// `KEY: DEFAULT -> VALUE` of each change.
    fn changed(toml: &str) -> Vec<String> {
        let (sources, _dir) = sources(toml, &[]);
        let changed = Loaded::load(&sources).and_then(|it| it.changed_from_defaults());
        let text = |change: ChangedKey| {
            let side = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            format!("{}: {} -> {}", change.key, side(change.old), side(change.new))
        };
        changed.expect("valid").into_iter().map(text).collect()
    }

    #[test]
    fn only_values_that_differ_from_the_defaults_are_told() {
        assert_eq!(changed(""), [""; 0]);
        assert_eq!(
            changed("[ingest]\nqueue = 4096\nbatch_max = 7\n"),
            ["ingest.batch_max: 1000 -> 7"]
        );
        assert_eq!(
            changed("[pools.SELF_CHECK]\nsize = 9\npaused = false\n"),
            ["pools.SELF_CHECK.size: 8 -> 9"]
        );
        assert_eq!(
            changed("[admin]\ntoken = \"a-token-of-24-characters\"\n"),
            ["admin.token: \"\" -> \"***\""]
        );
        assert_eq!(changed("clients = []"), ["clients.demo.id: \"demo\" -> -"]);
        let client = "[[clients]]\nid = \"acme\"\ncountry = \"DE\"\nmax_running = 0\n[clients.channels.sms]\n";
        assert_eq!(
            changed(client),
            [
                "clients.acme.id: - -> \"acme\"",
                "clients.acme.country: \"\" -> \"DE\"",
                "clients.acme.channels.sms: - -> {}",
                "clients.demo.id: \"demo\" -> -",
            ]
        );
    }
}
