//! For ingest: stores a group of webhooks in one transaction, whatever is in it.
//!
//! The number of statements does not grow with the group. Between them everything is decided in memory,
//! in the order of arrival. The order of locks is that of every transaction: keys and identities sorted,
//! leads by id, messages, turns, heads.

mod apply;
mod changes;
mod chats;
mod deliveries;
mod echoes;
mod find;
mod hints;
mod keys;
mod merges;
mod quarantine;
mod quoted;

use self::{
    apply::Known,
    chats::{ChatKey, Chats},
    echoes::Echoed,
    hints::Hint,
};
pub(super) use self::{
    changes::{CHANGE_MESSAGES, FAIL_DELIVERIES, READ_CHANGEABLE},
    chats::{PUT_CHATS, READ_CHATS},
    echoes::{READ_ECHOED, SETTLE_ECHOED},
    find::{PUT_CAMPAIGNS, PUT_IDENTITIES, READ_CAMPAIGNS, READ_IDENTITIES, RENAME_CAMPAIGNS},
    keys::{First, PUT_KEYS, READ_KEYS, REPOINT_KEYS},
    merges::READ_IDENTITIES_OF,
    quarantine::{PUT_QUARANTINE, READ_QUARANTINED},
    quoted::READ_OURS,
};

use super::{
    Store, StoreError,
    drafts::{EndDrafts, end_drafts},
    lines::Entry,
    merge::{self, Merge},
    messages::{self, MessageRow},
    tx::{Tx, in_group},
};
use crate::config::QuarantineBound;
use crate::domain::{ChannelName, Event, Id, JobKind, Signal, Timestamp, event::NewMessage};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// One webhook to store.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Whose it is.
    pub client_id: Arc<str>,
    /// The channel it came over.
    pub channel: ChannelName,
    /// The request it came with.
    pub request_id: String,
    /// When it came.
    pub received_at: Timestamp,
    /// The body as received, secrets masked.
    pub payload: String,
    /// The signed id of its delivery: the same one again changes nothing, and with another body it is held
    /// for a person.
    pub delivery: Option<Delivery>,
    /// What it is.
    pub content: Content,
}

/// Why a delivery is held that has the id of an earlier one and not its body.
pub const SAME_ID_OTHER_BODY: &str = "same_id_other_body";

/// A delivery that its sender has signed.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its id: one body, however often it comes.
    pub id: String,
    /// Hash of that body; see [`body_hash`](crate::store::body_hash).
    pub body_hash: String,
    /// For how many milliseconds it is remembered: as long as its signature is valid.
    pub kept_ms: i64,
}

/// What a webhook is.
#[derive(Clone, Debug)]
pub enum Content {
    /// Understood.
    Event {
        /// What it means.
        event: Box<Event>,
        /// The kind of job that works an inbound message through.
        kind: JobKind,
        /// How many attempts that job may have.
        max_attempts: u32,
    },
    /// Not understood: kept for a person.
    Quarantine {
        /// The provider's name of the event.
        event_type: Option<String>,
        /// Why.
        reason: String,
        /// Hash of the body as received; the same bytes are the same item.
        body_hash: String,
    },
}

/// What became of a webhook, with the ids that its answer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Stored, with its job.
    Accepted {
        /// The message.
        message_id: Id,
        /// Its lead.
        lead_id: Id,
        /// Its job.
        job_id: Id,
    },
    /// Known already: the ids of the first.
    Duplicate {
        /// The first message; `None` for a state signal that changes nothing.
        message_id: Option<Id>,
        /// Its lead.
        lead_id: Option<Id>,
        /// The first's inbound job.
        job_id: Option<Id>,
    },
    /// Stored or applied without a job.
    Recorded {
        /// The stored message, if any.
        message_id: Option<Id>,
        /// The lead.
        lead_id: Id,
        /// What was changed.
        reason: &'static str,
    },
    /// Needs nothing.
    Ignored {
        /// Why.
        reason: &'static str,
    },
    /// Kept for a person.
    Quarantined {
        /// The item.
        quarantine_id: Id,
        /// Why.
        reason: String,
    },
    /// To be kept for a person, but its client holds as much in quarantine as it may: nothing is stored.
    QuarantineFull,
}

/// The ingest actors' handle.
#[derive(Clone, Debug)]
pub struct Inbox(pub(super) Store, pub(super) QuarantineBound);

impl Inbox {
    /// The same with another bound on what a client may hold in quarantine.
    #[must_use]
    pub fn bounded(&self, bound: QuarantineBound) -> Self {
        Self(self.0.clone(), bound)
    }

    /// Stores `group` in one transaction; the answers are in its order. When it returns, all is committed.
    ///
    /// # Errors
    /// Of the whole group, and then nothing of it is stored: [`StoreError::Data`] when something in it
    /// cannot be stored, else the database is away.
    pub async fn put(&self, inbound: Arc<[Inbound]>) -> Result<Vec<Answer>, StoreError> {
        let (store, bound) = (self.0.clone(), self.1);
        self.0
            .spawn(async move {
                in_group(|| {
                    let (store, inbound) = (store.clone(), inbound.clone());
                    async move {
                        let tx = Tx::begin(store.connections(), "ingest").await?;
                        let answers = put(&store, &tx, &inbound, bound).await?;
                        tx.commit().await?;
                        Ok(answers)
                    }
                })
                .await
            })
            .await
    }
}

/// A group that is being stored.
struct Group<'a> {
    store: &'a Store,
    tx: &'a Tx,
    inbound: &'a [Inbound],
    /// The ids that messages of the group get if they are new.
    message_ids: Vec<Id>,
    answers: Vec<Option<Answer>>,
    chats: Chats,
    /// Which have the id of an earlier delivery and another body: nothing else is to be known of them.
    other_bodies: HashSet<usize>,
    /// What a client may hold in quarantine.
    bound: QuarantineBound,
}

