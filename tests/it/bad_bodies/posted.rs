//! Wrong bodies over HTTP, beside right ones, of the served channels: each has its answer, and none
//! harms its neighbour or the daemon. Each run draws another sample of them; the worst are always
//! posted.

use super::{
    bases::{self, Base},
    changes::{self, Change, Path},
    duties,
};
use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        eventually,
        web::{Answer, ask},
    },
};
use futures_util::future::join_all;
use postroom::{channels::json, domain::ChannelName, registry};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// Clients, in turn: with one client, most variants of a body would be duplicates.
const CLIENTS: usize = 60;
/// Drawn of some 100,000.
const DRAWN: usize = 700;
/// The memory that the daemon may take. A body of 3 MB is in memory some ten times while it is
/// stored; this does not grow with the number of bodies. SQLite's writer may keep 64 MiB of pages,
/// and each of its four readers 12.
const PEAK_MIB: u64 = 520;
const PAGES_MIB: u64 = 112;
/// `POSTROOM_TEST_SEED=… just long` draws those of a test that failed.
const SEED: &str = "POSTROOM_TEST_SEED";

/// A body and the answer that it must have.
struct Wrong {
    channel: &'static str,
    what: String,
    text: String,
    is_json: bool,
}

impl Wrong {
    fn of(base: &Base, path: &Path, change: &Change) -> Self {
        Self {
            channel: base.channel.name().0,
            what: format!("{}, {path} is {}", base.name, change.what),
            text: changes::applied(&base.body, path, change.text.as_deref()),
            is_json: change.is_json,
        }
    }

    /// It has one of the answers that there are, and the one that it must have.
    #[track_caller]
    fn check(&self, answer: &Answer) {
        let shown = || {
            let text: String = self.text.chars().take(2_000).collect();
            format!("{}: {answer:?}\n{text}", self.what)
        };
        if !self.is_json {
            assert_eq!(
                (answer.status, answer.field("type")),
                (400, "urn:postroom:not-json"),
                "{}",
                shown()
            );
            return;
        }
        let outcome = answer.outcome();
        assert_eq!(answer.status, 200, "{}", shown());
        let body = json::parse(self.text.as_bytes()).expect("JSON");
        let reasons = duties::reasons(self.channel, &body);
        if outcome == "quarantined" {
            let possible = duties::possible(self.channel, &body);
            assert!(
                reasons.iter().chain(&possible).any(|it| it == answer.field("reason")),
                "{reasons:?} {possible:?} {}",
                shown()
            );
            assert!(!answer.field("quarantine_id").is_empty(), "{}", shown());
        } else {
            let known = ["accepted", "recorded", "ignored", "duplicate"];
            assert!(known.contains(&outcome) && reasons.is_empty(), "{reasons:?} {}", shown());
        }
    }
}

/// The bodies of the channels that are served.
fn bases() -> Vec<Base> {
    let served = registry::postroom().channels;
    let mut bases = bases::all();
    bases.retain(|base| served.iter().any(|it| it.name() == base.channel.name()));
    for channel in &served {
        assert!(bases.iter().any(|it| it.channel.name() == channel.name()), "{}", channel.name());
    }
    bases
}

