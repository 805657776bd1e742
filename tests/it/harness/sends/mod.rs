//! Kills at every step of a send: answers go to a provider that counts them, while daemons die in
//! every way there is and the provider fails in every way that it can.
//!
//! `just long harness::sends` runs the short form, `just sends` the long one.

mod check;
mod deaths;
mod provider;

use self::{
    check::{Sends, check},
    deaths::{Death, Refused},
    provider::Provider,
};
use super::{Dice, parameter, seed};
use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options, Until},
        eventually,
        leftovers::Leftover,
        process::send_signal,
        proxy::{Proxy, Way},
        web::{ask, channel, try_ask},
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap, os::unix::process::ExitStatusExt as _, sync::Arc, time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// How long the remaining jobs may take after the last round.
const REST: Duration = Duration::from_secs(60);
/// How long a round waits for its death, which may not come: the point may not be reached.
const DEATH_LIMIT: Duration = Duration::from_secs(5);
/// Longer than a lease, and than a database is waited for.
const AWAY: Duration = Duration::from_millis(700);
/// Leads that write in each round.
const LEADS: u64 = 6;
const CLIENTS: [&str; 2] = ["ash", "birch"];
/// The attempts of jobs never run out, and dead nodes are noticed at once.
const CONFIG: &str = "[server]\nshutdown_timeout = \"200ms\"\n\
    [supervisor]\ntick = \"100ms\"\nheartbeat = \"100ms\"\nlease = \"400ms\"\n\
    [pools.default]\nmax_attempts = 100\nbackoff = { base = \"10ms\", cap = \"100ms\" }\n\
    [pools.DELIVER_REPLY]\nsize = 4\nmax_attempts = 100\nbackoff = { base = \"10ms\", cap = \"100ms\" }\n\
    [database]\nmax_connections = 8\n[telemetry]\nlog = \"warn\"\n";

/// Two clients whose drafts are sent by rule, at once, through the provider at this URL. A handler
/// has that long for it.
fn config(provider: &str, timeout: &str) -> String {
    use std::fmt::Write as _;
    let tags = ["Meeting Requested", "Call Requested", "Information Requested", "Interested"];
    let mut config = CONFIG.replace("size = 4", &format!("size = 4\ntimeout = \"{timeout}\""));
    for client in CLIENTS {
        write!(
            config,
            "[[clients]]\nid = \"{client}\"\nauto_reply = \"auto\"\nauto_send = {{ delay_min = \"0s\", delay_max = \"0s\" }}\n\
             [clients.templates]\n"
        )
        .unwrap();
        for tag in tags {
            writeln!(config, "\"{tag}\" = \"Hi {{first_name}}, I will call you.\"").unwrap();
        }
        for (channel, own) in [("sms", ""), ("email", "sender_email_id = \"12\"\n")] {
            write!(
                config,
                "[clients.channels.{channel}.send]\napi_key = \"key-of-{client}\"\nbase_url = \"{provider}\"\nallow_private = true\n{own}"
            )
            .unwrap();
        }
    }
    config
}

/// A webhook of the lead of that number: its client, its channel and its body.
fn webhook(lead: u64) -> (&'static str, &'static str, Value) {
    let text = "Can you call me tomorrow after 3?";
    let client = CLIENTS[usize::try_from(lead / 2 % 2).unwrap()];
    let name = if lead.is_multiple_of(2) { "sms" } else { "email" };
    let mut body = channel(name).sample(None, lead).expect("a sample");
    if name == "sms" {
        body["message"]["body"] = text.into();
    } else {
        body["data"]["reply"]["text_body"] = text.into();
        body["data"]["reply"]["html_body"] = json!(format!("<div>{text}</div>"));
    }
    (client, name, body)
}

/// The figures of some rounds.
#[derive(Debug, Default)]
struct Figures {
    rounds: u64,
    /// How often each death came, of how many tries.
    deaths: BTreeMap<String, (u64, u64)>,
    sends: Sends,
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        for (word, (came, tries)) in other.deaths {
            let entry = self.deaths.entry(word).or_default();
            *entry = (entry.0 + came, entry.1 + tries);
        }
        self.sends += other.sends;
    }

    fn tell(&self, what: &str) {
        let came: u64 = self.deaths.values().map(|it| it.0).sum();
        eprintln!("{what}: {} rounds, {came} deaths; {:?}", self.rounds, self.sends);
    }
}

