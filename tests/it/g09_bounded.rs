//! A webhook for which there is no room is answered 429; nothing is lost by that, and nothing
//! breaks.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        web::{Answer, ask, sms},
    },
};
use futures_util::future::join_all;
use serde_json::Value;
use std::time::Duration;

async fn post_all(daemon: &Daemon, bodies: &[Value]) -> Vec<Answer> {
    join_all(bodies.iter().map(|it| ask(daemon.webhook("sms", "demo").json(it)))).await
}

/// Checks that all were answered 429, and returns how many of them for this reason.
fn count(answers: &[Answer], kind: &str) -> usize {
    for answer in answers {
        let of_answer = answer.field("type").trim_start_matches("urn:postroom:");
        assert!(matches!(of_answer, "queue-full" | "database-away"), "{answer:?}");
        answer.is_problem(429, of_answer);
    }
    let kind = format!("urn:postroom:{kind}");
    answers.iter().filter(|it| it.field("type") == kind).count()
}

/// The same webhooks are taken now. Some were stored after their client had left.
async fn all_are_taken(daemon: &Daemon, bodies: &[Value]) {
    for body in bodies {
        eventually(Duration::from_secs(20), async || {
            let answer = ask(daemon.webhook("sms", "demo").json(body)).await;
            assert!(matches!(answer.status, 200 | 429), "{answer:?}");
            matches!(answer.outcome(), "accepted" | "duplicate").then_some(())
        })
        .await;
    }
    let db = Peek::of(daemon).await;
    assert_eq!(db.number("select count(*) from messages").await, bodies.len() as i64);
    eventually(Duration::from_secs(20), async || (db.unfinished().await == 0).then_some(())).await;
    let failed = "select count(*) from job_attempts where ended and outcome <> 'succeeded'";
    assert_eq!(db.number(failed).await, 0);
}

on_both_daemons! {
    async fn no_more_webhooks_wait_for_the_database_than_may(place: Place) {
        let config = "[server]\nrequest_timeout = \"500ms\"\n[ingest]\nqueue = 2\n";
        let daemon = place.start(config).await;
        let held = Peek::of(&daemon).await.hold().await;
        let bodies: Vec<Value> = (0..8).map(|it| sms(it, &format!("Hello number {it}"))).collect();
        let answers = post_all(&daemon, &bodies).await;
        assert_eq!(count(&answers, "queue-full"), 6, "{answers:?}");
        assert_eq!(count(&answers, "database-away"), 2, "{answers:?}");
        // Those two still hold their room, since their commit may come.
        let again = post_all(&daemon, &bodies).await;
        assert_eq!(count(&again, "queue-full"), 8, "{again:?}");
        let alive = ask(daemon.get("/healthz")).await;
        assert_eq!(alive.status, 200);
        held.release().await;
        all_are_taken(&daemon, &bodies).await;
    }

    async fn no_more_bytes_wait_for_the_database_than_may(place: Place) {
        let config = "[server]\nrequest_timeout = \"500ms\"\nbody_limit = \"64KiB\"\n\
                      [ingest]\nqueue_bytes = \"64KiB\"\nbatch_bytes = \"64KiB\"\n";
        let daemon = place.start(config).await;
        let held = Peek::of(&daemon).await.hold().await;
        let text = "Hello there. ".repeat(3_000);
        let bodies: Vec<Value> = (0..3).map(|it| sms(it, &format!("{text} {it}"))).collect();
        let answers = post_all(&daemon, &bodies).await;
        assert_eq!(count(&answers, "queue-full"), 2, "{answers:?}");
        assert_eq!(count(&answers, "database-away"), 1, "{answers:?}");
        held.release().await;
        all_are_taken(&daemon, &bodies).await;
    }
}
