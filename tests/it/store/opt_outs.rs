//! Opt-outs as facts: they stick, they are lifted by a person, and they outlive an erasure.

use super::{
    inbox::{
        PHONE, draft, is_accepted, is_duplicate, judges, message_of, put_one, with, with_message,
    },
    life::{claim, end},
    tools::{assert_whole, instant},
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, sms},
};
use postroom::{
    domain::{ChannelName, Effect, Identity, IdentityKind, OptOutSource, Sentiment, Signal},
    store::{Answer, AuditEntry, DecisionError, Erased, Inbound, Lifting, Transition, Via},
};
use std::sync::Arc;

const MAIL: &str = "dana@example.com";

fn entry(action: &'static str, id: i64) -> AuditEntry {
    let note = Some("as asked".to_owned());
    AuditEntry {
        target: Some(id.to_string()),
        note,
        ..AuditEntry::new("dana", Via::Command, action)
    }
}

/// A message of the lead with these identities.
fn by(key: &str, identities: &[(IdentityKind, &str)]) -> Inbound {
    let identities = identities.iter().map(|it| Identity::new(it.0, it.1)).collect();
    with(sms("a", PHONE, key, "hello"), |it| it.identities = identities)
}

fn phone() -> (IdentityKind, &'static str) {
    (IdentityKind::PHONE, PHONE)
}

fn mail() -> (IdentityKind, &'static str) {
    (IdentityKind::MAIL_ADDRESS, MAIL)
}

fn stop(inbound: Inbound) -> Inbound {
    with_message(inbound, |it| it.opt_out = Some("stop".to_owned()))
}

fn lead_of(answer: &Answer) -> i64 {
    match answer {
        Answer::Accepted { lead_id, .. } | Answer::Recorded { lead_id, .. } => *lead_id,
        other => panic!("{other:?}"),
    }
}

/// The opt-out that the lead shows, and no other.
fn shown() -> Lifting {
    Lifting::ShownAnd(Vec::new())
}

pub(super) async fn erase(
    db: &Fixture,
    id: i64,
    is_suppressed: bool,
) -> Result<Erased, DecisionError> {
    db.store.desk().erase(id, is_suppressed, entry("lead.erase", id)).await
}

/// Status, and reason of the opt-out, of a lead.
async fn state(db: &Fixture, id: i64) -> (String, String) {
    let one = async |column: &str| {
        db.texts(&format!("select {column} from leads where id = {id}")).await.remove(0)
    };
    (one("status").await, one("opted_out_reason").await)
}

/// The rows in all tables that belong to a lead.
async fn left_of(db: &Fixture, id: i64) -> i64 {
    let mut left = 0;
    for table in [
        "messages",
        "drafts",
        "deliveries",
        "lead_identities",
        "opt_outs",
        "labelled_examples",
        "model_calls",
    ] {
        left += db.number(&format!("select count(*) from {table} where lead_id = {id}")).await;
    }
    left + db
        .number(&format!("select count(*) from leads where id = {id} or merged_into = {id}"))
        .await
}

/// `PHONE` as people write it.
const AS_WRITTEN: &str = "+1 (555) 00-01";

const BORN: &str = "opted out before its data was erased";

