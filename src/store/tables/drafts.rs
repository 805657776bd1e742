//! Ends drafts that nobody has decided on, under the locks of their leads.
//!
//! This takes two statements: one reads the pending drafts of the leads, and the other ends those
//! that are found to end. A single statement would join the group with the index of all pending
//! drafts. The planner believes that this index is short, and reads all of it (decision 0004).

use crate::domain::{ChannelDirectory, ChannelName, Id, SendNews};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, group},
};
use serde::Serialize;
use std::collections::BTreeSet;

sql! {
    /// Locks the pending drafts of leads. By `drafts_pending`. It needs no order, because every
    /// transaction that locks drafts has locked their leads.
    static LOCK_PENDING_DRAFTS =
        "select id, lead_id, channel, message_id from drafts where lead_id @ids($1) and status = 'pending' @for_update";

    /// Ends drafts that are locked. By primary key.
    static END_DRAFTS =
        "update drafts set status = g.status, decided_at = @now, decided_by = g.decided_by \
         from @rows($1, id bigint, status text, decided_by text) g where drafts.id = g.id";
}

/// Which pending drafts of a lead end, by their channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum DraftsOver {
    /// All of them.
    AllChannels,
    /// Those for this channel.
    Channel(ChannelName),
    /// Those for the channel that is stored under this name.
    Stored(String),
    /// Those for the channels that carry mail.
    Mail,
}

/// An order to end pending drafts of a lead.
#[derive(Clone, Debug)]
pub(in crate::store) struct EndDrafts {
    pub(in crate::store) lead_id: Id,
    /// Which of its drafts.
    pub(in crate::store) over: DraftsOver,
    /// The status that they get.
    pub(in crate::store) status: &'static str,
    /// The reason, as stored.
    pub(in crate::store) decided_by: &'static str,
    /// The draft that answers this message stays.
    pub(in crate::store) except_message_id: Option<Id>,
}

impl EndDrafts {
    /// All of a lead that opted out (docs/RULES.md P17).
    pub(in crate::store) const fn opted_out(lead_id: Id) -> Self {
        let (status, decided_by) = ("rejected", "opt_out");
        let over = DraftsOver::AllChannels;
        Self { lead_id, over, status, decided_by, except_message_id: None }
    }

    /// Those by mail of a lead whose address bounced (docs/RULES.md P17).
    pub(in crate::store) const fn bounced(lead_id: Id) -> Self {
        let (status, decided_by) = ("rejected", "bounce");
        Self { lead_id, over: DraftsOver::Mail, status, decided_by, except_message_id: None }
    }

    /// If several orders end one draft, the one with the least rank counts: an opt-out comes before
    /// other rejections, and these come before what supersedes.
    fn rank(&self) -> u8 {
        match (self.status, self.decided_by) {
            (_, "opt_out") => 0,
            ("rejected", _) => 1,
            _ => 2,
        }
    }

    fn ends(&self, draft: &Pending) -> bool {
        self.lead_id == draft.lead_id
            && match &self.over {
                DraftsOver::AllChannels => true,
                DraftsOver::Stored(name) => *name == draft.channel,
                DraftsOver::Channel(name) => name.0 == draft.channel,
                DraftsOver::Mail => draft.is_mail,
            }
            && self.except_message_id != Some(draft.message_id)
    }
}

/// A draft that nobody has decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    id: Id,
    lead_id: Id,
    channel: String,
    /// True if that channel carries mail.
    is_mail: bool,
    message_id: Id,
}

/// The end of one draft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct DraftEnding {
    id: Id,
    status: &'static str,
    decided_by: &'static str,
}

/// How each of `pending` ends. Drafts that nothing ends are missing. `ends` are sorted by lead and
/// rank.
fn endings(pending: &[Pending], ends: &[&EndDrafts]) -> Vec<DraftEnding> {
    let ending = |draft: &Pending| {
        let first = ends.partition_point(|end| end.lead_id < draft.lead_id);
        let of_lead = ends.iter().skip(first).take_while(|end| end.lead_id == draft.lead_id);
        let end = of_lead.copied().find(|end| end.ends(draft))?;
        Some(DraftEnding { id: draft.id, status: end.status, decided_by: end.decided_by })
    };
    pending.iter().filter_map(ending).collect()
}

