//! Providers' verdicts on replies (docs/RULES.md P16).

use crate::{
    domain::{Id, Sentiment},
    store::{
        inbox::{arrival::Arrival, inbound::Answer},
        tables::{leads::Leads, messages::Judged},
    },
};
use std::collections::HashMap;

/// Applies the group's hints in the order of arrival, and answers their webhooks. A hint becomes
/// the verdict on a message that is not judged, or judged `Neutral`. If the message is its lead's
/// newest, it changes the lead's standing, too.
///
/// `newest` is keyed by the index of a webhook: the message that its hint about a lead is about.
/// `verdicts` are those on all these messages so far, by message id. Returns the verdicts to write.
pub(crate) fn apply_hints(
    arrivals: &mut [Arrival<'_>],
    leads: &mut Leads,
    newest: &HashMap<usize, Id>,
    mut verdicts: HashMap<Id, Judged>,
) -> HashMap<Id, Sentiment> {
    let mut filled_in: HashMap<Id, Sentiment> = HashMap::new();
    for (at, arrival) in arrivals.iter_mut().enumerate() {
        let Some(hint) = arrival.hint.take() else { continue };
        let about = hint.message_id.or_else(|| newest.get(&at).copied());
        let mut fills_in = |id: Id| verdicts.entry(id).or_default().fill_in(hint.sentiment);
        let Some(message_id) = about.filter(|id| fills_in(*id)) else {
            arrival.answer = Some(hint.otherwise);
            continue;
        };
        filled_in.insert(message_id, hint.sentiment);
        if let Some(lead) = leads.get_mut(hint.lead_id)
            && lead.is_newest(message_id)
        {
            let lead = lead.change();
            lead.standing = lead.standing.hinted(hint.sentiment);
        }
        let (lead_id, reason) = (hint.lead_id, hint.word);
        arrival.answer = Some(Answer::Recorded { message_id: hint.message_id, lead_id, reason });
    }
    filled_in
}
