//! Does what needs the database after a change: caps, known clients, and rows of the audit log.
//! While the database is away it tries again. No reload waits for it.

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
use tokio_util::sync::CancellationToken;

/// How many rows of the audit log wait at most while the database is away.
const ROWS_MAX: usize = 10_000;
/// How many rows are written at once.
const ROWS_AT_ONCE: usize = 500;

/// How many reloads and other changes may wait to be taken over by the writer of the audit log.
const TAKEN_OVER_MAX: usize = 1_024;

/// Takes rows of the audit log, which are written as soon as the database takes them.
#[derive(Clone, Debug)]
pub(super) struct AuditQueue(mpsc::Sender<Vec<AuditEntry>>);

impl AuditQueue {
    /// A queue, and what [`write_rows`] takes out of it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Vec<AuditEntry>>) {
        let (rows, told) = mpsc::channel(TAKEN_OVER_MAX);
        (Self(rows), told)
    }

    /// Has these rows written. The change is done already, so a failure here does not undo it.
    pub(super) fn record(&self, rows: Vec<AuditEntry>) {
        if let Err(error) = self.0.try_send(rows) {
            tracing::error!(%error, "a change is missing from the audit log");
        }
    }
}

/// What the database has of the configuration.
#[derive(Debug)]
pub(super) struct Written {
    caps: BTreeMap<String, u32>,
    clients: BTreeSet<String>,
}

/// The ids of all clients.
fn clients_of(config: &Config) -> BTreeSet<String> {
    config.clients.iter().map(|client| client.id.clone()).collect()
}

impl Written {
    /// What [`Written::left`] may name.
    const NAMES: [&str; 2] = ["caps", "clients"];

    /// The database has this configuration.
    pub(super) fn new(config: &Config) -> Self {
        Self { caps: config.caps(), clients: clients_of(config) }
    }

    /// What has to be written, so that the database has `config`.
    pub(super) fn left(&self, config: &Config) -> Vec<&'static str> {
        let is_left = [self.caps != config.caps(), self.clients != clients_of(config)];
        let all = Self::NAMES.into_iter().zip(is_left);
        all.filter(|(_, is_left)| *is_left).map(|(name, _)| name).collect()
    }

    /// Writes what is left. What fails does not keep the other from being written. Returns what
    /// has failed.
    async fn write(&mut self, store: &Store, config: &Config) -> Vec<(&'static str, StoreError)> {
        let (caps, clients) = (config.caps(), clients_of(config));
        let mut failed = Vec::new();
        if self.caps != caps {
            match store.set_caps(caps.clone()).await {
                Ok(()) => self.caps = caps,
                Err(error) => failed.push(("caps", error)),
            }
        }
        if self.clients != clients {
            match store.set_clients(clients.clone()).await {
                Ok(()) => self.clients = clients,
                Err(error) => failed.push(("clients", error)),
            }
        }
        failed
    }
}

/// Writes what changes in `live`, until `closing`. `status` shows what is left.
pub(super) async fn write_changes(
    store: Store,
    live: config::Live,
    mut written: Written,
    status: Arc<watch::Sender<Arc<TuningStatus>>>,
    closing: CancellationToken,
) {
    let (mut changes, mut next_try) = (live.changes(), Instant::now());
    loop {
        let is_left = !written.left(&live.get()).is_empty();
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = tokio::time::sleep_until(next_try), if is_left => {}
            () = closing.cancelled() => return,
        }
        if Instant::now() >= next_try {
            let failed = written.write(&store, &live.get()).await;
            for (left, error) in &failed {
                tracing::warn!(%error, left, "the configuration is not in the database yet");
                next_try = Instant::now() + AWAY_PAUSE;
            }
        }
        show(&status, &Written::NAMES, &written.left(&live.get()));
    }
}

/// Rows of the audit log that wait for the database, the oldest first.
#[derive(Debug, Default)]
struct WaitingRows {
    rows: VecDeque<AuditEntry>,
    /// How many of the first rows are written one by one, since one of them is refused.
    alone: usize,
}

impl WaitingRows {
    fn add(&mut self, rows: Vec<AuditEntry>) {
        self.rows.extend(rows);
        if let Some(lost @ 1..) = self.rows.len().checked_sub(ROWS_MAX) {
            self.rows.drain(..lost);
            tracing::error!(lost, "the database is away: changes are missing from the audit log");
        }
    }

    /// The rows that are written next.
    fn portion(&self) -> Vec<AuditEntry> {
        let count = if self.alone > 0 { 1 } else { ROWS_AT_ONCE };
        self.rows.iter().take(count).cloned().collect()
    }

