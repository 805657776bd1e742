//! The audit log is listed by who, what, to what and when, and is kept for a year.

use crate::{on_both_databases, support::fixture::Fixture};
use postroom::{
    domain::{Id, Timestamp, UserRole},
    store::{AuditEntry, AuditFilter, Pruning, Via, given_out_at},
};
use std::time::Duration;
use tokio::time::Instant;

fn did(actor: &str, action: &'static str, target: Option<&str>) -> AuditEntry {
    AuditEntry {
        target: target.map(str::to_owned),
        new_value: Some("8".to_owned()),
        ..AuditEntry::new(actor, Via::Api, action)
    }
}

/// Rows of three people, the oldest first; returns their ids.
async fn fill(db: &Fixture) -> Vec<Id> {
    for number in 0..30 {
        let actor = ["dana", "kim", "file"][number % 3];
        let action = ["pool.override", "job.retry"][number % 2];
        let target = format!("target {}", number % 5);
        db.store.audit().record(vec![did(actor, action, Some(&target))]).await.unwrap();
    }
    let mut ids: Vec<Id> = list(db, AuditFilter::default()).await;
    ids.reverse();
    assert_eq!(ids.len(), 30);
    ids
}

/// All ids that match, through pages of 7.
async fn list(db: &Fixture, filter: AuditFilter) -> Vec<Id> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = db.store.desk().audit(filter.clone(), 7, cursor).await.unwrap();
        assert!(page.items.len() <= 7);
        ids.extend(page.items.iter().map(|it| it.id));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|it| (*it).to_owned()).collect()
}

/// How many rows one filter finds.
async fn number_of(db: &Fixture, action: &[&str], actor: &[&str], target: &[&str]) -> usize {
    let [action, actor, target] = [action, actor, target].map(texts);
    list(db, AuditFilter { action, actor, target, ..AuditFilter::default() }).await.len()
}

