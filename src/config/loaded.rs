//! One load of all layers, and what changes if it takes the place of the load that runs.

use super::{
    Config, DEFAULT, DEFAULT_NAME, DEFAULT_PLACE, Sources, client,
    defaults::{in_client, inherited_by_kind},
    env,
    error::{ConfigError, ConfigErrors, Errors, Expected},
    files::read_bounded,
    layers::{self, Table, TreeNode},
    read, references, relations,
    schema::{self, Applies, ROOT, Shape, join},
    show::{self, EffectiveValue},
    warnings,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// The sections that may differ from node to node: addresses, connections and logs.
const OF_A_MACHINE: [&str; 3] = ["server.", "database.", "telemetry."];
/// The hex digits of a hash that people see.
const HASH_DIGITS: usize = 12;

/// A valid configuration, with every value as it was written and the files that it came from.
#[derive(Clone)]
pub struct Loaded {
    /// The configuration, without overrides of pools.
    pub config: Config,
    table: Table,
    /// The layers that it was read from.
    sources: Arc<Sources>,
    files: FilesRead,
    hash: String,
    shared_hash: String,
    /// What is expected of each key that was read.
    expected: Arc<BTreeMap<String, Expected>>,
}

/// The files of a load.
#[derive(Clone, Default)]
struct FilesRead {
    /// Those that were read, and those that would have been if they existed.
    paths: Vec<PathBuf>,
    /// The layers that were read.
    layers: Vec<PathBuf>,
    /// Those of them that set something.
    with_values: Vec<PathBuf>,
    /// SHA-256 of the content of each file in [`NAMED_FILES`], by the key that names it.
    contents: BTreeMap<&'static str, [u8; 32]>,
    /// The keys that files set in vain.
    overruled: Vec<OverruledKey>,
}

/// A key that a file sets in vain, because a variable sets it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverruledKey {
    /// The dotted key.
    pub key: String,
    /// The place in the file.
    pub origin: String,
    /// The variable that wins.
    pub by: String,
    /// SHA-256 of the file's value.
    digest: [u8; 32],
}

/// The keys whose values are paths of files that others read: they change with their content.
const NAMED_FILES: [(&str, [&str; 3]); 2] =
    [("server.tls.cert", ["server", "tls", "cert"]), ("server.tls.key", ["server", "tls", "key"])];
/// The most bytes of such a file that are compared.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

/// A key whose value differs between two loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedKey {
    /// The dotted key.
    pub key: String,
    /// The value before, in TOML, secrets as `"***"`; `None` if there was none.
    pub old: Option<String>,
    /// The value after: `changed` if both are secrets, `added` or `removed` for a whole client;
    /// `None` if there is none.
    pub new: Option<String>,
    /// When the change takes effect.
    pub applies: Applies,
    /// The place of the new value; of the old one if the key is gone.
    pub origin: String,
}

/// What changes if a load takes the place of the one that runs.
#[derive(Clone, Debug)]
pub struct ConfigChange {
    /// What would run: the values of the new load, except for those that need a restart.
    pub loaded: Loaded,
    /// The keys whose change takes effect.
    pub changed: Vec<ChangedKey>,
    /// The keys that keep their value until a restart.
    pub pending: Vec<ChangedKey>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Loaded {
    /// Loads and checks all layers.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first thing.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        Self::load_shared(Arc::new(sources.clone()))
    }

    /// Loads the same layers again.
    ///
    /// # Errors
    /// As [`Loaded::load`].
    pub fn load_again(&self) -> Result<Self, ConfigErrors> {
        Self::load_shared(self.sources.clone())
    }

    fn load_shared(sources: Arc<Sources>) -> Result<Self, ConfigErrors> {
        let errors = Errors::default();
        let (table, files) = read_layers(&sources, &errors);
        Self::check(table, sources, files, errors)
    }

    /// The files that [`Loaded::load_again`] would read now, or look for, even if they are wrong.
    pub fn read_paths_now(&self) -> Vec<PathBuf> {
        let errors = Errors::default();
        let all = all_layers(&self.sources, &self.sources.layers(), &errors);
        fetch_references(&mut merged(all), &self.sources, &errors).paths
    }

