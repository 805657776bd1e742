//! The sends of answers, and how a person settles those of which nobody knows the end.

use super::{KIM, USERS, VIC, checked, page, post, submit, tags};
use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        web::{ask, sms},
    },
};
use reqwest::Method;
use std::time::Duration;

/// What is approved waits for minutes, so that no provider is called.
const CONFIG: &str = "[sending]\nundo = \"10m\"\n\
    [[clients]]\nid = \"demo\"\n[clients.channels.sms]\nallow_unauthenticated = true\nsend = { api_key = \"k-1\" }\n";

/// A draft that was approved, and its delivery, of which nobody knows the end.
async fn uncertain(daemon: &Daemon, lead: u64, id: u32) -> String {
    let told = sms(lead, "Could you call me tomorrow at 3?");
    let posted = ask(daemon.webhook("sms", "demo").json(&told)).await;
    let path = format!("/drafts?lead={}", posted.field("lead_id"));
    let draft = eventually(Duration::from_secs(60), async || {
        let drafts = ask(daemon.api(Method::GET, &path)).await;
        Some(drafts.items().first()?["id"].as_str()?.to_owned())
    })
    .await;
    ask(daemon.api(Method::POST, &format!("/drafts/{draft}/approve"))).await;
    let peek = Peek::of(daemon).await;
    peek.execute(&format!(
        "insert into deliveries (id, client_id, lead_id, draft_id, channel, status, text_key, attempts, created_at, job_id, marked_run, error) \
         select {id}, client_id, lead_id, id, channel, 'uncertain', 'k', 1, created_at, null, 1, '<img src=x onerror=alert(1)>' \
         from drafts where id = {draft}"
    ))
    .await;
    peek.execute(&format!("update drafts set status = 'sending' where id = {draft}")).await;
    draft
}

async fn settle(daemon: &Daemon, id: u32, form: &[(&str, &str)]) -> (u16, String) {
    submit(daemon, &format!("/deliveries/{id}/resolve"), form).await
}

on_both_daemons! {
    async fn a_person_says_what_became_of_an_uncertain_send(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "rows are put by hand");
        page(&daemon, "/deliveries").await.has("Every send has a known end.");
        let first = uncertain(&daemon, 1, 81).await;
        let second = uncertain(&daemon, 2, 82).await;

        // They come first, with what is known of each.
        let list = page(&daemon, "/deliveries").await;
        list.has("Nobody knows whether these were sent").has("href=\"/deliveries/81?ask=sent\"");
        list.has("&lt;img src=x").lacks("<img");
        // The words above are fetched again as a whole, the rows one by one: none moves.
        let part = list.html.split("data-part=\"unknown\"").nth(1).and_then(|it| it.split("</div>").next());
        assert!(part.is_some_and(|it| !it.contains("data-row")), "{part:?}");
        list.has("data-row=\"81\"").has("data-row=\"82\"").has("data-new");
        let peek = Peek::of(&daemon).await;
        peek.execute("update deliveries set provider_id = '<b>pm-77' where id = 81").await;
        page(&daemon, "/deliveries").await.has("provider's id").has("&lt;b&gt;pm-77").lacks("<b>pm-77");
        page(&daemon, "/deliveries?status=sent").await.lacks("/deliveries/81").has("No send matches.").has("postroom drafts approve ID");
        let one = page(&daemon, "/deliveries/81").await;
        one.has("Nobody knows whether it was sent.").has("told of no message").has("data-key=\"y\"").has("data-key=\"n\"");
        // What is known of it is fetched again while somebody looks.
        for part in ["head", "evidence", "choices", "since", "facts"] {
            one.has(&format!("data-part=\"{part}\""));
        }
        one.has("data-refresh=\"10\"").has("data-copy=\"postroom deliveries show 81\"");
        let asked = page(&daemon, "/deliveries/81?ask=not_sent").await;
        asked.has("It was not sent?").has("the lead gets it twice").has("action=\"/deliveries/81/resolve\"");
        assert_eq!(page(&daemon, "/deliveries/81?ask=perhaps").await.status, 400);
        assert_eq!(page(&daemon, "/deliveries/7").await.status, 404);

        // What is said is done, once, and can be read in the audit log.
        assert_eq!(settle(&daemon, 81, &[("end", "perhaps")]).await.0, 400);
        let long = "<b>".repeat(200);
        let form = [("end", "sent"), ("note", long.as_str())];
        let again = checked(post(&daemon, "/deliveries/81/resolve", &form).await).await;
        assert_eq!(again.status, 400);
        again.has("It was sent?").has("aria-invalid=\"true\"").has("at most").has("value=\"&lt;b&gt;").lacks("<b><b>");
        let told = settle(&daemon, 81, &[("end", "sent"), ("note", "seen <b>there</b>")]).await;
        assert_eq!(told, (303, "/deliveries?status=uncertain&done=sent".to_owned()));
        assert_eq!(settle(&daemon, 81, &[("end", "sent")]).await.0, 409);
        let told = settle(&daemon, 82, &[("end", "not_sent")]).await;
        assert_eq!(told.1, "/deliveries?status=uncertain&done=not_sent");
        page(&daemon, &told.1).await.has("Noted as not sent.").has("Every send has a known end.");
        for (draft, status) in [(first, "sent"), (second, "approved")] {
            let draft = ask(daemon.api(Method::GET, &format!("/drafts/{draft}"))).await;
            assert_eq!(draft.field("status"), status, "{draft:?}");
        }
        let settled = page(&daemon, "/deliveries/81").await;
        settled.has("</svg>sent").lacks("/resolve\"").has("Since then");
        let audit = page(&daemon, "/audit?action=delivery.resolve").await;
        audit.has("operator, by api").has("delivery.resolve").has("seen &lt;b&gt;there&lt;/b&gt;").lacks("<b>there");
    }

    /// Check 6.
    async fn a_viewer_finds_no_form_on_the_overview_and_at_a_send(place: Place) {
        let daemon = place.start(&format!("{CONFIG}{USERS}")).await;
        daemon.may_leave(Leftover::Anything, "rows are put by hand");
        uncertain(&daemon, 1, 81).await;
        let opened = async |token: &str, path: &str| {
            let request = daemon.get(path).bearer_auth(token).header("accept", "text/html");
            let shown = checked(request.send().await.unwrap()).await;
            assert_eq!(shown.status, 200, "{path}");
            shown
        };
        for path in ["/", "/deliveries", "/deliveries/81", "/deliveries/81?ask=sent"] {
            let shown = opened(VIC, path).await;
            for tag in tags(&shown.html).iter().filter(|tag| tag.name == "form") {
                let is_post = tag.attributes.get("method").is_some_and(|it| it == "post");
                let is_own = is_post && ["/look", "/logout"].contains(&tag.attributes["action"].as_str());
                assert!(!is_post || is_own, "{path}: {tag:?}");
            }
            shown.lacks("ask=").lacks("data-key=\"y\"").lacks("<dialog");
        }
        // A reviewer settles it.
        opened(KIM, "/deliveries/81").await.has("data-key=\"y\"");
        opened(KIM, "/deliveries/81?ask=sent").await.has("action=\"/deliveries/81/resolve\"");
    }
}
