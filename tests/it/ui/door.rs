//! Who gets in to the pages, as whom, and for how long.

use super::{CONTENT_POLICY, DANA, KIM, USERS, VIC, runs_nothing};
use crate::{
    on_both_daemons,
    support::{
        both::Place,
        daemon::{Daemon, Options},
        eventually, http_without_redirects, postgres,
        proxy::Way,
        web::{Answer, ask, sms},
    },
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A browser: it follows no redirect by itself, and holds one cookie.
struct Browser<'a> {
    daemon: &'a Daemon,
    http: reqwest::Client,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(daemon: &'a Daemon) -> Self {
        let http = http_without_redirects();
        Self { daemon, http, cookie: None }
    }

    /// Signs in as the owner of a token or by a code.
    async fn signed_in(daemon: &'a Daemon, token: &str) -> Self {
        let mut browser = Self::new(daemon);
        let answer = browser.sign_in(token).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }

    async fn sign_in(&mut self, token: &str) -> Answer {
        let form = [("token", token), ("name", "Dana S."), ("next", "/jobs?status=failed")];
        let answer = ask(self.post("/login").form(&form)).await;
        self.keep(&answer);
        answer
    }

    /// Keeps the cookie that an answer sets.
    fn keep(&mut self, answer: &Answer) {
        let set = answer.header("set-cookie");
        if let Some((pair, _)) = set.split_once(';') {
            self.cookie = Some(pair.to_owned());
        }
    }

    fn prepare(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.daemon.url(path));
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    /// A link or an address that was typed.
    async fn get(&self, path: &str) -> Answer {
        let site = if self.cookie.is_some() { "same-origin" } else { "none" };
        ask(self.prepare(Method::GET, path).header("sec-fetch-site", site)).await
    }

    /// A form of the daemon's own page.
    fn post(&self, path: &str) -> RequestBuilder {
        self.prepare(Method::POST, path).header("sec-fetch-site", "same-origin")
    }

    async fn sessions(&self) -> Vec<Value> {
        self.get("/api/v1/sessions").await.items().to_vec()
    }
}

async fn reload(daemon: &mut Daemon, config: &str) {
    daemon.configure(config);
    let report = ask(daemon.api(Method::POST, "/config/reload")).await;
    assert_eq!(report.status, 200, "{report:?}");
}

/// The newest rows of the audit log: action, actor, role, way.
async fn audit(daemon: &Daemon, count: usize) -> Vec<[String; 4]> {
    let answer = ask(daemon.api(Method::GET, &format!("/audit?limit={count}"))).await;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| ["action", "actor", "role", "via"].map(|name| text(row, name));
    answer.items().iter().map(row).collect()
}

