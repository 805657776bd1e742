//! A database that is made for a measurement and removed after it, and daemons over it.

use super::{BenchArgs, INBOUND};
use crate::{
    app::{Daemon, Role},
    config::{Config, DatabaseUrl, Sources},
    domain::job::SELF_CHECK,
    http,
    registry::{self, Registry},
    store::{self, Store, StoreRuntime},
};
use anyhow::Context;
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::PathBuf};
use uuid::Uuid;

/// Slots, and jobs claimed ahead, of the kinds that are measured.
const POOL_SIZE: usize = 64;
const PREFETCH: usize = 2_048;

/// A scratch database.
pub(super) struct Scratch {
    url: String,
    directory: Option<PathBuf>,
    server: Option<(String, String)>,
}

impl Scratch {
    /// On the PostgreSQL server that `url` names, or SQLite in a temporary directory.
    pub(super) async fn make(url: Option<&str>) -> anyhow::Result<Self> {
        let name = format!("postroom_bench_{}", Uuid::new_v4().simple());
        match url {
            Some(url) if !url.starts_with("sqlite:") => {
                DatabaseUrl::parse(url)
                    .map_err(|reason| anyhow::anyhow!("`--database`{reason}"))?;
                let mut scratch = url::Url::parse(url).context("`--database` is no URL")?;
                scratch.set_path(&name);
                store::create_database(url, &name).await?;
                let server = Some((url.to_owned(), name));
                Ok(Self { url: scratch.to_string(), directory: None, server })
            }
            given => {
                let parent = given
                    .and_then(store::sqlite_path)
                    .and_then(|it| it.parent().map(PathBuf::from));
                let directory = parent.unwrap_or_else(std::env::temp_dir).join(name);
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&directory)
                    .with_context(|| format!("cannot make `{}`", directory.display()))?;
                let url = format!("sqlite://{}", directory.join("bench.db").display());
                Ok(Self { url, directory: Some(directory), server: None })
            }
        }
    }

    /// Drops it.
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

    /// The defaults, but for what is measured.
    pub(super) fn config(&self, args: &BenchArgs) -> anyhow::Result<Config> {
        let mut env: Vec<(String, String)> = vec![
            ("POSTROOM__DATABASE__URL".to_owned(), self.url.clone()),
            ("POSTROOM__SERVER__BIND".to_owned(), "127.0.0.1:0".to_owned()),
            ("POSTROOM__ADMIN__TOKEN".to_owned(), Uuid::new_v4().to_string()),
        ];
        for kind in [SELF_CHECK, INBOUND] {
            let mut set = |key: &str, value: usize| {
                env.push((format!("POSTROOM__POOLS__{kind}__{key}"), value.to_string()));
            };
            set("SIZE", POOL_SIZE);
            set("PREFETCH", PREFETCH);
        }
        let limits = [("BATCH_MAX", args.batch_max), ("QUEUE", args.queue)];
        for (key, value) in limits {
            env.extend(value.map(|it| (format!("POSTROOM__INGEST__{key}"), it.to_string())));
        }
        Ok(Config::load(&Sources { files: Vec::new(), env })?)
    }

    /// A daemon over it.
    pub(super) async fn daemon(
        &self,
        args: &BenchArgs,
        role: Role,
        registry: Registry,
    ) -> anyhow::Result<Daemon> {
        let config = self.config(args)?;
        let listener = http::listen(config.server.bind)?;
        Ok(Daemon::start(config, registry, role, listener).await?)
    }

    /// A daemon with Postroom's own channels and kinds.
    pub(super) async fn plain_daemon(
        &self,
        args: &BenchArgs,
        role: Role,
    ) -> anyhow::Result<Daemon> {
        self.daemon(args, role, registry::postroom()).await
    }

    /// Only the store, migrated, for filling it before a daemon starts.
    pub(super) async fn store(&self, args: &BenchArgs) -> anyhow::Result<(StoreRuntime, Store)> {
        let config = self.config(args)?;
        let runtime = StoreRuntime::start()?;
        let database = config.database.clone();
        runtime.handle().spawn(async move { store::migrate_up(&database).await }).await??;
        let store = Store::open(runtime.handle(), &config.database, "ingest").await?;
        Ok((runtime, store))
    }
}