on_both_databases! {
    async fn rows_are_found_by_each_filter_and_by_several(db: Fixture) {
        let ids = fill(&db).await;
        let mut newest_first = ids.clone();
        newest_first.reverse();
        assert_eq!(list(&db, AuditFilter::default()).await, newest_first);
        assert_eq!(number_of(&db, &["job.retry"], &[], &[]).await, 15);
        assert_eq!(number_of(&db, &[], &["dana", "kim", "dana"], &[]).await, 20);
        assert_eq!(number_of(&db, &[], &[], &["target 1", "target 2"]).await, 12);
        assert_eq!(number_of(&db, &["job.retry"], &["dana"], &[]).await, 5);
        assert_eq!(number_of(&db, &["job.retry", "pool.override"], &["dana"], &["target 0"]).await, 2);
        assert_eq!(number_of(&db, &["config.reload"], &[], &[]).await, 0);
        for (via, count) in [("api", 30), ("page", 0)] {
            let filter = AuditFilter { via: texts(&[via]), ..AuditFilter::default() };
            assert_eq!(list(&db, filter).await.len(), count, "{via}");
        }
        // Ids of one millisecond cannot be told apart by time.
        let times: Vec<Timestamp> = ids.iter().map(|id| given_out_at(*id)).collect();
        let since = times[10];
        let expected = times.iter().filter(|at| **at >= since).count();
        let filter = AuditFilter { since: Some(since), ..AuditFilter::default() };
        assert_eq!(list(&db, filter).await.len(), expected);
        let filter = AuditFilter { until: Some(since), ..AuditFilter::default() };
        assert_eq!(list(&db, filter).await.len(), 30 - expected);
    }

    /// A row may be written long after the change, when the database was away.
    async fn a_row_has_the_time_of_the_change(db: Fixture) {
        const WAITED: Duration = Duration::from_secs(90);
        let done_at = Instant::now().checked_sub(WAITED).unwrap();
        let late = AuditEntry { done_at, ..did("dana", "job.retry", None) };
        db.store.audit().record(vec![late, did("dana", "job.retry", None)]).await.unwrap();
        let page = db.store.desk().audit(AuditFilter::default(), 7, None).await.unwrap();
        let times: Vec<Timestamp> = page.items.iter().map(|row| Timestamp::from_millis(row.happened_at.0)).collect();
        let between = times[0].millis_since(times[1]);
        assert!((89_000..=91_000).contains(&between), "{times:?}");
    }

    /// However a row is found. Where no person acted, and in rows of earlier versions, it has none.
    async fn a_row_has_the_role_of_the_person_who_acted(db: Fixture) {
        let now = if db.is_sqlite() { "0" } else { "now()" };
        db.execute(&format!(
            "insert into audit (id, happened_at, actor, via, action, target) values (7, {now}, 'dana', 'api', 'job.retry', 't')"
        ))
        .await;
        let roles = UserRole::ALL.map(Some).into_iter().chain([None]);
        let entries = roles.map(|role| AuditEntry { role, ..did("dana", "job.retry", Some("t")) });
        db.store.audit().record(entries.collect()).await.unwrap();
        let all = AuditFilter::default;
        for filter in [
            all(),
            AuditFilter { actor: texts(&["dana"]), ..all() },
            AuditFilter { action: texts(&["job.retry"]), ..all() },
            AuditFilter { target: texts(&["t"]), ..all() },
        ] {
            let page = db.store.desk().audit(filter.clone(), 50, None).await.unwrap();
            let roles: Vec<_> = page.items.iter().rev().map(|row| row.role.as_deref()).collect();
            let expected = [None, Some("viewer"), Some("reviewer"), Some("operator"), None];
            assert_eq!(roles, expected, "{filter:?}");
        }
    }

    /// Two filters are found by the first, and only so many rows of it are read for a page.
    async fn a_page_is_bounded_when_one_filter_has_much_and_the_other_little(db: Fixture) {
        let rare = vec![did("dana", "job.cancel", None)];
        db.store.audit().record(rare).await.unwrap();
        let entries: Vec<AuditEntry> = (0..6_000).map(|_| did("dana", "job.retry", None)).collect();
        for _ in 0..2 {
            db.store.audit().record(entries.clone()).await.unwrap();
        }
        let filter = AuditFilter {
            action: texts(&["job.cancel"]),
            actor: texts(&["dana"]),
            ..AuditFilter::default()
        };
        let first = db.store.desk().audit(filter.clone(), 50, None).await.unwrap();
        assert!(first.items.is_empty() && first.next.is_some(), "{first:?}");
        assert_eq!(list(&db, filter).await.len(), 1);
        // No statement finds rows by the way they came.
        let filter = AuditFilter { via: texts(&["file"]), ..AuditFilter::default() };
        let first = db.store.desk().audit(filter.clone(), 50, None).await.unwrap();
        assert!(first.items.is_empty() && first.next.is_some(), "{first:?}");
        assert!(list(&db, filter).await.is_empty());
    }

    async fn rows_are_kept_for_a_year(db: Fixture) {
        let day: i64 = 86_400_000;
        db.store.audit().record(vec![did("dana", "job.retry", None)]).await.unwrap();
        let newest = list(&db, AuditFilter::default()).await[0];
        for days in [364, 366, 400] {
            let id = newest - ((days * day) << 22);
            let now = if db.is_sqlite() { "0" } else { "now()" };
            db.execute(&format!(
                "insert into audit (id, happened_at, actor, via, action) values ({id}, {now}, 'dana', 'api', 'job.retry')"
            ))
            .await;
        }
        let (mut round, keep) = (Pruning::begin(), db.config.retention.clone());
        while !round.is_over() {
            let pruned = db.store.chores().prune(&mut round, &keep, Duration::ZERO).await;
            assert!(pruned.failures.is_empty(), "{:?}", pruned.failures);
        }
        assert_eq!(list(&db, AuditFilter::default()).await, [newest, newest - ((364 * day) << 22)]);
    }
}
