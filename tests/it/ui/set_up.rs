//! Clients, configuration, nodes and the audit log.

use super::{KIM, USERS, VIC, checked, page, submit, submit_as};
use crate::support::{
    both::{Peek, Place},
    daemon::{Daemon, Options},
    eventually,
    leftovers::Leftover,
    proxy::Way,
    web::{Answer, ask, sms},
};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

const CONFIG: &str = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n\
    [[clients]]\nid = \"demo\"\nname = \"<b>Demo</b>\"\nrate_limit = \"50/s\"\n[clients.channels.sms]\nallow_unauthenticated = true\n\
    [[clients]]\nid = \"quiet\"\n[clients.channels.instantly]\nsecret = \"a-secret-of-quiet-0123\"\n";

async fn start() -> Daemon {
    let daemon = Place::sqlite().start(CONFIG).await;
    daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
    daemon
}

async fn reload(daemon: &Daemon) -> String {
    let (status, to) = submit(daemon, "/config/reload", &[]).await;
    assert_eq!(status, 303);
    to
}

/// The loads of the configuration, as the API lists them.
async fn loads(daemon: &Daemon, query: &str) -> Answer {
    let answer = ask(daemon.api(Method::GET, &format!("/config/loads{query}"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_shown_with_their_health_and_their_webhooks() {
    let daemon = start().await;
    ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    let list = page(&daemon, "/clients").await;
    assert_eq!(list.status, 200);
    list.has("&lt;b&gt;Demo&lt;/b&gt;")
        .lacks("<b>Demo")
        .has("href=\"/clients/quiet\"")
        .has("none yet");
    let demo = page(&daemon, "/clients/demo").await;
    let address = format!("http://127.0.0.1:{}/webhooks/sms/demo", daemon.port());
    demo.has(&address).has("A webhook needs no secret.").has("Last message of a lead");
    demo.has("outcome=duplicate").has("test.toml:");
    demo.has("data-copy=\"postroom clients show demo\"");
    for part in ["health", "waits", "channel-sms", "refused"] {
        demo.has(&format!("data-part=\"{part}\""));
    }
    demo.has("data-row=\"channels.sms.");
    demo.has("<dt>Messages of leads, 1 h</dt><dd>1</dd>").has("<dt>Rate limit</dt><dd>50/s, ");
    demo.has(" of 50 used up now ");
    let quiet = page(&daemon, "/clients/quiet").await;
    quiet
        .has("/webhooks/instantly/quiet")
        .has("must show the secret (…)")
        .lacks("a-secret-of-quiet");
    assert_eq!(page(&daemon, "/clients/nobody").await.status, 404);
    let api = ask(daemon.api(Method::GET, "/clients/demo")).await;
    assert_eq!((api.field("health"), &api.body["quarantined"]), ("well", &0.into()), "{api:?}");
    assert!(api.body["channels"][0]["last_inbound_at"].is_string(), "{api:?}");
    assert_eq!((&api.body["received_in_hour"], &api.body["answer_ms"]), (&1.into(), &Value::Null));
    // What is not understood is told in words.
    ask(daemon.webhook("sms", "demo").json(&serde_json::json!({"type": "Nope", "body": "Hello"})))
        .await;
    page(&daemon, "/clients/demo").await.has("1 webhook was not understood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_shown_with_its_places_and_a_refusal_with_its_line() {
    let mut daemon = start().await;
    let changed = page(&daemon, "/config").await;
    assert_eq!(changed.status, 200);
    changed.has("test.toml:2").has("Check and reload").lacks("a-secret-of-quiet").has("***");
    page(&daemon, "/config?show=all&q=retention").await.has("retention.").has("the default");
    page(&daemon, "/config?show=pending").await.has("No value matches.");
    assert_eq!(page(&daemon, "/config?show=some").await.status, 400);
    assert_eq!(reload(&daemon).await, "/config?done=unchanged");

    // A file that is wrong is refused with its line, and what ran runs on.
    let wrong = format!("{CONFIG}[ingest]\nqueue = \"<script>\"\n");
    daemon.configure(&wrong);
    assert_eq!(reload(&daemon).await, "/config?done=refused");
    let refused = page(&daemon, "/config?done=refused").await;
    let line = wrong.lines().count();
    refused.has("were refused").has(&format!("test.toml</bdi>:{line}"));
    refused.has("ingest.queue").lacks("<script>\"");
    // An open page is told of the next reload, and each page of the refusal.
    refused.has("data-part=\"notes\"").has("data-live=\"config/reloaded_at\" data-whole=\"2");
    let sign = "data-live=\"totals/config/refused\">1</span>";
    refused.has(sign);
    page(&daemon, "/clients").await.has(sign);
    // Once it is mended, a key that needs a restart waits.
    daemon.configure(&format!("{CONFIG}[server]\nworkers = 3\n"));
    assert_eq!(reload(&daemon).await, "/config?done=applied");
    let waits = page(&daemon, "/config?show=pending").await;
    waits.has("1 key waits for a restart:").has("server.workers").lacks("were refused").lacks(sign);
    page(&daemon, "/audit?action=config.reload,config.refused").await.has("config.refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_loads_are_shown_with_what_they_changed_and_why_they_were_refused() {
    let mut daemon = start().await;
    page(&daemon, "/config").await.has("No load.").has("Since the start of this node");
    page(&daemon, "/config?show=loads").await.has("No load.").lacks("rel=\"next\"");
    // One that finds nothing new is not listed.
    assert_eq!(reload(&daemon).await, "/config?done=unchanged");
    page(&daemon, "/config").await.has("No load.");
    let none = loads(&daemon, "").await;
    assert!(none.items().is_empty() && none.body["since"].is_string(), "{none:?}");
    assert_eq!(none.body["next_cursor"], Value::Null);

    // What is applied is listed with both values, and secrets are not. The daemon may find a change
    // by itself before it is told to, so who it was is not looked at.
    let another = CONFIG.replace("a-secret-of-quiet-0123", "another-secret-of-quiet");
    let config = |rest: &str| format!("{another}[ingest]\nqueue = 77\n{rest}");
    daemon.configure(&config("[server]\nworkers = 3\n"));
    reload(&daemon).await;
    let applied = page(&daemon, "/config?show=loads").await;
    applied.has("<del><bdi dir=\"auto\">4096</bdi></del> <ins><bdi dir=\"auto\">77</bdi></ins>");
    applied.has("server.workers").has("(restart)").has("data-row=\"load 1\"").has("applied");
    applied.has("postroom config history").lacks("secret-of-quiet");
    // A refusal is listed with its line, once, and so is that the files are right again.
    let wrong = config("[server]\nworkers = \"<b>\"\n");
    daemon.configure(&wrong);
    assert_eq!(reload(&daemon).await, "/config?done=refused");
    assert_eq!(reload(&daemon).await, "/config?done=refused");
    let refused = page(&daemon, "/config?show=loads").await;
    refused.has(&format!("test.toml:{}", wrong.lines().count())).has("data-row=\"load 2\"");
    refused.lacks("data-row=\"load 3\"").lacks("<b>\"");
    daemon.configure(&config("[server]\nworkers = 3\n"));
    assert_eq!(reload(&daemon).await, "/config?done=unchanged");
    let again = page(&daemon, "/config").await;
    again.has("The files say again what runs.").has("data-row=\"load 3\"").has("show=loads");

    // The API tells the same, page by page.
    let all = loads(&daemon, "").await.items().to_vec();
    let outcomes: Vec<&str> = all.iter().filter_map(|it| it["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["unchanged", "refused", "applied"], "{all:?}");
    let errors = &all[1]["errors"];
    assert_eq!(
        (&errors[0]["key"], &errors[0]["line"]),
        (&"server.workers".into(), &wrong.lines().count().into()),
        "{errors}"
    );
    let keys: Vec<&str> =
        all[2]["changed"].as_array().unwrap().iter().filter_map(|it| it["key"].as_str()).collect();
    for key in ["ingest.queue", "server.workers", "clients.quiet.channels.instantly.secret"] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    assert!(!Value::from(all.clone()).to_string().contains("secret-of-quiet"), "{all:?}");
    let first = loads(&daemon, "?limit=2").await;
    assert_eq!((first.items().len(), first.field("next_cursor")), (2, "2"), "{first:?}");
    let rest = loads(&daemon, "?limit=2&cursor=2").await;
    assert_eq!((rest.items(), &rest.body["next_cursor"]), (&all[2..], &Value::Null), "{rest:?}");
    for wrong in ["/config?show=loads&cursor=x", "/config?show=load"] {
        assert_eq!(page(&daemon, wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_with_many_loads_is_light_and_leads_to_older_ones() {
    let mut daemon = Place::sqlite().start("").await;
    // Each changes more keys than a load keeps, to long values.
    for load in 1..=30 {
        let clients: String = (0..30)
            .map(|n| format!("[[clients]]\nid = \"c{n}\"\nname = \"{}{load}\"\n", "<&>".repeat(60)))
            .collect();
        daemon.configure(&clients);
        reload(&daemon).await;
    }
    // The weight is checked with each page.
    page(&daemon, "/config?show=all").await.has("data-row=\"load 30\"").has("more</p>");
    let mut path = "/config?show=loads".to_owned();
    let mut seen = Vec::new();
    loop {
        let shown = page(&daemon, &path).await;
        assert_eq!(shown.status, 200, "{path}");
        let rows: Vec<u32> = shown
            .html
            .split("data-row=\"load ")
            .skip(1)
            .map(|it| it.split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!(!rows.is_empty() && rows.len() <= 20, "{path}: {rows:?}");
        seen.extend(rows);
        if !shown.html.contains("rel=\"next\"") {
            break;
        }
        path = format!("/config?show=loads&cursor={}", seen.last().unwrap());
        shown.has(&path.replace('&', "&amp;"));
    }
    let all: Vec<u32> = (1..=*seen.first().unwrap()).rev().collect();
    assert_eq!(seen, all, "each once, newest first");
    assert!(all.len() >= 30, "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_shows_nodes_and_what_must_hold() {
    let daemon = start().await;
    let system = eventually(Duration::from_secs(20), async || {
        let system = page(&daemon, "/system").await;
        system.html.contains("this one").then_some(system)
    })
    .await;
    system.has("balanced: ").has(env!("CARGO_PKG_VERSION")).has("sqlite").lacks("are not alike");
    // The database, and what is done to it.
    system.has("SQLite 3.").has("write-ahead log").has("are free, and webhooks are refused below");
    system.has(" are applied, the last is ").has("Next pruning").has("> leader<");
    // All that is wrong, which the overview lists the beginning of.
    system.has("SMS_INBOUND_POST_PROCESS").has("id=\"wrong\"").lacks("Nothing.</p>");
    assert_eq!(page(&daemon, "/system?client=demo").await.status, 200);
    assert_eq!(page(&daemon, "/audit?actors=dana").await.status, 400);
    page(&daemon, "/audit?actor=dana").await.has("Nothing matches.").has("postroom reload");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_says_how_far_it_has_looked() {
    let daemon = start().await;
    ask(daemon.api(Method::POST, "/config/reload")).await;
    let by_api = page(&daemon, "/audit?via=api&since=1h&until=2020-01-01T00:00:00Z").await;
    by_api.has("Nothing matches.").has("name=\"until\" value=\"2020-01-01T00:00:00Z\"");
    assert_eq!(page(&daemon, "/audit?via=fax").await.status, 400);
    let listed = page(&daemon, "/audit?via=api,command").await;
    listed.has("config.reload").has("postroom audit list --all --jsonl --via api,command");
    // More rows than are read for one page, none of which came from a file.
    let peek = Peek::of(&daemon).await;
    peek.execute(
        "with recursive n(id) as (select 1 union all select id + 1 from n where id < 10050) \
         insert into audit (id, happened_at, actor, via, action) select id, 0, 'dana', 'api', 'job.retry' from n",
    )
    .await;
    let first = page(&daemon, "/audit?via=file").await;
    first.has("Nothing matches, back to ").has("Go on").lacks("Nothing matches.");
    let link = first.html.split("rel=\"next\"").next().unwrap();
    let address = link.rsplit("href=\"").next().unwrap().split('"').next().unwrap();
    let next = page(&daemon, &address.replace("&amp;", "&")).await;
    next.has("Nothing matches.").lacks("Go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn system_says_what_a_stop_would_cut_off() {
    stop_is_told(Place::sqlite()).await;
    if let Some(place) = Place::postgres() {
        stop_is_told(place).await;
    }
}

async fn stop_is_told(place: Place) {
    let config = "[server]\nshutdown_timeout = \"1s\"\n[[clients]]\nid = \"fine\"\n";
    let options = Options { has_own_kinds: true, ..place.options(config) };
    let daemon = Daemon::start(options).await;
    daemon.may_leave(Leftover::Anything, "its rows are made by hand");
    let before = page(&daemon, "/system").await;
    before.has("If this node is stopped now").has("No job runs here: it ends at once.");
    before.has("No send is on the wire, on any node.");
    // A job that ends long after a stop would wait, and a send that was marked and not settled.
    let peek = Peek::of(&daemon).await;
    peek.put_job(7, "LINGERS", "fine", 5).await;
    let now = if peek.is_sqlite() { "1764000000000" } else { "now()" };
    peek.execute(&format!(
        "insert into deliveries (id, client_id, lead_id, message_id, channel, status, text_key, created_at) \
         values (8, 'fine', 1, 1, 'sms', 'sending', 'k', {now})"
    ))
    .await;
    let cut = eventually(Duration::from_secs(30), async || {
        let system = page(&daemon, "/system").await;
        let is_told = ["1 job runs here. A stop waits 1.0 s", "1 send is on the wire"];
        is_told.iter().all(|it| system.html.contains(it)).then_some(system)
    })
    .await;
    cut.has("href=\"/jobs/7\"").has("LINGERS").has("may be cut off");
    // The canary may run, too, and ends.
    let nodes = eventually(Duration::from_secs(30), async || {
        let nodes = ask(daemon.api(Method::GET, "/nodes")).await;
        (nodes.body["stop"]["running"] == 1).then_some(nodes)
    })
    .await;
    let stop = &nodes.body["stop"];
    assert_eq!((&stop["may_be_cut_off"], &stop["timeout_ms"]), (&1.into(), &1_000.into()));
    assert_eq!((&stop["jobs"][0]["job_id"], &nodes.body["sending"]), (&"7".into(), &1.into()));
    let leaders: Vec<bool> =
        nodes.items().iter().filter_map(|node| node["leads"].as_bool()).collect();
    assert_eq!(leaders.iter().filter(|leads| **leads).count(), 1, "{nodes:?}");
    peek.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn config_system_and_clients_answer_without_the_database() {
    let Some(place) = Place::postgres() else { return };
    let (daemon, proxy) = place.start_behind_proxy(CONFIG).await;
    page(&daemon, "/system").await.lacks("The database does not answer");
    proxy.set(Way::Silent);
    let away = eventually(Duration::from_secs(30), async || {
        let system = page(&daemon, "/system").await;
        // The list of what is wrong has its own count of seconds.
        let told = ["The database does not answer", "atabase is away"];
        let says = told.iter().all(|it| system.html.contains(it));
        (system.status == 200 && says).then_some(system)
    })
    .await;
    away.has("What is grey here was read before.").has("class=\"stale\"");
    away.has("If this node is stopped now").has("is not known now");
    page(&daemon, "/config").await.has("test.toml:").has("Check and reload");
    // The clients of the file, without what is stored for them.
    let clients = eventually(Duration::from_secs(30), async || {
        let clients = page(&daemon, "/clients").await;
        let is_away = clients.html.contains("The database does not answer.");
        (clients.status == 200 && is_away).then_some(clients)
    })
    .await;
    clients
        .has("What is configured is shown")
        .has("href=\"/clients/quiet\"")
        .has("class=\"stale\"");
    proxy.set(Way::Open);
    for path in ["/system", "/clients"] {
        eventually(Duration::from_secs(60), async || {
            let shown = page(&daemon, path).await;
            (!shown.html.contains("The database does not answer")).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_looks_a_reviewer_settles_and_only_an_operator_does_the_rest() {
    let daemon = Place::sqlite().start(&format!("{CONFIG}{USERS}")).await;
    let body = serde_json::json!({"type": "Nope", "body": "a text of the body"});
    let held = ask(daemon.webhook("sms", "demo").json(&body)).await;
    let item = format!("/quarantine/{}", held.field("quarantine_id"));
    let own = ["/look", "/logout"];
    for (token, sees_bodies) in [(VIC, false), (KIM, true)] {
        for path in [
            "/deliveries",
            "/received",
            "/received?tab=quarantine",
            &item,
            "/clients",
            "/clients/demo",
            "/config",
            "/system",
            "/audit",
        ] {
            let request = daemon.get(path).bearer_auth(token).header("accept", "text/html");
            let shown = checked(request.send().await.unwrap()).await;
            assert_eq!(shown.status, 200, "{path}");
            // No form but those of the header.
            for form in shown.html.split("<form method=\"post\" action=\"").skip(1) {
                let action = form.split('"').next().unwrap();
                assert!(own.contains(&action), "{path}: {action}");
            }
            if path == item {
                assert_eq!(shown.html.contains("a text of the body"), sees_bodies, "{path}");
            }
        }
        for path in [
            "/config/reload",
            &format!("{item}/replay"),
            &format!("{item}/discard"),
            "/quarantine/replay",
            "/quarantine/discard",
        ] {
            let form = [("status", "held"), ("count", "1")];
            assert_eq!(submit_as(&daemon, token, path, &form).await.0, 403, "{path}");
        }
    }
    // There is no such delivery, which only those are told who might settle it.
    let form = [("end", "sent")];
    assert_eq!(submit_as(&daemon, VIC, "/deliveries/7/resolve", &form).await.0, 403);
    assert_eq!(submit_as(&daemon, KIM, "/deliveries/7/resolve", &form).await.0, 404);
    assert_eq!(submit(&daemon, &format!("{item}/discard"), &[]).await.0, 303);
    let audit = page(&daemon, "/audit?action=quarantine.discard").await;
    audit.has("quarantine.discard").lacks("kim");
}
