//! Jobs of clients that are in no node's configuration. They are held until their client is back.
//!
//! Each node stores which clients it knows. A node that claims a job of another client releases it,
//! and claims no more jobs of that client: another node may know it. If no node does, the leader
//! holds the client's heads by a cap of 0 (docs/decisions/0010). Otherwise the nodes would claim
//! and release the backlog again and again. A configuration cannot set a cap of 0.

use super::caps::{self, Caps};
use crate::domain::{
    Id,
    job::{SELF_CHECK, SYSTEM_CLIENT},
};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{column, read},
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The most clients whose jobs a node leaves to others. Jobs of further ones are postponed.
const LEFT_MAX: usize = 1_000;
/// The most heads that one transaction holds or admits.
const HEADS_MAX: i64 = 1_000;

sql! {
    /// Stores which clients a node knows. By primary key.
    static PUT_CLIENTS = "update nodes set clients = $2 where id = $1";

    /// The clients that each node knows, of nodes that work jobs. Reads the small table as a whole.
    static READ_CLIENTS =
        "select id, clients from nodes where role <> 'ingest'";

    /// The clients that ever had a job. A `SELF_CHECK` needs no configuration. Reads the small
    /// table as a whole.
    static READ_CLIENTS_WITH_JOBS =
        "select distinct client_id from job_clients where kind <> $1 and client_id <> $2";

    /// Those of these clients that have a waiting head in turn. Reads the small table as a whole.
    static READ_CLIENTS_IN_TURN =
        "select distinct r.client_id from job_ready r where r.turn is not null and r.node is null \
           and r.client_id in (select g.client_id from @rows($1, client_id text) g)";

    /// Holds heads of a client that are not claimed: the next ones after a line, in the order of
    /// lines. The client's row in `job_caps` is locked. Walks the primary key.
    static HOLD_HEADS =
        "update job_ready set held = turn, turn = null where line in (select r.line from job_ready r \
           where r.line > $2 and r.client_id = $1 and r.turn is not null and r.node is null order by r.line limit $3) \
           and turn is not null and node is null returning line";

    /// Deletes caps of 0 of clients that have no held heads any more. By primary key.
    static DELETE_CAPS_OF_NOTHING =
        "delete from job_caps where cap = 0 and held = 0 \
           and client_id in (select g.client_id from @rows($1, client_id text) g)";
}

/// The clients whose jobs this process leaves to others: it has met a job of each, and does not
/// know them.
#[derive(Debug, Default)]
pub(in crate::store) struct UnknownClientsLeft(Mutex<BTreeSet<String>>);

impl UnknownClientsLeft {
    /// Claims no more jobs of this client, which this process does not know. False if the list is
    /// full.
    pub(in crate::store) fn leave(&self, client_id: &str) -> bool {
        let mut left = self.clients();
        let is_noted = left.contains(client_id);
        if !is_noted && left.len() < LEFT_MAX {
            tracing::info!(
                client.id = client_id,
                "has jobs and is not in the configuration: its jobs wait, or another node runs them"
            );
            return left.insert(client_id.to_owned());
        }
        is_noted
    }

    /// Claims jobs again of the clients that the configuration knows by now.
    pub(in crate::store) fn take_up(&self, is_known: impl Fn(&str) -> bool) {
        self.clients().retain(|client_id| !is_known(client_id));
    }

