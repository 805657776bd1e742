//! Reasons that lie in the process that explains.

use super::{ACTS, PATIENCE, WAITS, clients, explained, explained_as, fact, kinds, links, says};
use crate::{
    on_both_daemons,
    support::{both::Peek, eventually, inside::Inside, leftovers::Leftover},
};
use postroom::domain::{Id, job::NewJob};
use std::time::Duration;

/// One slot a kind, nothing claimed ahead, and slow retries.
fn config(more: &str) -> String {
    format!(
        "[supervisor]\ntick = \"200ms\"\n[pools.default]\nsize = 1\nprefetch = 0\n\
         backoff = {{ base = \"20m\", cap = \"20m\" }}\n{more}{}",
        clients(&["fine", "fails", "snoozes", "postpones", "panics"])
    )
}

/// Enqueues a job that is due in an hour.
async fn enqueue_for_later(daemon: &Inside) -> Id {
    let enqueuer = daemon.store.enqueuer();
    let job = NewJob {
        kind: ACTS,
        client_id: "fine".to_owned(),
        lead_id: None,
        subject_id: enqueuer.next_id(),
        message_id: None,
        draft_id: None,
        max_attempts: 5,
        in_lead_line: false,
        channel: None,
        delay_ms: 3_600_000,
        trace: None,
    };
    enqueuer.enqueue(vec![job]).await.unwrap()[0].unwrap()
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_run_is_followed_from_its_slot_to_its_commit(place: Place) {
        let (registry, release) = kinds();
        let daemon = Inside::start(&place, &config(""), registry).await;
        let node = daemon.store.node().to_string();
        let first = daemon.enqueue(WAITS, "fine", 5).await;
        let second = daemon.enqueue(WAITS, "fine", 5).await;
        let running = explained_as(&daemon, first, "running").await;
        says(&running, &[&format!("Job {first} runs on node {node} since "), "Attempt 1 of 5 is cut off at "]);
        assert_eq!(fact(&running, "actor"), "WAITS/0");
        assert!(running["since"].is_string() && running["until"].is_string(), "{running}");
        assert_eq!(links(&running, "node"), std::slice::from_ref(&node));

        let full = explained_as(&daemon, second, "pool_full").await;
        says(&full, &["1 of 1 slot of the pool WAITS are busy", &format!("the longest by job {first} since")]);
        assert_eq!((fact(&full, "jobs_before"), links(&full, "job")), (0.into(), vec![first.to_string()]));

        // Nothing can be written: the first waits for its commit, and the second for a claim.
        let peek = Peek::open(&daemon.database_url).await;
        let outcomes = peek.hold_outcomes().await;
        let claims = match place.is_sqlite() {
            true => None,
            false => Some(peek.hold_claims().await),
        };
        release.add_permits(1);
        says(
            &explained_as(&daemon, first, "waits_for_commit").await,
            &[&format!("Job {first} has run on node {node}, and its outcome waits for its commit.")],
        );
        let away = explained_as(&daemon, second, "database_away").await;
        says(&away, &[&format!("because the last write of node {node} to the database failed: ")]);
        outcomes.release().await;
        if let Some(claims) = claims {
            claims.release().await;
        }
        release.add_permits(1);
        for id in [first, second] {
            let ended = explained_as(&daemon, id, "ended").await;
            says(&ended, &[&format!("Job {id} has succeeded at ")]);
            assert_eq!(fact(&ended, "status"), "succeeded");
        }
    }

    async fn a_job_whose_time_has_not_come_says_why(place: Place) {
        let (registry, _release) = kinds();
        let more = "[pools.WAITS]\nsize = 8\n[[clients]]\nid = \"capped\"\nmax_running = 1\n[clients.channels.sms]\n";
        let daemon = Inside::start(&place, &config(more), registry).await;
        daemon.may_leave(Leftover::Unfinished, "a job waits for the test");

        let fails = daemon.enqueue(ACTS, "fails", 5).await;
        let retry = explained_as(&daemon, fails, "retry").await;
        says(&retry, &["attempt 1 of 5 failed at ", "(error: no route to the analyst)", "The next attempt is due at "]);
        assert_eq!((fact(&retry, "attempt"), fact(&retry, "outcome")), (1.into(), "error".into()));
        assert!(retry["until"].is_string(), "{retry}");

        let failed = daemon.enqueue(ACTS, "fails", 1).await;
        let ended = explained_as(&daemon, failed, "ended").await;
        says(&ended, &["has failed at ", "attempt 1 of 1 ended as error: no route to the analyst."]);
        assert_eq!(ended["what_to_do"], format!("Mend what the error names, then `postroom jobs retry {failed}`."));

        let snoozed = daemon.enqueue(ACTS, "snoozes", 5).await;
        let snoozed = explained_as(&daemon, snoozed, "later").await;
        says(&snoozed, &["was snoozed by its handler at "]);
        let postponed = daemon.enqueue(ACTS, "postpones", 5).await;
        let postponed = explained_as(&daemon, postponed, "later").await;
        says(&postponed, &["was postponed, because what it needs was away."]);

        let later = enqueue_for_later(&daemon).await;
        let asked_for = explained(&daemon, later).await;
        says(&asked_for, &["was stored for later: it is due at "]);
        let because = [&snoozed, &postponed, &asked_for].map(|it| fact(it, "because"));
        assert_eq!(because, ["snoozed", "postponed", "asked_for"]);
        let cancel = daemon.request(reqwest::Method::POST, &format!("/jobs/{later}/cancel"));
        assert_eq!(cancel.send().await.unwrap().status(), 200);
        says(&explained(&daemon, later).await, &["was cancelled at ", "cancelled by hand."]);

        let runs = daemon.enqueue(WAITS, "capped", 5).await;
        explained_as(&daemon, runs, "running").await;
        let held = daemon.enqueue(WAITS, "capped", 5).await;
        let held = explained_as(&daemon, held, "held").await;
        says(&held, &["its client capped is at its cap: 1 of 1 jobs are in turn or run, by `clients.capped.max_running` (", "test.toml:11). 1 job is held."]);
        assert_eq!((fact(&held, "cap"), links(&held, "config")), (1.into(), vec!["clients.capped.max_running".to_owned()]));
    }

    async fn slots_that_keep_going_down_are_told_with_their_next_start(place: Place) {
        let (registry, _release) = kinds();
        let restarts = "[restart]\nmax_restarts = 0\nbackoff = { base = \"10m\", cap = \"10m\" }\n";
        let daemon = Inside::start(&place, &config(restarts), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes a handler panic");
        daemon.may_leave(Leftover::Unfinished, "its slot waits for its restart");
        daemon.enqueue(ACTS, "panics", 1).await;
        let waits = eventually(PATIENCE, async || {
            let pools = daemon.board.pools();
            let is_down = pools.iter().any(|pool| pool.kind == ACTS && pool.is_backing_off());
            is_down.then_some(())
        });
        waits.await;
        let behind = daemon.enqueue(ACTS, "fine", 5).await;
        let backing_off = explained(&daemon, behind).await;
        assert_eq!(backing_off["reason"], "backing_off", "{backing_off}");
        says(&backing_off, &["because the only slot of the pool ACTS went down again and again", "The first starts at ", "The last one went down at ", ": panic."]);
        assert!(backing_off["until"].is_string(), "{backing_off}");
        assert_eq!(fact(&backing_off, "restarts"), 1);
    }

    #[ignore = "long: `just long`"]
    async fn a_recorder_without_room_is_told(place: Place) {
        let (registry, release) = kinds();
        // The recorder has room for 4,096 outcomes, and does not come back.
        let more = "[pools.ACTS]\nsize = 64\n[restart]\nmax_restarts = 0\nbackoff = { base = \"10m\", cap = \"10m\" }\n";
        let daemon = Inside::start(&place, &config(more), registry).await;
        daemon.may_leave(Leftover::Panic, "the test kills the recorder");
        daemon.may_leave(Leftover::Unfinished, "nothing can be recorded");
        daemon.may_leave(Leftover::Orphaned, "nothing can be recorded");
        daemon.board.faults().arm("recorder.commit", 1);
        let peek = Peek::open(&daemon.database_url).await;
        peek.put_jobs(1_000_000, 5_000, "ACTS", "fine").await;
        // A job that nobody puts before those.
        let last = 1_000_000 + 5_000;
        let full = explained_as(&daemon, last, "recorder_full").await;
        says(&full, &["has no room for another outcome: too many wait for their commit."]);
        release.add_permits(1);
    }

    async fn a_claimed_job_waits_for_its_slot(place: Place) {
        let (registry, release) = kinds();
        let daemon = Inside::start(&place, &config(""), registry).await;
        // The starts of the slots must not meet the point.
        release.add_permits(1);
        for kind in [ACTS, WAITS] {
            let first = daemon.enqueue(kind, "fine", 5).await;
            explained_as(&daemon, first, "ended").await;
        }
        let blocked = daemon.board.faults().block("slot.handle");
        let job = daemon.enqueue(ACTS, "fine", 5).await;
        let waits = explained_as(&daemon, job, "waits_for_slot").await;
        says(&waits, &["was claimed ahead by node ", "waits there for a free slot of the pool ACTS"]);
        drop(blocked);
        explained_as(&daemon, job, "ended").await;
    }

    async fn a_job_in_turn_is_told_and_then_a_supervisor_that_stands_still(place: Place) {
        let (registry, _release) = kinds();
        let daemon = Inside::start(&place, &config(""), registry).await;
        let blocked = daemon.board.faults().block("supervisor.tick");
        // It blocks at its next tick, and posts no other.
        eventually(PATIENCE, async || {
            let before = daemon.board.ticked_at();
            tokio::time::timeout(Duration::from_millis(600), daemon.board.wait_until(|it| it.ticked_at() != before))
                .await
                .is_err()
                .then_some(())
        })
        .await;
        let job = daemon.enqueue(ACTS, "fine", 5).await;
        let in_turn = explained(&daemon, job).await;
        assert_eq!(in_turn["reason"], "in_turn", "{in_turn}");
        says(&in_turn, &["is in turn, and slots are free: the next claim takes it."]);
        let fault = explained_as(&daemon, job, "fault").await;
        says(&fault, &["has not ticked since "]);
        assert!(fault["what_to_do"].as_str().unwrap().starts_with("Send us "), "{fault}");
        drop(blocked);
        explained_as(&daemon, job, "ended").await;
    }
}