/// Some of all wrong bodies.
fn drawn() -> Vec<Wrong> {
    let given = std::env::var(SEED).ok().map(|it| it.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(|| rand::rng().next_u64());
    eprintln!("{SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let bases = bases();
    let mut pick = |below: usize| usize::try_from(random.next_u64() % below as u64).unwrap();
    let draw = |_| {
        let base = &bases[pick(bases.len())];
        let paths = changes::paths(&base.body);
        let path = &paths[pick(paths.len())];
        let changes = changes::of(path.value(&base.body));
        Wrong::of(base, path, &changes[pick(changes.len())])
    };
    (0..DRAWN).map(draw).collect()
}

/// The worst values, in every required field of an event and in every field of a message. Required
/// fields are swollen to 3 MB, the others to 300 kB.
fn worst() -> (Vec<Wrong>, Vec<Wrong>) {
    const POISON: [&str; 14] = [
        "10,000 levels",
        "10,000 levels of objects",
        "many levels",
        "half a surrogate",
        "half surrogates in a text",
        "NUL",
        "NUL in a text",
        "400 digits",
        "400 digits as text",
        "600 digits",
        "a number as an object",
        "an object as a number",
        "an object as JSON",
        "1e999",
    ];
    let swell = |what, length| Change {
        what,
        text: Some(format!("\"{}@x.example\"", "y".repeat(length)).into()),
        is_json: true,
    };
    let (megabytes, large_text) = (swell("3 MB", 3_000_000), swell("300 kB", 300_000));
    let (mut small, mut large) = (Vec::new(), Vec::new());
    // A field that is common to many bodies of a channel is swollen in one of them.
    let mut swollen = BTreeSet::new();
    for base in bases() {
        let is_required = |path: &Path| {
            let path = path.to_string();
            let of_it = |it: &&(&str, &str, &str)| base.name == format!("{} {}", it.0, it.1);
            duties::REQUIRED.iter().filter(of_it).any(|it| it.2 == path)
        };
        let paths: Vec<Path> = changes::paths(&base.body).into_iter().filter(is_required).collect();
        for path in &paths {
            let changes = changes::of(path.value(&base.body));
            let poison: Vec<&Change> =
                changes.iter().filter(|it| POISON.contains(&it.what)).collect();
            assert_eq!(poison.len(), POISON.len());
            small.extend(poison.into_iter().map(|it| Wrong::of(&base, path, it)));
            if swollen.insert((base.channel.name().0, path.to_string(), "required")) {
                large.push(Wrong::of(&base, path, &megabytes));
            }
        }
        // An inbound message, whole.
        let outcome = base.channel.table().iter().find(|row| base.name.ends_with(row.event));
        if outcome.is_some_and(|row| row.outcome == "accepted") && !paths.is_empty() {
            for path in changes::paths(&base.body) {
                if !swollen.insert((base.channel.name().0, path.to_string(), "message")) {
                    continue;
                }
                large.push(Wrong::of(&base, &path, &large_text));
            }
        }
    }
    (small, large)
}

/// Clients that are open to all, and a limit above any body here.
fn config() -> String {
    let clients = (0..CLIENTS).map(|it| {
        let channels = registry::postroom().channels;
        let channels = channels.iter().map(|it| format!("[clients.channels.{}]\n", it.name()));
        format!("[[clients]]\nid = \"c{it}\"\n{}", channels.collect::<String>())
    });
    format!("[server]\nbody_limit = \"4MiB\"\n{}", clients.collect::<String>())
}

/// Posts right bodies of every channel, which must all be accepted.
async fn neighbours(daemon: &Daemon) {
    static NEXT: AtomicU64 = AtomicU64::new(5_000_000);
    let served = registry::postroom().channels;
    let posts = served.iter().map(|channel| {
        let ChannelName(name) = channel.name();
        let body = channel.sample(None, NEXT.fetch_add(1, Ordering::Relaxed));
        ask(daemon.webhook(name, "c0").json(&body.expect("a sample")))
    });
    for answer in join_all(posts).await {
        assert_eq!((answer.status, answer.outcome()), (200, "accepted"), "{answer:?}");
    }
}

/// Posts all, `at_once` at a time, and sound bodies beside them.
async fn post(daemon: &Daemon, bodies: &[Wrong], at_once: usize) -> BTreeMap<String, usize> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut outcomes = BTreeMap::new();
    for part in bodies.chunks(at_once) {
        let posts = join_all(part.iter().map(|it| {
            let client = format!("c{}", NEXT.fetch_add(1, Ordering::Relaxed) % CLIENTS);
            ask(daemon.webhook(it.channel, &client).body(it.text.clone()))
        }));
        let (answers, ()) = tokio::join!(posts, neighbours(daemon));
        for (answer, body) in answers.iter().zip(part) {
            body.check(answer);
            let word = if answer.status == 200 { answer.outcome() } else { "not JSON" };
            *outcomes.entry(word.to_owned()).or_insert(0) += 1;
        }
    }
    outcomes
}

/// Checks that all stored messages are worked and can be shown, and that the daemon is as healthy
/// as before.
async fn all_is_well(daemon: &Daemon, place: &Place) {
    let db = Peek::of(daemon).await;
    eventually(Duration::from_secs(120), async || (db.unfinished().await == 0).then_some(())).await;
    let (peak, most) =
        (daemon.peak_mib(), PEAK_MIB + if place.is_sqlite() { PAGES_MIB } else { 0 });
    eprintln!("at most {peak} MiB");
    assert!(peak < most, "it took {peak} MiB");
    let failed = "select count(*) from job_attempts where outcome not in ('succeeded', 'cancelled', 'released')";
    assert_eq!(db.number(failed).await, 0, "jobs failed on wrong bodies");
    for list in ["/messages", "/leads", "/jobs", "/quarantine", "/drafts"] {
        let answer = ask(daemon.api(Method::GET, &format!("{list}?limit=200"))).await;
        assert!(answer.status == 200 && !answer.items().is_empty(), "{list}: {}", answer.status);
    }
    assert_eq!(ask(daemon.get("/readyz")).await.status, 200);
    let log = daemon.log();
    assert!(!log.contains("panicked"), "something panicked");
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 20_000, "a line of {longest} bytes is in the log");
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn some_of_all_wrong_bodies_are_answered_and_hurt_nobody(place: Place) {
        let daemon = place.start(&config()).await;
        let outcomes = post(&daemon, &drawn(), 24).await;
        eprintln!("{outcomes:?}");
        for word in ["accepted", "recorded", "ignored", "quarantined", "not JSON"] {
            assert!(outcomes.contains_key(word), "none is {word}: {outcomes:?}");
        }
        all_is_well(&daemon, &place).await;
    }

    #[ignore = "long: `just long`"]
    async fn the_worst_in_every_required_place_is_answered_and_hurts_nobody(place: Place) {
        let daemon = place.start(&config()).await;
        let (small, large) = worst();
        assert!(small.len() > 100 && large.len() > 50, "{} {}", small.len(), large.len());
        let small = post(&daemon, &small, 24).await;
        let large = post(&daemon, &large, 4).await;
        eprintln!("{small:?} {large:?}");
        all_is_well(&daemon, &place).await;
    }
}
