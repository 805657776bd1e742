//! Reasons that lie in the configuration, in the line, or with other nodes.

use super::{
    ACTS, Acts, PATIENCE, WAITS, clients, explained, explained_as, fact, kinds, links, says,
};
use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        eventually,
        inside::Inside,
        leftovers::Leftover,
        web::{ask, sms},
    },
};
use postroom::{
    domain::{Id, JobKind},
    registry,
};

/// Text messages and `ACTS` are paused, and a node that fell silent is not given up for a minute.
/// A kind that no file pauses.
const SCORING: JobKind = JobKind("LEAD_SCORING_POST_PROCESS");

fn config() -> String {
    format!(
        "[supervisor]\ntick = \"200ms\"\nlease = \"60s\"\n[pools.ACTS]\npaused = true\n\
         [pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n{}\
         [[clients]]\nid = \"capped\"\nmax_running = 1\n[clients.channels.sms]\n",
        clients(&["fine"])
    )
}

/// An instant that lies so many seconds ahead.
fn in_seconds(peek: &Peek, seconds: i64) -> String {
    match peek.is_sqlite() {
        true => format!("(cast(unixepoch('subsec') * 1000 as integer) + {seconds} * 1000)"),
        false => format!("(now() + {seconds} * interval '1 second')"),
    }
}

async fn put_job(peek: &Peek, id: Id, kind: JobKind) {
    let now = in_seconds(peek, -30);
    peek.execute(&format!(
        "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
         values ({id}, '{kind}', 'fine', {id}, 5, {now}, {now})"
    ))
    .await;
}

/// A head that `node` claimed so many seconds ago.
async fn put_claimed(peek: &Peek, id: Id, kind: JobKind, node: Id, seconds: i64) {
    put_job(peek, id, kind).await;
    let at = in_seconds(peek, -seconds);
    peek.execute(&format!(
        "insert into job_ready (line, job_id, kind, client_id, turn, run, node, locked_at) \
         values (-{id}, {id}, '{kind}', 'fine', 0, 2, {node}, {at})"
    ))
    .await;
}

/// A node whose last heartbeat lies so many seconds ahead.
async fn put_node(peek: &Peek, id: Id, seconds: i64) {
    let at = in_seconds(peek, seconds);
    peek.execute(&format!(
        "insert into nodes (id, slot, role, started_at, seen_at) values ({id}, {id}, 'all', {at}, {at})"
    ))
    .await;
}

async fn was_rescued(peek: &Peek, id: Id) {
    let at = in_seconds(peek, -10);
    peek.execute(&format!(
        "insert into job_attempts (job_id, run, spared, outcome, ended, node, finished_at) \
         values ({id}, 1, 0, 'rescued', 1 = 0, 5, {at})"
    ))
    .await;
}

