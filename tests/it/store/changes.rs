//! What happens to messages after they were stored: edits, deletions, failures, and echoes of our
//! own sends; and messages of which only the chat tells whose they are.

use super::{
    inbox::{
        PHONE, RULES, draft, is_accepted, is_duplicate, judges, message_of, put_one, with,
        with_message,
    },
    life::{claim, end},
    tools::{assert_whole, instant},
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, event, sms},
};
use postroom::{
    domain::{
        ChannelName, Effect, Identity, IdentityKind, OptOutSource, Sentiment, Signal, Timestamp,
        event::{Direction, KeyKind, MessageKey},
        text,
    },
    store::{Answer, AuditEntry, Inbound, MessageFilter, Transition, Via, wall_clock},
};
use std::sync::Arc;

fn keys(of: &str) -> Vec<MessageKey> {
    [KeyKind::Reply, KeyKind::Sent]
        .map(|kind| MessageKey { kind, key: of.to_owned(), expires: false })
        .to_vec()
}

/// A change of the message with that id: it names no lead.
fn change(signal: Signal) -> Inbound {
    event("a", "sms", Vec::new(), signal, wall_clock())
}

fn edited(id: &str, body: &str) -> Inbound {
    let opt_out = (body == "stop").then(|| body.to_owned());
    change(Signal::Edited { keys: keys(id), body: body.to_owned(), opt_out })
}

fn deleted(id: &str) -> Inbound {
    change(Signal::Deleted { keys: keys(id) })
}

pub(super) fn failed(id: &str) -> Inbound {
    change(Signal::Failed { keys: keys(id) })
}

/// What we wrote to the lead.
fn sent(id: &str, text: &str) -> Inbound {
    with_message(sms("a", PHONE, id, text), |it| {
        it.direction = Direction::Outbound;
        it.keys[0].kind = KeyKind::Sent;
    })
}

fn in_chat(inbound: Inbound, chat: &str) -> Inbound {
    with_message(inbound, |it| it.reply_handle = Some(serde_json::json!({"chat_id": chat})))
}

/// What we wrote in a group: only the chat tells whose it is.
fn to_chat(id: &str, chat: &str) -> Inbound {
    with(in_chat(sent(id, "hi all"), chat), |it| {
        it.identities.clear();
        it.lead_of_chat = Some(chat.to_owned());
    })
}

fn is_recorded(answer: &Answer, word: &str) -> bool {
    matches!(answer, Answer::Recorded { reason, .. } if *reason == word)
}

/// A handler decided from this text.
fn read(text: &str) -> Effect {
    Effect::Read { fingerprint: text::fingerprint(text) }
}

async fn put_all(db: &Fixture, group: Vec<Inbound>) -> Vec<Answer> {
    db.store.inbox().put(Arc::from(group)).await.unwrap()
}

/// A delivery that was begun a while ago.
async fn deliver(db: &Fixture, id: i64, body: &str, status: &str, ms_ago: i64) {
    let (at, key) = (instant(db, -ms_ago), text::key(body));
    db.execute(&format!(
        "insert into deliveries (id, client_id, lead_id, channel, status, text_key, attempts, created_at) \
         select {id}, 'a', id, 'sms', '{status}', '{key}', 1, {at} from leads"
    ))
    .await;
}

