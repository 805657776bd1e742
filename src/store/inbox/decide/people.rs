//! Finds the lead of each event of a group by its identities and its chat (docs/RULES.md P13).

use crate::{
    domain::Id,
    store::inbox::arrival::{Arrival, ChatKey, LeadOf},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// An identity of a client's lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct IdentityKey<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) value: &'a str,
}

/// The identities of an event, in the order in which they are tried.
pub(crate) fn identities<'a>(
    arrival: &Arrival<'a>,
) -> impl Iterator<Item = IdentityKey<'a>> + use<'a> {
    let client_id: &'a str = &arrival.inbound.client_id;
    let identities = arrival.event().map_or(&[][..], |event| event.identities.as_slice());
    identities.iter().map(move |identity| IdentityKey {
        client_id,
        kind: identity.kind.as_str(),
        value: &identity.value,
    })
}

/// Marks the events that are nobody's: only their chat identifies their lead, and it is neither one
/// of the `known` chats nor the chat of an earlier message of the group.
pub(crate) fn mark_nobodys<'a>(
    arrivals: &mut [Arrival<'a>],
    known: impl Iterator<Item = ChatKey<'a>>,
) {
    let mut told: HashSet<ChatKey<'a>> = known.collect();
    for arrival in arrivals {
        if let Some(chat) = arrival.only_chat() {
            arrival.is_nobodys = !told.contains(&chat);
        } else {
            told.extend(arrival.chat_of_message());
        }
    }
}

/// True for events whose lead has to be found. A duplicate has the lead of its first message, and
/// an event that is nobody's has none.
pub(crate) fn wants_lead(arrival: &Arrival<'_>) -> bool {
    arrival.first.is_none() && !arrival.is_nobodys && arrival.event().is_some()
}

/// Fills in the lead of each event that wants one, and the leads that meet in it. If no lead is
/// known, a new one is made, unless events of this sort make no leads.
///
/// `known` and `chats` are the stored leads of the group's identities and chats. Returns the new
/// identities with their leads, sorted.
pub(crate) fn match_leads<'a>(
    arrivals: &mut [Arrival<'a>],
    mut known: HashMap<IdentityKey<'a>, Id>,
    mut chats: HashMap<ChatKey<'a>, Id>,
    next_id: &dyn Fn() -> Id,
) -> BTreeMap<IdentityKey<'a>, Id> {
    let mut new = BTreeMap::new();
    for arrival in arrivals.iter_mut().filter(|arrival| wants_lead(arrival)) {
        let Some(event) = arrival.event() else { continue };
        // 1. Find the leads of its identities, else of its chat.
        let mut owners: Vec<Id> = Vec::new();
        for owner in identities(arrival).filter_map(|identity| known.get(&identity).copied()) {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        let chat = event.lead_of_chat.as_deref().map(|chat| arrival.chat(chat));
        let of_chat = chat.and_then(|chat| chats.get(&chat).copied());
        // 2. Take the first of them, else make a new one.
        let lead = match owners.first().copied().or(of_chat) {
            Some(lead_id) => LeadOf { lead_id, is_new: false },
            None if event.creates_lead() => LeadOf { lead_id: next_id(), is_new: true },
            None => continue,
        };
        // 3. Note its new identities and its chat for the events that follow.
        for identity in identities(arrival) {
            known.entry(identity).or_insert_with(|| {
                new.insert(identity, lead.lead_id);
                lead.lead_id
            });
        }
        if let Some(chat) = arrival.chat_of_message() {
            chats.insert(chat, lead.lead_id);
        }
        arrival.lead = Some(lead);
        if owners.len() > 1 {
            arrival.meets = owners;
        }
    }
    new
}
