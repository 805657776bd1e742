//! The leads of a group: finds them by their identities, makes the missing ones, and locks them.

use crate::{
    domain::{Id, OptOutSource},
    store::{
        engine::{
            Database, StoreError,
            sql::{Sql, sql},
            tx::{Tx, group},
        },
        inbox::{
            arrival::{Arrival, ChatKey},
            decide::{
                known::Known,
                people::{IdentityKey, identities, match_leads, wants_lead},
            },
        },
        tables::{
            drafts::{EndDrafts, end_drafts},
            leads::{Lead, Leads},
            opt_outs::{Suppression, Suspected, suppressed},
        },
    },
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;

sql! {
    /// The leads of identities. By primary key.
    static READ_IDENTITIES =
        "select i.client_id, i.kind, i.value, i.lead_id from @rows($1, client_id text, kind text, value text) g \
         join lead_identities i on i.client_id = g.client_id and i.kind = g.kind and i.value = g.value";

    /// Claims identities for leads, sorted. It claims fewer if another transaction has claimed one
    /// of them meanwhile.
    static PUT_IDENTITIES =
        "insert into lead_identities (client_id, kind, value, lead_id) \
         select g.client_id, g.kind, g.value, g.lead_id \
         from @rows($1, client_id text, kind text, value text, lead_id bigint) g \
         where true order by g.client_id, g.kind, g.value on conflict (client_id, kind, value) do nothing";
}

/// Finds the lead of every event that wants one, and claims the identities that are new. Returns
/// the leads that have a new identity of a person who opted out and was erased.
///
/// # Errors
/// A conflict if another transaction has claimed one of them meanwhile.
pub(super) async fn find_leads<'a>(
    db: &Database,
    tx: &Tx,
    arrivals: &mut [Arrival<'a>],
    chats: HashMap<ChatKey<'a>, Id>,
) -> Result<BTreeMap<Id, Suppression>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        kind: &'a str,
        value: &'a str,
        lead_id: Id,
    }
    let known = read_identities(tx, arrivals).await?;
    let new = match_leads(arrivals, known, chats, &|| db.next_id());
    if new.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<Row<'_>> = new
        .into_iter()
        .map(|(IdentityKey { client_id, kind, value }, lead_id)| Row {
            client_id,
            kind,
            value,
            lead_id,
        })
        .collect();
    let claimed = tx.run(&PUT_IDENTITIES, [group(&rows)?]).await?;
    if claimed != rows.len() as u64 {
        return Err(StoreError::Conflict("an identity was claimed meanwhile".to_owned()));
    }
    let claimed: Vec<Suspected<'_>> = rows
        .iter()
        .map(|Row { client_id, kind, value, lead_id }| Suspected {
            client_id,
            kind,
            value,
            lead_id: *lead_id,
        })
        .collect();
    suppressed(db, tx, &claimed).await
}

/// Opts out the leads that have an identity of a person who opted out and was erased. They are
/// locked.
pub(super) async fn opt_out_suppressed(
    db: &Database,
    tx: &Tx,
    leads: &mut Leads,
    suppressed: BTreeMap<Id, Suppression>,
) -> Result<(), StoreError> {
    let mut ended = Vec::new();
    for (lead_id, suppression) in suppressed {
        let is_new = leads.is_new(lead_id);
        let Some(lead) = leads.get_mut(lead_id) else { continue };
        if lead.opt_out(suppression.fact, OptOutSource::Suppression, None) && !is_new {
            ended.push(EndDrafts::opted_out(lead_id));
        }
    }
    end_drafts(db.channels(), tx, &ended).await
}

/// The stored leads of the group's identities.
async fn read_identities<'a>(
    tx: &Tx,
    arrivals: &[Arrival<'a>],
) -> Result<HashMap<IdentityKey<'a>, Id>, StoreError> {
    let asked: Vec<IdentityKey<'a>> =
        arrivals.iter().filter(|arrival| wants_lead(arrival)).flat_map(identities).collect();
    let parts = |key: &IdentityKey<'a>| [key.client_id, key.kind, key.value];
    leads_by_key(tx, &READ_IDENTITIES, asked, ["client_id", "kind", "value"], parts).await
}

/// Runs a statement that returns a `lead_id` for keys of three texts. Returns the leads by key;
/// keys without a lead are missing. `columns` are those of the key, in the order of `parts`.
pub(super) async fn leads_by_key<'a, K: Copy + Eq + Hash + Serialize>(
    tx: &Tx,
    statement: &Sql,
    asked: Vec<K>,
    columns: [&str; 3],
    parts: impl Fn(&K) -> [&'a str; 3],
) -> Result<HashMap<K, Id>, StoreError> {
    let mut leads = HashMap::new();
    if asked.is_empty() {
        return Ok(leads);
    }
    let rows = tx.all(statement, [group(&asked)?]).await?;
    let asked: HashMap<[&str; 3], K> = asked.iter().map(|key| (parts(key), *key)).collect();
    for row in rows {
        let [first, second, third] = columns.map(|column| row.try_get::<String>("", column));
        let (first, second, third) = (first?, second?, third?);
        if let Some(key) = asked.get(&[first.as_str(), second.as_str(), third.as_str()]) {
            leads.insert(*key, row.try_get("", "lead_id")?);
        }
    }
    Ok(leads)
}

/// Locks the leads of events, of duplicates and of changed messages, and adds the new ones.
///
/// # Errors
/// A conflict if one of them was merged into another or erased since it was found.
pub(super) async fn lock_leads(
    tx: &Tx,
    arrivals: &[Arrival<'_>],
    known: &Known,
) -> Result<Leads, StoreError> {
    let of_events = || arrivals.iter().filter_map(|arrival| arrival.lead);
    let made: HashSet<Id> =
        of_events().filter(|lead| lead.is_new).map(|lead| lead.lead_id).collect();
    let repeated = known.repeated.values().filter(|repeated| repeated.needs_lock());
    let ids: BTreeSet<Id> = of_events()
        .map(|lead| lead.lead_id)
        .chain(arrivals.iter().flat_map(|arrival| arrival.meets.iter().copied()))
        .chain(repeated.map(|repeated| repeated.message.lead_id))
        .chain(known.changeable.values().map(|changeable| changeable.lead_id))
        .filter(|id| !made.contains(id))
        .collect();
    let mut leads = Leads::lock(tx, &ids).await?;
    if leads.has_merged() {
        return Err(StoreError::Conflict("a lead was merged meanwhile".to_owned()));
    }
    // A chat or a key may name a message whose lead is being erased: then it is read again.
    let of_stored = of_events().filter(|lead| !lead.is_new).map(|lead| lead.lead_id);
    let met = arrivals.iter().flat_map(|arrival| arrival.meets.iter().copied());
    if of_stored.chain(met).any(|id| !made.contains(&id) && !leads.has(id)) {
        return Err(StoreError::Conflict("a lead was erased meanwhile".to_owned()));
    }
    for arrival in arrivals {
        if let Some(lead) = arrival.lead.filter(|lead| lead.is_new) {
            leads.add(Lead::new(lead.lead_id, &arrival.inbound.client_id));
        }
    }
    Ok(leads)
}
