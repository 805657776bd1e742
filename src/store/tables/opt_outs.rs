//! Opt-outs as facts of their own, and the suppression of people whose data was erased
//! (docs/RULES.md OPT-OUT, decision 0033).
//!
//! While a lead exists, `leads.opted_out_*` is the view of its oldest standing opt-out, and whoever
//! has one of its identities is that lead. Once it is erased, only keyed hashes of its identities
//! are left. A lead that claims such an identity is opted out in the same transaction.

use super::identities::StoredIdentity;
use crate::domain::{Id, OptOutSource, Timestamp};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{Tx, group},
};
use ring::hmac;
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

sql! {
    /// Adds opt-outs. Their leads are locked. One that is the same as one that is not lifted is
    /// left out: of the same source in the same message or, outside of messages, on the same
    /// channel for the same reason. By `opt_outs_of_lead`.
    static PUT_OPT_OUTS =
        "insert into opt_outs (id, client_id, lead_id, opted_out_at, channel, message_id, reason, source, noted_by) \
         select g.id, g.client_id, g.lead_id, g.opted_out_at, g.channel, g.message_id, g.reason, g.source, g.noted_by \
         from @rows($1, id bigint, client_id text, lead_id bigint, opted_out_at instant, channel text, message_id bigint, \
           reason text, source text, noted_by text) g \
         where (select count(*) from opt_outs o where o.lead_id = g.lead_id and o.lifted_at is null and o.source = g.source \
           and o.message_id is not distinct from g.message_id \
           and (g.message_id is not null or (o.channel is not distinct from g.channel and o.reason = g.reason))) = 0";

    /// The opt-outs of erased people who had these identities. By primary key.
    static READ_SUPPRESSED =
        "select g.lead_id, s.opt_out_id, @ms(o.opted_out_at) as opted_out_at, o.channel \
         from @rows($1, client_id text, identity_hash text, lead_id bigint) g \
         join suppressed s on s.client_id = g.client_id and s.identity_hash = g.identity_hash \
         join opt_outs o on o.id = s.opt_out_id";

    /// Puts another opt-out in the place of some, for all identities that these suppress. By
    /// `suppressed_of_opt_out`.
    static REPOINT_SUPPRESSED =
        "update suppressed set opt_out_id = $2 where opt_out_id @ids($1)";

    /// Suppresses identities, sorted. One that is suppressed already keeps its opt-out.
    static PUT_SUPPRESSED =
        "insert into suppressed (client_id, identity_hash, opt_out_id) select g.client_id, g.identity_hash, g.opt_out_id \
         from @rows($1, client_id text, identity_hash text, opt_out_id bigint) g \
         where true order by g.client_id, g.identity_hash on conflict (client_id, identity_hash) do nothing";
}

/// When, where and why a lead opted out.
#[derive(Clone, Debug)]
pub(in crate::store) struct OptedOut {
    pub(in crate::store) at: Timestamp,
    /// `None` if it was on no channel: a person noted it.
    pub(in crate::store) channel: Option<String>,
    pub(in crate::store) message_id: Option<Id>,
    pub(in crate::store) reason: String,
}

impl OptedOut {
    /// That of a row of `leads` that opted out at `at`.
    pub(super) fn from_row(row: &QueryResult, at: Timestamp) -> Result<Self, StoreError> {
        Ok(Self {
            at,
            channel: row.try_get("", "opted_out_channel")?,
            message_id: row.try_get("", "opted_out_message_id")?,
            reason: row.try_get::<Option<String>>("", "opted_out_reason")?.unwrap_or_default(),
        })
    }
}

/// A new row of `opt_outs`.
#[derive(Clone, Debug)]
pub(in crate::store) struct NewOptOut {
    pub(in crate::store) fact: OptedOut,
    pub(in crate::store) source: OptOutSource,
    /// The person who noted it, if one did.
    pub(in crate::store) by: Option<String>,
}

