//! A list is small in memory, whatever leads write: anybody who answers a mail with megabytes gets
//! in through the provider.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        leftovers::Leftover,
        web::{Answer, ask},
    },
};
use reqwest::Method;

/// Items of each list; together they have twice the memory that a list may take.
const COUNT: i64 = 100;
const BYTES: usize = 1 << 20;
/// Ids that are given out long after today: what is old is looked at by the janitor, and that takes
/// memory, too.
const FIRST: i64 = 4_000_000_000_000_000_000;
/// The memory that a list may take, in MiB. A page, the caches of its connections and what an
/// allocator keeps are in it.
const MOST_MIB: u64 = 50;

async fn get(daemon: &Daemon, path: &str) -> Answer {
    let answer = ask(daemon.api(Method::GET, path)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer
}

/// A lead with that many messages, as many drafts, and as many webhooks that were not understood; 1
/// MiB each.
async fn fill(db: &Peek) {
    let (yes, no) = if db.is_sqlite() { ("1", "0") } else { ("true", "false") };
    let (now, numbers, text) = if db.is_sqlite() {
        (
            "cast(unixepoch('subsec') * 1000 as integer)",
            format!(
                "(with recursive up(n) as (select 1 union all select n + 1 from up where n < {COUNT}) select n from up) as it"
            ),
            format!("printf('%.*c', {BYTES}, 'x')"),
        )
    } else {
        (
            "now()",
            format!("(select n::bigint from generate_series(1, {COUNT}) as n) as it"),
            format!("repeat('x', {BYTES})"),
        )
    };
    let mut tables = vec![(
        "leads (id, client_id, status, created_at, last_message_at)",
        format!("select {FIRST}, 'demo', 'new', {now}, {now}"),
    )];
    tables.push((
        "messages (id, client_id, lead_id, channel, direction, source, body, has_new_text, sender, recipients, cc, \
           attachments, automated, sent_at, created_at)",
        format!(
            "select {FIRST} + n, 'demo', {FIRST}, 'email', 'inbound', 'provider', {text}, {yes}, '{{}}', '[]', '[]', '[]', {no}, {now}, {now} \
             from {numbers}"
        ),
    ));
    tables.push((
        "drafts (id, client_id, lead_id, message_id, channel, status, body, parts, created_at)",
        format!(
            "select {FIRST} + n, 'demo', {FIRST}, {FIRST} + n, 'email', 'superseded', {text}, '[]', {now} from {numbers}"
        ),
    ));
    tables.push((
        "quarantine (id, client_id, channel, body_hash, reason, status, count, payload, received_at, last_received_at)",
        format!("select {FIRST} + n, 'demo', 'email', 'h' || n, 'unknown_event', 'held', 1, {text}, {now}, {now} from {numbers}"),
    ));
    for (table, rows) in tables {
        db.execute(&format!("insert into {table} {rows}")).await;
    }
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_list_of_long_texts_is_small_in_memory(place: Place) {
        let daemon = place.start("").await;
        let db = Peek::of(&daemon).await;
        fill(&db).await;
        let count = usize::try_from(COUNT).unwrap();
        let (lead, of_lead) = (format!("/leads/{FIRST}"), format!("/messages?lead={FIRST}&limit=500"));
        for (path, field) in [
            ("/quarantine?limit=500", "items"),
            ("/messages?limit=500", "items"),
            (&of_lead, "items"),
            ("/drafts?limit=500", "items"),
            (&lead, "messages"),
        ] {
            let before = daemon.peak_mib();
            let answer = get(&daemon, path).await;
            // Several at once take no more.
            let all = futures_util::future::join_all((0..8).map(|_| get(&daemon, path))).await;
            // The system sums up what its cores have counted: a peak may look smaller a moment
            // later.
            let grown = daemon.peak_mib().saturating_sub(before);
            assert!(grown < MOST_MIB, "{path}: {grown} MiB");
            assert!(all.iter().all(|it| it.text == answer.text), "{path}");
            let items = answer.body[field].as_array().unwrap();
            assert_eq!(items.len(), count, "{path}");
            for item in items {
                if path.starts_with("/quarantine") {
                    assert!(item.get("payload").is_none());
                } else {
                    let body = item["body"].as_str().unwrap();
                    assert_eq!((body.len(), &item["truncated"]), (2_000, &true.into()), "{path}");
                }
            }
            if path == lead {
                assert_eq!(answer.body["drafts"].as_array().unwrap().len(), count);
            }
        }
        for list in ["messages", "drafts"] {
            let item = get(&daemon, &format!("/{list}/{}", FIRST + 1)).await.body;
            let body = item["body"].as_str().unwrap();
            assert_eq!((body.len(), &item["truncated"]), (BYTES, &false.into()), "{list}");
        }
        ask(daemon.api(Method::GET, "/drafts/999")).await.is_problem(404, "not-found");
        ask(daemon.api(Method::GET, "/drafts/x")).await.is_problem(404, "not-found");
    }

    async fn a_text_to_look_for_has_at_most_200_characters(place: Place) {
        let daemon = place.start("").await;
        let path = |list: &str, name: &str, count: usize| {
            format!("/{list}?{name}={}", "%C3%A4".repeat(count))
        };
        for (list, name) in [("leads", "q"), ("leads", "client"), ("messages", "client"), ("jobs", "client")] {
            get(&daemon, &path(list, name, 200)).await;
            let refused = ask(daemon.api(Method::GET, &path(list, name, 201))).await;
            refused.is_problem(400, "bad-request");
            assert_eq!(refused.field("field"), name);
            assert!(refused.field("detail").contains("200"), "{refused:?}");
        }
        ask(daemon.api(Method::GET, &path("leads", "q", 9_000))).await.is_problem(400, "bad-request");
        assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    }

    async fn a_body_that_names_a_field_twice_is_refused(place: Place) {
        let daemon = place.start("[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n").await;
        daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
        let body = crate::support::web::sms(1, "Hello");
        assert_eq!(ask(daemon.webhook("sms", "demo").json(&body)).await.outcome(), "accepted");
        for path in ["/jobs/cancel", "/jobs/retry"] {
            for (body, field) in [
                (r#"{"status":"failed","status":"pending"}"#, "status"),
                (r#"{"status":"pending","client":"demo","client":"demo"}"#, "client"),
                (r#"{"status":"failed","st\u0061tus":"pending"}"#, "status"),
                (r#"{"status":[{"a":1,"a":2}]}"#, "status.0.a"),
            ] {
                let post = daemon.api(Method::POST, path).header("content-type", "application/json");
                let refused = ask(post.body(body)).await;
                refused.is_problem(400, "bad-request");
                assert_eq!(refused.field("field"), field, "{body}");
                assert!(refused.field("detail").contains("twice"), "{refused:?}");
            }
        }
        let jobs = get(&daemon, "/jobs?status=pending&kind=SMS_INBOUND_POST_PROCESS").await;
        assert_eq!(jobs.items().len(), 1, "nothing was cancelled");
    }
}
