//! The configuration: `config/default.toml`, under each `--config` file in order, under the environment.
//!
//! A configuration is loaded as a whole and checked as a whole: every error is told at once, with the
//! place where the value was written, and a [`Config`] that exists is valid. Only [`Sources::from_process`]
//! looks at the process, and only [`Live`] keeps state: the configuration that applies now. A reload is another
//! [`Config::load`].
//!
//! On the way: `layers` reads and merges with origins, `env` lays the variables over, `references`
//! fetches what stands elsewhere, `schema` knows the keys, `reader` types the values, `sections`
//! and `client` check them, `relations` checks them against each other, `warnings` notes what is
//! allowed and yet unsafe.

mod channel;
mod client;
mod database_url;
mod env;
mod error;
mod files;
mod layers;
mod live;
mod masking;
mod reach;
mod reader;
mod references;
mod relations;
mod schema;
mod sections;
mod show;
mod signing;
mod strength;
mod value;
mod warnings;

#[cfg(test)]
mod openings_tests;
#[cfg(test)]
mod secrets_tests;
#[cfg(test)]
mod tests;

pub use self::{
    channel::{ClientChannel, Signature, SignatureScheme},
    client::{AutoReply, AutoSend, Client, Schedule},
    database_url::DatabaseUrl,
    error::{ConfigError, ConfigErrors, ConfigWarning},
    live::Live,
    sections::{
        AdminConfig, AnalystConfig, AnalystProvider, DatabaseConfig, IngestConfig, LogFormat,
        PoolConfig, Pooler, Pools, QuarantineBound, RestartConfig, Retention, SendingConfig,
        ServerConfig, SupervisorConfig, TelemetryConfig, TlsConfig,
    },
    show::EffectiveValue,
    signing::{PUBLISHED_ED25519, PUBLISHED_RSA, PublicKey, PublicKeyKind, SigningSecret},
    value::{Network, Rate, Secret, Setting, Settings},
};

use self::{
    error::Errors,
    layers::{Origin, Table, TreeNode},
    reader::SectionReader,
};
use crate::domain::{ChannelName, JobKind};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

/// The lowest layer. Compiled in, so that the documented file is what applies.
const DEFAULT: &str = include_str!("../../config/default.toml");
const DEFAULT_NAME: &str = "config/default.toml";
/// Read where it exists and no file is named.
const LOCAL: &str = "config/local.toml";

/// What a configuration is made of, over the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// TOML files, a later one over an earlier one.
    pub files: Vec<PathBuf>,
    /// The environment: `POSTROOM__…` set keys, and any other may be referred to.
    pub env: Vec<(String, String)>,
}

impl Sources {
    /// These files, or `config/local.toml` where it exists and none is given, and the environment of
    /// this process.
    pub fn from_process(mut files: Vec<PathBuf>) -> Self {
        if files.is_empty() && Path::new(LOCAL).exists() {
            files.push(LOCAL.into());
        }
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { files, env: std::env::vars_os().filter_map(utf8).collect() }
    }
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The HTTP side.
    pub server: ServerConfig,
    /// Where everything is kept.
    pub database: DatabaseConfig,
    /// How webhooks are committed.
    pub ingest: IngestConfig,
    /// How jobs are claimed and kept.
    pub supervisor: SupervisorConfig,
    /// How the jobs of each kind are run.
    pub pools: Pools,
    /// What becomes of actors that panic.
    pub restart: RestartConfig,
    /// Whether replies are sent.
    pub sending: SendingConfig,
    /// Who classifies, scores and drafts.
    pub analyst: AnalystConfig,
    /// How long rows are kept.
    pub retention: Retention,
    /// The admin API.
    pub admin: AdminConfig,
    /// Logs and spans.
    pub telemetry: TelemetryConfig,
    /// The tenants, in the order of the configuration.
    pub clients: Vec<Client>,
    client_by_id: HashMap<String, usize>,
    named: Vec<Named>,
    warnings: Vec<ConfigWarning>,
}

/// A name of a job kind or a channel that somebody wrote, and that only the registry can judge.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    key: String,
    origin: Origin,
    what: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Job,
    Channel,
}

