//! Operations on held webhooks, as daemons do them: in the order in which they came, each once, and
//! beside webhooks that are posted meanwhile.

use crate::{
    on_both_daemons,
    operations::{PATIENCE, change, ends_with, get, number, operation, operation_that, postroom},
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        eventually, http,
        leftovers::Leftover,
        web::{ask, mail, sms},
    },
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

/// Ann operates on `acme` alone.
const CONFIG: &str = r#"
    [pools.SMS_INBOUND_POST_PROCESS]
    paused = true
    [supervisor]
    heartbeat = "200ms"
    lease = "1s"
    [[clients]]
    id = "demo"
    [clients.channels.sms]
    allow_unauthenticated = true
    [clients.channels.instantly]
    allow_unauthenticated = true
    [[clients]]
    id = "acme"
    [clients.channels.sms]
    allow_unauthenticated = true
    [[admin.users]]
    name = "ann"
    role = "operator"
    token = "anns-token-of-24-characters-"
    clients = ["acme"]
"#;
const ANN: &str = "anns-token-of-24-characters-";
/// Held webhooks in a group that is so large that no request waits for its end.
const MANY: i64 = 80;
/// How long an operation on them may take: each is taken in by itself.
const LONG: Duration = Duration::from_secs(240);
/// How many items are decided between two writes of the counts.
const PORTION: i64 = 10;

const HELD: &str = "select count(*) from quarantine where status = 'held'";
const REPLAYED: &str = "select count(*) from quarantine where status = 'replayed'";
const STORED: &str = "select count(*) from messages where body like 'Held %'";

async fn start(place: &Place) -> (Daemon, Peek) {
    let daemon = place.start(CONFIG).await;
    daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
    let db = Peek::of(&daemon).await;
    (daemon, db)
}

/// Webhooks that this version understands, as an earlier one has kept them.
fn understood(count: i64) -> Vec<(Option<&'static str>, &'static str, String)> {
    let text = |n: i64| format!("Held {n:04}");
    let lead = |n: i64| u64::try_from(n % 7).unwrap() + 1;
    (0..count)
        .map(|n| (Some("InboundMessage"), "unknown_shape", sms(lead(n), &text(n)).to_string()))
        .collect()
}

/// One that nobody understands.
fn not_understood(n: i64) -> (Option<&'static str>, &'static str, String) {
    (None, "unknown_event", json!({"type": "Nope", "body": "Hello", "n": n}).to_string())
}

/// The daemon with [`MANY`] held webhooks of `demo` that are understood now.
async fn start_with_many(place: &Place) -> (Daemon, Peek) {
    let (daemon, db) = start(place).await;
    db.put_held(1, "demo", &understood(MANY)).await;
    (daemon, db)
}

fn demo() -> Value {
    json!({"client": "demo"})
}

fn ann(daemon: &Daemon, method: Method, path: &str) -> RequestBuilder {
    let request = http().request(method, daemon.url(&format!("/api/v1{path}")));
    request.bearer_auth(ANN)
}

