//! A person edits, approves, takes back, rejects or has a draft written anew.

use super::{
    Decided, DecisionError, DraftDecision, Rewriting, SeenDraft,
    facts::{DraftFound, DraftJobs, has_later_inbound, read_locked, write_counts},
};
use crate::domain::{
    Id, Medium, SendNews, Timestamp, draft_text,
    sending::{AnsweredMessage, DeliveryStatus, MaySend, SendCase},
    text::one_line,
    trace::JobTrace,
};
use crate::store::{
    audit::{self, AuditEntry},
    desk::examples::{ExampleKind, LabelPut},
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx, millis},
    },
    tables::{
        answers::ended_rows,
        drafts::{DraftsOver, EndDrafts, end_drafts},
        leads::{Followed, Lead},
        lines::Counts,
    },
};
use serde_json::Value;
use std::time::Duration;

sql! {
    /// Stores the text that a person gave a pending draft. The gate judged another one. Its lead is
    /// locked. By primary key.
    static EDIT_DRAFT =
        "update drafts set subject = $2, body = $3, parts = $4, edited = true, from_template = false, send_at = null, \
           gate_decision = case when gate_decision is null then null else 'needs_review' end, \
           gate_reason = case when gate_decision is null then gate_reason else $5 end where id = $1";

    /// Stores a new text that replaces a draft's old one. The draft counts as made now, so that an
    /// earlier edit of its message does not end it. Its lead is locked. By primary key.
    static REWRITE_DRAFT =
        "update drafts set subject = $2, body = $3, parts = $4, tag = $6, blocked_by = $7, status = 'pending', edited = false, created_at = @now, \
           from_template = false, send_at = null, decided_at = null, decided_by = null, note = null, snoozed_until = null, \
           gate_decision = case when gate_decision is null then null else 'needs_review' end, gate_confidence = null, \
           gate_reason = case when gate_decision is null then gate_reason else $5 end where id = $1";

    /// Stores that a person approved a draft, which is sent after `$3` milliseconds. Its lead is
    /// locked. By primary key.
    static APPROVE_DRAFT =
        "update drafts set status = 'approved', decided_at = @now, decided_by = $2, send_at = @in_ms($3), blocked_by = null, \
           snoozed_until = null where id = $1";

    /// Stores until when a person has put a draft off; 0 ends that. It is not sent by itself
    /// meanwhile. Its lead is locked. By primary key.
    static SNOOZE_DRAFT =
        "update drafts set snoozed_until = @at(nullif(cast($2 as bigint), 0)), send_at = null where id = $1";

    /// Stores that an approval was taken back, or what has come between. Its lead is locked. By
    /// primary key.
    static TAKE_BACK_DRAFT =
        "update drafts set status = $2, decided_at = case when $2 = 'pending' then null else @now end, decided_by = $3, \
           send_at = null, blocked_by = null where id = $1";

    /// Stores that a person rejected a draft. Its lead is locked. By primary key.
    static REJECT_DRAFT =
        "update drafts set status = 'rejected', decided_at = @now, decided_by = $2, note = $3, send_at = null, blocked_by = null \
         where id = $1";

    /// Ends the delivery of a draft that waits for its retry: it is not sent any more. Its lead is
    /// locked. By `deliveries_of_draft`.
    static END_WAITING_SEND =
        "update deliveries set status = 'failed', error = $2, settled_at = @now \
         where draft_id = $1 and status = 'sending' and marked_run is null returning id, channel, status";
}

/// The most characters of a subject line.
const SUBJECT_CHARS_MAX: usize = 300;
/// What the gate's reason says of a draft whose text a person has changed.
const EDITED: &str = "a person changed the text";
/// The same for a text that was written anew.
const REWRITTEN: &str = "a person had it written anew";

/// Carries a decision out if the draft is still as `seen`. `entry` says who decides; its values are
/// filled in here.
pub(in crate::store::desk) async fn decide(
    db: &Database,
    id: Id,
    decision: &DraftDecision,
    seen: &SeenDraft,
    entry: &AuditEntry,
) -> Result<Decided, StoreError> {
    let followed = Followed::default();
    let decision = (decision, seen);
    db.write("decide", async |tx| decide_in(db, tx, id, decision, entry, &followed).await).await
}