/// Daemons over one database, and their provider.
struct Scene {
    daemons: Vec<Daemon>,
    db: Peek,
    provider: Provider,
    proxy: Option<Proxy>,
    posting: JoinSet<()>,
    leads: u64,
}

impl Scene {
    async fn start(place: &Place) -> Self {
        let provider = Provider::start().await;
        let mut options = place.options(&config(&provider.url, "800ms"));
        let proxy = match place.database_url() {
            Some(url) => Some(Proxy::before(url).await),
            None => None,
        };
        options.told_url =
            proxy.as_ref().zip(place.database_url()).map(|(proxy, url)| proxy.url(url));
        let mut daemons = Vec::new();
        for _ in 0..if place.is_sqlite() { 1 } else { 2 } {
            let daemon = Daemon::start(Options { until: Until::Ready, ..options.clone() }).await;
            daemon.may_leave(Leftover::Panic, "handlers and actors panic at points of the code");
            daemon.may_leave(Leftover::Stuck, "handlers block at points of the code");
            daemons.push(daemon);
        }
        let db = Peek::of(&daemons[0]).await;
        Self { daemons, db, provider, proxy, posting: JoinSet::new(), leads: 0 }
    }

    /// Posts the webhooks of some new leads until they are acknowledged, though daemons die.
    fn post(&mut self) {
        for _ in 0..LEADS {
            let (client, name, body) = webhook(self.leads);
            let first = usize::try_from(self.leads).unwrap();
            let path = format!("/webhooks/{name}/{client}");
            let urls: Vec<String> = self.daemons.iter().map(|it| it.url(&path)).collect();
            let http = self.daemons[0].http.clone();
            self.posting.spawn(async move {
                for url in urls.iter().cycle().skip(first) {
                    let request = http.post(url).timeout(Duration::from_secs(1)).json(&body);
                    if try_ask(request).await.is_some_and(|it| it.status == 200) {
                        return;
                    }
                    pause(Duration::from_millis(20)).await;
                }
            });
            self.leads += 1;
        }
    }

    async fn attempts(&self, outcome: &str) -> i64 {
        let of = format!("select count(*) from job_attempts where outcome = '{outcome}'");
        self.db.number(&of).await
    }

    /// True if all leads that have written got an end of their answer.
    async fn has_ended(&self) -> bool {
        let ended = "select count(*) from deliveries where status <> 'sending'";
        self.db.number(ended).await >= i64::try_from(self.leads).unwrap()
    }

    /// Plays a round. Returns whether its death came.
    async fn play(&mut self, death: &Death, dice: &mut Dice) -> bool {
        let panics = self.panics();
        // 1. Start the victim again, armed, with what the last round has left.
        let victim = usize::try_from(dice.below(self.daemons.len() as u64)).unwrap();
        // The handler's own time must not be over when a frozen node goes on.
        let timeout = if matches!(death, Death::Freezes) { "8s" } else { "800ms" };
        let config = config(&self.provider.url, timeout);
        for (at, daemon) in self.daemons.iter_mut().enumerate() {
            daemon.configure(&config);
            if at == victim {
                daemon.kill_9();
            }
            if !daemon.is_running() {
                let faults = if at == victim { death.faults() } else { String::new() };
                daemon.set_env(vec![("POSTROOM_FAULTS".to_owned(), faults)]);
                daemon.set_until(Until::Started);
                daemon.start_again().await;
            }
        }
        let ready = self.daemons[victim].url("/readyz");
        let http = self.daemons[victim].http.clone();
        self.until(async |it| {
            let request = http.get(&ready).timeout(Duration::from_secs(1));
            it.has_died(victim) || try_ask(request).await.is_some_and(|it| it.status == 200)
        })
        .await;
        self.provider.fake.fail_no_more();
        for rule in death.rules(dice) {
            self.provider.fake.fail(rule.parse().unwrap());
        }
        // 2. Let leads write, and bring the death.
        let came = self.bring(death, victim, panics).await;
        self.provider.take_trap();
        came
    }