    /// Hex digits that are equal for two loads only if all their values are.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Hex digits that are equal for two loads only if all values are that all nodes should have in
    /// common: sections that belong to a machine do not count.
    pub fn shared_hash(&self) -> &str {
        &self.shared_hash
    }

    /// The files that were read, and those that would have been if they existed. A change in one of
    /// them may change the configuration.
    pub fn read_paths(&self) -> &[PathBuf] {
        &self.files.paths
    }

    /// The files that were read as layers.
    pub fn files_read(&self) -> &[PathBuf] {
        &self.files.layers
    }

    /// Those of them that set something.
    pub fn files_with_values(&self) -> &[PathBuf] {
        &self.files.with_values
    }

    /// The keys that files set in vain.
    pub fn overruled(&self) -> &[OverruledKey] {
        &self.files.overruled
    }

    /// True if each value was written at the same place as in `other`.
    pub fn has_places_of(&self, other: &Self) -> bool {
        self.config.origins == other.config.origins
    }

    /// Every value with its origin, secrets masked, in the order of `config/default.toml`.
    pub fn values(&self) -> Vec<EffectiveValue> {
        values_of(&self.table, &self.files)
    }

    /// The layers that it was read from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// What is expected of each key that was read, by dotted key.
    pub(super) fn expected_by_key(&self) -> &BTreeMap<String, Expected> {
        &self.expected
    }

    /// What would change if `next` took the place of `running`. Keys that need a restart keep the
    /// value of `running`, and relations are checked between the values that would then run.
    ///
    /// # Errors
    /// If these values do not fit together, although those of `next` do.
    pub fn plan(running: &Self, next: Self) -> Result<ConfigChange, ConfigErrors> {
        let next_values = next.values();
        let mut table = next.table;
        keep_until_restart(&ROOT, "", &mut table, &running.table);
        let loaded = Self::check(table, next.sources, next.files, Errors::default());
        match loaded {
            Ok(loaded) => {
                let would_run = loaded.values();
                let changed = differences(&running.values(), &would_run);
                let pending = differences(&would_run, &next_values);
                Ok(ConfigChange { loaded, changed, pending })
            }
            Err(errors) => {
                let pending = differences(&running.values(), &next_values);
                Err(with_way_out(errors, &pending))
            }
        }
    }

    fn check(
        table: Table,
        sources: Arc<Sources>,
        files: FilesRead,
        errors: Errors,
    ) -> Result<Self, ConfigErrors> {
        let mut config = read(&table, &errors);
        if let Some(config) = &mut config {
            relations::check(config, &table, &errors);
            warnings::check(config, &table, &sources.env, &errors);
            config.warnings = errors.take_warnings();
        }
        let expected = errors.take_expected();
        match errors.or(config)? {
            Some(mut config) => {
                let values = values_of(&table, &files);
                let hash = hash_of(&values);
                let is_shared = |value: &&EffectiveValue| {
                    !OF_A_MACHINE.iter().any(|it| value.key.starts_with(it))
                };
                let shared_hash = hash_of(values.iter().filter(is_shared));
                let origins = values.into_iter().map(|value| (value.key, value.origin));
                config.origins = Arc::new(origins.collect());
                let expected = expected.into();
                Ok(Self { config, table, sources, files, hash, shared_hash, expected })
            }
            // `read` gives `None` only after it has noted an error, so this is not reached.
            None => Err(ConfigErrors(vec![ConfigError {
                origin: None,
                key: None,
                message: "the configuration cannot be read".to_owned(),
            }])),
        }
    }
}

/// The layers as they are written, the lowest first: the defaults, each of `files`, each
/// environment variable. Checks each for unknown keys.
pub(super) fn all_layers(sources: &Sources, files: &[PathBuf], errors: &Errors) -> Vec<Table> {
    let mut all = vec![layers::parse(DEFAULT_NAME, DEFAULT, true, errors)];
    for path in files {
        let layer = layers::read_file(path, errors);
        schema::check_keys(&ROOT, &layer, "", errors);
        all.push(layer);
    }
    let variables = env::layers(&merged(all.clone()), &sources.env, errors);
    all.extend(variables);
    all
}

/// The layers merged, a later one over an earlier one.
pub(super) fn merged(layers: Vec<Table>) -> Table {
    let mut table = Table::new();
    for layer in layers {
        layers::merge(&mut table, layer);
    }
    table
}

