//! Finds the leads of events that only a chat identifies (docs/RULES.md LINKEDIN).

use crate::{
    domain::Id,
    store::{
        engine::{
            StoreError,
            sql::sql,
            tx::{Tx, group},
        },
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
    let mut leads = HashMap::new();
    let asked: Vec<ChatKey<'a>> = arrivals.iter().filter_map(Arrival::only_chat).collect();
    if asked.is_empty() {
        return Ok(leads);
    }
    let rows = tx.all(&READ_CHATS, [group(&asked)?]).await?;
    let asked: HashMap<ChatKey<'a>, ChatKey<'a>> =
        asked.into_iter().map(|chat| (chat, chat)).collect();
    for row in rows {
        let text = |column: &str| row.try_get::<String>("", column);
        let (client_id, channel, chat) = (text("client_id")?, text("channel")?, text("chat")?);
        let found = ChatKey { client_id: &client_id, channel: &channel, chat: &chat };
        if let Some(chat) = asked.get(&found) {
            leads.insert(*chat, row.try_get("", "lead_id")?);
        }
    }
    mark_nobodys(arrivals, leads.keys().copied());
    Ok(leads)
}
