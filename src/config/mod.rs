//! The configuration: `config/default.toml`, then each `--config` file in order, then the
//! environment. A later layer overrides an earlier one.
//!
//! A configuration is loaded and checked as a whole. All errors are reported at once, each with
//! the place where the value was written. A [`Config`] that exists is valid. Only
//! [`Sources::from_process`] reads the process, and only [`Live`] keeps state: the configuration
//! that applies now. A reload is another [`Config::load`].
//!
//! The steps: `layers` reads the files and merges them with origins, `env` adds the environment
//! variables, `references` fetches values that are kept elsewhere, `schema` knows the keys,
//! `reader` turns values into types, `sections` and `client` check them, `relations` checks them
//! against each other, `warnings` notes what is allowed but unsafe. `channel_settings` checks what
//! depends on the channels, which the registry brings when the configuration is there.

mod access;
mod analyst;
mod channel;
mod channel_settings;
mod client;
mod database_url;
mod defaults;
mod descriptions;
mod env;
mod error;
mod explanation;
mod files;
mod hours;
mod key_path;
mod layers;
mod live;
mod loaded;
mod masking;
mod reach;
mod reader;
mod references;
mod relations;
mod schema;
mod sections;
mod send_settings;
mod show;
mod signing;
mod strength;
mod users;
mod value;
mod warnings;

#[cfg(test)]
mod openings_tests;
#[cfg(test)]
mod secrets_tests;
#[cfg(test)]
mod tests;

pub use self::{
    access::DaemonAccess,
    analyst::{AnalystConfig, AnalystFallback, AnalystProvider},
    channel::{ClientChannel, Signature, SignatureScheme},
    client::{AutoSend, Client, Schedule},
    database_url::DatabaseUrl,
    defaults::inherited_by_kind,
    error::{ConfigError, ConfigErrors, ConfigWarning, Expected},
    explanation::{KeyExplanation, KnownKey, LayerValue, known_keys},
    live::Live,
    loaded::{ChangedKey, ConfigChange, Loaded, OverruledKey},
    schema::{Applies, nearest},
    sections::{
        AdminConfig, AlertsConfig, DatabaseConfig, IngestConfig, LogFormat, POOL_SIZES, PoolConfig,
        Pooler, Pools, QuarantineBound, RestartConfig, Retention, SendingConfig, ServerConfig,
        SupervisorConfig, TRACE_ID, TelemetryConfig, TlsConfig,
    },
    send_settings::SendSettings,
    show::EffectiveValue,
    signing::{PUBLISHED_ED25519, PUBLISHED_RSA, PublicKey, PublicKeyKind, SigningSecret},
    users::AdminUser,
    value::{Network, Rate, Secret},
};

use self::{
    error::Errors,
    layers::{Origin, Table, TreeNode},
    loaded::merged,
    reader::SectionReader,
};
use crate::domain::{ChannelFacts, JobKind, PoolOverride};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The lowest layer. Compiled in, so that the documented file is what applies.
const DEFAULT: &str = include_str!("../../config/default.toml");
/// The place of a value of `config/default.toml`, which is compiled in.
const DEFAULT_PLACE: &str = "the default";
const DEFAULT_NAME: &str = "config/default.toml";
/// Read if it exists, unless `--config` files are given.
const LOCAL: &str = "config/local.toml";

/// The layers of a configuration above the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// TOML files, a later one over an earlier one. Each must exist.
    pub files: Vec<PathBuf>,
    /// True if `config/local.toml` is read after them if it exists. It may appear or vanish between
    /// two loads.
    pub has_local: bool,
    /// Environment variables: `POSTROOM__…` set keys, and `{ env = "NAME" }` may refer to any.
    pub env: Vec<(String, String)>,
}

impl Sources {
    /// These files and the environment of this process. Without files, `config/local.toml` is used
    /// if it exists.
    pub fn from_process(files: Vec<PathBuf>) -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let env = std::env::vars_os().filter_map(utf8).collect();
        Self { has_local: files.is_empty(), files, env }
    }

    /// The files that are there to read now, in order.
    pub fn layers(&self) -> Vec<PathBuf> {
        let local = Path::new(LOCAL);
        // If the system does not say whether it is there, reading it tells why.
        let has_local = self.has_local && local.try_exists().unwrap_or(true);
        self.files.iter().cloned().chain(has_local.then(|| local.to_owned())).collect()
    }

    /// The files that are read, or would be if they existed.
    pub fn wanted(&self) -> Vec<PathBuf> {
        self.files.iter().cloned().chain(self.has_local.then(|| LOCAL.into())).collect()
    }
}