on_both_daemons! {
    async fn a_pool_that_a_file_pauses_and_what_it_does_not_know(place: Place) {
        let registry = registry::postroom().kind(|_| Acts);
        let daemon = Inside::start(&place, &config(), registry).await;
        daemon.may_leave(Leftover::Unfinished, "pools are paused");
        let job = daemon.enqueue(ACTS, "fine", 5).await;
        let paused = explained(&daemon, job).await;
        assert_eq!(paused["reason"], "paused", "{paused}");
        says(&paused, &["because the configuration pauses the pool ACTS: `pools.ACTS.paused` (", "test.toml:5) is true."]);
        let link = &paused["links"][0];
        assert_eq!((&link["type"], &link["id"]), (&"config".into(), &"pools.ACTS.paused".into()));
        assert!(link["place"].as_str().unwrap().ends_with("test.toml:5"), "{link}");

        // The first holds the client's cap, and does not run.
        let first = daemon.enqueue(ACTS, "capped", 5).await;
        let held = daemon.enqueue(ACTS, "capped", 5).await;
        let held = explained_as(&daemon, held, "held").await;
        says(&held, &[&format!("1 job is held. Those that are in turn do not run. Job {first} waits, because the configuration pauses the pool ACTS: ")]);
        assert_eq!(held["what_to_do"], paused["what_to_do"]);
        assert_eq!((fact(&held, "admitted_job"), fact(&held, "admitted_reason")), (first.to_string().into(), "paused".into()));

        let gone = daemon.enqueue(ACTS, "gone", 5).await;
        let gone = explained(&daemon, gone).await;
        assert_eq!(gone["reason"], "client_unknown", "{gone}");
        says(&gone, &["its client gone is not in the configuration of any node that works jobs."]);

        let novel = daemon.enqueue(JobKind("NOVEL"), "fine", 5).await;
        let novel = explained(&daemon, novel).await;
        assert_eq!(novel["reason"], "kind_unknown", "{novel}");
        says(&novel, &["because no node that is up knows the kind NOVEL."]);

        // Two messages of one lead: the second job waits behind the first.
        let mut jobs = Vec::new();
        for text in ["Hello", "Hello again"] {
            let answer = ask(daemon.webhook("sms", "fine").json(&sms(1, text))).await;
            jobs.push(answer.job_ids()[0].parse::<Id>().unwrap());
        }
        let behind = explained(&daemon, jobs[1]).await;
        assert_eq!(behind["reason"], "behind", "{behind}");
        says(&behind, &[&format!("waits behind job {} of the same lead: it is number 2 of 2 in the lead's line", jobs[0])]);
        assert_eq!((fact(&behind, "head_reason"), links(&behind, "job")), ("paused".into(), vec![jobs[0].to_string()]));
        let of_head = explained(&daemon, jobs[0]).await;
        assert_eq!(fact(&behind, "head_sentence"), of_head["sentence"]);
        assert_eq!(links(&behind, "lead").len(), 1);

        for (path, what) in [("/jobs/12345/explain", "job"), ("/leads/12345/explain", "lead"), ("/jobs/x/explain", "job")] {
            let answer = daemon.api(path).await;
            answer.is_problem(404, "not-found");
            assert!(answer.field("detail").starts_with(&format!("there is no {what}")), "{answer:?}");
        }
        daemon.api(&format!("/jobs/{job}/explain?why=1")).await.is_problem(400, "bad-request");

        let pause = serde_json::json!({"paused": true, "note": "provider down", "expires_in": "1h"});
        let pause = daemon.request(reqwest::Method::PATCH, &format!("/pools/{SCORING}")).header("x-postroom-actor", "dana").json(&pause);
        assert_eq!(pause.send().await.unwrap().status(), 200);
        let scored = daemon.enqueue(SCORING, "fine", 5).await;
        let paused = explained(&daemon, scored).await;
        says(&paused, &[&format!("because dana paused the pool {SCORING} at "), ": \"provider down\". The pause ends at "]);
        assert_eq!((fact(&paused, "paused_by"), fact(&paused, "note")), ("dana".into(), "provider down".into()));
        let resume = format!("If the cause is mended: `postroom pools resume {SCORING}`.");
        assert_eq!(paused["what_to_do"], resume);

        daemon.board.drain();
        let stopping = explained(&daemon, job).await;
        assert_eq!(stopping["reason"], "stopping", "{stopping}");
    }

    async fn claims_of_other_nodes_and_lost_ones(place: Place) {
        let (registry, _release) = kinds();
        let daemon = Inside::start(&place, &config(), registry).await;
        daemon.may_leave(Leftover::Anything, "rows are made by hand");
        let peek = Peek::open(&daemon.database_url).await;
        let (own, silent, lives) = (daemon.store.node(), 998, 997);
        put_node(&peek, silent, -300).await;
        // In the future, so that it lives for the whole test.
        put_node(&peek, lives, 50).await;

        put_claimed(&peek, 1, WAITS, silent, 400).await;
        let it = explained(&daemon, 1).await;
        assert_eq!(it["reason"], "node_silent", "{it}");
        says(&it, &["Job 1 was claimed by node 998, which is silent since ", "Another node takes it over by "]);
        put_claimed(&peek, 2, WAITS, 12_345, 400).await;
        let it = explained(&daemon, 2).await;
        assert_eq!(it["reason"], "node_silent", "{it}");
        says(&it, &["by node 12345, which is gone. Another node takes it over within 2m"]);
        put_claimed(&peek, 3, WAITS, own, 5).await;
        let it = explained(&daemon, 3).await;
        assert_eq!(it["reason"], "lost_run", "{it}");
        says(&it, &["and the node has no trace of it."]);
        for (id, seconds, reason) in [(4, 0, "waits_for_slot"), (5, 20, "running"), (6, 600, "waits_for_commit")] {
            put_claimed(&peek, id, WAITS, lives, seconds).await;
            let it = explained(&daemon, id).await;
            assert_eq!((it["reason"].as_str(), links(&it, "node")), (Some(reason), vec!["997".to_owned()]), "{it}");
        }
    }

    async fn a_suspect_waits_for_the_suspects_that_run(place: Place) {
        let (registry, _release) = kinds();
        let daemon = Inside::start(&place, &config(), registry).await;
        daemon.may_leave(Leftover::Anything, "rows are made by hand");
        let peek = Peek::open(&daemon.database_url).await;
        let own = daemon.store.node();
        put_claimed(&peek, 1, ACTS, own, 5).await;
        was_rescued(&peek, 1).await;
        peek.execute("insert into job_clock (kind, node, turn) values ('ACTS', 5, 10)").await;
        put_job(&peek, 2, ACTS).await;
        was_rescued(&peek, 2).await;
        let due = in_seconds(&peek, -5);
        peek.execute(&format!(
            "insert into job_ready (line, job_id, kind, client_id, run_at, run) values (-2, 2, 'ACTS', 'fine', {due}, 1)"
        ))
        .await;
        let suspect = explained(&daemon, 2).await;
        assert_eq!(suspect["reason"], "suspect", "{suspect}");
        says(&suspect, &["Job 2 is a suspect: ", &format!("Now runs job 1 on node {own}.")]);
        // Without it, the pause of the pool is what stands in its way.
        peek.execute("delete from job_ready where job_id = 1").await;
        assert_eq!(explained_as(&daemon, 2, "paused").await["reason"], "paused");
    }

    async fn a_line_without_a_head_is_a_fault(place: Place) {
        let (registry, _release) = kinds();
        let daemon = Inside::start(&place, &config(), registry).await;
        daemon.may_leave(Leftover::Anything, "rows are made by hand");
        let peek = Peek::open(&daemon.database_url).await;
        let mut id = 0;
        // The leader mends one a minute.
        let fault = eventually(PATIENCE, async || {
            id += 1;
            put_job(&peek, id, ACTS).await;
            peek.execute(&format!(
                "insert into job_blocked (line, pos, job_id, kind, client_id, run, spared) values ({id}, 1, {id}, 'ACTS', 'fine', 0, 0)"
            ))
            .await;
            let it = explained(&daemon, id).await;
            (it["reason"] == "fault").then_some(it)
        })
        .await;
        says(&fault, &["waits in a line that has no head."]);
    }

    async fn another_node_that_can_run_it_is_named(place: Place) {
        let (registry, _release) = kinds();
        let daemon = Inside::start(&place, &config(), registry).await;
        daemon.may_leave(Leftover::Anything, "rows are made by hand");
        let peek = Peek::open(&daemon.database_url).await;
        put_node(&peek, 997, 50).await;
        let job = daemon.enqueue(ACTS, "fine", 5).await;
        let says_it = async |status: &str| {
            peek.execute(&format!("update nodes set status = '{status}' where id = 997")).await;
            explained(&daemon, job).await
        };
        let open = says_it(r#"{"pools": [{"kind": "ACTS", "size": 8, "paused": false}]}"#).await;
        assert_eq!(open["reason"], "in_turn", "{open}");
        says(&open, &["Node 997 can run it, and does not say here how busy its pool ACTS is."]);
        for (status, node) in [
            (r#"{"pools": [{"kind": "ACTS", "size": 8, "paused": true}]}"#, daemon.store.node()),
            (r#"{"pools": [{"kind": "OTHER", "size": 8, "paused": false}]}"#, daemon.store.node()),
            ("no JSON", daemon.store.node()),
        ] {
            let paused = says_it(status).await;
            assert_eq!((paused["reason"].as_str(), links(&paused, "node")), (Some("paused"), vec![node.to_string()]), "{paused}");
        }
    }
}
