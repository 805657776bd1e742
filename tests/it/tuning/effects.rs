//! What a daemon does with the values of its configuration, seen from outside: of HTTP, ingest and
//! clients. Each effect is a word or a number that two values of a key make differ.

use crate::support::{
    both::{Peek, Place},
    eventually,
    inside::{ADMIN_TOKEN, Inside},
    leftovers::Leftover,
    model_server::{Asked, ModelServer, Reply},
    web::{Answer, ask, mail, sms},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use futures_util::{StreamExt, future::LocalBoxFuture, future::join_all, stream::FuturesUnordered};
use postroom::{
    domain::{Id, Job, JobKind, Outcome},
    handlers::JobHandler,
    registry,
    telemetry::board::ActorState,
};
use reqwest::{Method, RequestBuilder};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    net::UdpSocket,
    sync::{
        Arc, LazyLock, Mutex, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long an effect may take to follow.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long something must not happen, to count as not happening.
pub const QUIET: Duration = Duration::from_millis(400);
/// The account of our provider in signed bodies.
pub const ACCOUNT: &str = "LOC-MINE";
/// Two tokens of users.
pub const USERS_TOKENS: [&str; 2] =
    ["users-token-of-24-characters", "users-other-token-of-24-chars"];
/// A user.
pub fn user(name: &str, role: &str, token: &str) -> String {
    format!("[[admin.users]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken = \"{token}\"\n")
}
/// Two signing secrets.
pub const SIGNING: [&str; 2] = ["signing-secret-one", "signing-secret-two"];
/// Two secrets of a channel.
pub const SECRETS: [&str; 2] = ["channel-secret-one", "channel-secret-two"];

/// Holds its slot until the test releases it, except for the client `quick`.
pub const HOLDS: JobKind = JobKind("HOLDS");
/// Does nothing.
pub const WORKS: JobKind = JobKind("WORKS");
/// Never succeeds.
pub const FAILS: JobKind = JobKind("FAILS");
/// Panics.
pub const PANICS: JobKind = JobKind("PANICS");
/// Panics, in a pool with one slot.
pub const PANICS_ALONE: JobKind = JobKind("PANICS_ALONE");

/// How long a late answer of [`FITS`] takes.
const LATE: Duration = Duration::from_millis(600);

/// A model's server that gives the fit which the path, the model or the key names, at once or late.
pub static FITS: LazyLock<ModelServer> = LazyLock::new(|| {
    ModelServer::start(|asked| {
        if asked.path.contains("broken") {
            return Reply::Status(400, "", "{}");
        }
        if asked.path.contains("styled") {
            return styled(asked);
        }
        if asked.feature() != "score" {
            return Reply::Good;
        }
        if asked.path.contains("late") {
            std::thread::sleep(LATE);
        }
        let told = format!("{} {} {:?}", asked.path, asked.body["model"], asked.key);
        let fit = told.split_once("fit-").map_or("4", |(_, after)| &after[..1]);
        Reply::Text(format!(r#"{{"fit":{fit},"intent":2,"reason":"as named"}}"#))
    })
});

/// The answer of a model that drafts nothing but the style that it is asked for.
fn styled(asked: &Asked) -> Reply {
    let answer = match asked.feature() {
        "classify" => json!({"opts_out": false, "tag": "Interested", "tag_confidence": 0.9}),
        "draft" => {
            let style = asked.data().lines().find_map(|line| line.strip_prefix("style: "));
            json!({"body": format!("In this style: {}", style.unwrap_or("none"))})
        }
        _ => return Reply::Good,
    };
    Reply::Text(answer.to_string())
}

/// What runs under all rows. The keys that a row changes are put over it.
const BASE: &str = r#"
[server]
workers = 1
shutdown_timeout = "1s"
[supervisor]
tick = "50ms"
heartbeat = "50ms"
lease = "1s"
[pools.default]
size = 4
backoff = { base = "10ms", cap = "50ms" }
[pools.PANICS]
size = 32
[pools.PANICS_ALONE]
size = 1
[restart]
max_restarts = 1000
backoff = { base = "10ms", cap = "50ms" }
"#;

/// The clients of a row: `a` with these keys and these keys of its channels, and two others.
pub fn clients(keys: &str, sms: &str, instantly: &str) -> String {
    format!(
        "[[clients]]\nid = \"a\"\n{keys}\n[clients.channels.sms]\n{sms}\n\
         [clients.channels.instantly]\n{instantly}\n\
         [[clients]]\nid = \"quick\"\n[[clients]]\nid = \"other\"\n"
    )
}

/// A channel that takes webhooks from anybody.
pub const OPEN: &str = "allow_unauthenticated = true";

/// Client `a` with these keys.
pub fn client(keys: &str) -> String {
    clients(keys, OPEN, OPEN)
}

/// Client `a` with these keys of its channel for text messages.
pub fn sms_channel(keys: &str) -> String {
    clients("", keys, OPEN)
}

/// Client `a` with this signature on its channel for mails.
pub fn signed(signature: &str) -> String {
    clients("", OPEN, &format!("account = \"{ACCOUNT}\"\nsignature = {{ {signature} }}"))
}

/// Jobs that hold their slots.
#[derive(Debug, Default)]
pub struct Gate {
    running: Mutex<HashSet<Id>>,
    /// Jobs up to this id are released.
    released: AtomicI64,
}

impl Gate {
    fn is_released(&self, job: Id) -> bool {
        job <= self.released.load(Ordering::Relaxed)
    }

    /// How many of these jobs hold a slot.
    pub fn running(&self, jobs: &[Id]) -> usize {
        let running = self.running.lock().unwrap();
        jobs.iter().filter(|id| running.contains(id)).count()
    }

    /// Lets all jobs go that were enqueued so far.
    pub fn release(&self, jobs: &[Id]) {
        let last = jobs.iter().max().copied().unwrap_or_default();
        self.released.fetch_max(last, Ordering::Relaxed);
    }
}

/// Counts a job as running until it is dropped.
struct Running<'a>(&'a Gate, Id);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap().remove(&self.1);
    }
}

struct Holds(Arc<Gate>);

impl JobHandler for Holds {
    const KIND: JobKind = HOLDS;

    async fn handle(&self, job: &Job) -> Outcome {
        self.0.running.lock().unwrap().insert(job.id);
        let _running = Running(&self.0, job.id);
        while job.client_id != "quick" && !self.0.is_released(job.id) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Outcome::Done(Vec::new())
    }
}

struct Works;

impl JobHandler for Works {
    const KIND: JobKind = WORKS;

    async fn handle(&self, _: &Job) -> Outcome {
        Outcome::Done(Vec::new())
    }
}

struct Fails;

impl JobHandler for Fails {
    const KIND: JobKind = FAILS;

    async fn handle(&self, _: &Job) -> Outcome {
        Outcome::Retry("no luck".to_owned())
    }
}

struct Panics;

impl JobHandler for Panics {
    const KIND: JobKind = PANICS;

    async fn handle(&self, _: &Job) -> Outcome {
        panic!("as ever")
    }
}

struct PanicsAlone;

impl JobHandler for PanicsAlone {
    const KIND: JobKind = PANICS_ALONE;

    async fn handle(&self, _: &Job) -> Outcome {
        panic!("as ever")
    }
}

/// An effect. It may be observed again and again.
pub type Effect = for<'a> fn(&'a World) -> LocalBoxFuture<'a, String>;