on_both_daemons! {
    async fn a_page_leads_to_the_sign_in_and_back(place: Place) {
        let daemon = place.start(USERS).await;
        let stranger = Browser::new(&daemon);
        let answer = stranger.get("/?client=demo").await;
        assert_eq!((answer.status, answer.header("location")), (302, "/login?next=%2F%3Fclient%3Ddemo"));
        let login = stranger.get("/login?next=%2F").await;
        assert_eq!(login.status, 200);
        assert!(login.text.contains("name=\"token\"") && login.text.contains("postroom login-link"), "{}", login.text);
        assert_eq!(login.header("content-security-policy"), CONTENT_POLICY);
        assert_eq!(login.header("referrer-policy"), "same-origin");
        assert_eq!(login.header("cache-control"), "no-store");
        runs_nothing(&login.text);
        assert_eq!(stranger.get("/login?nxt=/").await.status, 400);
        let mut browser = Browser::new(&daemon);
        let answer = browser.sign_in(DANA).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/jobs?status=failed"));
        let cookie = answer.header("set-cookie").to_owned();
        assert!(cookie.starts_with("postroom=") && !cookie.contains(DANA), "{cookie}");
        for part in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let page = browser.get("/").await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.text.contains("dana"), "who is in");
        let answer = browser.get("/login?next=//evil.example").await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"));
        // The API knows the session, too.
        assert_eq!(browser.get("/api/v1/pools").await.status, 200);
        assert_eq!(audit(&daemon, 1).await, [["session.begin", "dana", "operator", "page"]]);
        // And the way out.
        let answer = ask(browser.post("/logout")).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/login"));
        assert!(answer.header("set-cookie").starts_with("postroom=; Path=/; Max-Age=0"), "{answer:?}");
        assert_eq!(browser.get("/").await.status, 302, "the cookie no longer counts");
        ask(browser.prepare(Method::GET, "/api/v1/pools")).await.is_problem(401, "unauthenticated");
        assert_eq!(audit(&daemon, 1).await, [["session.revoke", "dana", "operator", "page"]]);
        let log = daemon.log();
        assert!(log.contains("somebody has signed in") && !log.contains(DANA));
        assert!(!log.contains(cookie.split(['=', ';']).nth(1).unwrap()), "a cookie is in the log");
    }

    async fn a_code_lets_in_once(place: Place) {
        let daemon = place.start(USERS).await;
        let made = ask(daemon.http.post(daemon.url("/api/v1/login-codes")).bearer_auth(KIM)).await;
        assert_eq!((made.status, &made.body["url"]), (200, &Value::Null), "{made:?}");
        let code = made.field("code").to_owned();
        let browser = Browser::signed_in(&daemon, &code).await;
        let sessions = browser.sessions().await;
        assert_eq!((&sessions[0]["user"], &sessions[0]["role"]), (&json!("kim"), &json!("reviewer")));
        let mut other = Browser::new(&daemon);
        assert_eq!(other.sign_in(&code).await.status, 401, "a second time");
        assert_eq!(other.cookie, None);
        // Neither is a code a cookie, nor a cookie a code, nor a changed one anything.
        other.cookie = Some(format!("postroom={code}"));
        assert_eq!(other.get("/").await.status, 302);
        let cookie = browser.cookie.clone().unwrap().split_once('=').unwrap().1.to_owned();
        assert_eq!(other.sign_in(&cookie).await.status, 401);
        other.cookie = Some(format!("postroom={cookie}x"));
        assert_eq!(other.get("/").await.status, 302);
        // A session makes no further codes.
        let answer = ask(browser.post("/api/v1/login-codes")).await;
        answer.is_problem(403, "forbidden");
        // A code of before counts no longer when its owner's token is another one.
        let code = ask(daemon.api(Method::POST, "/login-codes").header("x-postroom-actor", "Rita")).await;
        let code = code.field("code").to_owned();
        let mut daemon = daemon;
        let changed = USERS.replace("kims-token", "kims-other");
        let of_kim = ask(daemon.http.post(daemon.url("/api/v1/login-codes")).bearer_auth(KIM)).await;
        reload(&mut daemon, &changed).await;
        assert_eq!(Browser::new(&daemon).sign_in(of_kim.field("code")).await.status, 401);
        let rita = Browser::signed_in(&daemon, &code).await;
        assert_eq!(rita.sessions().await[0]["name"], "Rita");
        assert_eq!(audit(&daemon, 1).await, [["session.begin", "Rita", "operator", "page"]]);
        assert!(!daemon.log().contains(&code));
    }

    /// A link of somebody else signs nobody in as that one without a question.
    async fn a_link_of_another_user_asks_first(place: Place) {
        let daemon = place.start(USERS).await;
        let code = async || {
            let made = ask(daemon.http.post(daemon.url("/api/v1/login-codes")).bearer_auth(KIM)).await;
            made.field("code").to_owned()
        };
        let mut dana = Browser::signed_in(&daemon, DANA).await;
        let own = dana.cookie.clone();
        // 1. Somebody else is signed in: the code is not used up by the question.
        let code_of_kim = code().await;
        let asked = dana.sign_in(&code_of_kim).await;
        assert_eq!((asked.status, asked.header("set-cookie")), (200, ""), "{asked:?}");
        assert!(asked.text.contains("Go on as kim") && !asked.text.contains("<script>"), "{}", asked.text);
        assert_eq!(dana.cookie, own);
        let form = |code: &str, more: [(&'static str, &'static str); 1]| {
            [("token".to_owned(), code.to_owned()), (more[0].0.to_owned(), more[0].1.to_owned())]
        };
        let answer = ask(dana.post("/login").form(&form(&code_of_kim, [("go_on", "dana")]))).await;
        assert_eq!(answer.status, 200, "another user's name is no answer");
        let answer = ask(dana.post("/login").form(&form(&code_of_kim, [("go_on", "kim")]))).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        dana.keep(&answer);
        assert_eq!(dana.sessions().await[0]["user"], "kim");
        // Now it is the same user.
        assert_eq!(dana.sign_in(&code().await).await.status, 303);
        // 2. Another site led here.
        let stranger = Browser::new(&daemon);
        let led = stranger.prepare(Method::GET, "/login").header("sec-fetch-site", "cross-site");
        let led = ask(led.header("sec-fetch-mode", "navigate")).await;
        assert!(led.text.contains("name=\"led\""), "{}", led.text);
        assert!(!stranger.get("/login").await.text.contains("name=\"led\""), "it was typed");
        let code_of_kim = code().await;
        let asked = ask(stranger.post("/login").form(&form(&code_of_kim, [("led", "1")]))).await;
        assert_eq!((asked.status, asked.header("set-cookie")), (200, ""), "{asked:?}");
        // 3. Otherwise one click is enough.
        Browser::signed_in(&daemon, &code_of_kim).await;
    }

    async fn all_sessions_of_a_user_count_together(place: Place) {
        let daemon = place.start(USERS).await;
        let two = [Browser::signed_in(&daemon, DANA).await, Browser::signed_in(&daemon, DANA).await];
        let open = async |browser: &Browser<'_>| {
            browser.prepare(Method::GET, "/api/v1/events?topics=config").send().await.unwrap()
        };
        let mut streams = Vec::new();
        for number in 0..8 {
            streams.push(open(&two[number % 2]).await);
            assert_eq!(streams[number].status(), 200, "{number}");
        }
        for browser in &two {
            assert_eq!(open(browser).await.status(), 503);
        }
        assert_eq!(open(&Browser::signed_in(&daemon, KIM).await).await.status(), 200);
    }

    async fn people_see_who_else_looks_at_a_lead(place: Place) {
        let daemon = place.start(USERS).await;
        let posted = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        let lead = posted.field("lead_id").to_owned();
        let (dana, kim) = (Browser::signed_in(&daemon, DANA).await, Browser::signed_in(&daemon, KIM).await);
        let look = async |browser: &Browser<'_>| {
            let path = format!("/api/v1/events?topics=lead/{lead}");
            let mut stream = browser.prepare(Method::GET, &path).send().await.unwrap();
            let mut told = String::new();
            while !told.contains("people") {
                told.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
            }
            (stream, told)
        };
        let page = async |browser: &Browser<'_>| browser.get(&format!("/leads/{lead}")).await.text;
        assert!(!page(&dana).await.contains("is here"));
        let (stream, told) = look(&kim).await;
        assert!(told.contains("\"people\":\"kim\""), "{told}");
        assert!(page(&dana).await.contains("kim</bdi></b> is here"));
        assert!(page(&kim).await.contains("data-whole=\"kim\"") && !page(&kim).await.contains("is here"));
        let (_own, told) = look(&dana).await;
        assert!(told.contains("kim"), "{told}");
        assert!(page(&dana).await.contains("data-whole=\"dana, kim\""));
        // They leave with their stream.
        drop(stream);
        eventually(PATIENCE, async || (!page(&dana).await.contains("kim</bdi></b> is here")).then_some(())).await;
    }

    async fn a_role_says_what_a_person_may_do(place: Place) {
        let daemon = place.start(USERS).await;
        let tries = [
            (Method::GET, "/pools", 0, 200),
            (Method::GET, "/audit", 0, 200),
            (Method::POST, "/drafts/5/approve", 1, 404),
            (Method::POST, "/drafts/5/reject", 1, 404),
            (Method::POST, "/deliveries/5/resolve", 1, 400),
            (Method::POST, "/jobs/5/retry", 2, 404),
            (Method::PATCH, "/messages/5", 2, 400),
            (Method::DELETE, "/pools/SELF_CHECK/override", 2, 200),
            (Method::POST, "/config/reload", 2, 200),
            (Method::POST, "/no/such/path", 2, 404),
        ];
        for (role, token) in [(0, VIC), (1, KIM), (2, DANA)] {
            let browser = Browser::signed_in(&daemon, token).await;
            for (method, path, needed, status) in &tries {
                let path = format!("/api/v1{path}");
                let by_token = daemon.http.request(method.clone(), daemon.url(&path)).bearer_auth(token);
                let by_session =
                    browser.prepare(method.clone(), &path).header("sec-fetch-site", "same-origin");
                for request in [by_token, by_session] {
                    let answer = ask(request).await;
                    let is_allowed = role >= *needed;
                    assert_eq!(answer.status == 403, !is_allowed, "{token} {path}: {answer:?}");
                    assert!(!is_allowed || answer.status == *status, "{token} {path}: {answer:?}");
                }
            }
        }
        // The name of a user does not come from a header.
        let reset = daemon.http.delete(daemon.url("/api/v1/pools/SELF_CHECK/override")).bearer_auth(DANA);
        let change = json!({"size": 3});
        let resize = daemon.http.patch(daemon.url("/api/v1/pools/SELF_CHECK")).bearer_auth(DANA).json(&change);
        assert_eq!(ask(resize.header("x-postroom-actor", "somebody")).await.status, 200);
        assert_eq!(ask(reset.header("x-postroom-actor", "somebody")).await.status, 200);
        let expected = ["pool.reset", "pool.override"].map(|it| [it, "dana", "operator", "api"]);
        assert_eq!(audit(&daemon, 2).await, expected);
        let refused = "postroom_admin_refused_total{reason=\"role\"}";
        let metrics = ask(daemon.get("/metrics")).await.text;
        let count = metrics.lines().find_map(|line| line.strip_prefix(refused)).unwrap();
        assert_eq!(count.trim().parse::<u32>().unwrap(), 2 * (8 + 5));
    }

    async fn no_other_site_makes_a_browser_change_something(place: Place) {
        let daemon = place.start(USERS).await;
        let browser = Browser::signed_in(&daemon, DANA).await;
        let own = daemon.url("").trim_end_matches('/').to_owned();
        let other_port = format!("http://127.0.0.1:{}", daemon.port() ^ 1);
        for (headers, is_allowed) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("origin", own.as_str())], true),
            (&[], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", own.as_str())], false),
            (&[("origin", "http://evil.example")], false),
            (&[("origin", other_port.as_str())], false),
            (&[("origin", "null")], false),
        ] {
            for (method, path) in [
                (Method::POST, "/api/v1/config/reload"),
                (Method::DELETE, "/api/v1/pools/SELF_CHECK/override"),
                (Method::POST, "/look"),
            ] {
                let request = browser.prepare(method, path);
                let request = if path == "/look" { request.form(&[("theme", "dark")]) } else { request };
                let request = headers.iter().fold(request, |request, it| request.header(it.0, it.1));
                let answer = ask(request).await;
                assert_eq!(answer.status == 403, !is_allowed, "{path} {headers:?}: {answer:?}");
            }
        }
        // Signing somebody in, and out, is a change as well.
        for site in ["cross-site", "same-site"] {
            let login = browser.http.post(daemon.url("/login")).form(&[("token", DANA)]);
            assert_eq!(ask(login.header("sec-fetch-site", site)).await.status, 403);
            let logout = browser.prepare(Method::POST, "/logout").header("sec-fetch-site", site);
            assert_eq!(ask(logout).await.status, 403);
        }
        assert_eq!(browser.get("/").await.status, 200, "still in");
        // A program that is no browser, and without a cookie, may sign in.
        let login = browser.http.post(daemon.url("/login")).form(&[("token", DANA)]);
        assert_eq!(ask(login).await.status, 303);
    }

    async fn sessions_end_when_they_are_revoked_and_when_their_user_changes(place: Place) {
        let mut daemon = place.start(USERS).await;
        let cookies = {
            let (dana, kim) = (Browser::signed_in(&daemon, DANA).await, Browser::signed_in(&daemon, KIM).await);
            let (kim_again, vic) = (Browser::signed_in(&daemon, KIM).await, Browser::signed_in(&daemon, VIC).await);
            // Each sees their own, and an operator all.
            assert_eq!((kim.sessions().await.len(), vic.sessions().await.len()), (2, 1));
            let all = dana.sessions().await;
            let seen: Vec<_> = all.iter().map(|it| (it["user"].as_str().unwrap(), it["is_own"].as_bool().unwrap())).collect();
            assert_eq!(seen, [("vic", false), ("kim", false), ("kim", false), ("dana", true)]);
            assert_eq!(dana.get("/api/v1/sessions?user=kim").await.items().len(), 2);
            let id = |at: usize| all[at]["id"].as_str().unwrap().to_owned();
            let end = |browser: &Browser<'_>, id: &str| {
                browser.prepare(Method::DELETE, &format!("/api/v1/sessions/{id}")).header("sec-fetch-site", "same-origin")
            };
            // A person ends their own sessions, and nobody else's.
            ask(end(&vic, &id(1))).await.is_problem(404, "not-found");
            let ended = ask(end(&kim, &id(1))).await;
            assert_eq!((ended.status, ended.field("ended")), (200, "revoked"), "{ended:?}");
            assert_eq!(kim_again.get("/").await.status, 302, "at once");
            ask(kim_again.prepare(Method::GET, "/api/v1/pools")).await.is_problem(401, "unauthenticated");
            assert_eq!((kim.get("/").await.status, vic.get("/").await.status), (200, 200));
            // An operator ends any.
            assert_eq!(ask(end(&dana, &id(0))).await.status, 200);
            assert_eq!(vic.get("/").await.status, 302);
            let expected = [("dana", "operator"), ("kim", "reviewer")].map(|it| ["session.revoke", it.0, it.1, "page"]);
            assert_eq!(audit(&daemon, 2).await, expected);
            [dana.cookie.clone(), kim.cookie.clone()]
        };
        // A role counts as it is now; a changed token and a removed user end sessions.
        let dana_is_viewer = USERS.replacen("operator", "viewer", 1).replace("kims-token", "kims-other");
        reload(&mut daemon, &dana_is_viewer).await;
        let [dana, kim] = cookies.clone().map(|cookie| Browser { cookie, ..Browser::new(&daemon) });
        assert_eq!(kim.get("/").await.status, 302, "another token");
        assert_eq!(dana.get("/").await.status, 200);
        ask(dana.post("/api/v1/config/reload")).await.is_problem(403, "forbidden");
        let all = ask(daemon.api(Method::GET, "/sessions")).await;
        let ended: Vec<_> = all.items().iter().map(|it| it["ended"].as_str()).collect();
        assert_eq!(ended, [Some("revoked"), Some("revoked"), Some("token"), None]);
        // The log keeps the role that a person had when they acted.
        let again = Browser::signed_in(&daemon, DANA).await;
        let shown = again.get("/audit?actor=dana&action=session.begin,session.revoke").await.text;
        assert_eq!(["operator, by page", "viewer, by page"].map(|it| shown.matches(it).count()), [2, 1], "{shown}");
        let without_dana = USERS[USERS.find("name = \"kim\"").unwrap()..].to_owned();
        reload(&mut daemon, &format!("[[admin.users]]\n{without_dana}")).await;
        let [dana, kim] = cookies.map(|cookie| Browser { cookie, ..Browser::new(&daemon) });
        assert_eq!(dana.get("/").await.status, 302, "no such user");
        assert_eq!(kim.get("/").await.status, 200, "the token of before is back");
        let all = ask(daemon.api(Method::GET, "/sessions")).await;
        assert_eq!(all.items()[4]["ended"], "user");
    }

    async fn a_stream_ends_with_its_session_and_a_viewer_may_end_their_own(place: Place) {
        let daemon = place.start(USERS).await;
        let vic = Browser::signed_in(&daemon, VIC).await;
        let open = async |browser: &Browser<'_>| {
            let stream = browser.prepare(Method::GET, "/api/v1/events?topics=totals").send().await.unwrap();
            assert_eq!(stream.status(), 200);
            stream
        };
        let (mut stream, other) = (open(&vic).await, Browser::signed_in(&daemon, KIM).await);
        let mut others = open(&other).await;
        let id = vic.sessions().await[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(ask(daemon.api(Method::DELETE, &format!("/sessions/{id}"))).await.status, 200);
        let ended = async { while stream.chunk().await.unwrap().is_some() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("the stream ends");
        ask(vic.prepare(Method::GET, "/api/v1/pools")).await.is_problem(401, "unauthenticated");
        // The other session's stream goes on.
        assert!(others.chunk().await.unwrap().is_some());
        assert_eq!(other.get("/api/v1/pools").await.status, 200);
        // A viewer ends a session of their own by the form of the page, and nobody else's.
        let vic = Browser::signed_in(&daemon, VIC).await;
        let newest = |sessions: Vec<Value>| sessions[0]["id"].as_str().unwrap().to_owned();
        let (own, of_kim) = (newest(vic.sessions().await), newest(other.sessions().await));
        let system = vic.get("/system").await;
        let revoke = |id: &str| format!("/sessions/{id}/revoke");
        let has_form = |id: &str| system.text.contains(&format!("action=\"{}\"", revoke(id)));
        assert_eq!((has_form(&own), has_form(&of_kim)), (true, false), "{}", system.text);
        assert_eq!(ask(vic.post(&revoke(&of_kim))).await.status, 404);
        assert_eq!(ask(vic.post(&revoke(&own))).await.status, 303);
        assert_eq!((vic.get("/").await.status, other.get("/").await.status), (302, 200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tries_at_the_sign_in_are_held_up_and_the_right_one_is_not() {
    let daemon = Place::sqlite().start(USERS).await;
    let mut browser = Browser::new(&daemon);
    for number in 0..5 {
        let answer = browser.sign_in(&format!("a-guess-{number}")).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.text.contains("This is no token that lets in"), "{}", answer.text);
        assert!(!answer.text.contains("a-guess"), "the token is not shown");
    }
    for number in 0..5 {
        let answer = browser.sign_in(&format!("another-guess-{number}")).await;
        assert_eq!(answer.status, 429, "{answer:?}");
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds));
    }
    assert_eq!(browser.sign_in(KIM).await.status, 303, "the right one is let in at any time");
    assert_eq!(browser.get("/").await.status, 200);
    let log = daemon.log();
    assert!(log.contains("did not let somebody in") && !log.contains("guess"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_tells_a_link_that_signs_in_once() {
    let mut daemon = Place::sqlite().start("admin.token = \"\"").await;
    let link = |log: &str| {
        let base = "/login#";
        let (_, after) = log.split_once(base)?;
        after.split_whitespace().next().map(str::to_owned)
    };
    let code = eventually(PATIENCE, async || link(&daemon.log())).await;
    assert!(daemon.log().contains(&format!("{}#{code}", daemon.url("/login"))));
    let browser = Browser::signed_in(&daemon, &code).await;
    let page = browser.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("admin") && page.text.contains("operator"));
    assert_eq!(Browser::new(&daemon).sign_in(&code).await.status, 401);
    let cookie = browser.cookie.clone();
    // The next start has a token already, and the session goes on.
    daemon.terminate();
    daemon.wait(PATIENCE).await;
    let before = daemon.log().matches("/login#").count();
    daemon.start_again().await;
    assert_eq!(daemon.log().matches("/login#").count(), before);
    let browser = Browser { cookie, ..Browser::new(&daemon) };
    assert_eq!(browser.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_on_another_site_loads_the_page_once_more() {
    let daemon = Place::sqlite().start(USERS).await;
    let stranger = Browser::new(&daemon);
    let led = |path: &str| {
        stranger
            .prepare(Method::GET, path)
            .header("sec-fetch-site", "cross-site")
            .header("sec-fetch-mode", "navigate")
    };
    let answer = ask(led("/?client=demo")).await;
    assert_eq!((answer.status, answer.header("refresh")), (200, "0"), "{answer:?}");
    assert!(answer.text.contains("href=\"/?client=demo\""), "{}", answer.text);
    assert_eq!(answer.header("content-security-policy"), CONTENT_POLICY);
    assert_eq!(answer.header("referrer-policy"), "same-origin");
    runs_nothing(&answer.text);
    let again = answer.header("set-cookie");
    assert!(again.starts_with("postroom_again=1;") && again.contains("SameSite=Lax"), "{again}");
    // It loads itself once, and not for ever.
    let answer = ask(led("/?client=demo").header("cookie", "postroom_again=1")).await;
    assert_eq!(answer.status, 302);
    let answer = stranger.get("/?client=demo").await;
    assert_eq!(answer.status, 302, "then the cookie is there, or nobody is in");
    // The sign-in itself is shown at once: a ready link may come from anywhere.
    assert_eq!(ask(led("/login")).await.header("refresh"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_https_the_cookie_is_bound_to_the_host() {
    let config = format!("server.public_url = \"https://post.example.com\"\nclients = []\n{USERS}");
    let daemon = Place::sqlite().start(&config).await;
    let browser = Browser::new(&daemon);
    let at_public = |request: RequestBuilder| request.header("host", "post.example.com");
    let login = browser.http.post(daemon.url("/login")).form(&[("token", DANA)]);
    let answer = ask(at_public(login).header("origin", "https://post.example.com")).await;
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-postroom=") && cookie.ends_with("; Secure"), "{cookie}");
    let value = cookie.split(';').next().unwrap();
    let get = |cookie: &str| {
        browser.http.get(daemon.url("/api/v1/pools")).header("cookie", cookie.to_owned())
    };
    assert_eq!(ask(at_public(get(value))).await.status, 200);
    // A cookie that another host could have set does not count.
    let plain = value.trim_start_matches("__Host-");
    assert_eq!(ask(at_public(get(plain))).await.status, 401);
    assert_eq!(ask(get(plain)).await.status, 200, "in clear, on this machine");
    let code = ask(daemon.api(Method::POST, "/login-codes")).await;
    let url = format!("https://post.example.com/login#{}", code.field("code"));
    assert_eq!(code.field("url"), url);
}

/// A proxy on this machine takes TLS off, and nothing is configured for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_proxy_with_tls_gets_a_cookie_for_https() {
    let daemon = Place::sqlite().start(USERS).await;
    let browser = Browser::new(&daemon);
    let over_tls = |request: RequestBuilder| request.header("x-forwarded-proto", "https");
    let answer = ask(over_tls(browser.post("/login").form(&[("token", DANA)]))).await;
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-postroom=") && cookie.ends_with("; Secure"), "{cookie}");
    let value = cookie.split(';').next().unwrap();
    let page = browser.http.get(daemon.url("/clients/demo")).header("cookie", value);
    // What is said of the host is not believed.
    let page = ask(over_tls(page).header("x-forwarded-host", "evil.example")).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("https://127.0.0.1:") && !page.text.contains("evil.example"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_holds_while_the_database_is_away() {
    let Some(place) = Place::postgres() else { return };
    let (daemon, proxy) = place.start_behind_proxy(USERS).await;
    let (dana, kim) =
        (Browser::signed_in(&daemon, DANA).await, Browser::signed_in(&daemon, KIM).await);
    assert_eq!(ask(kim.post("/logout")).await.status, 303);
    proxy.set(Way::Silent);
    for _ in 0..3 {
        assert_eq!(dana.get("/api/v1/actors").await.status, 200);
        assert_eq!(kim.get("/api/v1/actors").await.status, 401, "what was revoked stays revoked");
    }
    let answer = Browser::new(&daemon).sign_in(DANA).await;
    assert_eq!(answer.status, 503, "nobody signs in: {answer:?}");
    // Who signs out meanwhile is out, and that is stored later.
    assert_eq!(ask(dana.post("/logout")).await.status, 303);
    assert_eq!(dana.get("/api/v1/actors").await.status, 401);
    proxy.set(Way::Open);
    eventually(PATIENCE, async || {
        (Browser::new(&daemon).sign_in(DANA).await.status == 303).then_some(())
    })
    .await;
    eventually(PATIENCE, async || {
        let sessions = ask(daemon.api(Method::GET, "/sessions?user=dana")).await;
        let first = sessions.items().last().expect("the first session of dana").clone();
        (first["ended"] == "revoked").then_some(())
    })
    .await;
    let ends = ask(daemon.api(Method::GET, "/audit?action=session.revoke")).await;
    assert_eq!(ends.items().iter().filter(|it| it["actor"] == "dana").count(), 1, "{ends:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_know_a_session_and_its_end() {
    let Some(server) = postgres::server() else { return };
    let url = server.url(&server.create_database("door_nodes"));
    let options =
        Options { config: USERS.to_owned(), database_url: Some(url), ..Options::default() };
    let (one, two) = (Daemon::start(options.clone()).await, Daemon::start(options).await);
    let at_one = Browser::signed_in(&one, KIM).await;
    let at_two = Browser { cookie: at_one.cookie.clone(), ..Browser::new(&two) };
    assert_eq!(at_two.get("/").await.status, 200);
    // A code that one node made, and that was used at it, is used up at the other.
    let code = ask(one.api(Method::POST, "/login-codes")).await.field("code").to_owned();
    Browser::signed_in(&two, &code).await;
    assert_eq!(Browser::new(&one).sign_in(&code).await.status, 401);
    assert_eq!(ask(at_one.post("/logout")).await.status, 303);
    eventually(PATIENCE, async || (at_two.get("/").await.status == 302).then_some(())).await;
}
