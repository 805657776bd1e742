//! Applies the effects and ends of jobs to messages, leads and drafts, after the leads are locked
//! and the fences checked.

use super::{Settlement, Transition};
use crate::domain::{
    ChannelName, Effect, Id, JudgedBy, Medium, SendNews, Sentiment, Timestamp,
    auto_send::GateDecision, drafting::DraftCase, job::DELIVER_REPLY, outcome::GateVerdict,
    sending::BY_RULE, text, verdict,
};
use crate::store::{
    engine::{
        Database, StoreError,
        ids::wall_clock,
        sql::sql,
        tx::{Tx, flag, group},
    },
    tables::{
        drafts::{DraftsOver, EndDrafts, end_drafts},
        leads::{Lead, LeadScore, Leads},
        opt_outs::OptedOut,
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::{borrow::Cow, collections::HashMap, time::Duration};

sql! {
    /// Stores the verdicts on messages, by what they were judged, and when they were handled. Their
    /// leads are locked. By primary key.
    pub(in crate::store) static UPDATE_MESSAGES =
        "update messages set sentiment = coalesce(g.sentiment, messages.sentiment), \
           judged_by = case when g.sentiment is null then messages.judged_by else g.judged_by end, \
           handled_at = case when g.handled then @now else messages.handled_at end \
         from @rows($1, id bigint, sentiment text, judged_by text, handled boolean) g where messages.id = g.id";

    /// Reads whether messages can be answered through their provider, and their verdicts. It reads
    /// the text only of edited messages, which are few. By primary key.
    static READ_HANDLES =
        "select id, case when reply_handle is null then 0 else 1 end as has_handle, sentiment, \
           case when automated then 1 else 0 end as automated, \
           case when deleted_at is null then 0 else 1 end as is_deleted, case when edited_at is null then null else body end as edited_body \
         from messages where id @ids($1)";

    /// Stores drafts: one for each message and channel. A second one is ignored, unless the message
    /// was edited and nobody had decided on the first: then it takes the place of that one. No rule
    /// sends it, because a draft has one job that does. Returns the channels of those that are
    /// stored. No locks except those of the new keys.
    static PUT_DRAFTS =
        "insert into drafts (id, client_id, lead_id, message_id, channel, status, subject, body, parts, blocked_by, tag, \
           from_template, gate_decision, gate_confidence, gate_threshold, gate_reason, send_at, created_at) \
         select g.id, g.client_id, g.lead_id, g.message_id, g.channel, 'pending', g.subject, g.body, g.parts, g.blocked_by, g.tag, \
           g.from_template, g.gate_decision, g.gate_confidence, g.gate_threshold, g.gate_reason, g.send_at, @now \
         from @rows($1, id bigint, client_id text, lead_id bigint, message_id bigint, channel text, subject text, body text, \
           parts text, blocked_by text, tag text, from_template boolean, gate_decision text, gate_confidence double precision, \
           gate_threshold double precision, gate_reason text, send_at instant) g where true \
         on conflict (message_id, channel) do update set status = excluded.status, subject = excluded.subject, body = excluded.body, \
           parts = excluded.parts, edited = false, blocked_by = excluded.blocked_by, tag = excluded.tag, \
           from_template = excluded.from_template, gate_confidence = null, gate_threshold = null, send_at = null, \
           gate_decision = case when excluded.send_at is null then excluded.gate_decision else 'needs_review' end, \
           gate_reason = case when excluded.send_at is null then excluded.gate_reason \
             else 'the message was edited after an answer was drafted: a person must look' end, \
           created_at = excluded.created_at, decided_at = null, decided_by = null, note = null \
         where drafts.status = 'superseded' and drafts.decided_by = 'message_edited' returning channel";

    /// Drafts that a rule is to approve, and whether a job of the kind `$2` was to send them. Their
    /// leads are locked. By primary key and the unique key of jobs: with the status as a condition,
    /// the plan would read all pending drafts.
    static READ_PROPOSED =
        "select d.id, d.channel, d.status, d.gate_decision, \
           case when exists (select 1 from jobs j where j.subject_id = d.id and j.kind = $2) then 1 else 0 end as has_job \
         from drafts d where d.id @ids($1)";

    /// Approves drafts by a rule. Their leads are locked. By primary key.
    static APPROVE_DRAFTS =
        "update drafts set status = 'approved', decided_at = @now, decided_by = $2 where id @ids($1)";
}

/// Applies the effects and ends of jobs to messages, leads and drafts. The caller has locked the
/// leads, and checked the fences of `passed`. `known` is keyed by message id; `new_drafts` are the
/// ids of drafts that are added, by job.
pub(super) async fn apply_effects(
    db: &Database,
    tx: &Tx,
    passed: &[&Settlement],
    known: &HashMap<Id, About>,
    new_drafts: &HashMap<Id, Id>,
    leads: &mut Leads,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct MessageRow<'a> {
        id: Id,
        sentiment: Option<&'static str>,
        judged_by: Option<&'a str>,
        handled: bool,
    }
    let mut messages: Vec<MessageRow<'_>> = Vec::new();
    let mut ended_drafts: Vec<EndDrafts> = Vec::new();
    let mut drafts: Vec<DraftRow<'_>> = Vec::new();
    let mut approved: Vec<Id> = Vec::new();
    // 1. Change the leads in memory, and gather the rows of messages and drafts.
    for settlement in passed {
        let is_inbound_end = settlement.line > 0
            && settlement.transition.takes_head_away()
            && !matches!(settlement.transition, Transition::Snooze { .. });
        let (mut sentiment, mut judged_by) = (None, None);
        let about = settlement.message_id.and_then(|id| known.get(&id));
        for effect in settlement.transition.effects() {
            if let Effect::Judge { tag, by } = effect {
                let tag = about.map_or(*tag, |about| about.verdict(*tag));
                // A verdict that stands was judged before.
                if about.is_none_or(|about| about.hint != Some(tag)) {
                    sentiment = Some(tag.as_str());
                    judged_by = by.as_ref().map(JudgedBy::as_str);
                }
            }
            let lead = settlement.lead_id.and_then(|id| leads.get_mut(id));
            let Some(lead) = lead else { continue };
            if let Effect::ApproveDraft { draft_id } = effect {
                approved.push(*draft_id);
            }
            // The jobs that the outcome enqueues know the first draft that it adds.
            let first = new_drafts.get(&settlement.job_id).copied();
            let is_used = drafts.iter().any(|draft| Some(draft.id) == first);
            let draft_id =
                if is_used { db.next_id() } else { first.unwrap_or_else(|| db.next_id()) };
            let medium = |channel| db.medium(channel);
            let draft =
                apply(medium, settlement, effect, about, lead, draft_id, &mut ended_drafts)?;
            drafts.extend(draft);
        }
        if let Some(id) = settlement.message_id
            && (is_inbound_end || sentiment.is_some())
        {
            messages.push(MessageRow { id, sentiment, judged_by, handled: is_inbound_end });
        }
    }
    // 2. Write them. Drafts end before new ones are stored.
    if !messages.is_empty() {
        tx.run(&UPDATE_MESSAGES, [group(&messages)?]).await?;
    }
    end_drafts(db.channels(), tx, &ended_drafts).await?;
    if !drafts.is_empty() {
        for row in tx.all(&PUT_DRAFTS, [group(&drafts)?]).await? {
            let channel = row.try_get("", "channel")?;
            tx.note([SendNews::Draft { channel, status: "pending" }]);
        }
    }
    approve(tx, &approved).await?;
    leads.write(db, tx).await
}

/// Approves those of these drafts by a rule that are pending with the text that the gate judged. A
/// draft has one job that sends it. If there was one before, the draft was taken back, and a person
/// decides.
async fn approve(tx: &Tx, proposed: &[Id]) -> Result<(), StoreError> {
    let mut approved: Vec<Id> = Vec::new();
    if proposed.is_empty() {
        return Ok(());
    }
    for row in tx.all(&READ_PROPOSED, [group(proposed)?, DELIVER_REPLY.0.into()]).await? {
        let status: String = row.try_get("", "status")?;
        let gate: Option<String> = row.try_get("", "gate_decision")?;
        let has_passed = GateDecision::lets_go(gate.as_deref());
        if status == "pending" && has_passed && !flag(&row, "has_job")? {
            approved.push(row.try_get("", "id")?);
            let channel = row.try_get("", "channel")?;
            tx.note([SendNews::Draft { channel, status: "approved" }]);
        }
    }
    if !approved.is_empty() {
        tx.run(&APPROVE_DRAFTS, [group(&approved)?, BY_RULE.into()]).await?;
    }
    Ok(())
}

/// The facts about a message on which effects depend.
pub(super) struct About {
    /// True if it can be answered through its provider.
    is_answerable: bool,
    /// The provider's verdict, which may have come while the job ran (docs/RULES.md P16).
    hint: Option<Sentiment>,
    is_deleted: bool,
    /// The fingerprint of its text as it is now, if it was edited.
    edited_text: Option<u64>,
}

impl About {
    /// The verdict on the message: an existing one counts, unless the new one is an opt-out.
    fn verdict(&self, judged: Sentiment) -> Sentiment {
        if judged == Sentiment::Blacklist { judged } else { self.hint.unwrap_or(judged) }
    }

    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let hint: Option<String> = row.try_get("", "sentiment")?;
        let automated = flag(row, "automated")?;
        let hint = verdict::final_hint(hint.and_then(|word| Sentiment::parse(&word)), automated);
        let edited: Option<String> = row.try_get("", "edited_body")?;
        Ok(Self {
            is_answerable: flag(row, "has_handle")?,
            hint,
            is_deleted: flag(row, "is_deleted")?,
            edited_text: edited.as_deref().map(text::fingerprint),
        })
    }
}

