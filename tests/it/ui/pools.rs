//! Pools and actors: what holds a kind, what is set for it, and who works.

use super::{USERS, checked, leads_to, page, page_leads_to, post, tags};
use crate::{
    on_both_daemons,
    support::{
        both::Place,
        daemon::Daemon,
        eventually, http_without_redirects,
        leftovers::Leftover,
        proxy::Way,
        web::{ask, sms},
    },
};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

const KIND: &str = "SMS_INBOUND_POST_PROCESS";
const PATIENCE: Duration = Duration::from_secs(60);

async fn pool(daemon: &Daemon) -> Value {
    let pools = ask(daemon.api(Method::GET, "/pools")).await;
    pools.items().iter().find(|it| it["kind"] == KIND).expect("a pool").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_is_sized_paused_resumed_and_reset_by_forms() {
    let daemon = Place::sqlite().start("").await;
    daemon.may_leave(Leftover::Unfinished, "the pool is paused for a while");
    let before = pool(&daemon).await;
    let size = before["size"].as_u64().unwrap();
    let shown = page(&daemon, "/pools").await;
    shown
        .has(&format!("name=\"size\" inputmode=\"numeric\" value=\"{size}\""))
        .has("Pause …")
        .lacks("Resume");
    shown
        .has("data-live=\"pools/SMS_INBOUND_POST_PROCESS/busy\"")
        .has("data-topics=\"pools totals\"")
        .has("data-live=\"pools/SMS_INBOUND_POST_PROCESS/wait\"")
        .has("data-live=\"pools/SMS_INBOUND_POST_PROCESS/run\"");
    shown.has("data-key=\"+\"").has("data-key=\"-\"").has("data-key=\"p\"");
    // 1. Size: asked, then applied with a note and an end.
    let asked = page(&daemon, &format!("/pools?ask=size&kind={KIND}&size=16")).await;
    asked.has(&format!("{size} → 16 slots")).has("name=\"expires_in\"").has("<dialog open");
    let form = [("size", "16"), ("note", "<b>Monday</b>"), ("expires_in", "4h"), ("asked", "1")];
    let to = leads_to(&post(&daemon, &format!("/pools/{KIND}/size"), &form).await);
    let sized = page(&daemon, &to).await;
    sized.has("has its new size").has(&format!("<s title=\"as the files say\">{size}</s>"));
    sized
        .has("data-key=\"0\"")
        .has("&lt;b&gt;Monday")
        .has("by <bdi dir=\"auto\">admin</bdi>")
        .has(", until ");
    let set = pool(&daemon).await;
    assert_eq!((&set["size"], &set["override"]["size"]), (&16.into(), &16.into()), "{set}");
    assert!(set["override"]["expires_at"].is_string());
    // 2. Pause: what holds it is said, by page and API.
    page(&daemon, &format!("/pools?ask=pause&kind={KIND}")).await.has("nothing new starts");
    let form = [("note", "ticket \u{202e}open"), ("expires_in", "")];
    let to = leads_to(&post(&daemon, &format!("/pools/{KIND}/pause"), &form).await);
    ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    let paused = page(&daemon, &to).await;
    paused
        .has("is paused: what runs ends")
        .has("Paused by admin at")
        .has("ticket \\u202eopen")
        .has("No end is set.");
    let held = pool(&daemon).await;
    assert_eq!(held["held_by"]["reason"], "paused", "{held}");
    let to = leads_to(&post(&daemon, &format!("/pools/{KIND}/resume"), &[]).await);
    page(&daemon, &to).await.has("runs again").lacks("Paused by");
    // 3. Reset.
    let to = leads_to(&post(&daemon, &format!("/pools/{KIND}/reset"), &[]).await);
    page(&daemon, &to).await.has("runs as the files say").lacks("as the files say\">");
    assert_eq!(pool(&daemon).await["size"], size);
    // 4. Wrong values are refused by their fields.
    for (path, form, status) in [
        ("size", &[("size", "0")][..], 400),
        ("size", &[("size", "many")], 400),
        ("size", &[("size", "8"), ("expires_in", "soon")], 400),
        ("size", &[("size", "8"), ("odd", "1")], 400),
        ("pause", &[("note", "x"), ("expires_in", "4")], 400),
    ] {
        let answer = post(&daemon, &format!("/pools/{KIND}/{path}"), form).await;
        assert_eq!(answer.status(), status, "{path} {form:?}");
    }
    // The form comes again with what was typed, and the error at its field.
    let long = "<b>".repeat(200);
    for (path, form, says) in [
        (
            "size",
            [("size", "many"), ("note", "for <b>Monday</b>"), ("expires_in", "1d")],
            "1 to 10000",
        ),
        ("size", [("size", "7"), ("note", long.as_str()), ("expires_in", "1d")], "at most"),
        (
            "size",
            [("size", "7"), ("note", "x"), ("expires_in", "soon")],
            "a duration with its unit",
        ),
        ("pause", [("size", ""), ("note", long.as_str()), ("expires_in", "4h")], "at most"),
    ] {
        let again = checked(post(&daemon, &format!("/pools/{KIND}/{path}"), &form).await).await;
        assert_eq!(again.status, 400, "{path} {form:?}");
        again.has("<dialog open").has("aria-invalid=\"true\"").has(says).lacks("<b>Monday");
        for (name, value) in form.iter().filter(|it| !it.1.is_empty()) {
            let escaped = value.replace('<', "&lt;").replace('>', "&gt;");
            let is_there = again.html.contains(&format!("value=\"{escaped}\""));
            assert!(is_there, "{name} {escaped}: {}", again.html);
        }
    }
    let stepped = page(&daemon, &format!("/pools?ask=size&kind={KIND}&size=x")).await;
    stepped.has("<dialog open").has("value=\"x\"").has("1 to 10000");
    // The address of that page leads back to the question.
    let to = page_leads_to(&daemon, &format!("/pools/{KIND}/pause")).await;
    assert_eq!(to, format!("/pools?ask=pause&kind={KIND}"));
    assert_eq!(post(&daemon, "/pools/NO_SUCH/resume", &[]).await.status(), 404);
    for (query, status) in [
        ("odd=1", 400),
        ("ask=size&kind=NO_SUCH", 400),
        (format!("ask=size&kind={KIND}&size=x").as_str(), 400),
        ("ask=explode&kind=SELF_CHECK", 400),
        ("node=7", 404),
    ] {
        assert_eq!(page(&daemon, &format!("/pools?{query}")).await.status, status, "{query}");
    }
    let audit = ask(daemon.api(Method::GET, "/audit?action=pool.override")).await;
    assert!(audit.items().len() >= 3, "{audit:?}");
}

on_both_daemons! {
    /// Check 36.
    async fn a_pause_by_form_is_in_force_after_a_restart(place: Place) {
        let mut daemon = place.start("").await;
        daemon.may_leave(Leftover::Unfinished, "the pool is paused for a while");
        let form = [("note", "ticket 7"), ("expires_in", "")];
        let to = leads_to(&post(&daemon, &format!("/pools/{KIND}/pause"), &form).await);
        ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        page(&daemon, &to).await.has("is paused: what runs ends").has("Paused by admin at");
        daemon.terminate();
        daemon.wait(PATIENCE).await;
        daemon.start_again().await;
        let paused = eventually(PATIENCE, async || {
            let pools = page(&daemon, "/pools").await;
            pools.html.contains("Paused by admin at").then_some(pools)
        })
        .await;
        paused.has("ticket 7").has("No end is set.").has("Resume");
        let set = pool(&daemon).await;
        assert_eq!((&set["paused"], &set["override"]["note"]), (&true.into(), &"ticket 7".into()), "{set}");
        let to = leads_to(&post(&daemon, &format!("/pools/{KIND}/resume"), &[]).await);
        page(&daemon, &to).await.has("runs again").lacks("Paused by");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_are_a_tree_that_can_be_filtered() {
    let daemon = Place::sqlite().start("").await;
    let tree = page(&daemon, "/actors").await;
    tree.has("data-row=\"guardian\"").has("data-row=\"supervisor\"").has("data-row=\"recorder\"");
    tree.has(&format!("data-row=\"{KIND}\"")).lacks(&format!("data-row=\"{KIND}/1\""));
    let guardian = tree.html.find("data-row=\"guardian\"").unwrap();
    assert!(guardian < tree.html.find("data-row=\"supervisor\"").unwrap());
    let slots = page(&daemon, "/actors?type=handler").await;
    slots.has("more match").lacks("data-row=\"guardian\"");
    let api = ask(daemon.api(Method::GET, "/actors?type=guardian,supervisor")).await;
    let names: Vec<&str> = api.items().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["guardian", "supervisor"]);
    page(&daemon, "/actors?failed=1h").await.has("No actor matches.");
    for query in ["state=sleepy", "type=x", "failed=soon", "odd=1"] {
        assert_eq!(page(&daemon, &format!("/actors?{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn pools_and_actors_answer_without_the_database() {
    let Some(place) = Place::postgres() else { return };
    let (daemon, proxy) = place.start_behind_proxy("").await;
    let counts = async || {
        let pools = page(&daemon, "/pools").await;
        (!pools.html.contains("The database does not answer")).then_some(())
    };
    eventually(PATIENCE, counts).await;
    proxy.set(Way::Silent);
    let away = eventually(PATIENCE, async || {
        let pools = page(&daemon, "/pools").await;
        (pools.status == 200 && pools.html.contains("The database does not answer"))
            .then_some(pools)
    })
    .await;
    away.has("What is grey was counted before.").has(KIND);
    let actors = page(&daemon, "/actors").await;
    assert_eq!(actors.status, 200);
    assert_eq!(page(&daemon, "/jobs").await.status, 503, "the list needs the database");
    proxy.set(Way::Open);
    eventually(PATIENCE, counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_operator_finds_and_sends_forms_of_jobs_and_pools() {
    let daemon = Place::sqlite().start(USERS).await;
    let posted = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    let job = posted.job_ids().remove(0);
    let http = http_without_redirects();
    for token in ["kims-token-of-24-characters-", "vics-token-of-24-characters-"] {
        for path in [
            "/jobs",
            "/jobs?status=failed",
            "/jobs?group=error",
            &format!("/jobs/{job}"),
            "/pools",
            "/actors",
        ] {
            let request =
                http.get(daemon.url(path)).bearer_auth(token).header("accept", "text/html");
            let shown = checked(request.send().await.unwrap()).await;
            assert_eq!(shown.status, 200, "{path}");
            for tag in tags(&shown.html).iter().filter(|tag| tag.name == "form") {
                let is_post = tag.attributes.get("method").is_some_and(|it| it == "post");
                let own = ["/look", "/logout"].contains(&tag.attributes["action"].as_str());
                assert!(!is_post || own, "{path}: {tag:?}");
            }
            shown.lacks("ask=").lacks("Retry").lacks("Pause");
        }
        for path in ["/jobs?status=failed&ask=retry", &format!("/pools?ask=size&kind={KIND}")] {
            let request =
                http.get(daemon.url(path)).bearer_auth(token).header("accept", "text/html");
            assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
        }
        for path in [
            "/jobs/retry",
            "/jobs/cancel",
            &format!("/jobs/{job}/retry"),
            &format!("/jobs/{job}/cancel"),
            "/operations/1/stop",
            &format!("/pools/{KIND}/size"),
            &format!("/pools/{KIND}/pause"),
            &format!("/pools/{KIND}/resume"),
            &format!("/pools/{KIND}/reset"),
        ] {
            let form = [("status", "failed"), ("count", "1")];
            let form = if path.starts_with("/pools") { &[("size", "4")][..] } else { &form[..] };
            let request = http.post(daemon.url(path)).bearer_auth(token).form(form);
            assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
        }
    }
}