impl NewOptOut {
    /// True if both say the same, so that one row is enough: see `PUT_OPT_OUTS`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (one, two) = (&self.fact, &other.fact);
        self.source == other.source
            && one.message_id == two.message_id
            && (one.message_id.is_some()
                || (one.channel == two.channel && one.reason == two.reason))
    }
}

/// Adds the opt-outs of leads, each with its client and lead.
pub(super) async fn put(
    db: &Database,
    tx: &Tx,
    new: &[(&str, Id, &NewOptOut)],
) -> Result<(), StoreError> {
    let rows: Vec<OptOutPut<'_>> = new
        .iter()
        .map(|(client, lead_id, new)| OptOutPut::new(db.next_id(), client, Some(*lead_id), new))
        .collect();
    put_rows(tx, &rows).await
}

/// Adds the opt-out of a person of whom nothing else is kept. Returns its id.
pub(in crate::store) async fn put_of_nobody(
    db: &Database,
    tx: &Tx,
    client_id: &str,
    new: &NewOptOut,
) -> Result<Id, StoreError> {
    let id = db.next_id();
    put_rows(tx, &[OptOutPut::new(id, client_id, None, new)]).await?;
    Ok(id)
}

async fn put_rows(tx: &Tx, rows: &[OptOutPut<'_>]) -> Result<(), StoreError> {
    if !rows.is_empty() {
        tx.run(&PUT_OPT_OUTS, [group(rows)?]).await?;
    }
    Ok(())
}

#[derive(Serialize)]
struct OptOutPut<'a> {
    id: Id,
    client_id: &'a str,
    lead_id: Option<Id>,
    opted_out_at: i64,
    channel: Option<&'a str>,
    message_id: Option<Id>,
    reason: &'a str,
    source: &'static str,
    noted_by: Option<&'a str>,
}

impl<'a> OptOutPut<'a> {
    fn new(id: Id, client_id: &'a str, lead_id: Option<Id>, new: &'a NewOptOut) -> Self {
        let NewOptOut { fact, source, by } = new;
        Self {
            id,
            client_id,
            lead_id,
            opted_out_at: fact.at.as_millis(),
            channel: fact.channel.as_deref(),
            message_id: fact.message_id,
            reason: &fact.reason,
            source: source.as_str(),
            noted_by: by.as_deref(),
        }
    }
}

/// An identity of a client's lead, as it is compared with what is suppressed.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Suspected<'a> {
    pub(in crate::store) client_id: &'a str,
    pub(in crate::store) kind: &'a str,
    pub(in crate::store) value: &'a str,
    pub(in crate::store) lead_id: Id,
}

/// An opt-out from before the erasure of a person.
#[derive(Clone, Debug)]
pub(in crate::store) struct Suppression {
    opt_out_id: Id,
    pub(in crate::store) fact: OptedOut,
}

/// The reason of an opt-out that outlived an erasure.
const BEFORE_ERASURE: &str = "opted out before its data was erased";

