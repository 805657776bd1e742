//! G5: one draft is sent at most once. Marks, verdicts, and every other end of a job that sends.

use super::{
    inbox::{PHONE, at, draft, judges, work_off},
    life::settle,
    tools::instant,
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, sms},
};
use postroom::{
    domain::{
        Id, Sentiment, Signal, Timestamp,
        job::{DELIVER_REPLY, FailureReason, NewJob},
        sending::{AccountState, AccountTrouble, SendEnd},
    },
    store::{Claim, Marking, SendRules, Settlement, Store, Transition, Want},
};
use std::{sync::Arc, time::Duration};

/// Rules that a test sets.
struct Rules {
    is_enabled: bool,
    has_settings: bool,
    is_automatic_allowed: bool,
    opens_in: Option<Duration>,
}

const OPEN: Rules = Rules {
    is_enabled: true,
    has_settings: true,
    is_automatic_allowed: true,
    opens_in: Some(Duration::ZERO),
};

impl SendRules for Rules {
    fn is_enabled(&self) -> bool {
        self.is_enabled
    }
    fn has_settings(&self, _: &str) -> bool {
        self.has_settings
    }
    fn is_automatic_allowed(&self, _: &str, _: Option<&str>) -> bool {
        self.is_automatic_allowed
    }
    fn opens_in(&self, _: Option<&str>, _: Timestamp) -> Option<Duration> {
        self.opens_in
    }
}

fn open() -> Arc<dyn SendRules> {
    Arc::new(OPEN)
}

/// An approved draft, whose job to send it is enqueued. Returns the draft.
pub(super) async fn approved(db: &Fixture, key: &str) -> Id {
    let told = [sms("a", PHONE, key, &format!("call me {key}"))];
    db.store.inbox().put(Arc::new(told)).await.unwrap();
    work_off(db, vec![judges(Sentiment::Interested), draft()]).await;
    db.execute(
        "update drafts set status = 'approved', decided_by = 'dana' where status = 'pending'",
    )
    .await;
    let draft = db.number("select max(id) from drafts").await;
    let number = |column: &str| format!("select {column} from drafts where id = {draft}");
    let job = NewJob {
        kind: DELIVER_REPLY,
        client_id: "a".to_owned(),
        lead_id: Some(db.number(&number("lead_id")).await),
        subject_id: draft,
        message_id: Some(db.number(&number("message_id")).await),
        draft_id: Some(draft),
        max_attempts: 3,
        in_lead_line: false,
        channel: Some("sms".to_owned()),
        delay_ms: 0,
        trace: None,
    };
    assert!(db.store.enqueuer().enqueue(vec![job]).await.unwrap()[0].is_some());
    draft
}

/// The same, approved by a rule.
async fn by_rule(db: &Fixture, key: &str) -> Id {
    let draft = approved(db, key).await;
    db.execute(&format!("update drafts set decided_by = 'automatic_reply' where id = {draft}"))
        .await;
    draft
}

/// Claims the job that sends.
pub(super) async fn claim(store: &Store) -> Option<Claim> {
    let wants = vec![Want { kind: DELIVER_REPLY.0, floor: 0, slots: 1 }];
    store.queue().claim(wants, Arc::new([DELIVER_REPLY])).await.unwrap().pop()
}

pub(super) async fn mark(store: &Store, claim: &Claim) -> Marking {
    mark_by(store, claim, OPEN).await
}

async fn mark_by(store: &Store, claim: &Claim, rules: Rules) -> Marking {
    store.send_marker().mark(&claim.job, Arc::new(rules)).await.unwrap()
}

