//! A page in somebody's browser, or a tunnel to this machine, is not this machine.

use crate::support::{
    both::{Peek, Place},
    daemon::Daemon,
    web::{Answer, ask, sms},
};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CONFIG: &str = r#"
[server]
hosts = ["postroom", "Postroom.Internal"]
[[clients]]
id = "here"
[clients.channels.sms]
[clients.channels.smartlead]
[[clients]]
id = "anybody"
[clients.channels.sms]
allow_unauthenticated = true
[[clients]]
id = "acme"
channels.sms.secret = "the-secret-of-acme-7f3a"
"#;

const HARDENING: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

async fn post(daemon: &Daemon, client: &str, name: &str, value: &str) -> Answer {
    let request = daemon.webhook("sms", client).header(name, value);
    ask(request.body(sms(1, "STOP. Unsubscribe me").to_string())).await
}

/// Sends a request as it is, and returns the answer's status.
async fn status_of(daemon: &Daemon, request: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") && stream.read_buf(&mut answer).await.unwrap() > 0 {
        if answer.len() > 12 {
            break;
        }
    }
    let line = String::from_utf8_lossy(&answer).into_owned();
    line.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_without_a_secret_takes_what_this_machine_posts_itself() {
    let daemon = Place::sqlite().start(CONFIG).await;
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-host", "post.example.com"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
        ("cf-connecting-ip", "203.0.113.9"),
        ("true-client-ip", "203.0.113.9"),
        ("host", "post.example.com"),
        ("host", "rebind.example:8080"),
    ] {
        post(&daemon, "here", name, value).await.is_problem(401, "unauthenticated");
        let let_in = post(&daemon, "anybody", name, value).await;
        assert_eq!(let_in.status, 200, "{name}: {let_in:?}");
    }
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
    ] {
        for client in ["here", "anybody"] {
            post(&daemon, client, name, value).await.is_problem(401, "unauthenticated");
        }
        // A request with the right secret is let in, even from a program in a browser.
        let request = daemon.webhook("sms", "acme").bearer_auth("the-secret-of-acme-7f3a");
        let answer = ask(request.header(name, value).json(&sms(1, "Hello"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // The body is no way around.
    let smartlead = daemon.webhook("smartlead", "here").header("origin", "null");
    let body = serde_json::json!({"event_type": "EMAIL_REPLY", "secret_key": ""});
    ask(smartlead.json(&body)).await.is_problem(401, "unauthenticated");
    let db = Peek::of(&daemon).await;
    let of_here = "select count(*) from messages where client_id = 'here'";
    assert_eq!(db.number(of_here).await, 0);
    // The log says why, once.
    let log = daemon.log();
    let lines: Vec<&str> = log.lines().filter(|it| it.contains("without a secret")).collect();
    assert!(lines.len() == 1 && lines[0].contains("x-forwarded-for"), "{lines:?}");
    // As `curl` posts it.
    for host in ["127.0.0.1:8080", "localhost:8080", "[::1]"] {
        let answer = post(&daemon, "here", "host", host).await;
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
    assert_eq!(db.number(of_here).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_host_names_are_answered_nothing() {
    let config = format!("{CONFIG}\n").replace("[server]", "[server]\npublic_url = \"\"");
    let daemon = Place::sqlite().start(&config).await;
    for path in ["/readyz", "/metrics", "/api/v1/overview", "/api/v1/nothing", "/", "/webhooks"] {
        for host in ["rebind.example", "rebind.example:8080", "localhost.example", "2130706433"] {
            let request = daemon.api(Method::GET, "/").build().unwrap();
            let token = request.headers()["authorization"].clone();
            let request = daemon.get(path).header("host", host).header("authorization", token);
            let answer = ask(request).await;
            answer.is_problem(421, "foreign-host");
            assert!(answer.field("detail").contains("server.hosts"), "{answer:?}");
        }
        for host in ["127.0.0.1", "10.0.0.7:80", "localhost", "POSTROOM:8080", "postroom.internal."]
        {
            let status = ask(daemon.get(path).header("host", host)).await.status;
            assert_ne!(status, 421, "{path} of {host}");
        }
    }
    for path in ["/healthz", "/webhooks/sms/here"] {
        assert_eq!(ask(daemon.get(path).header("host", "rebind.example")).await.status, 200);
    }
    for (request, expected) in [
        ("GET http://rebind.example/readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421),
        ("GET http://127.0.0.1/readyz HTTP/1.1\r\nHost: rebind.example\r\n\r\n", 200),
        ("GET http://127.0.0.1@rebind.example/readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421),
        ("GET /readyz HTTP/1.0\r\n\r\n", 421),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", 200),
        ("GET /readyz HTTP/1.1\r\nHost:\r\n\r\n", 421),
    ] {
        assert_eq!(status_of(&daemon, request).await, expected, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_of_the_public_url_is_one_of_ours() {
    let config = "[server]\npublic_url = \"https://Post.example.com/below\"\n[[clients]]\nid = \"acme\"\n\
                  channels.sms.secret = \"the-secret-of-acme-7f3a\"\n";
    let daemon = Place::sqlite().start(config).await;
    let readyz = |host: &'static str| ask(daemon.get("/readyz").header("host", host));
    assert_eq!(readyz("post.example.com").await.status, 200);
    assert_eq!(readyz("x.example.com").await.status, 421);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_that_it_is_for_no_other_site() {
    let daemon = Place::sqlite().start(CONFIG).await;
    let http = |method: Method, path: &str| daemon.http.request(method, daemon.url(path));
    let open = || daemon.webhook("sms", "here");
    for (request, status) in [
        (http(Method::GET, "/healthz"), 200),
        (http(Method::POST, "/healthz"), 405),
        (http(Method::GET, "/readyz"), 200),
        (http(Method::GET, "/metrics"), 200),
        (http(Method::GET, "/nothing"), 404),
        (http(Method::GET, "/webhooks/sms/here"), 200),
        (http(Method::GET, "/webhooks/fax/here"), 404),
        (http(Method::PUT, "/webhooks/sms/here"), 405),
        (http(Method::OPTIONS, "/webhooks/sms/here"), 405),
        (http(Method::GET, "/api/v1/overview"), 401),
        (http(Method::GET, "/api/v1/nothing"), 401),
        (daemon.api(Method::GET, "/overview"), 200),
        (daemon.api(Method::GET, "/nothing"), 404),
        (daemon.api(Method::GET, "/jobs?limit=0"), 400),
        (daemon.api(Method::DELETE, "/jobs"), 405),
        (http(Method::GET, "/readyz").header("host", "rebind.example"), 421),
        (open().json(&sms(1, "Hello")), 200),
        (open().body("not json"), 400),
        (open().body(vec![b' '; 3 << 20]), 413),
        (open().header("content-encoding", "zstd").body("{}"), 415),
        (daemon.webhook("sms", "nobody").body("{}"), 401),
    ] {
        let answer = ask(request).await;
        assert_eq!(answer.status, status, "{answer:?}");
        for (name, value) in HARDENING {
            assert_eq!(answer.header(name), value, "{name} of {answer:?}");
            assert_eq!(answer.headers.get_all(name).iter().count(), 1);
        }
        for name in ["access-control-allow-origin", "server"] {
            assert!(answer.headers.get(name).is_none(), "{answer:?}");
        }
    }
}
