//! Leads that one webhook shows to be one person (docs/RULES.md P13).

use super::{Group, Work, find::Found};
use crate::{
    domain::{
        Id, Identity, IdentityKind,
        lead::{MAIL_CHANNELS, may_be_one},
    },
    store::{
        StoreError,
        drafts::{EndDrafts, end_drafts},
        leads::{Lead, Leads},
        merge::{self, Merge},
        sql::Sql,
        tx::group,
    },
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// By what leads are known. By `lead_identities_of_lead`.
pub(in crate::store) static READ_IDENTITIES_OF: Sql =
    Sql::new("select lead_id, kind, value from lead_identities where lead_id @ids($1)");

/// The leads to whom the identities of one webhook belong, in the order of matching; at least two.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    pub(super) at: usize,
    pub(super) owners: Vec<Id>,
}

impl Group<'_> {
    /// Merges leads that meet, the younger into the older, unless they are two people to one provider. All of
    /// them are locked. Afterwards `lead_of` names the leads that are left.
    pub(super) async fn merge_leads(
        &self,
        meetings: &[Meeting],
        leads: &mut Leads,
        lead_of: &mut HashMap<usize, Found>,
        work: &mut Work,
    ) -> Result<(), StoreError> {
        if meetings.is_empty() {
            return Ok(());
        }
        let mut known = self.identities_of(meetings).await?;
        let mut into: HashMap<Id, Id> = HashMap::new();
        let mut stored: Vec<Merge> = Vec::new();
        for meeting in meetings {
            let resolved = meeting.owners.iter().map(|it| into.get(it).copied().unwrap_or(*it));
            let mut ids: BTreeMap<(bool, Id), Id> = BTreeMap::new();
            for id in resolved {
                ids.insert((leads.is_new(id), id), id);
            }
            let mut ids = ids.into_values();
            let Some(older) = ids.next() else { continue };
            for younger in ids {
                let identities = |id| known.get(&id).into_iter().flatten();
                if !may_be_one(identities(older).chain(identities(younger))) {
                    self.warn_of_two(meeting.at, older, younger);
                    continue;
                }
                let moved = known.remove(&younger).unwrap_or_default();
                known.entry(older).or_default().extend(moved);
                for target in into.values_mut().filter(|it| **it == younger) {
                    *target = older;
                }
                into.insert(younger, older);
                let is_stored = !leads.is_new(younger);
                let Some(absorbed) = leads.take(younger) else { continue };
                let Some(lead) = leads.get_mut(older) else { continue };
                work.unify_drafts(lead, &absorbed);
                lead.absorb(&absorbed);
                if is_stored {
                    tracing::info!(lead.id = older, lead.merged = younger, "two leads are one");
                    stored.push(Merge { from_id: younger, into_id: older });
                }
            }
        }
        for found in lead_of.values_mut() {
            if let Some(target) = into.get(&found.lead_id) {
                *found = Found { lead_id: *target, is_new: leads.is_new(*target) };
            }
        }
        self.move_all(&into, stored, work).await
    }

    async fn move_all(
        &self,
        into: &HashMap<Id, Id>,
        mut stored: Vec<Merge>,
        work: &mut Work,
    ) -> Result<(), StoreError> {
        // Drafts end before they move: there is one pending a lead and channel.
        end_drafts(self.tx, &std::mem::take(&mut work.ended_drafts)).await?;
        for it in &mut stored {
            it.into_id = into.get(&it.from_id).copied().unwrap_or(it.into_id);
        }
        // Leads that this group would have made own nothing but the identities it has claimed for them.
        let made =
            into.iter().map(|(from_id, into_id)| Merge { from_id: *from_id, into_id: *into_id });
        let made: Vec<Merge> = made.filter(|it| !stored.contains(it)).collect();
        if !made.is_empty() {
            self.tx.run(&merge::MOVE_IDENTITIES, [group(&made)?]).await?;
        }
        if !stored.is_empty() {
            merge::move_belongings(self.tx, &stored).await?;
        }
        work.merges = stored;
        Ok(())
    }

    async fn identities_of(
        &self,
        meetings: &[Meeting],
    ) -> Result<HashMap<Id, Vec<Identity>>, StoreError> {
        let ids: BTreeSet<Id> = meetings.iter().flat_map(|it| it.owners.iter().copied()).collect();
        let ids: Vec<Id> = ids.into_iter().collect();
        let mut known: HashMap<Id, Vec<Identity>> = HashMap::new();
        for row in self.tx.all(&READ_IDENTITIES_OF, [group(&ids)?]).await? {
            let kind: String = row.try_get("", "kind")?;
            if let Some(kind) = IdentityKind::parse(&kind) {
                let value: String = row.try_get("", "value")?;
                known
                    .entry(row.try_get("", "lead_id")?)
                    .or_default()
                    .push(Identity { kind, value });
            }
        }
        Ok(known)
    }

    fn warn_of_two(&self, at: usize, one: Id, other: Id) {
        if let Some(inbound) = self.inbound.get(at) {
            tracing::warn!(
                client.id = %inbound.client_id,
                request.id = %inbound.request_id,
                lead.ids = ?[one, other],
                "a webhook names two leads, whom a provider knows as two people: they are not merged"
            );
        }
    }
}

impl Work {
    /// Of both leads' pending drafts, those stay that answer the newest message of both, and none that is
    /// kept back by something that either lead brings.
    fn unify_drafts(&mut self, lead: &Lead, absorbed: &Lead) {
        let newest = lead.newest_inbound.max(absorbed.newest_inbound).map(|it| it.1);
        let mut end = |channel, status, decided_by, except_message_id| {
            self.ended_drafts.extend([lead.id, absorbed.id].map(|lead_id| EndDrafts {
                lead_id,
                channel,
                status,
                decided_by,
                except_message_id,
            }));
        };
        let (one, other) = (lead.standing.barriers, absorbed.standing.barriers);
        if one.opted_out || other.opted_out {
            end(None, "rejected", "opt_out", None);
        }
        if one.bounced || other.bounced {
            for channel in MAIL_CHANNELS {
                end(Some(channel.0), "rejected", "bounce", None);
            }
        }
        end(None, "superseded", "merge", newest);
    }
}
