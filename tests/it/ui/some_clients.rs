//! A user who sees some clients only finds nothing of others, wherever they look.

use super::{checked, tags};
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

/// Ann may do everything for `acme`, and sees nothing of `zeta`.
const CONFIG: &str = r#"
    [sending]
    undo = "10m"
    [[clients]]
    id = "acme"
    [clients.channels.sms]
    allow_unauthenticated = true
    send = { api_key = "k-1" }
    [[clients]]
    id = "zeta"
    [clients.channels.sms]
    allow_unauthenticated = true
    send = { api_key = "k-1" }
    [[admin.users]]
    name = "ann"
    role = "operator"
    token = "anns-token-of-24-characters-"
    clients = ["acme"]
"#;
const ANN: &str = "anns-token-of-24-characters-";
/// What stands in texts of the other client alone.
const MARK: &str = "Zanzibar";
const PATIENCE: Duration = Duration::from_secs(60);
/// The delivery that is put by hand, by client.
const DELIVERIES: [(&str, u32); 2] = [("acme", 81), ("zeta", 82)];

/// The ids of what a client has.
struct Owned {
    job: String,
    lead: String,
    message: String,
    draft: String,
    delivery: String,
    quarantine: String,
    operation: String,
    request: String,
}

impl Owned {
    async fn of(daemon: &Daemon, client: &str, lead: u64, text: &str, delivery: u32) -> Self {
        let posted = ask(daemon.webhook("sms", client).json(&sms(lead, text))).await;
        assert_eq!(posted.outcome(), "accepted", "{posted:?}");
        let path = format!("/drafts?lead={}", posted.field("lead_id"));
        let draft = eventually(PATIENCE, async || {
            let drafts = ask(daemon.api(Method::GET, &path)).await;
            Some(drafts.items().first()?["id"].as_str()?.to_owned())
        })
        .await;
        let held =
            ask(daemon.webhook("sms", client).json(&json!({"type": text, "body": text}))).await;
        assert_eq!(held.outcome(), "quarantined", "{held:?}");
        let peek = Peek::of(daemon).await;
        peek.execute(&format!(
            "insert into deliveries (id, client_id, lead_id, draft_id, channel, status, text_key, attempts, created_at, job_id, marked_run) \
             select {delivery}, client_id, lead_id, id, channel, 'uncertain', 'k', 1, created_at, null, 1 from drafts where id = {draft}"
        ))
        .await;
        let operation = format!("77000000{delivery}");
        let filter = json!({"client": [client]});
        peek.execute(&format!(
            "insert into operations (id, action, filter, status, total, done, skipped, is_stopping, changed_by, node, created_at, updated_at) \
             select {operation}, 'retry', '{filter}', 'done', 1, 1, 0, false, 'admin', 1, created_at, created_at from drafts where id = {draft}"
        ))
        .await;
        let job = posted.job_ids().remove(0);
        Self {
            job,
            lead: posted.field("lead_id").to_owned(),
            message: posted.field("message_id").to_owned(),
            draft,
            delivery: delivery.to_string(),
            quarantine: held.field("quarantine_id").to_owned(),
            operation,
            request: posted.field("request_id").to_owned(),
        }
    }

    /// The paths of the API about single things, and what is done there, with a body.
    fn in_api(&self) -> Vec<(Method, String)> {
        let Self { job, lead, message, draft, delivery, quarantine, operation, .. } = self;
        let get = |path: String| (Method::GET, path);
        let post = |path: String| (Method::POST, path);
        let mut all = vec![
            get(format!("/jobs/{job}")),
            get(format!("/jobs/{job}/explain")),
            get(format!("/leads/{lead}")),
            get(format!("/leads/{lead}/explain")),
            get(format!("/leads/{lead}/export")),
            get(format!("/messages/{message}")),
            get(format!("/drafts/{draft}")),
            get(format!("/deliveries/{delivery}")),
            get(format!("/quarantine/{quarantine}")),
            get(format!("/operations/{operation}")),
            post(format!("/jobs/{job}/retry")),
            post(format!("/jobs/{job}/cancel")),
            post(format!("/leads/{lead}/opt-out")),
            post(format!("/deliveries/{delivery}/resolve")),
            post(format!("/quarantine/{quarantine}/replay?dry_run=true")),
            post(format!("/operations/{operation}/cancel")),
            (Method::PATCH, format!("/messages/{message}")),
            (Method::PATCH, format!("/drafts/{draft}")),
            (Method::DELETE, format!("/leads/{lead}/opt-out")),
        ];
        let deeds = ["approve", "undo", "reject", "regenerate"];
        all.extend(deeds.map(|deed| post(format!("/drafts/{draft}/{deed}"))));
        all
    }

