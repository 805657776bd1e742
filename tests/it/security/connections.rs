//! Connections that send nothing, little, or read nothing: each ends, and none keeps others out.

use crate::{
    on_both_daemons,
    support::{
        both::Place,
        daemon::{Daemon, Options},
        eventually,
        web::{ask, sms, try_ask},
    },
};
use futures_util::future::join_all;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

const CLIENTS: &str = r#"
[server]
request_timeout = "1s"
[[clients]]
id = "acme"
[clients.channels.sms]
secret = "the-secret-of-acme"
"#;
/// Where strangers connect from: another address than that of the test's own requests.
const STRANGER: &str = "127.0.0.3:0";
/// Far beyond every shortened deadline, for a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);
const DRIBBLED_BODY: &str = "Host: x\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn start(place: &Place, limits: &str, open_files: Option<u32>) -> Daemon {
    let env = vec![("POSTROOM_FAULTS".to_owned(), limits.to_owned())];
    Daemon::start(Options { env, open_files, ..place.options(CLIENTS) }).await
}

async fn connect(daemon: &Daemon, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from.parse().unwrap()).unwrap();
    socket.connect(SocketAddr::from(([127, 0, 0, 1], daemon.port()))).await.unwrap()
}

/// A connection over which one request was asked and answered.
async fn answered(daemon: &Daemon) -> TcpStream {
    let mut stream = connect(daemon, STRANGER).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed");
    }
    stream
}

