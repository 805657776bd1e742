//! Does what needs the database after a change of the configuration: caps, known clients, and rows
//! of the audit log. While the database is away it tries again. No reload waits for it.

use super::status::TuningStatus;
use crate::{
    config::{self, Config},
    domain::backoff::AWAY_PAUSE,
    store::{AuditEntry, Store, StoreError},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// How many rows of the audit log wait at most while the database is away.
const ROWS_MAX: usize = 10_000;
/// How many rows are written at once.
const ROWS_AT_ONCE: usize = 500;

/// What the database has of the configuration, and what is left to be written.
#[derive(Debug)]
pub(super) struct Written {
    caps: BTreeMap<String, u32>,
    clients: BTreeSet<String>,
    rows: VecDeque<AuditEntry>,
}

/// The ids of all clients.
fn clients_of(config: &Config) -> BTreeSet<String> {
    config.clients.iter().map(|client| client.id.clone()).collect()
}

impl Written {
    /// The database has this configuration.
    pub(super) fn new(config: &Config) -> Self {
        Self { caps: config.caps(), clients: clients_of(config), rows: VecDeque::new() }
    }

    /// What has to be written, so that the database has `config` and all rows.
    pub(super) fn left(&self, config: &Config) -> Vec<&'static str> {
        let all = [
            ("caps", self.caps != config.caps()),
            ("clients", self.clients != clients_of(config)),
            ("audit", !self.rows.is_empty()),
        ];
        all.into_iter().filter(|(_, is_left)| *is_left).map(|(name, _)| name).collect()
    }

    fn add(&mut self, rows: Vec<AuditEntry>) {
        self.rows.extend(rows);
        if let Some(lost @ 1..) = self.rows.len().checked_sub(ROWS_MAX) {
            self.rows.drain(..lost);
            tracing::error!(lost, "the database is away: changes are missing from the audit log");
        }
    }

    /// Writes all of it, in order, up to the first failure.
    async fn write(&mut self, store: &Store, config: &Config) -> Result<(), StoreError> {
        let (caps, clients) = (config.caps(), clients_of(config));
        if self.caps != caps {
            store.set_caps(caps.clone()).await?;
            self.caps = caps;
        }
        if self.clients != clients {
            store.set_clients(clients.clone()).await?;
            self.clients = clients;
        }
        while !self.rows.is_empty() {
            let rows: Vec<AuditEntry> = self.rows.iter().take(ROWS_AT_ONCE).cloned().collect();
            let count = rows.len();
            store.audit().record(rows).await?;
            self.rows.drain(..count);
        }
        Ok(())
    }
}

/// Writes what changes in `live`, and the rows that are `told`, until the other end of `told` is
/// dropped. `status` shows what is left.
pub(super) async fn run(
    store: Store,
    live: config::Live,
    mut written: Written,
    mut told: mpsc::Receiver<Vec<AuditEntry>>,
    status: Arc<watch::Sender<Arc<TuningStatus>>>,
) {
    let (mut changes, mut next_try) = (live.changes(), Instant::now());
    loop {
        let is_left = !written.left(&live.get()).is_empty();
        tokio::select! {
            rows = told.recv() => match rows {
                Some(rows) => written.add(rows),
                None => return,
            },
            Ok(()) = changes.changed() => {}
            () = tokio::time::sleep_until(next_try), if is_left => {}
        }
        if Instant::now() >= next_try {
            let config = live.get();
            if let Err(error) = written.write(&store, &config).await {
                let left = written.left(&config).join(", ");
                tracing::warn!(%error, left, "the configuration is not in the database yet");
                next_try = Instant::now() + AWAY_PAUSE;
            }
        }
        show(&status, written.left(&live.get()));
    }
}

fn show(status: &watch::Sender<Arc<TuningStatus>>, applying: Vec<&'static str>) {
    status.send_if_modified(|status| {
        let is_other = status.applying != applying;
        if is_other {
            *status = Arc::new(TuningStatus { applying, ..TuningStatus::clone(status) });
        }
        is_other
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Sources, store::Via};

    #[test]
    fn what_is_left_is_what_differs_and_rows_are_bounded() {
        let load = |clients: &str| {
            let env = vec![("POSTROOM__CLIENTS".to_owned(), clients.to_owned())];
            Config::load(&Sources { env, ..Sources::default() }).unwrap()
        };
        let one = load(r#"[{ id = "one" }]"#);
        let mut written = Written::new(&one);
        assert!(written.left(&one).is_empty());
        assert_eq!(written.left(&load(r#"[{ id = "one", max_running = 2 }]"#)), ["caps"]);
        assert_eq!(written.left(&load(r#"[{ id = "two" }]"#)), ["clients"]);
        let row = AuditEntry::new("file", Via::File, "config.reload");
        written.add(vec![row; ROWS_MAX + 1]);
        assert_eq!((written.left(&one), written.rows.len()), (vec!["audit"], ROWS_MAX));
    }
}