async fn decide_in(
    db: &Database,
    tx: Tx,
    id: Id,
    (decision, seen): (&DraftDecision, &SeenDraft),
    entry: &AuditEntry,
    followed: &Followed,
) -> Result<Finished<Decided>, StoreError> {
    // 1. Lock its lead, and read it under the lock.
    let read = || DraftFound::read(db, &tx, id);
    let Some((draft, mut leads)) = read_locked(&tx, followed, read, |it| it.lead_id).await? else {
        return Ok(tx.roll_back(Err(DecisionError::NotFound { what: "draft", id })));
    };
    let Some(lead) = leads.get_mut(draft.lead_id) else {
        return Err(StoreError::Conflict("a draft moved to another lead".to_owned()));
    };
    // 2. Whether it is still what the person saw.
    if seen.version.as_ref().is_some_and(|version| *version != draft.version()) {
        return Ok(tx.roll_back(Err(refused("the text of the draft was changed meanwhile"))));
    }
    if let Some(newest_id) = seen.newest_inbound_id
        && has_later_inbound(&tx, draft.lead_id, newest_id).await?
    {
        return Ok(tx.roll_back(Err(refused("the lead has written again meanwhile"))));
    }
    // 3. Decide and write.
    let jobs = DraftJobs::read(&tx, id).await?;
    let send = draft.case(lead, draft.barriers_of_others(db, &tx, lead).await?);
    let (draft, jobs, by) = (&draft, &jobs, entry.actor.as_str());
    let case = DraftDecided { db, tx: &tx, draft, lead, send, jobs, by };
    let done = match decision {
        DraftDecision::Edit { subject, body } => {
            case.edit(subject.as_deref(), body.as_deref()).await
        }
        DraftDecision::Approve { undo, max_attempts, trace } => {
            case.approve(*undo, *max_attempts, *trace).await
        }
        DraftDecision::Undo => case.undo().await,
        DraftDecision::Reject { note } => case.reject(note.as_deref()).await,
        DraftDecision::Snooze { until } => case.snooze(*until).await,
        DraftDecision::Rewrite(rewriting) => case.rewrite(rewriting).await,
    };
    match done {
        Ok(DecisionEnd::Changed { old, new, counts }) => {
            // 4. Write who did it, and the counts last.
            let (old_value, new_value) = (Some(old), Some(new));
            let entry = AuditEntry { old_value, new_value, ..entry.clone() };
            audit::add(&tx, db, &[entry]).await?;
            write_counts(db, &tx, counts).await?;
            tx.commit(Ok(())).await
        }
        Ok(DecisionEnd::AsItIs) => Ok(tx.roll_back(Ok(()))),
        // A conflict with another transaction repeats this one.
        Err(DecisionError::Store(error)) => Err(error),
        Err(error) => Ok(tx.roll_back(Err(error))),
    }
}

/// What came of a decision.
enum DecisionEnd {
    /// Everything is written but the audit log and the counts.
    Changed { old: String, new: String, counts: Vec<Counts> },
    /// It is so already: nothing is written.
    AsItIs,
}

impl DecisionEnd {
    fn changed(old: &str, new: &str, counts: Vec<Counts>) -> Result<Self, DecisionError> {
        Ok(Self::Changed { old: old.to_owned(), new: new.to_owned(), counts })
    }
}

/// A decision about a draft whose lead is locked.
struct DraftDecided<'a> {
    db: &'a Database,
    tx: &'a Tx,
    draft: &'a DraftFound,
    lead: &'a Lead,
    /// The case of its send if the person approves it.
    send: SendCase,
    jobs: &'a DraftJobs,
    /// The person.
    by: &'a str,
}

