//! What was received, and what was not understood.

use super::{browse, checked, page, page_leads_to, post, submit};
use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        web::{Answer, ask, mail, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

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
    #[ignore = "long: `just long`"]
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
        // The group's buttons ask about what is like it.
        let tab = page(&daemon, "/received?tab=quarantine").await;
        let group = "/received?tab=quarantine&amp;client=demo&amp;channel=sms&amp;event_type=Later&amp;reason=unknown_event&amp;ask=replay";
        tab.has(&format!("href=\"{group}\"")).has("Replay all …").has("Discard all …");
        let asked = page(&daemon, &group.replace("&amp;", "&")).await;
        asked.has("Replay 2 webhooks?").has("action=\"/quarantine/replay\"").has("Only:").has("show all").lacks("name=\"typed\"");
        for id in [&two, &three] {
            asked.has(id.field("quarantine_id"));
        }
        let like = [("status", "held"), ("client", "demo"), ("channel", "sms"), ("event_type", "Later"), ("reason", "unknown_event")];
        let form = [&like[..], &[("count", "2")]].concat();
        let to = send_form(&daemon, "/quarantine/replay", &form).await;
        let list = "/received?tab=quarantine&status=held&client=demo&channel=sms&event_type=Later&reason=unknown_event&operation=";
        assert!(to.starts_with(list), "{to}");
        page(&daemon, &to).await.has("Replayed 2 webhooks").has("2 skipped").has("still not understood 2").has("data-part=\"operation\"");
        let to = send_form(&daemon, "/quarantine/discard", &form).await;
        page(&daemon, &to).await.has("Discarded 2 webhooks").has("2 done").has("Nothing matches.");
        page(&daemon, "/received?tab=quarantine").await.has("All was understood.").has("postroom send sms --file").lacks("Replay all");
        page(&daemon, "/received?tab=quarantine&ask=discard").await.has("No webhook to discard");
        let (status, _) = submit(&daemon, "/quarantine/discard", &form).await;
        assert_eq!(status, 409, "nothing matches any more");
        for answer in [one, two, three] {
            let item = ask(daemon.api(Method::GET, &format!("/quarantine/{}", answer.field("quarantine_id")))).await;
            assert_eq!(item.field("status"), "discarded", "{item:?}");
        }
        let audit = ask(daemon.api(Method::GET, "/audit?action=quarantine.discard")).await;
        assert_eq!(audit.items().len(), 3, "{audit:?}");
        assert_eq!(page(&daemon, "/quarantine/7").await.status, 404);
    }
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn many_held_webhooks_are_counted_typed_and_followed(place: Place) {
        let daemon = start(&place).await;
        let db = Peek::of(&daemon).await;
        let body = |n: i64| json!({"type": HOSTILE, "body": "Hello", "n": n}).to_string();
        let held: Vec<_> = (0..250).map(|n| (None, "bad_field a, b", body(n))).collect();
        db.put_held(1, "demo", &held).await;
        db.put_held(1001, "demo", &[(Some(HOSTILE), "unknown_event", body(1_000))]).await;
        // A group without a name is asked about by an empty event.
        let group = "tab=quarantine&client=demo&channel=sms&event_type=&reason=bad_field+a,+b";
        let tab = page(&daemon, "/received?tab=quarantine").await;
        tab.has(&format!("/received?{}&amp;ask=discard", group.replace('&', "&amp;"))).lacks("<script>alert");
        let asked = page(&daemon, &format!("/received?{group}&ask=discard")).await;
        asked.has("Discard 250 webhooks?").has("Type 250 to go on").has("and 247 more").has("name=\"event_type\" value=\"\"");
        asked.has("data-copy=\"postroom quarantine list --client demo --channel sms --event '' --reason 'bad_field a, b'\"");
        // Too few, or not typed: the question comes again.
        let fields = [("status", "held"), ("client", "demo"), ("channel", "sms"), ("event_type", ""), ("reason", "bad_field a, b")];
        let with = |more: &[(&'static str, &'static str)]| [&fields[..], more].concat();
        let to = send_form(&daemon, "/quarantine/discard", &with(&[("count", "7")])).await;
        assert!(to.ends_with("&ask=discard") && to.contains("&event_type=&"), "{to}");
        let refused = post(&daemon, "/quarantine/discard", &with(&[("count", "250"), ("typed", "25")])).await;
        let refused = checked(refused).await;
        assert_eq!(refused.status, 400);
        refused.has("more than 100 webhooks are discarded only if their count is typed: 250").has("value=\"25\"");
        let without = [("client", "demo")];
        assert_eq!(submit(&daemon, "/quarantine/discard", &without).await.0, 400, "no count");
        assert_eq!(submit(&daemon, "/quarantine/discard", &[("count", "1")]).await.0, 400, "no filter");
        assert_eq!(db.number("select count(*) from operations").await, 0);
        let to = send_form(&daemon, "/quarantine/discard", &with(&[("count", "250"), ("typed", "250")])).await;
        let operation = to.rsplit_once("operation=").unwrap().1.to_owned();
        eventually(Duration::from_secs(30), async || {
            let shown = page(&daemon, &to).await;
            shown.html.contains("Discarded 250 webhooks").then_some(())
        })
        .await;
        page(&daemon, &to).await.has("250 done").has("aria-label=\"250 of 250\"").has(">Close</a>");
        assert_eq!(db.texts("select status from quarantine where id > 1000").await, ["held"]);
        // It is stopped from the list, which the form leads back to.
        let now = if db.is_sqlite() { "0" } else { "now()" };
        db.execute(&format!("update operations set status = 'running', finished_at = null, updated_at = {now} where id = {operation}")).await;
        page(&daemon, &to).await.has("Discarding 250 webhooks").has(&format!("action=\"/operations/{operation}/stop\""));
        let back = send_form(&daemon, &format!("/operations/{operation}/stop"), &fields).await;
        assert_eq!(back, to);
        assert_eq!(db.number("select count(*) from operations where is_stopping").await, 1);
        db.execute("update operations set status = 'done'").await;
        // The form's address, loaded without the form, leads to the list.
        assert_eq!(page_leads_to(&daemon, "/quarantine/replay").await, "/received?tab=quarantine");
        for query in ["ask=paint", "status=replayed&ask=replay"] {
            assert_eq!(page(&daemon, &format!("/received?tab=quarantine&{query}")).await.status, 400, "{query}");
        }
        assert_eq!(page(&daemon, "/received?tab=quarantine&operation=7").await.status, 404);
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