/// A running daemon, and what the effects need besides.
pub struct World {
    pub daemon: Inside,
    pub peek: Peek,
    pub gate: Arc<Gate>,
    /// A job that was stored under the first configuration.
    pub first_job: OnceLock<String>,
    next: AtomicU64,
}

impl World {
    pub async fn start() -> Self {
        let gate = Arc::new(Gate::default());
        let of_slots = gate.clone();
        let registry = registry::postroom()
            .kind(move |_| Holds(of_slots.clone()))
            .kind(|_| Works)
            .kind(|_| Fails)
            .kind(|_| Panics)
            .kind(|_| PanicsAlone);
        let base = format!("{BASE}[admin]\ntoken = \"{ADMIN_TOKEN}\"\n{}", client(""));
        let daemon = Inside::start_with(&Place::sqlite(), &base, &[], registry).await;
        daemon.may_leave(Leftover::Panic, "rows make handlers and the janitor panic");
        daemon.may_leave(Leftover::Unfinished, "jobs of a client that is gone wait");
        let peek = Peek::open(&daemon.database_url).await;
        let next = AtomicU64::new(1);
        Self { daemon, peek, gate, first_job: OnceLock::new(), next }
    }

    /// A number that no other call gives.
    pub fn unique(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The body of a text message that is like no other.
    fn text(&self, words: &str) -> Value {
        let number = self.unique();
        sms(number, &format!("{words} ({number})"))
    }

    fn webhook(&self, body: &Value) -> RequestBuilder {
        self.daemon.webhook("sms", "a").json(body)
    }

    pub async fn post(&self, words: &str) -> Answer {
        ask(self.webhook(&self.text(words))).await
    }

    /// Waits until `look` has given the same value for a while, and returns it.
    pub async fn settled<T: PartialEq>(&self, mut look: impl AsyncFnMut() -> T) -> T {
        let (mut last, mut since) = (look().await, tokio::time::Instant::now());
        eventually(PATIENCE, async || {
            let now = look().await;
            if now != last {
                (last, since) = (now, tokio::time::Instant::now());
                return None;
            }
            (since.elapsed() >= QUIET).then_some(())
        })
        .await;
        last
    }

    /// The status of a text message of 2 KiB.
    pub async fn long_text(&self) -> String {
        self.post(&"long ".repeat(400)).await.status.to_string()
    }

    /// The status of a text message whose commit takes a while.
    pub async fn slow_commit(&self) -> String {
        let held = self.peek.hold().await;
        let mut posting = Box::pin(self.post("slow"));
        let early = tokio::time::timeout(QUIET, &mut posting).await;
        held.release().await;
        let answer = match early {
            Ok(answer) => answer,
            Err(_) => posting.await,
        };
        answer.status.to_string()
    }

    /// The status of the second of two text messages.
    pub async fn second_post(&self) -> String {
        self.post("one").await;
        self.post("two").await.status.to_string()
    }

    /// The status of the second of two text messages that name different senders.
    pub async fn second_sender(&self) -> String {
        let mut last = 0;
        for _ in 0..2 {
            let sender = format!("10.{}.0.1", self.unique() % 250);
            let request = self.webhook(&self.text("forwarded"));
            last = ask(request.header("x-forwarded-for", sender)).await.status;
        }
        last.to_string()
    }

    /// The status of a request for this host name.
    async fn asked_as(&self, host: &str) -> String {
        let request = self.daemon.prepare("/metrics").header("host", host);
        ask(request).await.status.to_string()
    }

    pub async fn public_name(&self) -> String {
        self.asked_as("post.example.com").await
    }

    pub async fn internal_name(&self) -> String {
        self.asked_as("post.internal").await
    }

    /// The value of a metric of the channel for text messages.
    async fn metric(&self, name: &str) -> u64 {
        let text = ask(self.daemon.prepare("/metrics")).await.text;
        let line = format!("postroom_{name}{{channel=\"sms\"}} ");
        let value = text.lines().find_map(|it| it.strip_prefix(line.as_str()));
        value.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("no {name}: {text}"))
    }

