//! What events do to messages, leads and lines, once their leads are locked.

use super::{
    Answer, Content, Group, Inbound, Work,
    changes::Changes,
    chats::chat_key,
    echoes::Echo,
    find::{CampaignKey, Found, campaign_key},
    hints::Hint,
    keys::{First, resolve},
    quoted::Cut,
};
use crate::{
    domain::{
        Event, Id, JobKind, Signal, Timestamp,
        event::{Direction, NewMessage},
        job::NewJob,
        lead::{MAIL_CHANNELS, is_mail},
        order::Told,
    },
    store::{
        StoreError,
        drafts::EndDrafts,
        leads::{Bounced, Lead, Leads, OptedOut},
        lines::{self, Counts, Entering, Entry},
        merge::Moving,
        messages::{self, Filling, MessageRow},
    },
};
use std::{borrow::Cow, collections::HashMap};

/// What is known of a group's events once their leads are locked, each by its place in the group.
pub(super) struct Known {
    /// Which are duplicates, and of what.
    pub(super) firsts: HashMap<usize, First>,
    /// The stored messages that duplicates repeat.
    pub(super) repeated: HashMap<Id, messages::KnownMessage>,
    /// Whose the others are.
    pub(super) lead_of: HashMap<usize, Found>,
    /// Campaigns by their providers' ids.
    pub(super) campaigns: HashMap<CampaignKey, Id>,
    /// Which are our own sends, told back.
    pub(super) echoes: HashMap<usize, Echo>,
    /// What is left of answers that repeat what we had sent.
    pub(super) quoted: HashMap<usize, Cut>,
}

impl Known {
    /// A message as it is stored: without what repeats ours.
    fn heard<'a>(&self, at: usize, message: &'a NewMessage) -> Cow<'a, NewMessage> {
        self.quoted.get(&at).map_or(Cow::Borrowed(message), |it| it.applied(message))
    }
}

