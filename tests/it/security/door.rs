//! Access to the admin API, and the paths that anybody may ask for.

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options, Until},
        eventually,
        web::{Answer, ask, mail, sms},
    },
};
use futures_util::future::join_all;
use reqwest::Method;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

async fn with_token(daemon: &Daemon, token: &str) -> Answer {
    ask(daemon.get("/api/v1/overview").bearer_auth(token)).await
}

async fn metrics(daemon: &Daemon) -> String {
    ask(daemon.get("/metrics")).await.text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_are_counted_logged_and_held_up_and_the_right_one_is_not() {
    let daemon = Place::sqlite().start("").await;
    ask(daemon.get("/api/v1/overview")).await.is_problem(401, "unauthenticated");
    for number in 0..10 {
        let answer = with_token(&daemon, &format!("a-guess-{number}")).await;
        answer.is_problem(401, "unauthenticated");
    }
    for number in 0..40 {
        let answer = with_token(&daemon, &format!("another-guess-{number}")).await;
        answer.is_problem(429, "rate-limited");
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{answer:?}");
        let right = with_token(&daemon, daemon.admin_token()).await;
        assert_eq!(right.status, 200, "{right:?}");
    }
    let text = metrics(&daemon).await;
    for line in [
        "postroom_admin_refused_total{reason=\"no_token\"} 1",
        "postroom_admin_refused_total{reason=\"wrong_token\"} 10",
        "postroom_admin_refused_total{reason=\"throttled\"} 40",
        "postroom_admin_refused_total{reason=\"plain\"} 0",
    ] {
        assert!(text.lines().any(|it| it == line), "no `{line}`");
    }
    let log = daemon.log();
    let lines: Vec<&str> =
        log.lines().filter(|it| it.contains("did not let somebody in")).collect();
    assert_eq!(lines.len(), 1, "one line a minute and address: {lines:?}");
    assert!(lines[0].contains("127.0.0.1") && !log.contains("guess"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_behind_a_proxy_holds_up_nobody_else_behind_it() {
    let config = "server.trusted_proxies = [\"127.0.0.1\"]\n[[clients]]\nid = \"acme\"\n";
    let daemon = Place::sqlite().start(config).await;
    let guess = async |from: Option<&str>| {
        let mut request = daemon.get("/api/v1/overview").bearer_auth("a-guess");
        if let Some(from) = from {
            request = request.header("x-forwarded-for", from);
        }
        ask(request).await.status
    };
    for _ in 0..10 {
        assert_eq!(guess(Some("203.0.113.9:4711")).await, 401);
        assert_eq!(guess(Some("2001:db8::1")).await, 401);
    }
    assert_eq!(guess(Some("203.0.113.9")).await, 429);
    // The sender wrote the part before it.
    assert_eq!(guess(Some("198.51.100.1, 203.0.113.9")).await, 429);
    assert_eq!(guess(Some("2001:db8::2")).await, 429, "the same block");
    assert_eq!(guess(Some("203.0.113.10")).await, 401);
    for _ in 0..30 {
        assert_eq!(guess(None).await, 401, "the proxy itself is never held up");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_an_address_counts_for_every_path_and_not_for_the_right_token() {
    let config = "server.address_rate_limit = \"3/h\"";
    // Its start is not waited for by requests, which would count.
    let options = Options { until: Until::Started, ..Place::sqlite().options(config) };
    let daemon = Daemon::start(options).await;
    eventually(PATIENCE, async || daemon.log().contains(" ready").then_some(())).await;
    let paths = ["/healthz", "/readyz", "/metrics", "/nope", "/webhooks/fax/acme", "/api/v1/jobs"];
    let statuses = join_all(paths.map(|path| ask(daemon.get(path)))).await;
    let limited = statuses.iter().filter(|it| it.status == 429).count();
    assert_eq!(limited, paths.len() - 3, "{statuses:?}");
    for path in paths {
        ask(daemon.get(path)).await.is_problem(429, "rate-limited");
    }
    // Webhooks have the same limit for themselves.
    for number in 0..3 {
        let post = daemon.webhook("sms", "demo").json(&sms(number, "Hello"));
        assert_eq!(ask(post).await.outcome(), "accepted");
    }
    let post = daemon.webhook("sms", "demo").json(&sms(4, "Hello"));
    ask(post).await.is_problem(429, "rate-limited");
    for _ in 0..5 {
        assert_eq!(ask(daemon.api(Method::GET, "/overview")).await.status, 200);
    }
}

on_both_daemons! {
    async fn a_burst_of_one_client_leaves_room_for_another(place: Place) {
        let config = r#"
            [server]
            request_timeout = "3s"
            [ingest]
            queue = 8
            [[clients]]
            id = "acme"
            [clients.channels.sms]
            [[clients]]
            id = "beta"
            [clients.channels.sms]
            [clients.channels.instantly]
        "#;
        let daemon = place.start(config).await;
        let held = Peek::of(&daemon).await.hold().await;
        let bodies: Vec<_> = (0..8).map(|it| sms(it, &format!("Hello number {it}"))).collect();
        let burst = join_all(bodies.iter().map(|it| ask(daemon.webhook("sms", "acme").json(it))));
        let beta = async {
            // The others of the burst are inside now, and stay there until the database is free.
            let full = "postroom_webhooks_total{channel=\"sms\",outcome=\"queue_full\"} 2";
            eventually(PATIENCE, async || metrics(&daemon).await.contains(full).then_some(())).await;
            let other_channel = daemon.webhook("instantly", "beta").json(&mail(900));
            let same_channel = daemon.webhook("sms", "beta").json(&sms(901, "Hello from beta"));
            tokio::join!(ask(other_channel), ask(same_channel))
        };
        let (burst, (other_channel, same_channel)) = tokio::join!(burst, beta);
        let of_kind = |kind| burst.iter().filter(|it| it.field("type") == kind).count();
        assert_eq!(of_kind("urn:postroom:queue-full"), 2, "{burst:?}");
        assert_eq!(of_kind("urn:postroom:database-away"), 6, "{burst:?}");
        // They were taken in, and the commit took too long.
        other_channel.is_problem(429, "database-away");
        same_channel.is_problem(429, "database-away");
        held.release().await;
        for body in &bodies {
            eventually(PATIENCE, async || {
                let answer = ask(daemon.webhook("sms", "acme").json(body)).await;
                matches!(answer.outcome(), "accepted" | "duplicate").then_some(())
            })
            .await;
        }
    }
}
