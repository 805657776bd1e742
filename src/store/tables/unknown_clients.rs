//! Jobs of clients that are in no configuration: they stay, out of turn, until their client is
//! back.
//!
//! Each node says which clients it knows. A node that claims a job of a client that it does not
//! know gives it back and claims no more of that client: a neighbour may know it. Where no node
//! does, the node that leads takes the client's heads out of turn by a cap of 0
//! (docs/decisions/0010), so that nobody claims and gives back a backlog again and again. A cap of
//! 0 is never one of the configuration.

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

/// How many clients a node leaves to others. Jobs of further ones are postponed.
const LEFT_MAX: usize = 1_000;
/// Heads that one transaction takes out of turn or lets in.
const HEADS_MAX: i64 = 1_000;

sql! {
    /// Says which clients a node knows.
    static PUT_CLIENTS = "update nodes set clients = $2 where id = $1";

    /// Which clients nodes know that work jobs.
    static READ_CLIENTS =
        "select id, clients from nodes where role <> 'ingest'";

    /// The clients that ever had a job. A `SELF_CHECK` needs no configuration.
    static READ_CLIENTS_WITH_JOBS =
        "select distinct client_id from job_clients where kind <> $1 and client_id <> $2";

    /// Those of these clients of which a job waits in turn. Reads the small table whole.
    static READ_CLIENTS_IN_TURN =
        "select distinct r.client_id from job_ready r where r.turn is not null and r.node is null \
           and r.client_id in (select g.client_id from @rows($1, client_id text) g)";

    /// Takes heads of a client out of turn, the next ones by line that nobody has claimed. Walks the
    /// primary key.
    static HOLD_HEADS =
        "update job_ready set held = turn, turn = null where line in (select r.line from job_ready r \
           where r.line > $2 and r.client_id = $1 and r.turn is not null and r.node is null order by r.line limit $3) \
           and turn is not null and node is null returning line";

    /// Takes caps of 0 away from clients that have nothing held any more. By primary key.
    static DELETE_CAPS_OF_NOTHING =
        "delete from job_caps where cap = 0 and held = 0 \
           and client_id in (select g.client_id from @rows($1, client_id text) g)";
}

/// The clients that this process does not know and of which it has met a job.
#[derive(Debug, Default)]
pub(in crate::store) struct UnknownClientsLeft(Mutex<BTreeSet<String>>);

impl UnknownClientsLeft {
    /// Claims no more jobs of this client, which this process does not know. False where the list
    /// is full.
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

    /// Claims jobs of those clients again that the configuration knows by now.
    pub(in crate::store) fn take_up(&self, is_known: impl Fn(&str) -> bool) {
        self.clients().retain(|client_id| !is_known(client_id));
    }

    fn clients(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Their names.
    pub(in crate::store) fn names(&self) -> Vec<String> {
        self.clients().iter().cloned().collect()
    }
}

/// Says which clients this process knows, and lets in what was held of them while nobody did.
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
    let resting = caps::resting(db).await?;
    for (client_id, _) in resting.iter().filter(|(it, _)| clients.contains(*it)) {
        let_in(db, client_id).await?;
    }
    Ok(())
}

/// Takes jobs out of turn of clients that no node knows, and lets those in that are known again.
/// Returns the clients of which jobs were taken out.
pub(in crate::store) async fn rest_unknown(
    db: &Database,
    dead: &[Id],
) -> Result<Vec<String>, StoreError> {
    let Some(unknown) = unknown(db, dead).await? else { return Ok(Vec::new()) };
    for (client_id, held) in caps::resting(db).await? {
        if held == 0 || !unknown.contains(&client_id) {
            let_in(db, &client_id).await?;
        }
    }
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let clients = caps::client_rows(unknown.iter().map(String::as_str))?;
    let mut rested: Vec<String> = Vec::new();
    for row in read(db.scans(), &READ_CLIENTS_IN_TURN, [clients]).await? {
        let client_id: String = row.try_get("", "client_id")?;
        hold(db, &client_id).await?;
        rested.push(client_id);
    }
    Ok(rested)
}

/// The clients that have had jobs and that no node knows; `None` where that cannot be said.
async fn unknown(db: &Database, dead: &[Id]) -> Result<Option<BTreeSet<String>>, StoreError> {
    let reader = db.reader();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for row in read(reader, &READ_CLIENTS, []).await? {
        if dead.contains(&row.try_get("", "id")?) {
            continue;
        }
        let clients: Option<String> = row.try_get("", "clients")?;
        // A node of a version that does not say so may know any client.
        let Some(clients) = clients.and_then(|it| serde_json::from_str::<Vec<String>>(&it).ok())
        else {
            return Ok(None);
        };
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

/// Takes all heads of a client out of turn, but those that run.
async fn hold(db: &Database, client_id: &str) -> Result<(), StoreError> {
    db.write("rest", async |tx| {
        caps::rest(&tx, client_id).await?;
        tx.commit(()).await
    })
    .await?;
    // Whoever moves a head of the client from now on has to count it.
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
            caps.settle(&tx).await?;
            tx.commit(lines).await
        });
        let lines = lines.await?;
        match lines.iter().max() {
            Some(last) => after = *last,
            None => return Ok(()),
        }
    }
}

/// Lets in what is held of a client, and takes its cap of 0 away.
async fn let_in(db: &Database, client_id: &str) -> Result<(), StoreError> {
    db.connections().set_has_caps(true);
    loop {
        let is_over = db.write("rest", async |tx| {
            let mut caps = Caps::lock(&tx, [client_id]).await?;
            let is_over = caps.let_in(&tx, client_id, HEADS_MAX).await?;
            caps.settle(&tx).await?;
            tx.run(&DELETE_CAPS_OF_NOTHING, [column("client_id", [client_id])?]).await?;
            tx.commit(is_over).await
        });
        if is_over.await? {
            return Ok(());
        }
    }
}