    /// How many transactions store five text messages that wait.
    pub async fn groups(&self) -> String {
        let words = "w".repeat(600);
        let is = async |state| {
            let actors = self.daemon.board.actors();
            let ingest = actors.iter().find(|it| it.name == "ingest/sms")?;
            (ingest.state == state).then_some(())
        };
        loop {
            // The actor is busy until a moment after the answer to the message before.
            eventually(PATIENCE, async || is(ActorState::Idle).await).await;
            let before = self.metric("ingest_batch_size_count").await;
            let held = self.peek.hold().await;
            let mut first = Box::pin(self.post(&words));
            // Nothing else waits, so the first is committed alone, unless a claim was before it.
            let busy = eventually(PATIENCE, async || is(ActorState::Busy).await);
            let alone = tokio::time::timeout(Duration::from_secs(1), busy);
            let is_alone = tokio::select! {
                _ = &mut first => panic!("nothing is committed while the writer is held"),
                seen = alone => seen.is_ok(),
            };
            if !is_alone {
                held.release().await;
                first.await;
                continue;
            }
            // While nothing is committed, all others come to wait.
            let mut posts = Box::pin(join_all((0..5).map(|_| self.post(&words))));
            let early = tokio::time::timeout(QUIET, &mut posts).await;
            assert!(early.is_err(), "nothing is committed");
            held.release().await;
            tokio::join!(first, posts);
            return (self.metric("ingest_batch_size_count").await - before - 1).to_string();
        }
    }

    /// The status of the first of three text messages that is answered while nothing is committed.
    pub async fn refused_while_full(&self) -> String {
        let held = self.peek.hold().await;
        let words = "w".repeat(1_500);
        let posts = (0..3).map(|_| self.post(&words));
        let mut posts: FuturesUnordered<_> = posts.collect();
        let early = tokio::time::timeout(QUIET, posts.next()).await;
        held.release().await;
        posts.collect::<Vec<_>>().await;
        early.map_or_else(|_| "all wait".to_owned(), |it| it.unwrap().status.to_string())
    }