impl Group<'_> {
    /// Applies every event in the order of arrival, in memory.
    pub(super) fn apply_events(
        &mut self,
        known: &Known,
        changes: &mut Changes,
        leads: &mut Leads,
        work: &mut Work,
    ) {
        let firsts = &known.firsts;
        work.fresh_leads =
            known.lead_of.values().filter(|it| it.is_new).map(|it| it.lead_id).collect();
        for at in 0..self.inbound.len() {
            let Some((inbound, event)) = self.event(at) else { continue };
            match firsts.get(&at).map(|_| resolve(firsts, at)) {
                Some(First::Stored(id)) => {
                    self.repeat_stored(at, id, known, leads, work);
                }
                Some(First::InGroup(root)) => self.repeat_in_group(at, root, leads, work),
                None if event.signal.about().is_some() => {
                    self.apply_change(at, inbound, event, changes, leads, work);
                }
                None => {
                    let lead = known.lead_of.get(&at).and_then(|it| leads.get_mut(it.lead_id));
                    let Some(lead) = lead else {
                        self.answer(at, Answer::Ignored { reason: event.not_found() });
                        continue;
                    };
                    let campaign_id = event.campaign.as_ref().and_then(|it| {
                        known.campaigns.get(&campaign_key(inbound, &it.provider_id)).copied()
                    });
                    lead.fill_in(&event.profile, campaign_id);
                    let message = Incoming { at, inbound, event, campaign_id };
                    match (&event.signal, known.echoes.get(&at)) {
                        (Signal::Message(it), Some(echo)) => {
                            self.apply_echo(message, it, *echo, lead, work);
                        }
                        (Signal::Message(it), None) => {
                            self.apply_message(message, &known.heard(at, it), lead, work);
                        }
                        _ => self.apply_state(at, inbound, event, lead, work),
                    }
                }
            }
        }
    }

    /// What an event changes about a lead, without a message.
    fn apply_state(
        &mut self,
        at: usize,
        inbound: &Inbound,
        event: &Event,
        lead: &mut Lead,
        work: &mut Work,
    ) {
        let lead_id = lead.id;
        let reason = event.signal.reason();
        let mut hint = None;
        let changed = match &event.signal {
            Signal::Hint { sentiment, .. } => {
                hint = Some(*sentiment);
                false
            }
            Signal::Category { name, hint: told, opt_out: out } => {
                hint = told.filter(|_| !out);
                let report = told_by(inbound, event);
                let is_current = !report.is_stale(lead.category_at);
                let is_new = is_current && lead.category != *name;
                if is_current {
                    let lead = lead.change();
                    lead.category.clone_from(name);
                    lead.category_at = Some(report.at);
                }
                let words = name.as_deref().unwrap_or(reason);
                (*out && opt_out(lead, inbound, event.at, None, words, work)) || is_new
            }
            Signal::OptOut { reason } => opt_out(lead, inbound, event.at, None, reason, work),
            Signal::Bounce { address, reason, .. } => {
                bounce(lead, event.at, address, reason.as_ref(), work)
            }
            Signal::DoNotDisturb { active } => {
                let before = lead.sms_dnd();
                let after = before.told(*active, told_by(inbound, event));
                if before != after {
                    lead.set_sms_dnd(after);
                }
                before.is_on != after.is_on
            }
            Signal::Connected => {
                let is_first = lead.connected_at.is_none();
                if is_first {
                    lead.change().connected_at = Some(event.at);
                }
                is_first
            }
            // Applied elsewhere: to messages.
            Signal::Message(_)
            | Signal::Edited { .. }
            | Signal::Deleted { .. }
            | Signal::Failed { .. } => false,
        };
        let answer = if changed {
            Answer::Recorded { message_id: None, lead_id, reason }
        } else {
            Answer::Duplicate { message_id: None, lead_id: Some(lead_id), job_id: None }
        };
        match hint {
            Some(sentiment) => work.hints.push(Hint {
                at,
                lead_id,
                message_id: None,
                not_after: event.at,
                sentiment,
                word: reason,
                otherwise: answer,
            }),
            None => self.answer(at, answer),
        }
    }

    /// Our own send, told back: no second message (docs/RULES.md P12).
    fn apply_echo(
        &mut self,
        it: Incoming<'_>,
        message: &NewMessage,
        echo: Echo,
        lead: &mut Lead,
        work: &mut Work,
    ) {
        let Incoming { at, event, .. } = it;
        let message_id = echo.message_id.unwrap_or_else(|| {
            let id = self.message_id(at);
            work.messages.push(it.row(id, lead.id, message).sent_by_us());
            work.note_chat(&it, message, id);
            id
        });
        work.echoed.push(echo.settled(message.provider_id.as_ref(), message_id));
        work.echoed_keys.push((at, message_id));
        let lead = lead.change();
        lead.last_message_at = lead.last_message_at.max(Some(event.at));
        lead.last_outbound_at = lead.last_outbound_at.max(Some(event.at));
        let (message_id, lead_id) = (Some(message_id), Some(lead.id));
        self.answer(at, Answer::Duplicate { message_id, lead_id, job_id: None });
    }

    fn apply_message(
        &mut self,
        it: Incoming<'_>,
        message: &NewMessage,
        lead: &mut Lead,
        work: &mut Work,
    ) {
        let Incoming { at, inbound, event, .. } = it;
        let id = self.message_id(at);
        work.messages.push(it.row(id, lead.id, message));
        work.note_chat(&it, message, id);
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
        lift_bounce(lead, inbound, event.at, message);
        if lead.would_be_newest(event.at, id) {
            lead.newest_inbound = Some((event.at, id));
            lead.snoozed_until = None;
            work.end_drafts(lead.id, None, "superseded", "newer_message");
            if let Some(hint) = message.verdict() {
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
        known: &Known,
        leads: &mut Leads,
        work: &mut Work,
    ) {
        let (Some((inbound, event)), Some(first)) =
            (self.event(at), known.repeated.get(&message_id))
        else {
            // A signed delivery without a message, or a message that was pruned while its key was not.
            let answer = Answer::Duplicate { message_id: None, lead_id: None, job_id: None };
            self.answer(at, answer);
            return;
        };
        if let (false, Signal::Message(it)) = (first.is_named, &event.signal)
            && let Some(provider_id) = &it.provider_id
        {
            work.names.entry(message_id).or_insert_with(|| provider_id.clone());
        }
        if let (true, Signal::Message(it)) = (first.is_empty && first.is_inbound, &event.signal)
            && !it.body.is_empty()
            && !work.fillings.contains_key(&message_id)
        {
            let it = known.heard(at, it);
            work.fillings.insert(message_id, Filling::new(message_id, &it));
            opt_out_late((inbound, event), &it, message_id, leads.get_mut(first.lead_id), work);
        }
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
    fn repeat_in_group(&mut self, at: usize, root: usize, leads: &mut Leads, work: &mut Work) {
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
        let Some((inbound, event)) = self.event(at) else { return };
        let id = self.message_id(root);
        if let Signal::Message(it) = &event.signal
            && let Some(first) = work.messages.iter_mut().find(|it| it.id == id)
        {
            first.provider_id = first.provider_id.take().or_else(|| it.provider_id.clone());
            if first.direction == Direction::Inbound.as_str() && first.fill(it) {
                let lead = leads.get_mut(first.lead_id);
                opt_out_late((inbound, event), it, id, lead, work);
            }
        }
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
                // A reply that comes again brings no other reason word (docs/RULES.md P7).
                word: "interested",
                otherwise: answer,
            }),
            None => self.answer(at, answer),
        }
    }

    /// Enqueues the jobs of accepted messages, in the order of arrival.
    pub(super) async fn enqueue(&mut self, work: Work) -> Result<(), StoreError> {
        if work.entries.is_empty() && work.merges.is_empty() {
            return Ok(());
        }
        let new = lines::put_jobs(self.tx, &work.entries).await?;
        if new.len() < work.entries.len() {
            // Another group has made the missing job of the same message: its id is the one to answer.
            return Err(StoreError::Conflict("a missing job was made meanwhile".to_owned()));
        }
        let mut counts = Counts::default();
        let moving = Moving::read(self.tx, &work.merges).await?;
        let mut entering: Vec<Entering> = moving.entering.clone();
        for entry in &work.entries {
            counts.add(entry.job.kind.0, "enqueued", 1);
            entering.push(entry.entering());
        }
        let placed = lines::place(self.tx, entering, &work.fresh_leads).await?;
        let (mut caps, turns) = lines::take_for(self.tx, &placed, moving.clients()).await?;
        moving.take_out(self.tx, &mut caps).await?;
        lines::write(self.tx, placed, turns, &mut caps).await?;
        caps.settle(self.tx).await?;
        counts.write(self.tx, self.store.node()).await
    }
}

