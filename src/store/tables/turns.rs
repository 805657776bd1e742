//! Turns: the numbers by which the claim takes jobs in a fair order over clients
//! (`domain::fairness`).

use crate::domain::fairness::Turn;
use crate::store::engine::{
    Sql, StoreError,
    sql::sql,
    tx::{Tx, group},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

sql! {
    /// Gives `n` turns to each client and kind, after V of the kind and after the client's last
    /// turn. Returns the last turn given. The row locks serialise the client's enqueues of that
    /// kind. The excluded row carries V in `last_due`, so that the update can compute `n`. By
    /// primary key.
    static TAKE_TURNS =
        "insert into job_clients (client_id, kind, last_turn, last_due) \
         select g.client_id, g.kind, coalesce(v.turn, 0) - 1 + g.n, coalesce(v.turn, 0) - 1 \
         from @rows($1, client_id text, kind text, n bigint) g \
         left join (select kind, max(turn) as turn from job_clock group by kind) v on v.kind = g.kind \
         where true order by g.kind, g.client_id \
         on conflict (client_id, kind) do update set last_turn = \
           case when job_clients.last_turn > excluded.last_due then job_clients.last_turn else excluded.last_due end \
           + (excluded.last_turn - excluded.last_due) \
         returning client_id, kind, last_turn";

    /// Locks the rows of these clients and kinds, in the order in which turns are taken. It makes
    /// missing rows, so that none has to be made later, when heads are locked. By primary key.
    static LOCK_TURNS =
        "insert into job_clients (client_id, kind, last_turn, last_due) select g.client_id, g.kind, 0, 0 \
         from @rows($1, client_id text, kind text) g where true order by g.kind, g.client_id \
         on conflict (client_id, kind) do update set last_turn = job_clients.last_turn";
}

/// Locks the turns of these (kind, client) pairs. The caps of the clients are locked already.
pub(in crate::store) async fn lock_turns(
    tx: &Tx,
    of: &BTreeSet<(String, String)>,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        kind: &'a str,
        client_id: &'a str,
    }
    let rows: Vec<Row<'_>> = of.iter().map(|(kind, client_id)| Row { kind, client_id }).collect();
    if !rows.is_empty() {
        tx.run(&LOCK_TURNS, [group(&rows)?]).await?;
    }
    Ok(())
}

/// By (kind, client): how many turns are needed. Sorted, as their rows are locked.
#[derive(Debug, Default)]
pub(in crate::store) struct TurnsNeeded(BTreeMap<(String, String), i64>);

/// Turns that were given. By (kind, client): the next one to use.
#[derive(Debug, Default)]
pub(in crate::store) struct Turns(HashMap<(String, String), Turn>);

impl TurnsNeeded {
    /// One more turn is needed.
    pub(in crate::store) fn add(&mut self, kind: &str, client_id: &str) {
        *self.0.entry((kind.to_owned(), client_id.to_owned())).or_default() += 1;
    }

    /// Takes them from `job_clients`, in one statement.
    pub(in crate::store) async fn take(self, tx: &Tx) -> Result<Turns, StoreError> {
        self.take_with(tx, &TAKE_TURNS, "last_turn").await
    }

    /// The same with another statement, which returns the last turn in `column`. Jobs that become
    /// due have one of their own: they must not wait behind their client's backlog.
    pub(in crate::store) async fn take_with(
        self,
        tx: &Tx,
        statement: &Sql,
        column: &str,
    ) -> Result<Turns, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            kind: &'a str,
            client_id: &'a str,
            n: i64,
        }
        if self.0.is_empty() {
            return Ok(Turns::default());
        }
        let rows: Vec<Row<'_>> =
            self.0.iter().map(|((kind, client_id), n)| Row { kind, client_id, n: *n }).collect();
        let mut turns = HashMap::new();
        for row in tx.all(statement, [group(&rows)?]).await? {
            let key: (String, String) = (row.try_get("", "kind")?, row.try_get("", "client_id")?);
            let last: Turn = row.try_get("", column)?;
            let n = self.0.get(&key).copied().unwrap_or_default();
            turns.insert(key, last - n + 1);
        }
        Ok(Turns(turns))
    }
}

impl Turns {
    /// The next turn of this kind and client, which was counted with [`TurnsNeeded::add`] before.
    pub(in crate::store) fn next(&mut self, kind: &str, client_id: &str) -> Turn {
        match self.0.get_mut(&(kind.to_owned(), client_id.to_owned())) {
            Some(turn) => {
                *turn += 1;
                *turn - 1
            }
            None => 0,
        }
    }
}