    /// The same of the pages.
    fn in_pages(&self) -> Vec<(Method, String)> {
        let Self { job, lead, message, draft, delivery, quarantine, operation, .. } = self;
        let gets = [
            format!("/jobs/{job}"),
            format!("/jobs?operation={operation}"),
            format!("/received?tab=quarantine&operation={operation}"),
            format!("/leads/{lead}"),
            format!("/messages/{message}"),
            format!("/inbox?lead={lead}"),
            format!("/inbox?draft={draft}"),
            format!("/deliveries/{delivery}"),
            format!("/quarantine/{quarantine}"),
        ];
        let posts = [
            format!("/jobs/{job}/retry"),
            format!("/jobs/{job}/cancel"),
            format!("/operations/{operation}/stop"),
            format!("/deliveries/{delivery}/resolve"),
            format!("/quarantine/{quarantine}/replay"),
            format!("/quarantine/{quarantine}/discard"),
        ];
        let gets = gets.map(|it| (Method::GET, it)).into_iter();
        gets.chain(posts.map(|it| (Method::POST, it))).collect()
    }
}

fn ann(daemon: &Daemon, method: Method, path: &str) -> RequestBuilder {
    let request = http_without_redirects().request(method, daemon.url(path));
    request.bearer_auth(ANN)
}

async fn in_api(daemon: &Daemon, method: &Method, path: &str) -> Answer {
    let path = format!("/api/v1{path}");
    let request = ann(daemon, method.clone(), &path);
    ask(if *method == Method::GET { request } else { request.json(&json!({})) }).await
}