/// Reads all layers, merges them, and fetches what they refer to. Returns the table with its files.
fn read_layers(sources: &Sources, errors: &Errors) -> (Table, FilesRead) {
    let layers = sources.layers();
    let all = all_layers(sources, &layers, errors);
    let of_paths = layers.iter().zip(all.iter().skip(1));
    let with_values =
        of_paths.filter(|(_, layer)| !layer.is_empty()).map(|(path, _)| path.clone()).collect();
    let default_clients = all.first().and_then(|it| it.get("clients")).cloned();
    let is_variable = |layer: &Table| layer.values().any(|node| node.origin.is_variable());
    let of_files: Vec<Table> = all.iter().filter(|layer| !is_variable(layer)).cloned().collect();
    let has_variables = of_files.len() < all.len();
    let mut table = merged(all);
    let overruled = match has_variables {
        true => overruled(show::effective(&merged(of_files)), &show::effective(&table)),
        false => Vec::new(),
    };
    let files = fetch_references(&mut table, sources, errors);
    if let Some(clients) = table.get_mut("clients") {
        client::inherit(clients, default_clients.as_ref());
    }
    (table, FilesRead { layers, with_values, overruled, ..files })
}

/// Fetches what the merged layers refer to. Returns the files that are named.
fn fetch_references(table: &mut Table, sources: &Sources, errors: &Errors) -> FilesRead {
    let mut files = FilesRead { paths: sources.wanted(), ..FilesRead::default() };
    references::files(table, &mut files.paths);
    references::resolve(table, "", &sources.env, errors);
    files.read_named(table);
    files
}

/// The values of files that are not among all values, because a variable took their place.
fn overruled(in_files: Vec<EffectiveValue>, all: &[EffectiveValue]) -> Vec<OverruledKey> {
    let winners: BTreeMap<&str, &EffectiveValue> =
        all.iter().map(|value| (value.key.as_str(), value)).collect();
    let of_files = in_files.into_iter().filter(|value| value.origin != DEFAULT_PLACE);
    let key = |value: EffectiveValue| {
        let winner = winners.get(value.key.as_str());
        if winner.is_some_and(|it| it.origin == value.origin) {
            return None;
        }
        // A variable that sets a whole list need not have the same keys in it.
        let by =
            winner.map_or_else(|| "an environment variable".to_owned(), |it| it.origin.clone());
        Some(OverruledKey { key: value.key, origin: value.origin, by, digest: value.digest })
    };
    of_files.filter_map(key).collect()
}

impl FilesRead {
    /// Adds the files that values of `table` name.
    fn read_named(&mut self, table: &Table) {
        for (key, [section, inner, name]) in NAMED_FILES {
            let inner =
                table.get(section).and_then(TreeNode::as_table).and_then(|it| it.get(inner));
            let path = inner.and_then(TreeNode::as_table).and_then(|it| it.get(name)?.as_text());
            let Some(path) = path.filter(|path| !path.is_empty()).map(PathBuf::from) else {
                continue;
            };
            // The part that uses the file says what is wrong with it.
            if let Ok(found) = read_bounded(&path, CONTENT_BYTES_MAX) {
                self.contents.insert(key, Sha256::digest(found.text).into());
            }
            self.paths.push(path);
        }
    }
}

/// Every value with its origin. One that names a file differs if the content does.
fn values_of(table: &Table, files: &FilesRead) -> Vec<EffectiveValue> {
    let mut values = show::effective(table);
    for value in &mut values {
        if let Some(content) = files.contents.get(value.key.as_str()) {
            value.digest =
                Sha256::new().chain_update(value.digest).chain_update(content).finalize().into();
        }
    }
    values
}

/// Puts the values of `running` in the place of those of `next` that need a restart.
fn keep_until_restart(shape: &Shape, path: &str, next: &mut Table, running: &Table) {
    // Lists and maps hold no key that needs a restart.
    let Shape::Section(known) = shape else { return };
    for (key, inner) in *known {
        let path = join(path, key);
        if let Shape::Section(_) = inner {
            let running = running.get(*key).and_then(TreeNode::as_table);
            if let (Some(next), Some(running)) =
                (next.get_mut(*key).and_then(TreeNode::as_table_mut), running)
            {
                keep_until_restart(inner, &path, next, running);
            }
        } else if schema::applies(&path) == Applies::Restart {
            match running.get(*key) {
                Some(node) => next.insert((*key).to_owned(), node.clone()),
                None => next.remove(*key),
            };
        }
    }
}

