//! A database that is made for a measurement and removed afterwards, and daemons that use it.

use super::{BenchArgs, channel};
use crate::{
    app::{Daemon, Role},
    config::{self, DatabaseUrl, Loaded, Sources},
    domain::job::SELF_CHECK,
    http::{self, STREAMS_OF_USER},
    registry::{self, Registry},
    store::{self, Store, StoreRuntime},
};
use anyhow::Context;
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::PathBuf};
use uuid::Uuid;

/// `size` of the pools that are measured.
const POOL_SIZE: usize = 64;
/// `prefetch` of the pools that are measured.
const PREFETCH: usize = 2_048;

/// A scratch database.
pub(super) struct Scratch {
    url: String,
    /// On SQLite, the directory of the file.
    directory: Option<PathBuf>,
    /// On PostgreSQL, the URL of the server and the name of the database.
    server: Option<(String, String)>,
    /// The tokens of the users who watch, as many as their streams need.
    watchers: Vec<String>,
}

impl Scratch {
    /// Makes a database on the PostgreSQL server of `url`, or SQLite in a temporary directory.
    /// `streams` is how many event streams its daemon must allow.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) async fn make(url: Option<&str>, streams: usize) -> anyhow::Result<Self> {
        let users = streams.div_ceil(STREAMS_OF_USER);
        let watchers = (0..users).map(|_| Uuid::new_v4().to_string()).collect();
        let name = format!("postroom_bench_{}", Uuid::new_v4().simple());
        match url {
            Some(url) if !url.starts_with("sqlite:") => {
                DatabaseUrl::parse(url)
                    .map_err(|reason| anyhow::anyhow!("`--database`{reason}"))?;
                let mut scratch = url::Url::parse(url).context("`--database` is no URL")?;
                scratch.set_path(&name);
                store::create_database(url, &name).await?;
                let server = Some((url.to_owned(), name));
                Ok(Self { url: scratch.to_string(), directory: None, server, watchers })
            }
            given => {
                let parent = given
                    .and_then(store::sqlite_path)
                    .and_then(|path| path.parent().map(PathBuf::from));
                let directory = parent.unwrap_or_else(std::env::temp_dir).join(name);
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&directory)
                    .with_context(|| format!("cannot make `{}`", directory.display()))?;
                let url = format!("sqlite://{}", directory.join("bench.db").display());
                Ok(Self { url, directory: Some(directory), server: None, watchers })
            }
        }
    }

    /// Drops the database.
    ///
    /// # Errors
    /// If it cannot be dropped.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        if let Some((server, name)) = &self.server {
            store::drop_database(server, name).await?;
        }
        if let Some(directory) = &self.directory {
            std::fs::remove_dir_all(directory)
                .with_context(|| format!("cannot remove `{}`", directory.display()))?;
        }
        Ok(())
    }

    /// The tokens of the users who watch.
    pub(super) fn watchers(&self) -> Vec<String> {
        self.watchers.clone()
    }

    /// The default configuration, except the database, the port, the token, and the settings to
    /// measure.
    fn load(&self, args: &BenchArgs) -> anyhow::Result<Loaded> {
        let mut env: Vec<(String, String)> = vec![
            ("POSTROOM__DATABASE__URL".to_owned(), self.url.clone()),
            ("POSTROOM__SERVER__BIND".to_owned(), "127.0.0.1:0".to_owned()),
            ("POSTROOM__ADMIN__TOKEN".to_owned(), Uuid::new_v4().to_string()),
        ];
        if !self.watchers.is_empty() {
            let users = self.watchers.iter().enumerate().map(|(number, token)| {
                format!("{{ name = \"watcher-{number}\", role = \"viewer\", token = \"{token}\" }}")
            });
            let users = users.collect::<Vec<_>>().join(", ");
            env.push(("POSTROOM__ADMIN__USERS".to_owned(), format!("[{users}]")));
        }
        for kind in [SELF_CHECK, channel()?.post_process()] {
            let mut set = |key: &str, value: usize| {
                env.push((format!("POSTROOM__POOLS__{kind}__{key}"), value.to_string()));
            };
            set("SIZE", POOL_SIZE);
            set("PREFETCH", PREFETCH);
        }
        let limits = [("BATCH_MAX", args.batch_max), ("QUEUE", args.queue)];
        for (key, value) in limits {
            env.extend(value.map(|limit| (format!("POSTROOM__INGEST__{key}"), limit.to_string())));
        }
        Ok(Loaded::load(&Sources { env, ..Sources::default() })?)
    }

    /// Starts a daemon that uses the database.
    pub(super) async fn daemon(
        &self,
        args: &BenchArgs,
        role: Role,
        registry: Registry,
    ) -> anyhow::Result<Daemon> {
        let loaded = self.load(args)?;
        let listener = http::listen(loaded.config.server.bind)?;
        Ok(Daemon::start(loaded, registry, role, listener).await?)
    }

    /// Starts a daemon with Postroom's own channels and kinds.
    pub(super) async fn plain_daemon(
        &self,
        args: &BenchArgs,
        role: Role,
    ) -> anyhow::Result<Daemon> {
        self.daemon(args, role, registry::postroom()).await
    }

    /// Opens the migrated store without a daemon, so that it can be filled first.
    pub(super) async fn store(&self, args: &BenchArgs) -> anyhow::Result<(StoreRuntime, Store)> {
        let config = self.load(args)?.config;
        let runtime = StoreRuntime::start()?;
        let database = config.database.clone();
        runtime.handle().spawn(async move { store::migrate_up(&database).await }).await??;
        let channels = registry::postroom().channel_directory();
        let store =
            Store::open(runtime.handle(), &config::Live::new(config), "ingest", channels).await?;
        Ok((runtime, store))
    }
}
