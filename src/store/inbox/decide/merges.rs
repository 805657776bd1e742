//! Leads that a webhook shows to be one person (docs/RULES.md P13).

use crate::{
    domain::{Id, Identity, lead::may_be_one},
    store::{
        inbox::arrival::{Arrival, LeadOf},
        tables::{
            drafts::{DraftsOver, EndDrafts},
            leads::{Lead, Leads},
            merge::Merge,
        },
    },
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The merges of a group.
#[derive(Debug, Default)]
pub(crate) struct Merging {
    /// The merges of stored leads.
    pub(crate) stored: Vec<Merge>,
    /// The merges of leads that this group would have made. They have nothing except the identities
    /// that the group has claimed for them.
    pub(crate) made: Vec<Merge>,
    /// The drafts of both leads that end. They must end before the younger lead's drafts move.
    pub(crate) ended_drafts: Vec<EndDrafts>,
    /// By the index of a webhook: two leads that it names, and that a provider knows as two people.
    pub(crate) refused: Vec<(usize, [Id; 2])>,
}

/// Merges leads that meet, the younger into the older, unless a provider knows them as two people.
/// `identities` are keyed by lead. All leads are locked. Afterwards, `leads` and the webhooks have
/// only the leads that are left.
pub(crate) fn merge_leads(
    arrivals: &mut [Arrival<'_>],
    mut identities: HashMap<Id, Vec<Identity>>,
    leads: &mut Leads,
) -> Merging {
    let mut merging = Merging::default();
    // By lead that was merged: the lead into which it was merged in the end.
    let mut into: BTreeMap<Id, Id> = BTreeMap::new();
    let mut were_stored: HashSet<Id> = HashSet::new();
    for (at, arrival) in arrivals.iter().enumerate() {
        // 1. The leads that meet, as far as they are still several: stored ones first, then by id.
        let mut ids: BTreeMap<(bool, Id), Id> = BTreeMap::new();
        for id in &arrival.meets {
            let id = into.get(id).copied().unwrap_or(*id);
            ids.insert((leads.is_new(id), id), id);
        }
        let mut ids = ids.into_values();
        let Some(older) = ids.next() else { continue };
        for younger in ids {
            // 2. Check that they can be one person.
            let of = |id| identities.get(&id).into_iter().flatten();
            if !may_be_one(of(older).chain(of(younger))) {
                merging.refused.push((at, [older, younger]));
                continue;
            }
            // 3. The older one takes over all that the younger one has.
            let moved = identities.remove(&younger).unwrap_or_default();
            identities.entry(older).or_default().extend(moved);
            for target in into.values_mut().filter(|target| **target == younger) {
                *target = older;
            }
            into.insert(younger, older);
            let was_stored = !leads.is_new(younger);
            let Some(absorbed) = leads.take(younger) else { continue };
            let Some(lead) = leads.get_mut(older) else { continue };
            merging.ended_drafts.extend(unify_drafts(lead, &absorbed));
            lead.absorb(&absorbed);
            if was_stored {
                were_stored.insert(younger);
            }
        }
    }
    // 4. Give the webhooks their leads that are left.
    for lead in arrivals.iter_mut().filter_map(|arrival| arrival.lead.as_mut()) {
        if let Some(target) = into.get(&lead.lead_id) {
            *lead = LeadOf { lead_id: *target, is_new: leads.is_new(*target) };
        }
    }
    let merges = into.into_iter().map(|(from_id, into_id)| Merge { from_id, into_id });
    (merging.stored, merging.made) = merges.partition(|merge| were_stored.contains(&merge.from_id));
    merging
}

/// Ends pending drafts of both leads, so that at most those are left that answer the newest message
/// of both. An opt-out or a bounce of either lead ends the drafts of both.
fn unify_drafts(lead: &Lead, absorbed: &Lead) -> impl Iterator<Item = EndDrafts> + use<> {
    let newest = lead.newest_inbound.max(absorbed.newest_inbound).map(|(_, id)| id);
    let (one, other) = (lead.standing.barriers, absorbed.standing.barriers);
    let is_opted_out = one.opted_out || other.opted_out;
    let is_bounced = one.bounced || other.bounced;
    [lead.id, absorbed.id].into_iter().flat_map(move |lead_id| {
        let opted_out = is_opted_out.then(|| EndDrafts::opted_out(lead_id));
        let bounced = is_bounced.then(|| EndDrafts::bounced(lead_id));
        let superseded = EndDrafts {
            lead_id,
            over: DraftsOver::AllChannels,
            status: "superseded",
            decided_by: "merge",
            except_message_id: newest,
        };
        opted_out.into_iter().chain(bounced).chain([superseded])
    })
}
