//! TLS on the daemon's own socket.

use crate::support::{
    both::Place,
    daemon::{Daemon, Options, Until},
    eventually,
    process::Scratch,
    web::{Answer, ask, sms},
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A certificate for `localhost` and 127.0.0.1, valid for a hundred years, and its key. Both are
/// for tests alone.
const CERT: &str = include_str!("localhost.cert.pem");
const KEY: &str = include_str!("localhost.key.pem");
/// Another such pair.
const RENEWED_CERT: &str = include_str!("renewed.cert.pem");
const RENEWED_KEY: &str = include_str!("renewed.key.pem");
const PATIENCE: Duration = Duration::from_secs(30);

fn write(directory: &Path, name: &str, text: &str, mode: u32) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn config(cert: &str, key: &str) -> String {
    format!(
        "server.tls = {{ cert = \"{cert}\", key = \"{key}\" }}\n\
         [[clients]]\nid = \"acme\"\n[clients.channels.sms]\nsecret = \"the-secret-of-acme\"\n"
    )
}

async fn start(config: &str, env: &str) -> Daemon {
    let env = vec![("POSTROOM_FAULTS".to_owned(), env.to_owned())];
    let options = Options { env, until: Until::Started, ..Place::sqlite().options(config) };
    let daemon = Daemon::start(options).await;
    eventually(PATIENCE, async || daemon.log().contains(" ready ").then_some(())).await;
    daemon
}

/// A client that trusts the certificate of these tests and no other.
fn https() -> reqwest::Client {
    trusting(CERT)
}

/// A client that trusts this certificate and no other.
fn trusting(cert: &str) -> reqwest::Client {
    // Fails when another test of this process installed it before, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let cert = reqwest::Certificate::from_pem(cert.as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([cert]).build().unwrap()
}

/// Why a daemon with this configuration does not start.
async fn refusal(config: &str) -> String {
    let options = Options { until: Until::Started, ..Place::sqlite().options(config) };
    let daemon = Daemon::start(options).await;
    let ended = daemon.ended_within(PATIENCE).await.expect("it does not start");
    assert_eq!(ended.code(), Some(2), "{}", daemon.log());
    daemon.log()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_and_the_admin_api_are_served_over_tls_and_not_in_clear() {
    let files = Scratch::new("tls");
    let cert = write(files.path(), "cert.pem", CERT, 0o644);
    let key = write(files.path(), "key.pem", KEY, 0o600);
    let daemon = start(&config(&cert, &key), "limit.http.head=1000ms").await;
    let (client, port) = (https(), daemon.port());
    let base = format!("https://127.0.0.1:{port}");
    let post = async |number: u64| -> Answer {
        let request = client.post(format!("{base}/webhooks/sms/acme"));
        let body = sms(number, "Could you call me tomorrow?");
        ask(request.bearer_auth("the-secret-of-acme").json(&body)).await
    };
    // Over one connection that is kept, and bodies in more than one record.
    for number in 0..3 {
        assert_eq!(post(number).await.outcome(), "accepted");
    }
    let large = client.post(format!("{base}/webhooks/sms/acme")).bearer_auth("the-secret-of-acme");
    let large = ask(large.json(&sms(9, &"Hello. ".repeat(100_000)))).await;
    assert_eq!(large.outcome(), "accepted", "{large:?}");
    let overview = client.get(format!("{base}/api/v1/overview")).bearer_auth(daemon.admin_token());
    assert_eq!(ask(overview).await.status, 200);
    assert!(!daemon.log().contains("may read or change the key"), "{}", daemon.log());
    // A request in clear is not answered, and a silent connection is not waited for.
    for request in ["GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", ""] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let read = tokio::time::timeout(PATIENCE, read).await.expect("the daemon hangs up");
        assert!(read.is_err() || !answer.starts_with(b"HTTP"), "{answer:?}");
    }
}

/// New connections use a renewed certificate soon. Half of a pair is not used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_counts_without_a_restart() {
    const SOON: Duration = Duration::from_secs(2);
    let files = Scratch::new("tls");
    let cert = write(files.path(), "cert.pem", CERT, 0o644);
    let key = write(files.path(), "key.pem", KEY, 0o600);
    let daemon = start(&config(&cert, &key), "").await;
    let url = format!("https://127.0.0.1:{}/healthz", daemon.port());
    let is_served = async |cert: &str| trusting(cert).get(&url).send().await.is_ok();
    assert!(is_served(CERT).await && !is_served(RENEWED_CERT).await);
    write(files.path(), "cert.pem", RENEWED_CERT, 0o644);
    let refused = async || daemon.log().contains("cannot be used together").then_some(());
    eventually(PATIENCE, refused).await;
    assert!(is_served(CERT).await, "the pair of before serves on");
    write(files.path(), "key.pem", RENEWED_KEY, 0o600);
    eventually(SOON, async || is_served(RENEWED_CERT).await.then_some(())).await;
    assert!(!is_served(CERT).await);
    // TLS can be left off, too.
    fs::write(daemon.directory().join("test.toml"), "# in clear\n").unwrap();
    let clear = daemon.get("/healthz");
    let in_clear = async || clear.try_clone().unwrap().send().await.is_ok().then_some(());
    eventually(SOON, in_clear).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_served_are_named_at_the_start() {
    let files = Scratch::new("tls");
    let directory = files.path();
    let cert = write(directory, "cert.pem", CERT, 0o644);
    let key = write(directory, "key.pem", KEY, 0o600);
    let text = write(directory, "text.pem", "no certificate", 0o600);
    let large = write(directory, "large.pem", &"x".repeat((1 << 20) + 1), 0o600);
    let (missing, pipe) = (directory.join("missing.pem"), directory.join("pipe.pem"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let (missing, pipe) = (missing.to_str().unwrap(), pipe.to_str().unwrap());
    for (cert, key, expected) in [
        (missing, key.as_str(), [missing, "server.tls.cert"]),
        (cert.as_str(), missing, [missing, "server.tls.key"]),
        (cert.as_str(), pipe, [pipe, "no regular file"]),
        (cert.as_str(), "/dev/zero", ["/dev/zero", "no regular file"]),
        (large.as_str(), key.as_str(), [large.as_str(), "larger than"]),
        (text.as_str(), key.as_str(), [text.as_str(), "no certificate in PEM"]),
        (cert.as_str(), text.as_str(), [text.as_str(), "no private key in PEM"]),
        (cert.as_str(), "", ["server.tls.key", "TLS needs both"]),
        ("", key.as_str(), ["server.tls.cert", "TLS needs both"]),
    ] {
        let log = refusal(&config(cert, key)).await;
        assert!(expected.iter().all(|it| log.contains(it)), "{expected:?}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_others_can_read_is_warned_of() {
    let files = Scratch::new("tls");
    let cert = write(files.path(), "cert.pem", CERT, 0o644);
    let key = write(files.path(), "key.pem", KEY, 0o644);
    let daemon = start(&config(&cert, &key), "").await;
    assert!(daemon.log().contains("may read or change the key"), "{}", daemon.log());
}