/// The operation that a request has started, at its end.
async fn ended(daemon: &Daemon, started: &Value) -> Value {
    let id = started["operation_id"].as_str().unwrap_or_else(|| panic!("no operation: {started}"));
    eventually(LONG, async || {
        let operation = operation(daemon, id).await;
        (operation["status"] != "running").then_some(operation)
    })
    .await
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_group_is_replayed_in_order_while_webhooks_are_taken(place: Place) {
        let (daemon, db) = start_with_many(&place).await;
        // Count first.
        let counted = change(&daemon, "/quarantine/replay?dry_run=true", &demo()).await;
        assert_eq!((number(&counted, "count"), &counted["exact"]), (MANY, &true.into()), "{counted}");
        assert_eq!((&counted["operation_id"], &counted["status"]), (&Value::Null, &Value::Null));
        let examples: Vec<&Value> = counted["examples"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
        assert_eq!(examples, ["80", "79", "78"]);
        assert_eq!(counted["examples"][0]["reason"], "unknown_shape");
        assert_eq!(db.number(HELD).await, MANY, "a dry run changes nothing");
        // Start.
        let request = daemon.api(Method::POST, "/quarantine/replay").header("X-Postroom-Actor", "dana").json(&demo());
        let started = ask(request).await;
        assert_eq!((number(&started.body, "count"), started.field("status")), (MANY, "running"), "{started:?}");
        let id = started.field("operation_id").to_owned();
        // What comes meanwhile is answered, and not touched.
        let late = ask(daemon.webhook("sms", "demo").json(&json!({"type": "Nope", "body": "Hello", "n": "late"}))).await;
        assert_eq!(late.outcome(), "quarantined", "{late:?}");
        let mut last = 0;
        for lead in 0.. {
            let answer = ask(daemon.webhook("instantly", "demo").json(&mail(lead))).await;
            assert_eq!((answer.status, answer.outcome()), (200, "accepted"), "{answer:?}");
            let seen = operation(&daemon, &id).await;
            assert!(number(&seen, "done") >= last, "{seen}");
            last = number(&seen, "done");
            if seen["status"] != "running" {
                break;
            }
        }
        let done = operation(&daemon, &id).await;
        assert_eq!((&done["status"], number(&done, "done"), number(&done, "skipped")), (&"done".into(), MANY, 0), "{done}");
        assert_eq!((&done["action"], &done["by"], &done["filter"]), (&"replay".into(), &"dana".into(), &json!({"client": ["demo"]})));
        assert_eq!((db.number(REPLAYED).await, db.number(HELD).await), (MANY, 1));
        // Each is one message, in the order in which they came.
        let texts = db.texts("select body from messages where body like 'Held %' order by id").await;
        let expected: Vec<String> = (0..MANY).map(|n| format!("Held {n:04}")).collect();
        assert_eq!(texts, expected);
        // Each has a row in the audit log, and so has the operation.
        let by_dana = "select count(*) from audit where actor = 'dana' and action = 'quarantine.replay' and new_value = 'replayed'";
        assert_eq!(db.number(by_dana).await, MANY);
        let values = db.texts("select new_value from audit where action = 'operation.start'").await;
        assert_eq!(values, [format!("replay {MANY} webhooks: {{\"client\":[\"demo\"]}}")]);
        let listed = get(&daemon, "/operations?action=replay,discard").await;
        assert_eq!((listed.items().len(), &listed.items()[0]["id"]), (1, &id.as_str().into()));
        ask(daemon.api(Method::GET, "/operations?action=paint")).await.is_problem(400, "bad-request");
    }

    #[ignore = "long: `just long`"]
    async fn it_is_stopped_half_way_and_the_numbers_add_up(place: Place) {
        let (daemon, db) = start_with_many(&place).await;
        let started = change(&daemon, "/quarantine/replay", &demo()).await;
        let id = started["operation_id"].as_str().unwrap();
        operation_that(&daemon, id, |it| number(it, "done") > 0).await;
        let asked = ask(daemon.api(Method::POST, &format!("/operations/{id}/cancel"))).await;
        assert_eq!((asked.status, &asked.body["stopping"]), (200, &true.into()), "{asked:?}");
        let stopped = ended(&daemon, &started).await;
        assert_eq!((&stopped["status"], &stopped["error"]), (&"stopped".into(), &Value::Null), "{stopped}");
        let done = number(&stopped, "done");
        assert!((1..MANY).contains(&done), "{stopped}");
        assert_eq!((number(&stopped, "total"), number(&stopped, "skipped")), (MANY, 0), "{stopped}");
        assert_eq!((db.number(REPLAYED).await, db.number(STORED).await), (done, done));
        let values = db.texts("select new_value from audit where action = 'operation.stop'").await;
        assert!(values[0].starts_with(&format!("replay of {MANY} webhooks: stop at ")), "{values:?}");
        // The oldest were first, and the rest is another operation.
        assert_eq!(db.number("select max(id) from quarantine where status = 'replayed'").await, done);
        let rest = ended(&daemon, &change(&daemon, "/quarantine/discard", &demo()).await).await;
        assert_eq!((&rest["status"], &rest["action"], number(&rest, "done")), (&"done".into(), &"discard".into(), MANY - done));
        assert_eq!((db.number(HELD).await, db.number(STORED).await), (0, done), "what is discarded is no message");
        let discarded = "select count(*) from audit where action = 'quarantine.discard' and new_value = 'discarded'";
        assert_eq!(db.number(discarded).await, MANY - done);
        let nothing = change(&daemon, "/quarantine/replay", &demo()).await;
        assert_eq!(nothing, json!({"count": 0, "exact": true, "operation_id": null, "status": null, "examples": []}));
    }

    async fn what_is_left_as_it_was_is_counted_by_reason(place: Place) {
        let (daemon, db) = start(&place).await;
        let mut held = understood(3);
        held.extend((0..2).map(not_understood));
        db.put_held(1, "demo", &held).await;
        db.put_held(101, "gone", &understood(2)).await;
        db.put_held(201, "acme", &understood(1)).await;
        db.execute("update quarantine set channel = 'fax' where id = 201").await;
        db.execute("update quarantine set payload = 'no JSON' where id = 2").await;
        // A small set is done when it is answered: `count` is what was changed.
        let replayed = change(&daemon, "/quarantine/replay", &json!({"status": "held"})).await;
        assert_eq!((number(&replayed, "count"), &replayed["status"]), (2, &"done".into()), "{replayed}");
        let row = ended(&daemon, &replayed).await;
        assert_eq!((number(&row, "total"), number(&row, "done"), number(&row, "skipped")), (8, 2, 6), "{row}");
        let expected = json!({
            "cannot be read": 1, "its channel is gone": 1, "its client is gone": 2, "still not understood": 2,
        });
        assert_eq!(row["reasons"], expected);
        assert_eq!((db.number(STORED).await, db.number(HELD).await), (2, 6));
        // One that was stored before, and is still held, is a duplicate: no message twice.
        db.execute("update quarantine set status = 'held' where id = 1").await;
        let again = change(&daemon, "/quarantine/replay", &json!({"id": ["1", "2"]})).await;
        assert_eq!(number(&again, "count"), 1, "{again}");
        assert_eq!(db.number(STORED).await, 2);
        let audit = db.number("select count(*) from audit where action = 'quarantine.replay'").await;
        assert_eq!(audit, 3, "one for each item that was settled");
    }

    async fn a_filter_selects_by_client_channel_event_reason_and_id(place: Place) {
        let (daemon, db) = start(&place).await;
        let body = |n: i64| json!({"type": "Nope", "body": "Hello", "n": n}).to_string();
        let (paged, comma) = (Some("Paged"), "missing_field a, b");
        db.put_held(1, "demo", &[(paged, "unknown_event", body(1)), (None, "unknown_event", body(2)), (None, comma, body(3))]).await;
        db.put_held(11, "acme", &[(paged, comma, body(11)), (None, "unknown_event", body(12))]).await;
        db.execute("update quarantine set status = 'discarded' where id = 12").await;
        let count = async |filter: Value| {
            let counted = change(&daemon, "/quarantine/discard?dry_run=true", &filter).await;
            let examples = counted["examples"].as_array().unwrap().len();
            let count = number(&counted, "count");
            assert_eq!(usize::try_from(count).unwrap().min(3), examples, "{counted}");
            count
        };
        for (filter, expected) in [
            (json!({"status": "held"}), 4),
            (json!({"client": ["demo"]}), 3),
            (json!({"client": ["demo", "acme"], "channel": "sms"}), 4),
            (json!({"channel": "email"}), 0),
            (json!({"event_type": "Paged"}), 2),
            (json!({"event_type": ""}), 2),
            (json!({"event_type": ["", "Paged"]}), 4),
            (json!({"event_type": null, "client": "demo"}), 3),
            (json!({"event_type": "", "reason": "unknown_event"}), 1),
            (json!({"reason": comma}), 2),
            (json!({"reason": [comma, "other"], "client": "acme"}), 1),
            (json!({"id": ["2", "11", "12", "77"]}), 2),
            (json!({"id": ["2", "11"], "client": "acme"}), 1),
            (json!({"id": ["2", "11"], "event_type": ""}), 1),
        ] {
            assert_eq!(count(filter.clone()).await, expected, "{filter}");
        }
        // The list takes the same.
        for (query, ids) in [
            ("event_type=Paged", vec!["11", "1"]),
            ("event_type=&status=held", vec!["3", "2"]),
            ("reason=missing_field%20a,%20b&client=demo", vec!["3"]),
            ("event_type=Paged&event_type=&client=acme", vec!["12", "11"]),
        ] {
            let listed = get(&daemon, &format!("/quarantine?{query}")).await;
            let found: Vec<&str> = listed.items().iter().map(|it| it["id"].as_str().unwrap()).collect();
            assert_eq!(found, ids, "{query}");
        }
        for (path, filter) in [
            ("/quarantine/replay", json!({})),
            ("/quarantine/replay?dry_run=true", json!({})),
            ("/quarantine/discard", json!({"event_type": null})),
            ("/quarantine/replay", json!({"status": "replayed"})),
            ("/quarantine/replay", json!({"channel": "fax"})),
            ("/quarantine/replay", json!({"id": "x"})),
            ("/quarantine/replay", json!({"kind": "x"})),
            ("/quarantine/discard?dryrun=true", demo()),
        ] {
            let answer = ask(daemon.api(Method::POST, path).json(&filter)).await;
            answer.is_problem(400, "bad-request");
        }
        assert_eq!(ask(daemon.api(Method::GET, "/quarantine/replay")).await.status, 405);
        assert_eq!(get(&daemon, "/operations").await.items().len(), 0);
        assert_eq!(db.number(HELD).await, 4);
    }

    async fn who_sees_some_clients_neither_counts_nor_changes_those_of_others(place: Place) {
        let (daemon, db) = start(&place).await;
        db.put_held(1, "demo", &understood(3)).await;
        db.put_held(11, "acme", &[not_understood(1), not_understood(2)]).await;
        for filter in [json!({"status": "held"}), json!({"client": ["demo", "acme"]}), json!({"id": ["1", "11", "12"]})] {
            let counted = ask(ann(&daemon, Method::POST, "/quarantine/discard?dry_run=true").json(&filter)).await;
            assert_eq!((counted.status, number(&counted.body, "count")), (200, 2), "{filter}: {counted:?}");
            assert!(!counted.text.contains("demo"), "{counted:?}");
        }
        let of_other = ask(ann(&daemon, Method::POST, "/quarantine/discard").json(&demo())).await;
        assert_eq!((of_other.status, number(&of_other.body, "count"), &of_other.body["operation_id"]), (200, 0, &Value::Null));
        let theirs = change(&daemon, "/quarantine/replay", &demo()).await;
        let theirs = theirs["operation_id"].as_str().unwrap();
        for (method, path) in [(Method::GET, format!("/operations/{theirs}")), (Method::POST, format!("/operations/{theirs}/cancel"))] {
            ask(ann(&daemon, method, &path)).await.is_problem(404, "not-found");
        }
        let own = ask(ann(&daemon, Method::POST, "/quarantine/discard").json(&json!({"status": "held"}))).await;
        assert_eq!((number(&own.body, "count"), own.field("status")), (2, "done"), "{own:?}");
        let seen = ask(ann(&daemon, Method::GET, &format!("/operations/{}", own.field("operation_id")))).await;
        assert_eq!((seen.status, &seen.body["by"]), (200, &"ann".into()), "{seen:?}");
        assert_eq!(seen.body["filter"], json!({"status": ["held"], "client": ["acme"]}));
        assert_eq!(db.number("select count(*) from quarantine where status = 'discarded' and client_id <> 'acme'").await, 0);
        // A person who only looks may do neither.
        let audit = db.texts("select actor from audit where action = 'quarantine.discard'").await;
        assert_eq!(audit, ["ann", "ann"]);
    }

    #[ignore = "long: `just long`"]
    async fn a_killed_daemon_leaves_a_row_that_fails_and_no_message_twice(place: Place) {
        let (mut daemon, db) = start_with_many(&place).await;
        let started = change(&daemon, "/quarantine/replay", &demo()).await;
        let id = started["operation_id"].as_str().unwrap().to_owned();
        operation_that(&daemon, &id, |it| number(it, "done") > 0).await;
        daemon.kill_9();
        daemon.start_again().await;
        let failed = operation_that(&daemon, &id, |it| it["status"] != "running").await;
        assert_eq!((&failed["status"], &failed["error"]), (&"failed".into(), &"the node went down: start it again".into()), "{failed}");
        let (done, replayed) = (number(&failed, "done"), db.number(REPLAYED).await);
        assert!((done..=done + PORTION).contains(&replayed), "{replayed} were replayed: {failed}");
        assert_eq!(db.number(HELD).await, MANY - replayed);
        let stored = db.number(STORED).await;
        assert!((replayed..=replayed + 1).contains(&stored), "{stored} of {replayed}");
        // Once more: the one that was stored and not settled is known.
        let again = ended(&daemon, &change(&daemon, "/quarantine/replay", &demo()).await).await;
        assert_eq!((&again["status"], number(&again, "done")), (&"done".into(), MANY - replayed), "{again}");
        assert_eq!((db.number(HELD).await, db.number(STORED).await), (0, MANY));
        assert_eq!(db.number("select count(distinct body) from messages where body like 'Held %'").await, MANY);
    }

    async fn a_daemon_that_is_told_to_stop_ends_the_operation_with_right_counts(place: Place) {
        let (mut daemon, db) = start_with_many(&place).await;
        let started = change(&daemon, "/quarantine/replay", &demo()).await;
        let id = started["operation_id"].as_str().unwrap().to_owned();
        operation_that(&daemon, &id, |it| number(it, "done") > 0).await;
        daemon.terminate();
        assert!(daemon.wait(Duration::from_secs(20)).await.success());
        let row = db.texts(&format!("select status || ': ' || error from operations where id = {id}")).await;
        assert_eq!(row, ["stopped: its daemon was stopped: start it again for the rest"]);
        let done = db.number(&format!("select done from operations where id = {id}")).await;
        assert_eq!((db.number(REPLAYED).await, db.number(STORED).await), (done, done));
        daemon.start_again().await;
        assert_eq!(operation(&daemon, &id).await["status"], "stopped");
    }

    #[ignore = "long: `just long`"]
    async fn what_somebody_else_settles_meanwhile_is_left_alone(place: Place) {
        let (daemon, db) = start_with_many(&place).await;
        let started = change(&daemon, "/quarantine/replay", &demo()).await;
        // The last is discarded by hand, and the one before it is deleted.
        let gone = ask(daemon.api(Method::DELETE, &format!("/quarantine/{MANY}"))).await;
        assert_eq!(gone.status, 200, "{gone:?}");
        db.execute(&format!("delete from quarantine where id = {}", MANY - 1)).await;
        let row = ended(&daemon, &started).await;
        assert_eq!((&row["status"], number(&row, "done"), number(&row, "skipped")), (&"done".into(), MANY - 2, 2), "{row}");
        let reasons = row["reasons"].as_object().unwrap();
        let known = ["settled meanwhile", "deleted meanwhile"];
        assert!(reasons.keys().all(|it| known.contains(&it.as_str())), "{row}");
    }

    #[ignore = "long: `just long`"]
    async fn a_command_counts_asks_and_follows(place: Place) {
        let (daemon, db) = start(&place).await;
        db.put_held(1, "demo", &understood(20)).await;
        db.put_held(1001, "demo", &[not_understood(1)]).await;
        let replay = |more: &[&str]| postroom(&daemon, &[&["quarantine", "replay", "--all", "--client", "demo"], more].concat());
        let (out, err) = ends_with(2, &replay(&[]));
        assert_eq!(out, "");
        for part in ["21 items match, the newest of them:", "\n1001  ", "this will replay 21 items", "--yes", "--dry-run"] {
            assert!(err.contains(part), "no `{part}` in {err}");
        }
        let (out, err) = ends_with(0, &replay(&["--dry-run", "--event", ""]));
        assert!(out.starts_with("1 item matches, the newest of them:\n") && err.is_empty(), "{out}{err}");
        let (out, _) = ends_with(0, &replay(&["--dry-run", "--json", "--reason", "unknown_shape"]));
        let counted: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((number(&counted, "count"), &counted["operation_id"]), (20, &Value::Null), "{counted}");
        assert_eq!(db.number("select count(*) from operations").await, 0, "nothing was changed");
        let (out, _) = ends_with(0, &replay(&["--yes"]));
        assert_eq!(out, "done 20 of 21, skipped 1 (still not understood 1)\n");
        let discard = ["quarantine", "discard", "--all", "--yes"];
        let (out, _) = ends_with(0, &postroom(&daemon, &[&discard[..], &["--no-wait"]].concat()));
        let id = out.trim_end();
        operation_that(&daemon, id, |it| it["status"] == "done").await;
        let (out, _) = ends_with(0, &postroom(&daemon, &discard));
        assert_eq!(out, "no item matches\n");
        let (out, _) = ends_with(0, &postroom(&daemon, &["operations", "list", "--action", "discard", "--json"]));
        let listed: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["done"]), (&id.into(), &1.into()), "{listed}");
        let (out, _) = ends_with(0, &postroom(&daemon, &["quarantine", "list", "--status", "discarded", "--event", ""]));
        assert!(out.contains("1001"), "{out}");
        for wrong in [&["quarantine", "replay", "7", "--client", "demo"][..], &["quarantine", "discard", "--client", "demo"]] {
            ends_with(2, &postroom(&daemon, wrong));
        }
        eventually(PATIENCE, async || (db.number(HELD).await == 0).then_some(())).await;
    }
}
