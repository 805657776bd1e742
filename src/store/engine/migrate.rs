//! Migrations. A lock prevents two daemons that start on one empty database from migrating at once.

use super::{StoreError, connect, sessions::Sessions, suitable};
use crate::config;
use migration::{Migrator, MigratorTrait};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DbErr, IntoDatabaseExecutor, IsolationLevel,
    TransactionOptions, TransactionTrait,
};

/// The advisory lock under which migrations run on PostgreSQL ("postroom" in ASCII).
const MIGRATION_LOCK: &str = "select pg_advisory_xact_lock(8101821212437278573)";

/// Frees the names that `SeaORM` gives its statements: a lent session may already have such names
/// from another client.
const FORGET_STATEMENTS: &str = "do $$ declare it text; begin \
    for it in select name from pg_prepared_statements where name like 'sqlx\\_s\\_%' loop \
      execute format('deallocate %I', it); \
    end loop; \
  end $$";

/// All migrations, and which of them are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrations {
    /// Name and whether it is applied, oldest first.
    pub steps: Vec<(String, bool)>,
}

impl Migrations {
    /// How many are not applied yet.
    pub fn pending(&self) -> usize {
        self.steps.iter().filter(|(_, is_applied)| !is_applied).count()
    }

    /// The migrations that are not applied yet, oldest first: the name of each, and the statements
    /// that apply it to the database at `url`.
    pub fn pending_statements(&self, url: &config::DatabaseUrl) -> Vec<(String, String)> {
        let is_sqlite = url.is_sqlite();
        let backend = if is_sqlite { DatabaseBackend::Sqlite } else { DatabaseBackend::Postgres };
        let is_pending = |name: &String| self.steps.contains(&(name.clone(), false));
        let all = migration::statements(backend);
        all.into_iter().filter(|(name, _)| is_pending(name)).collect()
    }
}

/// The direction of a migration.
#[derive(Clone, Copy, Debug)]
enum MigrationWay {
    /// Apply all pending ones.
    Up,
    /// Revert the last one.
    Down,
    /// Revert all, then apply all.
    Fresh,
}

/// Applies all pending migrations.
///
/// # Errors
/// If the database is unreachable, cannot be Postroom's (it contains tables of another program, or
/// its encoding is not UTF-8), was migrated by a newer version, or a migration fails. On
/// PostgreSQL, nothing is changed then; on SQLite, nothing of the failed migration is left.
pub async fn migrate_up(cfg: &config::DatabaseConfig) -> Result<(), StoreError> {
    locked(cfg, MigrationWay::Up).await
}

/// Reverts the last migration.
///
/// # Errors
/// As [`migrate_up`].
pub async fn migrate_down(cfg: &config::DatabaseConfig) -> Result<(), StoreError> {
    locked(cfg, MigrationWay::Down).await
}

/// Drops everything and applies all migrations.
///
/// # Errors
/// As [`migrate_up`].
pub async fn migrate_fresh(cfg: &config::DatabaseConfig) -> Result<(), StoreError> {
    locked(cfg, MigrationWay::Fresh).await
}

/// Which migrations are applied. Changes nothing.
///
/// # Errors
/// If the database is unreachable, or a newer version has migrated it.
pub async fn migrate_status(cfg: &config::DatabaseConfig) -> Result<Migrations, StoreError> {
    let sessions = connect::open_for_migration(cfg).await?;
    let migrations = status_over(&sessions).await?;
    sessions.close().await?;
    Ok(migrations)
}

/// How many migrations this version knows, and the name of the last one.
pub(in crate::store) fn known_migrations() -> (usize, String) {
    let all = Migrator::get_migration_files();
    (all.len(), all.last().map(|it| it.name().to_owned()).unwrap_or_default())
}

/// As [`migrate_status`], over an open connection.
pub(in crate::store) async fn status_over(sessions: &Sessions) -> Result<Migrations, StoreError> {
    suitable::has_encoding(sessions).await?;
    let pending = Migrator::get_pending_migrations_read_only(sessions).await.map_err(explained)?;
    let pending: Vec<String> = pending.iter().map(|it| it.name().to_owned()).collect();
    let steps = Migrator::get_migration_files()
        .iter()
        .map(|step| (step.name().to_owned(), !pending.contains(&step.name().to_owned())))
        .collect();
    Ok(Migrations { steps })
}

/// Migrates over a connection of its own that has no time-outs. On PostgreSQL, one transaction
/// holds the advisory lock and does all, so that a session that a pooler lends is enough.
async fn locked(cfg: &config::DatabaseConfig, way: MigrationWay) -> Result<(), StoreError> {
    let sessions = connect::open_for_migration(cfg).await?;
    let db = &*sessions.db();
    let makes_tables = matches!(way, MigrationWay::Up | MigrationWay::Fresh);
    if db.get_database_backend() == DatabaseBackend::Sqlite {
        if makes_tables {
            suitable::has_room(db).await?;
        }
        go(way, db).await?;
    } else {
        let options = TransactionOptions {
            isolation_level: Some(IsolationLevel::ReadCommitted),
            access_mode: Some(AccessMode::ReadWrite),
            ..TransactionOptions::default()
        };
        let tx = db.begin_with_options(options).await?;
        tx.execute_unprepared(MIGRATION_LOCK).await?;
        if sessions.is_lent() {
            tx.execute_unprepared(FORGET_STATEMENTS).await?;
        }
        if makes_tables {
            suitable::has_encoding(&tx).await?;
            suitable::has_room(&tx).await?;
        }
        go(way, &tx).await?;
        if sessions.is_lent() {
            tx.execute_unprepared(FORGET_STATEMENTS).await?;
        }
        tx.commit().await?;
    }
    sessions.close().await
}

async fn go<'a>(
    way: MigrationWay,
    db: impl IntoDatabaseExecutor<'a> + Copy,
) -> Result<(), StoreError> {
    let done = match way {
        MigrationWay::Up => Migrator::up(db, None).await,
        MigrationWay::Down => Migrator::down(db, Some(1)).await,
        MigrationWay::Fresh => match Migrator::down(db, None).await {
            Ok(()) => Migrator::up(db, None).await,
            Err(error) => Err(error),
        },
    };
    done.map_err(explained)
}

/// Explains an error of the migrator. Its only error text of its own is about migrations that it
/// does not know.
fn explained(error: DbErr) -> StoreError {
    let DbErr::Custom(text) = &error else { return error.into() };
    // Each migration is quoted, on a line of its own.
    let unknown: Vec<&str> = text.lines().filter_map(|line| line.split('\'').nth(1)).collect();
    StoreError::Broken(format!(
        "its schema is that of a newer Postroom, which has applied {}: start that version or a later one",
        unknown.join(", ")
    ))
}