/// A message that is to be stored, with what it came with.
#[derive(Clone, Copy)]
struct Incoming<'a> {
    at: usize,
    inbound: &'a Inbound,
    event: &'a Event,
    campaign_id: Option<Id>,
}

impl Incoming<'_> {
    fn row(&self, id: Id, lead_id: Id, message: &NewMessage) -> MessageRow {
        MessageRow::new(id, lead_id, self.campaign_id, self.inbound, self.event, message)
    }
}

impl Work {
    fn note_chat(&mut self, it: &Incoming<'_>, message: &NewMessage, id: Id) {
        if let Some(chat) = message.chat() {
            self.chats.insert(chat_key(it.inbound, chat), id);
        }
    }

    pub(super) fn end_drafts(
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
pub(super) fn opt_out(
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

/// The text of a message that came without has come: what it says of the lead's will counts as if it had come
/// at once (docs/RULES.md P11).
fn opt_out_late(
    (inbound, event): (&Inbound, &Event),
    message: &NewMessage,
    message_id: Id,
    lead: Option<&mut Lead>,
    work: &mut Work,
) {
    if let (Some(words), Some(lead)) = (&message.opt_out, lead) {
        opt_out(lead, inbound, event.at, Some(message_id), words, work);
    }
}

/// When the provider says that what an event tells became so.
fn told_by(inbound: &Inbound, event: &Event) -> Told {
    Told { at: event.at, is_of_receipt: event.at == inbound.received_at }
}

/// Notes that mail to a lead came back; false if that is known of this address. The newest bounce of it counts:
/// a mail that was written before that one does not lift it.
fn bounce(
    lead: &mut Lead,
    at: Timestamp,
    address: &str,
    reason: Option<&String>,
    work: &mut Work,
) -> bool {
    if let Some(known) = lead.bounced.as_mut().filter(|it| it.address == address) {
        known.at = known.at.max(at);
        lead.change();
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

/// A mail from the very address that had bounced: it works again. One that was written before the bounce and
/// comes late says nothing about that.
fn lift_bounce(lead: &mut Lead, inbound: &Inbound, at: Timestamp, message: &NewMessage) {
    let is_from_it = lead.bounced.as_ref().is_some_and(|it| {
        message.from.address.as_deref() == Some(it.address.as_str()) && at >= it.at
    });
    if is_mail(inbound.channel.0) && is_from_it {
        lead.bounced = None;
        lead.standing = lead.standing.bounce_lifted();
    }
}
