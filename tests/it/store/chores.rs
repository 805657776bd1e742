//! The chores by which the leading node keeps tables small.

use super::{
    inbox::{PHONE, is_duplicate, put_one},
    life::{claim, end},
    tools::{assert_places, drain, enqueue, instant, numbers, phones, put, succeed},
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, event, sms},
};
use postroom::{
    config::Retention,
    domain::{
        Id, Identity, IdentityKind, Signal,
        job::{FailureReason, SELF_CHECK},
    },
    store::{Answer, Content, Inbound, Prunable, Pruning, Store, Transition, wall_clock},
};
use sqlx::Connection;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// Keeps nothing that has ended.
fn nothing() -> Retention {
    let none = Duration::ZERO;
    Retention { succeeded: none, failed: none, quarantine: none, payloads: none }
}

/// A whole round, in as many batches as it takes.
async fn prune(store: &Store, keep: &Retention) -> u64 {
    let (mut round, mut rows) = (Pruning::begin(), 0);
    while !round.is_over() {
        rows += look(store, &mut round, keep).await;
    }
    rows
}

/// One step of a round: a batch of each table.
async fn look(store: &Store, round: &mut Pruning, keep: &Retention) -> u64 {
    let pruned = store.chores().prune(round, keep, Duration::ZERO).await;
    assert!(pruned.failures.is_empty(), "{:?}", pruned.failures);
    pruned.rows
}

/// An id that was given out this long ago.
fn id_of(store: &Store, ago: Duration) -> Id {
    let ms = i64::try_from(ago.as_millis()).unwrap();
    store.enqueuer().next_id() - (ms << 22)
}

/// Jobs that were stored and ended this long ago.
async fn fill_ended(db: &Fixture, ago: Duration, count: usize, outcome: &str) {
    let (first, numbers) = (id_of(&db.store, ago), numbers(db, count));
    let at = instant(db, -i64::try_from(ago.as_millis()).unwrap());
    let yes = if db.is_sqlite() { "1" } else { "true" };
    db.execute(&format!(
        "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
         select {first} + n, 'SELF_CHECK', 'a', {first} + n, 5, {at}, {at} from {numbers}"
    ))
    .await;
    db.execute(&format!(
        "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
         select {first} + n, 1, 0, '{outcome}', {yes}, {at} from {numbers}"
    ))
    .await;
}