    /// Lets leads write, and waits for the death. `panics` is how many there were before.
    async fn bring(&mut self, death: &Death, victim: usize, panics: usize) -> bool {
        let pid = self.daemons[victim].pid();
        match death {
            Death::None => {
                self.post();
                self.until(async |it| it.has_ended().await).await
            }
            Death::KillAt(..) => {
                self.post();
                self.until(async |it| it.has_died(victim) || it.has_ended().await).await;
                self.has_died(victim)
            }
            Death::KillAfter(after) => {
                self.post();
                pause(*after).await;
                self.daemons[victim].kill_9();
                true
            }
            Death::KillOnArrival(answers) => {
                self.provider.set_trap(*answers, move || send_signal("KILL", pid));
                self.post();
                self.until(async |it| it.has_died(victim) || it.has_ended().await).await;
                self.has_died(victim)
            }
            Death::PanicAt(_, times) => {
                let all = panics + usize::try_from(*times).unwrap();
                self.post();
                self.until(async |it| it.panics() >= all || it.has_ended().await).await;
                self.panics() > panics
            }
            Death::Hangs(_) => self.until_attempt("timeout", DEATH_LIMIT).await,
            Death::Stuck(_) => self.until_attempt("stuck", Duration::from_secs(10)).await,
            Death::StopsOnArrival => {
                self.provider.set_trap(1, move || send_signal("TERM", pid));
                self.post();
                self.until(async |it| it.has_died(victim)).await;
                let status = self.daemons[victim].ended_within(Duration::ZERO).await;
                assert!(status.is_none_or(|it| it.code() == Some(0)), "{status:?}");
                status.is_some()
            }
            Death::Freezes => {
                let (before, losses) = (self.attempts("rescued").await, self.losses());
                self.provider.set_trap(1, move || send_signal("STOP", pid));
                self.post();
                self.until(async |it| it.provider.is_sprung()).await;
                let is_frozen = self.provider.is_sprung();
                if is_frozen && self.daemons.len() > 1 {
                    self.until(async |it| it.attempts("rescued").await > before).await;
                } else {
                    pause(AWAY).await;
                }
                self.daemons[victim].signal("CONT");
                // Its word comes too late for its fence, and counts all the same.
                self.until(async |it| it.losses() > losses || it.has_ended().await).await;
                is_frozen
            }
            Death::Refuses(what) => self.refuse(*what).await,
            Death::Away(answers) => self.take_database(*answers).await,
        }
    }

    /// Waits for it, but not for long: it may not come.
    async fn until(&self, is_there: impl AsyncFn(&Self) -> bool) -> bool {
        self.within(DEATH_LIMIT, is_there).await
    }

    async fn within(&self, limit: Duration, is_there: impl AsyncFn(&Self) -> bool) -> bool {
        let begun = Instant::now();
        eventually(REST, async || {
            let is_there = is_there(self).await;
            (is_there || begun.elapsed() > limit).then_some(is_there)
        })
        .await
    }

    /// Posts, and waits for an attempt with that outcome.
    async fn until_attempt(&mut self, outcome: &str, limit: Duration) -> bool {
        let before = self.attempts(outcome).await;
        self.post();
        let has_come = async |it: &Self| it.attempts(outcome).await > before;
        self.within(limit, has_come).await
    }

    fn has_died(&self, victim: usize) -> bool {
        !self.daemons[victim].is_running()
    }

    fn panics(&self) -> usize {
        self.logged("struck at ")
    }

    /// How many outcomes came after the loss of their lease.
    fn losses(&self) -> usize {
        self.logged("the lease was lost")
    }

    fn logged(&self, text: &str) -> usize {
        self.daemons.iter().map(|it| it.log().matches(text).count()).sum()
    }

    /// The database refuses a statement until that has happened.
    async fn refuse(&mut self, what: Refused) -> bool {
        let (table, event, when) = match what {
            Refused::Draft => ("drafts", "insert", "1 = 1"),
            Refused::Mark => ("deliveries", "insert", "1 = 1"),
            Refused::Message => ("messages", "insert", "new.direction = 'outbound'"),
            Refused::Status => ("deliveries", "update", "new.status = 'sent'"),
        };
        let head = format!("create trigger refuses before {event} on {table}");
        if self.db.is_sqlite() {
            let raise = "begin select raise(abort, 'refused'); end";
            self.db.execute(&format!("{head} when {when} {raise}")).await;
        } else {
            self.db
                .execute(
                    "create or replace function refuse() returns trigger language plpgsql as \
                     $$ begin raise exception 'refused' using errcode = '23514'; end $$",
                )
                .await;
            let run = "execute function refuse()";
            self.db.execute(&format!("{head} for each row when ({when}) {run}")).await;
        }
        let refused = "select count(*) from job_attempts \
            where error like '%SQLite 1811%' or error like '%SQLSTATE 23514%'";
        let before = self.db.number(refused).await;
        self.post();
        let came = self.until(async |it| it.db.number(refused).await > before).await;
        let of = if self.db.is_sqlite() { String::new() } else { format!(" on {table}") };
        self.db.execute(&format!("drop trigger refuses{of}")).await;
        came
    }

