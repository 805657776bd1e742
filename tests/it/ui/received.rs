//! What was received, and what was not understood.

use super::{browse, checked, page, submit};
use crate::{
    on_both_daemons,
    support::{
        daemon::Daemon,
        leftovers::Leftover,
        web::{Answer, ask, mail, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

const CONFIG: &str = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n";
const HOSTILE: &str = "\"><script>alert(1)</script>\u{202e}";

async fn start(place: &crate::support::both::Place) -> Daemon {
    let daemon = place.start(CONFIG).await;
    daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
    daemon
}

/// Posts a webhook of this event, which nobody understands.
async fn not_understood(daemon: &Daemon, event: &str, n: u64) -> Answer {
    let answer =
        ask(daemon.webhook("sms", "demo").json(&json!({"type": event, "body": "Hello", "n": n})))
            .await;
    assert_eq!(answer.outcome(), "quarantined", "{answer:?}");
    answer
}

/// Sends a form, and returns where it leads.
async fn send_form(daemon: &Daemon, path: &str, form: &[(&str, &str)]) -> String {
    let (status, to) = submit(daemon, path, form).await;
    assert_eq!(status, 303, "{path}");
    to
}

async fn listed(daemon: &Daemon, query: &str) -> Vec<Value> {
    let answer = ask(daemon.api(Method::GET, &format!("/received{query}"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.items().to_vec()
}

fn outcomes(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(|it| it["outcome"].as_str()).collect()
}

on_both_daemons! {
    async fn every_request_is_listed_whether_it_left_a_row_or_not(place: Place) {
        let daemon = start(&place).await;
        ask(daemon.webhook("instantly", "demo").json(&mail(3))).await;
        let body = sms(1, "Hello");
        let stored = ask(daemon.webhook("sms", "demo").json(&body)).await;
        assert_eq!(stored.outcome(), "accepted");
        let again = ask(daemon.webhook("sms", "demo").header("x-request-id", "again-7").json(&body)).await;
        assert_eq!(again.outcome(), "duplicate");
        not_understood(&daemon, HOSTILE, 1).await;
        ask(daemon.webhook("sms", "nobody%3Cscript%3E").json(&body)).await.is_problem(401, "unauthenticated");

        // One list, newest first, in pages.
        let all = listed(&daemon, "").await;
        assert_eq!(outcomes(&all), ["unauthenticated", "quarantined", "duplicate", "stored", "stored"], "{all:?}");
        assert_eq!((&all[0]["client_id"], &all[0]["configured"]), (&"nobody<script>".into(), &false.into()));
        assert_eq!((&all[2]["message_id"], &all[2]["request_id"]), (&stored.body["message_id"], &"again-7".into()));
        let first = ask(daemon.api(Method::GET, "/received?limit=2")).await;
        let cursor = first.body["next_cursor"].as_str().unwrap();
        let second = listed(&daemon, &format!("?limit=2&cursor={cursor}")).await;
        assert_eq!([first.items(), &second].concat(), all[..4]);
        assert!(first.body["untraced_since"].is_string(), "{first:?}");

        // By each id, address and number.
        let message = ask(daemon.api(Method::GET, &format!("/messages/{}", stored.field("message_id")))).await;
        let phone = message.body["from"]["address"].as_str().unwrap().to_owned();
        let request_id = stored.field("request_id");
        for (text, expected) in [
            ("again-7", vec!["duplicate"]),
            (request_id, vec!["stored"]),
            (phone.trim_start_matches('+'), vec!["stored"]),
            (stored.field("lead_id"), vec!["duplicate", "stored"]),
            ("nothing at all", vec![]),
        ] {
            let encoded = text.replace('+', "%2B").replace(' ', "%20");
            let found = listed(&daemon, &format!("?q={encoded}")).await;
            assert_eq!(outcomes(&found), expected, "{text}: {found:?}");
        }
        assert_eq!(outcomes(&listed(&daemon, "?outcome=duplicate,ignored").await), ["duplicate"]);
        assert_eq!(outcomes(&listed(&daemon, "?client=demo&channel=sms&outcome=quarantined").await), ["quarantined"]);
        let unknown = ask(daemon.api(Method::GET, "/received?outcome=lost")).await;
        unknown.is_problem(400, "bad-request");

        // The page says the same, and nothing in it runs.
        let shown = page(&daemon, "/received").await;
        assert_eq!(shown.status, 200);
        shown.has("refused: 401").has("no such client").has("not understood").has("duplicate");
        shown.has("is known since").has("of this node").lacks("<script>alert").has("&lt;script&gt;");
        shown.has("Webhooks of a day on this node, by outcome");
        page(&daemon, "/received?client=demo").await.lacks("Webhooks of a day");
        page(&daemon, "/received?q=again-7").await.has("newest 200 webhooks in quarantine").lacks("refused: 401</span>");
        page(&daemon, "/received?q=nothing").await.has("Nothing was received under this id");
        assert_eq!(page(&daemon, "/received?clients=demo").await.status, 400);
        assert_eq!(page(&daemon, "/received?tab=some").await.status, 400);
        // Each tab has filters of its own.
        for query in ["tab=quarantine&q=7", "tab=quarantine&outcome=stored", "status=held", "tab=all&group=7"] {
            assert_eq!(page(&daemon, &format!("/received?{query}")).await.status, 400, "{query}");
        }
    }

    /// Check of the list: it says "nothing" only where it has looked at all there is.
    async fn a_list_of_one_outcome_goes_on_behind_what_is_newer(place: Place) {
        let daemon = start(&place).await;
        let held = not_understood(&daemon, "Nope", 1).await;
        let id = held.field("quarantine_id");
        for n in 0..60 {
            ask(daemon.webhook("sms", "demo").json(&sms(n, "Hello"))).await;
        }
        not_understood(&daemon, "Nope", 2).await;
        for query in ["outcome=quarantined", "outcome=quarantined&channel=sms", "outcome=quarantined,duplicate"] {
            let found = listed(&daemon, &format!("?{query}&limit=5")).await;
            assert_eq!(outcomes(&found), ["quarantined", "quarantined"], "{query}: {found:?}");
            let shown = page(&daemon, &format!("/received?{query}")).await;
            shown.has(&format!("/quarantine/{id}")).lacks("Nothing matches");
        }
        // In pages, each once, and none twice.
        let (mut stored, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = ask(daemon.api(Method::GET, &format!("/received?outcome=stored&limit=7{cursor}"))).await;
            stored.extend(answer.items().iter().map(|it| it["id"].as_str().unwrap().to_owned()));
            let Some(next) = answer.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let count = stored.len();
        assert!(stored.iter().rev().map(|it| it.parse::<i64>().unwrap()).is_sorted(), "{stored:?}");
        stored.dedup();
        assert_eq!((stored.len(), count), (60, 60));
        // Nothing of this outcome is there at all.
        page(&daemon, "/received?outcome=sent").await.has("Nothing matches.").lacks("Go on");
    }

    async fn strangers_push_nothing_out_of_the_list(place: Place) {
        let daemon = start(&place).await;
        let body = sms(1, "Hello");
        for _ in 0..2 {
            ask(daemon.webhook("sms", "demo").json(&body)).await;
        }
        for n in 0..600 {
            let request = daemon.webhook("sms", &format!("stranger{}", n % 7)).json(&json!({}));
            ask(request).await.is_problem(401, "unauthenticated");
        }
        let refused = listed(&daemon, "?outcome=unauthenticated&limit=500").await;
        assert_eq!(refused.len(), 7, "{refused:?}");
        let counted: i64 = refused.iter().filter_map(|it| it["count"].as_i64()).sum();
        assert_eq!(counted, 600);
        assert_eq!(listed(&daemon, "?outcome=duplicate").await.len(), 1);
        assert_eq!(listed(&daemon, "?client=demo&outcome=unauthenticated").await.len(), 0);
    }

    async fn what_was_not_understood_is_tried_replayed_and_discarded(place: Place) {
        let daemon = start(&place).await;
        let one = not_understood(&daemon, HOSTILE, 1).await;
        let two = not_understood(&daemon, "Later", 2).await;
        let three = not_understood(&daemon, "Later", 3).await;
        let id = one.field("quarantine_id");

        // The list with its groups, and the item with its body.
        let tab = page(&daemon, "/received?tab=quarantine").await;
        tab.has("By reason").has(">2 webhooks<").has("unknown_event").lacks("<script>alert");
        let item = page(&daemon, &format!("/quarantine/{id}")).await;
        item.has(&format!("data-copy=\"postroom quarantine show {id}\"")).has("data-part=\"deeds\"");
        item.has("Not understood: ").has("Body as received").has("\\u202e").lacks("<script>alert");
        let tried = page(&daemon, &format!("/quarantine/{id}?try=true")).await;
        tried.has("It would still not be understood.");
        let dry = ask(daemon.api(Method::POST, &format!("/quarantine/{id}/replay?dry_run=true"))).await;
        assert_eq!((dry.field("outcome"), &dry.body["dry_run"]), ("quarantined", &true.into()), "{dry:?}");
        ask(daemon.api(Method::POST, &format!("/quarantine/{id}/replay?dry_run=maybe"))).await.is_problem(400, "bad-request");

        // Replay, discard, and a whole group.
        let path = format!("/quarantine/{id}");
        assert_eq!(send_form(&daemon, &format!("{path}/replay"), &[]).await, format!("{path}?done=still_held"));
        page(&daemon, &format!("{path}?ask=discard")).await.has("Discard this webhook?").has("method=\"post\"");
        assert_eq!(send_form(&daemon, &format!("{path}/discard"), &[]).await, format!("{path}?done=discarded"));
        let settled = page(&daemon, &format!("{path}?done=discarded")).await;
        settled.has("discarded").lacks("/replay\"");
        let newest = three.field("quarantine_id");
        let asked = page(&daemon, &format!("/received?tab=quarantine&ask=discard&group={newest}")).await;
        asked.has("Discard 2 webhooks?");
        // A link that was made before the group has grown.
        let older = two.field("quarantine_id");
        page(&daemon, &format!("/received?tab=quarantine&ask=replay&group={older}")).await.has("Replay 2 webhooks?");
        let group = format!("/quarantine/{newest}/group");
        let to = send_form(&daemon, &group, &[("action", "replay")]).await;
        assert_eq!(to, "/received?tab=quarantine&done=replayed.0.2");
        page(&daemon, &to).await.has("2 are still held");
        let to = send_form(&daemon, &group, &[("action", "discard")]).await;
        assert_eq!(to, "/received?tab=quarantine&done=discarded.2.0");
        page(&daemon, &to).await.has("All was understood.").has("postroom send sms --file");
        for answer in [one, two, three] {
            let item = ask(daemon.api(Method::GET, &format!("/quarantine/{}", answer.field("quarantine_id")))).await;
            assert_eq!(item.field("status"), "discarded", "{item:?}");
        }
        let audit = ask(daemon.api(Method::GET, "/audit?action=quarantine.discard")).await;
        assert_eq!(audit.items().len(), 3, "{audit:?}");
        assert_eq!(page(&daemon, "/quarantine/7").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_body_is_cut_until_all_of_it_is_asked_for() {
    let daemon = start(&crate::support::both::Place::sqlite()).await;
    let body = json!({"type": "Nope", "body": "ä".repeat(400_000)});
    let answer = ask(daemon.webhook("sms", "demo").json(&body)).await;
    let path = format!("/quarantine/{}", answer.field("quarantine_id"));
    page(&daemon, &path).await.has("Show all 400,");
    let whole = browse(&daemon, &format!("{path}?full=true")).send().await.unwrap();
    assert!(whole.text().await.unwrap().len() > 800_000);
    let cut = browse(&daemon, &path).send().await.unwrap();
    checked(cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_fifty_rows_is_light_and_leads_to_older_ones() {
    let daemon = start(&crate::support::both::Place::sqlite()).await;
    for n in 0..60 {
        ask(daemon.webhook("sms", "demo").json(&sms(n, "Hello"))).await;
        not_understood(&daemon, "Nope", n).await;
    }
    // The weight is checked with each page.
    let first = page(&daemon, "/received").await;
    assert_eq!(first.html.matches("<tr data-row").count(), 50);
    let older = first.html.split("rel=\"next\"").next().unwrap();
    let at = older.rfind("href=\"").unwrap();
    let address = older[at + 6..].split('"').next().unwrap().replace("&amp;", "&");
    let second = page(&daemon, &address).await;
    assert_eq!(second.html.matches("<tr data-row").count(), 50);
    let tab = page(&daemon, "/received?tab=quarantine").await;
    tab.has("60 webhooks");
}