on_both_databases! {
    async fn jobs_that_ended_long_ago_go_with_their_attempts_and_others_stay(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 6).await;
        let claims = claim(&db.store, 6).await;
        let fail = Transition::Fail { reason: FailureReason::Error, error: "no".to_owned() };
        let retry = Transition::Retry { after: HOUR, reason: FailureReason::Error, error: "no".to_owned() };
        succeed(&db.store, &claims[..2]).await;
        assert!(end(&db.store, &claims[2], fail).await);
        assert!(end(&db.store, &claims[3], retry).await);
        assert!(end(&db.store, &claims[4], Transition::Snooze { after: HOUR }).await);
        let keep_failed = Retention { failed: HOUR, ..nothing() };
        assert_eq!(prune(&db.store, &Retention { succeeded: HOUR, ..keep_failed.clone() }).await, 0);
        db.execute(&format!("update job_attempts set finished_at = {}", instant(&db, -60_000))).await;
        assert_eq!(prune(&db.store, &keep_failed).await, 2);
        assert_eq!(db.number("select count(*) from jobs").await, 4);
        assert_places(&db).await;
        assert_eq!(prune(&db.store, &nothing()).await, 1, "the failed one");
        assert_eq!(db.number("select count(*) from jobs").await, 3, "one runs, one waits, one sleeps");
        assert_eq!(db.number("select count(*) from job_attempts").await, 2);
        assert_places(&db).await;
    }

    /// Every row that may be pruned goes within two minutes, at a batch a second, whatever stands
    /// before it.
    #[ignore = "long: `just long`"]
    async fn pruning_gets_past_any_number_of_jobs_that_it_may_not_prune(db: Fixture) {
        const DAY: Duration = Duration::from_secs(86_400);
        let keep = Retention { succeeded: 7 * DAY, failed: 30 * DAY, quarantine: 30 * DAY, payloads: 30 * DAY };
        fill_ended(&db, 8 * DAY, 31_000, "error").await;
        fill_ended(&db, 7 * DAY + HOUR, 200, "succeeded").await;
        let left = "select count(*) from job_attempts where outcome = 'succeeded'";
        let mut round = Pruning::default();
        let mut looks = 0;
        while db.number(left).await > 0 {
            // Rounds begin again however far the last one has come.
            if looks % 60 == 0 {
                round = Pruning::begin();
            }
            look(&db.store, &mut round, &keep).await;
            looks += 1;
            assert!(looks <= 120, "nothing was pruned in two minutes");
        }
        assert_eq!(db.number("select count(*) from jobs").await, 31_000);
        // Neither a restart nor a further round begins again.
        fill_ended(&db, 7 * DAY + HOUR / 2, 700, "succeeded").await;
        let mut round = Pruning::begin();
        assert_eq!(look(&db.store, &mut round, &keep).await, 500);
        assert_eq!(look(&db.store, &mut round, &keep).await, 200);
        // A row that was passed over goes when its own time has come.
        let month_ago = instant(&db, -30 * 86_400_000 - 1_000);
        let some = "(select job_id from job_attempts order by job_id limit 20000)";
        db.execute(&format!("update job_attempts set finished_at = {month_ago} where job_id in {some}")).await;
        prune(&db.store, &keep).await;
        prune(&db.store, &keep).await;
        assert_eq!(db.number("select count(*) from jobs").await, 11_000);
        assert_places(&db).await;
    }

    /// Jobs that ended long after they were stored are younger than those around them.
    async fn a_job_that_ended_late_is_kept_as_long_as_any_other(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 3).await;
        succeed(&db.store, &claim(&db.store, 3).await).await;
        let keep = Retention { succeeded: HOUR, failed: HOUR, ..nothing() };
        let ids = db.texts("select cast(id as text) from jobs order by id").await;
        let two_hours = 7_200_000_i64 << 22;
        for table in ["job_attempts set job_id = job_id", "jobs set id = id"] {
            db.execute(&format!("update {table} - {two_hours}")).await;
        }
        let past = |minutes: i64| instant(&db, -minutes * 60_000);
        let first: Id = ids[0].parse::<Id>().unwrap() - two_hours;
        db.execute(&format!("update job_attempts set finished_at = {} where job_id = {first}", past(90))).await;
        assert_eq!(prune(&db.store, &keep).await, 1, "the other two ended just now");
        db.execute(&format!("update job_attempts set finished_at = {}", past(61))).await;
        assert_eq!(prune(&db.store, &keep).await, 2);
    }

    async fn a_round_prunes_more_than_a_batch_while_its_time_lasts(db: Fixture) {
        fill_ended(&db, 2 * HOUR, 2_600, "succeeded").await;
        let mut round = Pruning::begin();
        let keep = Retention { succeeded: HOUR, failed: HOUR, ..nothing() };
        let pruned = db.store.chores().prune(&mut round, &keep, HOUR).await;
        assert_eq!((pruned.rows, round.is_over()), (2_600, true));
        assert_eq!(db.number("select count(*) from jobs").await, 0);
    }

    /// A table that cannot be pruned keeps no other from it, and is left alone until the next
    /// round.
    async fn one_table_that_cannot_be_pruned_keeps_no_other_from_it(db: Fixture) {
        fill_ended(&db, 2 * HOUR, 100, "succeeded").await;
        let keep = Retention { succeeded: HOUR, failed: HOUR, ..nothing() };
        db.execute("alter table message_keys rename to message_keys_away").await;
        let mut round = Pruning::begin();
        let pruned = db.store.chores().prune(&mut round, &keep, Duration::ZERO).await;
        assert_eq!(pruned.failures.iter().map(|it| it.0).collect::<Vec<_>>(), [Prunable::Keys]);
        assert_eq!(pruned.rows, 100);
        while !round.is_over() {
            assert!(db.store.chores().prune(&mut round, &keep, Duration::ZERO).await.failures.is_empty());
        }
        db.execute("alter table message_keys_away rename to message_keys").await;
    }

    async fn a_pass_goes_through_all_of_history_in_batches(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 1_300).await;
        // In the middle, some that have not ended.
        let claims = claim(&db.store, 1_300).await;
        let (kept, ended): (Vec<_>, Vec<_>) = claims.into_iter().enumerate().partition(|it| (600..650).contains(&it.0));
        let ended: Vec<_> = ended.into_iter().map(|it| it.1).collect();
        succeed(&db.store, &ended).await;
        db.execute(&format!("update job_attempts set finished_at = {}", instant(&db, -60_000))).await;
        let mut round = Pruning::begin();
        assert_eq!(look(&db.store, &mut round, &nothing()).await, 500);
        assert_eq!(look(&db.store, &mut round, &nothing()).await, 450);
        assert_eq!(look(&db.store, &mut round, &nothing()).await, 300);
        assert_eq!(look(&db.store, &mut round, &nothing()).await, 0);
        assert!(round.is_over());
        assert_eq!(db.number("select count(*) from jobs").await, i64::try_from(kept.len()).unwrap());
        assert_places(&db).await;
    }

    /// DESIGN: a duplicate of a message whose job was pruned makes no job.
    async fn a_message_whose_job_was_pruned_is_not_worked_again(db: Fixture) {
        put_one(&db, sms("a", PHONE, "k1", "hello")).await;
        drain(&db.store, 10).await;
        db.execute(&format!("update job_attempts set finished_at = {}", instant(&db, -60_000))).await;
        assert_eq!(prune(&db.store, &Retention { payloads: HOUR, ..nothing() }).await, 1);
        assert!(is_duplicate(&put_one(&db, sms("a", PHONE, "k1", "hello")).await));
        assert_eq!(db.number("select count(*) from jobs").await, 0);
    }

    async fn bodies_as_received_go_and_messages_stay(db: Fixture) {
        for n in 0..3 {
            put(&db.store, "a", &phones(250), n).await;
        }
        let keep = Retention { succeeded: HOUR, failed: HOUR, quarantine: HOUR, payloads: HOUR };
        assert_eq!(prune(&db.store, &keep).await, 0);
        assert_eq!(db.number("select count(*) from messages where payload is null").await, 0);
        let keep = Retention { payloads: Duration::ZERO, ..keep };
        let mut round = Pruning::begin();
        assert_eq!(look(&db.store, &mut round, &keep).await, 500);
        assert_eq!(db.number("select count(*) from messages where payload is null").await, 500);
        assert_eq!(prune(&db.store, &keep).await, 250);
        assert_eq!(db.number("select count(*) from messages where payload is null and body = 'hello'").await, 750);
    }

    /// Sixty messages of megabytes are more than a handler may have in memory, and there are many
    /// handlers.
    async fn a_transcript_holds_the_beginnings_of_long_messages(db: Fixture) {
        let mut last = None;
        for n in 0..70 {
            last = Some(put_one(&db, sms("a", PHONE, &format!("k{n}"), "hello")).await);
        }
        let Some(Answer::Accepted { message_id, .. }) = last else { panic!("{last:?}") };
        let long = match db.is_sqlite() {
            true => "replace(hex(zeroblob(100000)), '0', 'x')",
            false => "repeat('x', 200000)",
        };
        db.execute(&format!("update messages set body = {long}, subject = {long}")).await;
        let conversation = db.store.reader().conversation(message_id).await.unwrap().unwrap();
        assert_eq!(conversation.message.body.len(), 200_000, "what is judged is whole");
        assert_eq!(conversation.transcript.len(), 60);
        for line in conversation.transcript {
            assert_eq!((line.body.len(), line.subject.unwrap().len()), (10_000, 10_000));
        }
    }

    async fn quarantine_and_expired_keys_go(db: Fixture) {
        let held = |hash: &str| Inbound {
            content: Content::Quarantine { event_type: None, reason: "unknown_event".to_owned(), body_hash: hash.to_owned() },
            ..event("a", "sms", vec![Identity::new(IdentityKind::PHONE, PHONE)], Signal::Connected, wall_clock())
        };
        put_one(&db, held("h1")).await;
        put_one(&db, held("h2")).await;
        put_one(&db, sms("a", PHONE, "k1", "hello")).await;
        put_one(&db, sms("a", PHONE, "k2", "hello")).await;
        put_one(&db, sms("a", PHONE, "k3", "hello")).await;
        db.execute(&format!("update quarantine set last_received_at = {} where body_hash = 'h2'", instant(&db, 60_000))).await;
        db.execute(&format!("update message_keys set expires_at = {} where key = 'k1'", instant(&db, -120_000))).await;
        db.execute(&format!("update message_keys set expires_at = {} where key = 'k2'", instant(&db, 120_000))).await;
        let keep = Retention { succeeded: HOUR, failed: HOUR, payloads: HOUR, quarantine: HOUR };
        assert_eq!(prune(&db.store, &keep).await, 1, "the key");
        assert_eq!(db.number("select count(*) from quarantine").await, 2);
        prune(&db.store, &Retention { quarantine: Duration::ZERO, ..keep }).await;
        assert_eq!(db.texts("select body_hash from quarantine").await, ["h2"], "it came again lately");
        assert_eq!(db.texts("select key from message_keys order by key").await, ["k2", "k3"]);
    }

    /// There is a row a start, a kind and a state: nodes come and go for years.
    async fn what_nodes_that_are_gone_have_counted_is_folded(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 3).await;
        assert_eq!(drain(&db.store, 10).await, 3);
        let clock = db.store.queue().clock().await.unwrap();
        let total = "select cast(sum(count) as bigint) from job_counts";
        let before = db.number(total).await;
        let next = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        next.chores().fold_nodes().await.unwrap();
        assert_eq!(db.number("select count(*) from job_counts where node = 0").await, 0, "a live node keeps its rows");
        db.execute(&format!("update job_counts set node = {}", db.store.node() - 1)).await;
        db.execute(&format!("update job_clock set node = {}", db.store.node() - 1)).await;
        for _ in 0..2 {
            next.chores().fold_nodes().await.unwrap();
            assert_eq!(db.number(total).await, before);
            assert_eq!(db.number("select count(*) from job_counts where node <> 0").await, 0);
            assert_eq!(db.number("select count(*) from job_clock where node <> 0").await, 0);
            assert_eq!(next.queue().clock().await.unwrap(), clock, "V does not fall");
        }
        // A node that was forgotten and still works adds to rows of its own, which are folded the
        // next time.
        db.execute(&format!("update job_counts set node = {}, count = count + 1", db.store.node() - 2)).await;
        let kinds = db.number("select count(*) from job_counts").await;
        next.chores().fold_nodes().await.unwrap();
        assert_eq!(db.number(total).await, before + kinds);
        db.execute("update job_counts set count = count - 1").await;
        enqueue(&next, "a", SELF_CHECK, 2).await;
        assert_eq!(drain(&next, 10).await, 2);
    }
}

/// Readers that overlap keep SQLite's own checkpoints from shortening its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn sqlites_log_is_emptied_when_it_has_grown() {
    let db = Fixture::sqlite().await;
    let file = postroom::store::sqlite_path(db.config.database.url.expose()).unwrap();
    let log = file.with_file_name(format!("{}-wal", file.file_name().unwrap().to_str().unwrap()));
    let size = || std::fs::metadata(&log).map_or(0, |it| it.len());
    let mut reader =
        sqlx::SqliteConnection::connect(db.config.database.url.expose()).await.unwrap();
    sqlx::raw_sql("begin; select count(*) from jobs").execute(&mut reader).await.unwrap();
    while size() <= 40 << 20 {
        enqueue(&db.store, "a", SELF_CHECK, 20_000).await;
    }
    let before = db.store.chores().checkpoint().await.unwrap();
    assert!(before > 32 << 20, "{before}");
    assert!(size() > 32 << 20, "a reader is in the way, and nobody waits for it");
    enqueue(&db.store, "a", SELF_CHECK, 1).await;
    sqlx::raw_sql("rollback").execute(&mut reader).await.unwrap();
    db.store.chores().checkpoint().await.unwrap();
    assert!(size() < 1 << 20, "{}", size());
}
