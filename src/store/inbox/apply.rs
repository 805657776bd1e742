//! What events do to messages, leads and lines, once their leads are locked.

use super::{
    Answer, Content, Group, Hint, Inbound, Work,
    find::{CampaignKey, Found, campaign_key},
    keys::{First, resolve},
};
use crate::{
    domain::{
        Event, Id, JobKind, Sentiment, Signal, Timestamp,
        event::{Direction, NewMessage},
        job::NewJob,
        lead::{MAIL_CHANNELS, is_mail},
    },
    store::{
        StoreError,
        leads::{Bounced, EndDrafts, Lead, Leads, OptedOut},
        lines::{self, Counts, Entering, Entry},
        messages::{self, MessageRow},
        sql::Sql,
        tx::group,
    },
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Keeps what was not understood; the same bytes are the same item, counted. Sorted.
pub(in crate::store) static PUT_QUARANTINE: Sql = Sql::new(
    "insert into quarantine (id, client_id, channel, body_hash, event_type, reason, status, count, payload, request_id, \
       received_at, last_received_at) \
     select g.id, g.client_id, g.channel, g.body_hash, g.event_type, g.reason, 'held', g.n, g.payload, g.request_id, \
       g.received_at, g.received_at \
     from @rows($1, id bigint, client_id text, channel text, body_hash text, event_type text, reason text, n bigint, \
       payload text, request_id text, received_at instant) g \
     where true order by g.client_id, g.channel, g.body_hash \
     on conflict (client_id, channel, body_hash) do update set count = quarantine.count + excluded.count, \
       last_received_at = excluded.last_received_at, reason = excluded.reason \
     returning id, client_id, channel, body_hash",
);

impl Group<'_> {
    /// Applies every event in the order of arrival, in memory.
    pub(super) fn apply_events(
        &mut self,
        firsts: &HashMap<usize, First>,
        known: &HashMap<Id, messages::Known>,
        lead_of: &HashMap<usize, Found>,
        campaigns: &HashMap<CampaignKey, Id>,
        leads: &mut Leads,
        work: &mut Work,
    ) {
        work.fresh_leads = lead_of.values().filter(|it| it.is_new).map(|it| it.lead_id).collect();
        for at in 0..self.inbound.len() {
            let Some((inbound, event)) = self.event(at) else { continue };
            match firsts.get(&at).map(|_| resolve(firsts, at)) {
                Some(First::Stored(id)) => self.repeat_stored(at, id, known, work),
                Some(First::InGroup(root)) => self.repeat_in_group(at, root, work),
                None => {
                    let lead = lead_of.get(&at).and_then(|it| leads.get_mut(it.lead_id));
                    let Some(lead) = lead else {
                        self.answer(at, Answer::Ignored { reason: event.not_found() });
                        continue;
                    };
                    let campaign_id = event.campaign.as_ref().and_then(|it| {
                        campaigns.get(&campaign_key(inbound, &it.provider_id)).copied()
                    });
                    lead.fill_in(&event.profile, campaign_id);
                    self.apply_event(at, inbound, event, campaign_id, lead, work);
                }
            }
        }
    }

    fn apply_event(
        &mut self,
        at: usize,
        inbound: &Inbound,
        event: &Event,
        campaign_id: Option<Id>,
        lead: &mut Lead,
        work: &mut Work,
    ) {
        let lead_id = lead.id;
        let reason = event.signal.reason();
        let changed = match &event.signal {
            Signal::Message(message) => {
                self.apply_message(at, inbound, event, message, campaign_id, lead, work);
                return;
            }
            Signal::Hint { sentiment, .. }
            | Signal::Category { hint: Some(sentiment), opt_out: false, .. } => {
                work.hints.push(Hint::on_newest(at, lead_id, event.at, *sentiment, reason));
                return;
            }
            // The name itself is not stored: there is no place for it on the lead.
            Signal::Category { hint: None, opt_out: false, .. } => false,
            Signal::Category { name, opt_out: true, .. } => {
                let reason = name.as_deref().unwrap_or(reason);
                opt_out(lead, inbound, event.at, None, reason, work)
            }
            Signal::OptOut { reason } => opt_out(lead, inbound, event.at, None, reason, work),
            Signal::Bounce { address, reason, .. } => {
                bounce(lead, event.at, address, reason.as_ref(), work)
            }
            Signal::DoNotDisturb { active } => {
                let before = lead.standing.barriers.sms_dnd;
                lead.change().standing.barriers.sms_dnd = *active;
                before != *active
            }
            Signal::Connected => {
                let is_first = lead.connected_at.is_none();
                if is_first {
                    lead.change().connected_at = Some(event.at);
                }
                is_first
            }
            // They name a message and no lead, so that none is found for them.
            Signal::Edited { .. } | Signal::Deleted { .. } | Signal::Failed { .. } => {
                self.answer(at, Answer::Ignored { reason: event.not_found() });
                return;
            }
        };
        let answer = if changed {
            Answer::Recorded { message_id: None, lead_id, reason }
        } else {
            Answer::Duplicate { message_id: None, lead_id: Some(lead_id), job_id: None }
        };
        self.answer(at, answer);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step of a group: what it reads and what it fills"
    )]
    fn apply_message(
        &mut self,
        at: usize,
        inbound: &Inbound,
        event: &Event,
        message: &NewMessage,
        campaign_id: Option<Id>,
        lead: &mut Lead,
        work: &mut Work,
    ) {
        let id = self.message_id(at);
        let row = MessageRow::new(id, lead.id, campaign_id, inbound, event, message);
        work.messages.push(row);
        let lead = lead.change();
        lead.last_message_at = lead.last_message_at.max(Some(event.at));
        if message.direction == Direction::Outbound {
            lead.last_outbound_at = lead.last_outbound_at.max(Some(event.at));
            self.answer(
                at,
                Answer::Recorded {
                    message_id: Some(id),
                    lead_id: lead.id,
                    reason: event.signal.reason(),
                },
            );
            return;
        }
        lift_bounce(lead, inbound, message);
        if lead.would_be_newest(event.at, id) {
            lead.newest_inbound = Some((event.at, id));
            lead.snoozed_until = None;
            work.end_drafts(lead.id, None, "superseded", "newer_message");
            if let Some(hint) = message.hint {
                lead.standing = lead.standing.hinted(hint);
            }
        }
        if let Some(words) = &message.opt_out {
            opt_out(lead, inbound, event.at, Some(id), words, work);
        }
        let lead_id = lead.id;
        if let Content::Event { kind, max_attempts, .. } = &inbound.content {
            let job_id = self.add_job(inbound, *kind, *max_attempts, lead_id, id, work);
            self.answer(at, Answer::Accepted { message_id: id, lead_id, job_id });
        }
    }

    fn add_job(
        &self,
        inbound: &Inbound,
        kind: JobKind,
        max_attempts: u32,
        lead_id: Id,
        message_id: Id,
        work: &mut Work,
    ) -> Id {
        let id = self.store.next_id();
        let job = NewJob {
            kind,
            client_id: inbound.client_id.to_string(),
            lead_id: Some(lead_id),
            subject_id: message_id,
            message_id: Some(message_id),
            draft_id: None,
            max_attempts,
            in_lead_line: true,
            delay_ms: 0,
        };
        work.entries.push(Entry { id, job });
        id
    }

    /// A duplicate of a message stored before: its ids again, and its job if that is missing.
    fn repeat_stored(
        &mut self,
        at: usize,
        message_id: Id,
        known: &HashMap<Id, messages::Known>,
        work: &mut Work,
    ) {
        let (Some((inbound, event)), Some(first)) = (self.event(at), known.get(&message_id)) else {
            // A signed delivery without a message, or a message that was pruned while its key was not.
            let answer = Answer::Duplicate { message_id: None, lead_id: None, job_id: None };
            self.answer(at, answer);
            return;
        };
        let mut job_id = first.job_id;
        if first.misses_its_job()
            && let Content::Event { kind, max_attempts, .. } = &inbound.content
        {
            let made =
                work.entries.iter().find(|it| it.job.subject_id == message_id).map(|it| it.id);
            job_id = Some(made.unwrap_or_else(|| {
                self.add_job(inbound, *kind, *max_attempts, first.lead_id, message_id, work)
            }));
        }
        let answer = Answer::Duplicate {
            message_id: Some(message_id),
            lead_id: Some(first.lead_id),
            job_id,
        };
        self.repeat(at, event, message_id, first.lead_id, answer, work);
    }

    /// A duplicate of a message earlier in the same group.
    fn repeat_in_group(&mut self, at: usize, root: usize, work: &mut Work) {
        let answer = match self.answers.get(root) {
            Some(Some(Answer::Accepted { message_id, lead_id, job_id })) => Answer::Duplicate {
                message_id: Some(*message_id),
                lead_id: Some(*lead_id),
                job_id: Some(*job_id),
            },
            Some(Some(Answer::Recorded { message_id, lead_id, .. })) => {
                Answer::Duplicate { message_id: *message_id, lead_id: Some(*lead_id), job_id: None }
            }
            Some(Some(other)) => other.clone(),
            Some(None) | None => {
                Answer::Duplicate { message_id: None, lead_id: None, job_id: None }
            }
        };
        let Some((_, event)) = self.event(at) else { return };
        if let Answer::Duplicate { message_id: Some(message_id), lead_id: Some(lead_id), .. } =
            answer
        {
            self.repeat(at, event, message_id, lead_id, answer, work);
        } else {
            self.answer(at, answer);
        }
    }

    /// The answer of a duplicate, unless it brings a verdict that the first did not have (docs/RULES.md P11).
    fn repeat(
        &mut self,
        at: usize,
        event: &Event,
        message_id: Id,
        lead_id: Id,
        answer: Answer,
        work: &mut Work,
    ) {
        match messages::hint_of(event) {
            Some(sentiment) => work.hints.push(Hint {
                at,
                lead_id,
                message_id: Some(message_id),
                not_after: event.at,
                sentiment,
                word: "interested",
                otherwise: answer,
            }),
            None => self.answer(at, answer),
        }
    }

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
        let mut verdicts: HashMap<Id, Option<Sentiment>> = newest.values().copied().collect();
        verdicts.extend(messages::read_sentiments(self.tx, &named).await?);
        let mut set: HashMap<Id, Sentiment> = HashMap::new();
        for hint in hints {
            let about = hint.message_id.or_else(|| newest.get(&hint.at).map(|it| it.0));
            let Some(message_id) = about else {
                self.answer(hint.at, hint.otherwise);
                continue;
            };
            let verdict = verdicts.entry(message_id).or_default();
            let open = verdict.is_none_or(|it| it == Sentiment::Neutral)
                && *verdict != Some(hint.sentiment);
            if !open {
                self.answer(hint.at, hint.otherwise);
                continue;
            }
            *verdict = Some(hint.sentiment);
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

    /// Stores what was not understood.
    pub(super) async fn quarantine(&mut self) -> Result<(), StoreError> {
        let mut rows: BTreeMap<(String, &'static str, String), QuarantineRow<'_>> = BTreeMap::new();
        let mut items: Vec<(usize, (String, &'static str, String), String)> = Vec::new();
        for (at, inbound) in self.inbound.iter().enumerate() {
            let Content::Quarantine { event_type, reason, body_hash } = &inbound.content else {
                continue;
            };
            let key = (inbound.client_id.to_string(), inbound.channel.0, body_hash.clone());
            items.push((at, key.clone(), reason.clone()));
            rows.entry(key).and_modify(|it| it.n += 1).or_insert_with(|| QuarantineRow {
                id: self.message_id(at),
                client_id: &inbound.client_id,
                channel: inbound.channel.0,
                body_hash,
                event_type: event_type.as_deref(),
                reason,
                n: 1,
                payload: &inbound.payload,
                request_id: &inbound.request_id,
                received_at: inbound.received_at.as_millis(),
            });
        }
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<QuarantineRow<'_>> = rows.into_values().collect();
        let mut ids: HashMap<(String, String, String), Id> = HashMap::new();
        for row in self.tx.all(&PUT_QUARANTINE, [group(&rows)?]).await? {
            let key = (
                row.try_get("", "client_id")?,
                row.try_get("", "channel")?,
                row.try_get("", "body_hash")?,
            );
            ids.insert(key, row.try_get("", "id")?);
        }
        for (at, key, reason) in items {
            let id = ids.get(&(key.0, key.1.to_owned(), key.2)).copied().unwrap_or_default();
            self.answer(at, Answer::Quarantined { quarantine_id: id, reason });
        }
        Ok(())
    }

    /// Enqueues the jobs of accepted messages, in the order of arrival.
    pub(super) async fn enqueue(&mut self, work: Work) -> Result<(), StoreError> {
        if work.entries.is_empty() {
            return Ok(());
        }
        let new = lines::put_jobs(self.tx, &work.entries).await?;
        if new.len() < work.entries.len() {
            // Another group has made the missing job of the same message: its id is the one to answer.
            return Err(StoreError::Conflict("a missing job was made meanwhile".to_owned()));
        }
        let mut counts = Counts::default();
        let mut entering: Vec<Entering> = Vec::with_capacity(new.len());
        for entry in &work.entries {
            counts.add(entry.job.kind.0, "enqueued", 1);
            entering.push(entry.entering());
        }
        lines::enter(self.tx, entering, &work.fresh_leads).await?;
        counts.write(self.tx, self.store.node()).await
    }
}

#[derive(Serialize)]
struct QuarantineRow<'a> {
    id: Id,
    client_id: &'a str,
    channel: &'static str,
    body_hash: &'a str,
    event_type: Option<&'a str>,
    reason: &'a str,
    n: i64,
    payload: &'a str,
    request_id: &'a str,
    received_at: i64,
}

impl Hint {
    /// About the lead's newest message that is not later than the event.
    const fn on_newest(
        at: usize,
        lead_id: Id,
        not_after: Timestamp,
        sentiment: Sentiment,
        word: &'static str,
    ) -> Self {
        let otherwise =
            Answer::Duplicate { message_id: None, lead_id: Some(lead_id), job_id: None };
        Self { at, lead_id, message_id: None, not_after, sentiment, word, otherwise }
    }
}

impl Work {
    fn end_drafts(
        &mut self,
        lead_id: Id,
        channel: Option<&'static str>,
        status: &'static str,
        decided_by: &'static str,
    ) {
        if !self.fresh_leads.contains(&lead_id) {
            self.ended_drafts.push(EndDrafts {
                lead_id,
                channel,
                status,
                decided_by,
                except_message_id: None,
            });
        }
    }
}

/// Opts a lead out, on all channels and at once; false if it was already.
fn opt_out(
    lead: &mut Lead,
    inbound: &Inbound,
    at: Timestamp,
    message_id: Option<Id>,
    reason: &str,
    work: &mut Work,
) -> bool {
    let channel = inbound.channel.0.to_owned();
    let changed = lead.opt_out(OptedOut { at, channel, message_id, reason: reason.to_owned() });
    if changed {
        work.end_drafts(lead.id, None, "rejected", "opt_out");
    }
    changed
}

/// Notes that mail to a lead came back; false if that is known of this address.
fn bounce(
    lead: &mut Lead,
    at: Timestamp,
    address: &str,
    reason: Option<&String>,
    work: &mut Work,
) -> bool {
    if lead.bounced.as_ref().is_some_and(|it| it.address == address) {
        return false;
    }
    let lead = lead.change();
    lead.bounced = Some(Bounced { at, address: address.to_owned(), reason: reason.cloned() });
    lead.standing = lead.standing.bounced();
    for channel in MAIL_CHANNELS {
        work.end_drafts(lead.id, Some(channel.0), "rejected", "bounce");
    }
    true
}

/// A mail from the very address that had bounced: it works again.
fn lift_bounce(lead: &mut Lead, inbound: &Inbound, message: &NewMessage) {
    let is_from_it = lead
        .bounced
        .as_ref()
        .is_some_and(|it| message.from.address.as_deref() == Some(it.address.as_str()));
    if is_mail(inbound.channel.0) && is_from_it {
        lead.bounced = None;
        lead.standing = lead.standing.bounce_lifted();
    }
}
