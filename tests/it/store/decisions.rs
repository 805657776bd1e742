//! What a person decides about drafts, uncertain sends and tags, and who wins a race.

use super::{
    life::settle,
    tools::{assert_whole, claim_of, instant},
};
use crate::{
    on_both_databases,
    support::{
        fixture::{Fixture, job, sms},
        leftovers::Leftover,
    },
};
use postroom::{
    domain::{
        Effect, Id, Sentiment, UserRole,
        job::{AUTO_SEND_DELAYED, DELIVER_REPLY, NewJob},
        outcome::Subject,
        trace::{Hop, JobTrace, TracePoint},
    },
    store::{
        Answer, AuditEntry, AuditFilter, DecisionError, DraftDecision, DraftView, LeadFilter,
        Rewriting, SeenDraft, Transition, Via, WaitingFilter,
    },
};
use std::{sync::Arc, time::Duration};

const PHONE: &str = "+15550001";
const DRAFT: Id = 71;

/// A message of a lead: its ids of lead and message.
async fn write(db: &Fixture, key: &str) -> (Id, Id) {
    let put = db.store.inbox().put(Arc::new([sms("a", PHONE, key, "Call me?")])).await.unwrap();
    match put[..] {
        [Answer::Accepted { lead_id, message_id, .. }] => (lead_id, message_id),
        ref other => panic!("{other:?}"),
    }
}

/// A lead with a message and a pending draft for it.
async fn drafted(db: &Fixture) -> (Id, Id) {
    let (lead_id, message_id) = write(db, "k1").await;
    put_draft(db, DRAFT, lead_id, message_id).await;
    db.execute(&format!(
        "update messages set sentiment = 'Call Requested' where id = {message_id}"
    ))
    .await;
    db.execute(&format!(
        "update leads set sentiment = 'Call Requested', status = 'qualified' where id = {lead_id}"
    ))
    .await;
    (lead_id, message_id)
}

async fn put_draft(db: &Fixture, id: Id, lead_id: Id, message_id: Id) {
    let now = instant(db, 0);
    db.execute(&format!(
        "insert into drafts (id, client_id, lead_id, message_id, channel, status, body, parts, created_at, gate_decision, from_template) \
         values ({id}, 'a', {lead_id}, {message_id}, 'sms', 'pending', 'Hi there', '[\"Hi there\"]', {now}, 'send_later', (1 = 1))"
    ))
    .await;
}

/// A delivery of the draft in this status, whose call may be on the wire if `run` says so.
async fn put_delivery(db: &Fixture, lead_id: Id, status: &str, run: &str) {
    let now = instant(db, 0);
    db.execute(&format!(
        "insert into deliveries (id, client_id, lead_id, draft_id, channel, status, text_key, attempts, created_at, marked_run) \
         values (81, 'a', {lead_id}, {DRAFT}, 'sms', '{status}', 'k', 1, {now}, {run})"
    ))
    .await;
}

fn approve(undo: Duration) -> DraftDecision {
    DraftDecision::Approve { undo, max_attempts: 12, trace: None }
}

fn reject(note: Option<&str>) -> DraftDecision {
    DraftDecision::Reject { note: note.map(str::to_owned) }
}

fn edit(subject: Option<&str>, body: Option<&str>) -> DraftDecision {
    DraftDecision::Edit { subject: subject.map(str::to_owned), body: body.map(str::to_owned) }
}

fn rewrite(was: &str) -> DraftDecision {
    DraftDecision::Rewrite(Box::new(Rewriting {
        was: (None, was.to_owned()),
        answers: 0,
        subject: None,
        body: "Something else".to_owned(),
        parts: vec!["Something else".to_owned()],
        tag: Sentiment::CallRequested,
    }))
}

fn by_dana(action: &'static str) -> AuditEntry {
    AuditEntry {
        role: Some(UserRole::Reviewer),
        target: Some(DRAFT.to_string()),
        ..AuditEntry::new("dana", Via::Api, action)
    }
}

/// A decision by a person who saw this.
async fn decide_seeing(
    db: &Fixture,
    decision: DraftDecision,
    seen: SeenDraft,
) -> Result<DraftView, DecisionError> {
    db.store.desk().decide(DRAFT, decision, seen, by_dana("draft.approve")).await
}

async fn decide(db: &Fixture, decision: DraftDecision) -> Result<DraftView, DecisionError> {
    db.store.desk().decide(DRAFT, decision, SeenDraft::default(), by_dana("draft.approve")).await
}

/// The status after a decision that is carried out.
async fn done(db: &Fixture, decision: DraftDecision) -> String {
    decide(db, decision).await.unwrap().draft.status
}

