//! How much one client may take of the resources that all clients share: room in quarantine, and
//! on the disk.

use crate::{
    on_both_daemons, on_both_databases,
    support::{
        both::Peek,
        daemon::{Daemon, Options},
        eventually,
        fixture::event,
        process::Tmpfs,
        skipped::skip,
        web::{Answer, ask, sms},
    },
};
use postroom::{
    config::{QuarantineBound, Retention},
    domain::Signal,
    store::{Answer as Stored, Content, Inbound, Pruning, wall_clock},
};
use serde_json::json;
use std::{fs, sync::Arc, time::Duration};

const CLIENTS: &str = "[[clients]]\nid = \"acme\"\nchannels.sms = {}\nchannels.instantly = {}\n\
                       [[clients]]\nid = \"beta\"\nchannels.sms = {}\n";

/// Posts what no channel understands, with this in it.
async fn post(daemon: &Daemon, channel: &str, client: &str, what: &str) -> Answer {
    ask(daemon.webhook(channel, client).json(&json!({"unknown": what}))).await
}

#[track_caller]
fn is_full(answer: &Answer) {
    answer.is_problem(429, "queue-full");
    let detail = answer.field("detail");
    assert!(detail.contains("ingest.quarantine_items"), "{detail}");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 30, "{answer:?}");
}

async fn room(peek: &Peek, client: &str) -> (i64, i64) {
    let of =
        |what: &str| format!("select {what} from quarantine_room where client_id = '{client}'");
    (peek.number(&of("items")).await, peek.number(&of("bytes")).await)
}

on_both_daemons! {
    async fn a_client_that_fills_its_quarantine_is_told_to_wait_and_no_other(place: Place) {
        let config = format!("[ingest]\nquarantine_items = 3\n{CLIENTS}");
        let daemon = place.start(&config).await;
        let peek = Peek::of(&daemon).await;
        let mut ids = Vec::new();
        for n in 0..3 {
            let channel = if n == 1 { "instantly" } else { "sms" };
            let answer = post(&daemon, channel, "acme", &n.to_string()).await;
            assert_eq!(answer.outcome(), "quarantined", "{answer:?}");
            ids.push(answer.field("quarantine_id").to_owned());
        }
        for channel in ["sms", "instantly"] {
            is_full(&post(&daemon, channel, "acme", "one too many").await);
        }
        assert_eq!(peek.number("select count(*) from quarantine").await, 3);
        // The same bytes are the same item, and what is understood needs no room in quarantine.
        let again = post(&daemon, "sms", "acme", "0").await;
        assert_eq!(again.field("quarantine_id"), ids[0], "{again:?}");
        assert_eq!(ask(daemon.webhook("sms", "acme").json(&sms(1, "Hello"))).await.outcome(), "accepted");
        // Another client is not touched.
        assert_eq!(post(&daemon, "sms", "beta", "first").await.outcome(), "quarantined");
        // Said once, and counted.
        is_full(&post(&daemon, "sms", "acme", "one too many").await);
        let told = daemon.log().matches("the quarantine of this client is full").count();
        assert!((1..=2).contains(&told), "once for each of two channels: {}", daemon.log());
        let metrics = ask(daemon.get("/metrics")).await.text;
        let counted = "postroom_quarantine_refused_total{channel=\"sms\"} 2";
        assert!(metrics.contains(counted), "{metrics}");
        // Settled, it has room again; settled twice, not twice.
        assert_eq!(room(&peek, "acme").await.0, 3);
        for status in [200, 204, 409, 404] {
            let path = format!("/quarantine/{}", ids[0]);
            let answer = ask(daemon.api(reqwest::Method::DELETE, &path)).await;
            assert!(answer.status < 500, "{status}: {answer:?}");
        }
        assert_eq!(room(&peek, "acme").await.0, 2);
        assert_eq!(post(&daemon, "sms", "acme", "one too many").await.outcome(), "quarantined");
        is_full(&post(&daemon, "sms", "acme", "and another").await);
    }

    async fn the_bytes_in_quarantine_are_bounded_too(place: Place) {
        let config = format!("[ingest]\nquarantine_bytes = \"4KiB\"\n{CLIENTS}");
        let daemon = place.start(&config).await;
        let peek = Peek::of(&daemon).await;
        let large = |letter: &str| letter.repeat(1_900);
        for letter in ["a", "b"] {
            assert_eq!(post(&daemon, "sms", "acme", &large(letter)).await.outcome(), "quarantined");
        }
        is_full(&post(&daemon, "sms", "acme", &large("c")).await);
        assert_eq!(post(&daemon, "sms", "acme", "small").await.outcome(), "quarantined");
        assert_eq!(post(&daemon, "sms", "beta", &large("c")).await.outcome(), "quarantined");
        let sizes = "select sum(length(payload)) from quarantine where client_id = 'acme'";
        let sizes = if peek.is_sqlite() { sizes.to_owned() } else { format!("select ({sizes})::bigint") };
        assert_eq!(room(&peek, "acme").await, (3, peek.number(&sizes).await));
    }

    async fn many_at_once_find_no_more_room_than_there_is(place: Place) {
        let lanes = if place.is_sqlite() { 1 } else { 4 };
        let config = format!("[ingest]\nquarantine_items = 5\ncommit_lanes = {lanes}\n{CLIENTS}");
        let daemon = place.start(&config).await;
        let posts = (0..40).map(|n| {
            let daemon = &daemon;
            let channel = if n % 2 == 0 { "sms" } else { "instantly" };
            async move { post(daemon, channel, "acme", &n.to_string()).await }
        });
        let answers = futures_util::future::join_all(posts).await;
        let taken = answers.iter().filter(|it| it.outcome() == "quarantined").count();
        answers.iter().filter(|it| it.status != 200).for_each(is_full);
        assert_eq!(taken, 5);
        let peek = Peek::of(&daemon).await;
        assert_eq!(peek.number("select count(*) from quarantine").await, 5);
    }
}

