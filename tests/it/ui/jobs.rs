//! Jobs: their list with its states and errors, what is done to many of them, and one of them.

use super::{checked, leads_to, page, page_leads_to, post};
use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        web::{Answer, ask, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The kind whose jobs wait.
const WAITING: &str = "SMS_INBOUND_POST_PROCESS";
const CONFIG: &str = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n";
const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\"><img src=x>";
const PATIENCE: Duration = Duration::from_secs(30);

async fn start(place: &Place) -> (Daemon, Peek) {
    let daemon = place.start(CONFIG).await;
    daemon.may_leave(Leftover::Anything, "its jobs are put into the tables by hand");
    let db = Peek::of(&daemon).await;
    (daemon, db)
}

fn now(db: &Peek) -> &'static str {
    if db.is_sqlite() { "cast(unixepoch('subsec') * 1000 as integer)" } else { "now()" }
}

fn in_an_hour(db: &Peek) -> &'static str {
    if db.is_sqlite() {
        "cast(unixepoch('subsec') * 1000 as integer) + 3600000"
    } else {
        "now() + interval '1 hour'"
    }
}

/// Puts a job that has no place in a line.
async fn put_row(db: &Peek, id: i64, client: &str) {
    let now = now(db);
    db.execute(&format!(
        "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
         values ({id}, '{WAITING}', '{client}', {id}, 5, {now}, {now})"
    ))
    .await;
}

/// Puts an attempt of a job, which ended so.
async fn put_attempt(db: &Peek, id: i64, outcome: &str, ended: bool, error: &str) {
    let (now, ended) =
        (now(db), if db.is_sqlite() { i64::from(ended).to_string() } else { ended.to_string() });
    let error = error.replace('\'', "''");
    db.execute(&format!(
        "insert into job_attempts (job_id, run, spared, outcome, ended, started_at, finished_at, error) \
         values ({id}, 1, 0, '{outcome}', {ended}, {now}, {now}, '{error}')"
    ))
    .await;
}

async fn put_failed(db: &Peek, id: i64, client: &str, error: &str) {
    put_row(db, id, client).await;
    put_attempt(db, id, "error", true, error).await;
}

/// One job of each state that can be made by hand.
async fn put_one_of_each(db: &Peek) {
    db.put_job(101, WAITING, "demo", 5).await;
    put_row(db, 102, "demo").await;
    put_attempt(db, 102, "error", false, "no answer within 20 s").await;
    put_row(db, 103, "demo").await;
    for (id, run) in [(102, 1), (103, 0)] {
        db.execute(&format!(
            "insert into job_later (job_id, run_at, line, kind, client_id, run, spared) \
             values ({id}, {}, -{id}, '{WAITING}', 'demo', {run}, 0)",
            in_an_hour(db)
        ))
        .await;
    }
    put_row(db, 104, "demo").await;
    db.execute(&format!(
        "insert into job_ready (line, job_id, kind, client_id, held) values (-104, 104, '{WAITING}', 'demo', 1)"
    ))
    .await;
    put_failed(db, 105, "acme", HOSTILE).await;
    put_row(db, 106, "acme").await;
    put_attempt(db, 106, "cancelled", true, "cancelled by hand").await;
    put_row(db, 107, "acme").await;
    put_attempt(db, 107, "succeeded", true, "").await;
}