/// Checks that an answer tells nothing of the other client.
#[track_caller]
fn tells_nothing(text: &str, other: &Owned, path: &str) {
    let Owned { job, lead, message, draft, quarantine, operation, request, .. } = other;
    for secret in [MARK, "zeta", job, lead, message, draft, quarantine, operation, request] {
        assert!(!text.contains(secret), "{path} tells {secret}: {text}");
    }
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn nothing_of_another_client_is_found(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "rows are put by hand");
        let [(one, first), (two, second)] = DELIVERIES;
        let own = Owned::of(&daemon, one, 1, "Could you call me tomorrow at 3?", first).await;
        let asks = format!("Could you call me in {MARK} tomorrow at 3?");
        let other = Owned::of(&daemon, two, 2, &asks, second).await;

        // Lists hold what is theirs, and nothing else, also if it is asked for.
        let lists = [
            "/jobs", "/jobs?group=error", "/inbox", "/inbox?view=all", "/leads", "/messages", "/drafts", "/examples", "/deliveries",
            "/received", "/calls", "/quarantine", "/clients",
        ];
        for list in lists {
            let answer = in_api(&daemon, &Method::GET, list).await;
            assert_eq!(answer.status, 200, "{list}: {answer:?}");
            tells_nothing(&answer.text, &other, list);
            let is_empty = answer.items().is_empty();
            let may_be_empty = ["/jobs?group=error", "/examples", "/calls"].contains(&list);
            assert!(may_be_empty || !is_empty, "{list} shows nothing of their own");
            if list != "/clients" {
                let sign = if list.contains('?') { '&' } else { '?' };
                for clients in ["zeta", "zeta,acme"] {
                    let path = format!("{list}{sign}client={clients}");
                    let answer = in_api(&daemon, &Method::GET, &path).await;
                    tells_nothing(&answer.text.replace(&path, ""), &other, &path);
                    assert!(clients != "zeta" || answer.items().is_empty(), "{path}: {answer:?}");
                }
            }
        }
        for list in ["/jobs", "/messages", "/drafts", "/deliveries", "/received"] {
            let answer = in_api(&daemon, &Method::GET, &format!("{list}?lead={}", other.lead)).await;
            assert!(answer.items().is_empty(), "{list}: {answer:?}");
        }
        for text in [&other.job, &other.lead, &other.message, &other.draft, &other.quarantine, &other.request, &other.operation] {
            let found = in_api(&daemon, &Method::GET, &format!("/search?q={text}")).await;
            assert!(found.items().is_empty(), "{text}: {found:?}");
            let received = in_api(&daemon, &Method::GET, &format!("/received?q={text}")).await;
            assert!(received.items().is_empty(), "{text}: {received:?}");
        }
        assert_eq!(in_api(&daemon, &Method::GET, &format!("/search?q={}", own.lead)).await.items().len(), 1);

        // A single thing of another client is not there, whatever is done to it.
        for (method, path) in other.in_api() {
            let answer = in_api(&daemon, &method, &path).await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            assert!(!answer.text.contains(MARK) && !answer.text.contains("zeta"), "{answer:?}");
        }
        for (method, path) in own.in_api() {
            let answer = in_api(&daemon, &method, &path).await;
            assert!(![401, 403, 404].contains(&answer.status), "{method} {path}: {answer:?}");
        }
        // An id that is spelled otherwise opens nothing.
        let spelled: String = other.job.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(in_api(&daemon, &Method::GET, &format!("/jobs/{spelled}")).await.status, 404);
        assert_eq!(in_api(&daemon, &Method::GET, "/clients/zeta").await.status, 404);
        assert_eq!(in_api(&daemon, &Method::GET, "/clients/acme").await.status, 200);

        // A deed on many is done to theirs alone.
        let all = json!({"kind": "SMS_INBOUND_POST_PROCESS", "client": ["zeta", "acme"]});
        let path = "/api/v1/jobs/cancel?dry_run=true";
        let counted = ask(ann(&daemon, Method::POST, path).json(&all)).await;
        assert_eq!(counted.status, 200, "{counted:?}");
        tells_nothing(&counted.text, &other, path);
        let path = "/api/v1/quarantine/discard?dry_run=true";
        let counted = ask(ann(&daemon, Method::POST, path).json(&json!({"status": "held"}))).await;
        assert_eq!((counted.status, &counted.body["count"]), (200, &1.into()), "{counted:?}");
        tells_nothing(&counted.text, &other, path);

        // What is about all clients is closed.
        for (method, path) in [
            (Method::GET, "/overview"),
            (Method::GET, "/ledger"),
            (Method::GET, "/operations"),
            (Method::GET, "/config"),
            (Method::GET, "/config/loads"),
            (Method::GET, "/pools"),
            (Method::GET, "/nodes"),
            (Method::GET, "/audit"),
            (Method::GET, "/actors"),
            (Method::GET, "/events?topics=totals"),
            (Method::GET, "/nothing/known"),
            (Method::POST, "/config/reload"),
            (Method::PATCH, "/pools/SELF_CHECK"),
            (Method::DELETE, "/pools/SELF_CHECK/override"),
        ] {
            in_api(&daemon, &method, path).await.is_problem(403, "forbidden");
        }

        // The pages say the same.
        let open = |path: &str| ann(&daemon, Method::GET, path).header("accept", "text/html");
        let front = open("/").send().await.unwrap();
        assert_eq!((front.status().as_u16(), front.headers()["location"].to_str().unwrap()), (303, "/inbox"));
        let lists = ["/jobs", "/jobs?group=error", "/inbox", "/inbox?view=all", "/received", "/received?tab=quarantine", "/deliveries", "/clients", "/clients/acme"];
        for list in lists {
            let page = checked(open(list).send().await.unwrap()).await;
            assert_eq!(page.status, 200, "{list}: {}", page.html);
            tells_nothing(&page.html, &other, list);
            for tag in tags(&page.html).iter().filter(|it| it.name == "nav") {
                assert_ne!(tag.attributes.get("href").map(String::as_str), Some("/system"));
            }
            page.lacks("href=\"/pools\"").lacks("href=\"/config\"").lacks("totals");
        }
        for path in ["/pools", "/actors", "/config", "/system", "/audit"] {
            assert_eq!(checked(open(path).send().await.unwrap()).await.status, 403, "{path}");
        }
        for path in ["/clients/zeta", "/jobs?client=zeta", "/jobs?client=acme,zeta"] {
            assert_eq!(open(path).send().await.unwrap().status(), 404, "{path}");
        }
        for (method, path) in other.in_pages() {
            let request = ann(&daemon, method.clone(), &path).header("accept", "text/html");
            let request = if method == Method::GET { request } else { request.form(&[("end", "sent")]) };
            let answer = ask(request).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
            assert!(!answer.text.contains(MARK), "{path}");
        }
        let form = [("draft", other.draft.as_str()), ("do", "approve")];
        assert_eq!(ask(ann(&daemon, Method::POST, "/inbox").form(&form)).await.status, 404);
        let search = ask(open(&format!("/search?q={}", other.lead))).await;
        assert_eq!(search.status, 404, "{search:?}");

        // A stream tells of theirs, and of others as if they were not there.
        let topics = format!("/api/v1/events?topics=lead/{},lead/{}", own.lead, other.lead);
        let mut stream = ann(&daemon, Method::GET, &topics).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        let mut told = String::new();
        while !told.contains(&format!("event: lead/{}", own.lead)) {
            told.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
        }
        tells_nothing(&told, &other, "events");
    }

    async fn a_list_of_clients_counts_at_the_next_request(place: Place) {
        let mut daemon = place.start(CONFIG).await;
        let clients = async |daemon: &Daemon| -> Vec<String> {
            let answer = in_api(daemon, &Method::GET, "/clients").await;
            answer.items().iter().map(|it: &Value| it["id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(clients(&daemon).await, ["acme"]);
        daemon.configure(&CONFIG.replace("clients = [\"acme\"]", "clients = [\"acme\", \"zeta\"]"));
        assert_eq!(ask(daemon.api(Method::POST, "/config/reload")).await.status, 200);
        assert_eq!(clients(&daemon).await, ["acme", "zeta"]);
        // An id that is not there is an error, and what was in force stays.
        daemon.configure(&CONFIG.replace("clients = [\"acme\"]", "clients = [\"acme\", \"zetta\"]"));
        let refused = ask(daemon.api(Method::POST, "/config/reload")).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(refused.text.contains("the nearest known client is `zeta`"), "{refused:?}");
        assert_eq!(clients(&daemon).await, ["acme", "zeta"]);
    }
}