on_both_databases! {
    /// The provider's verdict is recorded while the analyst thinks: it stands, and nothing is
    /// drafted against it.
    async fn a_hint_that_comes_while_the_job_runs_stands(db: Fixture) {
        let hint = |sentiment| with(change(Signal::Hint { sentiment, word: "interested" }), |it| {
            it.identities = vec![Identity::new(IdentityKind::PHONE, PHONE)];
        });
        let judged = |tag| vec![judges(tag), draft()];
        for (n, told, found, stands, drafts) in [
            (1, Sentiment::NotInterested, Sentiment::Interested, "Not Interested", 0),
            (2, Sentiment::MeetingRequested, Sentiment::NotInterested, "Meeting Requested", 1),
            (3, Sentiment::MeetingBooked, Sentiment::Blacklist, "Blacklist", 0),
        ] {
            put_one(&db, sms("a", PHONE, &format!("m{n}"), "hello")).await;
            let running = claim(&db.store, 10).await;
            assert_eq!(running.len(), 1);
            assert!(is_recorded(&put_one(&db, hint(told)).await, "interested"));
            let effects = if found == Sentiment::Blacklist {
                vec![judges(found), Effect::OptOut { channel: ChannelName("sms"), source: OptOutSource::Model, reason: "stop".to_owned() }]
            } else {
                judged(found)
            };
            assert!(end(&db.store, &running[0], Transition::Succeed(effects)).await);
            assert_eq!(db.texts("select sentiment from messages order by id desc limit 1").await, [stands]);
            assert_eq!(db.texts("select sentiment from leads").await, [stands]);
            assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, drafts, "{stands}");
        }
    }

    async fn each_verdict_says_by_what_it_was_judged(db: Fixture) {
        let told = || db.texts("select coalesce(sentiment, 'none') || ' by ' || coalesce(judged_by, 'nobody') from messages order by id");
        let hint = |sentiment| with(change(Signal::Hint { sentiment, word: "interested" }), |it| {
            it.identities = vec![Identity::new(IdentityKind::PHONE, PHONE)];
        });
        let judge = async |effects: Vec<Effect>| {
            let mut claimed = claim(&db.store, 10).await;
            assert_eq!(claimed.len(), 1);
            assert!(end(&db.store, &claimed.remove(0), Transition::Succeed(effects)).await);
        };
        // Rules judge, and judge again what is edited.
        let first = put_one(&db, sms("a", PHONE, "m1", "hello")).await;
        assert_eq!(told().await, ["none by nobody"]);
        judge(vec![read("hello"), judges(Sentiment::Interested)]).await;
        assert_eq!(told().await, [format!("Interested by {RULES}")]);
        assert!(is_recorded(&put_one(&db, edited("m1", "no thanks")).await, "edited"));
        assert_eq!(told().await, ["none by nobody"]);
        // A provider does, and its verdict stands, whether or not the handler has seen it.
        assert!(is_recorded(&put_one(&db, hint(Sentiment::MeetingBooked)).await, "interested"));
        assert_eq!(told().await, ["Meeting Booked by provider"]);
        judge(vec![read("no thanks"), judges(Sentiment::NotInterested)]).await;
        assert_eq!(told().await, ["Meeting Booked by provider"]);
        // A person does.
        let entry = AuditEntry::new("dana", Via::Api, "message.retag");
        let tagged = db.store.desk().retag(message_of(&first), Sentiment::NotInterested, false, entry).await.unwrap();
        assert_eq!(tagged.judged_by.as_deref(), Some("person"));
        assert!(is_recorded(&put_one(&db, edited("m1", "no, thank you")).await, "edited"));
        judge(vec![read("no, thank you"), Effect::Judge { tag: Sentiment::NotInterested, by: None }]).await;
        assert_eq!(told().await, ["Not Interested by person"]);
        // Verdicts that messages come with are their providers', also on large ones. An opt-out
        // that rules find wins over them, and the end of a job judges nothing.
        let with_hint = |inbound| with_message(inbound, |it| it.hint = Some(Sentiment::Interested));
        put_one(&db, with_hint(sms("a", "+15550000002", "m2", "hello"))).await;
        judge(Vec::new()).await;
        put_one(&db, with_hint(sms("a", "+15550000003", "m3", &"long ".repeat(60_000)))).await;
        assert_eq!(told().await[1..], ["Interested by provider"; 2]);
        judge(vec![judges(Sentiment::Blacklist)]).await;
        assert_eq!(told().await[2..], [format!("Blacklist by {RULES}")]);
        let listed = db.store.desk().messages(MessageFilter::default(), 1, None).await.unwrap();
        assert_eq!(listed.items[0].row.judged_by.as_deref(), Some(RULES));
    }

    /// One reply as two events, of which the first came without the text.
    async fn a_text_that_comes_second_is_the_message_s(db: Fixture) {
        let says = |id: &str, text: &str| {
            with_message(sms("a", PHONE, id, text), |it| it.opt_out = (text == "stop").then(|| text.to_owned()))
        };
        let first = put_one(&db, says("m1", "")).await;
        let running = claim(&db.store, 10).await;
        let second = put_one(&db, says("m1", "stop")).await;
        assert!(is_duplicate(&second), "{second:?}");
        assert_eq!(message_of(&second), message_of(&first));
        assert_eq!(db.texts("select body || '/' || raw_text from messages").await, ["stop/stop"]);
        assert_eq!(db.number("select opted_out_message_id from leads").await, message_of(&first));
        // What was found of no text does not count, and uses no attempt.
        assert!(end(&db.store, &running[0], Transition::Succeed(vec![read(""), judges(Sentiment::Interested), draft()])).await);
        assert_eq!(db.texts("select coalesce(sentiment, 'none') from messages").await, ["none"]);
        assert_eq!(db.store.queue().make_due().await.unwrap(), 1);
        let again = claim(&db.store, 10).await;
        assert_eq!(again.iter().map(|it| (it.job.id, it.job.attempt)).collect::<Vec<_>>(), [(running[0].job.id, 1)]);
        assert!(end(&db.store, &again[0], Transition::Succeed(vec![read("stop"), judges(Sentiment::Neutral)])).await);
        assert_eq!(db.number("select count(*) from drafts").await, 0);
        // The text that is there stays; and of one group, the first text counts.
        assert!(is_duplicate(&put_one(&db, says("m1", "other")).await));
        let group = vec![says("m2", ""), says("m2", ""), says("m2", "hello"), says("m2", "later")];
        assert!(put_all(&db, group).await[1..].iter().all(is_duplicate));
        assert_eq!(db.texts("select body from messages order by id").await, ["stop", "hello"]);
        // Our own messages have no text to wait for.
        put_all(&db, vec![sent("s1", ""), sent("s1", "hi there")]).await;
        put_one(&db, sent("s1", "hi there")).await;
        assert_eq!(db.texts("select body from messages where direction = 'outbound'").await, [""]);
    }

    async fn a_text_that_is_edited_while_its_job_runs_is_looked_at_again(db: Fixture) {
        put_one(&db, sms("a", PHONE, "m1", "call me")).await;
        let running = claim(&db.store, 10).await;
        put_one(&db, edited("m1", "do not call me")).await;
        let found = |text| vec![read(text), judges(Sentiment::Interested), draft()];
        assert!(end(&db.store, &running[0], Transition::Succeed(found("call me"))).await);
        assert_eq!(db.number("select count(*) from drafts").await, 0);
        assert_eq!(db.number("select count(*) from messages where handled_at is null").await, 1);
        assert_eq!(db.store.queue().make_due().await.unwrap(), 1);
        let again = claim(&db.store, 10).await;
        assert_eq!(again[0].job.attempt, 1, "no attempt was used");
        assert!(again[0].run > running[0].run);
        // The old run is over: it changes nothing, though it says what is right now.
        assert!(!end(&db.store, &running[0], Transition::Succeed(found("do not call me"))).await);
        assert!(end(&db.store, &again[0], Transition::Succeed(found("do not call me"))).await);
        assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, 1);
        assert_eq!(db.texts("select outcome from job_attempts").await, ["succeeded"]);
    }

    async fn a_deleted_message_is_not_answered(db: Fixture) {
        put_one(&db, sms("a", PHONE, "m1", "hello")).await;
        let running = claim(&db.store, 10).await;
        put_one(&db, deleted("m1")).await;
        let found = || vec![read("hello"), judges(Sentiment::Interested), draft()];
        assert!(end(&db.store, &running[0], Transition::Succeed(found())).await);
        assert_eq!(db.number("select count(*) from drafts").await, 0, "deleted before");
        assert_eq!(db.texts("select sentiment from messages").await, ["Interested"]);
        put_one(&db, sms("a", PHONE, "m2", "hello")).await;
        let running = claim(&db.store, 10).await;
        assert!(end(&db.store, &running[0], Transition::Succeed(found())).await);
        put_one(&db, deleted("m1")).await;
        assert_eq!(db.texts("select status from drafts").await, ["pending"], "another message was deleted");
        put_one(&db, deleted("m2")).await;
        assert_eq!(db.texts("select status || '/' || decided_by from drafts").await, ["superseded/message_deleted"]);
    }

    async fn a_text_that_is_edited_after_its_job_has_ended_is_judged_again(db: Fixture) {
        put_one(&db, sms("a", PHONE, "m1", "call me")).await;
        let judge = async |text: &str, tag: Sentiment, effects: Vec<Effect>| {
            let mut claimed = claim(&db.store, 10).await;
            assert_eq!(claimed.len(), 1, "{text}");
            let claimed = claimed.remove(0);
            let effects = [vec![read(text), judges(tag)], effects].concat();
            assert!(end(&db.store, &claimed, Transition::Succeed(effects)).await);
            claimed.job
        };
        let first = judge("call me", Sentiment::Interested, vec![draft()]).await;
        assert!(is_recorded(&put_one(&db, edited("m1", "do not call me, write")).await, "edited"));
        let states = || db.texts("select status || '/' || coalesce(decided_by, '') from drafts order by id");
        assert_eq!(states().await, ["superseded/message_edited"]);
        assert_eq!(db.number("select count(*) from messages where sentiment is null and handled_at is null").await, 1);
        // Its job runs again, with all of its attempts. Its answer takes the place of the first.
        let again = judge("do not call me, write", Sentiment::Interested, vec![draft()]).await;
        assert_eq!((again.id, again.attempt), (first.id, 1));
        assert_eq!(states().await, ["pending/"]);
        // What a person approved and waits to be sent answers what is not said any more.
        db.execute("update drafts set status = 'approved'").await;
        assert!(is_recorded(&put_one(&db, edited("m1", "do not call me, please write")).await, "edited"));
        assert_eq!(states().await, ["superseded/message_edited"]);
        judge("do not call me, please write", Sentiment::Interested, vec![draft()]).await;
        assert_eq!(states().await, ["pending/"]);
        // So it is after its job was pruned; and a verdict that needs no draft leaves none.
        db.execute(&format!("delete from job_attempts where job_id = {}", first.id)).await;
        db.execute(&format!("delete from jobs where id = {}", first.id)).await;
        let two = vec![edited("m1", "no thank"), edited("m1", "no thanks")];
        assert!(put_all(&db, two).await.iter().all(|it| is_recorded(it, "edited")));
        judge("no thanks", Sentiment::NotInterested, Vec::new()).await;
        assert_eq!(states().await, ["superseded/message_edited"]);
        assert_eq!(db.texts("select sentiment from leads").await, ["Not Interested"]);
        // A tag that a person gave stays, and so does that it gets no draft.
        let no = if db.is_sqlite() { "0" } else { "false" };
        db.execute(&format!(
            "insert into labelled_examples (id, kind, client_id, lead_id, message_id, channel, body, tag, opt_out, decided_by, created_at) \
             select 9, 'tag', client_id, lead_id, id, channel, body, 'Not Interested', {no}, 'dana', created_at from messages"
        )).await;
        assert!(is_recorded(&put_one(&db, edited("m1", "no, thanks")).await, "edited"));
        assert_eq!(db.texts("select sentiment from messages").await, ["Not Interested"]);
        judge("no, thanks", Sentiment::NotInterested, Vec::new()).await;
        // The same text again changes nothing, nor does an edit of an older message.
        assert!(is_duplicate(&put_one(&db, edited("m1", "no, thanks")).await));
        put_one(&db, sms("a", PHONE, "m2", "hello?")).await;
        judge("hello?", Sentiment::Interested, vec![draft()]).await;
        assert!(is_recorded(&put_one(&db, edited("m1", "no thanks!")).await, "edited"));
        assert_eq!(claim(&db.store, 10).await.len(), 0);
        assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, 1);
        assert_whole(&db).await;
    }

    /// P17: the newest text counts, and nobody is opted out by one that is not known any more.
    async fn an_edit_that_is_older_than_the_known_text_opts_nobody_out(db: Fixture) {
        put_one(&db, sms("a", PHONE, "m1", "hello")).await;
        let at = |body: &str, ms: i64| with(edited("m1", body), |it| it.at = Timestamp::from_millis(1_764_000_000_000 + ms));
        put_one(&db, at("sorry, tell me more", 2_000)).await;
        assert!(is_duplicate(&put_one(&db, at("stop", 1_000)).await));
        assert_eq!(db.number("select count(*) from opt_outs").await, 0);
        assert_eq!(db.texts("select body from messages").await, ["sorry, tell me more"]);
    }

    async fn an_edit_replaces_the_text_and_keeps_what_came(db: Fixture) {
        let first = put_one(&db, sms("a", PHONE, "m1", "helo")).await;
        let answer = put_one(&db, edited("m1", "hello")).await;
        assert!(is_recorded(&answer, "edited"), "{answer:?}");
        assert_eq!(message_of(&answer), message_of(&first));
        assert_eq!(db.texts("select body from messages").await, ["hello"]);
        assert_eq!(db.texts("select raw_text from messages").await, ["helo"]);
        assert_eq!(db.number("select count(*) from messages where edited_at is not null").await, 1);
        assert!(is_duplicate(&put_one(&db, edited("m1", "hello")).await), "nothing changed");
        assert_eq!(db.number("select count(*) from jobs").await, 1);
    }

    async fn an_edit_of_what_is_not_known_is_ignored_and_leaves_nothing(db: Fixture) {
        let unknown = Answer::Ignored { reason: "unknown_message" };
        for it in [edited("m1", "hello"), deleted("m1"), failed("m1")] {
            assert_eq!(put_one(&db, it).await, unknown);
        }
        // In one group, before the message: it could not know it, and the message is stored as
        // ever.
        let answers = put_all(&db, vec![edited("m1", "hello"), sms("a", PHONE, "m1", "helo")]).await;
        assert_eq!(answers[0], unknown);
        assert!(is_accepted(&answers[1]), "{answers:?}");
        assert_eq!(db.texts("select body from messages").await, ["helo"]);
        // The same id of another client or channel is another message.
        let of_b = Inbound { client_id: Arc::from("b"), ..edited("m1", "hello") };
        let by_mail = Inbound { channel: ChannelName("email"), ..edited("m1", "hello") };
        assert_eq!(put_all(&db, vec![of_b, by_mail]).await, [unknown.clone(), unknown]);
    }

    async fn an_edit_that_opts_out_counts_if_the_lead_wrote_it(db: Fixture) {
        put_all(&db, vec![sms("a", PHONE, "m1", "hello"), sent("s1", "hi there")]).await;
        assert!(is_recorded(&put_one(&db, edited("s1", "stop")).await, "edited"));
        assert_eq!(db.number("select count(*) from leads where opted_out_at is not null").await, 0);
        let answer = put_one(&db, edited("m1", "stop")).await;
        assert!(is_recorded(&answer, "edited"), "{answer:?}");
        assert_eq!(db.number("select opted_out_message_id from leads").await, message_of(&answer));
        assert_eq!(db.texts("select status from leads").await, ["blacklisted"]);
        put_one(&db, edited("m1", "just joking")).await;
        assert_eq!(db.texts("select status from leads").await, ["blacklisted"], "an opt-out stands");
    }

    async fn edited_then_deleted(db: Fixture) {
        put_one(&db, sms("a", PHONE, "m1", "helo")).await;
        assert!(is_recorded(&put_one(&db, edited("m1", "hello")).await, "edited"));
        assert!(is_recorded(&put_one(&db, deleted("m1")).await, "deleted"));
        assert!(is_duplicate(&put_one(&db, deleted("m1")).await));
        assert_eq!(db.texts("select body from messages where deleted_at is not null").await, ["hello"]);
        assert!(is_duplicate(&put_one(&db, sms("a", PHONE, "m1", "helo")).await), "it is still known");
        // All of it in one group.
        let group = vec![sms("a", PHONE, "m2", "on"), edited("m2", "one"), edited("m2", "one!"), deleted("m2"), deleted("m2")];
        let answers = put_all(&db, group).await;
        assert!(is_accepted(&answers[0]) && is_duplicate(&answers[4]), "{answers:?}");
        assert!(is_recorded(&answers[1], "edited") && is_recorded(&answers[2], "edited"), "{answers:?}");
        assert!(is_recorded(&answers[3], "deleted"), "{answers:?}");
        let both = "select body from messages where deleted_at is not null and edited_at is not null order by id";
        assert_eq!(db.texts(both).await, ["hello", "one!"]);
    }

    async fn a_failure_is_of_the_message_and_of_its_delivery(db: Fixture) {
        let answer = put_one(&db, sent("s1", "hi there")).await;
        deliver(&db, 7, "hi there", "sent", 1_000).await;
        db.execute(&format!("update deliveries set message_id = {}", message_of(&answer))).await;
        assert!(is_recorded(&put_one(&db, failed("s1")).await, "failed"));
        assert_eq!(db.texts("select status from deliveries").await, ["failed"]);
        assert_eq!(db.number("select count(*) from messages where failed_at is not null").await, 1);
        assert!(is_duplicate(&put_one(&db, failed("s1")).await));
    }

    async fn a_message_in_a_group_is_of_the_lead_of_its_chat(db: Fixture) {
        let ignored = Answer::Ignored { reason: "group_chat" };
        assert_eq!(put_one(&db, to_chat("s1", "chat")).await, ignored);
        assert_eq!(db.number("select count(*) from message_keys").await, 0, "it leaves no key behind");
        // A message in the chat names its lead, in the same group, too; an ignored webhook may come
        // again.
        let theirs = in_chat(sms("a", PHONE, "m1", "hello"), "chat");
        let answers = put_all(&db, vec![to_chat("s0", "chat"), theirs, to_chat("s1", "chat")]).await;
        assert_eq!(answers[0], ignored);
        assert!(is_accepted(&answers[1]) && is_recorded(&answers[2], "outbound"), "{answers:?}");
        assert!(is_recorded(&put_one(&db, to_chat("s0", "chat")).await, "outbound"));
        assert!(is_duplicate(&put_one(&db, to_chat("s0", "chat")).await));
        assert_eq!(db.number("select count(*) from leads").await, 1);
        // The newest message of the chat decides.
        put_one(&db, in_chat(sms("a", "+15550009", "m2", "me too"), "chat")).await;
        put_one(&db, to_chat("s3", "chat")).await;
        let of_two = "select count(*) from messages m join lead_identities i on i.lead_id = m.lead_id \
            where i.value = '+15550009'";
        assert_eq!(db.number(of_two).await, 2);
        assert_eq!(put_one(&db, to_chat("s4", "another")).await, ignored);
        let of_b = Inbound { client_id: Arc::from("b"), ..to_chat("s4", "chat") };
        assert_eq!(put_one(&db, of_b).await, ignored);
    }

    async fn the_echo_of_an_own_send_is_no_second_message(db: Fixture) {
        put_one(&db, sms("a", PHONE, "m1", "hello")).await;
        deliver(&db, 7, "Hi there", "uncertain", 1_000).await;
        let echo = put_one(&db, sent("s1", " hi  THERE ")).await;
        assert!(is_duplicate(&echo), "{echo:?}");
        assert_eq!(db.texts("select status || ' ' || provider_id from deliveries").await, ["sent s1"]);
        assert_eq!(db.number("select message_id from deliveries").await, message_of(&echo));
        assert_eq!(db.texts("select source from messages order by id").await, ["provider", "postroom"]);
        assert_eq!(message_of(&put_one(&db, sent("s1", "hi there")).await), message_of(&echo));
        // The delivery has its message by now: the same text once more is another message.
        assert!(is_recorded(&put_one(&db, sent("s2", "hi there")).await, "outbound"));
        assert_eq!(db.number("select count(*) from messages").await, 3);
    }

    async fn an_echo_names_the_message_that_its_delivery_has_become(db: Fixture) {
        let before = put_one(&db, sent("local", "hi there")).await;
        deliver(&db, 7, "hi there", "sent", 1_000).await;
        deliver(&db, 8, "hi there", "sending", 500).await;
        db.execute(&format!("update deliveries set message_id = {} where id = 7", message_of(&before))).await;
        // Sent twice, told back twice, in one group.
        let answers = put_all(&db, vec![sent("s1", "hi there"), sent("s2", "hi there"), sent("s1", "hi there")]).await;
        assert!(answers.iter().all(is_duplicate), "{answers:?}");
        assert_eq!(message_of(&answers[0]), message_of(&before));
        assert_ne!(message_of(&answers[1]), message_of(&before));
        assert_eq!(message_of(&answers[2]), message_of(&before));
        assert_eq!(message_of(&put_one(&db, sent("s1", "hi there")).await), message_of(&before));
        let ids = "select provider_id from deliveries where status = 'sent' order by id";
        assert_eq!(db.texts(ids).await, ["s1", "s2"]);
        assert_eq!(db.number("select count(*) from messages").await, 2);
    }

    async fn what_is_no_echo_is_stored(db: Fixture) {
        put_one(&db, sms("a", PHONE, "m1", "hello")).await;
        deliver(&db, 1, "other words", "sent", 1_000).await;
        deliver(&db, 2, "hi there", "failed", 1_000).await;
        deliver(&db, 3, "hi there", "sent", 86_500_000).await;
        deliver(&db, 4, "hi there", "sent", 1_000).await;
        db.execute("update deliveries set provider_id = 'known' where id = 4").await;
        assert!(is_recorded(&put_one(&db, sent("s1", "hi there")).await, "outbound"));
        let by_mail = Inbound { channel: ChannelName("email"), ..sent("s2", "other words") };
        assert!(is_recorded(&put_one(&db, by_mail).await, "outbound"), "another channel");
        let to_another = with(sent("s3", "other words"), |it| it.identities[0].value = "+15550009".to_owned());
        assert!(is_recorded(&put_one(&db, to_another).await, "outbound"), "another lead");
        assert!(is_accepted(&put_one(&db, sms("a", PHONE, "m2", "other words")).await), "their own words");
        assert_eq!(db.number("select count(*) from messages where source = 'postroom'").await, 0);
    }

    /// One SMS over two paths: the second brings the id that the first did not have.
    async fn a_second_webhook_about_a_message_brings_its_id(db: Fixture) {
        let nameless = |key: &str| with_message(sms("a", PHONE, key, "hello"), |it| it.provider_id = None);
        put_one(&db, nameless("k1")).await;
        assert!(is_duplicate(&put_one(&db, sms("a", PHONE, "k1", "hello")).await));
        assert_eq!(db.texts("select provider_id from messages").await, ["k1"]);
        let answers = put_all(&db, vec![nameless("k2"), sms("a", PHONE, "k2", "hello")]).await;
        assert!(is_duplicate(&answers[1]), "{answers:?}");
        assert_eq!(db.texts("select provider_id from messages order by id").await, ["k1", "k2"]);
        let renamed = with_message(sms("a", PHONE, "k1", "hello"), |it| it.provider_id = Some("x".to_owned()));
        put_one(&db, renamed).await;
        assert_eq!(db.texts("select provider_id from messages order by id").await, ["k1", "k2"]);
    }

    async fn a_category_is_kept_on_its_lead(db: Fixture) {
        let category = |name: Option<&str>| {
            with(sms("a", PHONE, "x", "x"), |it| {
                it.signal = Signal::Category { name: name.map(str::to_owned), hint: None, opt_out: false };
                it.at = Timestamp::from_millis(1_764_000_000_000);
            })
        };
        put_one(&db, sms("a", PHONE, "m1", "hello")).await;
        assert!(is_recorded(&put_one(&db, category(Some("Warm"))).await, "category"));
        assert!(is_duplicate(&put_one(&db, category(Some("Warm"))).await));
        assert_eq!(db.texts("select category from leads").await, ["Warm"]);
        assert!(is_recorded(&put_one(&db, category(None)).await, "category"));
        assert_eq!(db.texts("select category from leads").await, [""]);
    }
}