    /// The database goes away when the provider has taken that many answers.
    async fn take_database(&mut self, answers: u64) -> bool {
        if let Some(proxy) = self.proxy.take() {
            let proxy = Arc::new(proxy);
            let cut = proxy.clone();
            let way = if answers.is_multiple_of(2) { Way::Silent } else { Way::Refused };
            self.provider.set_trap(answers, move || cut.set(way));
            self.post();
            let came = self.until(async |it| it.provider.is_sprung()).await;
            pause(AWAY).await;
            self.provider.take_trap();
            proxy.set(Way::Open);
            self.proxy = Arc::into_inner(proxy);
            return came;
        }
        self.provider.set_trap(answers, || {});
        self.post();
        let came = self.until(async |it| it.provider.is_sprung()).await;
        let held = self.db.hold().await;
        pause(AWAY).await;
        held.release().await;
        came
    }

    /// Lets everything come to its end, and checks it.
    async fn end(mut self) -> Sends {
        self.provider.fake.fail_no_more();
        for daemon in &mut self.daemons {
            daemon.kill_9();
            daemon.set_env(Vec::new());
            daemon.set_until(Until::Ready);
            daemon.start_again().await;
        }
        while let Some(posted) = self.posting.join_next().await {
            posted.expect("every webhook is acknowledged at last");
        }
        let waiting = "select (select count(*) from job_ready where kind <> 'SELF_CHECK') \
            + (select count(*) from job_blocked) + (select count(*) from job_later where kind <> 'SELF_CHECK')";
        eventually(REST, async || (self.db.number(waiting).await == 0).then_some(())).await;
        for daemon in &self.daemons {
            daemon.terminate();
            let status = daemon.wait(Duration::from_secs(60)).await;
            assert_eq!(status.code(), Some(0), "{status} {:?}", status.signal());
        }
        let leads = i64::try_from(self.leads).unwrap();
        let (sends, wrong) = check(&self.db, &self.provider.fake, leads).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
        sends
    }
}

/// Lets a moment pass at which nothing can be waited for.
async fn pause(length: Duration) {
    tokio::time::timeout(length, std::future::pending::<()>()).await.ok();
}

/// Rounds on a fresh database; `first` is the number of the first.
async fn rounds(place: &Place, seed: u64, first: u64, count: u64) -> Figures {
    let mut dice = Dice::new(seed);
    let mut figures = Figures { rounds: count, ..Figures::default() };
    let mut scene = Scene::start(place).await;
    for number in first..first + count {
        let death = Death::by(number, &mut dice);
        let begun = Instant::now();
        let came = scene.play(&death, &mut dice).await;
        eprintln!("{number}: {death:?}: {came} after {:?}", begun.elapsed());
        let entry = figures.deaths.entry(death.word()).or_default();
        *entry = (entry.0 + u64::from(came), entry.1 + 1);
    }
    figures.sends = scene.end().await;
    figures
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn g05_kills_at_every_step_of_a_send_double_and_lose_none(place: Place) {
        let figures = rounds(&place, seed(), 0, 12).await;
        figures.tell("short");
        assert!(figures.sends.sent > 0 && figures.sends.uncertain > 0, "{figures:?}");
        place.remove();
    }

    /// The deliveries that jobs end are counted by channel and outcome.
    #[ignore = "long: `just long`"]
    async fn deliveries_are_counted_by_channel_and_outcome(place: Place) {
        let mut scene = Scene::start(&place).await;
        for rule in ["sms/422*1", "email/500*1"] {
            scene.provider.fake.fail(rule.parse().unwrap());
        }
        scene.post();
        eventually(REST, async || scene.has_ended().await.then_some(())).await;
        // An end is counted after its commit.
        let all_are_counted = async || {
            let mut counted = BTreeMap::new();
            for daemon in &scene.daemons {
                for line in ask(daemon.get("/metrics")).await.text.lines() {
                    if let Some(rest) = line.strip_prefix("postroom_deliveries_total") {
                        let (labels, value) = rest.rsplit_once(' ').unwrap();
                        *counted.entry(labels.to_owned()).or_default() +=
                            value.parse::<u64>().unwrap();
                    }
                }
            }
            counted.retain(|_, count| *count > 0);
            (counted.values().sum::<u64>() >= 6).then_some(counted)
        };
        let counted = eventually(REST, all_are_counted).await;
        let of = |channel: &str, end: &str| format!("{{channel=\"{channel}\",outcome=\"{end}\"}}");
        let expected = [
            (of("email", "sent"), 2),
            (of("email", "uncertain"), 1),
            (of("sms", "failed"), 1),
            (of("sms", "sent"), 2),
        ];
        assert_eq!(counted, BTreeMap::from(expected));
        scene.end().await;
    }
}