/// Checks the settlements against the messages as they are now, under their leads' locks. If a text
/// was edited after a job read it, the job is postponed: it runs again, and uses no attempt.
/// Returns the settlements, and the facts about their messages by message id.
pub(super) async fn postpone_stale<'a>(
    tx: &Tx,
    all: &'a [Settlement],
) -> Result<(Cow<'a, [Settlement]>, HashMap<Id, About>), StoreError> {
    let known = read_handles(tx, all).await?;
    let is_stale = |settlement: &Settlement| {
        let about = settlement.message_id.and_then(|id| known.get(&id));
        let Some(now) = about.and_then(|about| about.edited_text) else { return false };
        let has_read_another =
            |effect: &Effect| matches!(effect, Effect::Read { fingerprint } if *fingerprint != now);
        settlement.transition.effects().iter().any(has_read_another)
    };
    let mut all = Cow::Borrowed(all);
    let stale: Vec<usize> =
        (0..all.len()).filter(|at| all.get(*at).is_some_and(is_stale)).collect();
    for at in stale {
        if let Some(settlement) = all.to_mut().get_mut(at) {
            settlement.transition = Transition::Postpone { after: Duration::ZERO };
        }
    }
    Ok((all, known))
}

/// By message id: the facts about the messages that are judged or answered.
async fn read_handles(tx: &Tx, all: &[Settlement]) -> Result<HashMap<Id, About>, StoreError> {
    let is_about_text =
        |effect: &Effect| matches!(effect, Effect::AddDraft { .. } | Effect::Judge { .. });
    let ids: Vec<Id> = all
        .iter()
        .filter(|settlement| settlement.transition.effects().iter().any(is_about_text))
        .filter_map(|settlement| settlement.message_id)
        .collect();
    let mut known = HashMap::new();
    if ids.is_empty() {
        return Ok(known);
    }
    for row in tx.all(&READ_HANDLES, [group(&ids)?]).await? {
        known.insert(row.try_get("", "id")?, About::from_row(&row)?);
    }
    Ok(known)
}