/// Why a decision is refused.
async fn refused(db: &Fixture, decision: DraftDecision) -> String {
    match decide(db, decision).await {
        Err(DecisionError::Conflict(why)) => why,
        other => panic!("{other:?}"),
    }
}

async fn status(db: &Fixture) -> String {
    db.texts(&format!("select status from drafts where id = {DRAFT}")).await.remove(0)
}

/// The status and the run of the only job that sends the draft.
async fn sending_job(db: &Fixture) -> (Id, &'static str) {
    let id = db.number("select id from jobs where kind = 'DELIVER_REPLY'").await;
    (id, db.store.desk().job(id).await.unwrap().unwrap().job.status.as_str())
}

async fn audited(db: &Fixture) -> Vec<(String, String)> {
    let page = db.store.desk().audit(AuditFilter::default(), 100, None).await.unwrap();
    let values = |it: postroom::store::AuditRow| {
        assert_eq!((it.actor.as_str(), it.role.as_deref()), ("dana", Some("reviewer")));
        (it.old_value.unwrap_or_default(), it.new_value.unwrap_or_default())
    };
    page.items.into_iter().rev().map(values).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect()
}

/// Puts a job that decides when a rule sends the draft.
async fn rule_job(db: &Fixture, lead_id: Id) -> Id {
    let job = NewJob {
        lead_id: Some(lead_id),
        subject_id: DRAFT,
        draft_id: Some(DRAFT),
        delay_ms: 60_000,
        ..job(&db.store, "a", AUTO_SEND_DELAYED)
    };
    db.store.enqueuer().enqueue(vec![job]).await.unwrap()[0].unwrap()
}

const UNDO: Duration = Duration::from_secs(10);