impl Config {
    /// Loads and checks. The error tells all that is wrong, not only the first.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        Self::load_with_layers(sources).map(|(config, _)| config)
    }

    /// Every value with its origin, secrets masked; for `postroom config show`.
    pub fn effective(sources: &Sources) -> Result<Vec<EffectiveValue>, ConfigErrors> {
        Self::load_with_layers(sources).map(|(_, table)| show::effective(&table))
    }

    /// What is allowed and yet should not stay as it is; for `postroom config check` and the log of
    /// a start.
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }

    /// The client of that id.
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.client_by_id.get(id).and_then(|index| self.clients.get(*index))
    }

    /// True where nothing but this machine can reach the daemon: it listens on a loopback address,
    /// and no setting says that something forwards to it. Says nothing of a forwarder that the
    /// configuration does not mention: its headers in a request do.
    pub fn is_local_only(&self) -> bool {
        reach::is_local_only(&self.server)
    }

    /// How many groups of webhooks each channel commits at once: `ingest.commit_lanes`, or what suits the database.
    ///
    /// SQLite has one writer. PostgreSQL stores half as much again with two (docs/PERFORMANCE.md), and no more with
    /// four.
    pub fn commit_lanes(&self) -> usize {
        match self.ingest.commit_lanes {
            0 if self.database.url.is_sqlite() => 1,
            0 => 2,
            lanes => lanes,
        }
    }

    /// How many jobs of each client may run at once: its own `max_running`, else
    /// `supervisor.max_running_per_client`. A client without a cap is not in it.
    pub fn caps(&self) -> BTreeMap<String, u32> {
        let cap_of = |it: &Client| match it.max_running {
            0 => self.supervisor.max_running_per_client,
            own => own,
        };
        let caps = self.clients.iter().map(|it| (it.id.clone(), cap_of(it)));
        caps.filter(|it| it.1 > 0).collect()
    }

    /// Checks that every `[pools.KIND]` names one of `kinds`. Those of the defaults are not looked at: a
    /// kind may be described there before this binary has it.
    pub fn check_kinds(&self, kinds: &[JobKind]) -> Result<(), ConfigErrors> {
        self.check_names(Kind::Job, "job kind", &kinds.iter().map(|it| it.0).collect::<Vec<_>>())
    }

    /// Checks that every channel of a client is one of `channels`; see [`Config::check_kinds`].
    pub fn check_channels(&self, channels: &[ChannelName]) -> Result<(), ConfigErrors> {
        let known: Vec<&str> = channels.iter().map(|it| it.0).collect();
        self.check_names(Kind::Channel, "channel", &known)
    }

    fn check_names(&self, what: Kind, word: &str, known: &[&str]) -> Result<(), ConfigErrors> {
        let errors = Errors::default();
        let of_kind = self.named.iter().filter(|it| it.what == what);
        for named in of_kind.filter(|it| !known.contains(&it.name.as_str())) {
            let hint = match schema::nearest(&named.name, known.iter().copied()) {
                Some(near) => format!("the nearest known {word} is `{near}`"),
                None => format!("known are `{}`", known.join("`, `")),
            };
            let message = format!("unknown {word} in `{}`: {hint}", named.key);
            errors.push(Some(&named.origin), &named.key, message);
        }
        errors.or(())
    }

    fn load_with_layers(sources: &Sources) -> Result<(Self, Table), ConfigErrors> {
        let errors = Errors::default();
        let table = read_layers(sources, &errors);
        let mut config = read(&table, &errors);
        if let Some(config) = &mut config {
            relations::check(config, &table, &errors);
            warnings::check(config, &table, &sources.env, &errors);
            config.warnings = errors.take_warnings();
        }
        match errors.or(config)? {
            Some(config) => Ok((config, table)),
            // Only a section that cannot be read makes no configuration, and that is an error already.
            None => Err(ConfigErrors(vec![ConfigError {
                origin: None,
                key: None,
                message: "the configuration cannot be read".to_owned(),
            }])),
        }
    }
}

/// All layers, each checked for keys that nobody knows, merged, and with what they refer to.
fn read_layers(sources: &Sources, errors: &Errors) -> Table {
    let mut table = layers::parse(DEFAULT_NAME, DEFAULT, true, errors);
    let default_clients = table.get("clients").cloned();
    for path in &sources.files {
        let layer = layers::read_file(path, errors);
        schema::check_keys(&schema::ROOT, &layer, "", errors);
        layers::merge(&mut table, layer);
    }
    env::overlay(&mut table, &sources.env, errors);
    references::resolve(&mut table, "", &sources.env, errors);
    if let Some(clients) = table.get_mut("clients") {
        client::inherit(clients, default_clients.as_ref());
    }
    table
}

/// `None` where a section is missing, or the database's URL cannot be read; that was noted.
fn read(table: &Table, errors: &Errors) -> Option<Config> {
    let root = SectionReader { path: String::new(), table, errors };
    let server = sections::server(&root.section("server")?);
    let clients = table.get("clients");
    // Where one of these cannot be read, that is the one error worth a word.
    let keys = ["server.bind", "server.public_url", "server.trusted_proxies"];
    let is_known = !keys.into_iter().any(|it| errors.has(it));
    let opening = reach::opening(&server).filter(|_| is_known);
    let clients = clients.map(|it| client::clients(it, opening, errors)).unwrap_or_default();
    // Each section is read, and its errors noted, before the first that is missing ends it.
    let database = root.section("database").and_then(|it| sections::database(&it));
    let ingest = root.section("ingest").map(|it| sections::ingest(&it));
    let supervisor = root.section("supervisor").map(|it| sections::supervisor(&it));
    let pools = root.section("pools").map(|it| sections::pools(&it));
    let restart = root.section("restart").map(|it| sections::restart(&it));
    let sending = root.section("sending").map(|it| sections::sending(&it));
    let analyst = root.section("analyst").map(|it| sections::analyst(&it));
    let retention = root.section("retention").map(|it| sections::retention(&it));
    let admin = root.section("admin").map(|it| sections::admin(&it));
    let telemetry = root.section("telemetry").map(|it| sections::telemetry(&it));
    let by_id = clients.iter().enumerate().map(|(index, it)| (it.id.clone(), index));
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
        clients,
        warnings: Vec::new(),
    })
}

/// The names of kinds and channels that somebody wrote.
fn named(table: &Table) -> Vec<Named> {
    let mut all = Vec::new();
    let mut add = |what, path: &str, names: Option<&Table>| {
        for (name, node) in names.into_iter().flatten().filter(|(_, it)| !it.origin.is_default) {
            let (name, key) = (name.clone(), schema::join(path, name));
            all.push(Named { name, key, origin: node.origin.clone(), what });
        }
    };
    add(Kind::Job, "pools", table.get("pools").and_then(TreeNode::as_table));
    let clients = table.get("clients").map(|it| &it.data);
    if let Some(layers::Data::List(nodes)) = clients {
        for client in nodes.iter().filter_map(TreeNode::as_table) {
            let id = client.get("id").and_then(TreeNode::as_text).unwrap_or_default();
            let path = format!("clients.{id}.channels");
            add(Kind::Channel, &path, client.get("channels").and_then(TreeNode::as_table));
        }
    }
    all
}
