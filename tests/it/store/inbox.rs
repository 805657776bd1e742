//! The changes that a group of webhooks makes to messages, leads, drafts and lines.

use super::{
    life::{claim, end},
    tools::instant,
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, event, job_of, sms},
};
use postroom::{
    domain::{
        CampaignRef, ChannelName, Effect, Identity, IdentityKind, JudgedBy, Sentiment, Signal,
        Timestamp,
        event::{Direction, Event, KeyKind, MessageKey, NewMessage},
    },
    store::{Answer, Content, Inbound, Transition, commit_isolating, wall_clock},
};
use std::sync::Arc;

pub(super) const PHONE: &str = "+15550001";

/// Changes the event of a webhook.
pub(super) fn with(mut inbound: Inbound, change: impl FnOnce(&mut Event)) -> Inbound {
    if let Content::Event { event, .. } = &mut inbound.content {
        change(event);
    }
    inbound
}

/// Changes the message of a webhook.
pub(super) fn with_message(inbound: Inbound, change: impl FnOnce(&mut NewMessage)) -> Inbound {
    with(inbound, |event| match &mut event.signal {
        Signal::Message(message) => change(message),
        other => panic!("{other:?}"),
    })
}

pub(super) fn at(inbound: Inbound, at: Timestamp) -> Inbound {
    with(inbound, |event| event.at = at)
}

pub(super) fn keyed(inbound: Inbound, keys: &[&str]) -> Inbound {
    with_message(inbound, |message| {
        message.keys = keys
            .iter()
            .map(|key| MessageKey { kind: KeyKind::Reply, key: (*key).to_owned(), expires: false })
            .collect();
    })
}

fn expiring(inbound: Inbound) -> Inbound {
    with_message(inbound, |message| {
        for key in &mut message.keys {
            key.expires = true;
        }
    })
}

/// An event about the lead with `PHONE`.
fn signal(client: &str, signal: Signal) -> Inbound {
    event(client, "sms", vec![Identity::new(IdentityKind::PHONE, PHONE)], signal, wall_clock())
}

pub(super) async fn put_one(db: &Fixture, inbound: Inbound) -> Answer {
    db.store.inbox().put(Arc::new([inbound])).await.unwrap().remove(0)
}

pub(super) fn is_duplicate(answer: &Answer) -> bool {
    matches!(answer, Answer::Duplicate { .. })
}

pub(super) fn is_accepted(answer: &Answer) -> bool {
    matches!(answer, Answer::Accepted { .. })
}

