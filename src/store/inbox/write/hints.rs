//! Applies providers' verdicts on replies, after the group's messages are stored.

use crate::{
    domain::{Id, Timestamp},
    store::{
        engine::{StoreError, tx::Tx},
        inbox::{arrival::Arrival, decide::verdicts::apply_hints},
        tables::{
            leads::Leads,
            messages::{self, Judged},
        },
    },
};
use std::collections::HashMap;

/// Applies the group's hints, which may be about its own messages, and answers their webhooks.
pub(super) async fn write_hints(
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    leads: &mut Leads,
) -> Result<(), StoreError> {
    let hints = || {
        let hint = |(at, arrival): (usize, &Arrival<'_>)| Some((at, arrival.hint.clone()?));
        arrivals.iter().enumerate().filter_map(hint)
    };
    let about_leads: Vec<(usize, Id, Timestamp)> = hints()
        .filter(|(_, hint)| hint.message_id.is_none())
        .map(|(at, hint)| (at, hint.lead_id, hint.not_after))
        .collect();
    let about_messages: Vec<Id> = hints().filter_map(|(_, hint)| hint.message_id).collect();
    let found = messages::read_hinted(tx, &about_leads).await?;
    let mut verdicts: HashMap<Id, Judged> = found.values().copied().collect();
    verdicts.extend(messages::read_judged(tx, &about_messages).await?);
    let newest = found.into_iter().map(|(at, (id, _))| (at, id)).collect();
    let filled_in = apply_hints(arrivals, leads, &newest, verdicts);
    messages::set_sentiments(tx, &filled_in).await
}