/// A valid configuration. It cannot be made otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// The database and its connections.
    pub database: DatabaseConfig,
    /// How webhooks are committed.
    pub ingest: IngestConfig,
    /// How jobs are claimed, and how long a claim holds.
    pub supervisor: SupervisorConfig,
    /// How the jobs of each kind are run.
    pub pools: Pools,
    /// How actors that panic are replaced.
    pub restart: RestartConfig,
    /// Whether replies are sent.
    pub sending: SendingConfig,
    /// What classifies messages, scores leads and drafts answers.
    pub analyst: AnalystConfig,
    /// How long rows are kept.
    pub retention: Retention,
    /// The admin API and its token.
    pub admin: AdminConfig,
    /// Logs and spans.
    pub telemetry: TelemetryConfig,
    /// Where alerts are told.
    pub alerts: AlertsConfig,
    /// The tenants, in the order of the configuration.
    pub clients: Vec<Client>,
    /// Index in `clients`, by client id.
    client_by_id: HashMap<String, usize>,
    /// Names of kinds and channels from the layers above the defaults, for [`Config::check_kinds`]
    /// and [`Config::check_channels`].
    named: Vec<Named>,
    /// In the order in which they were found.
    warnings: Vec<ConfigWarning>,
    /// The place of every value, by its dotted key.
    origins: Arc<HashMap<String, String>>,
}

/// The name of a job kind or a channel in a configuration file or variable. Only the registry knows
/// whether it exists.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    /// The dotted key that holds it, such as `pools.SELF_CHECK`.
    key: String,
    origin: Origin,
    what: NamedThing,
    /// The keys below it, as far as two levels down (`account`, `send`, `send.api_key`).
    keys: BTreeMap<String, Origin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NamedThing {
    Job,
    Channel,
}

impl Config {
    /// Loads and checks a configuration.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first thing.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        Loaded::load(sources).map(|loaded| loaded.config)
    }

    /// Every value with its origin, secrets masked; for `postroom config show`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn effective(sources: &Sources) -> Result<Vec<EffectiveValue>, ConfigErrors> {
        Loaded::load(sources).map(|loaded| loaded.values())
    }

    /// What is allowed but unsafe; for `postroom config check` and the log at start.
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }

    /// The place of a value: `FILE:LINE`, or the environment variable. `None` if the configuration
    /// has no such key. A client's keys are `clients.ID.…`.
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str)
    }

    /// The same configuration with `overrides` in the place of all overrides of pools.
    #[must_use]
    pub fn with_overrides(&self, overrides: Vec<PoolOverride>) -> Self {
        let mut config = self.clone();
        config.pools.set_overrides(overrides);
        config
    }

    /// The client with this id.
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.client_by_id.get(id).and_then(|index| self.clients.get(*index))
    }

    /// True if only this machine can reach the daemon: it listens on a loopback address, and no
    /// setting says that something forwards to it. A forwarder that the configuration does not
    /// mention is not known here; it shows by the headers of its requests.
    pub fn is_local_only(&self) -> bool {
        reach::is_local_only(&self.server)
    }

    /// How many groups of webhooks each channel commits at the same time: `ingest.commit_lanes`, or
    /// the database's best number if that is 0.
    ///
    /// SQLite has one writer. PostgreSQL stores half as much again with two lanes as with one, and
    /// no more with four (docs/PERFORMANCE.md).
    pub fn commit_lanes(&self) -> usize {
        match self.ingest.commit_lanes {
            0 if self.database.url.is_sqlite() => 1,
            0 => 2,
            lanes => lanes,
        }
    }

    /// How many jobs of each client may run at once: its own `max_running`, else
    /// `supervisor.max_running_per_client`. Keyed by client id, without clients that have no cap.
    pub fn caps(&self) -> BTreeMap<String, u32> {
        let cap_of = |client: &Client| match client.max_running {
            0 => self.supervisor.max_running_per_client,
            own => own,
        };
        let caps = self.clients.iter().map(|client| (client.id.clone(), cap_of(client)));
        caps.filter(|(_, cap)| *cap > 0).collect()
    }

    /// Checks that every `[pools.KIND]` names one of `kinds`. Sections of the compiled-in defaults
    /// are not checked: they may describe a kind before this binary has it.
    ///
    /// # Errors
    /// Each unknown name, with the nearest known one.
    pub fn check_kinds(&self, kinds: &[JobKind]) -> Result<(), ConfigErrors> {
        let known: Vec<&str> = kinds.iter().map(|it| it.0).collect();
        self.unknown_names(NamedThing::Job, "job kind", &known).or(())
    }

    /// Checks that every channel of a client is one of `channels`, has no settings that only others
    /// have, and has what sending through it needs.
    ///
    /// # Errors
    /// As [`Config::check_kinds`].
    pub fn check_channels(&self, channels: &[ChannelFacts]) -> Result<(), ConfigErrors> {
        let known: Vec<&str> = channels.iter().map(|it| it.name.0).collect();
        let errors = self.unknown_names(NamedThing::Channel, "channel", &known);
        for named in self.named.iter().filter(|named| named.what == NamedThing::Channel) {
            if let Some(channel) = channels.iter().find(|it| it.name.0 == named.name) {
                channel_settings::check(named, channel, channels, &errors);
            }
        }
        errors.or(())
    }

    /// The errors about names that are not known.
    fn unknown_names(&self, what: NamedThing, word: &str, known: &[&str]) -> Errors {
        let errors = Errors::default();
        let of_kind = self.named.iter().filter(|named| named.what == what);
        for named in of_kind.filter(|named| !known.contains(&named.name.as_str())) {
            let message = schema::unknown_name(word, &named.name, &named.key, known);
            errors.push(Some(&named.origin), &named.key, message);
        }
        errors
    }
}

