//! The pools of an open database, each for one purpose.

use super::{
    circuit_breaker::CircuitBreaker, last_failed_write::LastFailedWrite, news::NewsListener,
    sessions::Sessions, timings::Timings, writer_token::WriterTokens,
};
use crate::{
    config::{self, Pooler},
    telemetry::faults::Faults,
};
use sea_orm::DatabaseBackend;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The pools of an open database, and what their users share. A clone shares everything.
#[derive(Clone, Debug)]
pub(in crate::store) struct Connections {
    /// SQLite or PostgreSQL.
    pub(in crate::store) backend: DatabaseBackend,
    /// For transactions. On SQLite there is one such connection.
    pub(in crate::store) writer: Sessions,
    /// Who forms the next group for the writer.
    pub(in crate::store) tokens: WriterTokens,
    /// For reads by key that stand in no transaction.
    pub(in crate::store) reader: Sessions,
    /// For the few statements that read a small table whole now and then. PostgreSQL chooses their
    /// plans freely.
    pub(in crate::store) scans: Sessions,
    /// For the admin API and the metrics. There are few, and a statement ends after 2 s.
    pub(in crate::store) api: Sessions,
    /// True while any node's configuration caps how many jobs of some client run at once.
    pub(in crate::store) has_caps: Arc<AtomicBool>,
    /// The points at which tests end the process.
    pub(in crate::store) faults: Arc<Faults>,
    /// The last write that failed because the database was unavailable.
    pub(in crate::store) last_failed_write: LastFailedWrite,
    /// Who is told of what transactions have done to sends.
    pub(in crate::store) news: NewsListener,
    /// Where the time of transactions and reads is noted.
    pub(in crate::store) timings: Timings,
    /// The circuit breaker before PostgreSQL; `None` on SQLite.
    pub(in crate::store) breaker: Option<Arc<CircuitBreaker>>,
    /// The write-ahead log of the SQLite file; `None` on PostgreSQL.
    pub(in crate::store) log_path: Option<PathBuf>,
}

impl Connections {
    /// The same configuration, with the pooler that was detected between this process and
    /// PostgreSQL.
    pub(in crate::store) fn as_found(
        &self,
        cfg: &config::DatabaseConfig,
    ) -> config::DatabaseConfig {
        let pooler = if self.writer.is_lent() { Pooler::Transaction } else { Pooler::None };
        config::DatabaseConfig { pooler, ..cfg.clone() }
    }

    /// How many connections are in use, and how many are open and wait to be used.
    pub(in crate::store) fn in_use(&self) -> (usize, usize) {
        let mut pools = vec![&self.writer, &self.api, &self.reader];
        // SQLite has no pool of its own for scans, nor has PostgreSQL with few connections.
        if !self.scans.shares_pool_of(&self.reader) {
            pools.push(&self.scans);
        }
        if self.reader.shares_pool_of(&self.writer) {
            pools.retain(|pool| !std::ptr::eq(*pool, &self.reader));
        }
        let counts = pools.into_iter().map(Sessions::in_use);
        counts.fold((0, 0), |(busy, idle), (more_busy, more_idle)| {
            (busy + more_busy, idle + more_idle)
        })
    }

    /// Notes whether some client is capped. While that is so, each transaction that moves heads
    /// counts them.
    pub(in crate::store) fn set_has_caps(&self, has_caps: bool) {
        self.has_caps.store(has_caps, Ordering::Relaxed);
    }
}
