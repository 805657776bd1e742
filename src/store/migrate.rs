//! Migrations, run so that two daemons that start on one empty database do not meet in them.

use super::{StoreError, connect};
use crate::config;
use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, TransactionOptions, TransactionTrait,
};
use std::future::Future;

/// The advisory lock under which migrations run on PostgreSQL ("postroom" in ASCII).
const MIGRATION_LOCK: &str = "select pg_advisory_xact_lock(8101821212437278573)";

/// What has been applied and what has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrations {
    /// Name and whether it is applied, oldest first.
    pub steps: Vec<(String, bool)>,
}

impl Migrations {
    /// How many are not applied.
    pub fn pending(&self) -> usize {
        self.steps.iter().filter(|it| !it.1).count()
    }
}

/// Applies all pending migrations.
///
/// # Errors
/// When the database is away or a migration fails; then nothing of that migration is left.
pub async fn migrate_up(cfg: &config::Database) -> Result<(), StoreError> {
    locked(cfg, |db| async move { Ok(Migrator::up(&db, None).await?) }).await
}

/// Reverts the last migration.
///
/// # Errors
/// As [`migrate_up`].
pub async fn migrate_down(cfg: &config::Database) -> Result<(), StoreError> {
    locked(cfg, |db| async move { Ok(Migrator::down(&db, Some(1)).await?) }).await
}

/// Drops everything and applies all migrations.
///
/// # Errors
/// As [`migrate_up`].
pub async fn migrate_fresh(cfg: &config::Database) -> Result<(), StoreError> {
    locked(cfg, |db| async move {
        Migrator::down(&db, None).await?;
        Ok(Migrator::up(&db, None).await?)
    })
    .await
}

/// What is applied, without changing anything.
///
/// # Errors
/// When the database is away.
pub async fn migrate_status(cfg: &config::Database) -> Result<Migrations, StoreError> {
    let db = connect::open_for_migration(cfg).await?;
    let pending = Migrator::get_pending_migrations_read_only(&db).await?;
    let pending: Vec<String> = pending.iter().map(|it| it.name().to_owned()).collect();
    let steps = Migrator::get_migration_files()
        .iter()
        .map(|it| (it.name().to_owned(), !pending.contains(&it.name().to_owned())))
        .collect();
    db.close().await?;
    Ok(Migrations { steps })
}

/// Runs `work` with connections of its own that have no time-outs, on PostgreSQL under the advisory lock.
async fn locked<F>(
    cfg: &config::Database,
    work: impl FnOnce(DatabaseConnection) -> F,
) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let db = connect::open_for_migration(cfg).await?;
    if db.get_database_backend() == DatabaseBackend::Sqlite {
        work(db.clone()).await?;
    } else {
        // Held by a transaction, not by a session, so that it works behind a pooler, too.
        let guard = db.begin_with_options(TransactionOptions::default()).await?;
        guard.execute_unprepared(MIGRATION_LOCK).await?;
        work(db.clone()).await?;
        guard.commit().await?;
    }
    db.close().await?;
    Ok(())
}