#[serde_with::skip_serializing_none]
#[derive(Serialize)]
struct DraftRow<'a> {
    id: Id,
    client_id: &'a str,
    lead_id: Id,
    message_id: Id,
    channel: &'static str,
    subject: Option<&'a str>,
    body: &'a str,
    parts: String,
    blocked_by: Option<&'static str>,
    tag: Option<&'static str>,
    from_template: bool,
    #[serde(flatten)]
    gate: GateColumns<'a>,
}

/// How the gate judged a draft. All columns are null if it was not asked.
#[serde_with::skip_serializing_none]
#[derive(Serialize, Default)]
struct GateColumns<'a> {
    gate_decision: Option<&'static str>,
    gate_confidence: Option<f64>,
    gate_threshold: Option<f64>,
    gate_reason: Option<&'a str>,
    send_at: Option<i64>,
}

impl<'a> GateColumns<'a> {
    fn of(verdict: Option<&'a GateVerdict>) -> Self {
        let Some(verdict) = verdict else { return Self::default() };
        Self {
            gate_decision: Some(verdict.decision.as_str()),
            gate_confidence: verdict.confidence,
            gate_threshold: verdict.threshold,
            gate_reason: Some(&verdict.reason),
            send_at: verdict.send_at.map(Timestamp::as_millis),
        }
    }
}

