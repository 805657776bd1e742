//! Finds the leads of events that only a chat identifies (docs/RULES.md LINKEDIN).

use super::leads::leads_by_key;
use crate::{
    domain::Id,
    store::{
        engine::{StoreError, sql::sql, tx::Tx},
        inbox::{
            arrival::{Arrival, ChatKey},
            decide::people::mark_nobodys,
        },
    },
};
use std::collections::HashMap;

sql! {
    /// The lead of the newest message of a chat. By primary keys.
    static READ_CHATS =
        "select g.client_id, g.channel, g.chat, m.lead_id from @rows($1, client_id text, channel text, chat text) g \
         join messages m on m.id = (select k.message_id from message_keys k \
           where k.client_id = g.client_id and k.channel = g.channel and k.kind = 'chat' and k.key = g.chat)";
}

/// Finds the leads of events that only a chat identifies, and marks the events that are nobody's.
/// Returns the leads by chat.
pub(super) async fn find_chats<'a>(
    tx: &Tx,
    arrivals: &mut [Arrival<'a>],
) -> Result<HashMap<ChatKey<'a>, Id>, StoreError> {
    let asked: Vec<ChatKey<'a>> = arrivals.iter().filter_map(Arrival::only_chat).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let parts = |key: &ChatKey<'a>| [key.client_id, key.channel, key.chat];
    let columns = ["client_id", "channel", "chat"];
    let leads = leads_by_key(tx, &READ_CHATS, asked, columns, parts).await?;
    mark_nobodys(arrivals, leads.keys().copied());
    Ok(leads)
}
