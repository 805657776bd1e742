//! Signed deliveries: an id is one body, at whatever moment another one comes under it.

use super::inbox::{PHONE, poisoned, refuse_poison};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, sms},
};
use postroom::store::{
    Answer, Delivery, Inbound, SAME_ID_OTHER_BODY, StoreError, commit_isolating,
};
use std::sync::Arc;

/// A text message of a signed delivery; its text is its body, and its key, too.
fn delivered(id: &str, text: &str) -> Inbound {
    let (id, body_hash) = (id.to_owned(), format!("hash of {text}"));
    let delivery = Some(Delivery { id, body_hash, kept_ms: 600_000 });
    Inbound { delivery, payload: format!("\"{text}\""), ..sms("a", PHONE, text, text) }
}

/// The outcome of a webhook, and its message or item.
fn told(answer: &Answer) -> (&'static str, i64) {
    match answer {
        Answer::Accepted { message_id, .. } => ("accepted", *message_id),
        Answer::Duplicate { message_id, .. } => ("duplicate", message_id.unwrap_or_default()),
        Answer::Quarantined { quarantine_id, reason } => {
            assert_eq!(reason, SAME_ID_OTHER_BODY);
            ("quarantined", *quarantine_id)
        }
        other => panic!("{other:?}"),
    }
}

async fn put(db: &Fixture, group: Vec<Inbound>) -> Vec<(&'static str, i64)> {
    let answers = db.store.inbox().put(Arc::from(group)).await.unwrap();
    answers.iter().map(told).collect()
}

fn words(told: &[(&'static str, i64)]) -> Vec<&'static str> {
    told.iter().map(|it| it.0).collect()
}

on_both_databases! {
    async fn in_one_group_the_first_body_of_an_id_counts(db: Fixture) {
        let group = || vec![
            delivered("d1", "one"), delivered("d1", "two"), delivered("d1", "one"), delivered("d2", "two"),
            delivered("d1", "two"), delivered("d1", "three"),
        ];
        let first = put(&db, group()).await;
        let expected =
            ["accepted", "quarantined", "duplicate", "accepted", "quarantined", "quarantined"];
        assert_eq!(words(&first), expected);
        assert_eq!(first[1].1, first[4].1, "the same body is the same item");
        let again = put(&db, group()).await;
        let expected =
            ["duplicate", "quarantined", "duplicate", "duplicate", "quarantined", "quarantined"];
        assert_eq!(words(&again), expected);
        for (one, other) in first.iter().zip(&again) {
            assert_eq!(one.1, other.1);
        }
        assert_eq!(db.number("select count(*) from messages").await, 2);
        assert_eq!(db.number("select count(*) from quarantine").await, 2);
        assert_eq!(db.number("select count from quarantine where body_hash = 'hash of two'").await, 4);
    }

    /// A quarantined delivery has claimed no key: under its own id, or by hand, it is new.
    async fn what_is_held_is_still_unknown(db: Fixture) {
        put(&db, vec![delivered("d1", "one")]).await;
        assert_eq!(words(&put(&db, vec![delivered("d1", "two")]).await), ["quarantined"]);
        let by_hand = Inbound { delivery: None, ..delivered("d1", "two") };
        assert_eq!(words(&put(&db, vec![by_hand]).await), ["accepted"]);
        assert_eq!(db.number("select count(*) from leads").await, 1);
    }

    /// An id is its client's own, and is forgotten once its signature is no longer valid.
    async fn an_id_counts_for_its_client_and_for_its_time(db: Fixture) {
        put(&db, vec![delivered("d1", "one")]).await;
        let other = Inbound { client_id: Arc::from("b"), ..delivered("d1", "two") };
        assert_eq!(words(&put(&db, vec![other]).await), ["accepted"]);
        let ago = if db.is_sqlite() { "expires_at - 3600000" } else { "expires_at - interval '1 hour'" };
        db.execute(&format!("update message_keys set expires_at = {ago} where kind = 'delivery'")).await;
        assert_eq!(words(&put(&db, vec![delivered("d1", "two")]).await), ["accepted"]);
        assert_eq!(words(&put(&db, vec![delivered("d1", "one")]).await), ["quarantined"]);
    }

    async fn one_that_was_stored_without_a_hash_is_known_by_its_id(db: Fixture) {
        put(&db, vec![delivered("d1", "one")]).await;
        db.execute("update message_keys set body_hash = null").await;
        let again = put(&db, vec![delivered("d1", "two"), delivered("d1", "three")]).await;
        assert_eq!(words(&again), ["duplicate", "duplicate"]);
    }

    /// If one of a group cannot be stored, the others are stored as if they had come without it.
    async fn a_neighbour_that_cannot_be_stored_changes_nothing(db: Fixture) {
        refuse_poison(&db).await;
        let group = vec![
            delivered("d1", "one"), poisoned(&db, delivered("d9", "bad")), delivered("d1", "two"), delivered("d1", "one"),
        ];
        let inbox = db.store.inbox();
        let results = commit_isolating(group.into(), |some| {
            let inbox = inbox.clone();
            async move { inbox.put(some).await }
        })
        .await;
        let mut words = Vec::new();
        for result in &results {
            words.push(match result {
                Ok(answer) => told(answer).0,
                Err(StoreError::Data(_)) => "refused",
                Err(other) => panic!("{other}"),
            });
        }
        assert_eq!(words, ["accepted", "refused", "quarantined", "duplicate"]);
    }

    /// Two nodes at once: the second waits for the key, and then finds the other body.
    async fn of_two_bodies_at_once_one_is_stored_and_one_is_held(db: Fixture) {
        let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        let rounds = if db.is_sqlite() { 5 } else { 40 };
        for round in 0..rounds {
            let id = format!("d{round}");
            let one = Arc::from([delivered(&id, &format!("one {round}"))]);
            let two = Arc::from([delivered(&id, &format!("two {round}"))]);
            let (inbox, other) = (db.store.inbox(), other.inbox());
            let (one, two) = tokio::join!(inbox.put(one), other.put(two));
            let mut words = [told(&one.unwrap()[0]).0, told(&two.unwrap()[0]).0];
            words.sort_unstable();
            assert_eq!(words, ["accepted", "quarantined"], "round {round}");
        }
        assert_eq!(db.number("select count(*) from messages").await, rounds);
        assert_eq!(db.number("select count(*) from quarantine").await, rounds);
    }
}
