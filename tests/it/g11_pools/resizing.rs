//! One change after another, each seen through.

use super::{
    FIRST, NO_TICK, PATIENCE, SECOND, config, ended, enqueue, first_slots, holds, in_api, looks,
    slots, start, succeed, view,
};
use crate::{
    on_both_daemons,
    support::{both::Peek, eventually, leftovers::Leftover},
};
use postroom::domain::{OverriddenKey, OverrideOrigin, PoolOverride, Timestamp};
use std::sync::atomic::Ordering;

const CLAIMED: &str = "select count(*) from job_ready where node is not null";

/// An operator's override for the first kind.
fn override_of(size: Option<usize>, paused: Option<bool>) -> PoolOverride {
    PoolOverride { kind: FIRST.0.to_owned(), size: size.map(key), paused: paused.map(key) }
}

/// A key that an operator has set, over a file that said nothing.
pub(super) fn key<T: Default>(value: T) -> OverriddenKey<T> {
    let set = OverrideOrigin {
        by: "a test".to_owned(),
        note: None,
        at: Timestamp::from_millis(0),
        expires_at: None,
        node: None,
    };
    OverriddenKey { value, base: T::default(), set }
}

on_both_daemons! {
    async fn a_pool_that_shrinks_lets_all_jobs_end_and_then_runs_as_few_as_it_says(place: Place) {
        let (daemon, [probe, _]) = start(&place, &config(NO_TICK, "size = 64")).await;
        let mut jobs = enqueue(&daemon, FIRST, "gated", 64).await;
        holds(|| probe.running() == 64).await;
        daemon.set_config(&config(NO_TICK, "size = 1"));
        looks(&daemon, |it| it.size == 1 && it.leaving == 63).await;
        let pool = in_api(&daemon).await;
        assert_eq!((&pool["size"], &pool["configured_size"]), (&1.into(), &1.into()), "{pool}");
        assert_eq!((&pool["busy"], &pool["leaving"]), (&64.into(), &63.into()), "{pool}");
        jobs.extend(enqueue(&daemon, FIRST, "gated", 5).await);

        // While more jobs run than there are slots, none starts.
        probe.open(63);
        holds(|| probe.running() == 1).await;
        assert_eq!(probe.started(), 64, "all ended except one, and none started");
        probe.most.store(0, Ordering::SeqCst);
        probe.open(6);
        succeed(&daemon, &jobs, 1).await;
        assert_eq!(probe.most.load(Ordering::SeqCst), 1);
        looks(&daemon, |it| it.leaving == 0).await;
        assert_eq!(slots(&daemon, FIRST), first_slots(FIRST, 1));
    }

    async fn a_pool_that_grows_starts_slots_at_once_and_takes_those_back_that_are_leaving(place: Place) {
        let (daemon, [probe, _]) = start(&place, &config(NO_TICK, "size = 1")).await;
        let mut jobs = enqueue(&daemon, FIRST, "gated", 3).await;
        holds(|| probe.running() == 1).await;
        daemon.set_config(&config(NO_TICK, "size = 3"));
        holds(|| probe.running() == 3).await;
        for _ in 0..5 {
            daemon.set_config(&config(NO_TICK, "size = 1"));
            looks(&daemon, |it| it.size == 1 && it.leaving == 2).await;
            daemon.set_config(&config(NO_TICK, "size = 5"));
            looks(&daemon, |it| it.size == 5 && it.leaving == 0).await;
            // An actor enters the board when it starts, on its own thread.
            holds(|| slots(&daemon, FIRST) == first_slots(FIRST, 5)).await;
            daemon.set_config(&config(NO_TICK, "size = 3"));
            looks(&daemon, |it| it.size == 3).await;
        }

        // Slots that have left make room for others of the same names.
        probe.open(3);
        succeed(&daemon, &jobs, 1).await;
        for size in [1, 4, 2, 3] {
            daemon.set_config(&config(NO_TICK, &format!("size = {size}")));
            looks(&daemon, |it| it.size == size && it.leaving == 0).await;
            holds(|| slots(&daemon, FIRST) == first_slots(FIRST, size)).await;
            probe.most.store(0, Ordering::SeqCst);
            jobs = enqueue(&daemon, FIRST, "gated", 4).await;
            holds(|| probe.running() == size).await;
            probe.open(4);
            succeed(&daemon, &jobs, 1).await;
            assert_eq!(probe.most.load(Ordering::SeqCst), size);
        }
        assert_eq!(view(&daemon, FIRST).restarts, 0);
    }

    async fn a_paused_pool_starts_nothing_gives_back_what_was_claimed_and_resumes_at_once(place: Place) {
        let running = "size = 1\nprefetch = 20";
        let (daemon, [probe, others]) = start(&place, &config(NO_TICK, running)).await;
        let db = Peek::open(&daemon.database_url).await;
        // The pool has to be quick for jobs to be claimed ahead.
        probe.open(30);
        let jobs = enqueue(&daemon, FIRST, "gated", 45).await;
        // Those that may end have ended, and the next one runs.
        eventually(PATIENCE, async || (probe.started() == 31).then_some(())).await;
        looks(&daemon, |it| it.busy == 1 && it.claimed > 3).await;
        let is_in_api = async || (in_api(&daemon).await["claimed"].as_i64() > Some(3)).then_some(());
        eventually(PATIENCE, is_in_api).await;

        daemon.set_config(&config(NO_TICK, &format!("{running}\npaused = true")));
        looks(&daemon, |it| it.paused && it.claimed == 0).await;
        eventually(PATIENCE, async || (db.number(CLAIMED).await == 1).then_some(())).await;
        let used = "select count(*) from job_ready where node is null and run <> spared";
        assert_eq!(db.number(used).await, 0, "no attempt was used");
        let pool = in_api(&daemon).await;
        assert_eq!((&pool["paused"], &pool["state"]), (&true.into(), &"paused".into()), "{pool}");
        let ready = daemon.get("/readyz").await.body["checks"]["pools"].clone();
        assert!(ready["detail"].as_str().unwrap().contains("paused: FIRST"), "{ready}");
        let metrics = daemon.get("/metrics").await.text;
        assert!(metrics.contains("postroom_pool_paused{kind=\"FIRST\"} 1"), "{metrics}");
        assert!(metrics.contains("postroom_pool_paused{kind=\"SECOND\"} 0"), "{metrics}");

        // The running job ends, and no other starts, though jobs of another kind are claimed.
        let started = probe.started();
        probe.open(1);
        holds(|| probe.running() == 0).await;
        let beside = enqueue(&daemon, SECOND, "fine", 5).await;
        enqueue(&daemon, FIRST, "fine", 1).await;
        succeed(&daemon, &beside, 1).await;
        assert_eq!(others.done(), 5);
        eventually(PATIENCE, async || (db.number(CLAIMED).await == 0).then_some(())).await;
        assert_eq!(probe.started(), started);

        daemon.set_config(&config(NO_TICK, running));
        probe.open(14);
        succeed(&daemon, &jobs, 1).await;
        let released = "select count(*) from job_attempts where outcome not in ('succeeded', 'released')";
        assert_eq!(db.number(released).await, 0);
    }

    /// One that was rescued is claimed by a statement of its own.
    async fn a_suspect_of_a_paused_kind_is_not_claimed(place: Place) {
        let running = "size = 2";
        let (daemon, [probe, _]) = start(&place, &config("50ms", running)).await;
        daemon.may_leave(Leftover::Panic, "the test makes an actor go down");
        let db = Peek::open(&daemon.database_url).await;
        daemon.set_config(&config("50ms", "size = 2\npaused = true"));
        looks(&daemon, |it| it.paused).await;
        let id = enqueue(&daemon, FIRST, "fine", 1).await[0];
        let now = if place.is_sqlite() { "cast(unixepoch('subsec') * 1000 as integer)" } else { "now()" };
        for sql in [
            format!(
                "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
                 values ({id}, 1, 0, 'rescued', false, {now})"
            ),
            format!("update job_ready set turn = null, run_at = {now}, run = 1 where job_id = {id}"),
        ] {
            db.execute(&sql).await;
        }
        let beside = enqueue(&daemon, SECOND, "fine", 5).await;
        succeed(&daemon, &beside, 1).await;
        assert_eq!((probe.started(), db.number(CLAIMED).await), (0, 0));
        daemon.set_config(&config("50ms", running));
        succeed(&daemon, &[id], 2).await;
    }

    async fn what_an_operator_sets_applies_beside_what_the_file_says(place: Place) {
        let (daemon, [probe, _]) = start(&place, &config(NO_TICK, "size = 1")).await;
        let jobs = enqueue(&daemon, FIRST, "gated", 6).await;
        holds(|| probe.running() == 1).await;
        let set = |set: Option<PoolOverride>| {
            let mut config = daemon.config.get().as_ref().clone();
            config.pools.set_overrides(set);
            daemon.config.set(config);
        };
        set(Some(override_of(Some(4), None)));
        holds(|| probe.running() == 4).await;
        let pool = in_api(&daemon).await;
        assert_eq!((&pool["size"], &pool["configured_size"]), (&4.into(), &1.into()), "{pool}");
        set(Some(override_of(None, Some(true))));
        looks(&daemon, |it| it.paused && it.size == 1 && it.leaving == 3).await;
        probe.open(4);
        holds(|| probe.running() == 0).await;
        set(None);
        holds(|| probe.running() == 1).await;
        probe.open(2);
        succeed(&daemon, &jobs, 1).await;
    }

    async fn a_slot_that_dies_while_it_is_leaving_is_not_replaced_and_its_job_is_a_failed_attempt(place: Place) {
        let (daemon, [probe, _]) = start(&place, &config("100ms", "size = 3")).await;
        daemon.may_leave(Leftover::Panic, "the test makes handlers panic");
        let jobs = enqueue(&daemon, FIRST, "panics_gated", 3).await;
        holds(|| probe.running() == 3).await;
        daemon.set_config(&config("100ms", "size = 1"));
        looks(&daemon, |it| it.size == 1 && it.leaving == 2).await;
        probe.open(3);
        looks(&daemon, |it| it.leaving == 0).await;
        succeed(&daemon, &jobs, 2).await;
        for id in &jobs {
            assert_eq!(ended(&daemon, *id).await["errors"][0]["reason"], "panic");
        }
        assert_eq!(slots(&daemon, FIRST), first_slots(FIRST, 1));
        assert_eq!(view(&daemon, FIRST).restarts, 1, "only the slot that is wanted came back");
    }

    async fn a_pool_that_backs_off_shrinks_and_grows(place: Place) {
        let restart = "[restart]\nmax_restarts = 1\nbackoff = { base = \"60s\", cap = \"60s\" }\n";
        let sized = |size| format!("{restart}{}", config("100ms", &format!("size = {size}")));
        let (daemon, [probe, _]) = start(&place, &sized(4)).await;
        daemon.may_leave(Leftover::Panic, "the test makes handlers panic");
        let jobs = enqueue(&daemon, FIRST, "broken", 8).await;
        looks(&daemon, |it| it.backing_off == 4 && it.is_backing_off()).await;
        // Slots that wait for their restart leave at once, and count no longer.
        daemon.set_config(&sized(2));
        looks(&daemon, |it| it.size == 2 && it.leaving == 0).await;
        assert!(view(&daemon, FIRST).backing_off == 2 && view(&daemon, FIRST).is_backing_off());
        assert_eq!(slots(&daemon, FIRST), first_slots(FIRST, 2));
        assert_eq!(in_api(&daemon).await["state"], "backing_off");
        // A new slot works at once, until it goes down, too.
        let started = probe.started();
        daemon.set_config(&sized(3));
        holds(|| probe.started() > started).await;
        looks(&daemon, |it| it.backing_off == 3 && it.is_backing_off()).await;
        probe.is_mended.store(true, Ordering::SeqCst);
        daemon.set_config(&sized(5));
        looks(&daemon, |it| it.size == 5 && it.backing_off == 3 && !it.is_backing_off()).await;
        holds(|| probe.done() == 8).await;
        for id in jobs {
            assert_eq!(ended(&daemon, id).await["status"], "succeeded");
        }
    }

    async fn a_slot_that_falls_silent_while_it_is_leaving_goes_and_another_takes_its_number_later(place: Place) {
        let (daemon, [probe, _]) = start(&place, &config("100ms", "size = 1")).await;
        daemon.may_leave(Leftover::Stuck, "the test makes an actor keep its thread");
        // The first slot works. The other one will be silent soon.
        let mut jobs = enqueue(&daemon, FIRST, "gated", 1).await;
        holds(|| probe.running() == 1).await;
        daemon.set_config(&config("100ms", "size = 2\ntimeout = \"1s\""));
        holds(|| slots(&daemon, FIRST) == first_slots(FIRST, 2)).await;
        let release = daemon.board.faults().block("slot.work");
        let silent = enqueue(&daemon, FIRST, "fine", 1).await;
        holds(|| daemon.board.actors().iter().any(|it| it.job_id == Some(silent[0]))).await;
        daemon.set_config(&config("100ms", "size = 1"));
        looks(&daemon, |it| it.size == 1 && it.leaving == 1).await;
        looks(&daemon, |it| it.leaving == 0 && it.lost_threads == 1).await;
        assert_eq!(slots(&daemon, FIRST), first_slots(FIRST, 1));

        // It wakes up, finds that it is not wanted, and goes.
        drop(release);
        looks(&daemon, |it| it.lost_threads == 0).await;
        probe.open(1);
        succeed(&daemon, &silent, 2).await;
        assert_eq!(ended(&daemon, silent[0]).await["errors"][0]["reason"], "stuck");
        daemon.set_config(&config("100ms", "size = 2"));
        jobs.extend(enqueue(&daemon, FIRST, "gated", 3).await);
        holds(|| probe.running() == 2).await;
        assert_eq!(slots(&daemon, FIRST), first_slots(FIRST, 2));
        probe.open(3);
        succeed(&daemon, &jobs, 1).await;
        assert_eq!(view(&daemon, FIRST).restarts, 0);
    }

    async fn a_daemon_that_drains_changes_its_pools_no_more(place: Place) {
        let (daemon, [probe, _]) = start(&place, &config("100ms", "size = 2")).await;
        daemon.may_leave(Leftover::Unfinished, "two jobs run when it is told to stop");
        daemon.may_leave(Leftover::Panic, "the test makes the supervisor go down");
        enqueue(&daemon, FIRST, "gated", 2).await;
        holds(|| probe.running() == 2).await;
        let (board, live) = (daemon.board.clone(), daemon.config.clone());
        let grown = daemon.loaded(&config("100ms", "size = 9\npaused = true"));
        let stopping = tokio::task::spawn_blocking(move || drop(daemon));
        holds(|| board.is_draining()).await;
        // The supervisor hears of it and dies, and the next one finds the change, too.
        board.faults().arm("supervisor.fit", 1);
        live.set(grown);
        holds(|| board.faults().left("supervisor.fit") == 0).await;
        probe.open(2);
        stopping.await.unwrap();
        let pool = board.pool(FIRST).view();
        assert_eq!((pool.size, pool.paused), (2, false));
        let names = board.actors().into_iter().filter(|it| it.name.starts_with(FIRST.0)).count();
        assert_eq!((names, probe.done()), (2, 2));
    }

    async fn a_kind_may_be_paused_on_one_node_of_two(place: Place) {
        // On SQLite there is one node.
        if place.is_sqlite() {
            return;
        }
        let (paused, running) = (config("1s", "size = 2\npaused = true"), config("1s", "size = 2"));
        let (one, [of_one, _]) = start(&place, &running).await;
        let (other, [of_other, _]) = start(&place, &running).await;
        one.set_config(&paused);
        looks(&one, |it| it.paused).await;
        let jobs = enqueue(&one, FIRST, "slow", 30).await;
        succeed(&other, &jobs, 1).await;
        assert_eq!((of_one.started(), of_other.done()), (0, 30));
        assert_eq!(in_api(&one).await["state"], "paused");
        assert_eq!(in_api(&other).await["state"], "running");
        other.set_config(&paused);
        looks(&other, |it| it.paused).await;
        one.set_config(&running);
        let jobs = enqueue(&other, FIRST, "slow", 30).await;
        succeed(&one, &jobs, 1).await;
        assert_eq!((of_one.done(), of_other.done()), (30, 30));
    }
}
