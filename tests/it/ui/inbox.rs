//! The inbox and the page of a lead: what waits is shown, and decided by forms.

use super::{KIM, PageAnswer, VIC, checked, page, tags};
use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually, http_without_redirects,
        leftovers::Leftover,
        web::{Answer, ask, sms},
    },
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

/// What is approved waits for minutes, so that no provider is called.
const CONFIG: &str = r#"
    [sending]
    undo = "10m"
    [[clients]]
    id = "demo"
    [clients.channels.sms]
    allow_unauthenticated = true
    send = { api_key = "k-1" }
    [[admin.users]]
    name = "kim"
    role = "reviewer"
    token = "kims-token-of-24-characters-"
    [[admin.users]]
    name = "lou"
    role = "reviewer"
    token = "lous-token-of-24-characters-"
    [[admin.users]]
    name = "vic"
    role = "viewer"
    token = "vics-token-of-24-characters-"
"#;
const LOU: &str = "lous-token-of-24-characters-";
const ASKS: &str = "Could you call me tomorrow at 3?";

async fn api(daemon: &Daemon, path: &str) -> Answer {
    ask(daemon.api(Method::GET, path)).await
}

/// Posts a message that is answered, and returns the ids of its lead, of itself and of its draft.
async fn drafted(daemon: &Daemon, lead: u64) -> [String; 3] {
    let told = ask(daemon.webhook("sms", "demo").json(&sms(lead, ASKS))).await;
    let lead = told.field("lead_id").to_owned();
    let path = format!("/drafts?status=pending&lead={lead}");
    let draft = eventually(Duration::from_secs(60), async || {
        Some(api(daemon, &path).await.items().first()?["id"].as_str()?.to_owned())
    })
    .await;
    [lead, told.field("message_id").to_owned(), draft]
}

/// A browser of a person, which follows no redirect by itself.
struct Person<'a> {
    daemon: &'a Daemon,
    token: &'a str,
    http: reqwest::Client,
}

impl<'a> Person<'a> {
    fn new(daemon: &'a Daemon, token: &'a str) -> Self {
        let http = http_without_redirects();
        Self { daemon, token, http }
    }

    fn prepare(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.daemon.url(path));
        request.bearer_auth(self.token).header("accept", "text/html")
    }

    async fn opens(&self, path: &str) -> PageAnswer {
        checked(self.prepare(Method::GET, path).send().await.unwrap()).await
    }

    /// Sends a form of `page`, with these fields in the place of its own. Returns where it leads.
    async fn sends(
        &self,
        page: &PageAnswer,
        fields: &[(&str, &str)],
    ) -> Result<String, PageAnswer> {
        let (action, mut all) = form(page);
        all.retain(|(name, _)| fields.iter().all(|it| it.0 != name));
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let answer = self.prepare(Method::POST, &action).form(&all).send().await.unwrap();
        match answer.headers().get("location") {
            Some(to) if answer.status() == 303 => Ok(to.to_str().unwrap().to_owned()),
            _ => Err(checked(answer).await),
        }
    }
}

/// The form with the text of the draft: where it is sent to, and its hidden fields.
#[track_caller]
fn form(page: &PageAnswer) -> (String, Vec<(String, String)>) {
    let tags = tags(&page.html);
    let at = tags.iter().position(|it| it.attributes.get("id").is_some_and(|it| it == "edit"));
    let at = at.unwrap_or_else(|| panic!("no form in\n{}", page.html));
    let action = tags[at].attributes["action"].replace("&amp;", "&");
    let hidden = tags[at + 1..].iter().take_while(|it| it.name == "input");
    let hidden = hidden.filter(|it| it.attributes["type"] == "hidden");
    let pair = |it: &super::Tag| (it.attributes["name"].clone(), it.attributes["value"].clone());
    (action, hidden.map(pair).collect())
}

fn value(page: &PageAnswer, name: &str) -> Option<String> {
    form(page).1.into_iter().find(|it| it.0 == name).map(|it| it.1)
}