    /// The answer to the second of two mails of an unknown kind.
    pub async fn unknown_event(&self) -> String {
        let mut answer = None;
        for _ in 0..2 {
            let mut body = mail(self.unique());
            body["event_type"] = "something_new".into();
            answer = Some(ask(self.daemon.webhook("instantly", "a").json(&body)).await);
        }
        outcome(&answer.unwrap())
    }

    /// The status of the admin API for the token of the start.
    pub async fn old_token(&self) -> String {
        self.daemon.api("/pools").await.status.to_string()
    }

    /// The status of the admin API for a user's token.
    pub async fn users_token(&self) -> String {
        let request = self.daemon.request_by(USERS_TOKENS[0], Method::GET, "/pools");
        ask(request).await.status.to_string()
    }

    /// The status of a change by a user.
    pub async fn users_change(&self) -> String {
        let path = "/pools/NO_SUCH_KIND/override";
        let request = self.daemon.request_by(USERS_TOKENS[0], Method::DELETE, path);
        ask(request).await.status.to_string()
    }

    /// The user whom a code of theirs names.
    pub async fn user_in_code(&self) -> String {
        let request = self.daemon.request_by(USERS_TOKENS[0], Method::POST, "/login-codes");
        let code = ask(request).await.field("code").to_owned();
        let said = URL_SAFE_NO_PAD.decode(code.split('.').next().unwrap()).unwrap();
        let said: Value = serde_json::from_slice(&said).unwrap();
        said["user"].as_str().unwrap().to_owned()
    }

    /// The name of client `a`, as it is shown.
    pub async fn name_of_client(&self) -> String {
        self.daemon.api("/clients/a").await.field("name").to_owned()
    }

    /// The status of the admin API for another machine, which is this one under another address.
    pub async fn asked_from_outside(&self) -> String {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        // Sends nothing: it only finds the address from which it would.
        socket.connect("198.51.100.1:9").expect("a network");
        let address = socket.local_addr().unwrap().ip();
        self.daemon.api_from(address, "/pools").await.status.to_string()
    }

    /// The status of a webhook for a client that only one of two configurations has.
    pub async fn new_client(&self) -> String {
        let request = self.daemon.webhook("sms", "b").json(&self.text("hello"));
        ask(request).await.status.to_string()
    }

    /// Whether a lead is found by a phone number without a country code.
    pub async fn national_number(&self) -> String {
        let number = self.unique();
        let body = json!({
            "contact_id": format!("national-{number}"),
            "phone": format!("030 {}", 2_345_000 + number),
            "location": {"id": "L1"}, "workflow": {"id": "w1"},
            "message": {"type": 2, "body": "Please call me"},
        });
        let answer = ask(self.webhook(&body)).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        let lead = self.daemon.api(&format!("/leads/{}", answer.field("lead_id"))).await.body;
        let identities = lead["identities"].to_string();
        if identities.contains("+4930") { "by number" } else { "not by number" }.to_owned()
    }

    /// The body of the draft for a text message that asks for information.
    async fn draft(&self) -> String {
        let answer = self.post("Could you send me more info about how this works?").await;
        let message = answer.field("message_id").to_owned();
        eventually(PATIENCE, async || {
            let drafts = self.daemon.api("/drafts").await;
            let is_its = |draft: &&Value| draft["message_id"] == message;
            let draft = drafts.items().iter().find(is_its)?;
            Some(draft["body"].as_str()?.to_owned())
        })
        .await
    }

    pub async fn signed_draft(&self) -> String {
        let is_signed = self.draft().await.contains("Zoe of Acme");
        if is_signed { "by Zoe" } else { "by nobody" }.to_owned()
    }

    pub async fn style_of_draft(&self) -> String {
        self.draft().await.trim_start_matches("In this style: ").to_owned()
    }

    pub async fn own_template(&self) -> String {
        let is_own = self.draft().await.contains("our own words");
        if is_own { "own" } else { "built in" }.to_owned()
    }

    /// The fit of a lead that works for a forwarding company.
    pub async fn fit(&self) -> String {
        let path = self.forwarder().await;
        eventually(PATIENCE, async || self.fit_of(&path).await).await
    }

    /// The same; `none` if the message's job has failed.
    pub async fn fit_if_any(&self) -> String {
        let path = self.forwarder().await;
        eventually(PATIENCE, async || {
            let lead = self.daemon.api(&path).await.body;
            let jobs = lead["jobs"].as_array()?;
            let has_failed = jobs.iter().any(|job| job["status"] == "failed");
            if has_failed { Some("none".to_owned()) } else { self.fit_of(&path).await }
        })
        .await
    }