/// The message of an answer.
pub(super) fn message_of(answer: &Answer) -> i64 {
    match answer {
        Answer::Accepted { message_id, .. } => *message_id,
        Answer::Duplicate { message_id, .. } | Answer::Recorded { message_id, .. } => {
            message_id.unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// The head's job is claimed and ended with these effects.
pub(super) async fn work_off(db: &Fixture, effects: Vec<Effect>) {
    let claims = claim(&db.store, 1).await;
    assert_eq!(claims.len(), 1);
    assert!(end(&db.store, &claims[0], Transition::Succeed(effects)).await);
}

/// By which rules [`judges`] judges.
pub(super) const RULES: &str = "local 01234567";

/// The verdict of rules.
pub(super) fn judges(tag: Sentiment) -> Effect {
    Effect::Judge { tag, by: Some(JudgedBy::rules("01234567")) }
}

pub(super) fn draft() -> Effect {
    Effect::AddDraft {
        channel: ChannelName("sms"),
        subject: None,
        body: "Hi".to_owned(),
        parts: vec!["Hi".to_owned()],
        facts: postroom::domain::outcome::DraftFacts::default(),
    }
}

const POISON: &str = "poison";

/// Makes the database refuse messages whose text is `POISON`; PostgreSQL refuses a NUL by itself.
pub(super) async fn refuse_poison(db: &Fixture) {
    if db.is_sqlite() {
        db.execute(&format!(
            "create trigger no_poison before insert on messages when new.body = '{POISON}' begin select raise(abort, 'no'); end"
        ))
        .await;
    }
}

pub(super) fn poisoned(db: &Fixture, inbound: Inbound) -> Inbound {
    let is_sqlite = db.is_sqlite();
    with_message(inbound, |message| {
        if is_sqlite {
            message.body = POISON.to_owned();
        } else {
            message.subject = Some("a\0b".to_owned());
        }
    })
}

on_both_databases! {
    async fn what_is_told_of_a_lead_in_the_group_that_makes_it_is_kept(db: Fixture) {
        let at = postroom::store::wall_clock();
        let identity = postroom::domain::Identity::new(postroom::domain::IdentityKind::PHONE, "+15550001");
        let signal = postroom::domain::Signal::DoNotDisturb { active: true };
        let dnd = crate::support::fixture::event("a", "sms", vec![identity], signal, at);
        let group = [crate::support::fixture::sms("a", "+15550001", "k1", "hello"), dnd];
        let answers = db.store.inbox().put(std::sync::Arc::new(group)).await.unwrap();
        assert!(matches!(answers[1], postroom::store::Answer::Recorded { .. }), "{answers:?}");
        assert_eq!(db.number("select count(*) from leads where sms_dnd").await, 1);
    }

    async fn a_webhook_that_cannot_be_stored_does_not_fail_its_neighbours(db: Fixture) {
        refuse_poison(&db).await;
        let mut group: Vec<Inbound> =
            (0..23).map(|n| sms("a", &format!("+1555{:04}", n % 7), &format!("k{n}"), "hello")).collect();
        for culprit in [3, 17] {
            group[culprit] = poisoned(&db, group[culprit].clone());
        }
        let inbox = db.store.inbox();
        let results = commit_isolating(group.into(), |some| {
            let inbox = inbox.clone();
            async move { inbox.put(some).await }
        })
        .await;
        assert_eq!(results.len(), 23);
        for (n, result) in results.iter().enumerate() {
            match result {
                Ok(answer) => assert!(is_accepted(answer) && n != 3 && n != 17, "{n}: {answer:?}"),
                Err(it) if it.is_data() => assert!(n == 3 || n == 17, "{n}"),
                Err(other) => panic!("{n}: {other:?}"),
            }
        }
        assert_eq!(db.number("select count(*) from messages").await, 21);
        assert_eq!(db.number("select count(*) from message_keys").await, 21);
        assert_eq!(db.number("select count(*) from leads").await, 7);
    }

    /// The error names no value: those are people's words.
    async fn an_error_of_the_data_does_not_quote_it(db: Fixture) {
        refuse_poison(&db).await;
        let group = Arc::new([poisoned(&db, sms("a", PHONE, "secret key", "secret words"))]);
        let error = db.store.inbox().put(group).await.unwrap_err();
        assert!(error.is_data());
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    async fn an_expiring_key_counts_until_it_expires(db: Fixture) {
        let first = put_one(&db, expiring(sms("a", PHONE, "content:1", "hello"))).await;
        assert!(is_accepted(&first));
        let again = put_one(&db, expiring(sms("a", PHONE, "content:1", "hello"))).await;
        assert!(is_duplicate(&again));
        assert_eq!(message_of(&again), message_of(&first));
        db.execute(&format!("update message_keys set expires_at = {}", instant(&db, -1_000))).await;
        let later = put_one(&db, expiring(sms("a", PHONE, "content:1", "hello"))).await;
        assert!(is_accepted(&later), "{later:?}");
        assert_ne!(message_of(&later), message_of(&first));
        let again = put_one(&db, expiring(sms("a", PHONE, "content:1", "hello"))).await;
        assert_eq!(message_of(&again), message_of(&later), "the key names the newer one, and counts again");
        assert_eq!(db.number("select count(*) from message_keys").await, 1);
    }

    async fn a_key_that_does_not_expire_is_known_for_ever(db: Fixture) {
        let first = put_one(&db, sms("a", PHONE, "k1", "hello")).await;
        assert_eq!(db.number("select count(*) from message_keys where expires_at is not null").await, 0);
        let again = put_one(&db, expiring(sms("a", PHONE, "k1", "hello"))).await;
        assert_eq!(message_of(&again), message_of(&first));
        assert_eq!(db.number("select count(*) from message_keys where expires_at is not null").await, 0);
    }

    async fn keys_of_two_clients_and_of_two_channels_do_not_meet(db: Fixture) {
        let other_channel = Inbound { channel: ChannelName("linkedin"), ..sms("a", PHONE, "k1", "hello") };
        let group = Arc::new([sms("a", PHONE, "k1", "hello"), sms("b", PHONE, "k1", "hello"), other_channel]);
        let answers = db.store.inbox().put(group).await.unwrap();
        assert!(answers.iter().all(is_accepted), "{answers:?}");
        assert_eq!(db.number("select count(*) from leads").await, 2);
        assert_eq!(db.number("select count(*) from messages").await, 3);
    }

    async fn a_message_is_known_by_each_of_its_keys_and_learns_new_ones(db: Fixture) {
        let first = put_one(&db, keyed(sms("a", PHONE, "", "hello"), &["k1", "k2"])).await;
        assert!(is_accepted(&first));
        let by_new = put_one(&db, keyed(sms("a", PHONE, "", "hello"), &["k2", "k3"])).await;
        assert!(is_duplicate(&by_new));
        let by_newest = put_one(&db, keyed(sms("a", PHONE, "", "hello"), &["k3", "k4"])).await;
        assert!(is_duplicate(&by_newest), "the new key was remembered");
        for answer in [&by_new, &by_newest] {
            assert_eq!(message_of(answer), message_of(&first));
        }
        assert_eq!(db.number("select count(*) from messages").await, 1);
        assert_eq!(db.number("select count(*) from message_keys").await, 4);
        assert_eq!(db.number("select count(distinct message_id) from message_keys").await, 1);
    }

    async fn duplicates_within_a_group_have_the_ids_of_the_first(db: Fixture) {
        let group = Arc::new([
            keyed(sms("a", PHONE, "", "hello"), &["k1"]),
            keyed(sms("a", PHONE, "", "hello"), &["k2", "k1"]),
            keyed(sms("a", PHONE, "", "hello"), &["k3", "k2"]),
            keyed(sms("a", PHONE, "", "other"), &["k4"]),
        ]);
        let answers = db.store.inbox().put(group).await.unwrap();
        assert!(is_accepted(&answers[0]) && is_accepted(&answers[3]), "{answers:?}");
        for answer in &answers[1..3] {
            assert_eq!(message_of(answer), message_of(&answers[0]));
            assert!(matches!(answer, Answer::Duplicate { job_id: Some(id), .. } if *id == job_of(&answers[0])));
        }
        assert_eq!(db.number("select count(distinct message_id) from message_keys").await, 2);
    }

    /// The first of a group turns out to be known by a key that only a later one brings.
    async fn a_duplicate_in_a_group_reveals_that_its_first_was_stored_before(db: Fixture) {
        let stored = put_one(&db, keyed(sms("a", PHONE, "", "hello"), &["k1"])).await;
        let group = Arc::new([
            keyed(sms("a", PHONE, "", "hello"), &["k2"]),
            keyed(sms("a", PHONE, "", "hello"), &["k2", "k1"]),
        ]);
        let answers = db.store.inbox().put(group).await.unwrap();
        assert!(answers.iter().all(|it| message_of(it) == message_of(&stored)), "{answers:?}");
        assert_eq!(db.number("select count(*) from messages").await, 1);
        assert_eq!(db.number("select count(distinct message_id) from message_keys").await, 1);
    }

    async fn an_opt_out_stops_all_channels_and_rejects_drafts(db: Fixture) {
        put_one(&db, sms("a", PHONE, "k1", "hello")).await;
        work_off(&db, vec![draft()]).await;
        assert_eq!(db.texts("select status from drafts").await, ["pending"]);
        let out = Signal::OptOut { reason: "lead_unsubscribed".to_owned() };
        let answer = put_one(&db, signal("a", out.clone())).await;
        assert!(matches!(answer, Answer::Recorded { message_id: None, reason: "unsubscribe", .. }), "{answer:?}");
        assert_eq!(db.texts("select status from leads").await, ["blacklisted"]);
        assert_eq!(db.texts("select opted_out_reason from leads").await, ["lead_unsubscribed"]);
        assert_eq!(db.texts("select status from drafts").await, ["rejected"]);
        assert_eq!(db.texts("select decided_by from drafts").await, ["opt_out"]);
        assert!(is_duplicate(&put_one(&db, signal("a", out.clone())).await));
        // An unknown lead is made, so that it stays opted out.
        let unknown = event("a", "sms", vec![Identity::new(IdentityKind::PHONE, "+15559999")], out, wall_clock());
        assert!(matches!(put_one(&db, unknown).await, Answer::Recorded { .. }));
        assert_eq!(db.number("select count(*) from leads where opted_out_at is not null").await, 2);
        // A draft that is added later is not: the barrier is judged under the lead's lock.
        put_one(&db, sms("a", PHONE, "k2", "hello again")).await;
        work_off(&db, vec![draft(), judges(Sentiment::Interested)]).await;
        assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, 0);
        assert_eq!(db.texts("select status from leads where opted_out_reason is not null order by id limit 1").await, ["blacklisted"]);
    }

    async fn words_of_opt_out_in_a_message_count_at_once(db: Fixture) {
        let stop = with_message(sms("a", PHONE, "k1", "STOP"), |it| it.opt_out = Some("stop".to_owned()));
        let answer = put_one(&db, stop).await;
        assert!(is_accepted(&answer));
        assert_eq!(db.number("select opted_out_message_id from leads").await, message_of(&answer));
        assert_eq!(db.texts("select opted_out_channel from leads").await, ["sms"]);
    }

    async fn a_bounce_is_recorded_once_and_lifted_by_mail_from_that_address(db: Fixture) {
        let mail = |inbound: Inbound| Inbound { channel: ChannelName("email"), ..inbound };
        let bounce = Signal::Bounce { address: "x@example.com".to_owned(), reason: Some("full".to_owned()), found_in_text: false };
        let answer = put_one(&db, mail(signal("a", bounce.clone()))).await;
        assert!(matches!(answer, Answer::Recorded { reason: "bounce", .. }), "{answer:?}");
        assert!(is_duplicate(&put_one(&db, mail(signal("a", bounce))).await));
        assert_eq!(db.texts("select bounced_address from leads").await, ["x@example.com"]);
        assert_eq!(db.texts("select status from leads").await, ["blacklisted"]);
        let other = Signal::Bounce { address: "y@example.com".to_owned(), reason: None, found_in_text: false };
        assert!(matches!(put_one(&db, mail(signal("a", other))).await, Answer::Recorded { .. }));
        let reply = with_message(mail(sms("a", PHONE, "k1", "hello")), |it| {
            it.from.address = Some("y@example.com".to_owned());
        });
        assert!(is_accepted(&put_one(&db, reply).await));
        assert_eq!(db.texts("select bounced_address from leads").await, [""]);
        assert_eq!(db.texts("select status from leads").await, ["new"]);
    }

    async fn do_not_disturb_is_a_state_of_a_known_lead(db: Fixture) {
        let dnd = |active| signal("a", Signal::DoNotDisturb { active });
        assert_eq!(put_one(&db, dnd(true)).await, Answer::Ignored { reason: "unknown_lead" });
        assert_eq!(db.number("select count(*) from leads").await, 0);
        put_one(&db, sms("a", PHONE, "k1", "hello")).await;
        assert!(matches!(put_one(&db, dnd(true)).await, Answer::Recorded { reason: "do_not_disturb", .. }));
        assert!(is_duplicate(&put_one(&db, dnd(true)).await));
        work_off(&db, vec![draft()]).await;
        assert_eq!(db.number("select count(*) from drafts").await, 0, "no draft past the barrier");
        assert!(matches!(put_one(&db, dnd(false)).await, Answer::Recorded { .. }));
        assert_eq!(db.number("select count(*) from leads where sms_dnd").await, 0);
    }

    async fn a_relation_connects_a_known_lead_once(db: Fixture) {
        let relation = || signal("a", Signal::Connected);
        assert_eq!(put_one(&db, relation()).await, Answer::Ignored { reason: "unknown_lead" });
        put_one(&db, sms("a", PHONE, "k1", "hello")).await;
        assert!(matches!(put_one(&db, relation()).await, Answer::Recorded { reason: "connected", .. }));
        assert_eq!(db.number("select count(*) from leads where connected_at is not null").await, 1);
        assert!(is_duplicate(&put_one(&db, relation()).await));
        // In one group with the message that makes the lead.
        let both = [sms("b", PHONE, "k1", "hello"), signal("b", Signal::Connected)];
        db.store.inbox().put(Arc::new(both)).await.unwrap();
        assert_eq!(db.number("select count(*) from leads where connected_at is not null").await, 2);
    }

    async fn a_category_is_a_hint_or_an_opt_out(db: Fixture) {
        let category = |hint, opt_out| {
            signal("a", Signal::Category { name: Some("Do Not Contact".to_owned()), hint, opt_out })
        };
        let hint = || category(Some(Sentiment::Interested), false);
        assert_eq!(put_one(&db, hint()).await, Answer::Ignored { reason: "unknown_lead" });
        put_one(&db, sms("a", PHONE, "k1", "one")).await;
        assert!(matches!(put_one(&db, hint()).await, Answer::Recorded { reason: "category", .. }));
        assert_eq!(db.texts("select sentiment from messages").await, ["Interested"]);
        assert!(matches!(put_one(&db, category(None, true)).await, Answer::Recorded { reason: "category", .. }));
        assert!(is_duplicate(&put_one(&db, category(None, true)).await));
        assert_eq!(db.texts("select opted_out_reason from leads").await, ["Do Not Contact"]);
        let other = with(category(None, true), |event| {
            event.identities = vec![Identity::new(IdentityKind::MAIL_ADDRESS, "x@example.com")];
        });
        assert!(matches!(put_one(&db, other).await, Answer::Recorded { .. }), "an opt-out makes its lead");
    }

    async fn what_names_no_lead_makes_none(db: Fixture) {
        let nobody = |signal_of| with(signal("a", signal_of), |event| event.identities.clear());
        let deleted = nobody(Signal::Deleted { keys: Vec::new() });
        assert_eq!(put_one(&db, deleted).await, Answer::Ignored { reason: "unknown_message" });
        let in_group = with(sms("a", PHONE, "k1", "hello"), |event| {
            event.identities.clear();
            event.lead_of_chat = Some("chat".to_owned());
        });
        assert_eq!(put_one(&db, in_group).await, Answer::Ignored { reason: "group_chat" });
        let report = Signal::Bounce { address: "x@example.com".to_owned(), reason: None, found_in_text: true };
        assert_eq!(put_one(&db, signal("a", report)).await, Answer::Ignored { reason: "unknown_lead" });
        assert_eq!(db.number("select count(*) from leads").await, 0);
    }

    async fn a_hint_fills_in_only_what_is_not_judged_or_neutral(db: Fixture) {
        let hint = |sentiment| signal("a", Signal::Hint { sentiment, word: "interested" });
        assert_eq!(put_one(&db, hint(Sentiment::Interested)).await, Answer::Ignored { reason: "unknown_lead" });
        put_one(&db, sms("a", PHONE, "k1", "one")).await;
        let answer = put_one(&db, hint(Sentiment::Interested)).await;
        assert!(matches!(answer, Answer::Recorded { reason: "interested", .. }), "{answer:?}");
        assert_eq!(db.texts("select sentiment from messages").await, ["Interested"]);
        assert_eq!(db.texts("select status from leads").await, ["qualified"]);
        let late = put_one(&db, hint(Sentiment::NotInterested)).await;
        assert!(is_duplicate(&late), "judged already: {late:?}");
        assert_eq!(db.texts("select sentiment from messages").await, ["Interested"]);
        work_off(&db, Vec::new()).await;

        let second = put_one(&db, sms("a", PHONE, "k2", "two")).await;
        work_off(&db, vec![judges(Sentiment::Neutral)]).await;
        assert!(matches!(put_one(&db, hint(Sentiment::NotInterested)).await, Answer::Recorded { .. }));
        let of_second = format!("select sentiment from messages where id = {}", message_of(&second));
        assert_eq!(db.texts(&of_second).await, ["Not Interested"]);
        assert_eq!(db.texts("select status from leads").await, ["not-interested"]);
    }

    /// A hint that is older than the newest message is about the one before.
    async fn a_hint_is_about_the_newest_message_of_its_time(db: Fixture) {
        let now = wall_clock();
        let first = put_one(&db, at(sms("a", PHONE, "k1", "one"), now.plus_millis(-60_000))).await;
        put_one(&db, at(sms("a", PHONE, "k2", "two"), now)).await;
        let hint = signal("a", Signal::Hint { sentiment: Sentiment::Interested, word: "interested" });
        put_one(&db, at(hint, now.plus_millis(-30_000))).await;
        let judged = "select cast(id as text) from messages where sentiment is not null";
        assert_eq!(db.texts(judged).await, [message_of(&first).to_string()]);
        assert_eq!(db.texts("select status from leads").await, ["new"], "it does not speak for the lead");
    }

    async fn a_duplicate_that_brings_a_verdict_records_it(db: Fixture) {
        let first = put_one(&db, sms("a", PHONE, "k1", "one")).await;
        let hinted = with_message(sms("a", PHONE, "k1", "one"), |it| it.hint = Some(Sentiment::Interested));
        let answer = put_one(&db, hinted.clone()).await;
        assert!(matches!(answer, Answer::Recorded { message_id: Some(id), .. } if id == message_of(&first)), "{answer:?}");
        assert_eq!(db.texts("select sentiment from messages").await, ["Interested"]);
        assert!(is_duplicate(&put_one(&db, hinted).await));
    }

    async fn an_outbound_message_is_recorded_without_a_job(db: Fixture) {
        let sent = with_message(sms("a", PHONE, "s1", "hi there"), |it| {
            it.direction = Direction::Outbound;
            it.keys[0].kind = KeyKind::Sent;
        });
        let answer = put_one(&db, sent.clone()).await;
        assert!(matches!(answer, Answer::Recorded { message_id: Some(_), reason: "outbound", .. }), "{answer:?}");
        let again = put_one(&db, sent).await;
        assert!(matches!(again, Answer::Duplicate { job_id: None, .. }), "{again:?}");
        assert_eq!(message_of(&again), message_of(&answer));
        assert_eq!(db.number("select count(*) from jobs").await, 0);
        assert_eq!(db.number("select count(*) from leads where last_outbound_at is not null and newest_inbound_id is null").await, 1);
        // The same id of an inbound message is another key.
        assert!(is_accepted(&put_one(&db, sms("a", PHONE, "s1", "hello")).await));
    }

    async fn a_late_message_is_applied_and_does_not_become_the_newest(db: Fixture) {
        let now = wall_clock();
        let newest = put_one(&db, at(sms("a", PHONE, "k1", "new"), now)).await;
        work_off(&db, vec![judges(Sentiment::Interested), draft()]).await;
        let late = put_one(&db, at(sms("a", PHONE, "k2", "old"), now.plus_millis(-3_600_000))).await;
        assert!(is_accepted(&late));
        assert_eq!(db.number("select newest_inbound_id from leads").await, message_of(&newest));
        assert_eq!(db.texts("select status from drafts").await, ["pending"], "the draft answers the newest");
        work_off(&db, vec![judges(Sentiment::NotInterested), draft()]).await;
        let verdict = format!("select sentiment from messages where id = {}", message_of(&late));
        assert_eq!(db.texts(&verdict).await, ["Not Interested"], "it has its own verdict");
        assert_eq!(db.texts("select status from leads").await, ["qualified"], "which does not speak for the lead");
        assert_eq!(db.number("select message_id from drafts").await, message_of(&newest));
    }

    async fn a_newer_message_supersedes_the_pending_drafts_of_all_channels(db: Fixture) {
        put_one(&db, sms("a", PHONE, "k1", "one")).await;
        let mail = Effect::AddDraft { channel: ChannelName("email"), subject: None, body: "Hi".to_owned(), parts: Vec::new(), facts: postroom::domain::outcome::DraftFacts::default() };
        work_off(&db, vec![draft(), mail]).await;
        assert_eq!(db.texts("select status from drafts").await, ["pending", "pending"]);
        let newer = put_one(&db, sms("a", PHONE, "k2", "two")).await;
        assert_eq!(db.texts("select status from drafts").await, ["superseded", "superseded"]);
        assert_eq!(db.texts("select distinct decided_by from drafts").await, ["newer_message"]);
        work_off(&db, vec![draft()]).await;
        let pending = "select message_id from drafts where status = 'pending'";
        assert_eq!(db.number(pending).await, message_of(&newer));
    }

    async fn the_same_identities_in_one_group_make_one_lead(db: Fixture) {
        let by = |key: &str, identities: &[(IdentityKind, &str)]| {
            let identities = identities.iter().map(|it| Identity::new(it.0, it.1)).collect();
            with(sms("a", PHONE, key, "hello"), |it| it.identities = identities)
        };
        let (phone, mail) = ((IdentityKind::PHONE, PHONE), (IdentityKind::MAIL_ADDRESS, "x@example.com"));
        let group = Arc::new([by("k1", &[phone]), by("k2", &[mail, phone]), by("k3", &[mail])]);
        let answers = db.store.inbox().put(group).await.unwrap();
        assert!(answers.iter().all(is_accepted), "{answers:?}");
        assert_eq!(db.number("select count(*) from leads").await, 1);
        assert_eq!(db.number("select count(*) from lead_identities").await, 2);
        assert_eq!(db.number("select count(*) from job_ready").await, 1);
        assert_eq!(db.number("select count(*) from job_blocked").await, 2);
        assert!(is_accepted(&put_one(&db, by("k4", &[mail])).await));
        assert_eq!(db.number("select count(*) from leads").await, 1);
    }

    async fn d17_a_part_of_a_number_finds_nobody(db: Fixture) {
        for (key, phone) in [("k1", "+15550001"), ("k2", "+1555000"), ("k3", "+155500019"), ("k4", "15550001")] {
            assert!(is_accepted(&put_one(&db, sms("a", phone, key, "hello")).await), "{phone}");
        }
        assert_eq!(db.number("select count(*) from leads").await, 4);
        assert!(is_accepted(&put_one(&db, sms("a", "+15550001", "k5", "again")).await));
        assert_eq!(db.number("select count(*) from leads").await, 4, "the whole number finds its lead");
    }

    async fn a_campaign_is_made_once_and_renamed(db: Fixture) {
        let of = |key: &str, id: &str, name: Option<&str>| {
            let campaign = CampaignRef { provider_id: id.to_owned(), name: name.map(str::to_owned) };
            with(sms("a", PHONE, key, "hello"), |it| it.campaign = Some(campaign))
        };
        let group = Arc::new([of("k1", "c1", Some("One")), of("k2", "c1", None), of("k3", "c2", Some("Two"))]);
        db.store.inbox().put(group).await.unwrap();
        let names = "select name from campaigns order by provider_id";
        assert_eq!(db.texts(names).await, ["One", "Two"]);
        put_one(&db, of("k4", "c1", Some("One, renamed"))).await;
        assert_eq!(db.texts(names).await, ["One, renamed", "Two"]);
        put_one(&db, of("k5", "c1", None)).await;
        assert_eq!(db.texts(names).await, ["One, renamed", "Two"], "an event without a name takes none away");
        assert_eq!(db.number("select count(*) from messages where campaign_id is not null").await, 5);
        let first = "select count(*) from leads l join campaigns c on c.id = l.campaign_id where c.provider_id = 'c1'";
        assert_eq!(db.number(first).await, 1);
    }

    async fn what_is_told_about_a_lead_fills_in_and_overwrites_nothing(db: Fixture) {
        let named = |key: &str, first: Option<&str>, last: Option<&str>| {
            with(sms("a", PHONE, key, "hello"), |it| {
                it.profile.first_name = first.map(str::to_owned);
                it.profile.last_name = last.map(str::to_owned);
            })
        };
        put_one(&db, named("k1", Some("Ann"), None)).await;
        put_one(&db, named("k2", Some("Anna"), Some("Lee"))).await;
        assert_eq!(db.texts("select first_name || ' ' || last_name from leads").await, ["Ann Lee"]);
    }

    async fn what_is_not_understood_is_kept_once_and_counted(db: Fixture) {
        let unknown = |hash: &str| Inbound {
            content: Content::Quarantine {
                event_type: Some("odd".to_owned()),
                reason: "unknown_event".to_owned(),
                body_hash: hash.to_owned(),
            },
            ..sms("a", PHONE, "k", "hello")
        };
        let group = Arc::new([unknown("h1"), sms("a", PHONE, "k1", "hello"), unknown("h1"), unknown("h2")]);
        let answers = db.store.inbox().put(group).await.unwrap();
        let id = |answer: &Answer| match answer {
            Answer::Quarantined { quarantine_id, .. } => *quarantine_id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id(&answers[0]), id(&answers[2]));
        assert_ne!(id(&answers[0]), id(&answers[3]));
        assert!(is_accepted(&answers[1]));
        assert_eq!(id(&put_one(&db, unknown("h1")).await), id(&answers[0]));
        assert_eq!(db.number("select count from quarantine where body_hash = 'h1'").await, 3);
    }

    /// An SMS that comes over two paths: the second finds the key of the first.
    async fn a_message_over_two_paths_is_one_message(db: Fixture) {
        let path = || vec![MessageKey { kind: KeyKind::Reply, key: "path:1".to_owned(), expires: true }];
        let one = with_message(sms("a", PHONE, "k1", "hello"), |it| it.stored_only = path());
        let two = with_message(sms("a", PHONE, "w1", "hello"), |it| {
            it.also_known_as = path();
            it.provider_id = None;
        });
        let first = put_one(&db, one.clone()).await;
        assert!(is_accepted(&first));
        let second = put_one(&db, two.clone()).await;
        assert!(is_duplicate(&second), "{second:?}");
        assert_eq!(message_of(&second), message_of(&first));
        let again = put_one(&db, with_message(two.clone(), |it| it.also_known_as.clear())).await;
        assert_eq!(message_of(&again), message_of(&first), "its own key was remembered");
        // The same words again over the first path are another message, and the path names that
        // one.
        let next = put_one(&db, with_message(one, |it| it.keys[0].key = "k2".to_owned())).await;
        assert!(is_accepted(&next));
        let its_second = put_one(&db, with_message(two, |it| it.keys[0].key = "w2".to_owned())).await;
        assert_eq!(message_of(&its_second), message_of(&next));
    }
}
