//! How sends end: what providers report later, what accounts do meanwhile, and who is told.

use super::{
    changes::failed,
    inbox::PHONE,
    life::settle,
    opt_outs::erase,
    sends::{approved, claim, delivery, end, fail, mark, retry, sent, state},
    tools::{assert_whole, instant},
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, sms},
};
use postroom::{
    domain::{
        SendNews, Signal,
        event::{Direction, KeyKind},
        sending::{AccountState, AccountTrouble, SendEnd},
    },
    store::{
        Answer, AuditEntry, Claim, Content, DecisionError, DraftDecision, Inbound, Marking,
        SeenDraft, Settlement, Transition, Via,
    },
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// What was told of sends.
type Told = Arc<Mutex<Vec<String>>>;

/// Notes what is told of sends: `sms sent`, or `account disconnected`.
fn listen(db: &Fixture) -> Told {
    let told = Told::default();
    let noted = told.clone();
    db.store.tell_of_sends(Box::new(move |news| {
        noted.lock().unwrap().push(match news {
            SendNews::Draft { .. } => return,
            SendNews::Ended { channel, status, .. } => format!("{channel} {}", status.as_str()),
            SendNews::Account { state, .. } => {
                format!("account {}", state.map_or("well", AccountState::as_str))
            }
        });
    }));
    told
}

fn taken(told: &Told) -> Vec<String> {
    std::mem::take(&mut told.lock().unwrap())
}

/// A marked send of a new answer.
async fn marked(db: &Fixture, key: &str) -> Claim {
    approved(db, key).await;
    let job = claim(&db.store).await.unwrap();
    delivery(mark(&db.store, &job).await);
    job
}

fn done() -> Transition {
    Transition::Succeed(Vec::new())
}

/// The answer, as its provider tells it back under this id.
fn echo(id: &str) -> Inbound {
    let mut echo = sms("a", PHONE, id, "Hi");
    if let Content::Event { event, .. } = &mut echo.content
        && let Signal::Message(message) = &mut event.signal
    {
        message.direction = Direction::Outbound;
        message.provider_id = Some(id.to_owned());
        message.keys[0].kind = KeyKind::Sent;
    }
    echo
}

async fn put(db: &Fixture, inbound: Inbound) -> Answer {
    db.store.inbox().put(Arc::new([inbound])).await.unwrap().remove(0)
}

async fn decide(db: &Fixture, decision: DraftDecision) {
    let draft = db.number("select max(id) from drafts").await;
    let entry = AuditEntry {
        target: Some(draft.to_string()),
        ..AuditEntry::new("dana", Via::Api, "draft.decide")
    };
    db.store.desk().decide(draft, decision, SeenDraft::default(), entry).await.unwrap();
}

async fn resolve(db: &Fixture, is_sent: bool) {
    let id = db.number("select max(id) from deliveries").await;
    let entry = AuditEntry {
        target: Some(id.to_string()),
        ..AuditEntry::new("dana", Via::Api, "delivery.resolve")
    };
    db.store.desk().resolve(id, is_sent, entry).await.unwrap();
}

const APPROVE: DraftDecision =
    DraftDecision::Approve { undo: Duration::ZERO, max_attempts: 3, trace: None };

async fn blocked(db: &Fixture) -> Vec<String> {
    db.texts("select status || ' ' || coalesce(blocked_by, '-') from drafts").await
}

/// The end of a call that its provider answered so.
fn trouble(state: AccountState, seconds: u64) -> Option<SendEnd> {
    let account = AccountTrouble { state, pause: Duration::from_secs(seconds) };
    Some(SendEnd::NotSent { why: "no".to_owned(), account: Some(account) })
}

fn postpone() -> Transition {
    Transition::Postpone { after: Duration::ZERO }
}

on_both_databases! {
    /// The provider took the answer, tells nothing back, and reports later that it did not arrive.
    async fn g05_what_did_not_arrive_has_failed_and_may_be_sent_once_more(db: Fixture) {
        let told = listen(&db);
        let job = marked(&db, "k1").await;
        assert!(end(&db.store, &job, done(), sent()).await);
        let report = put(&db, failed("prov-1")).await;
        assert!(matches!(report, Answer::Recorded { message_id: Some(_), .. }), "{report:?}");
        assert_eq!(state(&db).await, ["failed", "approved", "succeeded"]);
        assert_eq!(blocked(&db).await, ["approved delivery_failed"]);
        assert_eq!(taken(&told), ["sms sent", "sms failed"]);
        // The report comes again, and so does the handler's word.
        assert!(matches!(put(&db, failed("prov-1")).await, Answer::Duplicate { .. }));
        assert!(!end(&db.store, &job, done(), sent()).await);
        assert_eq!(state(&db).await, ["failed", "approved", "succeeded"]);
        assert!(claim(&db.store).await.is_none(), "nobody sends it again but a person");
        // A person does, and takes it back before it is claimed.
        decide(&db, APPROVE).await;
        db.store.queue().make_due().await.unwrap();
        decide(&db, DraftDecision::Undo).await;
        assert_eq!(blocked(&db).await, ["pending -"]);
        // And again. The message that did not arrive stays.
        decide(&db, APPROVE).await;
        db.store.queue().make_due().await.unwrap();
        let job = claim(&db.store).await.unwrap();
        delivery(mark(&db.store, &job).await);
        let again = Some(SendEnd::Sent { provider_id: Some("prov-2".to_owned()) });
        assert!(end(&db.store, &job, done(), again).await);
        assert_eq!(state(&db).await, ["sent", "sent", "succeeded"]);
        let ours = "select provider_id || case when failed_at is null then '' else ' failed' end from messages \
            where direction = 'outbound' order by id";
        assert_eq!(db.texts(ours).await, ["prov-1 failed", "prov-2"]);
        assert_eq!(taken(&told), ["sms sent"]);
        assert_whole(&db).await;
    }

    async fn g05_a_report_is_not_overwritten_by_the_word_of_the_same_call(db: Fixture) {
        let told = listen(&db);
        let job = marked(&db, "k1").await;
        put(&db, echo("prov-1")).await;
        assert!(matches!(put(&db, failed("prov-1")).await, Answer::Recorded { .. }));
        assert_eq!(blocked(&db).await, ["approved delivery_failed"]);
        assert!(end(&db.store, &job, done(), sent()).await);
        assert_eq!(state(&db).await, ["failed", "approved", "succeeded"]);
        assert_eq!(taken(&told), ["sms sent", "sms failed"]);
    }

    /// Echo and report come in one group, and the node that sends dies.
    async fn g05_a_rescued_job_does_not_send_again_what_did_not_arrive(db: Fixture) {
        let job = marked(&db, "k1").await;
        db.store.inbox().put(Arc::new([echo("prov-1"), failed("prov-1")])).await.unwrap();
        assert_eq!(state(&db).await, ["failed", "approved", ""]);
        assert!(end(&db.store, &job, retry(), None).await);
        db.store.queue().make_due().await.unwrap();
        assert!(claim(&db.store).await.is_none(), "its job has ended");
        assert_eq!(blocked(&db).await, ["approved delivery_failed"]);
        assert_eq!(db.number("select count(*) from messages where direction = 'outbound'").await, 1);
    }

    /// Whoever ends a delivery, it is told once.
    async fn each_end_of_a_delivery_is_told_once(db: Fixture) {
        let told = listen(&db);
        // The handler's word, and again.
        let job = marked(&db, "k1").await;
        end(&db.store, &job, done(), sent()).await;
        end(&db.store, &job, done(), sent()).await;
        assert_eq!(taken(&told), ["sms sent"]);
        // The echo comes first.
        let job = marked(&db, "k2").await;
        put(&db, echo("e-2")).await;
        assert_eq!(taken(&told), ["sms sent"]);
        end(&db.store, &job, done(), Some(SendEnd::Sent { provider_id: Some("e-2".to_owned()) })).await;
        assert!(taken(&told).is_empty());
        // Nobody knows, and a person does.
        for (key, is_sent, word) in [("k3", true, "sms sent"), ("k4", false, "sms failed")] {
            let job = marked(&db, key).await;
            end(&db.store, &job, retry(), None).await;
            assert_eq!(taken(&told), ["sms uncertain"]);
            resolve(&db, is_sent).await;
            assert_eq!(taken(&told), [word]);
        }
        // What waits for its retry is cancelled, taken back, rejected, or not wanted any more.
        let not_called = || Some(SendEnd::NotCalled { after: Duration::ZERO });
        for (number, way) in ["cancel", "undo", "reject", "mark"].into_iter().enumerate() {
            let job = marked(&db, &format!("w{number}")).await;
            end(&db.store, &job, postpone(), not_called()).await;
            assert!(taken(&told).is_empty(), "{way}");
            match way {
                "cancel" => drop(db.store.desk().cancel(job.job.id).await.unwrap()),
                "undo" => decide(&db, DraftDecision::Undo).await,
                "reject" => decide(&db, DraftDecision::Reject { note: None }).await,
                _ => {
                    db.execute("update messages set deleted_at = sent_at").await;
                    db.store.queue().make_due().await.unwrap();
                    let job = claim(&db.store).await.unwrap();
                    let marking = mark(&db.store, &job).await;
                    assert!(matches!(marking, Marking::Never("message_deleted")), "{marking:?}");
                    assert_eq!(taken(&told), ["sms failed"], "{way}");
                    end(&db.store, &job, Transition::Cancel { reason: "x".to_owned() }, None).await;
                    continue;
                }
            }
            assert_eq!(taken(&told), ["sms failed"], "{way}");
        }
        assert!(taken(&told).is_empty());
    }

    async fn an_account_is_well_again_once_its_provider_takes_or_refuses_an_answer(db: Fixture) {
        let told = listen(&db);
        let why = || "x".to_owned();
        for (number, (word, is_well)) in [
            (sent(), true),
            (Some(SendEnd::Failed { why: why() }), true),
            (Some(SendEnd::Unsendable { why: why() }), false),
            (Some(SendEnd::NotSent { why: why(), account: None }), false),
            (Some(SendEnd::Unknown { why: why() }), false),
            (None, false),
        ]
        .into_iter()
        .enumerate()
        {
            let job = marked(&db, &format!("k{number}")).await;
            let (past, now) = (instant(&db, -1_000), instant(&db, 0));
            db.execute("delete from send_accounts").await;
            db.execute(&format!("insert into send_accounts values ('a', 'sms', 'disconnected', {past}, '401', {now})")).await;
            end(&db.store, &job, fail(), word).await;
            assert_eq!(db.number("select count(*) from send_accounts").await, i64::from(!is_well), "row {number}");
            assert_eq!(taken(&told).contains(&"account well".to_owned()), is_well, "row {number}");
        }
        // While it is paused, an answer is to an earlier call.
        let job = marked(&db, "k9").await;
        let later = instant(&db, 60_000);
        db.execute(&format!("update send_accounts set paused_until = {later}")).await;
        end(&db.store, &job, done(), sent()).await;
        assert_eq!(db.number("select count(*) from send_accounts").await, 1);
    }

    async fn of_two_pauses_the_longer_one_counts(db: Fixture) {
        use AccountState::{Disconnected, RateLimited};
        let told = listen(&db);
        let left = if db.is_sqlite() { "paused_until - cast(unixepoch('subsec') * 1000 as integer)" } else { "cast(extract(epoch from paused_until - now()) * 1000 as bigint)" };
        let left = format!("select {left} from send_accounts");
        let (one, other) = (marked(&db, "k1").await, marked(&db, "k2").await);
        end(&db.store, &one, postpone(), trouble(RateLimited, 3_600)).await;
        assert_eq!(taken(&told), ["account rate_limited"]);
        end(&db.store, &other, postpone(), trouble(Disconnected, 300)).await;
        assert!(db.number(&left).await > 3_000_000);
        assert_eq!(taken(&told), ["account disconnected"]);
        assert_eq!(db.texts("select state from send_accounts").await, ["disconnected"]);
        // In one group, too.
        db.execute("delete from send_accounts").await;
        let (one, other) = (marked(&db, "k3").await, marked(&db, "k4").await);
        let settlements = [(&one, 3_600), (&other, 60)].map(|(job, seconds)| Settlement {
            send: trouble(RateLimited, seconds),
            trace: None,
            ..settle(&db.store, job, postpone())
        });
        db.store.ledger().settle(Arc::new(settlements)).await.unwrap();
        assert!(db.number(&left).await > 3_000_000);
        assert_eq!(taken(&told), ["account rate_limited"]);
    }

    /// A send that waited for days is told back within a day of its call.
    async fn an_echo_is_matched_by_the_time_of_the_last_mark(db: Fixture) {
        let job = marked(&db, "k1").await;
        let hour = Duration::from_secs(3_600);
        end(&db.store, &job, Transition::Snooze { after: hour }, Some(SendEnd::NotCalled { after: hour })).await;
        let (long_ago, now) = (instant(&db, -200_000_000), instant(&db, -1));
        db.execute(&format!("update deliveries set created_at = {long_ago}, marked_at = {long_ago}")).await;
        db.execute(&format!("update job_later set run_at = {now}")).await;
        db.store.queue().make_due().await.unwrap();
        let job = claim(&db.store).await.unwrap();
        delivery(mark(&db.store, &job).await);
        put(&db, echo("e-1")).await;
        assert_eq!(state(&db).await[0], "sent");
        assert_eq!(db.number("select count(*) from messages where direction = 'outbound' and source = 'postroom'").await, 1);
    }

    async fn an_answer_that_a_person_resolves_is_dated_by_its_last_call(db: Fixture) {
        let job = marked(&db, "k1").await;
        let long_ago = instant(&db, -200_000_000);
        db.execute(&format!("update deliveries set created_at = {long_ago}")).await;
        end(&db.store, &job, retry(), None).await;
        resolve(&db, true).await;
        let at_mark = "select count(*) from messages m join deliveries d on d.message_id = m.id where m.sent_at > d.created_at";
        assert_eq!(db.number(at_mark).await, 1);
    }

    /// A send that waits for its account is not on the wire.
    async fn a_person_is_erased_while_an_answer_waits_for_its_account(db: Fixture) {
        let told = listen(&db);
        let job = marked(&db, "k1").await;
        let lead = job.job.lead_id.unwrap();
        let refused = erase(&db, lead, false).await;
        assert!(matches!(refused, Err(DecisionError::Conflict(_))), "{refused:?}");
        end(&db.store, &job, postpone(), trouble(AccountState::Disconnected, 300)).await;
        assert_eq!(state(&db).await[0], "sending");
        let erased = erase(&db, lead, false).await.unwrap();
        assert_eq!((erased.deliveries, erased.drafts), (1, 1));
        db.store.queue().make_due().await.unwrap();
        assert!(claim(&db.store).await.is_none());
        assert_eq!(taken(&told).first().map(String::as_str), Some("account disconnected"));
    }

    /// What was taken out of the configuration waits for nobody.
    async fn accounts_that_are_not_configured_are_not_told(db: Fixture) {
        let now = instant(&db, 0);
        db.execute(&format!("insert into send_accounts values ('gone', 'sms', 'disconnected', {now}, '401', {now})")).await;
        assert_eq!(db.store.desk().totals().await.unwrap().accounts, []);
    }
}