on_both_databases! {
    async fn what_is_pruned_makes_room(db: Fixture) {
        let inbox = db.store.inbox().bounded(QuarantineBound { items: 2, bytes: 1 << 20 });
        let put = async |what: &str| {
            let content = Content::Quarantine {
                event_type: None,
                reason: "unknown_event".to_owned(),
                body_hash: what.to_owned(),
            };
            let connected = event("acme", "sms", Vec::new(), Signal::Connected, wall_clock());
            let answers = inbox.put(Arc::from([Inbound { content, ..connected }])).await.unwrap();
            matches!(answers[..], [Stored::Quarantined { .. }])
        };
        assert!(put("old").await && put("settled").await && !put("new").await);
        let ids = db.texts("select cast(id as text) from quarantine order by id").await;
        assert!(db.store.desk().settle_quarantine(ids[1].parse().unwrap(), "discarded").await.unwrap());
        assert!(!db.store.desk().settle_quarantine(ids[1].parse().unwrap(), "discarded").await.unwrap());
        assert!(put("new").await && !put("newer").await);
        // As if they had come long ago: ids tell when.
        let long_ago = if db.is_sqlite() { "1" } else { "to_timestamp(1)" };
        for (n, id) in ids.iter().enumerate() {
            db.execute(&format!("update quarantine set id = {}, last_received_at = {long_ago} where id = {id}", n + 1)).await;
        }
        let keep = Retention { quarantine: Duration::from_secs(3_600), ..db.config.retention.clone() };
        let mut round = Pruning::begin();
        while !round.is_over() {
            let pruned = db.store.chores().prune(&mut round, &keep, Duration::ZERO).await;
            assert!(pruned.failures.is_empty(), "{:?}", pruned.failures);
        }
        assert_eq!(db.number("select count(*) from quarantine").await, 1);
        assert_eq!(db.number("select items from quarantine_room").await, 1, "the settled one counted once");
        assert!(put("newer").await && !put("newest").await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_stop_before_the_disk_of_sqlite_is_full() {
    let Some(disk) = Tmpfs::mount("64m") else {
        return skip("a small disk can be mounted by root only");
    };
    let url = format!("sqlite://{}", disk.path().join("post.db").display());
    let options = Options { database_url: Some(url), ..Options::default() };
    let daemon = Daemon::start(options).await;
    assert_eq!(
        ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await.outcome(),
        "accepted"
    );
    let (filler, part) = (disk.path().join("filler"), vec![b'x'; 1 << 20]);
    let mut filled = fs::File::create(&filler).unwrap();
    for _ in 0..61 {
        if std::io::Write::write_all(&mut filled, &part).is_err() {
            break;
        }
    }
    let refused = eventually(Duration::from_secs(20), async || {
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(2, "Hello again"))).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    refused.is_problem(429, "database-away");
    assert!(refused.field("detail").contains("its disk has"), "{refused:?}");
    let ready = ask(daemon.get("/readyz")).await;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body["checks"]["database"]["detail"].as_str().unwrap().contains("its disk has"));
    // Strangers are told nothing of it, and jobs go on: the disk still has some room.
    ask(daemon.webhook("sms", "nobody").json(&sms(2, "Hello")))
        .await
        .is_problem(401, "unauthenticated");
    let path = "/jobs?status=pending,running";
    eventually(Duration::from_secs(20), async || {
        let jobs = ask(daemon.api(reqwest::Method::GET, path)).await;
        jobs.items().is_empty().then_some(())
    })
    .await;
    fs::remove_file(filler).unwrap();
    drop(filled);
    eventually(Duration::from_secs(20), async || {
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(3, "There is room again"))).await;
        (answer.outcome() == "accepted").then_some(())
    })
    .await;
    // A write that met the full disk keeps the daemon from being ready for a while.
    eventually(Duration::from_secs(20), async || {
        (ask(daemon.get("/readyz")).await.status == 200).then_some(())
    })
    .await;
}