/// Where these texts stand in a page, which must be in this order.
#[track_caller]
fn in_order(page: &PageAnswer, texts: &[&str]) {
    let places: Vec<_> = texts.iter().map(|it| page.html.find(it)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{texts:?}: {places:?}\n{}",
        page.html
    );
}

on_both_daemons! {
    /// Checks 23 and 26.
    async fn drafts_are_decided_one_after_the_other(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "what is approved waits");
        let kim = Person::new(&daemon, KIM);
        kim.opens("/inbox").await.has("No draft waits.").has("postroom send");
        let [first_lead, _, first] = drafted(&daemon, 1).await;
        let [_, _, second] = drafted(&daemon, 2).await;
        let [_, _, third] = drafted(&daemon, 3).await;

        // The one that waits longest is shown first, ready to decide.
        let inbox = kim.opens("/inbox").await;
        let rows = [&first, &second, &third].map(|it| format!("data-row=\"{it}\""));
        in_order(&inbox, &rows.each_ref().map(String::as_str));
        inbox.has("Inbox · 3 drafts wait").has("data-key=\"a\"").has("SMS parts, GSM-7").has(ASKS);
        assert_eq!((value(&inbox, "draft"), value(&inbox, "next")), (Some(first.clone()), Some(second.clone())));

        // It is approved with another text, and the next one is shown.
        let to = kim.sends(&inbox, &[("do", "approve"), ("body", "Yes, tomorrow\r\nat three.")]).await.unwrap();
        assert_eq!(to, format!("/inbox?draft={second}&done=approved.{first}"));
        let inbox = kim.opens(&to).await;
        inbox.has("leaves in").has("value=\"undo\"").lacks(&rows[0]).has("1 decided in a day");
        let draft = api(&daemon, &format!("/drafts/{first}")).await;
        assert_eq!(
            (draft.field("status"), draft.field("decided_by"), draft.field("body")),
            ("approved", "kim", "Yes, tomorrow\nat three.")
        );
        assert_eq!(value(&inbox, "draft"), Some(second.clone()));

        // It is taken back.
        let to = kim.sends(&inbox, &[("do", "undo"), ("draft", &first)]).await.unwrap();
        kim.opens(&to).await.has("Taken back").has("Changes to what was written first").has("<del>");
        assert_eq!(api(&daemon, &format!("/drafts/{first}")).await.field("status"), "pending");

        // One is rejected for a reason, one in a person's own words; the last one is approved.
        let inbox = kim.opens(&format!("/inbox?draft={second}")).await;
        let to = kim.sends(&inbox, &[("do", "reject:wrong_tone")]).await.unwrap();
        let inbox = kim.opens(&to).await;
        inbox.has("is rejected").has("wrong tone");
        assert_eq!(value(&inbox, "draft"), Some(third.clone()));
        kim.sends(&inbox, &[("do", "reject:other"), ("note", " not\r\nours ")]).await.unwrap();
        for (id, note) in [(&second, "wrong tone"), (&third, "other: not ours")] {
            let draft = api(&daemon, &format!("/drafts/{id}")).await;
            assert_eq!((draft.field("status"), draft.field("note")), ("rejected", note), "{draft:?}");
        }
        let lead = kim.opens(&format!("/leads/{first_lead}")).await;
        lead.has("Why is there no answer yet?").has("id=\"why\"").has("waits for a person");
        let to = kim.sends(&lead, &[("do", "approve")]).await.unwrap();
        assert_eq!(to, format!("/leads/{first_lead}?done=approved.{first}"));
        kim.opens(&to).await.has("leaves in").has("Approved, not sent");
        let decided = kim.opens("/inbox").await;
        decided.has("No draft waits.").has("approved in a day").lacks("data-row");
        // Two of four decisions rejected, for reasons that the client's page counts.
        decided.has(", median ").has("50 % rejected");
        let client = kim.opens("/clients/demo").await;
        client.has("drafts of demo that somebody looked at").has("2 rejected, ").has("67 %");
        client.has("<dt>wrong tone</dt>").has("<dt>other</dt>").lacks("not ours");
        let told = api(&daemon, "/clients/demo").await;
        let decisions = json!({"decided": 3, "rejected": 2, "reasons": {"other": 1, "wrong_tone": 1}});
        assert_eq!(told.body["decisions"], decisions, "{told:?}");
        assert!(kim.sends(&inbox, &[("do", "reject:no_such")]).await.is_err_and(|it| it.status == 400));

        // All of it is in the audit log, under the name of the person.
        let audit = api(&daemon, "/audit?limit=50&actor=kim").await;
        let mut actions: Vec<&str> = audit.items().iter().filter_map(|it| it["action"].as_str()).collect();
        actions.reverse();
        assert_eq!(actions, ["draft.edit", "draft.approve", "draft.undo", "draft.reject", "draft.reject", "draft.approve"]);
        assert!(audit.items().iter().all(|it| it["role"] == "reviewer"), "{audit:?}");
    }

    /// Two reviewers look at one draft: an open page is told of the decision of the other.
    async fn a_page_is_told_who_has_decided(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "what is approved waits");
        let kim = Person::new(&daemon, KIM);
        let [lead, _, draft] = drafted(&daemon, 1).await;
        let state = |word: &str| format!("data-live=\"lead/{lead}/draft_status\" data-whole=\"{word}\"");
        let newest = format!("data-live=\"lead/{lead}/draft\" data-whole=\"{draft}\"");
        let part = format!("data-part=\"draft-{draft}\"");
        // The overview counts what waits.
        kim.opens("/").await;
        // The page asks for this draft again, whatever comes first in the list by then.
        let inbox = kim.opens("/inbox").await;
        inbox.has(&part).has(&state("pending")).has(&newest).lacks("data-tell");
        inbox.has(&format!("data-from=\"/inbox?draft={draft}\"")).has("data-live=\"drafts/pending\"");
        let of_lead = kim.opens(&format!("/leads/{lead}")).await;
        of_lead.has(&part).has(&state("pending")).has(&format!("data-from=\"/leads/{lead}?draft={draft}\""));
        // Its text is in no part that is replaced: a part with a field is left as it is.
        let before_form = inbox.html.split("id=\"edit\"").next().unwrap();
        let own = before_form.rsplit("data-part=\"").next().unwrap();
        assert!(own.starts_with(&format!("draft-{draft}\"")), "{own}");
        assert!(own.contains("</div>"), "the form is behind it: {own}");

        ask(daemon.api(Method::POST, &format!("/drafts/{draft}/approve"))).await;
        let decided = kim.opens(&format!("/inbox?draft={draft}")).await;
        decided.has(&part).has(&state("approved")).has("data-tell=\"The draft is approved by admin.\"");
        decided.has("The draft as it is now").lacks("id=\"edit\"").lacks("data-from");
    }

    #[ignore = "long: `just long`"]
    async fn a_draft_that_is_put_off_comes_back(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "drafts wait");
        let kim = Person::new(&daemon, KIM);
        let [_, _, first] = drafted(&daemon, 1).await;
        let [_, _, second] = drafted(&daemon, 2).await;
        let row = format!("data-row=\"{first}\"");
        let listed = async |view: &str| -> Vec<String> {
            let answer = api(&daemon, &format!("/inbox?view={view}")).await;
            let id = |it: &Value| it["draft"]["id"].as_str().unwrap().to_owned();
            answer.items().iter().map(id).collect()
        };
        let snooze = async |id: &str, body: Value| {
            ask(daemon.api(Method::POST, &format!("/drafts/{id}/snooze")).json(&body)).await
        };
        // By the page: the next draft is shown, and the other is listed apart.
        let inbox = kim.opens("/inbox").await;
        inbox.has("data-key=\"s\"").has("snooze:4h");
        let to = kim.sends(&inbox, &[("do", "snooze:4h")]).await.unwrap();
        assert_eq!(to, format!("/inbox?draft={second}&done=snoozed.{first}"));
        kim.opens(&to).await.has("is put off until").lacks(&row).has("Inbox · 1 draft waits");
        kim.opens("/inbox?view=snoozed").await.has(&row).has("name=\"channel\"").has("name=\"tag\"");
        // The filters of drafts go with what is put off, too.
        for (filter, is_listed) in [
            ("channel=sms", true),
            ("channel=email", false),
            ("channel=email,sms", true),
            ("tag=Call+Requested", true),
            ("tag=Interested&channel=sms", false),
            ("campaign=7", false),
        ] {
            let listed = kim.opens(&format!("/inbox?view=snoozed&{filter}")).await;
            assert_eq!(listed.html.contains(&row), is_listed, "{filter}");
            let blocked = kim.opens(&format!("/inbox?view=attention&{filter}")).await;
            assert_eq!(blocked.status, 200, "{filter}");
        }
        assert_eq!((listed("drafts").await, listed("snoozed").await), (vec![second.clone()], vec![first.clone()]));
        let draft = api(&daemon, &format!("/drafts/{first}")).await;
        assert_eq!(draft.field("status"), "pending");
        assert!(!draft.field("snoozed_until").is_empty(), "{draft:?}");
        // It is put off no longer, by hand, at its time, or when the lead writes again.
        let woken = kim.opens(&format!("/inbox?view=snoozed&draft={first}")).await;
        let to = kim.sends(&woken, &[("do", "snooze:")]).await.unwrap();
        kim.opens(&to).await.has("waits for a decision");
        assert_eq!(listed("drafts").await, [first.clone(), second.clone()]);
        assert_eq!(snooze(&first, json!({"until": "1s"})).await.status, 200);
        eventually(Duration::from_secs(20), async || (listed("drafts").await.len() == 2).then_some(())).await;
        assert!(listed("snoozed").await.is_empty());
        assert_eq!(snooze(&first, json!({"until": "1h"})).await.status, 200);
        ask(daemon.webhook("sms", "demo").json(&sms(1, "Or could you call me on Friday?"))).await;
        eventually(Duration::from_secs(60), async || {
            let drafts = listed("drafts").await;
            (drafts.len() == 2 && listed("snoozed").await.is_empty()).then_some(())
        })
        .await;
        // What cannot be.
        for until in ["2020-01-01T00:00:00Z", "0s", "900d", "soon"] {
            snooze(&second, json!({"until": until})).await.is_problem(400, "bad-request");
        }
        assert_eq!(snooze("7", json!({"until": "1h"})).await.status, 404);
        let vic = Person::new(&daemon, VIC).prepare(Method::POST, &format!("/api/v1/drafts/{second}/snooze"));
        assert_eq!(ask(vic).await.status, 403);
        // What something blocks asks for attention.
        assert!(listed("attention").await.is_empty());
        let peek = Peek::of(&daemon).await;
        peek.execute(&format!("update drafts set blocked_by = 'delivery_failed' where id = {second}")).await;
        assert_eq!(listed("attention").await, std::slice::from_ref(&second));
        kim.opens("/inbox?view=attention").await.has("delivery failed");
        let audit = api(&daemon, "/audit?action=draft.snooze&limit=50").await;
        assert_eq!(audit.items().len(), 4, "{audit:?}");
    }

    /// Checks 24 and 27.
    async fn two_people_do_not_undo_what_the_other_did(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "what is approved waits");
        let (kim, lou) = (Person::new(&daemon, KIM), Person::new(&daemon, LOU));
        let [lead, _, draft] = drafted(&daemon, 1).await;
        let of_kim = kim.opens("/inbox").await;
        let of_lou = lou.opens(&format!("/leads/{lead}")).await;

        // A text that is saved by one is there for the other, who has another one and keeps it.
        kim.sends(&of_kim, &[("body", "The text of Kim.")]).await.unwrap();
        lou.opens("/inbox").await.has("The text of Kim.");
        let clash = lou.sends(&of_lou, &[("body", "The text of Lou.")]).await.unwrap_err();
        assert_eq!(clash.status, 409);
        clash.has("Somebody else changed the text").has("The text of Kim.").has("The text of Lou.");
        assert_eq!(value(&clash, "version"), value(&of_lou, "version"));
        // Nothing goes out that one of them has not seen.
        let stale = lou.sends(&of_lou, &[("do", "approve")]).await.unwrap_err();
        assert_eq!(stale.status, 409);
        assert_eq!(api(&daemon, &format!("/drafts/{draft}")).await.field("status"), "pending");
        let over = tags(&clash.html).into_iter().find(|it| it.attributes.get("name").is_some_and(|it| it == "over"));
        let over = over.unwrap().attributes["value"].clone();
        lou.sends(&clash, &[("do", "replace"), ("over", &over), ("body", "The text of Lou.")]).await.unwrap();
        assert_eq!(api(&daemon, &format!("/drafts/{draft}")).await.field("body"), "The text of Lou.");

        // Both approve it: it is sent once, and the second is told who did.
        let (of_kim, of_lou) = (kim.opens("/inbox").await, lou.opens("/inbox").await);
        kim.sends(&of_kim, &[("do", "approve")]).await.unwrap();
        let to = lou.sends(&of_lou, &[("do", "approve")]).await.unwrap();
        assert!(to.ends_with(&format!("done=before.{draft}")), "{to}");
        lou.opens(&to).await.has("kim</bdi> had approved it already");
        let jobs = api(&daemon, "/jobs?kind=DELIVER_REPLY").await;
        assert_eq!(jobs.items().len(), 1, "{jobs:?}");
        // An edit comes too late, and its text is kept.
        let late = lou.sends(&of_lou, &[("body", "The last text of Lou.")]).await.unwrap_err();
        assert_eq!(late.status, 409);
        late.has("was approved by").has("kim").has("The last text of Lou.");
    }

    /// Check 25.
    async fn a_newer_message_stops_an_approval(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "what is approved waits");
        let kim = Person::new(&daemon, KIM);
        let [lead, message, draft] = drafted(&daemon, 1).await;
        let before = kim.opens("/inbox").await;
        assert_eq!(value(&before, "newest"), Some(message.clone()));
        let again = "Actually make that 4, please call then.";
        ask(daemon.webhook("sms", "demo").json(&sms(1, again))).await;
        let stopped = kim.sends(&before, &[("do", "approve"), ("body", "My own text.")]).await.unwrap_err();
        assert_eq!(stopped.status, 409);
        stopped.has("wrote again").has("Nothing was sent.").has(again).has("My own text.");
        assert_eq!(api(&daemon, "/jobs?kind=DELIVER_REPLY").await.items().len(), 0);

        // The same over the API.
        let newest = eventually(Duration::from_secs(60), async || {
            let drafts = api(&daemon, &format!("/drafts?status=pending&lead={lead}")).await;
            let id = drafts.items().first()?["id"].as_str()?.to_owned();
            (id != draft).then_some(id)
        })
        .await;
        let path = format!("/drafts/{newest}/approve");
        let approve = async |body: Value| ask(daemon.api(Method::POST, &path).json(&body)).await;
        approve(json!({"newest_inbound_id": message})).await.is_problem(409, "conflict");
        approve(json!({"newest_inbound_id": "x"})).await.is_problem(400, "bad-request");
        assert_eq!(approve(json!({})).await.field("status"), "approved");
    }

    async fn the_api_takes_an_edit_only_of_the_version_that_is_named(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "drafts wait");
        let [_, _, draft] = drafted(&daemon, 1).await;
        let path = format!("/drafts/{draft}");
        let shown = api(&daemon, &path).await;
        let tag = shown.header("etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", shown.field("version")));
        let edit = async |tag: &str, body: &str| {
            let request = daemon.api(Method::PATCH, &path).header("if-match", tag);
            ask(request.json(&json!({"body": body}))).await
        };
        for wrong in ["x", "W/\"x\"", "\"a\", \"b\""] {
            edit(wrong, "Hello").await.is_problem(400, "bad-request");
        }
        let edited = edit(&tag, "Hello").await;
        assert_eq!((edited.status, edited.field("body")), (200, "Hello"));
        assert_ne!(edited.header("etag"), tag);
        edit(&tag, "Hi").await.is_problem(409, "conflict");
        assert_eq!(edit("*", "Hi").await.status, 200);
        let reject = async |body: Value| ask(daemon.api(Method::POST, &format!("{path}/reject")).json(&body)).await;
        reject(json!({"reason": "rude"})).await.is_problem(400, "bad-request");
        assert_eq!(reject(json!({"reason": "wrong_facts", "note": "the price"})).await.field("note"), "wrong facts: the price");
        let regenerate = async |body: Value| ask(daemon.api(Method::POST, &format!("{path}/regenerate")).json(&body)).await;
        regenerate(json!({"hint": "x".repeat(201)})).await.is_problem(400, "bad-request");
        regenerate(json!({"hint": "shorter"})).await.is_problem(503, "analyst-away");
        assert_eq!(regenerate(json!({"hint": " "})).await.field("status"), "pending");
    }

    #[ignore = "long: `just long`"]
    async fn the_inbox_is_filtered_as_the_api_is_and_shows_hostile_texts_as_texts(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "drafts wait");
        let (kim, vic) = (Person::new(&daemon, KIM), Person::new(&daemon, VIC));
        let [lead, _, draft] = drafted(&daemon, 1).await;
        let hostile = "<script>alert(1)</script><img src=x onerror=alert(2)> \u{202e}</textarea><svg onload=alert(3)> \
                       https://evil.example/\"onclick=alert(4) javascript:alert(5) Call me tomorrow at 3?";
        let mut told = sms(2, hostile);
        told["first_name"] = "<b>Rita</b>".into();
        told["last_name"] = "\u{202e}\"'><svg/onload=1>".into();
        let told = ask(daemon.webhook("sms", "demo").json(&told)).await;
        let hostile_lead = told.field("lead_id").to_owned();

        for (query, has_draft) in [
            ("", true),
            ("view=drafts&client=demo&channel=sms", true),
            ("tag=Call+Requested", true),
            ("tag=Interested", false),
            ("q=no-such-person", false),
            ("campaign=7", false),
            ("client=nobody", false),
        ] {
            let page = kim.opens(&format!("/inbox?{query}")).await;
            assert_eq!(page.html.contains(&format!("data-row=\"{draft}\"")), has_draft, "{query}");
            let listed = api(&daemon, &format!("/inbox?{query}")).await;
            let ids: Vec<&str> = listed.items().iter().filter_map(|it| it["draft"]["id"].as_str()).collect();
            assert_eq!(ids.contains(&draft.as_str()), has_draft, "{query}: {listed:?}");
        }
        for wrong in ["view=asleep", "vew=all", "tag=Intrested", "channel=fax", "campaign=x", "view=all&tag=Interested", "limit=0"] {
            assert_eq!(kim.opens(&format!("/inbox?{wrong}")).await.status, 400, "{wrong}");
            api(&daemon, &format!("/inbox?{wrong}")).await.is_problem(400, "bad-request");
        }
        assert_eq!(kim.opens("/leads/1").await.status, 404);
        kim.opens("/inbox?view=all").await.has(&format!("data-row=\"{lead}\"")).has(&format!("data-row=\"{hostile_lead}\""));
        kim.opens("/inbox?view=opted_out").await.has("Nobody has opted out.");
        page(&daemon, &format!("/leads/{hostile_lead}")).await.has("&lt;script&gt;").has("\\u202e").lacks("<script>alert").lacks("<svg onload");
        page(&daemon, &format!("/inbox?view=all&lead={hostile_lead}")).await.has("evil.example</bdi>)").lacks("<img");

        // Who may not decide sees no control, and is refused.
        for path in ["/inbox".to_owned(), format!("/leads/{lead}")] {
            vic.opens(&path).await.lacks("name=\"do\"").lacks("data-save");
            let refused = vic.sends(&kim.opens(&path).await, &[("do", "approve")]).await.unwrap_err();
            assert_eq!(refused.status, 403);
        }
        assert_eq!(api(&daemon, &format!("/drafts/{draft}")).await.field("status"), "pending");
    }
}
