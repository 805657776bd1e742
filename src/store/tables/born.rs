//! Jobs that are born running: stored as jobs that this node runs already, by the transaction that
//! enqueues them (docs/decisions/0044).
//!
//! Such a head takes no turn from its client. It has V of its kind as its turn, so that it stays
//! among the claimed rows that the node finds again, and so that V need not rise: raising V belongs
//! to claims, which wait for nobody.

use super::{
    caps::Caps,
    lines::{Entry, Place, Placed},
};
use crate::domain::{
    Id,
    fairness::Turn,
    hand_off::{NewHead, choose},
};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, group},
};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

sql! {
    /// Appends heads that this node runs from the start, except of a kind that has a waiting head
    /// in the database, and of a kind that nobody has claimed yet: it has no V. Their leads are
    /// locked. By primary key and, once for each kind, by `job_ready_turn`: the floor keeps it from
    /// reading over claimed rows that are gone.
    static PUT_BORN =
        "insert into job_ready (line, job_id, kind, client_id, turn, run, spared, due_at, node, locked_at) \
         select g.line, g.job_id, g.kind, g.client_id, v.turn, 1, 0, @now, $2, @now \
         from @rows($1, line bigint, job_id bigint, kind text, client_id text) g \
         join (select kind, max(turn) as turn from job_clock group by kind) v on v.kind = g.kind \
         where g.kind not in (select k.kind from @rows($3, kind text, floor bigint) k where exists ( \
           select 1 from job_ready r where r.kind = k.kind and r.turn >= k.floor and r.turn is not null and r.node is null)) \
         order by g.line returning line, turn";

    /// The kinds that have been claimed before and have no waiting head in the database. Looks once
    /// for each kind, by `job_ready_turn`, as above.
    static READ_CALM_KINDS =
        "select k.kind from @rows($1, kind text, floor bigint) k \
         where exists (select 1 from job_clock c where c.kind = k.kind) and not exists ( \
           select 1 from job_ready r where r.kind = k.kind and r.turn >= k.floor and r.turn is not null and r.node is null)";
}

/// Places for jobs of one kind, lent by the pool of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreePlaces {
    /// The kind.
    pub kind: &'static str,
    /// No head that waits has a lower turn (see *floor* in docs/GLOSSARY.md).
    pub floor: Turn,
    /// How many.
    pub count: usize,
}

/// A head that this node runs from the start.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Born {
    pub(in crate::store) job_id: Id,
    pub(in crate::store) line: Id,
    pub(in crate::store) turn: Turn,
}

/// Stores those of the new heads of `placed` that find a place as running jobs of `node`, and takes
/// them out of `placed`. Only jobs of `entries` are chosen: they have never run. The caps of their
/// clients are locked; their turns must not be taken yet.
pub(in crate::store) async fn put_born(
    tx: &Tx,
    node: Id,
    places: &[FreePlaces],
    entries: &[Entry],
    placed: &mut Placed,
    caps: &mut Caps,
) -> Result<Vec<Born>, StoreError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    // 1. Choose the heads.
    let new: HashSet<Id> = entries.iter().map(|entry| entry.id).collect();
    let is_candidate = |place: &&Place| new.contains(&place.job_id) && place.run == 0;
    let candidates: Vec<&Place> = placed.ready.iter().filter(is_candidate).collect();
    let heads: Vec<NewHead<'_>> = candidates
        .iter()
        .map(|place| NewHead { kind: &place.kind, client_id: &place.client_id })
        .collect();
    let counts = places.iter().map(|it| (it.kind, it.count)).collect();
    let chosen = choose(&heads, &counts, |client_id| caps.client_room(client_id));
    let chosen = chosen.into_iter().filter_map(|number| candidates.get(number).copied());
    // 2. Store them, unless somebody waits.
    let turns = put(tx, node, chosen, places).await?;
    // 3. Take them out, and count them for their clients' caps.
    let mut born = Vec::with_capacity(turns.len());
    placed.ready.retain(|place| match turns.get(&place.line) {
        Some(turn) => {
            caps.enters(&place.client_id);
            born.push(Born { job_id: place.job_id, line: place.line, turn: *turn });
            false
        }
        None => true,
    });
    Ok(born)
}

/// Of the kinds of `places`, those of which a head may be born running now.
pub(in crate::store) async fn calm_kinds<'a>(
    tx: &Tx,
    places: impl Iterator<Item = &'a FreePlaces>,
) -> Result<HashSet<String>, StoreError> {
    let mut calm = HashSet::new();
    for row in tx.all(&READ_CALM_KINDS, [floors(places)?]).await? {
        calm.insert(row.try_get("", "kind")?);
    }
    Ok(calm)
}

/// Stores new heads as running jobs of `node`: they were chosen among those of the calm kinds, and
/// their clients have room in their caps.
///
/// # Errors
/// A conflict if a kind has no V any more.
pub(in crate::store) async fn put_chosen(
    tx: &Tx,
    node: Id,
    heads: &[Place],
    caps: &mut Caps,
) -> Result<Vec<Born>, StoreError> {
    let turns = put(tx, node, heads.iter(), &[]).await?;
    let mut born = Vec::with_capacity(heads.len());
    for Place { line, job_id, client_id, .. } in heads {
        let Some(turn) = turns.get(line) else {
            return Err(StoreError::Conflict("a kind has lost its clock".to_owned()));
        };
        caps.enters(client_id);
        born.push(Born { job_id: *job_id, line: *line, turn: *turn });
    }
    Ok(born)
}

/// Stores heads as running jobs of `node`, except of those kinds of `places` of which somebody
/// waits. Returns the turns of those that were stored, by line.
async fn put<'a>(
    tx: &Tx,
    node: Id,
    heads: impl Iterator<Item = &'a Place>,
    places: &[FreePlaces],
) -> Result<HashMap<Id, Turn>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        line: Id,
        job_id: Id,
        kind: &'a str,
        client_id: &'a str,
    }
    let rows: Vec<Row<'_>> = heads
        .map(|Place { line, job_id, kind, client_id, .. }| Row {
            line: *line,
            job_id: *job_id,
            kind,
            client_id,
        })
        .collect();
    let mut turns: HashMap<Id, Turn> = HashMap::new();
    if rows.is_empty() {
        return Ok(turns);
    }
    let values = [group(&rows)?, node.into(), floors(places.iter())?];
    for row in tx.all(&PUT_BORN, values).await? {
        turns.insert(row.try_get("", "line")?, row.try_get("", "turn")?);
    }
    Ok(turns)
}

/// The kinds and floors of `places` as the parameter of a statement.
fn floors<'a>(places: impl Iterator<Item = &'a FreePlaces>) -> Result<sea_orm::Value, StoreError> {
    #[derive(Serialize)]
    struct Row {
        kind: &'static str,
        floor: Turn,
    }
    let rows: Vec<Row> = places.map(|it| Row { kind: it.kind, floor: it.floor }).collect();
    group(&rows)
}
