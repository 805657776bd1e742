//! The frame around every page, the files that pages load, problem pages, and the overview.

use super::{PAGE_BYTES_MAX, WIRE_BYTES_MAX, browse, checked, files_of, packed_bytes, page, tags};
use crate::support::{
    COUNTS_WITHIN,
    both::Place,
    daemon::Daemon,
    eventually, http, http_without_redirects,
    leftovers::Leftover,
    proxy::Way,
    web::{ask, sms},
};
use postroom::telemetry::page_metrics::PAGES;
use reqwest::Method;
use std::{collections::BTreeMap, time::Duration};

const CONFIG: &str = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n";

/// The pages that need no id.
const PATHS: [&str; 12] = [
    "/",
    "/inbox",
    "/jobs",
    "/pools",
    "/actors",
    "/received",
    "/deliveries",
    "/clients",
    "/config",
    "/system",
    "/audit",
    "/search",
];

/// Asks as a browser without a session, and follows nowhere.
async fn stranger(daemon: &Daemon, method: Method, path: &str) -> reqwest::Response {
    let client = http_without_redirects();
    client.request(method, daemon.url(path)).header("accept", "text/html").send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_led_to_the_sign_in_and_changes_nothing() {
    let daemon = Place::sqlite().start("").await;
    let answer = stranger(&daemon, Method::GET, "/?range=24h").await;
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "/login?next=%2F%3Frange%3D24h");
    for path in PATHS {
        let answer = stranger(&daemon, Method::GET, path).await;
        assert_eq!(answer.status(), 302, "{path}");
        let login = format!("/login?next={}", path.replace('/', "%2F"));
        assert_eq!(answer.headers()["location"], login.as_str());
    }
    assert_eq!(stranger(&daemon, Method::POST, "/look").await.status(), 401);
    assert_eq!(stranger(&daemon, Method::GET, "/nothing").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_view_can_be_copied_as_a_command() {
    let daemon = Place::sqlite().start("").await;
    for path in PATHS.into_iter().filter(|it| *it != "/search") {
        page(&daemon, path).await.has("data-copy=\"postroom ");
    }
    for (path, command) in [
        ("/inbox?channel=sms", "postroom drafts list --status pending --channel sms"),
        ("/inbox?view=all&q=a+b", "postroom leads list --search 'a b'"),
        ("/inbox?view=opted_out", "postroom leads list --status blacklisted"),
        (
            "/jobs?status=failed&error=no+phone",
            "postroom jobs list --status failed --error 'no phone'",
        ),
        ("/jobs?group=error", "postroom jobs list --status failed"),
        ("/jobs?id=7,8", "postroom jobs show 7\npostroom jobs show 8"),
    ] {
        page(&daemon, path).await.has(&format!("data-copy=\"{command}\""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_pages_are_kept_for_good_and_light() {
    let daemon = Place::sqlite().start("").await;
    let mut weight = packed_bytes(&daemon, "/").await;
    let files = files_of(&page(&daemon, "/").await.html);
    assert_eq!(files.len(), 3, "{files:?}");
    for file in &files {
        // Nobody needs to be signed in: the sign-in has them, too.
        let plain = http().get(daemon.url(file)).send().await.unwrap();
        assert_eq!(plain.status(), 200, "{file}");
        assert_eq!(plain.headers()["cache-control"], "public, max-age=31536000, immutable");
        let plain = plain.bytes().await.unwrap();
        let packed = packed_bytes(&daemon, file).await;
        assert!(packed < plain.len() / 2, "{file}: {packed} of {}", plain.len());
        weight += packed;
    }
    assert!(weight <= WIRE_BYTES_MAX, "{weight} bytes over the wire");
    let other = http().get(daemon.url("/assets/style.00000000.css")).send().await.unwrap();
    assert_eq!(other.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_problem_is_a_page_for_a_person_and_json_for_a_program() {
    let daemon = Place::sqlite().start("").await;
    let unknown = page(&daemon, "/?clients=acme").await;
    assert_eq!(unknown.status, 400);
    unknown
        .has("Unknown query parameter `clients`")
        .has("known here: range, client, done")
        .has("400 · request ");
    let hostile = page(&daemon, "/?%3Cscript%3Ealert(1)%3C%2Fscript%3E=1").await;
    hostile.has("&lt;script&gt;").lacks("<script>");
    let nothing = page(&daemon, "/no/such/page").await;
    assert_eq!(nothing.status, 404);
    nothing.has("Not found").has("Overview");
    let json = ask(http().get(daemon.url("/no/such/page"))).await;
    json.is_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_and_keys_are_chosen_by_a_form_and_kept_in_cookies() {
    let daemon = Place::sqlite().start("").await;
    page(&daemon, "/").await.lacks("data-theme").lacks("data-keys");
    let client = http_without_redirects();
    let post = async |form: &[(&str, &str)]| {
        let request = client.post(daemon.url("/look")).bearer_auth(daemon.admin_token());
        request.form(form).send().await.unwrap()
    };
    let answer = post(&[("theme", "dark"), ("next", "/?range=24h")]).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (303, &"/?range=24h".parse().unwrap())
    );
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.starts_with("postroom_theme=dark; HttpOnly; SameSite=Strict; Path=/"),
        "{cookie}"
    );
    let dark = browse(&daemon, "/").header("cookie", "postroom_theme=dark; postroom_keys=off");
    checked(dark.send().await.unwrap()).await.has("data-theme=\"dark\"").has("data-keys=\"off\"");
    let odd = browse(&daemon, "/").header("cookie", "postroom_theme=\"><script>");
    checked(odd.send().await.unwrap()).await.lacks("data-theme");
    assert_eq!(post(&[("theme", "pink")]).await.status(), 400);
    for foreign in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let answer = post(&[("keys", "off"), ("next", foreign)]).await;
        assert_eq!(answer.headers()["location"], "/", "{foreign}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_begin_with_the_path_under_which_the_daemon_is_reached() {
    const BELOW: &str =
        "[server]\npublic_url = \"https://post.example/below/\"\n[[clients]]\nid = \"none\"\n";
    let daemon = Place::sqlite().start(BELOW).await;
    let overview = page(&daemon, "/").await;
    for tag in tags(&overview.html) {
        for name in ["href", "src", "action"] {
            if let Some(value) = tag.attributes.get(name) {
                assert!(value.starts_with("/below/") || value.starts_with('#'), "{tag:?}");
            }
        }
    }
    let answer = stranger(&daemon, Method::GET, "/").await;
    assert_eq!(answer.headers()["location"], "/below/login?next=%2F");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overview_leads_to_the_first_message_and_then_shows_it() {
    let daemon = Place::sqlite().start(CONFIG).await;
    daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
    let first = page(&daemon, "/").await;
    first.has("Nothing has come in yet.").has("/webhooks/").has("curl http://127.0.0.1:");
    ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    let filled = eventually(COUNTS_WITHIN, async || {
        let overview = page(&daemon, "/").await;
        let pending = "data-live=\"totals/kinds/SMS_INBOUND_POST_PROCESS/pending\">1<";
        overview.html.contains(pending).then_some(overview)
    })
    .await;
    // The part stays, empty, so that the steps leave a page that is open.
    filled.has("data-part=\"steps\"></div>");
    filled.lacks("Nothing has come in yet.").has("Ledger balanced").has("One node").has(">demo<");
    filled.has("data-live=\"totals/drafts/pending\"").has("data-topics=\"totals pools\"");
    let of_client = page(&daemon, "/?client=demo").await;
    of_client
        .has("Kinds · demo")
        .has("href=\"/jobs?kind=SMS_INBOUND_POST_PROCESS&amp;client=demo\"");
    let hostile = page(&daemon, "/?client=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await;
    hostile.lacks("<script>alert").has("&lt;script&gt;");
    let long = page(&daemon, &format!("/?client={}", "x".repeat(201))).await;
    assert_eq!(long.status, 400);
    assert!(filled.html.len() < PAGE_BYTES_MAX / 2, "{} bytes", filled.html.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tiles_of_a_client_count_what_their_lists_show() {
    let config = "[[clients]]\nid = \"demo\"\n[clients.channels.sms]\nallow_unauthenticated = true\n\
        [[clients]]\nid = \"other\"\n[clients.channels.sms]\nallow_unauthenticated = true\n";
    let daemon = Place::sqlite().start(config).await;
    for (client, count) in [("demo", 2), ("other", 1)] {
        for number in 0..count {
            let body = serde_json::json!({"type": "Nope", "body": format!("text {number}")});
            ask(daemon.webhook("sms", client).json(&body)).await;
        }
    }
    let tile = |html: &str, name: &str| -> String {
        let tag = format!("data-key-name=\"{name}\"");
        let start = html[..html.find(&tag).unwrap()].rfind("<a ").unwrap();
        let tile = &html[start..];
        tile[..tile.find("</a>").unwrap()].to_owned()
    };
    let all = eventually(COUNTS_WITHIN, async || {
        let all = tile(&page(&daemon, "/").await.html, "Quarantined");
        all.contains("quarantine/held\">3<").then_some(all)
    })
    .await;
    assert!(all.contains("href=\"/received?tab=quarantine\""), "{all}");
    for (clients, count) in [("demo", 2), ("other", 1), ("demo,other", 3), ("nobody", 0)] {
        let of = page(&daemon, &format!("/?client={clients}")).await;
        let held = tile(&of.html, "Quarantined");
        assert!(
            held.contains(&format!("/received?tab=quarantine&amp;client={clients}\"")),
            "{held}"
        );
        let counted = if count > 0 { format!(" {count}</b>") } else { "–</span></b>".to_owned() };
        assert!(held.replace("</svg>", " ").contains(&counted), "{held}");
        // What is known of all clients only says so, and leads to all.
        for (name, href) in [
            ("Failures, 24 h", "/jobs?status=failed&amp;group=error"),
            ("Webhooks", "/received"),
            ("Jobs done", "/jobs"),
        ] {
            let tile = tile(&of.html, name);
            assert!(tile.contains(&format!("href=\"{href}\"")), "{tile}");
            assert!(tile.contains(", all clients"), "{tile}");
        }
        of.has(", of all clients");
    }
    page(&daemon, "/").await.lacks(", all clients");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_leads_to_the_page_of_what_was_asked_for() {
    let daemon = Place::sqlite().start(CONFIG).await;
    daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
    let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    let (lead, message) =
        (answer.field("lead_id").to_owned(), answer.field("message_id").to_owned());
    let job = answer.job_ids()[0].clone();
    let client = http_without_redirects();
    for (text, path) in [
        (job.as_str(), format!("/jobs/{job}")),
        (&lead, format!("/leads/{lead}")),
        (&message, format!("/leads/{lead}")),
        ("rita@example.com", "/inbox?view=all&q=rita%40example.com".to_owned()),
        ("01931c5e-8a9b-7c3d", "/received?q=01931c5e-8a9b-7c3d".to_owned()),
        ("", "/".to_owned()),
    ] {
        let request = client.get(daemon.url("/search")).query(&[("q", text)]);
        let answer = request.bearer_auth(daemon.admin_token()).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()),
            (303, path.as_str()),
            "{text}"
        );
    }
    let nothing = page(&daemon, "/search?q=1234567").await;
    assert_eq!(nothing.status, 404);
    nothing.has("No job, lead, delivery, draft or message has the id 1234567");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn the_overview_answers_without_the_database() {
    let Some(place) = Place::postgres() else { return };
    let (daemon, proxy) = place.start_behind_proxy("").await;
    page(&daemon, "/").await.lacks("The database does not answer");
    proxy.set(Way::Silent);
    let away = eventually(Duration::from_secs(30), async || {
        let overview = page(&daemon, "/").await;
        (overview.status == 200 && overview.html.contains("The database does not answer"))
            .then_some(overview)
    })
    .await;
    away.has("What is grey here was counted before.").has("class=\"two sec stale\"");
    proxy.set(Way::Open);
    eventually(Duration::from_secs(60), async || {
        let overview = page(&daemon, "/").await;
        (!overview.html.contains("The database does not answer")).then_some(())
    })
    .await;
}

/// With hundreds of clients no page names all of them: a client is chosen by its id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_make_no_page_large() {
    let clients = (0..300).map(|number| format!("[[clients]]\nid = \"customer-{number}\"\n"));
    let daemon = Place::sqlite().start(&clients.collect::<String>()).await;
    for path in ["/", "/jobs?status=failed", "/inbox", "/received", "/clients"] {
        let shown = page(&daemon, path).await;
        assert!(shown.html.len() <= PAGE_BYTES_MAX, "{path}: {} bytes", shown.html.len());
        shown.lacks("customer-299");
        let fields = tags(&shown.html).into_iter().filter(|tag| {
            tag.name == "input" && tag.attributes.get("name").is_some_and(|it| it == "client")
        });
        assert!(fields.count() >= 1, "{path} has no field for a client's id");
    }
    // What else is selected stays so.
    page(&daemon, "/jobs?status=failed")
        .await
        .has(r#"<input type="hidden" name="status" value="failed">"#);
    page(&daemon, "/jobs?status=failed&client=customer-299").await.has("customer-299");
}

/// A filter that is mistyped selects nothing silently: its page says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_page_names_a_filter_that_it_does_not_know() {
    let daemon = Place::sqlite().start("").await;
    for path in PATHS {
        assert_eq!(page(&daemon, path).await.status, 200, "{path}");
        let refused = page(&daemon, &format!("{path}?nonsense=1")).await;
        assert_eq!(refused.status, 400, "{path}");
        refused.has("nonsense");
    }
}

/// How often each page was loaded, by its name in the metrics.
async fn loads(daemon: &Daemon) -> BTreeMap<String, u64> {
    let text = ask(daemon.get("/metrics")).await.text;
    let counts = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("postroom_page_seconds_count{page=\"")?;
        let (page, count) = rest.split_once("\"} ")?;
        Some((page.to_owned(), count.parse().unwrap()))
    });
    counts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_page_that_is_loaded_is_counted_under_its_name() {
    let daemon = Place::sqlite().start(CONFIG).await;
    daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
    let posted = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    let job = format!("/jobs/{}", posted.job_ids()[0]);
    let lead = format!("/leads/{}", posted.field("lead_id"));
    let named = [
        ("overview", "/"),
        ("inbox", "/inbox"),
        ("lead", &lead),
        ("jobs", "/jobs?status=pending"),
        ("job", &job),
        ("pools", "/pools"),
        ("actors", "/actors"),
        ("received", "/received"),
        ("message", "/messages/7"),
        // The page of a problem is one, too.
        ("quarantine", "/quarantine/7"),
        ("deliveries", "/deliveries"),
        ("delivery", "/deliveries/7"),
        ("clients", "/clients"),
        ("client", "/clients/demo"),
        ("config", "/config"),
        ("system", "/system"),
        ("audit", "/audit"),
        ("search", "/search?q=1234567"),
    ];
    let mut expected: BTreeMap<String, u64> =
        PAGES.iter().map(|page| ((*page).to_owned(), 0)).collect();
    assert_eq!(loads(&daemon).await, expected);
    for (name, path) in named {
        page(&daemon, path).await;
        *expected.get_mut(name).unwrap() += 1;
        assert_eq!(loads(&daemon).await, expected, "{path}");
    }
    assert_eq!(stranger(&daemon, Method::GET, "/login").await.status(), 200);
    expected.insert("login".to_owned(), 1);
    assert_eq!(loads(&daemon).await, expected);
    assert!(expected.values().all(|count| *count == 1), "{expected:?}");
    // Neither what leads elsewhere, nor a form, nor what is at no path.
    assert_eq!(stranger(&daemon, Method::GET, "/jobs").await.status(), 302);
    assert_eq!(stranger(&daemon, Method::POST, "/look").await.status(), 401);
    assert_eq!(page(&daemon, "/no/such/page").await.status, 404);
    assert_eq!(loads(&daemon).await, expected);
}
