//! Streams of updates, and the verdict of the overview (docs/decisions/0038-live-updates.md).

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options},
        eventually,
        web::{Answer, ask, mail, sms},
    },
};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use socket2::SockRef;
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::Instant,
};

const KIND: &str = "SMS_INBOUND_POST_PROCESS";
/// Text messages are stored, and their jobs wait.
const PAUSED: &str = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n";
const PROMPT: Duration = Duration::from_secs(20);

/// A stream, and what it has told so far.
struct Stream {
    response: reqwest::Response,
    text: String,
    read: usize,
    /// By topic and key.
    values: BTreeMap<(String, String), String>,
    /// The topic of each update, in order.
    updates: Vec<String>,
}

impl Stream {
    async fn open(daemon: &Daemon, owner: &str, topics: &str) -> Self {
        let response = Self::try_open(daemon, owner, topics).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("x-accel-buffering"), "no");
        assert_eq!(header("cache-control"), "no-store");
        let (text, values, updates) = Default::default();
        Self { response, text, read: 0, values, updates }
    }

    async fn try_open(daemon: &Daemon, owner: &str, topics: &str) -> reqwest::Response {
        let path = format!("/events?topics={topics}");
        let request = daemon.api(Method::GET, &path).header("x-postroom-actor", owner);
        request.timeout(Duration::from_secs(300)).send().await.unwrap()
    }

    /// Reads what comes next. False once the stream has ended.
    async fn read(&mut self) -> bool {
        let Some(bytes) = self.response.chunk().await.expect("it ends in an orderly way") else {
            return false;
        };
        self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        while let Some(length) = self.text[self.read..].find("\n\n") {
            let block = self.text[self.read..self.read + length].to_owned();
            self.read += length + 2;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let Some(topic) = field("event: ") else { continue };
            let data: Value = serde_json::from_str(field("data: ").unwrap()).unwrap();
            self.updates.push(topic.to_owned());
            let values = data["values"].as_object().into_iter().flatten();
            for (key, value) in values {
                let key = (topic.to_owned(), key.clone());
                self.values.insert(key, value.as_str().unwrap().to_owned());
            }
        }
        true
    }

    fn value(&self, topic: &str, key: &str) -> Option<&str> {
        self.values.get(&(topic.to_owned(), key.to_owned())).map(String::as_str)
    }

    /// Reads until a value is as expected.
    async fn shows(&mut self, topic: &str, key: &str, expected: &str) {
        let reading = async {
            while self.value(topic, key) != Some(expected) {
                assert!(self.read().await, "the stream has ended");
            }
        };
        if tokio::time::timeout(PROMPT, reading).await.is_err() {
            panic!("{topic}/{key} is not {expected}: {:#?}", self.values);
        }
    }

    /// Reads to its end.
    async fn ends(mut self) -> Self {
        let reading = async { while self.read().await {} };
        tokio::time::timeout(PROMPT, reading).await.expect("it ends");
        self
    }
}

async fn post(daemon: &Daemon, lead: u64, text: &str) -> Answer {
    let answer = ask(daemon.webhook("sms", "demo").json(&sms(lead, text))).await;
    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    answer
}

async fn verdict(daemon: &Daemon) -> Value {
    ask(daemon.api(Method::GET, "/overview")).await.body["verdict"].take()
}

/// The names of the rules that find something.
fn rules(verdict: &Value) -> Vec<&str> {
    verdict["wrong"].as_array().unwrap().iter().map(|it| it["alert"].as_str().unwrap()).collect()
}

async fn has_rule(daemon: &Daemon, rule: &str) -> Value {
    eventually(PROMPT, async || {
        let verdict = verdict(daemon).await;
        rules(&verdict).contains(&rule).then_some(verdict)
    })
    .await
}

