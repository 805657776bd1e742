//! The keys of messages: which message a provider's id, a delivery or a text names.

use crate::{
    domain::Id,
    store::engine::{
        StoreError,
        sql::sql,
        tx::{Tx, group},
    },
};
use serde::Serialize;

sql! {
    /// Lets keys that this transaction has claimed name other messages. By primary key.
    static REPOINT_KEYS =
        "update message_keys set message_id = g.message_id \
         from @rows($1, client_id text, channel text, kind text, key text, message_id bigint) g \
         where message_keys.client_id = g.client_id and message_keys.channel = g.channel and message_keys.kind = g.kind \
           and message_keys.key = g.key";
}

/// A key of `message_keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(in crate::store) struct Key<'a> {
    pub(in crate::store) client_id: &'a str,
    pub(in crate::store) channel: &'a str,
    pub(in crate::store) kind: &'a str,
    pub(in crate::store) key: &'a str,
}

/// A key and the message that it is to name: a row of [`REPOINT_KEYS`].
#[derive(Serialize)]
struct RepointedKey<'a> {
    #[serde(flatten)]
    key: Key<'a>,
    message_id: Id,
}

/// Lets each of these keys name the given message. The transaction has claimed them. They are
/// written in the order of keys.
pub(in crate::store) async fn repoint(tx: &Tx, keys: &[(Key<'_>, Id)]) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut keys = keys.to_vec();
    keys.sort_unstable_by_key(|(key, _)| *key);
    let rows: Vec<RepointedKey<'_>> =
        keys.into_iter().map(|(key, message_id)| RepointedKey { key, message_id }).collect();
    tx.run(&REPOINT_KEYS, [group(&rows)?]).await?;
    Ok(())
}
