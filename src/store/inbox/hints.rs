//! Providers' verdicts on replies (docs/RULES.md P16).

use super::{Answer, Group, Work};
use crate::{
    domain::{Id, Sentiment, Timestamp},
    store::{
        StoreError,
        leads::Leads,
        messages::{self, Judged},
    },
};
use std::collections::HashMap;

/// A provider's verdict to be applied once the group's messages are stored.
pub(super) struct Hint {
    pub(super) at: usize,
    pub(super) lead_id: Id,
    /// The message it is about; `None` is the lead's newest that is not later than the event.
    pub(super) message_id: Option<Id>,
    pub(super) not_after: Timestamp,
    pub(super) sentiment: Sentiment,
    /// The reason word of the answer where it fills something in.
    pub(super) word: &'static str,
    /// The answer where it does not.
    pub(super) otherwise: Answer,
}

impl Group<'_> {
    /// Applies providers' verdicts, once the group's messages are stored: they fill in where a message is
    /// not judged or judged `Neutral`, and speak for the lead where that message is its newest.
    pub(super) async fn apply_hints(
        &mut self,
        work: &mut Work,
        leads: &mut Leads,
    ) -> Result<(), StoreError> {
        let hints = std::mem::take(&mut work.hints);
        let unnamed: Vec<(usize, Id, Timestamp)> = hints
            .iter()
            .filter(|it| it.message_id.is_none())
            .map(|it| (it.at, it.lead_id, it.not_after))
            .collect();
        let newest = messages::read_hinted(self.tx, &unnamed).await?;
        let named: Vec<Id> = hints.iter().filter_map(|it| it.message_id).collect();
        let mut verdicts: HashMap<Id, Judged> = newest.values().copied().collect();
        verdicts.extend(messages::read_judged(self.tx, &named).await?);
        let mut set: HashMap<Id, Sentiment> = HashMap::new();
        for hint in hints {
            let about = hint.message_id.or_else(|| newest.get(&hint.at).map(|it| it.0));
            let Some(message_id) = about else {
                self.answer(hint.at, hint.otherwise);
                continue;
            };
            if !verdicts.entry(message_id).or_default().fill_in(hint.sentiment) {
                self.answer(hint.at, hint.otherwise);
                continue;
            }
            set.insert(message_id, hint.sentiment);
            if let Some(lead) = leads.get_mut(hint.lead_id)
                && lead.newest_inbound.map(|it| it.1) == Some(message_id)
            {
                let lead = lead.change();
                lead.standing = lead.standing.hinted(hint.sentiment);
            }
            let message_id = hint.message_id;
            self.answer(
                hint.at,
                Answer::Recorded { message_id, lead_id: hint.lead_id, reason: hint.word },
            );
        }
        messages::set_sentiments(self.tx, &set).await
    }
}