on_both_daemons! {
    async fn what_is_shown_changes_with_the_jobs(place: Place) {
        let daemon = place.start(PAUSED).await;
        let text = "Could you call me tomorrow?";
        let answer = post(&daemon, 1, text).await;
        let (job, message) = (answer.job_ids().remove(0), answer.field("message_id").to_owned());
        let lead = ask(daemon.api(Method::GET, &format!("/messages/{message}"))).await;
        let lead = lead.field("lead_id").to_owned();
        let (job, lead) = (format!("job/{job}"), format!("lead/{lead}"));
        let topics = format!("totals,pools,actors,config,drafts,{job},{lead}");
        let mut stream = Stream::open(&daemon, "dana", &topics).await;
        // First all of it.
        stream.shows(&job, "status", "pending").await;
        stream.shows(&lead, "message", &message).await;
        stream.shows(&lead, "watching", "1").await;
        stream.shows("pools", &format!("{KIND}/state"), "paused").await;
        stream.shows("pools", &format!("{KIND}/backlog"), "1").await;
        stream.shows("totals", "jobs/pending", "1").await;
        stream.shows("totals", "database", "there").await;
        stream.shows("actors", "recorder/state", "idle").await;
        stream.shows("config", "state", "ok").await;
        stream.shows("drafts", "pending", "0").await;
        // Then what changes: by hand, at once,
        let path = format!("/{}", job.replace("job/", "jobs/"));
        for (deed, status) in [("cancel", "cancelled"), ("retry", "pending")] {
            let began = Instant::now();
            ask(daemon.api(Method::POST, &format!("{path}/{deed}"))).await;
            stream.shows(&job, "status", status).await;
            eprintln!("{deed} was shown after {:?}", began.elapsed());
        }
        // and by handlers.
        let change = json!({"paused": false});
        ask(daemon.api(Method::PATCH, &format!("/pools/{KIND}")).json(&change)).await;
        stream.shows("pools", &format!("{KIND}/state"), "running").await;
        stream.shows("config", "overrides", "1").await;
        stream.shows(&job, "status", "succeeded").await;
        stream.shows("totals", "jobs/pending", "0").await;
        let draft = stream.value(&lead, "draft").unwrap_or_default().to_owned();
        eprintln!("the draft {draft} of the lead");
        assert!(!stream.text.contains(text), "no text is told");
        assert!(!stream.text.contains("demo"), "nor whose it is");
    }
}