    /// How many questions are asked at once for three leads.
    pub async fn asked_at_once(&self) -> String {
        FITS.most();
        let mut paths = Vec::new();
        for _ in 0..3 {
            paths.push(self.forwarder().await);
        }
        for path in paths {
            eventually(PATIENCE, async || self.fit_of(&path).await).await;
        }
        if FITS.most() > 1 { "several" } else { "one" }.to_owned()
    }

    async fn fit_of(&self, path: &str) -> Option<String> {
        let lead = self.daemon.api(path).await.body;
        lead["score"]["fit"].as_i64().map(|fit| fit.to_string())
    }

    /// The path of a new lead that works for a forwarding company.
    async fn forwarder(&self) -> String {
        let mut body = mail(self.unique());
        body["companyName"] = "Larkspur Forwarding".into();
        let answer = ask(self.daemon.webhook("instantly", "a").json(&body)).await;
        format!("/leads/{}", answer.field("lead_id"))
    }

    /// The status of a text message with the first secret.
    pub async fn first_secret(&self) -> String {
        let request = self.webhook(&self.text("secret"));
        ask(request.bearer_auth(SECRETS[0])).await.status.to_string()
    }

    /// The status of a mail that was signed some minutes ago with the first signing secret.
    pub async fn signed_lately(&self) -> String {
        let number = self.unique();
        let id = format!("delivery-{number}");
        let at = postroom::store::wall_clock().as_millis() / 1_000 - 600;
        let mut body = mail(number);
        body["workspace"] = ACCOUNT.into();
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING[0].as_bytes());
        let signature = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
        let request = self
            .daemon
            .webhook("instantly", "a")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", format!("v1,{}", STANDARD.encode(signature)));
        ask(request.body(body)).await.status.to_string()
    }

    /// The status of a text message that is signed with the first key pair.
    pub async fn signed_with_key(&self) -> String {
        let body = marketplace(self.unique()).to_string();
        let signature = STANDARD.encode(KEYS[0].0.sign(body.as_bytes()));
        let request = self.daemon.webhook("sms", "a").header("x-ghl-signature", signature);
        ask(request.body(body)).await.status.to_string()
    }

    /// The outcome of a text message of our account.
    pub async fn of_account(&self) -> String {
        outcome(&ask(self.webhook(&marketplace(self.unique()))).await)
    }

    /// The outcome of a text message's unknown event.
    pub async fn brand_new_event(&self) -> String {
        let mut body = marketplace(self.unique());
        body["type"] = "BrandNew".into();
        outcome(&ask(self.webhook(&body)).await)
    }

    /// The status of a text message that somebody forwards.
    pub async fn forwarded(&self) -> String {
        let request = self.webhook(&self.text("forwarded"));
        ask(request.header("x-forwarded-for", "10.0.0.1")).await.status.to_string()
    }

    /// The outcome of a text message whose text is in a field of the client's own.
    pub async fn own_field(&self) -> String {
        let number = self.unique();
        let body = json!({
            "contact_id": format!("own-{number}"), "location": {"id": "L1"}, "workflow": {"id": "w1"},
            "message": {"type": 2}, "customData": {"reply": format!("Please call me {number}")},
        });
        outcome(&ask(self.webhook(&body)).await)
    }
}

/// The outcome of a webhook, or the status of its refusal.
fn outcome(answer: &Answer) -> String {
    match answer.outcome() {
        "" => answer.status.to_string(),
        outcome => outcome.to_owned(),
    }
}

/// A text message as the provider's marketplace posts it.
fn marketplace(number: u64) -> Value {
    let now = postroom::store::wall_clock().as_millis();
    let now = jiff::Timestamp::from_millisecond(now).unwrap().to_string();
    json!({
        "type": "InboundMessage", "locationId": ACCOUNT, "contactId": format!("c{number}"),
        "messageId": format!("m{number}"), "webhookId": format!("w{number}"),
        "messageType": "SMS", "direction": "inbound", "body": "Yes, please",
        "from": "+13125550187", "timestamp": now, "dateAdded": now,
    })
}

/// Two key pairs of a provider, each with its public key as the configuration has it.
pub static KEYS: LazyLock<[(Ed25519KeyPair, String); 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        spki.extend_from_slice(pair.public_key().as_ref());
        (pair, STANDARD.encode(spki))
    })
});
