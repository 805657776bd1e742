//! Sessions of people: a code is good once, and what is revoked is known to all nodes.

use crate::{on_both_databases, support::fixture::Fixture};
use postroom::{
    domain::UserRole,
    store::{AuditEntry, AuditFilter, NewSession, Pruning, SessionStart, UserSessions, Via},
};
use std::{collections::HashSet, time::Duration};

fn new(hash: &str, user: &str) -> NewSession {
    NewSession {
        hash: hash.to_owned(),
        token_mark: "mark".to_owned(),
        user: user.to_owned(),
        actor: user.to_owned(),
        browser: "Firefox".to_owned(),
        lasts: Duration::from_secs(3_600),
    }
}

fn entry(action: &'static str) -> AuditEntry {
    AuditEntry { role: Some(UserRole::Viewer), ..AuditEntry::new("dana", Via::Page, action) }
}

async fn begin(sessions: &UserSessions, hash: &str, user: &str) -> SessionStart {
    sessions.begin(new(hash, user), entry("session.begin")).await.unwrap()
}

async fn begun(sessions: &UserSessions, hash: &str, user: &str) -> i64 {
    match begin(sessions, hash, user).await {
        SessionStart::Begun(id) => id,
        other => panic!("{other:?}"),
    }
}

/// The actions and targets of the audit log, oldest first.
async fn log(db: &Fixture) -> Vec<(String, Option<String>)> {
    let rows = db.store.desk().audit(AuditFilter::default(), 100, None).await.unwrap().items;
    assert!(rows.iter().all(|row| row.role.as_deref() == Some("viewer")), "{rows:?}");
    rows.into_iter().rev().map(|row| (row.action, row.target)).collect()
}

on_both_databases! {
    async fn a_session_begins_once_is_listed_and_revoked(db: Fixture) {
        let sessions = db.store.user_sessions();
        let first = begun(&sessions, "one", "dana").await;
        let second = begun(&sessions, "two", "kim").await;
        assert_eq!(begin(&sessions, "one", "kim").await, SessionStart::UsedBefore);
        let ids = async |user: Option<&str>, limit, cursor| {
            let page = sessions.list(user.map(str::to_owned), limit, cursor).await.unwrap();
            (page.items.iter().map(|row| row.id).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(ids(None, 10, None).await, (vec![second, first], None));
        assert_eq!(ids(None, 1, None).await, (vec![second], Some(second)));
        assert_eq!(ids(None, 1, Some(second)).await, (vec![first], None));
        assert_eq!(ids(Some("dana"), 10, None).await, (vec![first], None));
        assert_eq!(ids(Some("nobody"), 10, None).await, (vec![], None));
        let row = sessions.get(first).await.unwrap().unwrap();
        assert_eq!((row.user_name.as_str(), row.browser.as_str(), row.revoked_at), ("dana", "Firefox", None));
        assert_eq!(row.expires_at.0 - row.created_at.0, 3_600_000);
        // Revoked once.
        assert_eq!(sessions.revoked().await.unwrap(), HashSet::new());
        assert!(sessions.revoke(first, entry("session.revoke")).await.unwrap());
        assert!(!sessions.revoke(first, entry("session.revoke")).await.unwrap());
        assert!(!sessions.revoke(5, entry("session.revoke")).await.unwrap());
        assert_eq!(sessions.revoked().await.unwrap(), HashSet::from(["one".to_owned()]));
        assert!(sessions.get(first).await.unwrap().unwrap().revoked_at.is_some());
        let target = |id: i64| Some(id.to_string());
        let expected = [
            ("session.begin".to_owned(), target(first)),
            ("session.begin".to_owned(), target(second)),
            ("session.revoke".to_owned(), None),
        ];
        assert_eq!(log(&db).await, expected);
    }

    async fn a_use_is_written_at_most_once_a_minute(db: Fixture) {
        let sessions = db.store.user_sessions();
        let id = begun(&sessions, "one", "dana").await;
        let used = async || sessions.get(id).await.unwrap().unwrap().used_at.0;
        let at_start = used().await;
        sessions.touch("one".to_owned()).await.unwrap();
        assert_eq!(used().await, at_start);
        let earlier = if db.is_sqlite() { "used_at - 120000" } else { "used_at - interval '2 minutes'" };
        db.execute(&format!("update sessions set used_at = {earlier}")).await;
        sessions.touch("one".to_owned()).await.unwrap();
        assert!(used().await >= at_start);
    }

    async fn the_sessions_of_a_user_are_bounded_and_old_ones_are_pruned(db: Fixture) {
        let sessions = db.store.user_sessions();
        let now = if db.is_sqlite() { "1" } else { "now()" };
        for n in 1..=1_000 {
            db.execute(&format!(
                "insert into sessions (id, hash, token_mark, user_name, actor, browser, created_at, used_at, expires_at) \
                 values ({n}, 'h{n}', 'm', 'dana', 'dana', 'b', {now}, {now}, {now})"
            ))
            .await;
        }
        assert_eq!(begin(&sessions, "new", "dana").await, SessionStart::TooMany);
        let kept = begun(&sessions, "new", "kim").await;
        let mut round = Pruning::begin();
        let budget = Duration::from_secs(60);
        let pruned = db.store.chores().prune(&mut round, &db.config.retention, budget).await;
        assert!(pruned.failures.is_empty() && round.is_over(), "{:?}", pruned.failures);
        let page = sessions.list(None, 2_000, None).await.unwrap();
        assert_eq!(page.items.iter().map(|row| row.id).collect::<Vec<_>>(), [kept]);
    }

    async fn all_nodes_have_one_key(db: Fixture) {
        let other = db.another_node().await;
        let keys = [&db.store, &other].map(|store| store.user_sessions().key().expose().to_owned());
        assert_eq!(keys[0], keys[1]);
        assert!(keys[0].len() >= 60, "{} characters", keys[0].len());
    }
}