/// The id of the delivery of a marked send.
pub(super) fn delivery(marking: Marking) -> Id {
    match marking {
        Marking::Marked(send) => send.delivery_id,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn end(
    store: &Store,
    claim: &Claim,
    transition: Transition,
    send: Option<SendEnd>,
) -> bool {
    let settlement = Settlement { send, ..settle(store, claim, transition) };
    store.ledger().settle(Arc::new([settlement])).await.unwrap()[0]
}

pub(super) fn retry() -> Transition {
    let (after, error) = (Duration::ZERO, "boom".to_owned());
    Transition::Retry { after, reason: FailureReason::Panic, error }
}

pub(super) fn fail() -> Transition {
    Transition::Fail { reason: FailureReason::Error, error: "no".to_owned() }
}

pub(super) fn sent() -> Option<SendEnd> {
    Some(SendEnd::Sent { provider_id: Some("prov-1".to_owned()) })
}

/// The status of the delivery and of the draft, and the outcome of the job's last run.
pub(super) async fn state(db: &Fixture) -> [String; 3] {
    let one = async |sql: &str| db.texts(sql).await.pop().unwrap_or_default();
    [
        one("select status from deliveries").await,
        one("select status from drafts order by id limit 1").await,
        one("select a.outcome from job_attempts a join jobs j on j.id = a.job_id where j.kind = 'DELIVER_REPLY' order by a.run").await,
    ]
}

on_both_databases! {
    async fn g05_a_send_is_marked_called_and_recorded_in_one_transaction(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        let Marking::Marked(send) = mark(&db.store, &job).await else { panic!() };
        assert_eq!((send.body.as_str(), send.channel.as_str()), ("Hi", "sms"));
        assert!(send.reply_handle.contains(PHONE), "{}", send.reply_handle);
        assert_eq!(state(&db).await, ["sending", "sending", ""]);
        assert!(end(&db.store, &job, Transition::Succeed(Vec::new()), sent()).await);
        assert_eq!(state(&db).await, ["sent", "sent", "succeeded"]);
        let message = "select source || ' ' || provider_id || ' ' || body from messages where direction = 'outbound'";
        assert_eq!(db.texts(message).await, ["postroom prov-1 Hi"]);
        assert_eq!(db.number("select count(*) from leads where last_outbound_at is not null").await, 1);
        assert_eq!(db.number("select count(*) from deliveries d join messages m on m.id = d.message_id").await, 1);
    }

    /// Whoever ends a marked job otherwise than by its handler's word makes its delivery uncertain,
    /// and the job ends.
    async fn g05_any_other_end_of_a_marked_job_is_uncertain_and_final(db: Fixture) {
        for (number, transition) in [
            retry(),
            fail(),
            Transition::Postpone { after: Duration::ZERO },
            Transition::Snooze { after: Duration::ZERO },
            Transition::Release,
            Transition::Succeed(Vec::new()),
            Transition::Cancel { reason: "by hand".to_owned() },
        ]
        .into_iter()
        .enumerate()
        {
            approved(&db, &format!("k{number}")).await;
            let job = claim(&db.store).await.unwrap();
            delivery(mark(&db.store, &job).await);
            assert!(end(&db.store, &job, transition, None).await);
            let of_job = format!("from deliveries where job_id = {} and status = 'uncertain' and settled_at is not null", job.job.id);
            assert_eq!(db.number(&format!("select count(*) {of_job}")).await, 1, "end {number}");
            let error = db.texts(&format!("select error {of_job}")).await.pop().unwrap();
            assert!(error.starts_with("nobody knows whether"), "{error}");
            db.store.queue().make_due().await.unwrap();
            assert!(claim(&db.store).await.is_none(), "it never runs again");
        }
        assert_eq!(db.number("select count(*) from drafts where status = 'sending'").await, 7);
        assert_eq!(db.number("select count(*) from messages where direction = 'outbound'").await, 0);
    }

    async fn g05_what_was_certainly_not_sent_is_tried_again_under_the_same_delivery(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        let first = delivery(mark(&db.store, &job).await);
        let not_sent = || Some(SendEnd::NotSent { why: "no connection".to_owned(), account: None });
        assert!(end(&db.store, &job, retry(), not_sent()).await);
        assert_eq!(state(&db).await, ["sending", "approved", "panic"]);
        db.store.queue().make_due().await.unwrap();
        let job = claim(&db.store).await.unwrap();
        assert_eq!(delivery(mark(&db.store, &job).await), first, "the key of the send is the same");
        assert!(end(&db.store, &job, fail(), not_sent()).await);
        assert_eq!(state(&db).await, ["failed", "approved", "error"]);
        let blocked = "select blocked_by || ' ' || cast(d.attempts as text) from drafts, deliveries d";
        assert_eq!(db.texts(blocked).await, ["delivery_failed 2"]);
        // A person may try it once more.
        db.store.desk().retry(job.job.id, None).await.unwrap();
        let job = claim(&db.store).await.unwrap();
        assert_eq!(delivery(mark(&db.store, &job).await), first);
        assert!(end(&db.store, &job, Transition::Succeed(Vec::new()), sent()).await);
        assert_eq!(db.texts("select status from deliveries").await, ["sent"]);
    }

    async fn g05_a_mark_whose_commit_was_not_known_is_found_by_the_same_run_only(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        let first = delivery(mark(&db.store, &job).await);
        assert_eq!(delivery(mark(&db.store, &job).await), first);
        assert_eq!(db.number("select attempts from deliveries").await, 1);
        let mut other = job;
        other.job.run += 1;
        assert!(matches!(mark(&db.store, &other).await, Marking::Lost));
    }

    async fn g05_a_lost_lease_loses_no_knowledge(db: Fixture) {
        for (number, (word, expected)) in [
            (sent().unwrap(), "sent"),
            (SendEnd::Failed { why: "422".to_owned() }, "failed"),
            (SendEnd::NotSent { why: "refused".to_owned(), account: None }, "failed"),
            (SendEnd::NotCalled { after: Duration::ZERO }, "failed"),
            (SendEnd::Unknown { why: "reset".to_owned() }, "uncertain"),
        ]
        .into_iter()
        .enumerate()
        {
            approved(&db, &format!("k{number}")).await;
            let job = claim(&db.store).await.unwrap();
            delivery(mark(&db.store, &job).await);
            // Another node has rescued the job meanwhile.
            assert!(end(&db.store, &job, retry(), None).await);
            assert!(!end(&db.store, &job, Transition::Succeed(Vec::new()), Some(word)).await);
            let status = format!("select status from deliveries where job_id = {}", job.job.id);
            assert_eq!(db.texts(&status).await, [expected], "row {number}");
        }
    }

    /// Everything is judged again in the transaction that marks: a draft that nobody wants any more
    /// is not sent.
    async fn r10_what_comes_between_the_approval_and_the_mark_stops_the_send(db: Fixture) {
        let rows: [(&str, &str, &str); 5] = [
            ("update leads set opted_out_at = last_inbound_at, opted_out_channel = 'sms', opted_out_reason = 'stop'", "opted_out", "rejected"),
            ("update drafts set status = 'superseded' where status = 'approved'", "not_approved", "superseded"),
            ("update messages set deleted_at = sent_at", "message_deleted", "superseded"),
            ("update messages set deleted_at = null, edited_at = EDITED", "message_edited", "superseded"),
            ("update messages set edited_at = null, reply_handle = null", "no_reply_handle", "rejected"),
        ];
        for (number, (change, reason, status)) in rows.into_iter().enumerate() {
            db.execute("update leads set opted_out_at = null, opted_out_reason = null").await;
            let draft = approved(&db, &format!("k{number}")).await;
            db.execute(&change.replace("EDITED", &instant(&db, 1_000))).await;
            let job = claim(&db.store).await.unwrap();
            let Marking::Never(why) = mark(&db.store, &job).await else { panic!("row {number}") };
            assert_eq!(why, reason);
            assert_eq!(db.texts(&format!("select status from drafts where id = {draft}")).await, [status]);
            assert!(end(&db.store, &job, Transition::Cancel { reason: why.to_owned() }, None).await);
        }
        assert_eq!(db.number("select count(*) from deliveries").await, 0);
    }

    async fn r8_a_newer_message_stops_the_send_of_an_older_answer(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        db.store.inbox().put(Arc::new([sms("a", PHONE, "k2", "wait, one more question")])).await.unwrap();
        assert!(matches!(mark(&db.store, &job).await, Marking::Never("newer_message")));
        assert_eq!(db.texts("select status from drafts").await, ["superseded"]);
    }

    /// What stops a rule does not stop a person.
    async fn r9_what_only_a_person_may_decide_stops_what_a_rule_would_send(db: Fixture) {
        let rows: [(&str, &str, &str); 4] = [
            ("update leads set last_outbound_at = LATER", "answered_by_a_person", "superseded answered_by_a_person"),
            // The message says that it was sent tomorrow.
            ("update messages set sent_at = TOMORROW", "answered_by_a_person", "superseded answered_by_a_person"),
            ("update messages set sentiment = 'Not Interested'", "tag_changed", "rejected tag_changed"),
            ("update messages set sentiment = 'Of Another Version'", "tag_changed", "rejected tag_changed"),
        ];
        for (number, (change, reason, expected)) in rows.into_iter().enumerate() {
            db.execute("update leads set last_outbound_at = null").await;
            let draft = by_rule(&db, &format!("k{number}")).await;
            let (later, tomorrow) = (instant(&db, 60_000), instant(&db, 86_400_000));
            if change.contains("TOMORROW") {
                db.execute(&format!("update leads set last_outbound_at = {later}")).await;
            }
            db.execute(&change.replace("LATER", &later).replace("TOMORROW", &tomorrow)).await;
            let job = claim(&db.store).await.unwrap();
            let Marking::Never(why) = mark(&db.store, &job).await else { panic!("row {number}") };
            assert_eq!(why, reason);
            let state = format!("select status || ' ' || decided_by from drafts where id = {draft}");
            assert_eq!(db.texts(&state).await, [expected]);
            // A person has approved it.
            db.execute(&format!("update drafts set status = 'approved', decided_by = 'dana' where id = {draft}")).await;
            delivery(mark(&db.store, &job).await);
            assert!(end(&db.store, &job, Transition::Succeed(Vec::new()), sent()).await);
        }
    }

    /// A message that came later and is dated earlier has no answer of its own.
    async fn r8_a_message_that_was_stored_later_stops_a_rule_whatever_its_time(db: Fixture) {
        let draft = by_rule(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        let earlier = postroom::store::wall_clock().plus_millis(-3_600_000);
        let late = at(sms("a", PHONE, "k2", "no, do not call me"), earlier);
        db.store.inbox().put(Arc::new([late])).await.unwrap();
        assert!(matches!(mark(&db.store, &job).await, Marking::Never("newer_message")));
        assert_eq!(db.texts("select status from drafts").await, ["pending"], "a person decides");
        db.execute(&format!("update drafts set status = 'approved', decided_by = 'dana' where id = {draft}")).await;
        delivery(mark(&db.store, &job).await);
    }

    async fn what_a_rule_sends_keeps_to_the_hours_also_after_a_wait(db: Fixture) {
        let draft = by_rule(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        let hour = Duration::from_secs(3_600);
        let closed = || Rules { opens_in: Some(hour), ..OPEN };
        let Marking::Later(after) = mark_by(&db.store, &job, closed()).await else { panic!() };
        assert_eq!(after, hour);
        let never = Rules { opens_in: None, ..OPEN };
        assert!(matches!(mark_by(&db.store, &job, never).await, Marking::Never("no_open_hour")));
        assert_eq!(db.texts("select status from drafts").await, ["pending"]);
        // A person needs no hours.
        db.execute(&format!("update drafts set status = 'approved', decided_by = 'dana' where id = {draft}")).await;
        delivery(mark_by(&db.store, &job, closed()).await);
    }

    async fn without_settings_a_send_waits_unmarked(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        let none = Rules { has_settings: false, ..OPEN };
        assert!(matches!(mark_by(&db.store, &job, none).await, Marking::Later(_)));
        assert_eq!(state(&db).await, ["", "approved", ""]);
        delivery(mark(&db.store, &job).await);
    }

    /// P13: two ids of one provider are two leads, though one person writes as both.
    async fn an_address_that_opted_out_as_another_lead_gets_no_answer(db: Fixture) {
        const OTHER: &str = "+15550002";
        for client in ["b", "a"] {
            db.store.inbox().put(Arc::new([sms(client, OTHER, "k0", "stop")])).await.unwrap();
            work_off(&db, Vec::new()).await;
            let opt_out = "update leads set opted_out_at = last_inbound_at, opted_out_channel = 'sms', opted_out_reason = 'stop'";
            db.execute(&format!("{opt_out} where id = (select lead_id from lead_identities where client_id = '{client}' and value = '{OTHER}')")).await;
            let draft = approved(&db, &format!("of {client}")).await;
            db.execute(&format!("update messages set sender = '{{\"address\":\"{OTHER}\",\"name\":null}}' where id = (select message_id from drafts where id = {draft})")).await;
            let job = claim(&db.store).await.unwrap();
            match (client, mark(&db.store, &job).await) {
                // Another client's lead is another person's business.
                ("b", Marking::Marked(_)) => assert!(end(&db.store, &job, Transition::Succeed(Vec::new()), sent()).await),
                ("a", Marking::Never("opted_out")) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(db.number("select count(*) from drafts where status = 'rejected'").await, 1);
    }

    /// No other run has a mark once this one runs. If one has, nobody knows about its call.
    async fn g05_a_mark_of_another_run_is_uncertain_and_an_own_one_is_not(db: Fixture) {
        let opt_out = "update leads set opted_out_at = last_inbound_at, opted_out_channel = 'sms', opted_out_reason = 'stop'";
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        delivery(mark(&db.store, &job).await);
        // The end of the commit was not known, so the same run asks once more.
        db.execute(opt_out).await;
        assert!(matches!(mark(&db.store, &job).await, Marking::Never("opted_out")));
        assert_eq!(state(&db).await, ["failed", "rejected", ""]);
        assert!(end(&db.store, &job, Transition::Cancel { reason: "opted_out".to_owned() }, None).await);
        db.execute("update leads set opted_out_at = null, opted_out_reason = null").await;
        db.execute("delete from deliveries").await;
        approved(&db, "k2").await;
        let job = claim(&db.store).await.unwrap();
        delivery(mark(&db.store, &job).await);
        db.execute("update deliveries set marked_run = 77").await;
        db.execute(opt_out).await;
        assert!(matches!(mark(&db.store, &job).await, Marking::Never("delivery_uncertain")));
        assert_eq!(db.texts("select status from deliveries").await, ["uncertain"]);
        assert!(end(&db.store, &job, Transition::Cancel { reason: "uncertain".to_owned() }, None).await);
        assert_eq!(db.texts("select status from deliveries").await, ["uncertain"]);
    }

    async fn d22_the_kill_switch_and_the_mode_are_read_at_the_mark(db: Fixture) {
        by_rule(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        let off = Rules { is_enabled: false, ..OPEN };
        assert!(matches!(mark_by(&db.store, &job, off).await, Marking::Later(_)));
        let forbidden = Rules { is_automatic_allowed: false, ..OPEN };
        assert!(matches!(mark_by(&db.store, &job, forbidden).await, Marking::Never("automatic_reply_off")));
        assert_eq!(db.texts("select status from drafts").await, ["pending"], "a person may still send it");
        assert_eq!(db.number("select count(*) from deliveries").await, 0);
    }

    async fn an_account_that_sends_too_much_pauses_its_deliveries_and_costs_no_attempt(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        delivery(mark(&db.store, &job).await);
        let trouble = AccountTrouble { state: AccountState::RateLimited, pause: Duration::from_secs(60) };
        let end_of_call = SendEnd::NotSent { why: "429".to_owned(), account: Some(trouble) };
        let postpone = Transition::Postpone { after: Duration::ZERO };
        assert!(end(&db.store, &job, postpone, Some(end_of_call)).await);
        assert_eq!(db.texts("select channel || ' ' || state from send_accounts").await, ["sms rate_limited"]);
        db.store.queue().make_due().await.unwrap();
        let job = claim(&db.store).await.unwrap();
        assert_eq!(job.job.attempt, 1, "no attempt was used");
        let Marking::Later(after) = mark(&db.store, &job).await else { panic!() };
        assert!(after > Duration::from_secs(50), "{after:?}");
        // The pause is over: one that is sent ends it.
        let past = if db.is_sqlite() { "paused_until - 120000" } else { "paused_until - interval '2 minutes'" };
        db.execute(&format!("update send_accounts set paused_until = {past}")).await;
        delivery(mark(&db.store, &job).await);
        assert!(end(&db.store, &job, Transition::Succeed(Vec::new()), sent()).await);
        assert_eq!(db.number("select count(*) from send_accounts").await, 0);
    }

    /// The provider tells the message back before its answer is recorded.
    async fn an_echo_that_comes_first_settles_the_send(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        delivery(mark(&db.store, &job).await);
        let mut echo = sms("a", PHONE, "k2", "Hi");
        if let postroom::store::Content::Event { event, .. } = &mut echo.content
            && let Signal::Message(message) = &mut event.signal
        {
            message.direction = postroom::domain::event::Direction::Outbound;
        }
        db.store.inbox().put(Arc::new([echo])).await.unwrap();
        assert_eq!(state(&db).await, ["sent", "sent", ""]);
        // The node dies: the job is rescued, runs again, and finds that it is sent.
        assert!(end(&db.store, &job, retry(), None).await);
        db.store.queue().make_due().await.unwrap();
        let job = claim(&db.store).await.unwrap();
        assert!(matches!(mark(&db.store, &job).await, Marking::Never("already_sent")));
        assert_eq!(db.number("select count(*) from messages where direction = 'outbound'").await, 1);
    }

    async fn a_send_that_is_on_the_wire_cannot_be_cancelled(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        delivery(mark(&db.store, &job).await);
        let refused = db.store.desk().cancel(job.job.id).await.unwrap_err().to_string();
        assert!(refused.contains("begun to send"), "{refused}");
        let not_called = SendEnd::NotCalled { after: Duration::ZERO };
        let postpone = Transition::Postpone { after: Duration::ZERO };
        assert!(end(&db.store, &job, postpone, Some(not_called)).await);
        // Nothing is on the wire now.
        db.store.desk().cancel(job.job.id).await.unwrap();
        assert_eq!(state(&db).await, ["failed", "approved", "cancelled"]);
    }

    /// A job that waits to be claimed again has no mark.
    async fn a_send_that_waits_is_cancelled_with_its_delivery_and_its_draft(db: Fixture) {
        approved(&db, "k1").await;
        let job = claim(&db.store).await.unwrap();
        delivery(mark(&db.store, &job).await);
        let hour = Duration::from_secs(3_600);
        let not_called = SendEnd::NotCalled { after: hour };
        assert!(end(&db.store, &job, Transition::Snooze { after: hour }, Some(not_called)).await);
        assert_eq!(db.number("select count(*) from job_later").await, 1);
        assert_eq!(state(&db).await, ["sending", "approved", "snoozed"]);
        db.store.desk().cancel(job.job.id).await.unwrap();
        assert_eq!(db.texts("select status || ' ' || error from deliveries").await, ["failed it was not sent: its job ended before"]);
        assert_eq!(db.texts("select status || ' ' || blocked_by from drafts").await, ["approved delivery_failed"]);
        // One that never ran has no delivery.
        approved(&db, "k2").await;
        db.execute("delete from deliveries").await;
        let draft = db.number("select max(id) from drafts").await;
        let id = db.number(&format!("select id from jobs where kind = 'DELIVER_REPLY' and subject_id = {draft}")).await;
        db.store.desk().cancel(id).await.unwrap();
        assert_eq!(db.texts(&format!("select status || ' ' || blocked_by from drafts where id = {draft}")).await, ["approved cancelled"]);
    }

    /// Many runs at once, on two nodes: one marks.
    async fn g05_of_many_marks_at_once_one_counts(db: Fixture) {
        let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        for round in 0..10 {
            approved(&db, &format!("k{round}")).await;
            let job = claim(&db.store).await.unwrap();
            let (here, there) = (db.store.send_marker(), other.send_marker());
            let mut late = job.job.clone();
            late.run -= 1;
            let (one, two, three) = tokio::join!(here.mark(&job.job, open()), there.mark(&job.job, open()), here.mark(&late, open()));
            let marked = [one, two, three].into_iter().map(Result::unwrap).filter(|it| matches!(it, Marking::Marked(_))).count();
            assert_eq!(marked, if db.is_sqlite() { 2 } else { 1 }, "the run of this node only");
            assert_eq!(db.number(&format!("select attempts from deliveries where job_id = {}", job.job.id)).await, 1);
            assert!(end(&db.store, &job, Transition::Succeed(Vec::new()), sent()).await);
        }
    }
}