/// Reads the sections. `None` if one is missing or the database's URL cannot be read; `errors` then
/// holds the reason.
fn read(table: &Table, errors: &Errors) -> Option<Config> {
    let root = SectionReader { path: String::new(), table, errors };
    let server = sections::server(&root.section("server")?);
    let clients = table.get("clients");
    // If one of these keys cannot be read, it is not known who can reach the daemon. Then no
    // channel is reported as open.
    let keys = ["server.bind", "server.public_url", "server.trusted_proxies"];
    let is_known = !keys.into_iter().any(|key| errors.has(key));
    let opening = reach::opening(&server).filter(|_| is_known);
    let clients = clients.map(|list| client::clients(list, opening, errors)).unwrap_or_default();
    // All sections are read before the first `?`, so that the errors of all of them are noted.
    let database = root.section("database").and_then(|it| sections::database(&it));
    let ingest = root.section("ingest").map(|it| sections::ingest(&it));
    let supervisor = root.section("supervisor").map(|it| sections::supervisor(&it));
    let pools = root.section("pools").map(|it| sections::pools(&it));
    let restart = root.section("restart").map(|it| sections::restart(&it));
    let sending = root.section("sending").map(|it| sections::sending(&it));
    let analyst = root.section("analyst").map(|it| analyst::analyst(&it));
    let retention = root.section("retention").map(|it| sections::retention(&it));
    let admin = root.section("admin").map(|it| sections::admin(&it, &clients));
    let telemetry = root.section("telemetry").map(|it| sections::telemetry(&it));
    let alerts = root.section("alerts").map(|it| sections::alerts(&it));
    let by_id = clients.iter().enumerate().map(|(index, client)| (client.id.clone(), index));
    Some(Config {
        client_by_id: by_id.collect(),
        named: named(table),
        server,
        database: database?,
        ingest: ingest?,
        supervisor: supervisor?,
        pools: pools?,
        restart: restart?,
        sending: sending?,
        analyst: analyst?,
        retention: retention?,
        admin: admin?,
        telemetry: telemetry?,
        alerts: alerts?,
        clients,
        warnings: Vec::new(),
        origins: Arc::default(),
    })
}

/// The names of kinds and channels in the layers above the defaults.
fn named(table: &Table) -> Vec<Named> {
    let mut all = Vec::new();
    let mut add = |what, path: &str, names: Option<&Table>| {
        for (name, node) in names.into_iter().flatten().filter(|(_, node)| !node.origin.is_default)
        {
            let (name, key) = (name.clone(), schema::join(path, name));
            let mut keys = BTreeMap::new();
            keys_below("", node, &mut keys);
            all.push(Named { name, key, origin: node.origin.clone(), what, keys });
        }
    };
    add(NamedThing::Job, "pools", table.get("pools").and_then(TreeNode::as_table));
    let clients = table.get("clients").map(|it| &it.data);
    if let Some(layers::Data::List(nodes)) = clients {
        for client in nodes.iter().filter_map(TreeNode::as_table) {
            let id = client.get("id").and_then(TreeNode::as_text).unwrap_or_default();
            let path = format!("clients.{id}.channels");
            add(NamedThing::Channel, &path, client.get("channels").and_then(TreeNode::as_table));
        }
    }
    all
}

/// Adds the keys below a node, and those below them, with their places.
fn keys_below(path: &str, node: &TreeNode, keys: &mut BTreeMap<String, Origin>) {
    for (name, below) in node.as_table().into_iter().flatten() {
        let key = schema::join(path, name);
        if path.is_empty() {
            keys_below(&key, below, keys);
        }
        keys.insert(key, below.origin.clone());
    }
}
