//! Finds the deliveries of which outbound messages of the group may be the echoes.

use crate::{
    domain::{Id, event::Direction, text},
    store::{
        engine::{
            StoreError,
            sql::sql,
            tx::{Tx, flag, group},
        },
        inbox::{
            arrival::{Arrival, Echo},
            decide::echoes::pair_echoes,
        },
        tables::leads::Leads,
    },
};
use serde::Serialize;

sql! {
    /// Deliveries to the same lead over the same channel: first those with the provider's id of the
    /// message, then those that were marked in the last 24 hours, with the same text and no
    /// provider's id yet. By `deliveries_of_lead`.
    static READ_ECHOED =
        "select g.n, d.id, d.message_id, case when d.status in ('sent', 'failed') then 1 else 0 end as is_settled \
         from @rows($1, n bigint, lead_id bigint, channel text, provider_id text, text_key text) g \
         join deliveries d on d.lead_id = g.lead_id and d.channel = g.channel \
         where d.provider_id = g.provider_id or (d.provider_id is null and d.text_key = g.text_key \
           and d.status in ('sending', 'sent', 'uncertain') and coalesce(d.marked_at, d.created_at) > @in_ms(-86400000)) \
         order by case when d.provider_id is null then 1 else 0 end, g.n, d.id";
}

/// Marks the new outbound messages that are echoes. Their leads are locked.
pub(super) async fn find_echoes(
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    leads: &Leads,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        /// The webhook's index in the group.
        n: usize,
        lead_id: Id,
        channel: &'static str,
        provider_id: Option<&'a str>,
        text_key: String,
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (n, arrival) in arrivals.iter().enumerate() {
        let (None, Some(message), Some(lead)) = (arrival.first, arrival.message(), arrival.lead)
        else {
            continue;
        };
        if message.direction == Direction::Outbound && !leads.is_new(lead.lead_id) {
            rows.push(Row {
                n,
                lead_id: lead.lead_id,
                channel: arrival.inbound.channel.0,
                provider_id: message.provider_id.as_deref(),
                text_key: text::key(&message.body),
            });
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut found: Vec<(usize, Echo)> = Vec::new();
    for row in tx.all(&READ_ECHOED, [group(&rows)?]).await? {
        let n: i64 = row.try_get("", "n")?;
        let echo = Echo {
            delivery_id: row.try_get("", "id")?,
            message_id: row.try_get("", "message_id")?,
            is_settled: flag(&row, "is_settled")?,
        };
        found.push((usize::try_from(n).unwrap_or(usize::MAX), echo));
    }
    pair_echoes(arrivals, &found);
    Ok(())
}