/// Applies one effect to its lead. The handler decided from an older state of the lead, so the
/// rules are checked again here, under the lead's lock: only the newest message changes the lead's
/// standing, and a barrier allows no draft. Returns the draft to store, if the effect adds one.
fn apply<'a>(
    medium: impl Fn(ChannelName) -> Result<Medium, StoreError>,
    settlement: &'a Settlement,
    effect: &'a Effect,
    about: Option<&About>,
    lead: &mut Lead,
    draft_id: Id,
    ended_drafts: &mut Vec<EndDrafts>,
) -> Result<Option<DraftRow<'a>>, StoreError> {
    let is_newest = settlement.message_id.is_some_and(|id| lead.is_newest(id));
    match effect {
        Effect::Judge { tag, by: _ } => {
            if is_newest {
                let tag = about.map_or(*tag, |about| about.verdict(*tag));
                let lead = lead.change();
                lead.standing = lead.standing.judged(tag);
            }
        }
        Effect::OptOut { channel, source, reason } => {
            let fact = OptedOut {
                at: wall_clock(),
                channel: Some(channel.0.to_owned()),
                message_id: settlement.message_id,
                reason: reason.clone(),
            };
            if lead.opt_out(fact, *source, None) {
                ended_drafts.push(EndDrafts::opted_out(lead.id));
            }
        }
        Effect::AddDraft { channel, subject, body, parts, facts } => {
            let Some(message_id) = settlement.message_id else { return Ok(None) };
            // The handler has checked that a person wrote the message and that it has a text. All
            // else may have changed since.
            let case = DraftCase {
                tag: about.and_then(|about| about.hint),
                is_automated: false,
                has_text: true,
                is_deleted: about.is_some_and(|about| about.is_deleted),
                is_newest,
                barrier: lead.standing.barriers.on(medium(*channel)?),
            };
            if !case.may_be_drafted() {
                return Ok(None);
            }
            ended_drafts.push(EndDrafts {
                lead_id: lead.id,
                over: DraftsOver::Channel(*channel),
                status: "superseded",
                decided_by: "newer_draft",
                except_message_id: Some(message_id),
            });
            return Ok(Some(DraftRow {
                id: draft_id,
                client_id: &settlement.client_id,
                lead_id: lead.id,
                message_id,
                channel: channel.0,
                subject: subject.as_deref(),
                body,
                parts: serde_json::Value::from(parts.clone()).to_string(),
                blocked_by: about.filter(|about| !about.is_answerable).map(|_| "no_reply_handle"),
                tag: facts.tag.map(Sentiment::as_str),
                from_template: facts.from_template,
                gate: GateColumns::of(facts.gate.as_ref()),
            }));
        }
        Effect::Score { fit, intent, overall, reason } => {
            lead.change().score = Some(LeadScore {
                fit: i32::from(*fit),
                intent: i32::from(*intent),
                overall: i32::from(*overall),
                reason: reason.clone(),
                at: wall_clock(),
            });
        }
        Effect::ApproveDraft { .. } | Effect::Enqueue { .. } | Effect::Read { .. } => {}
    }
    Ok(None)
}