async fn put(
    store: &Store,
    tx: &Tx,
    inbound: &[Inbound],
    bound: QuarantineBound,
) -> Result<Vec<Answer>, StoreError> {
    let mut group = Group {
        store,
        tx,
        inbound,
        message_ids: inbound.iter().map(|_| store.next_id()).collect(),
        answers: vec![None; inbound.len()],
        chats: Chats::default(),
        other_bodies: HashSet::new(),
        bound,
    };
    group.other_bodies = group.find_other_bodies().await?;
    group.chats = group.find_chats().await?;
    let firsts = group.known_messages().await?;
    let (mut lead_of, meetings) = group.find_leads(&firsts).await?;
    let campaigns = group.find_campaigns(&lead_of).await?;
    let mut repeated = messages::read_firsts(tx, &firsts, inbound).await?;
    let mut changes = group.find_changed(&firsts).await?;
    let mut leads = group.lock_leads(&lead_of, &meetings, &repeated, &changes).await?;
    group.look_at_paths_again(&firsts, &lead_of).await?;
    let mut work = Work::default();
    group.merge_leads(&meetings, &mut leads, &mut lead_of, &mut work).await?;
    for it in repeated.values_mut() {
        it.lead_id = merge::resolve(&work.merges, it.lead_id);
    }
    let echoes = group.find_echoes(&firsts, &lead_of, &leads).await?;
    changes.follow(&echoes);
    group.read_changeable(&mut changes).await?;
    let quoted = group.find_quoted(&firsts, &lead_of, &repeated, &leads).await?;
    let known = Known { firsts, repeated, lead_of, campaigns, echoes, quoted };
    group.apply_events(&known, &mut changes, &mut leads, &mut work);
    messages::put(tx, &work.messages).await?;
    messages::name(tx, &work.names).await?;
    messages::fill(tx, &work.fillings).await?;
    // A failure that the group tells of its own echo comes after it.
    group.write_echoed(&work.echoed).await?;
    group.write_changes(&changes).await?;
    group.put_chats(&work).await?;
    group.repoint_echoed(&work.echoed_keys).await?;
    group.apply_hints(&mut work, &mut leads).await?;
    end_drafts(tx, &work.ended_drafts).await?;
    leads.write(tx).await?;
    group.quarantine().await?;
    group.enqueue(work).await?;
    all_answered(group.answers)
}

/// One answer to each webhook of a group.
///
/// # Errors
/// Where one has none: left out, it would get its neighbour's. As if the database had refused the data, so that
/// only that webhook is kept for a person.
fn all_answered(answers: Vec<Option<Answer>>) -> Result<Vec<Answer>, StoreError> {
    let missing = answers.iter().position(Option::is_none);
    if let Some(at) = missing {
        let of = answers.len();
        return Err(StoreError::Data(format!(
            "webhook {at} of a group of {of} was given no answer"
        )));
    }
    Ok(answers.into_iter().flatten().collect())
}

/// What the statements of a group are to write.
#[derive(Default)]
struct Work {
    messages: Vec<MessageRow>,
    hints: Vec<Hint>,
    ended_drafts: Vec<EndDrafts>,
    entries: Vec<Entry>,
    fresh_leads: HashSet<Id>,
    /// The newest message of each chat.
    chats: BTreeMap<ChatKey, Id>,
    /// Deliveries that were told back.
    echoed: Vec<Echoed>,
    /// Which events did, and the messages that they are about.
    echoed_keys: Vec<(usize, Id)>,
    /// The providers' ids of messages that were stored without.
    names: BTreeMap<Id, String>,
    /// The texts of messages that were stored without.
    fillings: BTreeMap<Id, messages::Filling>,
    /// Stored leads that were found to be others.
    merges: Vec<Merge>,
}

impl<'a> Group<'a> {
    fn message(&self, at: usize) -> Option<(&'a Inbound, &'a Event, &'a NewMessage)> {
        let (inbound, event) = self.event(at)?;
        match &event.signal {
            Signal::Message(message) => Some((inbound, event, message)),
            Signal::OptOut { .. }
            | Signal::Bounce { .. }
            | Signal::DoNotDisturb { .. }
            | Signal::Hint { .. }
            | Signal::Category { .. }
            | Signal::Connected
            | Signal::Edited { .. }
            | Signal::Deleted { .. }
            | Signal::Failed { .. } => None,
        }
    }

    /// The event at that place of the group; `None` where what came is held for a person.
    fn event(&self, at: usize) -> Option<(&'a Inbound, &'a Event)> {
        let inbound = self.inbound.get(at)?;
        match &inbound.content {
            Content::Event { event, .. } if !self.other_bodies.contains(&at) => {
                Some((inbound, event))
            }
            Content::Event { .. } | Content::Quarantine { .. } => None,
        }
    }

    fn message_id(&self, at: usize) -> Id {
        self.message_ids.get(at).copied().unwrap_or_default()
    }

    fn answer(&mut self, at: usize, answer: Answer) {
        if let Some(slot) = self.answers.get_mut(at) {
            *slot = Some(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_without_an_answer_is_an_error_and_takes_no_neighbours() {
        let answer = |reason| Some(Answer::Ignored { reason });
        let all = all_answered(vec![answer("one"), answer("two")]).unwrap();
        assert_eq!(all, [Answer::Ignored { reason: "one" }, Answer::Ignored { reason: "two" }]);
        assert_eq!(all_answered(Vec::new()).unwrap(), []);
        for answers in
            [vec![None], vec![answer("one"), None, answer("two")], vec![answer("one"), None]]
        {
            assert!(all_answered(answers).is_err_and(|it| it.is_data()));
        }
    }
}