on_both_daemons! {
    async fn a_stop_with_twenty_streams_is_as_quick_as_one_without(place: Place) {
        let mut took = Vec::new();
        for count in [0, 20] {
            let daemon = place.start("").await;
            let mut streams = Vec::new();
            for number in 0..count {
                let owner = format!("user {}", number % 5);
                let mut stream = Stream::open(&daemon, &owner, "totals,pools,actors").await;
                stream.shows("actors", "janitor/restarts", "0").await;
                streams.push(stream);
            }
            let began = Instant::now();
            daemon.terminate();
            for stream in streams {
                stream.ends().await;
            }
            let status = daemon.wait(Duration::from_secs(20)).await;
            took.push(began.elapsed());
            assert_eq!(status.code(), Some(0));
            let log = daemon.log();
            assert!(!log.contains("connections were still open"), "{log}");
        }
        eprintln!("without and with: {took:?}");
        assert!(took[1] < took[0] + Duration::from_millis(700), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_and_what_is_wrong_is_said() {
    let daemon = Place::sqlite().start("").await;
    let refused = async |topics: &str| {
        let path = format!("/events{topics}");
        ask(daemon.api(Method::GET, &path)).await
    };
    for (topics, part) in [
        ("", "name at least one"),
        ("?topics=", "name at least one"),
        ("?topics=pools,jobs", "unknown topic `jobs`"),
        ("?topics=job/x", "unknown topic `job/x`"),
        ("?topic=pools", "`topic`"),
    ] {
        let answer = refused(topics).await;
        answer.is_problem(400, "bad-request");
        assert!(answer.text.contains(part), "{topics}: {answer:?}");
    }
    let many: Vec<String> = (1..=101).map(|id| format!("job/{id}")).collect();
    refused(&format!("?topics={}", many.join(","))).await.is_problem(400, "bad-request");
    ask(daemon.get("/api/v1/events?topics=pools")).await.is_problem(401, "unauthenticated");
    ask(daemon.api(Method::POST, "/events?topics=pools"))
        .await
        .is_problem(405, "method-not-allowed");
    // 8 of one owner, 64 in all.
    let open = async |owner: &str| Stream::try_open(&daemon, owner, "config").await;
    let mut streams = Vec::new();
    for number in 0..64 {
        let owner = format!("user {}", number / 8);
        let stream = open(&owner).await;
        assert_eq!(stream.status(), StatusCode::OK, "{number}");
        streams.push(stream);
        if number % 8 == 7 {
            let refused = open(&owner).await;
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(refused.headers()["retry-after"], "5");
        }
    }
    let refused = open("another").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.text().await.unwrap().contains("64 streams are open"));
    let open_now = async || {
        let text = ask(daemon.get("/metrics")).await.text;
        let line = text.lines().find_map(|it| it.strip_prefix("postroom_event_streams "));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(open_now().await, 64);
    // Webhooks and other requests go on.
    post(&daemon, 1, "Hello").await;
    // A place is free once a stream is closed.
    streams.truncate(32);
    eventually(PROMPT, async || (open_now().await == 32).then_some(())).await;
    assert_eq!(open("another").await.status(), StatusCode::OK);
    // What was pruned is told as gone.
    let mut gone = Stream::open(&daemon, "gone", "job/7,lead/7").await;
    gone.shows("job/7", "status", "gone").await;
    gone.shows("lead/7", "status", "gone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_its_token_is_changed() {
    let mut daemon = Place::sqlite().start("").await;
    let mut stream = Stream::open(&daemon, "dana", "config").await;
    stream.shows("config", "state", "ok").await;
    daemon.configure("[admin]\ntoken = \"another-admin-token-for-tests\"\n");
    stream.ends().await;
    ask(daemon.api(Method::GET, "/events?topics=config")).await.is_problem(401, "unauthenticated");
}

/// Posts until a stream has told so many bytes, and returns how many MiB the daemon has grown by.
/// Meanwhile `slow` ones are read slowly.
async fn grown_while(
    daemon: &Daemon,
    stream: &mut Stream,
    slow: &mut [SlowStream],
    bytes: usize,
) -> u64 {
    let (before, until) = (daemon.resident_mib(), stream.text.len() + bytes);
    let number = AtomicU64::new(0);
    let posting = join_all((0..4).map(async |_| {
        loop {
            let number = number.fetch_add(1, Ordering::Relaxed);
            post(daemon, number % 50, &format!("Hello {number} of {until}")).await;
        }
    }));
    let reading = async {
        while stream.text.len() < until {
            assert!(stream.read().await);
        }
    };
    let reading_slowly = async {
        loop {
            tokio::time::sleep(SLOW_PAUSE).await;
            for slow in &mut *slow {
                slow.read().await;
            }
        }
    };
    tokio::select! {
        _ = posting => unreachable!("it goes on"),
        () = reading_slowly => unreachable!("it goes on"),
        () = reading => {}
    }
    daemon.resident_mib().saturating_sub(before)
}

/// How often a slow stream is read: a connection of which nothing is read for 30 s is closed.
const SLOW_PAUSE: Duration = Duration::from_secs(5);

/// A stream that is read slowly, over a connection that buffers little.
struct SlowStream {
    stream: TcpStream,
    told: String,
}

impl SlowStream {
    /// Opens it. The daemon's side of a connection buffers by the size of segments, which is 64 KiB
    /// over loopback.
    async fn open(daemon: &Daemon) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        SockRef::from(&socket).set_tcp_mss(536).unwrap();
        let address = format!("127.0.0.1:{}", daemon.port()).parse().unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!(
            "GET /api/v1/events?topics=totals,pools,actors HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
            daemon.admin_token()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, told: String::new() }
    }

    /// Reads at most 1 KiB.
    async fn read(&mut self) {
        let mut bytes = [0; 1_024];
        let length = self.stream.read(&mut bytes).await.unwrap();
        assert!(length > 0, "the stream has ended: {}", self.told);
        self.told.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }

    /// Reads until it was told to begin again, and has all values behind that.
    async fn begins_again(&mut self) {
        let reading = async {
            loop {
                self.read().await;
                let Some((_, behind)) = self.told.split_once("event: resync\ndata: {}\n\n") else {
                    continue;
                };
                let topics = ["totals", "pools", "actors"].map(|it| format!("event: {it}\n"));
                if topics.iter().all(|topic| behind.contains(topic)) {
                    return;
                }
            }
        };
        tokio::time::timeout(PROMPT, reading).await.expect("it is told to begin again");
    }
}

/// Seven streams are read slowly while values change a hundred times a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn slow_readers_cost_no_memory_and_are_told_to_begin_again() {
    // With the quick one, as many as one person may have.
    const READERS: usize = 7;
    let options = Options {
        env: vec![("POSTROOM_FAULTS".to_owned(), "limit.http.pulse=5ms".to_owned())],
        ..Place::sqlite().options("")
    };
    let daemon = Daemon::start(options).await;
    let mut quick = Stream::open(&daemon, "quick", "totals,pools,actors").await;
    quick.shows("pools", &format!("{KIND}/busy"), "0").await;
    // The load costs memory, too: at first without slow readers.
    let usual = grown_while(&daemon, &mut quick, &mut [], 32 << 10).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(SlowStream::open(&daemon).await);
    }
    let grown = grown_while(&daemon, &mut quick, &mut readers, 256 << 10).await;
    eprintln!("{usual} MiB without, then {grown} MiB with slow readers");
    assert!(!quick.updates.iter().any(|it| it == "resync"), "who reads is told all");
    assert!(grown < usual.max(48), "{grown} MiB, after {usual} MiB without slow readers");
    readers[0].begins_again().await;
}

on_both_daemons! {
    async fn the_verdict_says_what_is_wrong_and_since_when(place: Place) {
        let mut daemon = place.start("").await;
        let well = eventually(PROMPT, async || {
            let verdict = verdict(&daemon).await;
            (verdict["state"] == "well").then_some(verdict)
        })
        .await;
        assert_eq!(well, json!({"state": "well", "sentence": "All is well", "wrong": [], "more": 0}));
        // A note is no alert.
        let pause = json!({"paused": true, "note": "a flood"});
        let request = daemon.api(Method::PATCH, &format!("/pools/{KIND}")).json(&pause);
        ask(request.header("x-postroom-actor", "dana")).await;
        let noted = has_rule(&daemon, "PoolPaused").await;
        assert_eq!(noted["state"], "well", "{noted}");
        assert_eq!(noted["sentence"], format!("All is well, and {KIND} is paused"));
        assert_eq!(noted["wrong"][0]["sentence"], format!("dana has paused {KIND}: no job of it starts."));
        // Files that are wrong.
        daemon.configure("[server]\nnonsense = 1\n");
        let refused = has_rule(&daemon, "ConfigRefused").await;
        assert_eq!((&refused["state"], &refused["wrong"][0]["fires"]), (&json!("warning"), &json!(false)));
        assert_eq!(refused["wrong"][0]["runbook"], "config-refused");
        assert_eq!(refused["wrong"][0]["link"], "/config");
        daemon.configure("");
        // A webhook that nobody understands.
        let mut unknown = mail(9);
        unknown["event_type"] = "not_heard_of".into();
        let answer = ask(daemon.webhook("instantly", "demo").json(&unknown)).await;
        assert_eq!(answer.outcome(), "quarantined", "{answer:?}");
        let strange = has_rule(&daemon, "NotUnderstood").await;
        assert_eq!(strange["state"], "warning", "{strange}");
        // And jobs that nobody counted.
        let peek = Peek::of(&daemon).await;
        peek.execute("insert into job_counts (node, kind, state, count) values (1, 'A', 'enqueued', 3)").await;
        let broken = has_rule(&daemon, "LedgerBroken").await;
        let line = &broken["wrong"][0];
        assert_eq!((&line["severity"], &line["fires"]), (&json!("page"), &json!(false)), "{broken}");
        let sentence = line["sentence"].as_str().unwrap();
        assert!(sentence.starts_with("3 accepted jobs neither ended nor are there"), "{sentence}");
        peek.execute("delete from job_counts where kind = 'A'").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_prints_a_line_an_update_and_outlives_a_restart() {
    let mut daemon = Place::sqlite().start("").await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_postroom"))
        .args(["events", "pools", "config", "--url", &daemon.url("")])
        .env("POSTROOM_TOKEN", daemon.admin_token())
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(daemon.directory())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = |topic: &str| {
        tokio::task::block_in_place(|| {
            let mut updates =
                lines.by_ref().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
            updates.find(|update| update["topic"] == topic).expect("an update")
        })
    };
    let config = told("config");
    assert_eq!((&config["id"], &config["values"]["state"]), (&Value::Null, &json!("ok")));
    daemon.terminate();
    assert_eq!(daemon.wait(PROMPT).await.code(), Some(0));
    daemon.start_again().await;
    let config = told("config");
    assert_eq!(config["values"]["state"], "ok", "all values again");
    crate::support::process::send_signal("INT", child.id());
    let status = tokio::task::block_in_place(|| child.wait()).unwrap();
    assert_eq!(status.code(), Some(0));
}