/// The keys whose values differ. What a kind does not set itself is compared as it is in force; a
/// client that comes or goes is one change.
fn differences(old: &[EffectiveValue], new: &[EffectiveValue]) -> Vec<ChangedKey> {
    let by_key = |values: &[EffectiveValue]| -> BTreeMap<String, EffectiveValue> {
        values.iter().map(|value| (value.key.clone(), value.clone())).collect()
    };
    let (old_by_key, new_by_key) = (by_key(old), by_key(new));
    // In the order of the new load, followed by the keys that are gone.
    let gone = old.iter().filter(|value| !new_by_key.contains_key(&value.key));
    let change = |value: &EffectiveValue| {
        let in_force = |values: &BTreeMap<String, EffectiveValue>| {
            let own = values.get(&value.key);
            own.or_else(|| values.get(&inherited_by_kind(&value.key)?)).cloned()
        };
        if let Some((client, below)) = in_client(&value.key) {
            let id = format!("clients.{client}.id");
            let (was, is) = (old_by_key.contains_key(&id), new_by_key.contains_key(&id));
            if was != is {
                return (below == "id").then(|| ChangedKey {
                    key: format!("clients.{client}"),
                    old: None,
                    new: Some(if is { "added" } else { "removed" }.to_owned()),
                    applies: value.applies,
                    origin: value.origin.clone(),
                });
            }
        }
        let change = difference(in_force(&old_by_key).as_ref(), in_force(&new_by_key).as_ref())?;
        Some(ChangedKey { key: value.key.clone(), ..change })
    };
    new.iter().chain(gone).filter_map(change).collect()
}

/// How one key differs. `None` if both values are the same.
pub(super) fn difference(
    old: Option<&EffectiveValue>,
    new: Option<&EffectiveValue>,
) -> Option<ChangedKey> {
    let shown = new.or(old)?;
    if old.map(|value| &value.digest) == new.map(|value| &value.digest) {
        return None;
    }
    let is_masked_in_both = old.map(|value| &value.value) == new.map(|value| &value.value);
    let new = new.map(|value| value.value.clone());
    Some(ChangedKey {
        key: shown.key.clone(),
        old: old.map(|value| value.value.clone()),
        new: if is_masked_in_both { Some("changed".to_owned()) } else { new },
        applies: shown.applies,
        origin: shown.origin.clone(),
    })
}

/// The errors of values that fit together in the files and not with what runs. Names the keys that
/// need a restart.
fn with_way_out(mut errors: ConfigErrors, changed: &[ChangedKey]) -> ConfigErrors {
    let kept: Vec<String> = changed
        .iter()
        .filter(|change| change.applies == Applies::Restart)
        .map(|change| format!("`{}`", change.key))
        .collect();
    for error in &mut errors.0 {
        error.message.push_str(&format!(
            "; the running daemon keeps {} until it is restarted: restart it to apply these files",
            kept.join(", ")
        ));
    }
    errors
}