/// What the API answers.
async fn api(daemon: &Daemon, method: Method, path: &str) -> Answer {
    let answer = ask(daemon.api(method, path)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.items().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

/// The ids of the rows of a page.
fn rows(html: &str) -> Vec<String> {
    super::tags(html).iter().filter_map(|tag| tag.attributes.get("data-row").cloned()).collect()
}

on_both_daemons! {
    async fn jobs_have_their_true_states_and_page_and_api_agree(place: Place) {
        let (daemon, db) = start(&place).await;
        page(&daemon, "/jobs").await.has("<h1>Jobs</h1>");
        put_one_of_each(&db).await;
        for (filter, wanted) in [
            ("status=due", &["101"][..]),
            ("status=retrying", &["102"]),
            ("status=later", &["103"]),
            ("status=held", &["104"]),
            ("status=retrying,held", &["104", "102"]),
            ("status=pending", &["104", "103", "102", "101"]),
            ("status=failed", &["105"]),
            ("status=failed,due", &["105", "101"]),
            ("status=cancelled", &["106"]),
            ("status=behind", &[]),
            ("client=acme", &["107", "106", "105"]),
            ("id=101,107", &["107", "101"]),
            ("id=101,107&client=demo", &["101"]),
            ("error=no+answer+within+9+s", &["102"]),
            ("status=failed&error=no+answer+within+9+s", &[]),
        ] {
            // The canary is of another kind.
            let filter = format!("{filter}&kind={WAITING}");
            let listed = api(&daemon, Method::GET, &format!("/jobs?{filter}")).await;
            assert_eq!(ids(&listed), wanted, "{filter}");
            let shown = page(&daemon, &format!("/jobs?{filter}")).await;
            assert_eq!((shown.status, rows(&shown.html)), (200, wanted.iter().map(|it| (*it).to_owned()).collect()), "{filter}");
        }
        let listed = api(&daemon, Method::GET, &format!("/jobs?status=pending&kind={WAITING}")).await;
        let states: Vec<&str> = listed.items().iter().map(|it| it["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["held", "later", "retrying", "due"]);
        // An empty list says what it means, and what fills it.
        let due = page(&daemon, "/jobs?status=due&client=nobody").await;
        due.has("Nothing is due.").has("<code>postroom send ");
        page(&daemon, "/jobs?status=pending&client=nobody").await.has("Nothing is due, and nothing waits.");
        page(&daemon, "/jobs?status=failed&client=nobody").await.has("No job matches.");
        // Chips turn states on and off, and what is written outside does nothing.
        let failed = page(&daemon, "/jobs?status=failed&client=acme").await;
        failed.has("href=\"/jobs?client=acme\" aria-current=\"true\"").has("status=failed,held");
        failed.has("&lt;script&gt;alert(1)").lacks("<script>alert").has("\\u202e");
        failed.has("<title>Jobs · failed · acme – Postroom</title>");
        for unknown in ["status=broken", "stauts=failed", "group=kind", "ask=explode&status=failed", "lead=x"] {
            assert_eq!(page(&daemon, &format!("/jobs?{unknown}")).await.status, 400, "{unknown}");
        }
    }

    async fn failures_stand_by_what_their_errors_have_in_common(place: Place) {
        let (daemon, db) = start(&place).await;
        page(&daemon, "/jobs?group=error").await.has("No job has failed.");
        for id in 201..=203 {
            put_failed(&db, id, "acme", &format!("timed out after {id} s\nat line {id}")).await;
        }
        put_failed(&db, 204, "demo", "timed out after 7 s").await;
        put_failed(&db, 205, "demo", &format!("no contact \"{HOSTILE}\"")).await;
        let groups = api(&daemon, Method::GET, "/jobs?group=error").await;
        let group = &groups.items()[0];
        assert_eq!((&group["signature"], &group["count"]), (&json!("timed out after # s"), &json!(4)), "{groups:?}");
        assert_eq!(group["clients"], json!({"acme": 3, "demo": 1}));
        assert_eq!((&group["kinds"], &group["sample_job_id"]), (&json!({WAITING: 4}), &json!("204")));
        assert_eq!((&groups.body["counted"], &groups.body["next_cursor"]), (&json!(5), &Value::Null));
        assert!(group["first_at"].as_str() <= group["last_at"].as_str());
        let shown = page(&daemon, "/jobs?group=error").await;
        shown.has("timed out after # s").has("acme 3, demo 1").has("Retry 4 …").has("5 jobs, 2 errors");
        shown.has("no contact &quot;#").lacks("<script>alert");
        let of_client = page(&daemon, "/jobs?group=error&client=demo").await;
        of_client.has("2 jobs, 2 errors").has("Retry 1 …").lacks("acme 3");
        // The group is asked for, then retried as a whole.
        let link = "/jobs?status=failed&group=error&error=timed+out+after+%23+s&ask=retry";
        let asked = page(&daemon, link).await;
        asked.has("Retry 4 jobs?").has("<dialog open").has("and 1 more").has("name=\"count\" value=\"4\"");
        let form = [("status", "failed"), ("group", "error"), ("error", "timed out after # s"), ("count", "4")];
        let to = leads_to(&post(&daemon, "/jobs/retry", &form).await);
        assert!(to.starts_with("/jobs?status=failed&group=error&operation="), "{to}");
        let done = page(&daemon, &to).await;
        done.has("Retried").has("4 done").has("1 jobs, 1 errors");
        let waiting = api(&daemon, Method::GET, &format!("/jobs?status=pending&kind={WAITING}")).await;
        assert_eq!(ids(&waiting).len(), 4, "{waiting:?}");
        let again = post(&daemon, "/jobs/retry", &form).await;
        assert_eq!(again.status(), 409);
        // The same from the API.
        let body = json!({"status": "failed", "error": "no contact 'x'"});
        let counted = ask(daemon.api(Method::POST, "/jobs/retry?dry_run=true").json(&body)).await;
        assert_eq!(counted.body["count"], 0, "another mark is another signature: {counted:?}");
        let body = json!({"status": "failed", "error": "no contact \"x\">\""});
        let counted = ask(daemon.api(Method::POST, "/jobs/retry?dry_run=true").json(&body)).await;
        assert_eq!(counted.status, 200, "{counted:?}");
    }

    async fn many_jobs_are_cancelled_after_their_count_is_typed(place: Place) {
        let (daemon, db) = start(&place).await;
        db.put_jobs(0, 150, WAITING, "many").await;
        let asked = page(&daemon, "/jobs?status=pending&client=many&ask=cancel").await;
        asked.has("Cancel 150 jobs?").has("Type 150 to go on").has("and 147 more");
        let form = |typed: &'static str| [("status", "pending"), ("client", "many"), ("count", "150"), ("typed", typed)];
        for wrong in ["", "149", "yes"] {
            let refused = post(&daemon, "/jobs/cancel", &form(wrong)).await;
            let again = checked(refused).await;
            assert_eq!(again.status, 400, "{wrong}");
            // It is asked again, with what was typed and the error at its field.
            again.has("<dialog open").has("Cancel 150 jobs?").has("only if their count is typed: 150");
            again.has(&format!("name=\"typed\" value=\"{wrong}\"")).has("aria-invalid=\"true\"").has("autofocus");
        }
        // The address of that page leads to the list.
        for path in ["/jobs/cancel", "/jobs/retry"] {
            assert_eq!(page_leads_to(&daemon, &format!("{path}?client=many")).await, "/jobs?client=many");
        }
        // More match than somebody was shown: they are asked again.
        let few = [("status", "pending"), ("client", "many"), ("count", "3")];
        let to = leads_to(&post(&daemon, "/jobs/cancel", &few).await);
        assert_eq!(to, "/jobs?status=pending&client=many&ask=cancel");
        for refused in [&[("count", "1")][..], &[("status", "pending")], &[("status", "pending"), ("count", "1"), ("odd", "1")]] {
            assert_eq!(post(&daemon, "/jobs/cancel", refused).await.status(), 400, "{refused:?}");
        }
        let left = async || db.number("select count(*) from job_ready where client_id = 'many'").await;
        assert_eq!(left().await, 150, "nothing was done yet");
        let to = leads_to(&post(&daemon, "/jobs/cancel", &form("150")).await);
        let done = page(&daemon, &to).await;
        done.has("Cancelled").has("150 done").has("aria-label=\"150 of 150\"");
        assert_eq!(left().await, 0);
        let id = to.rsplit_once("operation=").unwrap().1.to_owned();
        let late = post(&daemon, &format!("/operations/{id}/stop"), &[]).await;
        assert_eq!(late.status(), 409, "it has ended");
        let audit = api(&daemon, Method::GET, "/audit?action=operation.start").await;
        assert_eq!(audit.items()[0]["target"], id.as_str());
    }

    async fn chosen_jobs_are_asked_for_and_retried(place: Place) {
        let (daemon, db) = start(&place).await;
        for id in 301..=303 {
            put_failed(&db, id, "acme", "no phone").await;
        }
        page(&daemon, "/jobs?status=failed").await.has("name=\"id\" value=\"303\" form=\"selection\"");
        assert_eq!(page(&daemon, "/jobs?status=failed&ask=retry-selected").await.status, 400);
        let asked = page(&daemon, "/jobs?status=failed&id=301&id=303&ask=retry-selected").await;
        asked.has("Retry 2 jobs?").has("name=\"id\" value=\"301,303\"").lacks("Type 2");
        // A list of all jobs must be narrowed first.
        assert_eq!(page(&daemon, "/jobs?ask=cancel").await.status, 400);
        let form = [("status", "failed"), ("id", "301,303"), ("count", "2")];
        let to = leads_to(&post(&daemon, "/jobs/retry", &form).await);
        assert!(to.starts_with("/jobs?status=failed&operation="), "{to}");
        assert_eq!(ids(&api(&daemon, Method::GET, "/jobs?status=failed").await), ["302"]);
    }

    async fn a_job_says_why_it_does_not_run_and_is_retried_and_cancelled(place: Place) {
        let (daemon, db) = start(&place).await;
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        let id = answer.job_ids().remove(0);
        let explained = eventually(PATIENCE, async || {
            let explained = api(&daemon, Method::GET, &format!("/jobs/{id}/explain")).await;
            (explained.field("reason") == "paused").then_some(explained)
        })
        .await;
        let shown = page(&daemon, &format!("/jobs/{id}")).await;
        let sentence = explained.field("sentence").replace('"', "&quot;");
        shown.has(&sentence).has("Time line").has("None yet.").has(&format!("data-topics=\"totals job/{id}\""));
        shown.has(&format!("postroom jobs explain {id}")).has("JSON of this job");
        page(&daemon, &format!("/jobs/{id}?ask=cancel")).await.has("Cancel this job?");
        let to = leads_to(&post(&daemon, &format!("/jobs/{id}/cancel"), &[]).await);
        assert_eq!(to, format!("/jobs/{id}?done=cancelled"));
        page(&daemon, &to).await.has("It is cancelled.").has("cancelled</span>").has(&format!("action=\"/jobs/{id}/retry\""));
        assert_eq!(post(&daemon, &format!("/jobs/{id}/cancel"), &[]).await.status(), 409);
        let to = leads_to(&post(&daemon, &format!("/jobs/{id}/retry"), &[]).await);
        page(&daemon, &to).await.has("It gets one more attempt.");
        // Its failures stand in one list, whatever they say.
        let long = format!("{HOSTILE}\n{}", "x".repeat(30_000));
        put_failed(&db, 401, "acme", &long).await;
        let failed = page(&daemon, "/jobs/401").await;
        failed.has("attempt 1").has("Whole text").has("&lt;script&gt;alert(1)").lacks("<script>alert");
        for nothing in ["/jobs/999", "/jobs/x", "/jobs/-1"] {
            assert_eq!(page(&daemon, nothing).await.status, 404, "{nothing}");
        }
        assert_eq!(page(&daemon, "/jobs/401?odd=1").await.status, 400);
    }

    async fn a_job_that_has_run_says_where_and_how_long_each_step_took(place: Place) {
        let daemon = place.start("").await;
        // The canary is a job as any other.
        let id = eventually(PATIENCE, async || {
            let jobs = api(&daemon, Method::GET, "/jobs?kind=SELF_CHECK&status=succeeded").await;
            ids(&jobs).first().map(|id| (*id).to_owned())
        })
        .await;
        let shown = page(&daemon, &format!("/jobs/{id}")).await;
        shown.has("<b>stored</b>").has("<b>due</b>").has("attempt 1 started").has(">after ");
        shown.has("<span class=\"mono\"><bdi dir=\"auto\">SELF_CHECK/");
    }
}