/// Ends pending drafts of leads that are locked.
pub(in crate::store) async fn end_drafts(
    channels: &ChannelDirectory,
    tx: &Tx,
    ends: &[EndDrafts],
) -> Result<(), StoreError> {
    let leads: BTreeSet<Id> = ends.iter().map(|it| it.lead_id).collect();
    if leads.is_empty() {
        return Ok(());
    }
    let leads: Vec<Id> = leads.into_iter().collect();
    let mut pending = Vec::new();
    for row in tx.all(&LOCK_PENDING_DRAFTS, [group(&leads)?]).await? {
        let channel: String = row.try_get("", "channel")?;
        pending.push(Pending {
            id: row.try_get("", "id")?,
            lead_id: row.try_get("", "lead_id")?,
            is_mail: channels.mail().any(|name| name.0 == channel),
            channel,
            message_id: row.try_get("", "message_id")?,
        });
    }
    let mut sorted: Vec<&EndDrafts> = ends.iter().collect();
    sorted.sort_by_key(|end| (end.lead_id, end.rank()));
    let endings = endings(&pending, &sorted);
    if !endings.is_empty() {
        tx.note(endings.iter().filter_map(|ending| {
            let draft = pending.iter().find(|draft| draft.id == ending.id)?;
            Some(SendNews::Draft { channel: draft.channel.clone(), status: ending.status })
        }));
        tx.run(&END_DRAFTS, [group(&endings)?]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(id: Id, lead_id: Id, channel: &str, message_id: Id) -> Pending {
        Pending {
            id,
            lead_id,
            channel: channel.to_owned(),
            is_mail: channel == "email",
            message_id,
        }
    }

    fn end(lead_id: Id, status: &'static str, decided_by: &'static str) -> EndDrafts {
        EndDrafts {
            lead_id,
            over: DraftsOver::AllChannels,
            status,
            decided_by,
            except_message_id: None,
        }
    }

    fn ended(pending: &[Pending], ends: &[EndDrafts]) -> Vec<(Id, &'static str, &'static str)> {
        let mut sorted: Vec<&EndDrafts> = ends.iter().collect();
        sorted.sort_by_key(|end| (end.lead_id, end.rank()));
        let endings = endings(pending, &sorted);
        endings.iter().map(|end| (end.id, end.status, end.decided_by)).collect()
    }

    #[test]
    fn a_draft_ends_once_and_an_opt_out_counts_most() {
        let pending = [draft(1, 7, "sms", 11), draft(2, 8, "sms", 12)];
        let ends = [
            end(7, "superseded", "newer_message"),
            end(7, "rejected", "bounce"),
            end(7, "rejected", "opt_out"),
            end(8, "superseded", "newer_message"),
            end(8, "rejected", "bounce"),
            end(9, "rejected", "opt_out"),
        ];
        let expected = vec![(1, "rejected", "opt_out"), (2, "rejected", "bounce")];
        assert_eq!(ended(&pending, &ends), expected);
    }

    #[test]
    fn only_drafts_of_the_channel_end_and_never_the_one_that_answers_the_message() {
        let pending = [draft(1, 7, "sms", 11), draft(2, 7, "email", 12), draft(3, 6, "sms", 13)];
        let on_sms = EndDrafts {
            over: DraftsOver::Channel(ChannelName("sms")),
            ..end(7, "rejected", "bounce")
        };
        assert_eq!(ended(&pending, &[on_sms]), [(1, "rejected", "bounce")]);
        let but_one = EndDrafts { except_message_id: Some(12), ..end(7, "superseded", "newer") };
        assert_eq!(ended(&pending, &[but_one]), [(1, "superseded", "newer")]);
        assert_eq!(ended(&pending, &[]), []);
    }
}