fn hash_of<'a>(values: impl IntoIterator<Item = &'a EffectiveValue>) -> String {
    let mut all = Sha256::new();
    for value in values {
        all.update(value.key.as_bytes());
        all.update([0]);
        all.update(value.digest);
    }
    let mut hex = format!("{:x}", all.finalize());
    hex.truncate(HASH_DIGITS);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::NOT_LIVE;

    fn load(toml: &str) -> Result<Loaded, ConfigErrors> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("c.toml");
        std::fs::write(&file, toml).expect("a file");
        Loaded::load(&Sources { files: vec![file], ..Sources::default() })
    }

    fn loaded(toml: &str) -> Loaded {
        load(toml).unwrap_or_else(|errors| panic!("{toml}: {errors}"))
    }

    fn keys(changed: &[ChangedKey]) -> Vec<&str> {
        changed.iter().map(|it| it.key.as_str()).collect()
    }

    #[test]
    fn keys_that_need_a_restart_keep_their_value_and_are_pending() {
        let running = loaded("server = { workers = 1, body_limit = \"1MiB\" }");
        let next = loaded("server = { workers = 2, body_limit = \"2MB\" }");
        let change = Loaded::plan(&running, next).expect("a change");
        assert_eq!(keys(&change.changed), ["server.body_limit"]);
        assert_eq!(keys(&change.pending), ["server.workers"]);
        let config = &change.loaded.config;
        assert_eq!((config.server.workers, config.server.body_limit), (1, 2_000_000));
        let [pending] = change.pending.as_slice() else { panic!("{:?}", change.pending) };
        assert_eq!((pending.old.as_deref(), pending.new.as_deref()), (Some("1"), Some("2")));
        // The next load still finds it pending, and a load with the old value ends that.
        let again = loaded("server = { workers = 2, body_limit = \"2MB\" }");
        let again = Loaded::plan(&change.loaded, again).expect("a change");
        assert_eq!((keys(&again.changed), keys(&again.pending)), (vec![], vec!["server.workers"]));
        let back = loaded("server = { workers = 1, body_limit = \"2MB\" }");
        let back = Loaded::plan(&change.loaded, back).expect("a change");
        assert_eq!((keys(&back.changed), keys(&back.pending)), (vec![], vec![]));
    }

    #[test]
    fn a_file_that_binds_to_loopback_opens_no_channel_of_a_public_daemon() {
        let with = |bind: &str, channel: &str| {
            format!(
                "[server]\nbind = \"{bind}\"\n[[clients]]\nid = \"a\"\n[clients.channels.sms]\n{channel}\n"
            )
        };
        let running = loaded(&with("0.0.0.0:8080", "secret = \"0123456789abcdef\""));
        let next = loaded(&with("127.0.0.1:8080", ""));
        let errors = Loaded::plan(&running, next).expect_err("refused");
        let text = errors.to_string();
        assert!(text.contains("clients.a.channels.sms"), "{text}");
        assert!(text.contains("keeps `server.bind` until it is restarted"), "{text}");
    }

    #[test]
    fn a_changed_secret_is_told_without_its_value() {
        let with = |secret: &str| {
            let channel = format!("[clients.channels.sms]\nsecret = \"{secret}\"");
            loaded(&format!("[[clients]]\nid = \"a\"\n{channel}\n"))
        };
        let change = Loaded::plan(&with("0123456789abcdef"), with("fedcba9876543210"));
        let change = change.expect("a change");
        let [secret] = change.changed.as_slice() else { panic!("{:?}", change.changed) };
        assert_eq!(secret.key, "clients.a.channels.sms.secret");
        assert_eq!(secret.old.as_deref(), Some("\"***\""));
        assert_eq!(secret.new.as_deref(), Some("changed"));
        let shown = format!("{change:?}");
        assert!(!shown.contains("0123456789abcdef") && !shown.contains("fedcba"), "{shown}");
    }

    #[test]
    fn the_hash_is_of_the_values_and_of_nothing_else() {
        let of = |toml: &str| loaded(toml).hash().to_owned();
        let plain = of("[pools.default]\nsize = 4\n");
        assert_eq!(plain.len(), HASH_DIGITS);
        assert_eq!(plain, of("# a comment\n\n[pools]\ndefault.size = 4"));
        assert_ne!(plain, of("[pools.default]\nsize = 5\n"));
        assert_ne!(
            of("admin.token = \"a23456789012345678901234\""),
            of("admin.token = \"b23456789012345678901234\"")
        );
    }

    #[test]
    fn a_client_that_comes_or_goes_is_one_change() {
        let one = loaded("[[clients]]\nid = \"a\"\n");
        let two = loaded("[[clients]]\nid = \"a\"\n[[clients]]\nid = \"b\"\n");
        let come = Loaded::plan(&one, two.clone()).expect("a change").changed;
        let told = |changed: &[ChangedKey]| -> Vec<String> {
            let new = |it: &ChangedKey| it.new.clone().unwrap_or_default();
            changed.iter().map(|it| format!("{} {}", it.key, new(it))).collect()
        };
        assert_eq!(told(&come), ["clients.b added"]);
        let gone = Loaded::plan(&two, one).expect("a change").changed;
        assert_eq!(told(&gone), ["clients.b removed"]);
    }

    #[test]
    fn what_a_kind_does_not_set_is_told_with_the_value_in_force() {
        let (none, own) = (loaded(""), loaded("pools.SELF_CHECK = { size = 16, paused = false }"));
        let of = |old: &Loaded, new: &Loaded| {
            let changed = Loaded::plan(old, new.clone()).expect("a change").changed;
            let [size] = changed.as_slice() else { panic!("{changed:?}") };
            assert_eq!(size.key, "pools.SELF_CHECK.size");
            (size.old.clone().unwrap_or_default(), size.new.clone().unwrap_or_default())
        };
        assert_eq!(of(&none, &own), ("8".to_owned(), "16".to_owned()));
        assert_eq!(of(&own, &none), ("16".to_owned(), "8".to_owned()));
    }

    #[test]
    fn a_file_that_a_variable_overrules_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.toml");
        std::fs::write(&file, "server.workers = 2\n[ingest]\nqueue = 9").expect("a file");
        let env = vec![("POSTROOM__INGEST__QUEUE".to_owned(), "7".to_owned())];
        let sources = Sources { files: vec![file.clone()], env, ..Sources::default() };
        let one = Loaded::load(&sources).expect("valid");
        let told: Vec<_> =
            one.overruled().iter().map(|it| (&*it.key, &*it.origin, &*it.by)).collect();
        let place = format!("{}:3", file.display());
        let by = "environment variable POSTROOM__INGEST__QUEUE";
        assert_eq!(told, [("ingest.queue", &*place, by)]);
        std::fs::write(&file, "server.workers = 2\n[ingest]\nqueue = 8").expect("a file");
        let two = one.load_again().expect("valid");
        assert_eq!(two.hash(), one.hash());
        assert_ne!(two.overruled(), one.overruled());
    }

    #[test]
    fn a_named_file_is_told_and_its_content_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let (cert, key) = (directory.path().join("cert"), directory.path().join("key"));
        let text = format!(
            "server.tls = {{ cert = \"{}\", key = \"{}\" }}",
            cert.display(),
            key.display()
        );
        std::fs::write(&cert, "one").expect("a file");
        let file = directory.path().join("c.toml");
        std::fs::write(&file, text).expect("a file");
        let sources = Sources { files: vec![file], ..Sources::default() };
        let one = Loaded::load(&sources).expect("valid");
        assert!(one.read_paths().contains(&cert) && one.read_paths().contains(&key));
        assert_eq!(one.load_again().expect("valid").hash(), one.hash());
        std::fs::write(&cert, "two").expect("a file");
        let two = one.load_again().expect("valid");
        assert_ne!(two.hash(), one.hash());
        let change = Loaded::plan(&one, two).expect("a change");
        let changed: Vec<_> =
            change.changed.iter().map(|it| (it.key.as_str(), it.new.as_deref())).collect();
        assert_eq!(changed, [("server.tls.cert", Some("changed"))]);
        assert!(change.pending.is_empty());
    }

    #[test]
    fn nodes_may_differ_in_what_belongs_to_a_machine() {
        let one = loaded("");
        let of_machine = "[server]\nbind = \"127.0.0.1:1\"\n[database]\nmax_connections = 5\n";
        assert_eq!(loaded(of_machine).shared_hash(), one.shared_hash());
        assert_ne!(loaded(of_machine).hash(), one.hash());
        assert_ne!(loaded("pools.default.size = 9").shared_hash(), one.shared_hash());
    }

    #[test]
    fn the_files_of_references_are_told_also_if_they_are_missing() {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = directory.path().join("secret");
        std::fs::write(&secret, "0123456789abcdef01234567").expect("a file");
        let name = secret.display();
        let loaded = loaded(&format!("admin.token = {{ file = \"{name}\" }}"));
        assert!(loaded.read_paths().contains(&secret), "{:?}", loaded.read_paths());
        let local = Loaded::load(&Sources { has_local: true, ..Sources::default() });
        let local = local.expect("valid");
        assert_eq!(local.read_paths(), [PathBuf::from("config/local.toml")]);
    }

    #[test]
    fn every_key_that_is_not_live_exists() {
        let all = loaded("").values();
        for (pattern, _) in NOT_LIVE {
            let is_known = all.iter().any(|value| {
                let applies = schema::applies(&value.key);
                let first = pattern.split('*').next().unwrap_or_default();
                value.key.starts_with(first) && applies != Applies::Live
            });
            assert!(is_known, "{pattern}");
        }
    }
}
