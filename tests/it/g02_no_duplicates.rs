//! One event is one message and one job, however often and whenever it is posted.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        web::{Answer, ask, mail, sms},
    },
};
use futures_util::future::join_all;
use serde_json::Value;
use std::time::Duration;

const CONNECTIONS: usize = 64;

/// Posts the same body over all connections at once.
async fn post_at_once(daemon: &Daemon, channel: &str, body: &Value) -> Vec<Answer> {
    join_all((0..CONNECTIONS).map(|_| ask(daemon.webhook(channel, "demo").json(body)))).await
}

/// Message, lead and jobs.
fn ids(answer: &Answer) -> (String, String, Vec<String>) {
    (answer.field("message_id").to_owned(), answer.field("lead_id").to_owned(), answer.job_ids())
}

fn all_are_duplicates_of(first: &Answer, answers: &[Answer]) {
    for answer in answers {
        assert_eq!((answer.status, answer.outcome()), (200, "duplicate"), "{answer:?}");
        assert_eq!(ids(answer), ids(first));
    }
}

async fn has_ended(db: &Peek, job_id: &str) {
    let sql = format!("select count(*) from job_attempts where ended and job_id = {job_id}");
    eventually(Duration::from_secs(20), async || (db.number(&sql).await == 1).then_some(())).await;
}

on_both_daemons! {
    async fn one_event_over_many_connections_is_stored_once_for_good(place: Place) {
        let mut daemon = place.start("").await;
        let db = Peek::of(&daemon).await;
        let bodies = [("sms", sms(1, "Thursday at 10 works for me.")), ("instantly", mail(2))];
        let mut firsts = Vec::new();
        for (channel, body) in &bodies {
            let answers = post_at_once(&daemon, channel, body).await;
            let (accepted, others): (Vec<Answer>, Vec<Answer>) =
                answers.into_iter().partition(|it| it.outcome() == "accepted");
            let [first] = &accepted[..] else { panic!("{} were accepted", accepted.len()) };
            assert_eq!(others.len(), CONNECTIONS - 1);
            all_are_duplicates_of(first, &others);
            assert_eq!(first.job_ids().len(), 1, "{first:?}");
            firsts.push(first.clone());
        }
        for (first, (channel, body)) in firsts.iter().zip(&bodies) {
            has_ended(&db, &first.job_ids()[0]).await;
            all_are_duplicates_of(first, &post_at_once(&daemon, channel, body).await);
        }
        daemon.terminate();
        assert_eq!(daemon.wait(Duration::from_secs(20)).await.code(), Some(0));
        daemon.start_again().await;
        for (first, (channel, body)) in firsts.iter().zip(&bodies) {
            all_are_duplicates_of(first, &post_at_once(&daemon, channel, body).await);
        }
        assert_eq!(db.number("select count(*) from messages").await, 2);
        let inbound = "select count(*) from jobs where kind like '%_INBOUND_POST_PROCESS'";
        assert_eq!(db.number(inbound).await, 2);
        let attempts = "select count(*) from job_attempts a join jobs j on j.id = a.job_id \
                        where j.kind like '%_INBOUND_POST_PROCESS'";
        assert_eq!(db.number(attempts).await, 2, "a duplicate ran a job again");
    }
}
