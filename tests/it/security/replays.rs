//! Webhooks that come again, and events that arrive in another order than they happened in.

use crate::{
    on_both_daemons, on_both_databases,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        fixture::{event, sms},
        web::{Answer, ask},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use postroom::{
    domain::{Identity, IdentityKind, Signal, Timestamp},
    store::{Answer as Stored, Inbound, wall_clock},
};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const CONTACT: &str = "contact-7";

/// An app of the provider: it signs what it posts for the account `loc-1`.
struct App(Ed25519KeyPair);

impl App {
    fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    /// A client whose webhooks this app signs, with these settings beside.
    fn config(&self, more: &str) -> String {
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let key = STANDARD.encode([&head[..], self.0.public_key().as_ref()].concat());
        format!(
            "[[clients]]\nid = \"acme\"\n[clients.channels.sms]\naccount = \"loc-1\"\n\
             signature = {{ scheme = \"ghl\", public_key = \"{key}\"{more} }}\n"
        )
    }

    async fn post(&self, daemon: &Daemon, body: &Value) -> Answer {
        let text = body.to_string();
        let signature = STANDARD.encode(self.0.sign(text.as_bytes()));
        let request = daemon.webhook("sms", "acme").header("x-ghl-signature", signature);
        ask(request.body(text)).await
    }
}

impl App {
    /// Posts a fresh body, once more where the machine was slower than its window. What was posted
    /// then.
    async fn post_in_time(
        &self,
        daemon: &Daemon,
        made: impl Fn() -> Value,
        expected: &str,
    ) -> Value {
        loop {
            let body = made();
            let answer = self.post(daemon, &body).await;
            if answer.status != 401 {
                assert_eq!(answer.outcome(), expected, "{answer:?}");
                return body;
            }
        }
    }
}

/// A do-not-disturb update of the lead, as it was made at `at`.
fn update(status: &str, at: Option<Timestamp>, id: &str) -> Value {
    let mut body = json!({
        "type": "ContactDndUpdate", "locationId": "loc-1", "id": CONTACT, "dnd": status == "active",
        "dndSettings": {"SMS": {"status": status}}, "webhookId": id,
    });
    if let Some(at) = at {
        body["timestamp"] = at.to_string().into();
    }
    body
}

/// A message of the lead.
fn message(id: &str, at: Option<Timestamp>, text: &str) -> Value {
    let mut body = json!({
        "type": "InboundMessage", "locationId": "loc-1", "contactId": CONTACT, "messageType": "SMS",
        "body": text, "messageId": id, "webhookId": format!("w-{id}"),
    });
    if let Some(at) = at {
        body["timestamp"] = at.to_string().into();
    }
    body
}

/// That many milliseconds before a moment.
fn before(moment: Timestamp, millis: i64) -> Option<Timestamp> {
    Some(moment.plus_millis(-millis))
}

/// That many milliseconds ago.
fn ago(millis: i64) -> Option<Timestamp> {
    Some(wall_clock().plus_millis(-millis))
}

async fn is_silent(peek: &Peek) -> bool {
    peek.number("select count(*) from leads where sms_dnd").await == 1
}

#[track_caller]
fn is_refused_or_a_duplicate(answer: &Answer) {
    if answer.status == 200 {
        assert_eq!(answer.outcome(), "duplicate", "{answer:?}");
    } else {
        answer.is_problem(401, "unauthenticated");
    }
}

on_both_daemons! {
    async fn a_replay_never_lifts_a_do_not_disturb(place: Place) {
        let app = App::new();
        let daemon = place.start(&app.config(", window = \"1s\"")).await;
        let peek = Peek::of(&daemon).await;
        app.post_in_time(&daemon, || message("m1", ago(0), "Hello"), "accepted").await;
        let inactive = app.post_in_time(&daemon, || update("inactive", ago(0), "d1"), "duplicate").await;
        app.post_in_time(&daemon, || update("active", ago(0), "d2"), "recorded").await;
        assert!(is_silent(&peek).await);
        // At once, and until its signature is too old.
        let expired = eventually(Duration::from_secs(20), async || {
            let again = app.post(&daemon, &inactive).await;
            is_refused_or_a_duplicate(&again);
            assert!(is_silent(&peek).await);
            (again.status == 401).then_some(again)
        });
        expired.await.is_problem(401, "unauthenticated");
        // And after twice the window, when its id is forgotten.
        let forgotten = if peek.is_sqlite() {
            "select count(*) from message_keys where kind = 'delivery' \
             and expires_at <= cast(unixepoch('subsec') * 1000 as integer)"
        } else {
            "select count(*) from message_keys where kind = 'delivery' and expires_at <= now()"
        };
        eventually(Duration::from_secs(20), async || {
            (peek.number(forgotten).await >= 3).then_some(())
        })
        .await;
        app.post(&daemon, &inactive).await.is_problem(401, "unauthenticated");
        assert!(is_silent(&peek).await);
    }

    async fn an_older_update_that_comes_late_changes_nothing(place: Place) {
        let app = App::new();
        // The ids of deliveries are long forgotten, and signatures still taken.
        let daemon = place.start(&app.config("")).await;
        let now = wall_clock();
        let peek = Peek::of(&daemon).await;
        app.post(&daemon, &message("m1", before(now, 50_000), "Hello")).await;
        let inactive = update("inactive", before(now, 40_000), "d1");
        app.post(&daemon, &inactive).await;
        assert_eq!(app.post(&daemon, &update("active", before(now, 30_000), "d2")).await.outcome(), "recorded");
        peek.execute("delete from message_keys where kind = 'delivery'").await;
        for late in [
            inactive,
            update("inactive", before(now, 40_000), "d3"),
            update("inactive", before(now, 3_600_000), "d4"),
            update("inactive", before(now, 30_001), "d5"),
        ] {
            let answer = app.post(&daemon, &late).await;
            assert_eq!(answer.outcome(), "duplicate", "{late}: {answer:?}");
            assert!(is_silent(&peek).await, "{late}");
        }
        // What is newer counts, also in the other direction.
        assert_eq!(app.post(&daemon, &update("inactive", before(now, 20_000), "d6")).await.outcome(), "recorded");
        assert!(!is_silent(&peek).await);
        assert_eq!(app.post(&daemon, &update("active", before(now, 30_000), "d7")).await.outcome(), "duplicate");
        assert!(!is_silent(&peek).await);
    }

    async fn a_signed_update_without_a_time_lifts_nothing_and_is_not_lost(place: Place) {
        let app = App::new();
        let daemon = place.start(&app.config("")).await;
        let peek = Peek::of(&daemon).await;
        // A message without a time is taken: its id says that it comes again.
        let hello = message("m1", None, "Hello");
        let first = app.post(&daemon, &hello).await;
        assert_eq!(first.outcome(), "accepted", "{first:?}");
        assert_eq!(app.post(&daemon, &hello).await.job_ids(), first.job_ids());
        assert_eq!(app.post(&daemon, &update("active", None, "d1")).await.outcome(), "recorded");
        for (id, time) in [("d2", json!(null)), ("d3", json!("soon")), ("d4", json!({}))] {
            let mut lift = update("inactive", None, id);
            lift["timestamp"] = time;
            let answer = app.post(&daemon, &lift).await;
            assert_eq!(answer.field("reason"), "missing_field timestamp", "{answer:?}");
            assert!(is_silent(&peek).await);
        }
        // A person decides.
        let held = app.post(&daemon, &update("inactive", None, "d2")).await;
        let path = format!("/quarantine/{}/replay", held.field("quarantine_id"));
        let replay = ask(daemon.api(reqwest::Method::POST, &path)).await;
        assert_eq!(replay.field("reason"), "do_not_disturb", "{replay:?}");
        assert!(!is_silent(&peek).await);
    }

    async fn a_signed_body_counts_within_its_window_and_once(place: Place) {
        let app = App::new();
        let daemon = place.start(&app.config("")).await;
        let peek = Peek::of(&daemon).await;
        let day = 86_400_000;
        let without_ids = |mut body: Value| {
            for id in ["messageId", "webhookId"] {
                body.as_object_mut().unwrap().remove(id);
            }
            body
        };
        for (name, at) in [("old", ago(day + 60_000)), ("ahead", ago(-day - 60_000))] {
            let unknown = without_ids(message(name, at, name));
            for body in [unknown, update("active", at, name), update("inactive", at, name)] {
                app.post(&daemon, &body).await.is_problem(401, "unauthenticated");
            }
        }
        // Its id is never forgotten, so a replay is a duplicate, and the message is not lost.
        let old = message("m-old", ago(30 * day), "old");
        assert_eq!(app.post(&daemon, &old).await.outcome(), "accepted");
        assert_eq!(app.post(&daemon, &old).await.outcome(), "duplicate");
        let late = app.post(&daemon, &message("late", ago(day - 60_000), "late")).await;
        assert_eq!(late.outcome(), "accepted", "a retry may come late: {late:?}");
        // Without any id of its own: the same bytes are known again.
        let bare = without_ids(message("x", ago(0), "bare"));
        let first = app.post(&daemon, &bare).await;
        assert_eq!(first.outcome(), "accepted");
        peek.execute("delete from message_keys where kind = 'reply'").await;
        assert_eq!(app.post(&daemon, &bare).await.outcome(), "duplicate");
        assert_eq!(peek.number("select count(*) from messages").await, 3);
    }

    async fn a_secret_beside_an_old_signature_is_enough(place: Place) {
        let app = App::new();
        let secret = "a-secret-of-acme-0001";
        let config = app.config("") + &format!("secret = \"{secret}\"\n");
        let daemon = place.start(&config).await;
        app.post(&daemon, &message("m1", ago(0), "Hello")).await;
        let body = update("active", ago(172_800_000), "d1").to_string();
        let signature = STANDARD.encode(app.0.sign(body.as_bytes()));
        let post = |secret: &str| {
            let request = daemon.webhook("sms", "acme").header("x-ghl-signature", &signature);
            ask(request.bearer_auth(secret).body(body.clone()))
        };
        post("another-secret-of-acme").await.is_problem(401, "unauthenticated");
        assert_eq!(post(secret).await.outcome(), "recorded");
    }
}

const PHONE: &str = "+15550001";

fn told(channel: &'static str, signal: Signal, minute: i64) -> Inbound {
    let at = Timestamp::from_millis(1_764_000_000_000 + minute * 60_000);
    let identities = vec![Identity::new(IdentityKind::PHONE, PHONE)];
    Inbound { received_at: wall_clock(), ..event("a", channel, identities, signal, at) }
}

fn category(name: &str, minute: i64) -> Inbound {
    told(
        "smartlead",
        Signal::Category { name: Some(name.to_owned()), hint: None, opt_out: false },
        minute,
    )
}

fn bounce(minute: i64) -> Inbound {
    let address = "dana@x.test".to_owned();
    told("email", Signal::Bounce { address, reason: None, found_in_text: false }, minute)
}

/// A mail of the lead.
fn mail(key: &str, minute: i64) -> Inbound {
    let mut inbound = told("email", Signal::Connected, minute);
    if let postroom::store::Content::Event { event, .. } = &mut inbound.content
        && let postroom::store::Content::Event { event: message, .. } =
            sms("a", PHONE, key, "I am here").content
    {
        event.signal = message.signal;
        if let Signal::Message(it) = &mut event.signal {
            it.from.address = Some("dana@x.test".to_owned());
        }
    }
    inbound
}

on_both_databases! {
    async fn what_a_lead_is_filed_under_is_what_was_told_last(db: Fixture) {
        let put = async |inbound| db.store.inbox().put(Arc::new([inbound])).await.unwrap().remove(0);
        put(mail("k1", 0)).await;
        let is_new = |answer: &Stored| matches!(answer, Stored::Recorded { reason: "category", .. });
        assert!(is_new(&put(category("Interested", 5)).await));
        let late = put(category("Wrong person", 3)).await;
        assert!(matches!(late, Stored::Duplicate { .. }), "{late:?}");
        assert_eq!(db.texts("select category from leads").await, ["Interested"]);
        assert!(is_new(&put(category("Booked", 6)).await));
        // In one group, too.
        let group = [category("Newest", 9), category("Older", 8)];
        db.store.inbox().put(Arc::new(group)).await.unwrap();
        assert_eq!(db.texts("select category from leads").await, ["Newest"]);
    }

    async fn only_a_mail_that_is_newer_than_the_last_bounce_lifts_it(db: Fixture) {
        let put = async |inbound| db.store.inbox().put(Arc::new([inbound])).await.unwrap().remove(0);
        let bounced = "select count(*) from leads where bounced_at is not null";
        put(mail("k1", 5)).await;
        assert!(matches!(put(bounce(6)).await, Stored::Recorded { .. }));
        assert!(matches!(put(bounce(8)).await, Stored::Duplicate { .. }));
        assert!(matches!(put(bounce(6)).await, Stored::Duplicate { .. }));
        put(mail("k2", 7)).await;
        assert_eq!(db.number(bounced).await, 1, "it has bounced again since");
        put(mail("k3", 9)).await;
        assert_eq!(db.number(bounced).await, 0);
    }

    async fn an_older_edit_does_not_undo_a_newer_one(db: Fixture) {
        let put = async |inbound| db.store.inbox().put(Arc::new([inbound])).await.unwrap().remove(0);
        put(sms("a", PHONE, "k1", "first words")).await;
        let edit = |text: &str, minute| {
            let keys = match sms("a", PHONE, "k1", "").content {
                postroom::store::Content::Event { event, .. } => match event.signal {
                    Signal::Message(it) => it.keys,
                    other => panic!("{other:?}"),
                },
                other @ postroom::store::Content::Quarantine { .. } => panic!("{other:?}"),
            };
            told("sms", Signal::Edited { keys, body: text.to_owned(), opt_out: None }, minute)
        };
        for (text, minute, is_recorded, shown) in [
            ("third", 3, true, "third"),
            ("second", 2, false, "third"),
            ("third and a half", 3, true, "third and a half"),
            ("fourth", 4, true, "fourth"),
            ("third", 3, false, "fourth"),
        ] {
            let answer = put(edit(text, minute)).await;
            assert_eq!(matches!(answer, Stored::Recorded { .. }), is_recorded, "{text}: {answer:?}");
            assert_eq!(db.texts("select body from messages").await, [shown]);
        }
    }

    async fn a_do_not_disturb_of_an_older_version_is_lifted_by_what_is_told_from_now_on(db: Fixture) {
        let put = async |inbound| db.store.inbox().put(Arc::new([inbound])).await.unwrap().remove(0);
        put(sms("a", PHONE, "k1", "hello")).await;
        put(told("sms", Signal::DoNotDisturb { active: true }, 0)).await;
        // Back to the schema that knows no order of state.
        let is_there = "select count(*) from seaql_migrations where version like '%_000008_order'";
        while db.number(is_there).await > 0 {
            let database = db.config.database.clone();
            let down = async move { postroom::store::migrate_down(&database).await };
            db.runtime.handle().spawn(down).await.unwrap().unwrap();
        }
        let database = db.config.database.clone();
        let up = async move { postroom::store::migrate_up(&database).await };
        db.runtime.handle().spawn(up).await.unwrap().unwrap();
        assert_eq!(db.number("select count(*) from leads where sms_dnd and sms_dnd_at is not null").await, 1);
        let lift = |at| {
            let identities = vec![Identity::new(IdentityKind::PHONE, PHONE)];
            event("a", "sms", identities, Signal::DoNotDisturb { active: false }, at)
        };
        let before = Timestamp::from_millis(1_764_000_900_000);
        let older = Inbound { received_at: wall_clock(), ..lift(before) };
        assert!(matches!(put(older).await, Stored::Duplicate { .. }));
        assert!(matches!(put(lift(wall_clock())).await, Stored::Recorded { .. }));
    }
}