impl DraftDecided<'_> {
    async fn edit(
        &self,
        subject: Option<&str>,
        body: Option<&str>,
    ) -> Result<DecisionEnd, DecisionError> {
        let Self { db, tx, draft, .. } = self;
        // 1. What it becomes, if that can be sent.
        if draft.status != "pending" {
            return self.not_in_state("a pending draft is edited");
        }
        let medium = self.medium()?;
        if subject.is_some() && !medium.is_mail() {
            let why = format!("an answer over {} has no subject", draft.channel);
            return Err(DecisionError::Invalid { field: "subject", why });
        }
        let subject = match subject {
            Some(text) => Some(one_line(text)).filter(|text| !text.is_empty()),
            None => draft.subject.clone(),
        };
        if subject.as_ref().is_some_and(|text| text.chars().count() > SUBJECT_CHARS_MAX) {
            let why = format!("the subject may have {SUBJECT_CHARS_MAX} characters at most");
            return Err(DecisionError::Invalid { field: "subject", why });
        }
        let body = body.unwrap_or(&draft.body);
        if let Some(why) = draft_text::flaw(body, medium) {
            return Err(DecisionError::Invalid { field: "body", why });
        }
        if (&subject, body) == (&draft.subject, draft.body.as_str()) {
            return Ok(DecisionEnd::AsItIs);
        }
        // 2. Keep what it was, and store what it is.
        let is_other_text = body != draft.body;
        if is_other_text {
            let label = LabelPut {
                was: Some(&draft.body),
                became: Some(body),
                ..self.label(ExampleKind::Edited)
            };
            label.put(db, tx).await?;
        }
        let parts = parts_as_json(match medium {
            Medium::Text { chars, .. } => draft_text::parts_of(body, chars),
            Medium::Mail | Medium::Chat { .. } => Vec::new(),
        });
        let values =
            [draft.id.into(), subject.clone().into(), body.into(), parts.into(), EDITED.into()];
        tx.run(&EDIT_DRAFT, values).await?;
        let counts = self.jobs.cancel(db, tx).await?;
        let said = |body: &str| format!("a text of {} characters", body.chars().count());
        match is_other_text {
            true => DecisionEnd::changed(&said(&draft.body), &said(body), counts),
            false => DecisionEnd::changed("a subject", "another subject", counts),
        }
    }

    async fn approve(
        &self,
        undo: Duration,
        max_attempts: u32,
        trace: Option<JobTrace>,
    ) -> Result<DecisionEnd, DecisionError> {
        let Self { db, tx, draft, jobs, by, .. } = self;
        // 1. Whether it may be sent. What failed is sent again.
        let is_again = draft.status == "approved" && !jobs.is_on_its_way();
        match draft.status.as_str() {
            "approved" if !is_again => return Ok(DecisionEnd::AsItIs),
            "sending" | "sent" => return Ok(DecisionEnd::AsItIs),
            "approved" | "pending" => {}
            _ => return self.not_in_state("a pending draft is approved"),
        }
        match draft.delivery {
            Some(DeliveryStatus::Uncertain) => {
                return Err(refused(
                    "nobody knows whether it was sent: resolve its delivery first",
                ));
            }
            Some(DeliveryStatus::Sent) => return Err(refused("it was sent already")),
            Some(DeliveryStatus::Sending | DeliveryStatus::Failed) | None => {}
        }
        let medium = self.medium()?;
        if let Some(why) = forbidden(self.send) {
            return Err(refused(&format!("the answer may not be sent: {why}")));
        }
        if let Some(why) = draft_text::flaw(&draft.body, medium) {
            return Err(refused(&format!("the answer cannot be sent: {why}")));
        }
        // Its provider may have reported later that what the job sent did not arrive.
        if jobs.has_succeeded() && draft.delivery != Some(DeliveryStatus::Failed) {
            return Err(refused("the job that sends it has ended with success"));
        }
        // 2. Approve it, and have it sent.
        let delay_ms = millis(undo);
        tx.run(&APPROVE_DRAFT, [draft.id.into(), (*by).into(), delay_ms.into()]).await?;
        self.tell("approved");
        let mut counts = jobs.cancel(db, tx).await?;
        counts.push(jobs.send(db, tx, draft, max_attempts, delay_ms, trace).await?);
        DecisionEnd::changed(&draft.status, "approved", counts)
    }

    async fn undo(&self) -> Result<DecisionEnd, DecisionError> {
        let Self { db, tx, draft, jobs, .. } = self;
        match draft.status.as_str() {
            "pending" => return Ok(DecisionEnd::AsItIs),
            "approved" => self.not_on_the_wire()?,
            "sending" => return Err(self.on_the_wire()),
            _ => return self.not_in_state("an approved draft is taken back"),
        }
        // What came in between counts: another draft may wait for the newer message.
        let (status, by) = match self.send.may_send() {
            MaySend::Never { reason, draft: Some(status) } => (status, Some(reason)),
            MaySend::Never { draft: None, .. } | MaySend::Later(_) | MaySend::Yes => {
                ("pending", None)
            }
        };
        let counts = self.stop(db, tx, jobs).await?;
        tx.run(&TAKE_BACK_DRAFT, [draft.id.into(), status.into(), by.into()]).await?;
        self.tell(status);
        DecisionEnd::changed(&draft.status, status, counts)
    }

    async fn reject(&self, note: Option<&str>) -> Result<DecisionEnd, DecisionError> {
        let Self { db, tx, draft, jobs, by, .. } = self;
        match draft.status.as_str() {
            "pending" => {}
            "approved" => self.not_on_the_wire()?,
            "sending" => return Err(self.on_the_wire()),
            _ => return self.not_in_state("a pending or approved draft is rejected"),
        }
        let counts = self.stop(db, tx, jobs).await?;
        tx.run(&REJECT_DRAFT, [draft.id.into(), (*by).into(), note.into()]).await?;
        self.tell("rejected");
        if note.is_some() {
            let label = LabelPut {
                was: Some(&draft.body),
                reason: note,
                ..self.label(ExampleKind::Rejected)
            };
            label.put(db, tx).await?;
        }
        DecisionEnd::changed(&draft.status, "rejected", counts)
    }

    async fn snooze(&self, until: Option<Timestamp>) -> Result<DecisionEnd, DecisionError> {
        let Self { db, tx, draft, jobs, .. } = self;
        if draft.status != "pending" {
            return self.not_in_state("a pending draft is put off");
        }
        // What the lead writes ends it, so it cannot begin then.
        if until.is_some() && has_later_inbound(tx, draft.lead_id, draft.message_id).await? {
            return Err(refused("the lead has written again: the draft is not put off"));
        }
        let at = until.map_or(0, Timestamp::as_millis);
        tx.run(&SNOOZE_DRAFT, [draft.id.into(), at.into()]).await?;
        // The person wants to decide about it, so nothing else does.
        let counts = jobs.cancel(db, tx).await?;
        match until {
            Some(until) => {
                DecisionEnd::changed("pending", &format!("put off until {until}"), counts)
            }
            None => DecisionEnd::changed("put off", "pending", counts),
        }
    }

    async fn rewrite(&self, rewriting: &Rewriting) -> Result<DecisionEnd, DecisionError> {
        let Self { db, tx, draft, lead, jobs, .. } = self;
        // 1. Whether the new text still belongs here.
        if !matches!(draft.status.as_str(), "pending" | "rejected" | "superseded") {
            return self.not_in_state("a pending, rejected or superseded draft is written anew");
        }
        if (&draft.subject, &draft.body) != (&rewriting.was.0, &rewriting.was.1) {
            return Err(refused("its text was changed while a new one was written"));
        }
        if draft.delivery == Some(DeliveryStatus::Uncertain) {
            return Err(refused("nobody knows whether it was sent: resolve its delivery first"));
        }
        if draft.edited_text.is_some_and(|now| now != rewriting.answers) {
            return Err(refused("the message was edited while a new text was written"));
        }
        // The new text is later than an edit, and without the provider's ids it may wait.
        let message = AnsweredMessage { is_edited: false, has_handle: true, ..self.send.message };
        if let Some(why) = forbidden(SendCase { message, ..self.send }) {
            return Err(refused(&format!("the message is not answered: {why}")));
        }
        match draft.message_tag {
            Some(tag) if tag.gets_draft() && tag == rewriting.tag => {}
            Some(tag) if tag.gets_draft() => {
                let tag = tag.as_str();
                return Err(refused(&format!(
                    "the message was tagged {tag} while a new text was written"
                )));
            }
            Some(tag) => {
                let tag = tag.as_str();
                return Err(refused(&format!("the message is {tag}, and this tag gets no draft")));
            }
            None => return Err(refused("the message has no tag")),
        }
        // 2. Put it in its place.
        let counts = jobs.cancel(db, tx).await?;
        let others = EndDrafts {
            lead_id: lead.id,
            over: DraftsOver::Stored(draft.channel.clone()),
            status: "superseded",
            decided_by: "newer_draft",
            except_message_id: Some(draft.message_id),
        };
        end_drafts(db.channels(), tx, &[others]).await?;
        let blocked_by = (!draft.has_handle).then_some("no_reply_handle");
        let values = [
            draft.id.into(),
            rewriting.subject.clone().into(),
            rewriting.body.clone().into(),
            parts_as_json(rewriting.parts.clone()).into(),
            REWRITTEN.into(),
            rewriting.tag.as_str().into(),
            blocked_by.into(),
        ];
        tx.run(&REWRITE_DRAFT, values).await?;
        self.tell("pending");
        DecisionEnd::changed(&draft.status, "pending", counts)
    }

    /// Ends what is on its way to be sent. Its call is not on the wire.
    async fn stop(
        &self,
        db: &Database,
        tx: &Tx,
        jobs: &DraftJobs,
    ) -> Result<Vec<Counts>, StoreError> {
        let why = "a person took it back before it was sent";
        let ended = tx.all(&END_WAITING_SEND, [self.draft.id.into(), why.into()]).await?;
        tx.note(ended_rows(&ended, Some(why))?);
        jobs.cancel(db, tx).await
    }

    /// Notes the status that the draft has from now on.
    fn tell(&self, status: &'static str) {
        self.tx.note([SendNews::Draft { channel: self.draft.channel.clone(), status }]);
    }

    fn label(&self, kind: ExampleKind) -> LabelPut<'_> {
        LabelPut {
            kind,
            message_id: self.draft.message_id,
            draft_id: Some(self.draft.id),
            was: None,
            became: None,
            tag: None,
            is_opt_out: false,
            reason: None,
            by: self.by,
        }
    }

    fn medium(&self) -> Result<Medium, DecisionError> {
        let channel = &self.draft.channel;
        self.draft
            .medium
            .ok_or_else(|| refused(&format!("this version has no channel `{channel}`")))
    }

    fn not_in_state(&self, only: &str) -> Result<DecisionEnd, DecisionError> {
        let DraftFound { id, status, .. } = self.draft;
        Err(refused(&format!("draft {id} is {status}: only {only}")))
    }

    fn not_on_the_wire(&self) -> Result<(), DecisionError> {
        if self.draft.is_marked { Err(self.on_the_wire()) } else { Ok(()) }
    }

    fn on_the_wire(&self) -> DecisionError {
        let id = self.draft.id;
        let why = match self.draft.delivery {
            Some(DeliveryStatus::Uncertain) => {
                "nobody knows whether it was sent, and its delivery must be resolved"
            }
            _ => "its provider may have it already",
        };
        refused(&format!("draft {id} is sending: {why}"))
    }
}

/// Why the message of a draft is not answered, whatever a person wants.
fn forbidden(send: SendCase) -> Option<&'static str> {
    let MaySend::Never { reason, .. } = send.may_send() else { return None };
    Some(match reason {
        "opted_out" => "the lead opted out (opted_out)",
        "bounced" => "mail to the lead bounced (bounced)",
        "do_not_disturb" => "the lead wants no text messages (do_not_disturb)",
        "newer_message" => "the lead has written again (newer_message)",
        "message_deleted" => "the message was deleted at its provider (message_deleted)",
        "message_edited" => {
            "the message was edited after the draft was made: regenerate it (message_edited)"
        }
        "no_reply_handle" => "the provider's ids of the message are not known (no_reply_handle)",
        other => other,
    })
}

fn refused(why: &str) -> DecisionError {
    DecisionError::Conflict(why.to_owned())
}

fn parts_as_json(parts: Vec<String>) -> String {
    Value::from(parts).to_string()
}
