//! Alerts that are told to a URL.

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        eventually,
        receiver::Receiver,
    },
};
use serde_json::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn config(url: &str) -> String {
    format!(
        "[alerts]\nwebhook = \"{url}/hook?key=hunter2\"\nallow_private = true\n\
         [server]\npublic_url = \"https://post.example.com\"\n\
         [[clients]]\nid = \"demo\"\n[clients.channels.sms]\nallow_unauthenticated = true\n\
         send = {{ api_key = \"k-1\" }}\n"
    )
}

/// What was told of accounts, in order: the status of each piece of news.
fn told(receiver: &Receiver) -> Vec<Value> {
    let bodies = receiver.posted().into_iter().map(|(path, body)| {
        assert_eq!(path, "/hook?key=hunter2");
        serde_json::from_slice::<Value>(&body).expect("JSON")
    });
    bodies.filter(|it| it["alert"] == "AccountDisconnected").collect()
}

/// Whether it is kept in the database that the alert was told.
const KEPT: &str = "select count(*) from counters where name = 'alert/AccountDisconnected'";

fn words(news: &[Value]) -> Vec<&str> {
    news.iter().map(|it| it["status"].as_str().unwrap()).collect()
}

async fn is_told(receiver: &Receiver, count: usize) -> Vec<Value> {
    eventually(PATIENCE, async || {
        let told = told(receiver);
        (told.len() >= count).then_some(told)
    })
    .await
}

async fn disconnect(peek: &Peek) {
    let now =
        if peek.is_sqlite() { "cast(unixepoch('subsec') * 1000 as integer)" } else { "now()" };
    let sql = format!(
        "insert into send_accounts (client_id, channel, state, reason, since, paused_until) \
         values ('demo', 'sms', 'disconnected', 'status 401', {now}, {now})"
    );
    peek.execute(&sql).await;
}

async fn connect(peek: &Peek) {
    peek.execute("delete from send_accounts").await;
}

on_both_daemons! {
    async fn an_alert_is_told_once_when_it_begins_and_once_when_it_is_over(place: Place) {
        let receiver = Receiver::start();
        let mut daemon = place.start(&config(&receiver.url())).await;
        let peek = Peek::of(&daemon).await;
        disconnect(&peek).await;
        let began = is_told(&receiver, 1).await;
        assert_eq!((&began[0]["status"], &began[0]["severity"]), (&"began".into(), &"ticket".into()));
        assert_eq!(began[0]["link"], "https://post.example.com/clients");
        assert_eq!(began[0]["runbook"], "docs/OPERATIONS.md#account-disconnected");
        // It is kept in the database that it was told.
        eventually(PATIENCE, async || (peek.number(KEPT).await == 1).then_some(())).await;
        // A restart neither repeats it nor forgets its end.
        peek.close().await;
        daemon.terminate();
        daemon.wait(PATIENCE).await;
        daemon.start_again().await;
        let peek = Peek::of(&daemon).await;
        connect(&peek).await;
        let all = is_told(&receiver, 2).await;
        assert_eq!(words(&all), ["began", "ended"]);
        assert_eq!(all[1]["since"], began[0]["since"]);
        assert!(!daemon.log().contains("hunter2"), "the URL is a secret");
        eventually(PATIENCE, async || (peek.number(KEPT).await == 0).then_some(())).await;
        peek.close().await;
    }

    async fn news_that_failed_is_told_again(place: Place) {
        let receiver = Receiver::start();
        receiver.answers(500);
        let daemon = place.start(&config(&receiver.url())).await;
        let peek = Peek::of(&daemon).await;
        disconnect(&peek).await;
        is_told(&receiver, 1).await;
        receiver.answers(204);
        let all = is_told(&receiver, 2).await;
        assert!(all.iter().all(|it| it["status"] == "began"), "{all:?}");
        assert!(!daemon.log().contains("hunter2"), "the URL is a secret");
        eventually(PATIENCE, async || (peek.number(KEPT).await == 1).then_some(())).await;
        // It was told then, and once.
        connect(&peek).await;
        assert_eq!(words(&is_told(&receiver, 3).await), ["began", "began", "ended"]);
        peek.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_leader_tells() {
    let Some(place) = Place::postgres() else { return };
    let receiver = Receiver::start();
    let config = config(&receiver.url());
    let mut daemons = Vec::new();
    for _ in 0..2 {
        daemons.push(place.start(&config).await);
    }
    let peek = Peek::of(&daemons[0]).await;
    disconnect(&peek).await;
    is_told(&receiver, 1).await;
    connect(&peek).await;
    assert_eq!(words(&is_told(&receiver, 2).await), ["began", "ended"]);
    peek.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_leader_goes_on() {
    let Some(place) = Place::postgres() else { return };
    let receiver = Receiver::start();
    let config = config(&receiver.url());
    let (first, second) = (place.start(&config).await, place.start(&config).await);
    let peek = Peek::of(&second).await;
    disconnect(&peek).await;
    is_told(&receiver, 1).await;
    eventually(PATIENCE, async || (peek.number(KEPT).await == 1).then_some(())).await;
    // Whichever led, the one that is left tells the end, and not the beginning.
    first.terminate();
    first.wait(PATIENCE).await;
    connect(&peek).await;
    assert_eq!(words(&is_told(&receiver, 2).await), ["began", "ended"]);
    peek.close().await;
}
