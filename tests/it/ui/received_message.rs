//! One message, beside the payload that brought it.

use super::{KIM, PageAnswer, USERS, VIC, browse, checked, page};
use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        leftovers::Leftover,
        web::{Answer, ask, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

const SECRET: &str = "right-5ecret-of-the-channel";
const CONFIG: &str = r#"
    [pools.SMS_INBOUND_POST_PROCESS]
    paused = true
    [[clients]]
    id = "acme"
    [clients.channels.sms]
    secret = "right-5ecret-of-the-channel"
"#;
const HOSTILE: &str = "\"><script>alert(1)</script>\u{202e}";
/// How a payload begins that is folded, and one that is not.
const FOLDED: &str = "<details class=\"fold ut\"><summary>";
const OPEN: &str = "<details class=\"fold ut\" open><summary>";

async fn start(place: &Place) -> Daemon {
    let daemon = place.start(&format!("{CONFIG}{USERS}")).await;
    daemon.may_leave(Leftover::Anything, "rows are changed by hand, and a pool is paused");
    daemon
}

/// Posts a webhook, and checks what became of it.
async fn post(daemon: &Daemon, body: &Value, outcome: &str) -> Answer {
    let answer = ask(daemon.webhook("sms", "acme").bearer_auth(SECRET).json(body)).await;
    assert_eq!(answer.outcome(), outcome, "{answer:?}");
    answer
}

/// A page as the owner of a token sees it.
async fn page_of(daemon: &Daemon, token: &str, path: &str) -> PageAnswer {
    let request = daemon.get(path).bearer_auth(token).header("accept", "text/html");
    checked(request.send().await.unwrap()).await
}

on_both_daemons! {
    async fn a_message_is_shown_beside_the_payload_that_brought_it(place: Place) {
        let daemon = start(&place).await;
        let mut body = sms(1, &format!("{HOSTILE} Could you call me?"));
        body["webhook_url"] = format!("https://x.example/webhooks?secret={SECRET}").into();
        body["any"] = json!([1, {"<b>": HOSTILE}]);
        let posted = post(&daemon, &body, "accepted").await;
        let (id, lead) = (posted.field("message_id"), posted.field("lead_id"));
        let path = format!("/messages/{id}");

        // What was made of it, and what it was made of: folded, in lines, without its secret.
        let shown = page(&daemon, &path).await;
        assert_eq!(shown.status, 200);
        let row = ask(daemon.api(Method::GET, "/received")).await.items()[0].clone();
        let event = row["event_type"].as_str().unwrap();
        shown.has("Message from ").has("</svg>stored").has("Could you call me?").has(&format!(">{event}<"));
        shown.has(&format!("href=\"/leads/{lead}#m{id}\"")).has("href=\"/clients/acme\"").has("not judged");
        shown.has(&format!("href=\"/jobs/{}\"", posted.job_ids()[0])).has(&format!("href=\"/jobs?lead={lead}\""));
        shown.has(&format!("data-copy=\"postroom messages show {id}\"")).has("data-part=\"facts\"");
        shown.has(FOLDED).has("as JSON in lines").has("&quot;webhook_url&quot;: &quot;https://x.example/webhooks?secret=***&quot;");
        shown.has("    {\n      &quot;&lt;b&gt;&quot;: ").has("retention.payloads").has("90 d");
        shown.has("&lt;script&gt;").has("\\u202e").lacks("<script>alert").lacks("<b>&quot;").lacks("5ecret");
        page(&daemon, &format!("{path}?full=true")).await.has(OPEN).lacks("5ecret");

        // It is found from the list, from a duplicate, and from its lead.
        post(&daemon, &body, "duplicate").await;
        let link = format!("href=\"{path}\"");
        assert_eq!(page(&daemon, "/received").await.html.matches(&link).count(), 2);
        page(&daemon, &format!("/leads/{lead}")).await.has(&link).has(&format!("href=\"/received?lead={lead}\""));
        for (path, status) in [("/messages/7", 404), ("/messages/x", 404), (&format!("{path}?full=1"), 400), (&format!("{path}?try=true"), 400)] {
            assert_eq!(page(&daemon, path).await.status, status, "{path}");
        }

        // A viewer reads the message, and not the body as it came.
        page_of(&daemon, KIM, &path).await.has(FOLDED).has("webhook_url");
        let seen = page_of(&daemon, VIC, &format!("{path}?full=true")).await;
        seen.has("Could you call me?").has("Payloads are shown to reviewers and operators.").lacks("webhook_url").lacks(OPEN);

        // It says that a payload is gone, and that there never was one.
        let peek = Peek::of(&daemon).await;
        peek.execute(&format!("update messages set payload = null where id = {id}")).await;
        let gone = page(&daemon, &path).await;
        gone.has("It is not kept any more").has("90 d").has("Could you call me?").lacks(FOLDED);
        peek.execute(&format!("update messages set source = 'postroom', direction = 'outbound', request_id = '', payload = '' where id = {id}")).await;
        let ours = page(&daemon, &path).await;
        ours.has("There never was one").has("Message to ").has("</svg>sent by us").has(", sent by Postroom").lacks(FOLDED);
    }
}

on_both_daemons! {
    async fn a_verdict_is_shown_with_what_judged_it(place: Place) {
        let daemon = start(&place).await;
        let posted = post(&daemon, &sms(1, "Could you call me?"), "accepted").await;
        let (id, lead) = (posted.field("message_id"), posted.field("lead_id"));
        let (page_path, lead_path) = (format!("/messages/{id}"), format!("/leads/{lead}"));
        let told = async || {
            let message = ask(daemon.api(Method::GET, &page_path)).await.body;
            let thread = ask(daemon.api(Method::GET, &lead_path)).await.body;
            assert_eq!(message["judged_by"], thread["messages"][0]["judged_by"], "{thread}");
            message.get("judged_by").cloned()
        };
        assert_eq!(told().await, Some(Value::Null), "it is not judged");
        let peek = Peek::of(&daemon).await;
        for (stored, words) in [
            ("null", None),
            ("'local 3f2a91c0'", Some("by rules 3f2a91c0")),
            ("'openai m-1 v1'", Some("by m-1, prompt v1")),
            ("'provider'", Some("by its provider")),
            ("'person'", Some("by a person")),
            ("'openai <b>m</b> v1'", Some("by &lt;b&gt;m&lt;/b&gt;, prompt v1")),
        ] {
            peek.execute(&format!("update messages set sentiment = 'Interested', judged_by = {stored} where id = {id}")).await;
            let bdi = words.map(|it| format!("<bdi dir=\"auto\">{it}</bdi>"));
            let end = bdi.as_ref().map_or(String::new(), |it| format!(", judged {it}"));
            page(&daemon, &page_path).await.has(&format!("<dd>Interested{end}</dd>"));
            let end = bdi.as_ref().map_or(String::new(), |it| format!(" {it}"));
            page(&daemon, &lead_path).await.has(&format!("judged Interested{end} · "));
            let expected = if stored == "null" { Value::Null } else { stored.trim_matches('\'').into() };
            assert_eq!(told().await, Some(expected));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_message_is_cut_until_all_of_it_is_asked_for() {
    let daemon = start(&Place::sqlite()).await;
    let posted = post(&daemon, &sms(1, &"x".repeat(400_000)), "accepted").await;
    let path = format!("/messages/{}", posted.field("message_id"));
    // The weight is checked with the page.
    let cut = page(&daemon, &path).await;
    assert_eq!(cut.html.matches("Show all 40").count(), 2, "the text and the payload");
    let whole = browse(&daemon, &format!("{path}?full=true")).send().await.unwrap();
    let whole = whole.text().await.unwrap();
    assert!(whole.len() > 800_000 && !whole.contains("Show all 40"), "{} bytes", whole.len());
}
