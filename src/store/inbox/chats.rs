//! Chats: whose a message is where only its chat tells (docs/RULES.md LINKEDIN).

use super::{Group, Inbound, Work};
use crate::{
    domain::Id,
    store::{StoreError, sql::Sql, tx::group},
};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// The lead of the newest message of a chat. By primary keys.
pub(in crate::store) static READ_CHATS: Sql = Sql::new(
    "select g.client_id, g.channel, g.chat, m.lead_id from @rows($1, client_id text, channel text, chat text) g \
     join messages m on m.id = (select k.message_id from message_keys k \
       where k.client_id = g.client_id and k.channel = g.channel and k.kind = 'chat' and k.key = g.chat)",
);

/// Lets chats name their newest messages. Sorted.
pub(in crate::store) static PUT_CHATS: Sql = Sql::new(
    "insert into message_keys (client_id, channel, kind, key, message_id, first_seen) \
     select g.client_id, g.channel, 'chat', g.chat, g.message_id, @now \
     from @rows($1, client_id text, channel text, chat text, message_id bigint) g \
     where true order by g.client_id, g.channel, g.chat \
     on conflict (client_id, channel, kind, key) do update set message_id = excluded.message_id",
);

/// A chat: client, channel, and the provider's id of it.
pub(super) type ChatKey = (String, &'static str, String);

pub(super) fn chat_key(inbound: &Inbound, chat: &str) -> ChatKey {
    (inbound.client_id.to_string(), inbound.channel.0, chat.to_owned())
}

/// Whose chats are known, and which events of the group are nobody's.
#[derive(Debug, Default)]
pub(super) struct Chats {
    leads: HashMap<ChatKey, Id>,
    nobodys: HashSet<usize>,
}

impl Chats {
    /// The lead of a chat.
    pub(super) fn lead(&self, inbound: &Inbound, chat: &str) -> Option<Id> {
        self.leads.get(&chat_key(inbound, chat)).copied()
    }

    /// A later message of the chat is that lead's.
    pub(super) fn is_of(&mut self, inbound: &Inbound, chat: &str, lead_id: Id) {
        self.leads.insert(chat_key(inbound, chat), lead_id);
    }

    /// True if that event's lead will not be found: it is ignored and must leave no key.
    pub(super) fn is_nobodys(&self, at: usize) -> bool {
        self.nobodys.contains(&at)
    }
}

impl Group<'_> {
    /// Looks for the leads of events that only a chat identifies.
    pub(super) async fn find_chats(&self) -> Result<Chats, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            channel: &'static str,
            chat: &'a str,
        }
        let mut chats = Chats::default();
        let asked = |at| {
            let (inbound, event) = self.event(at)?;
            let chat = event.lead_of_chat.as_deref().filter(|_| event.identities.is_empty())?;
            Some((inbound, chat))
        };
        let rows: Vec<Row<'_>> = (0..self.inbound.len())
            .filter_map(asked)
            .map(|(it, chat)| Row { client_id: &it.client_id, channel: it.channel.0, chat })
            .collect();
        if rows.is_empty() {
            return Ok(chats);
        }
        for row in self.tx.all(&READ_CHATS, [group(&rows)?]).await? {
            let (client_id, channel, chat): (String, String, String) = (
                row.try_get("", "client_id")?,
                row.try_get("", "channel")?,
                row.try_get("", "chat")?,
            );
            let known = rows.iter().find(|it| it.channel == channel).map(|it| it.channel);
            if let Some(channel) = known {
                chats.leads.insert((client_id, channel, chat), row.try_get("", "lead_id")?);
            }
        }
        let mut told: HashSet<ChatKey> = chats.leads.keys().cloned().collect();
        for at in 0..self.inbound.len() {
            if let Some((inbound, chat)) = asked(at) {
                if !told.contains(&chat_key(inbound, chat)) {
                    chats.nobodys.insert(at);
                }
            } else if let Some((inbound, _, message)) = self.message(at)
                && let Some(chat) = message.chat()
            {
                told.insert(chat_key(inbound, chat));
            }
        }
        Ok(chats)
    }

    /// Notes the newest messages of chats.
    pub(super) async fn put_chats(&self, work: &Work) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            channel: &'static str,
            chat: &'a str,
            message_id: Id,
        }
        let rows: Vec<Row<'_>> = work
            .chats
            .iter()
            .map(|(key, id)| Row {
                client_id: &key.0,
                channel: key.1,
                chat: &key.2,
                message_id: *id,
            })
            .collect();
        if !rows.is_empty() {
            self.tx.run(&PUT_CHATS, [group(&rows)?]).await?;
        }
        Ok(())
    }
}