on_both_databases! {
    async fn an_approval_makes_one_job_that_is_due_once_it_cannot_be_taken_back(db: Fixture) {
        let (lead_id, message_id) = drafted(&db).await;
        let rule = rule_job(&db, lead_id).await;
        let before = postroom::store::wall_clock();
        let draft = decide(&db, approve(UNDO)).await.unwrap().draft;
        assert_eq!((draft.status.as_str(), draft.decided_by.as_deref()), ("approved", Some("dana")));
        let due_in = draft.send_at.unwrap().0 - before.as_millis();
        assert!((9_000..20_000).contains(&due_in), "{due_in}");
        let (id, word) = sending_job(&db).await;
        assert_eq!(word, "pending");
        let job = db.store.desk().job(id).await.unwrap().unwrap().job;
        assert_eq!((job.draft_id, job.message_id, job.lead_id, job.subject_id, job.max_attempts), (Some(DRAFT), Some(message_id), Some(lead_id), DRAFT, 12));
        assert_eq!(db.number("select count(*) from job_later where kind = 'DELIVER_REPLY'").await, 1);
        assert_eq!(db.store.desk().job(rule).await.unwrap().unwrap().job.status.as_str(), "cancelled");
        assert_eq!(done(&db, approve(UNDO)).await, "approved");
        assert_eq!(audited(&db).await, pairs(&[("pending", "approved")]));
        assert_whole(&db).await;
    }

    async fn what_a_person_has_not_seen_stops_the_decision(db: Fixture) {
        let (_, message_id) = drafted(&db).await;
        let seen = |version: &str, newest: Id| SeenDraft {
            version: Some(version.to_owned()),
            newest_inbound_id: Some(newest),
        };
        let version = decide(&db, DraftDecision::Undo).await.unwrap().version();
        let why = async |decision: DraftDecision, seen: SeenDraft| {
            match decide_seeing(&db, decision, seen).await {
                Err(DecisionError::Conflict(why)) => why,
                other => panic!("{other:?}"),
            }
        };

        // Another text.
        for decision in [edit(None, Some("Hello")), approve(UNDO)] {
            let why = why(decision, seen("0123456789abcdef", message_id)).await;
            assert!(why.contains("changed meanwhile"), "{why}");
        }
        let edited = decide_seeing(&db, edit(None, Some("Hello")), seen(&version, message_id)).await.unwrap();
        assert_ne!(edited.version(), version);
        assert!(why(approve(UNDO), seen(&version, message_id)).await.contains("changed meanwhile"));

        // A message that the person has not seen, even an old one that came late.
        let late = instant(&db, -86_400_000);
        db.execute(&format!(
            "insert into messages (id, client_id, lead_id, channel, direction, source, body, has_new_text, sender, recipients, cc, attachments, \
               automated, sent_at, created_at) \
             select id + 1, client_id, lead_id, channel, direction, source, 'Wait', has_new_text, sender, recipients, cc, attachments, \
               automated, {late}, created_at from messages where id = {message_id}"
        ))
        .await;
        let why = why(approve(UNDO), seen(&edited.version(), message_id)).await;
        assert!(why.contains("written again"), "{why}");
        assert_eq!(db.number("select count(*) from jobs where kind = 'DELIVER_REPLY'").await, 0);
        let approved = decide_seeing(&db, approve(UNDO), seen(&edited.version(), message_id + 1)).await;
        assert_eq!(approved.unwrap().draft.status, "approved");
    }

    async fn the_inbox_has_the_drafts_that_wait_oldest_first(db: Fixture) {
        let desk = db.store.desk();
        // Two drafts of two people, and one that is decided.
        let (lead_id, message_id) = drafted(&db).await;
        let other = db.store.inbox().put(Arc::new([sms("b", "+15550002", "k7", "Call me?")])).await.unwrap();
        let [Answer::Accepted { lead_id: other_lead, message_id: other_message, .. }] = other[..] else { panic!("{other:?}") };
        put_draft(&db, DRAFT + 1, other_lead, other_message).await;
        db.execute(&format!("update drafts set client_id = 'b', tag = 'Interested' where id = {}", DRAFT + 1)).await;
        for (n, id) in [(1, lead_id), (2, other_lead)] {
            db.execute(&format!("update leads set phone = '+1555000{n}' where id = {id}")).await;
        }
        db.execute(&format!("update leads set first_name = 'Rita', company_name = '50% Off' where id = {other_lead}")).await;

        let found = async |filter: WaitingFilter, limit: usize, cursor: Option<Id>| {
            let page = desk.waiting(filter, limit, cursor).await.unwrap();
            let rows = page.items.iter().map(|it| {
                let draft = &it.draft.as_ref().unwrap().row.draft;
                assert_eq!(it.message.as_ref().unwrap().row.id, draft.message_id);
                assert_eq!(it.lead.lead.id, draft.lead_id);
                draft.id
            });
            (rows.collect::<Vec<_>>(), page.next)
        };
        let all = WaitingFilter::default;
        assert_eq!(found(all(), 9, None).await, (vec![DRAFT, DRAFT + 1], None));
        assert_eq!(found(all(), 1, None).await, (vec![DRAFT], Some(DRAFT)));
        assert_eq!(found(all(), 1, Some(DRAFT)).await, (vec![DRAFT + 1], None));
        let text = |text: &str| WaitingFilter { text: Some(text.to_owned()), ..all() };
        for (filter, ids) in [
            (WaitingFilter { client: vec!["b".to_owned()], ..all() }, vec![DRAFT + 1]),
            (WaitingFilter { client: vec!["c".to_owned()], ..all() }, vec![]),
            (WaitingFilter { channel: vec!["sms".to_owned()], ..all() }, vec![DRAFT, DRAFT + 1]),
            (WaitingFilter { channel: vec!["email".to_owned()], ..all() }, vec![]),
            (WaitingFilter { tag: vec!["Interested".to_owned()], ..all() }, vec![DRAFT + 1]),
            (WaitingFilter { campaign: vec![7], ..all() }, vec![]),
            (text("rita"), vec![DRAFT + 1]),
            (text("50%"), vec![DRAFT + 1]),
            (text("5_%"), vec![]),
            (text("+1555000"), vec![DRAFT, DRAFT + 1]),
        ] {
            assert_eq!(found(filter.clone(), 9, None).await, (ids, None), "{filter:?}");
        }
        let leads = desk.inbox_of_leads(LeadFilter::default(), 9, None).await.unwrap().items;
        let mut ids: Vec<(Id, Option<Id>)> = leads.iter().map(|it| (it.lead.lead.id, it.message.as_ref().map(|it| it.row.id))).collect();
        ids.sort_unstable();
        assert_eq!(ids, [(lead_id, Some(message_id)), (other_lead, Some(other_message))]);
        done(&db, reject(None)).await;
        assert_eq!(found(all(), 9, None).await, (vec![DRAFT + 1], None));
    }

    /// R8.
    async fn approved_by_many_at_once_it_is_sent_by_one_job(db: Fixture) {
        drafted(&db).await;
        let all = (0..8).map(|_| decide(&db, approve(UNDO)));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.unwrap().draft.status, "approved");
        }
        assert_eq!(db.number("select count(*) from jobs where kind = 'DELIVER_REPLY'").await, 1);
        assert_eq!(audited(&db).await, pairs(&[("pending", "approved")]));
        assert_whole(&db).await;
    }

    async fn an_approval_is_taken_back_and_given_again_with_all_attempts(db: Fixture) {
        drafted(&db).await;
        assert_eq!(done(&db, approve(UNDO)).await, "approved");
        let (id, _) = sending_job(&db).await;
        assert_eq!(done(&db, DraftDecision::Undo).await, "pending");
        assert_eq!(done(&db, DraftDecision::Undo).await, "pending");
        assert_eq!(sending_job(&db).await, (id, "cancelled"));
        assert_eq!(db.number("select count(*) from drafts where decided_at is null and decided_by is null and send_at is null").await, 1);
        assert_eq!(done(&db, approve(Duration::ZERO)).await, "approved");
        assert_eq!(sending_job(&db).await, (id, "pending"));
        let claims = claim_of(&db.store, &[(DELIVER_REPLY, 1)]).await;
        assert_eq!((claims[0].job.id, claims[0].job.attempt), (id, 1));
        // A claimed job that has marked nothing is cancelled, and its result is refused.
        assert_eq!(done(&db, DraftDecision::Undo).await, "pending");
        let late = settle(&db.store, &claims[0], Transition::Succeed(Vec::new()));
        assert_eq!(db.store.ledger().settle(Arc::new([late])).await.unwrap(), [false]);
        assert_eq!(done(&db, approve(UNDO)).await, "approved");
        let job = db.store.desk().job(id).await.unwrap().unwrap().job;
        assert_eq!((job.status.as_str(), job.attempts), ("pending", 0));
        assert_whole(&db).await;
    }

    /// R9: from the mark on, nobody takes it back.
    async fn what_may_be_on_the_wire_is_not_taken_back(db: Fixture) {
        let (lead_id, _) = drafted(&db).await;
        done(&db, approve(Duration::ZERO)).await;
        put_delivery(&db, lead_id, "sending", "1").await;
        for status in ["approved", "sending"] {
            db.execute(&format!("update drafts set status = '{status}' where id = {DRAFT}")).await;
            for decision in [DraftDecision::Undo, reject(Some("no"))] {
                let why = refused(&db, decision).await;
                assert!(why.contains("is sending: its provider may have it already"), "{why}");
            }
        }
        assert_eq!(sending_job(&db).await.1, "pending");
        // One that waits for its retry can be.
        db.execute("update deliveries set marked_run = null").await;
        db.execute(&format!("update drafts set status = 'approved' where id = {DRAFT}")).await;
        assert_eq!(done(&db, DraftDecision::Undo).await, "pending");
        assert_eq!(db.texts("select status from deliveries").await, ["failed"]);
        assert_eq!(decide(&db, approve(UNDO)).await.unwrap().delivery_id, Some(81));
        assert_whole(&db).await;
    }

    async fn an_answer_that_nobody_may_get_is_not_approved(db: Fixture) {
        let (lead_id, message_id) = drafted(&db).await;
        let now = instant(&db, 0);
        let lead = |change: &str| format!("update leads set {change} where id = {lead_id}");
        let message = |change: &str| format!("update messages set {change} where id = {message_id}");
        for (set, reset, why) in [
            (lead(&format!("opted_out_at = {now}")), lead("opted_out_at = null"), "(opted_out)"),
            (lead("sms_dnd = (1 = 1)"), lead("sms_dnd = (1 = 0)"), "(do_not_disturb)"),
            (lead("newest_inbound_id = 5"), lead(&format!("newest_inbound_id = {message_id}")), "(newer_message)"),
            (message(&format!("deleted_at = {now}")), message("deleted_at = null"), "(message_deleted)"),
            (message(&format!("edited_at = {}", instant(&db, 1_000))), message("edited_at = null"), "(message_edited)"),
            (message("reply_handle = null"), message("reply_handle = '{}'"), "(no_reply_handle)"),
        ] {
            db.execute(&set).await;
            let told = refused(&db, approve(UNDO)).await;
            assert!(told.contains(why), "{why}: {told}");
            db.execute(&reset).await;
        }
        // Mail is blocked by a bounce, a text message is not.
        db.execute(&lead(&format!("bounced_at = {now}"))).await;
        db.execute("update drafts set channel = 'email'").await;
        assert!(refused(&db, approve(UNDO)).await.contains("(bounced)"));
        db.execute("update drafts set channel = 'sms'").await;
        for status in ["rejected", "superseded"] {
            db.execute(&format!("update drafts set status = '{status}'")).await;
            let why = refused(&db, approve(UNDO)).await;
            assert_eq!(why, format!("draft {DRAFT} is {status}: only a pending draft is approved"));
        }
        assert_eq!(db.number("select count(*) from jobs where kind = 'DELIVER_REPLY'").await, 0);
        assert_eq!(audited(&db).await, pairs(&[]));
        db.execute("update drafts set status = 'pending'").await;
        assert_eq!(done(&db, approve(UNDO)).await, "approved");
    }

    /// The run of what a person starts is recorded, also of a job that is there already.
    async fn a_persons_span_becomes_that_of_the_job(db: Fixture) {
        let (lead_id, _) = drafted(&db).await;
        let span = |trace_id| JobTrace { made_in: TracePoint { trace_id, span_id: 9 }, hop: Hop::Approved };
        let id_of = |trace_id| Some(span(trace_id).made_in.trace_id());
        let approved_in = |trace| DraftDecision::Approve { undo: UNDO, max_attempts: 12, trace };
        // The first approval is not recorded, the later ones are.
        for (trace, expected) in [(None, None), (Some(span(2)), id_of(2)), (Some(span(3)), id_of(3)), (None, id_of(3))] {
            done(&db, approved_in(trace)).await;
            let (id, _) = sending_job(&db).await;
            assert_eq!(db.store.desk().job(id).await.unwrap().unwrap().job.trace_id, expected);
            done(&db, DraftDecision::Undo).await;
        }
        // A retry gives a job a span that has none.
        let rule = rule_job(&db, lead_id).await;
        for (trace, expected) in [(None, None), (Some(span(4)), id_of(4)), (Some(span(5)), id_of(4))] {
            db.store.desk().cancel(rule).await.unwrap();
            let job = db.store.desk().retry(rule, trace).await.unwrap();
            assert_eq!(job.trace_id, expected);
        }
    }

    /// A rule approves the text that the gate judged, once, whoever retries its job.
    async fn a_rule_that_is_retried_approves_nothing_that_a_person_has_touched(db: Fixture) {
        db.may_leave(Leftover::Anything, "jobs are deleted and reopened by hand");
        let (lead_id, _) = drafted(&db).await;
        let rule = rule_job(&db, lead_id).await;
        let effects = || vec![
            Effect::ApproveDraft { draft_id: DRAFT },
            Effect::Enqueue { kind: DELIVER_REPLY, subject: Subject::Draft(DRAFT), delay: Duration::ZERO },
        ];
        let retried = async || {
            db.store.desk().retry(rule, None).await.unwrap();
            let claims = claim_of(&db.store, &[(AUTO_SEND_DELAYED, 1)]).await;
            let done = settle(&db.store, &claims[0], Transition::Succeed(effects()));
            assert_eq!(db.store.ledger().settle(Arc::new([done])).await.unwrap(), [true]);
            db.execute(&format!("update job_attempts set outcome = 'cancelled' where job_id = {rule} and outcome = 'succeeded'")).await;
        };
        let read = async || db.store.reader().draft_to_send(DRAFT).await.unwrap().unwrap();
        assert!(read().await.has_passed_gate && !read().await.was_taken_back);
        // A person has approved it and taken that back.
        done(&db, approve(UNDO)).await;
        done(&db, DraftDecision::Undo).await;
        assert!(read().await.was_taken_back);
        retried().await;
        assert_eq!(status(&db).await, "pending", "its job has ended, and does not come again by itself");
        // A person has given it another text.
        db.execute("delete from job_attempts where job_id in (select id from jobs where kind = 'DELIVER_REPLY')").await;
        db.execute("delete from jobs where kind = 'DELIVER_REPLY'").await;
        assert!(!read().await.was_taken_back);
        done(&db, edit(None, Some("Another text"))).await;
        assert!(!read().await.has_passed_gate);
        retried().await;
        assert_eq!(status(&db).await, "pending");
        db.execute("delete from job_ready where kind = 'DELIVER_REPLY'").await;
        db.execute("delete from jobs where kind = 'DELIVER_REPLY'").await;
        // What the gate judged is approved.
        db.execute("update drafts set gate_decision = 'send_now'").await;
        retried().await;
        assert_eq!(status(&db).await, "approved");
    }

    /// What came in between counts when an approval is taken back.
    async fn an_approval_that_is_taken_back_ends_as_the_send_would(db: Fixture) {
        let (lead_id, message_id) = drafted(&db).await;
        let now = instant(&db, 0);
        let lead = |change: &str| format!("update leads set {change} where id = {lead_id}");
        let message = |change: &str| format!("update messages set {change} where id = {message_id}");
        for (set, reset, expected) in [
            (message(&format!("deleted_at = {now}")), message("deleted_at = null"), "superseded message_deleted"),
            (message(&format!("edited_at = {}", instant(&db, 1_000))), message("edited_at = null"), "superseded message_edited"),
            (lead(&format!("opted_out_at = {now}")), lead("opted_out_at = null"), "rejected opted_out"),
            (lead("newest_inbound_id = 5"), lead(&format!("newest_inbound_id = {message_id}")), "superseded newer_message"),
            (lead("snoozed_until = null"), lead("snoozed_until = null"), "pending "),
        ] {
            db.execute("update drafts set status = 'pending'").await;
            done(&db, approve(UNDO)).await;
            db.execute(&set).await;
            done(&db, DraftDecision::Undo).await;
            assert_eq!(db.texts("select status || ' ' || coalesce(decided_by, '') from drafts").await, [expected]);
            db.execute(&reset).await;
        }
    }

    /// Without the provider's ids a text may wait; all else that forbids an answer forbids a text.
    async fn no_text_is_written_anew_for_what_gets_no_answer(db: Fixture) {
        let (lead_id, message_id) = drafted(&db).await;
        let now = instant(&db, 0);
        let lead = |change: &str| format!("update leads set {change} where id = {lead_id}");
        let message = |change: &str| format!("update messages set {change} where id = {message_id}");
        db.execute(&message("reply_handle = null")).await;
        for (set, reset, why) in [
            (lead(&format!("opted_out_at = {now}")), lead("opted_out_at = null"), "(opted_out)"),
            (lead("newest_inbound_id = 5"), lead(&format!("newest_inbound_id = {message_id}")), "(newer_message)"),
            (message(&format!("deleted_at = {now}")), message("deleted_at = null"), "(message_deleted)"),
            (message("sentiment = 'Not Interested'"), message("sentiment = 'Call Requested'"), "this tag gets no draft"),
            (message("sentiment = 'Interested'"), message("sentiment = 'Call Requested'"), "while a new text was written"),
            (message("sentiment = null"), message("sentiment = 'Call Requested'"), "has no tag"),
            (message(&format!("edited_at = {now}")), message("edited_at = null"), "was edited while"),
        ] {
            db.execute(&set).await;
            let told = refused(&db, rewrite("Hi there")).await;
            assert!(told.contains(why), "{why}: {told}");
            db.execute(&reset).await;
        }
        let draft = decide(&db, rewrite("Hi there")).await.unwrap().draft;
        assert_eq!((draft.status.as_str(), draft.blocked_by.as_deref()), ("pending", Some("no_reply_handle")));
    }

    /// An address may belong to another lead than the one whose message it is.
    async fn an_answer_to_an_address_that_opted_out_is_not_approved(db: Fixture) {
        let (_, message_id) = drafted(&db).await;
        db.store.inbox().put(Arc::new([sms("a", "+15550002", "k9", "stop")])).await.unwrap();
        db.execute(&format!("update messages set sender = '{{\"address\":\"+15550002\",\"name\":null}}' where id = {message_id}")).await;
        let opt_out = format!("update leads set opted_out_at = {} where newest_inbound_id <> {message_id}", instant(&db, 0));
        db.execute(&opt_out).await;
        assert!(refused(&db, approve(UNDO)).await.contains("(opted_out)"));
        assert!(refused(&db, rewrite("Hi there")).await.contains("(opted_out)"));
    }

    /// R10: the lead writes while a person approves. Either order is right, and nothing between.
    async fn an_approval_and_a_newer_message_come_one_after_the_other(db: Fixture) {
        let rounds = 12;
        let (lead_id, mut message_id) = write(&db, "first").await;
        for round in 0..rounds {
            db.execute("delete from drafts").await;
            put_draft(&db, DRAFT, lead_id, message_id).await;
            let jobs = "select count(*) from jobs where kind = 'DELIVER_REPLY'";
            let before = db.number(jobs).await;
            let key = format!("k {round}");
            let (approved, (_, newer)) = tokio::join!(decide(&db, approve(UNDO)), write(&db, &key));
            match (approved, status(&db).await.as_str()) {
                (Ok(_), "approved") => {
                    // The next step sees that it is out of date.
                    assert_eq!(done(&db, DraftDecision::Undo).await, "superseded");
                }
                (Err(DecisionError::Conflict(_)), "superseded") => {
                    assert_eq!(db.number(jobs).await, before);
                }
                other => panic!("round {round}: {other:?}"),
            }
            message_id = newer;
        }
        assert_whole(&db).await;
    }

    async fn an_edit_is_kept_with_what_it_was_and_no_rule_sends_it(db: Fixture) {
        let (lead_id, message_id) = drafted(&db).await;
        let rule = rule_job(&db, lead_id).await;
        let long = "x".repeat(200);
        let draft = decide(&db, edit(None, Some(&long))).await.unwrap().draft;
        assert_eq!((draft.status.as_str(), &draft.body, draft.edited, draft.from_template), ("pending", &long, true, false));
        let parts: Vec<String> = serde_json::from_str(&draft.parts).unwrap();
        assert_eq!((parts.len(), parts.concat()), (2, long.clone()));
        assert_eq!(draft.gate_decision.as_deref(), Some("needs_review"));
        assert_eq!(db.store.desk().job(rule).await.unwrap().unwrap().job.status.as_str(), "cancelled");
        done(&db, edit(None, Some(&long))).await;
        assert_eq!(audited(&db).await, pairs(&[("a text of 8 characters", "a text of 200 characters")]));
        let examples = db.store.desk().examples(vec!["a".to_owned()], 10, None).await.unwrap().items;
        let [example] = &examples[..] else { panic!("{examples:?}") };
        assert_eq!((example.kind.as_str(), example.body.as_str(), example.tag.as_deref()), ("edited", "Call me?", Some("Call Requested")));
        assert_eq!((example.was.as_deref(), example.became.as_deref()), (Some("Hi there"), Some(long.as_str())));
        assert_eq!((example.message_id, example.draft_id, example.lead_id), (message_id, Some(DRAFT), lead_id));
        for (decision, field) in [
            (edit(None, Some("  ")), "body"),
            (edit(None, Some(&"x".repeat(460))), "body"),
            (edit(Some("Hello"), None), "subject"),
        ] {
            match decide(&db, decision).await {
                Err(DecisionError::Invalid { field: at, .. }) => assert_eq!(at, field),
                other => panic!("{other:?}"),
            }
        }
        done(&db, approve(UNDO)).await;
        let why = refused(&db, edit(None, Some("no"))).await;
        assert_eq!(why, format!("draft {DRAFT} is approved: only a pending draft is edited"));
        assert_whole(&db).await;
    }

    async fn a_rejection_ends_what_was_to_be_sent_and_keeps_its_reason(db: Fixture) {
        drafted(&db).await;
        done(&db, approve(UNDO)).await;
        let draft = decide(&db, reject(Some("too pushy"))).await.unwrap().draft;
        assert_eq!((draft.status.as_str(), draft.note.as_deref(), draft.send_at), ("rejected", Some("too pushy"), None));
        assert_eq!(sending_job(&db).await.1, "cancelled");
        let examples = db.store.desk().examples(Vec::new(), 10, None).await.unwrap().items;
        let told: Vec<_> = examples.iter().map(|it| (it.kind.as_str(), it.was.as_deref(), it.reason.as_deref())).collect();
        assert_eq!(told, [("rejected", Some("Hi there"), Some("too pushy"))]);
        assert!(refused(&db, reject(None)).await.contains("is rejected"));
        assert!(refused(&db, DraftDecision::Undo).await.contains("is rejected"));
        assert_eq!(audited(&db).await, pairs(&[("pending", "approved"), ("approved", "rejected")]));
        assert_whole(&db).await;
    }

    async fn a_text_that_is_written_anew_takes_the_place_of_the_one_it_was_asked_for(db: Fixture) {
        let (lead_id, _) = drafted(&db).await;
        done(&db, reject(Some("no"))).await;
        assert!(refused(&db, rewrite("another")).await.contains("was changed while"));
        let draft = decide(&db, rewrite("Hi there")).await.unwrap().draft;
        assert_eq!((draft.status.as_str(), draft.body.as_str(), draft.note, draft.decided_by), ("pending", "Something else", None, None));
        assert_eq!(draft.tag.as_deref(), Some("Call Requested"));
        done(&db, approve(UNDO)).await;
        assert!(refused(&db, rewrite("Something else")).await.contains("is approved"));
        done(&db, DraftDecision::Undo).await;
        let now = instant(&db, 0);
        db.execute(&format!("update leads set opted_out_at = {now} where id = {lead_id}")).await;
        assert!(refused(&db, rewrite("Something else")).await.contains("(opted_out)"));
    }

    async fn an_uncertain_send_is_settled_by_hand_once(db: Fixture) {
        let (lead_id, _) = drafted(&db).await;
        done(&db, approve(Duration::ZERO)).await;
        let claims = claim_of(&db.store, &[(DELIVER_REPLY, 1)]).await;
        let reason = postroom::domain::job::FailureReason::Error;
        let failed = settle(&db.store, &claims[0], Transition::Fail { error: "cut off".to_owned(), reason });
        assert_eq!(db.store.ledger().settle(Arc::new([failed])).await.unwrap(), [true]);
        put_delivery(&db, lead_id, "uncertain", "1").await;
        db.execute(&format!("update drafts set status = 'sending' where id = {DRAFT}")).await;
        assert!(refused(&db, DraftDecision::Undo).await.contains("nobody knows whether it was sent"));
        let resolve = async |is_sent| db.store.desk().resolve(81, is_sent, by_dana("delivery.resolve")).await;
        let delivery = resolve(false).await.unwrap();
        assert_eq!(delivery.status, "failed");
        assert!(delivery.settled_at.is_some());
        let draft = db.store.desk().draft(DRAFT).await.unwrap().unwrap().draft;
        assert_eq!((draft.status.as_str(), draft.blocked_by.as_deref()), ("approved", Some("delivery_failed")));
        match resolve(true).await {
            Err(DecisionError::Conflict(why)) => assert_eq!(why, "delivery 81 is failed: only an uncertain one is resolved"),
            other => panic!("{other:?}"),
        }
        // What was not sent is sent again by the same job.
        assert_eq!(done(&db, approve(UNDO)).await, "approved");
        assert_eq!(sending_job(&db).await, (claims[0].job.id, "pending"));
        // The other end.
        db.execute("update deliveries set status = 'uncertain'").await;
        assert_eq!(resolve(true).await.unwrap().status, "sent");
        assert_eq!(status(&db).await, "sent");
        assert_eq!(db.number("select count(*) from leads where last_outbound_at is not null").await, 1);
        // It is a message of the thread, once.
        let told = "select m.direction || ' ' || m.source || ' ' || m.body from deliveries x join messages m on m.id = x.message_id";
        assert_eq!(db.texts(told).await, ["outbound postroom Hi there"]);
        assert_eq!(db.number("select count(*) from messages where direction = 'outbound'").await, 1);
        let job = db.store.desk().job(claims[0].job.id).await.unwrap().unwrap().job;
        assert_eq!(job.delivery_id, Some(81));
        let missing = db.store.desk().resolve(5, true, by_dana("delivery.resolve")).await;
        assert_eq!(missing, Err(DecisionError::NotFound { what: "delivery", id: 5 }));
        assert_whole(&db).await;
    }

    async fn a_tag_that_says_opt_out_opts_the_lead_out_if_the_person_says_so(db: Fixture) {
        let (lead_id, message_id) = drafted(&db).await;
        let retag = async |opts_out| {
            let entry = AuditEntry { note: Some("on the phone".to_owned()), ..by_dana("message.retag") };
            db.store.desk().retag(message_id, Sentiment::Blacklist, opts_out, entry).await.unwrap()
        };
        assert_eq!(retag(false).await.sentiment.as_deref(), Some("Blacklist"));
        assert_eq!(db.store.desk().opt_outs(lead_id).await.unwrap(), []);
        // The same tag, and the fact besides; once.
        retag(true).await;
        retag(true).await;
        let facts = db.store.desk().opt_outs(lead_id).await.unwrap();
        let [fact] = &facts[..] else { panic!("{facts:?}") };
        let told = (fact.source.as_str(), fact.noted_by.as_deref(), fact.message_id, fact.reason.as_str());
        assert_eq!(told, ("person", Some("dana"), Some(message_id), "on the phone"));
        assert_eq!(db.texts(&format!("select status from leads where id = {lead_id}")).await, ["blacklisted"]);
        assert_eq!(db.number("select count(*) from labelled_examples where opt_out").await, 1);
        assert_whole(&db).await;
    }

    async fn a_tag_that_a_person_corrects_is_followed_and_kept(db: Fixture) {
        let (lead_id, message_id) = drafted(&db).await;
        let retag = async |id, tag, note: Option<&str>| {
            let entry = AuditEntry { note: note.map(str::to_owned), ..by_dana("message.retag") };
            db.store.desk().retag(id, tag, false, entry).await
        };
        let message = retag(message_id, Sentiment::NotInterested, Some("irony")).await.unwrap();
        assert_eq!(message.sentiment.as_deref(), Some("Not Interested"));
        let lead = format!("select sentiment || ', ' || status from leads where id = {lead_id}");
        assert_eq!(db.texts(&lead).await, ["Not Interested, not-interested"]);
        assert_eq!(db.texts("select status || ' by ' || decided_by from drafts").await, ["rejected by tag_changed"]);
        retag(message_id, Sentiment::NotInterested, None).await.unwrap();
        let examples = db.store.desk().examples(Vec::new(), 10, None).await.unwrap().items;
        let [example] = &examples[..] else { panic!("{examples:?}") };
        assert_eq!((example.kind.as_str(), example.was.as_deref(), example.tag.as_deref(), example.reason.as_deref(), example.opt_out), ("tag", Some("Call Requested"), Some("Not Interested"), Some("irony"), false));
        assert_eq!(audited(&db).await, pairs(&[("Call Requested", "Not Interested")]));
        // An older message changes no lead.
        let (_, newest) = write(&db, "k2").await;
        retag(message_id, Sentiment::Interested, None).await.unwrap();
        assert_eq!(db.texts(&lead).await, ["Not Interested, not-interested"]);
        retag(newest, Sentiment::Neutral, None).await.unwrap();
        assert_eq!(db.texts(&lead).await, ["Neutral, not-interested"]);
        db.execute(&format!("update messages set direction = 'outbound' where id = {newest}")).await;
        assert!(matches!(retag(newest, Sentiment::Interested, None).await, Err(DecisionError::Conflict(_))));
        assert!(matches!(retag(5, Sentiment::Interested, None).await, Err(DecisionError::NotFound { .. })));
    }
}