    /// Notes how the write of a portion has ended. A row that the database refuses is dropped.
    ///
    /// # Errors
    /// If the rows may be written later.
    fn ended(&mut self, count: usize, result: Result<(), StoreError>) -> Result<(), StoreError> {
        match result {
            Ok(()) => {}
            Err(error) if error.is_data() && count > 1 => {
                self.alone = count;
                return Ok(());
            }
            Err(error) if error.is_data() => {
                let action = self.rows.front().map(|row| row.action);
                tracing::error!(%error, action, "a change is missing from the audit log");
            }
            Err(error) => return Err(error),
        }
        self.rows.drain(..count.min(self.rows.len()));
        self.alone = self.alone.saturating_sub(count);
        Ok(())
    }

    /// Writes all of them, up to the first failure that may pass.
    async fn write(&mut self, store: &Store) -> Result<(), StoreError> {
        while !self.rows.is_empty() {
            let rows = self.portion();
            let count = rows.len();
            let result = store.audit().record(rows).await;
            self.ended(count, result)?;
        }
        Ok(())
    }
}

/// Writes the rows that are `told`, until `closing`, and then those that still wait. `status` shows
/// whether rows wait.
pub(super) async fn write_rows(
    store: Store,
    mut told: mpsc::Receiver<Vec<AuditEntry>>,
    status: Arc<watch::Sender<Arc<TuningStatus>>>,
    closing: CancellationToken,
) {
    const NAME: &str = "audit";
    let (mut waiting, mut next_try) = (WaitingRows::default(), Instant::now());
    loop {
        let is_closing = closing.is_cancelled();
        if is_closing {
            while let Ok(rows) = told.try_recv() {
                waiting.add(rows);
            }
            if waiting.rows.is_empty() {
                return;
            }
        }
        let is_left = !waiting.rows.is_empty();
        tokio::select! {
            Some(rows) = told.recv() => waiting.add(rows),
            () = tokio::time::sleep_until(next_try), if is_left => {}
            () = closing.cancelled(), if !is_closing => continue,
        }
        if Instant::now() >= next_try
            && let Err(error) = waiting.write(&store).await
        {
            let count = waiting.rows.len();
            tracing::warn!(%error, count, "rows of the audit log wait for the database");
            next_try = Instant::now() + AWAY_PAUSE;
        }
        let left: &[&str] = if waiting.rows.is_empty() { &[] } else { &[NAME] };
        show(&status, &[NAME], left);
    }
}

/// Shows what of `names` is left.
fn show(status: &watch::Sender<Arc<TuningStatus>>, names: &[&str], left: &[&'static str]) {
    status.send_if_modified(|status| {
        let others = status.applying.iter().filter(|name| !names.contains(name));
        let applying: Vec<&str> = others.chain(left).copied().collect();
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
    fn what_is_left_is_what_differs() {
        let load = |clients: &str| {
            let env = vec![("POSTROOM__CLIENTS".to_owned(), clients.to_owned())];
            Config::load(&Sources { env, ..Sources::default() }).unwrap()
        };
        let one = load(r#"[{ id = "one" }]"#);
        let written = Written::new(&one);
        assert!(written.left(&one).is_empty());
        assert_eq!(written.left(&load(r#"[{ id = "one", max_running = 2 }]"#)), ["caps"]);
        assert_eq!(written.left(&load(r#"[{ id = "two" }]"#)), ["clients"]);
    }

    fn rows(actions: &[&'static str]) -> WaitingRows {
        let mut waiting = WaitingRows::default();
        waiting.add(actions.iter().map(|it| AuditEntry::new("file", Via::File, it)).collect());
        waiting
    }

    #[test]
    fn rows_that_wait_are_bounded() {
        let waiting = rows(&["config.reload"; ROWS_MAX + 1]);
        assert_eq!((waiting.rows.len(), waiting.portion().len()), (ROWS_MAX, ROWS_AT_ONCE));
    }

    #[test]
    fn a_row_that_is_refused_holds_up_no_other_and_an_outage_loses_none() {
        let mut waiting = rows(&["one", "wrong", "two"]);
        let away = waiting.ended(3, Err(StoreError::Unreachable("away".to_owned())));
        assert!(away.is_err() && waiting.portion().len() == 3);
        let mut written = Vec::new();
        while !waiting.rows.is_empty() {
            let portion: Vec<&str> = waiting.portion().iter().map(|row| row.action).collect();
            let is_wrong = portion.contains(&"wrong");
            let result = if is_wrong { Err(StoreError::Data("wrong".to_owned())) } else { Ok(()) };
            waiting.ended(portion.len(), result).unwrap();
            written.extend(portion.into_iter().filter(|_| !is_wrong));
        }
        assert_eq!((written, waiting.alone), (vec!["one", "two"], 0));
    }
}
