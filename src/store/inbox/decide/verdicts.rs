//! Providers' verdicts on replies (docs/RULES.md P16).

use crate::{
    domain::{Id, Sentiment},
    store::{
        inbox::{arrival::Arrival, inbound::Answer},
        tables::{leads::Leads, messages::Judged},
    },
};
use std::collections::HashMap;

/// Applies the group's hints in the order of arrival: they fill in where a message is not judged or
/// judged `Neutral`, and speak for the lead where that message is its newest. Each brings its
/// webhook the answer.
///
/// `newest` holds, by the place of the webhook, the message that a hint about a lead is about;
/// `verdicts` what is known of all those messages. Returns the verdicts that are to be written.
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
            && lead.newest_inbound.is_some_and(|(_, newest)| newest == message_id)
        {
            let lead = lead.change();
            lead.standing = lead.standing.hinted(hint.sentiment);
        }
        let (lead_id, reason) = (hint.lead_id, hint.word);
        arrival.answer = Some(Answer::Recorded { message_id: hint.message_id, lead_id, reason });
    }
    filled_in
}