/// The check finds each kind of damage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_of_sends_finds_what_is_wrong() {
    let mut scene = Scene::start(&Place::sqlite()).await;
    scene.post();
    eventually(REST, async || scene.has_ended().await.then_some(())).await;
    scene.daemons[0].terminate();
    scene.daemons[0].wait(REST).await;
    let found = async |scene: &Scene| {
        check(&scene.db, &scene.provider.fake, i64::try_from(LEADS).unwrap()).await.1
    };
    assert_eq!(found(&scene).await, Vec::<String>::new());
    // The same answer once more, past Postroom.
    let key = scene.db.texts("select cast(min(id) as text) from deliveries").await.pop().unwrap();
    let again = scene.daemons[0]
        .http
        .post(format!("{}/conversations/messages", scene.provider.url))
        .bearer_auth("key")
        .header("version", "1")
        .header("idempotency-key", &key)
        .json(&json!({"type": "SMS", "contactId": "c", "message": "Hi"}));
    assert_eq!(ask(again).await.status, 200);
    let mut expected = vec![format!("DOUBLE: {key}"), "called again after its end".to_owned()];
    // Each damage comes on top of those before it.
    for (damage, finding) in [
        (
            "update deliveries set status = 'failed' where id = (select min(id) from deliveries)",
            "not what",
        ),
        (
            "update deliveries set status = 'uncertain' where id = (select max(id) from deliveries)",
            "outbound messages of 4",
        ),
        (
            "update drafts set status = 'pending' where id = (select min(id) from drafts)",
            "1 drafts that wait for nothing",
        ),
        (
            "delete from deliveries where id = (select max(id) from deliveries)",
            "5 deliveries, not 6",
        ),
    ] {
        scene.db.execute(damage).await;
        expected.push(finding.to_owned());
        let wrong = found(&scene).await;
        for finding in &expected {
            assert!(wrong.iter().any(|it| it.contains(finding)), "no {finding}: {wrong:#?}");
        }
        // The last damage has its own count.
        expected.retain(|it| !it.starts_with("outbound"));
    }
}

/// Rounds on one kind of database, some on each of several fresh ones.
async fn long(what: &str, count: u64, seed: u64) -> Option<Figures> {
    /// Rounds on one database.
    const EACH: u64 = 28;
    let (mut all, mut dice) = (Figures::default(), Dice::new(seed));
    while all.rounds < count {
        let place = if what == "sqlite" { Place::sqlite() } else { Place::postgres()? };
        let first = all.rounds;
        all.add(rounds(&place, dice.below(u64::MAX), first, EACH.min(count - first)).await);
        place.remove();
        all.tell(what);
    }
    Some(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `just sends`"]
async fn by_hand_hundreds_of_rounds_of_sends() {
    let (count, seed) = (parameter("SENDS_ROUNDS", 240).div_ceil(2), seed());
    let begun = Instant::now();
    let (sqlite, postgres) =
        tokio::join!(long("sqlite", count, seed), long("postgres", count, seed));
    let mut all = Figures::default();
    eprintln!(
        "\n| database | rounds | leads | calls | taken | sent | of them late | failed | uncertain |"
    );
    eprintln!("|---|---|---|---|---|---|---|---|---|");
    for (what, it) in [("sqlite", sqlite), ("postgres", postgres)] {
        let Some(it) = it else { continue };
        row(what, &it);
        all.add(it);
    }
    row("both", &all);
    eprintln!("\n| how a send was cut off | it came | tries |\n|---|---|---|");
    for (word, (came, tries)) in &all.deaths {
        eprintln!("| {word} | {came} | {tries} |");
    }
    eprintln!("\nlast attempts of uncertain ones: {:?}", all.sends.cut_off);
    eprintln!("in {} s, seed {seed}", begun.elapsed().as_secs());
}

fn row(what: &str, it: &Figures) {
    let Sends { leads, calls, taken, sent, late, failed, uncertain, .. } = it.sends;
    eprintln!(
        "| {what} | {} | {leads} | {calls} | {taken} | {sent} | {late} | {failed} | {uncertain} |",
        it.rounds
    );
}