on_both_databases! {
    async fn every_way_to_opt_out_leaves_its_fact(db: Fixture) {
        let words = put_one(&db, stop(by("k1", &[phone()]))).await;
        let provider = with(by("k2", &[mail()]), |it| it.signal = Signal::OptOut { reason: "unsubscribed".to_owned() });
        let provider = put_one(&db, provider).await;
        let judged = put_one(&db, by("k3", &[(IdentityKind::PHONE, "+15550003")])).await;
        for claimed in claim(&db.store, 10).await {
            let out = Effect::OptOut { channel: ChannelName("sms"), source: OptOutSource::Model, reason: "leave me alone".to_owned() };
            let effects = if claimed.job.message_id == Some(message_of(&judged)) { vec![out] } else { Vec::new() };
            assert!(end(&db.store, &claimed, Transition::Succeed(effects)).await);
        }
        let by_hand = lead_of(&put_one(&db, by("k4", &[(IdentityKind::PHONE, "+15550004")])).await);
        db.store.desk().opt_out(by_hand, entry("lead.opt_out", by_hand)).await.unwrap();
        let again = db.store.desk().opt_out(by_hand, entry("lead.opt_out", by_hand)).await;
        assert!(matches!(again, Err(DecisionError::Conflict(_))), "{again:?}");
        let leads = [lead_of(&words), lead_of(&provider), lead_of(&judged), by_hand];
        for (lead, source) in leads.into_iter().zip(["words", "provider", "model", "person"]) {
            let facts = db.store.desk().opt_outs(lead).await.unwrap();
            assert_eq!(facts.iter().map(|it| it.source.as_str()).collect::<Vec<_>>(), [source]);
            assert_eq!(state(&db, lead).await.0, "blacklisted");
        }
        assert_eq!(db.store.desk().opt_outs(lead_of(&words)).await.unwrap()[0].message_id, Some(message_of(&words)));
        assert_eq!(db.texts("select actor from audit where action = 'lead.opt_out'").await, ["dana"]);
    }

    /// D4: it holds when the webhook is answered, before any job has run. D24: whatever comes later
    /// does not lift it.
    async fn an_opt_out_holds_at_once_and_against_all_that_comes_later(db: Fixture) {
        let lead = lead_of(&put_one(&db, by("k1", &[phone()])).await);
        for claimed in claim(&db.store, 10).await {
            assert!(end(&db.store, &claimed, Transition::Succeed(vec![draft()])).await);
        }
        put_one(&db, stop(by("k2", &[phone()]))).await;
        assert_eq!(state(&db, lead).await, ("blacklisted".to_owned(), "stop".to_owned()));
        assert_eq!(db.texts("select status from drafts").await, ["rejected"]);
        for (key, change) in [
            ("k3", None),
            ("k4", Some(Signal::Category { name: Some("Interested".to_owned()), hint: Some(Sentiment::Interested), opt_out: false })),
            ("k5", Some(Signal::Hint { sentiment: Sentiment::Interested, word: "interested" })),
        ] {
            let inbound = match change {
                None => by(key, &[phone()]),
                Some(signal) => with(by(key, &[phone()]), |it| it.signal = signal),
            };
            put_one(&db, inbound).await;
            assert_eq!(state(&db, lead).await, ("blacklisted".to_owned(), "stop".to_owned()), "{key}");
        }
        for claimed in claim(&db.store, 10).await {
            assert!(end(&db.store, &claimed, Transition::Succeed(vec![judges(Sentiment::Interested), draft()])).await);
        }
        assert_eq!(state(&db, lead).await.0, "blacklisted");
        assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, 0);
        assert_eq!(db.number("select count(*) from opt_outs").await, 1);
    }

    async fn a_person_lifts_it_with_a_note_and_the_verdicts_count_again(db: Fixture) {
        let lead = lead_of(&put_one(&db, by("k1", &[phone()])).await);
        for claimed in claim(&db.store, 10).await {
            assert!(end(&db.store, &claimed, Transition::Succeed(vec![judges(Sentiment::Interested)])).await);
        }
        let lift = async || db.store.desk().lift_opt_out(lead, shown(), entry("lead.opt_out_lift", lead)).await;
        assert!(matches!(lift().await, Err(DecisionError::Conflict(_))));
        put_one(&db, stop(by("k2", &[phone()]))).await;
        lift().await.unwrap();
        assert_eq!(state(&db, lead).await, ("qualified".to_owned(), String::new()));
        let facts = db.store.desk().opt_outs(lead).await.unwrap();
        assert_eq!((facts[0].lifted_by.as_deref(), facts[0].lift_note.as_deref()), (Some("dana"), Some("as asked")));
        assert!(facts[0].lifted_at.is_some());
        assert_eq!(db.texts("select note from audit where action = 'lead.opt_out_lift'").await, ["as asked"]);
        put_one(&db, stop(by("k3", &[phone()]))).await;
        assert_eq!(state(&db, lead).await.0, "blacklisted");
        assert_eq!(db.number("select count(*) from opt_outs").await, 2);
    }

    /// A provider's category by mistake, and then the lead's own word.
    async fn a_lift_of_one_opt_out_never_ends_another_that_nobody_named(db: Fixture) {
        let do_not_contact = |key: &str| with(by(key, &[phone()]), |it| {
            it.signal = Signal::Category { name: Some("Do Not Contact".to_owned()), hint: None, opt_out: true };
        });
        let lead = lead_of(&put_one(&db, do_not_contact("k1")).await);
        let own = message_of(&put_one(&db, stop(by("k2", &[phone()]))).await);
        // What is said again is the same fact: the category, and the words of the message, which
        // its job finds, too.
        put_one(&db, do_not_contact("k3")).await;
        let found = |source| Effect::OptOut { channel: ChannelName("sms"), source, reason: "stop".to_owned() };
        for claimed in claim(&db.store, 10).await {
            assert!(end(&db.store, &claimed, Transition::Succeed(vec![found(OptOutSource::Words)])).await);
        }
        let facts = db.store.desk().opt_outs(lead).await.unwrap();
        let told: Vec<_> = facts.iter().map(|it| (it.source.as_str(), it.message_id)).collect();
        assert_eq!(told, [("provider", None), ("words", Some(own))]);
        assert_eq!(state(&db, lead).await.1, "Do Not Contact", "the oldest is shown");
        // A person notes it besides, but not twice.
        let note = async || db.store.desk().opt_out(lead, entry("lead.opt_out", lead)).await;
        note().await.unwrap();
        assert!(matches!(note().await, Err(DecisionError::Conflict(_))));
        let by_hand = db.store.desk().opt_outs(lead).await.unwrap().pop().unwrap().id;
        // Each that is not shown has to be named.
        let words = facts[1].id;
        let lift = async |named: &[i64]| {
            db.store.desk().lift_opt_out(lead, Lifting::ShownAnd(named.to_vec()), entry("lead.opt_out_lift", lead)).await
        };
        for named in [&[][..], &[by_hand]] {
            let Err(DecisionError::Conflict(why)) = lift(named).await else { panic!("it was lifted") };
            assert!(why.contains(&format!("{words} (words")) && why.contains(&format!("message {own})")), "{why}");
            assert_eq!(why.contains(&by_hand.to_string()), named.is_empty(), "{why}");
        }
        assert_eq!(state(&db, lead).await.0, "blacklisted");
        lift(&[words, by_hand]).await.unwrap();
        assert_ne!(state(&db, lead).await.0, "blacklisted");
        assert_eq!(db.number("select count(*) from opt_outs where lifted_at is null").await, 0);
        // Or all are lifted, whatever they are. What comes after a lift is a new fact.
        put_one(&db, do_not_contact("k4")).await;
        put_one(&db, stop(by("k5", &[phone()]))).await;
        assert_eq!(db.number("select count(*) from opt_outs where lifted_at is null").await, 2);
        db.store.desk().lift_opt_out(lead, Lifting::All, entry("lead.opt_out_lift", lead)).await.unwrap();
        assert_eq!(db.number("select count(*) from leads where opted_out_at is not null").await, 0);
    }

    /// However often the person came again and was erased, and by which identities.
    async fn one_lift_ends_all_suppressions_of_a_person_and_leaves_no_note(db: Fixture) {
        let first = lead_of(&put_one(&db, stop(by("k1", &[phone(), mail()]))).await);
        erase(&db, first, false).await.unwrap();
        let member = (postroom::channels::linkedin::MEMBER, "ACoAA1");
        let second = lead_of(&put_one(&db, by("k2", &[mail(), member])).await);
        assert_eq!(erase(&db, second, false).await.unwrap().suppressed, 1, "one is new");
        assert_eq!(db.number("select count(distinct opt_out_id) from suppressed").await, 1);
        let third = lead_of(&put_one(&db, by("k3", &[member])).await);
        db.store.desk().lift_opt_out(third, shown(), entry("lead.opt_out_lift", third)).await.unwrap();
        assert_eq!(db.number("select count(*) from suppressed").await, 0);
        // No erasure would find a note there.
        assert_eq!(db.number("select count(*) from opt_outs where lead_id is null and lift_note is not null").await, 0);
        assert_eq!(db.number("select count(*) from opt_outs where lead_id is null and lifted_by = 'dana'").await, 1);
        assert_eq!(db.number("select count(*) from opt_outs where lead_id is not null and lift_note = 'as asked'").await, 1);
    }

    async fn a_merge_keeps_the_opt_outs_of_both(db: Fixture) {
        let older = lead_of(&put_one(&db, by("k1", &[phone()])).await);
        let younger = lead_of(&put_one(&db, stop(by("k2", &[mail()]))).await);
        put_one(&db, by("k3", &[mail(), phone()])).await;
        assert_eq!(db.number(&format!("select count(*) from opt_outs where lead_id = {older}")).await, 1);
        assert_eq!(state(&db, older).await, ("blacklisted".to_owned(), "stop".to_owned()));
        let refused = erase(&db, younger, false).await;
        assert!(matches!(refused, Err(DecisionError::Conflict(_))), "{refused:?}");
    }

    async fn an_erased_person_who_opted_out_is_born_opted_out_again(db: Fixture) {
        let lead = lead_of(&put_one(&db, stop(by("k1", &[phone(), mail()]))).await);
        let erased = erase(&db, lead, false).await.unwrap();
        assert_eq!((erased.messages, erased.leads, erased.identities, erased.suppressed), (1, 1, 2, 2));
        assert_eq!(erased.cancelled_jobs, 1);
        assert_eq!(left_of(&db, lead).await, 0);
        assert_whole(&db).await;
        // Neither identity is there in clear.
        for value in [PHONE, MAIL] {
            assert_eq!(db.number(&format!("select count(*) from suppressed where identity_hash like '%{value}%'")).await, 0);
        }
        // A webhook that is repeated late brings nothing back.
        assert!(is_duplicate(&put_one(&db, stop(by("k1", &[phone(), mail()]))).await));
        assert_eq!(db.number("select count(*) from leads").await, 0);
        // By either identity, it is opted out from its first message on.
        let second = lead_of(&put_one(&db, by("k2", &[mail()])).await);
        assert_eq!(state(&db, second).await, ("blacklisted".to_owned(), BORN.to_owned()));
        assert_eq!(db.store.desk().opt_outs(second).await.unwrap()[0].source, "suppression");
        for claimed in claim(&db.store, 10).await {
            assert!(end(&db.store, &claimed, Transition::Succeed(vec![draft()])).await);
        }
        assert_eq!(db.number("select count(*) from drafts").await, 0);
        // Not for another client, and nobody else.
        let other = lead_of(&put_one(&db, with(sms("b", PHONE, "k1", "hello"), |_| ())).await);
        assert_eq!(state(&db, other).await.0, "new");
        let stranger = lead_of(&put_one(&db, by("k3", &[(IdentityKind::PHONE, "+15550009")])).await);
        assert_eq!(state(&db, stranger).await.0, "new");
        // A second erasure keeps it; a lift ends it for all identities of the person.
        erase(&db, second, false).await.unwrap();
        let third = lead_of(&put_one(&db, by("k4", &[mail()])).await);
        assert_eq!(state(&db, third).await.1, BORN);
        db.store.desk().lift_opt_out(third, shown(), entry("lead.opt_out_lift", third)).await.unwrap();
        assert_eq!(db.number("select count(*) from suppressed").await, 0);
        let fourth = lead_of(&put_one(&db, by("k5", &[phone()])).await);
        assert_eq!(state(&db, fourth).await.0, "new");
    }

    async fn one_who_did_not_opt_out_is_suppressed_only_on_demand(db: Fixture) {
        let lead = lead_of(&put_one(&db, by("k1", &[phone()])).await);
        assert_eq!(erase(&db, lead, false).await.unwrap().suppressed, 0);
        assert!(matches!(erase(&db, lead, false).await, Err(DecisionError::NotFound { .. })));
        let again = lead_of(&put_one(&db, by("k2", &[phone()])).await);
        assert_eq!(state(&db, again).await.0, "new");
        assert_eq!(erase(&db, again, true).await.unwrap().suppressed, 1);
        let last = lead_of(&put_one(&db, by("k3", &[phone()])).await);
        assert_eq!(state(&db, last).await.1, BORN);
    }

    async fn a_lead_that_claims_a_suppressed_identity_is_opted_out(db: Fixture) {
        let erased = lead_of(&put_one(&db, stop(by("k1", &[mail()]))).await);
        erase(&db, erased, false).await.unwrap();
        let lead = lead_of(&put_one(&db, by("k2", &[phone()])).await);
        for claimed in claim(&db.store, 10).await {
            assert!(end(&db.store, &claimed, Transition::Succeed(vec![draft()])).await);
        }
        assert_eq!(db.texts("select status from drafts").await, ["pending"]);
        assert_eq!(lead_of(&put_one(&db, by("k3", &[phone(), mail()])).await), lead);
        assert_eq!(state(&db, lead).await, ("blacklisted".to_owned(), BORN.to_owned()));
        assert_eq!(db.texts("select decided_by from drafts").await, ["opt_out"]);
        // Two leads that meet in the group that makes them are one, and opted out once.
        let linkedin = (postroom::channels::linkedin::MEMBER, "ACoAA1");
        let whole = put_one(&db, stop(by("k4", &[linkedin]))).await;
        erase(&db, lead_of(&whole), false).await.unwrap();
        let phone = (IdentityKind::PHONE, "+15550007");
        let group = Arc::new([by("k5", &[phone]), by("k6", &[linkedin]), by("k7", &[phone, linkedin])]);
        let answers = db.store.inbox().put(group).await.unwrap();
        assert!(answers.iter().all(is_accepted), "{answers:?}");
        let made = lead_of(&answers[0]);
        assert_eq!(state(&db, made).await.1, BORN);
        assert_eq!(db.store.desk().opt_outs(made).await.unwrap().len(), 1);
    }

    async fn nothing_of_a_person_is_left_and_others_are_untouched(db: Fixture) {
        let lead = lead_of(&put_one(&db, by("k1", &[phone(), mail()])).await);
        let other = lead_of(&put_one(&db, by("o1", &[(IdentityKind::PHONE, "+15550009")])).await);
        let group: Vec<Inbound> = (2..=450).map(|n| by(&format!("k{n}"), &[phone()])).collect();
        let last = db.store.inbox().put(group.into()).await.unwrap().pop().unwrap();
        for claimed in claim(&db.store, 10).await {
            let is_mine = claimed.job.lead_id == Some(lead);
            let transition = if is_mine { Transition::Fail { error: "to dana@example.com".to_owned(), reason: postroom::domain::job::FailureReason::Error } } else { Transition::Succeed(vec![draft()]) };
            assert!(end(&db.store, &claimed, transition).await);
        }
        let now = instant(&db, 0);
        db.execute(&format!(
            "insert into deliveries (id, client_id, lead_id, message_id, channel, status, text_key, created_at, marked_run) \
             values (5, 'a', {lead}, 1, 'sms', 'sending', 'k', {now}, 1)"
        )).await;
        let message = message_of(&last);
        db.execute(&format!(
            "insert into labelled_examples (id, client_id, lead_id, message_id, channel, kind, body, opt_out, decided_by, created_at) \
             values (6, 'a', {lead}, {message}, 'sms', 'tag', 'hello', {}, 'dana', {now})",
            if db.is_sqlite() { "0" } else { "false" }
        )).await;
        db.execute(&format!(
            "insert into model_calls (id, kind, feature, prompt, model, status, latency_ms, retry, client_id, lead_id, job_id, node, created_at) \
             values (6, 'SMS_INBOUND_POST_PROCESS', 'classify', 'classify.v1', 'm', 'ok', 9, 0, 'a', {lead}, 1, 1, {now}), \
               (7, 'SMS_INBOUND_POST_PROCESS', 'classify', 'classify.v1', 'm', 'ok', 9, 0, 'a', {other}, 2, 1, {now})"
        )).await;
        db.execute(&format!(
            "insert into audit (id, happened_at, actor, via, action, target, old_value, new_value, note) \
             values (7, {now}, 'dana', 'api', 'draft.edit', '{message}', 'Hi Dana', 'Hello Dana', 'her name')"
        )).await;
        for (id, client, body) in [
            (8, "a", "to DANA@example.com"),
            (9, "b", "to dana@example.com"),
            (10, "a", "to nobody"),
            (11, "a", &format!("{AS_WRITTEN} {}", "x".repeat(2 << 20))),
        ] {
            db.execute(&format!(
                "insert into quarantine (id, client_id, channel, body_hash, reason, status, count, payload, size, received_at, last_received_at) \
                 values ({id}, '{client}', 'sms', 'h{id}', 'unknown_event', 'held', 1, '{body}', 20, {now}, {now})"
            )).await;
        }
        db.execute("insert into quarantine_room (client_id, items, bytes) values ('a', 3, 60)").await;
        // What is on the wire is not erased.
        let refused = erase(&db, lead, false).await;
        assert!(matches!(refused, Err(DecisionError::Conflict(_))), "{refused:?}");
        assert_eq!(db.number(&format!("select count(*) from messages where lead_id = {lead}")).await, 450);
        db.execute("update deliveries set marked_run = null where id = 5").await;
        let running = claim(&db.store, 1).await.pop();
        let erased = erase(&db, lead, false).await.unwrap();
        assert_eq!((erased.messages, erased.deliveries, erased.examples, erased.quarantined), (450, 1, 1, 2));
        assert_eq!((erased.calls, db.number("select count(*) from model_calls").await), (1, 1));
        assert!(erased.cancelled_jobs > 400, "{erased:?}");
        assert_eq!(left_of(&db, lead).await, 0);
        assert_eq!(db.number("select count(*) from job_attempts where error like '%dana%'").await, 0);
        assert_eq!(db.number("select count(*) from audit where new_value like '%Dana%' or note = 'her name'").await, 0);
        assert_eq!(db.number("select items from quarantine_room where client_id = 'a'").await, 1);
        assert_eq!(db.texts("select action from audit where note = 'as asked'").await, ["lead.erase"]);
        // A run of a job that was cancelled changes nothing any more.
        if let Some(running) = running.filter(|it| it.job.lead_id == Some(lead)) {
            assert!(!end(&db.store, &running, Transition::Succeed(vec![draft()])).await);
        }
        assert_eq!(db.number(&format!("select count(*) from messages where lead_id = {other}")).await, 1);
        assert_eq!(db.number(&format!("select count(*) from drafts where lead_id = {other}")).await, 1);
        assert_eq!(db.number("select count(*) from drafts").await, 1);
        assert_whole(&db).await;
    }
}
