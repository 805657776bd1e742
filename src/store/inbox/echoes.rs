//! Echoes: our own sends, as a provider tells them back (docs/RULES.md P12).

use super::{Group, find::Found, keys::First};
use crate::{
    domain::{Id, event::Direction, text},
    store::{StoreError, leads::Leads, sql::Sql, tx::group},
};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Deliveries to the same lead over the same channel: those with the provider's id of the message, and then
/// those of the last 24 hours of which it is not known, with the same text. By `deliveries_of_lead`.
pub(in crate::store) static READ_ECHOED: Sql = Sql::new(
    "select g.n, d.id, d.message_id \
     from @rows($1, n bigint, lead_id bigint, channel text, provider_id text, text_key text) g \
     join deliveries d on d.lead_id = g.lead_id and d.channel = g.channel \
     where d.provider_id = g.provider_id or (d.provider_id is null and d.text_key = g.text_key \
       and d.status in ('sending', 'sent', 'uncertain') and d.created_at > @in_ms(-86400000)) \
     order by case when d.provider_id is null then 1 else 0 end, g.n, d.id",
);

/// A delivery that was told back has arrived, unless the provider has said since that it did not. By primary key.
pub(in crate::store) static SETTLE_ECHOED: Sql = Sql::new(
    "update deliveries set status = case when deliveries.status = 'failed' then 'failed' else 'sent' end, \
       error = case when deliveries.status = 'failed' then deliveries.error end, \
       provider_id = coalesce(g.provider_id, deliveries.provider_id), message_id = g.message_id, \
       settled_at = coalesce(deliveries.settled_at, @now) \
     from @rows($1, id bigint, provider_id text, message_id bigint) g where deliveries.id = g.id",
);

/// The delivery that an outbound message is the echo of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Echo {
    delivery_id: Id,
    /// The message that the delivery has become, if that is stored already.
    pub(super) message_id: Option<Id>,
}

/// What is to be written of a delivery.
#[derive(Debug, Serialize)]
pub(super) struct Echoed {
    id: Id,
    provider_id: Option<String>,
    message_id: Id,
}

impl Echo {
    /// The delivery has become this message of the provider's.
    pub(super) fn settled(&self, provider_id: Option<&String>, message_id: Id) -> Echoed {
        Echoed { id: self.delivery_id, provider_id: provider_id.cloned(), message_id }
    }
}

impl Group<'_> {
    /// Which new outbound messages are echoes. Their leads are locked.
    pub(super) async fn find_echoes(
        &self,
        firsts: &HashMap<usize, First>,
        lead_of: &HashMap<usize, Found>,
        leads: &Leads,
    ) -> Result<HashMap<usize, Echo>, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            n: usize,
            lead_id: Id,
            channel: &'static str,
            provider_id: Option<&'a str>,
            text_key: String,
        }
        let mut rows: Vec<Row<'_>> = Vec::new();
        for at in (0..self.inbound.len()).filter(|at| !firsts.contains_key(at)) {
            let (Some((inbound, _, message)), Some(found)) = (self.message(at), lead_of.get(&at))
            else {
                continue;
            };
            if message.direction == Direction::Outbound && !leads.is_new(found.lead_id) {
                let (channel, text_key) = (inbound.channel.0, text::key(&message.body));
                let provider_id = message.provider_id.as_deref();
                rows.push(Row { n: at, lead_id: found.lead_id, channel, provider_id, text_key });
            }
        }
        let mut echoes: HashMap<usize, Echo> = HashMap::new();
        if rows.is_empty() {
            return Ok(echoes);
        }
        let mut used: HashSet<Id> = HashSet::new();
        for row in self.tx.all(&READ_ECHOED, [group(&rows)?]).await? {
            let n: i64 = row.try_get("", "n")?;
            let at = usize::try_from(n).unwrap_or_default();
            let delivery_id: Id = row.try_get("", "id")?;
            // A text that was sent twice is told back twice.
            if !echoes.contains_key(&at) && used.insert(delivery_id) {
                echoes.insert(at, Echo { delivery_id, message_id: row.try_get("", "message_id")? });
            }
        }
        Ok(echoes)
    }

    /// Writes what became of deliveries.
    pub(super) async fn write_echoed(&self, echoed: &[Echoed]) -> Result<(), StoreError> {
        if !echoed.is_empty() {
            self.tx.run(&SETTLE_ECHOED, [group(echoed)?]).await?;
        }
        Ok(())
    }
}