    fn clients(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of these clients.
    pub(in crate::store) fn names(&self) -> Vec<String> {
        self.clients().iter().cloned().collect()
    }
}

/// Stores which clients this process knows, and admits the heads of them that were held while no
/// node knew them.
pub(in crate::store) async fn set_known(
    db: &Database,
    clients: &BTreeSet<String>,
) -> Result<(), StoreError> {
    let list = serde_json::Value::from(clients.iter().cloned().collect::<Vec<_>>());
    db.write("clients", async |tx| {
        tx.run(&PUT_CLIENTS, [db.node().into(), list.to_string().into()]).await?;
        tx.commit(()).await
    })
    .await?;
    let capped = caps::capped_at_zero(db).await?;
    for client_id in capped.keys().filter(|client_id| clients.contains(*client_id)) {
        admit_held(db, client_id).await?;
    }
    Ok(())
}

/// Holds the heads of clients that no node knows, and admits those of clients that are known again.
/// Nodes in `dead` do not count. Returns the clients whose heads were held now.
pub(in crate::store) async fn hold_unknown(
    db: &Database,
    dead: &[Id],
) -> Result<Vec<String>, StoreError> {
    let Some(unknown) = unknown(db, dead).await? else { return Ok(Vec::new()) };
    // 1. Admit the heads of clients that are known again.
    for (client_id, held) in caps::capped_at_zero(db).await? {
        if held == 0 || !unknown.contains(&client_id) {
            admit_held(db, &client_id).await?;
        }
    }
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    // 2. Hold the heads of unknown clients.
    let clients = caps::client_rows(unknown.iter().map(String::as_str))?;
    let mut held: Vec<String> = Vec::new();
    for row in read(db.scans(), &READ_CLIENTS_IN_TURN, [clients]).await? {
        let client_id: String = row.try_get("", "client_id")?;
        hold(db, &client_id).await?;
        held.push(client_id);
    }
    Ok(held)
}

/// The clients that have had jobs and that no node knows. `None` if a node of an earlier version
/// lives, which does not say which clients it knows.
async fn unknown(db: &Database, dead: &[Id]) -> Result<Option<BTreeSet<String>>, StoreError> {
    let reader = db.reader();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for row in read(reader, &READ_CLIENTS, []).await? {
        if dead.contains(&row.try_get("", "id")?) {
            continue;
        }
        let clients: Option<String> = row.try_get("", "clients")?;
        let clients = clients.and_then(|list| serde_json::from_str::<Vec<String>>(&list).ok());
        // A node that does not say so may know any client.
        let Some(clients) = clients else { return Ok(None) };
        known.extend(clients);
    }
    let mut unknown = BTreeSet::new();
    let values = [SELF_CHECK.0.into(), SYSTEM_CLIENT.into()];
    for row in read(reader, &READ_CLIENTS_WITH_JOBS, values).await? {
        let client_id: String = row.try_get("", "client_id")?;
        if !known.contains(&client_id) {
            unknown.insert(client_id);
        }
    }
    Ok(Some(unknown))
}

/// Holds all heads of a client, except those that run.
async fn hold(db: &Database, client_id: &str) -> Result<(), StoreError> {
    db.write("rest", async |tx| {
        caps::cap_at_zero(&tx, client_id).await?;
        tx.commit(()).await
    })
    .await?;
    // From now on, every transaction that moves a head of the client has to count it.
    db.connections().set_has_caps(true);
    let mut after = Id::MIN;
    loop {
        let lines = db.write("rest", async |tx| {
            let mut caps = Caps::lock(&tx, [client_id]).await?;
            let mut lines: Vec<Id> = Vec::new();
            let values = [client_id.into(), after.into(), HEADS_MAX.into()];
            for row in tx.all(&HOLD_HEADS, values).await? {
                lines.push(row.try_get("", "line")?);
                caps.is_held(client_id);
            }
            caps.admit_and_write(&tx).await?;
            tx.commit(lines).await
        });
        let lines = lines.await?;
        match lines.iter().max() {
            Some(last) => after = *last,
            None => return Ok(()),
        }
    }
}

/// Admits all held heads of a client, and deletes its cap of 0.
async fn admit_held(db: &Database, client_id: &str) -> Result<(), StoreError> {
    db.connections().set_has_caps(true);
    loop {
        let is_over = db.write("rest", async |tx| {
            let mut caps = Caps::lock(&tx, [client_id]).await?;
            let is_over = caps.admit_held(&tx, client_id, HEADS_MAX).await?;
            caps.admit_and_write(&tx).await?;
            tx.run(&DELETE_CAPS_OF_NOTHING, [column("client_id", [client_id])?]).await?;
            tx.commit(is_over).await
        });
        if is_over.await? {
            return Ok(());
        }
    }
}
