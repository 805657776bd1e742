//! The open database: as which node this process is registered, and where its calls run.
//!
//! Every call runs on the store runtime, because a sqlx connection belongs to the runtime that
//! opened it: a busy arbiter or HTTP worker must never be that runtime.

use super::{
    StoreError,
    connections::Connections,
    ids::Ids,
    sessions::Sessions,
    tx::{Finished, Tx},
};
use crate::{
    config::{self, Secret},
    domain::{ChannelDirectory, ChannelName, Id, JobKind, Medium},
};
use ring::hmac;
use sea_orm::DatabaseBackend;
use std::{future::Future, sync::Arc};
use tokio::runtime::Handle;

/// The open database, on which this process is registered as a node. All handles of the store hold
/// a clone of it; a clone shares everything.
#[derive(Clone, Debug)]
pub(in crate::store) struct Database(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    /// Handle of the store runtime.
    runtime: Handle,
    connections: Connections,
    /// The id of this process in the database.
    node: Id,
    /// Assigns the ids of new rows.
    ids: Ids,
    /// The configuration that applies now: how many attempts a new job gets, and which accounts
    /// there are.
    config: config::Live,
    /// What is known of the channels whose webhooks and jobs are stored here.
    channels: ChannelDirectory,
    /// The key of the hashes that outlive the data of a person. Each database has its own.
    suppression_key: hmac::Key,
}

impl Database {
    /// Combines what was opened on `runtime` and registered as `node`.
    pub(in crate::store) fn new(
        runtime: Handle,
        connections: Connections,
        node: Id,
        ids: Ids,
        config: config::Live,
        channels: ChannelDirectory,
        suppression_key: &Secret,
    ) -> Self {
        let suppression_key =
            hmac::Key::new(hmac::HMAC_SHA256, suppression_key.expose().as_bytes());
        let opened = Opened { runtime, connections, node, ids, config, channels, suppression_key };
        Self(Arc::new(opened))
    }

    /// Handle of the store runtime.
    pub(in crate::store) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// How many attempts a new job of that kind gets.
    pub(in crate::store) fn max_attempts(&self, kind: JobKind) -> u32 {
        self.0.config.get().pools.of(kind.0).max_attempts
    }

    /// True if the configuration has an account through which answers of this client and channel
    /// are sent.
    pub(in crate::store) fn has_account(&self, client_id: &str, channel: &str) -> bool {
        let config = self.0.config.get();
        let channel = config.client(client_id).and_then(|client| client.channel(channel));
        channel.is_some_and(|channel| channel.send.is_some())
    }

    /// The channels of this daemon.
    pub(in crate::store) fn channels(&self) -> &ChannelDirectory {
        &self.0.channels
    }

    /// The key of the hashes that outlive the data of a person.
    pub(in crate::store) fn suppression_key(&self) -> &hmac::Key {
        &self.0.suppression_key
    }

    /// How a channel carries messages.
    ///
    /// # Errors
    /// When the channel is not one of this daemon's: the store was opened with other channels than
    /// the actors.
    pub(in crate::store) fn medium(&self, channel: ChannelName) -> Result<Medium, StoreError> {
        let unknown = || StoreError::Broken(format!("the store knows no channel `{channel}`"));
        self.channels().medium(channel).ok_or_else(unknown)
    }

    /// The id of this process in the database.
    pub(in crate::store) fn node(&self) -> Id {
        self.0.node
    }

    /// The next id: it grows with arrival.
    pub(in crate::store) fn next_id(&self) -> Id {
        self.0.ids.next()
    }

    /// True on SQLite, false on PostgreSQL.
    pub(in crate::store) fn is_sqlite(&self) -> bool {
        self.0.connections.backend == DatabaseBackend::Sqlite
    }

    /// True while a pooler lends a session for one transaction at a time.
    pub(in crate::store) fn is_pooled(&self) -> bool {
        self.0.connections.writer.is_lent()
    }

    /// The kind of database: `sqlite` or `postgres`.
    pub(in crate::store) fn kind(&self) -> &'static str {
        if self.is_sqlite() { "sqlite" } else { "postgres" }
    }

    /// The pools of this process.
    pub(in crate::store) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// Connections for reads by key that stand in no transaction.
    pub(in crate::store) fn reader(&self) -> &Sessions {
        &self.0.connections.reader
    }

    /// Connections for the few statements that read a small table whole.
    pub(in crate::store) fn scans(&self) -> &Sessions {
        &self.0.connections.scans
    }

    /// Connections of the admin API: a statement ends after 2 s.
    pub(in crate::store) fn api(&self) -> &Sessions {
        &self.0.connections.api
    }

    /// Runs `work` in a write transaction; see [`Connections::write`]. Must be used inside a
    /// [`Self::call`].
    ///
    /// # Errors
    /// As [`Connections::write`].
    pub(in crate::store) async fn write<T, F>(
        &self,
        purpose: &'static str,
        work: impl Fn(Tx) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<Finished<T>, StoreError>>,
    {
        self.0.connections.write(purpose, work).await
    }

    /// Runs `work` on the store runtime, once the database is there. `work` continues there if the
    /// caller is dropped: a dead actor does not interrupt its own commit.
    ///
    /// Nothing limits `work` as a whole, because every statement has a limit. Cut long work into
    /// several calls: a call ends a second after the database has gone away.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Unreachable`] when the database does not come back in time or
    /// the runtime has stopped; [`StoreError::Broken`] when `work` panicked.
    pub(in crate::store) fn call<T, W, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, StoreError>> + use<T, W, F>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> W,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        // Boxed, because each layer around it would store the whole future again.
        let work = Box::pin(work(self.clone()));
        let breaker = self.0.connections.breaker.clone();
        self.on_runtime(async move {
            match breaker {
                Some(breaker) => breaker.pass(work).await,
                None => work.await,
            }
        })
    }

    /// The same for work over a connection of its own. It is given up as soon as the database goes
    /// away, and its errors tell nothing about the pools.
    ///
    /// # Errors
    /// As [`Self::call`], and [`StoreError::Disconnected`] when the database goes away.
    pub(in crate::store) fn call_apart<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, StoreError>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (breaker, work) = (self.0.connections.breaker.clone(), Box::pin(work));
        self.on_runtime(async move {
            match breaker {
                Some(breaker) => breaker.pass_apart(work).await,
                None => work.await,
            }
        })
    }

    /// Runs work that makes calls of its own on the store runtime, where it continues if the caller
    /// is dropped. Those calls pass the circuit breaker; the work itself does not.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Unreachable`] when the runtime has stopped;
    /// [`StoreError::Broken`] when `work` panicked.
    pub(in crate::store) fn on_runtime<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, StoreError>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let runtime = self.0.runtime.clone();
        async move {
            match runtime.spawn(work).await {
                Ok(result) => result,
                Err(error) if error.is_panic() => {
                    Err(StoreError::Broken("a database call panicked".to_owned()))
                }
                Err(_) => Err(StoreError::Unreachable("the store is stopped".to_owned())),
            }
        }
    }

    /// Starts work on the store runtime, and does not wait for it.
    pub(in crate::store) fn spawn_detached(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.runtime.spawn(work));
    }
}