/// Those of these leads that have a suppressed identity, with the oldest opt-out of each.
pub(in crate::store) async fn suppressed(
    db: &Database,
    tx: &Tx,
    identities: &[Suspected<'_>],
) -> Result<BTreeMap<Id, Suppression>, StoreError> {
    let mut oldest: BTreeMap<Id, Suppression> = BTreeMap::new();
    for (lead_id, suppression) in suppressions(db, tx, identities).await? {
        let known = oldest.entry(lead_id).or_insert_with(|| suppression.clone());
        if suppression.fact.at < known.fact.at {
            *known = suppression;
        }
    }
    Ok(oldest)
}

/// The opt-outs from before an erasure that suppress an identity of a lead.
pub(in crate::store) async fn suppressing(
    db: &Database,
    tx: &Tx,
    client_id: &str,
    identities: &[StoredIdentity],
) -> Result<Vec<Id>, StoreError> {
    let suspected: Vec<Suspected<'_>> = identities
        .iter()
        .map(|it| Suspected { client_id, kind: &it.kind, value: &it.value, lead_id: it.lead_id })
        .collect();
    let found = suppressions(db, tx, &suspected).await?;
    let ids: BTreeSet<Id> = found.into_iter().map(|(_, it)| it.opt_out_id).collect();
    Ok(ids.into_iter().collect())
}

/// The leads with each suppression of one of their identities.
async fn suppressions(
    db: &Database,
    tx: &Tx,
    identities: &[Suspected<'_>],
) -> Result<Vec<(Id, Suppression)>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        identity_hash: String,
        lead_id: Id,
    }
    let rows: Vec<Row<'_>> = identities
        .iter()
        .map(|it| Row {
            client_id: it.client_id,
            identity_hash: identity_hash(db, it.client_id, it.kind, it.value),
            lead_id: it.lead_id,
        })
        .collect();
    let mut found = Vec::new();
    if rows.is_empty() {
        return Ok(found);
    }
    for row in tx.all(&READ_SUPPRESSED, [group(&rows)?]).await? {
        let fact = OptedOut {
            at: Timestamp::from_millis(row.try_get("", "opted_out_at")?),
            channel: row.try_get("", "channel")?,
            message_id: None,
            reason: BEFORE_ERASURE.to_owned(),
        };
        let suppression = Suppression { opt_out_id: row.try_get("", "opt_out_id")?, fact };
        found.push((row.try_get("", "lead_id")?, suppression));
    }
    Ok(found)
}

/// Suppresses identities of a client, for this opt-out. It takes the place of those that suppress
/// one of them already, so that one lift ends all suppressions of the person. Returns how many
/// identities were not suppressed before.
pub(in crate::store) async fn suppress(
    db: &Database,
    tx: &Tx,
    client_id: &str,
    identities: &[StoredIdentity],
    opt_out_id: Id,
) -> Result<u64, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        identity_hash: String,
        opt_out_id: Id,
    }
    let before = suppressing(db, tx, client_id, identities).await?;
    if !before.is_empty() {
        tx.run(&REPOINT_SUPPRESSED, [group(&before)?, opt_out_id.into()]).await?;
    }
    let rows: Vec<Row<'_>> = identities
        .iter()
        .map(|it| Row {
            client_id,
            identity_hash: identity_hash(db, client_id, &it.kind, &it.value),
            opt_out_id,
        })
        .collect();
    if rows.is_empty() { Ok(0) } else { tx.run(&PUT_SUPPRESSED, [group(&rows)?]).await }
}

/// The hash of an identity: HMAC-SHA256 of client, kind and value, in hex.
fn identity_hash(db: &Database, client_id: &str, kind: &str, value: &str) -> String {
    keyed_hash(db.suppression_key(), client_id, kind, value)
}

fn keyed_hash(key: &hmac::Key, client_id: &str, kind: &str, value: &str) -> String {
    let tag = hmac::sign(key, format!("{client_id}\0{kind}\0{value}").as_bytes());
    let digits = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let mut hex = String::with_capacity(64);
    hex.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_key_client_kind_and_value() {
        let keyed_hash = |key: &str, client_id: &str, kind: &str, value: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
            keyed_hash(&key, client_id, kind, value)
        };
        let hash = keyed_hash("key", "a", "email", "dana@example.com");
        // What is stored must be found by every later version.
        assert_eq!(hash, "163d05457a36b6c899928ea69c81f57c1b03a3b6e338386a42a5e69a36769091");
        for (key, client, kind, value) in [
            ("other", "a", "email", "dana@example.com"),
            ("key", "b", "email", "dana@example.com"),
            ("key", "a", "phone", "dana@example.com"),
            ("key", "a", "email", "dana@example.org"),
            ("key", "ae", "mail", "dana@example.com"),
        ] {
            assert_ne!(hash, keyed_hash(key, client, kind, value));
        }
    }
}
