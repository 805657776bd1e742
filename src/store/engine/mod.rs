//! The engine layer: how statements reach the database. It names no table.

pub(super) mod backup;
pub(super) mod circuit_breaker;
pub(super) mod connect;
pub(super) mod connections;
pub(super) mod database;
pub(super) mod disk;
pub(super) mod error;
pub(super) mod examine;
pub(super) mod ids;
pub(super) mod isolate;
pub(super) mod last_failed_write;
pub(super) mod migrate;
pub(super) mod news;
pub(super) mod runtime;
pub(super) mod sessions;
pub(super) mod snapshot;
pub(super) mod sql;
pub(super) mod statement_end;
pub(super) mod suitable;
pub(super) mod timings;
pub(super) mod tx;
pub(super) mod writer_token;

pub(super) use self::{database::Database, error::StoreError, sql::Sql};