async fn opened_with(daemon: &Daemon, head: &str) -> TcpStream {
    let mut stream = connect(daemon, STRANGER).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// True if the daemon has closed it. Its answers are read and dropped.
fn is_closed(stream: &TcpStream) -> bool {
    let mut buffer = [0; 4_096];
    loop {
        match stream.try_read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Sends these bytes again and again until the daemon has closed the connection.
async fn dribble(what: &str, stream: TcpStream, bytes: &[u8]) {
    let closed = eventually(PATIENCE, async || {
        stream.try_write(bytes).ok();
        is_closed(&stream).then_some(())
    });
    tokio::time::timeout(PATIENCE, closed).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn counted(daemon: &Daemon, metric: &str) -> u64 {
    let text = ask(daemon.get("/metrics")).await.text;
    let line = text.lines().find_map(|it| it.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {metric}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_asks_for_nothing_more_ends_whatever_it_sends() {
    let limits = "limit.http.head=1000ms,limit.http.idle=2000ms";
    let daemon = start(&Place::sqlite(), limits, None).await;
    let stranger = async |what: &'static str, head: &str, bytes: &'static [u8]| {
        dribble(what, opened_with(&daemon, head).await, bytes).await;
    };
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\n{DRIBBLED_BODY}");
    let (nope, closed) = (post("/nope"), post("/webhooks/sms/acme"));
    let put = format!("PUT /webhooks/sms/acme HTTP/1.1\r\n{DRIBBLED_BODY}");
    let admin = post("/api/v1/jobs/cancel");
    let with_token = format!(
        "POST /api/v1/jobs/cancel HTTP/1.1\r\nAuthorization: Bearer {}\r\n{DRIBBLED_BODY}",
        daemon.admin_token()
    );
    let trailers = format!("{nope}0\r\n");
    let health = format!("GET /healthz HTTP/1.1\r\n{DRIBBLED_BODY}");
    tokio::join!(
        stranger("nothing at all", "", b""),
        stranger("half a first head", "GET /healthz HT", b""),
        stranger("a first head that never ends", "GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
        async { dribble("silence after an answer", answered(&daemon).await, b"").await },
        async {
            let stream = answered(&daemon).await;
            stream.try_write(b"G").unwrap();
            dribble("one byte after an answer", stream, b"").await;
        },
        async { dribble("empty lines after an answer", answered(&daemon).await, b"\r\n").await },
        async { dribble("a later head that never ends", answered(&daemon).await, b"G").await },
        stranger("a body for no path", &nope, b"1\r\n{\r\n"),
        stranger("extensions of chunks", &nope, b"1;x=y\r\n{\r\n"),
        stranger("a body with a wrong method", &put, b"1\r\n{\r\n"),
        stranger("a body with a GET", &health, b"1\r\n{\r\n"),
        stranger("a webhook without a secret", &closed, b"1\r\n \r\n"),
        stranger("the admin API without a token", &admin, b"1\r\n{\r\n"),
        stranger("the admin API", &with_token, b"1\r\n{\r\n"),
        stranger("trailers", &trailers, b"X: y\r\n"),
    );
    assert!(counted(&daemon, "postroom_connections_ended_total{reason=\"head\"}").await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_no_answers_is_ended() {
    let daemon = start(&Place::sqlite(), "limit.http.answer=1000ms", None).await;
    let mut stream = connect(&daemon, STRANGER).await;
    // More than the sockets' buffers hold on both sides.
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3_000);
    tokio::select! {
        written = stream.write_all(requests.as_bytes()) => drop(written),
        () = tokio::time::sleep(PATIENCE) => panic!("neither read nor closed"),
        () = eventually(PATIENCE, async || {
            let metric = "postroom_connections_ended_total{reason=\"answer\"}";
            (counted(&daemon, metric).await == 1).then_some(())
        }) => {}
    }
    eventually(PATIENCE, async || {
        let written = stream.try_write(b"G");
        written.is_err_and(|it| it.kind() != std::io::ErrorKind::WouldBlock).then_some(())
    })
    .await;
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn two_hundred_slow_connections_hold_no_webhook_up(place: Place) {
        let daemon = start(&place, "", None).await;
        let heads = [
            "",
            "GET /healthz HTTP/1.1\r\nHo",
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nG",
            "POST /nope HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
            "POST /webhooks/sms/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        ];
        let slow = (0..200).map(|it| opened_with(&daemon, heads[it % heads.len()]));
        let slow = join_all(slow).await;
        for number in 0..50 {
            let body = sms(number, "Could you call me tomorrow?");
            let post = daemon.webhook("sms", "acme").bearer_auth("the-secret-of-acme");
            let answer = ask(post.json(&body)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        drop(slow);
    }

    #[ignore = "long: `just long`"]
    async fn descriptors_never_run_out(place: Place) {
        let daemon = start(&place, "", Some(128)).await;
        let held: Vec<TcpStream> =
            join_all((0..200).map(|_| opened_with(&daemon, "GET /healthz HTTP/1.1\r\nHo"))).await;
        // Over new connections, each of which needs a descriptor. One whose head has not arrived
        // may be closed for one of those that are still being accepted.
        let is_answered = async |request: &dyn Fn() -> reqwest::RequestBuilder| {
            let ask = async || try_ask(request().header("connection", "close")).await;
            let answer = eventually(PATIENCE, ask).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        };
        for number in 0..20 {
            let body = sms(number, "Could you call me tomorrow?");
            let post = || daemon.webhook("sms", "acme").bearer_auth("the-secret-of-acme");
            is_answered(&|| post().json(&body)).await;
            is_answered(&|| daemon.get("/healthz")).await;
            is_answered(&|| daemon.api(reqwest::Method::GET, "/overview")).await;
        }
        let log = daemon.log().to_lowercase();
        assert!(!log.contains("too many open files"), "{log}");
        assert!(!log.contains("unable to open database file"), "{log}");
        assert!(held.iter().any(is_closed), "some had to leave");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_may_open_256_connections_and_others_are_served() {
    let daemon = start(&Place::sqlite(), "limit.http.head=120000ms", None).await;
    let held: Vec<TcpStream> = join_all((0..300).map(|_| connect(&daemon, STRANGER))).await;
    let closed = || held.iter().filter(|it| is_closed(it)).count();
    eventually(PATIENCE, async || (closed() == 44).then_some(())).await;
    let refused = "postroom_connections_refused_total{reason=\"address\"}";
    assert_eq!(counted(&daemon, refused).await, 44);
    for from in ["127.0.0.2:0", "127.0.0.1:0"] {
        let mut other = connect(&daemon, from).await;
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        other.write_all(request).await.unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{from}: {answer}");
    }
    assert_eq!(closed(), 44);
    let lines = daemon.log().lines().filter(|it| it.contains("connections are refused")).count();
    assert_eq!(lines, 1, "one line a minute");
    // A connection that closes makes room.
    drop(held);
    eventually(PATIENCE, async || {
        let stream = connect(&daemon, STRANGER).await;
        stream.writable().await.ok()?;
        let mut stream = stream;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.ok()?;
        answer.ends_with(b"200").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_is_counted_and_leaves_no_line_in_the_log() {
    let daemon = start(&Place::sqlite(), "", None).await;
    let (before, long) = (daemon.log(), format!("GET /{} HTTP/1.1\r\n", "x".repeat(70_000)));
    let kinds = [
        "GET / HTTP/1.1\r\nX: \u{1}\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        "nonsense\r\n\r\n",
        long.as_str(),
    ];
    for kind in kinds.iter().cycle().take(39) {
        let stream = opened_with(&daemon, kind).await;
        dribble("no HTTP", stream, b"\r\n").await;
    }
    eventually(PATIENCE, async || {
        (counted(&daemon, "postroom_http_malformed_total").await >= 30).then_some(())
    })
    .await;
    assert_eq!(daemon.log(), before);
}
