//! Postroom's migrations, one file each, for both databases.
//!
//! A migration never changes once it is released. It never uses `entity`, since entities change
//! with the code. Each runs in a transaction. On PostgreSQL the caller holds an advisory lock, so
//! that daemons that start together do not migrate at the same time.

pub use sea_orm_migration::prelude::{MigrationTrait, MigratorTrait};
use sea_orm_migration::{async_trait, prelude::SchemaManager, sea_orm, sea_orm::ConnectionTrait};

mod ddl;

/// A migration that runs the statements `up`, or `down`, in one transaction.
macro_rules! in_sql {
    ($migration:ty, $up:expr, $down:expr) => {
        #[expect(
            elided_lifetimes_in_paths,
            reason = "the trait's own signature elides it; naming it is another signature"
        )]
        #[sea_orm_migration::async_trait::async_trait]
        impl MigrationTrait for $migration {
            fn use_transaction(&self) -> Option<bool> {
                Some(true)
            }

            async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                crate::run(manager, $up).await
            }

            async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                crate::run(manager, $down).await
            }
        }

        impl crate::InSql for $migration {
            fn up_sql(&self) -> &'static str {
                $up
            }
        }
    };
}

mod m20261125_000001_queue;
mod m20261125_000002_conversations;
mod m20261125_000003_changes;
mod m20261125_000004_nodes;
mod m20261127_000005_facts;
mod m20261127_000006_lists;
mod m20261127_000007_delivery_bodies;
mod m20261128_000008_order;
mod m20261128_000009_quarantine_room;
mod m20261128_000010_job_channel;
mod m20261128_000011_tuning;
mod m20261128_000012_deliveries_listed;
mod m20261128_000013_drafts_listed;
mod m20261128_000014_model_calls;
mod m20261128_000015_sending;
mod m20261128_000016_opt_outs;
mod m20261128_000017_labelled_examples;
mod m20261128_000018_sessions;
mod m20261128_000020_due_since;
mod m20261129_000022_received;
mod m20261129_000027_snoozed;
mod m20261129_000028_job_trace;
mod m20261129_000030_attempt_trace;
mod m20261129_000031_audit_role;
mod m20261129_000032_judged_by;
mod m20261130_000033_room_for_verdicts;

/// The names of all tables that the migrations make. Nothing else may have these names when the
/// first migration runs.
pub const TABLES: &[&str] = &[
    "audit",
    "campaigns",
    "counters",
    "deliveries",
    "drafts",
    "installation",
    "job_attempts",
    "job_blocked",
    "job_caps",
    "job_clients",
    "job_clock",
    "job_counts",
    "job_later",
    "job_ready",
    "jobs",
    "labelled_examples",
    "lead_identities",
    "leads",
    "leases",
    "message_keys",
    "messages",
    "model_calls",
    "nodes",
    "operations",
    "opt_outs",
    "pool_overrides",
    "quarantine",
    "quarantine_room",
    "send_accounts",
    "sessions",
    "suppressed",
];

/// The list of all migrations, oldest first.
pub struct Migrator;

/// A migration that runs a text, which can be shown without being run.
trait InSql: MigrationTrait {
    /// The statements that apply it, written once for both databases.
    fn up_sql(&self) -> &'static str;
}

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Self::all().into_iter().map(|it| -> Box<dyn MigrationTrait> { it }).collect()
    }
}

/// The name of each migration, oldest first, and the statements that apply it to a database of this
/// kind.
pub fn statements(backend: sea_orm::DatabaseBackend) -> Vec<(String, String)> {
    let all = Migrator::all();
    let of = all.iter().map(|it| (it.name().to_owned(), ddl::in_dialect(backend, it.up_sql())));
    of.map(|(name, sql)| (name, sql.trim().to_owned())).collect()
}

impl Migrator {
    fn all() -> Vec<Box<dyn InSql>> {
        vec![
            Box::new(m20261125_000001_queue::Migration),
            Box::new(m20261125_000002_conversations::Migration),
            Box::new(m20261125_000003_changes::Migration),
            Box::new(m20261125_000004_nodes::Migration),
            Box::new(m20261127_000005_facts::Migration),
            Box::new(m20261127_000006_lists::Migration),
            Box::new(m20261127_000007_delivery_bodies::Migration),
            Box::new(m20261128_000008_order::Migration),
            Box::new(m20261128_000009_quarantine_room::Migration),
            Box::new(m20261128_000010_job_channel::Migration),
            Box::new(m20261128_000011_tuning::Migration),
            Box::new(m20261128_000012_deliveries_listed::Migration),
            Box::new(m20261128_000013_drafts_listed::Migration),
            Box::new(m20261128_000014_model_calls::Migration),
            Box::new(m20261128_000015_sending::Migration),
            Box::new(m20261128_000016_opt_outs::Migration),
            Box::new(m20261128_000017_labelled_examples::Migration),
            Box::new(m20261128_000018_sessions::Migration),
            Box::new(m20261128_000020_due_since::Migration),
            Box::new(m20261129_000022_received::Migration),
            Box::new(m20261129_000027_snoozed::Migration),
            Box::new(m20261129_000028_job_trace::Migration),
            Box::new(m20261129_000030_attempt_trace::Migration),
            Box::new(m20261129_000031_audit_role::Migration),
            Box::new(m20261129_000032_judged_by::Migration),
            Box::new(m20261130_000033_room_for_verdicts::Migration),
        ]
    }
}

/// Runs `statements`, written once for both databases, in the dialect of `manager`.
async fn run(manager: &SchemaManager<'_>, statements: &str) -> Result<(), sea_orm::DbErr> {
    let db = manager.get_connection();
    db.execute_unprepared(&ddl::in_dialect(db.get_database_backend(), statements)).await?;
    Ok(())
}
