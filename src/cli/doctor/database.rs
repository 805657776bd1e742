//! The database: reachable, durable, migrated, and of one time with this machine.

use super::{files::cause, finding::Finding};
use crate::{
    config::Config,
    store::{self, DatabaseFacts, StoreError},
};
use std::time::Duration;

/// How long the look may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Clocks further apart than this make times in lists and logs hard to compare.
const CLOCK_GOOD_MS: u64 = 1_000;
/// Beyond this, signatures that carry a time are judged wrongly.
const CLOCK_BAD_MS: u64 = 60_000;
/// The connections of a daemon beside `database.max_connections`: heartbeats, listening, and two
/// for the admin API.
const CONNECTIONS_BESIDE: u32 = 4;

/// Looks at the database of this configuration, and changes nothing in it.
pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    if let Some(path) = store::sqlite_path(config.database.url.expose())
        && !path.exists()
    {
        let text = format!("there is no `{}` yet: the first start makes it", path.display());
        return vec![Finding::ok("database", text)];
    }
    match tokio::time::timeout(LIMIT, store::examine(&config.database)).await {
        Ok(Ok(facts)) => judge(config, &facts),
        Ok(Err(error)) => vec![unusable(config, &error)],
        Err(_) => {
            let text =
                format!("{} has not answered within {} s", config.database.url, LIMIT.as_secs());
            vec![Finding::bad("database", text, "see whether the server is there and overloaded")]
        }
    }
}

fn unusable(config: &Config, error: &StoreError) -> Finding {
    let mend = if error.comes_back() {
        "start its server, or correct `database.url`; a daemon waits for it and answers 429 until then"
    } else {
        "a daemon does not start until this is mended"
    };
    Finding::bad("database", format!("{}: {}", config.database.url, cause(error)), mend)
}

fn judge(config: &Config, facts: &DatabaseFacts) -> Vec<Finding> {
    let mut findings = vec![
        Finding::ok("database", format!("{} at {}", facts.version, config.database.url)),
        durability(&facts.undurable),
        migrations(facts.migrations.pending(), config.database.auto_migrate),
    ];
    findings.extend(facts.clock_ahead_ms.map(clock));
    let taken = config.database.max_connections.saturating_add(CONNECTIONS_BESIDE);
    findings.extend(facts.connections_max.map(|most| connections(taken, most)));
    findings
}

fn durability(off: &[String]) -> Finding {
    const CHECK: &str = "durability";
    if off.is_empty() {
        return Finding::ok(CHECK, "a commit is flushed before it is acknowledged");
    }
    Finding::bad(
        CHECK,
        format!("the server may lose acknowledged webhooks: {}", off.join(", ")),
        "set it to `on` in postgresql.conf, or for the database with `alter database … set`",
    )
}

fn migrations(pending: usize, are_automatic: bool) -> Finding {
    const CHECK: &str = "migrations";
    match (pending, are_automatic) {
        (0, _) => Finding::ok(CHECK, "all are applied"),
        (_, true) => Finding::ok(CHECK, format!("{pending} pending: the next start applies them")),
        (_, false) => Finding::bad(
            CHECK,
            format!("{pending} pending, and `database.auto_migrate` is off"),
            "make a backup, then `postroom migrate up`",
        ),
    }
}

fn clock(ahead_ms: i64) -> Finding {
    const CHECK: &str = "clock";
    const MEND: &str = "run a time service (chrony, systemd-timesyncd) on both machines";
    let way = if ahead_ms < 0 { "behind" } else { "ahead" };
    let ms = ahead_ms.unsigned_abs();
    let found = format!("the database's clock is {ms} ms {way}");
    if ms < CLOCK_GOOD_MS {
        Finding::ok(CHECK, found)
    } else if ms < CLOCK_BAD_MS {
        Finding::warn(CHECK, found, MEND)
    } else {
        Finding::bad(CHECK, found, MEND)
    }
}

fn connections(taken: u32, most: u32) -> Finding {
    const CHECK: &str = "connections";
    let found = format!("a daemon opens up to {taken} of the {most} that the server takes");
    if taken < most {
        return Finding::ok(CHECK, found);
    }
    Finding::bad(CHECK, found, "lower `database.max_connections`, or raise the server's")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Grade;

    #[test]
    fn a_server_that_may_lose_commits_is_bad() {
        assert_eq!(durability(&[]).grade, Grade::Ok);
        let off = durability(&["fsync = off".to_owned(), "synchronous_commit = off".to_owned()]);
        assert_eq!(off.grade, Grade::Bad);
        assert!(off.found.contains("fsync = off, synchronous_commit = off"), "{off:?}");
    }

    #[test]
    fn pending_migrations_are_bad_only_if_no_start_applies_them() {
        for (pending, are_automatic, grade) in [
            (0, false, Grade::Ok),
            (0, true, Grade::Ok),
            (2, true, Grade::Ok),
            (2, false, Grade::Bad),
        ] {
            assert_eq!(
                migrations(pending, are_automatic).grade,
                grade,
                "{pending} {are_automatic}"
            );
        }
    }

    #[test]
    fn clocks_that_differ_are_told_in_either_direction() {
        for (ahead_ms, grade) in [
            (0, Grade::Ok),
            (-999, Grade::Ok),
            (1_000, Grade::Warn),
            (-59_999, Grade::Warn),
            (60_000, Grade::Bad),
            (i64::MIN, Grade::Bad),
        ] {
            assert_eq!(clock(ahead_ms).grade, grade, "{ahead_ms}");
        }
        assert!(clock(-5_000).found.contains("5000 ms behind"));
    }

    #[test]
    fn a_daemon_that_takes_all_connections_of_the_server_is_bad() {
        for (taken, most, grade) in
            [(14, 100, Grade::Ok), (100, 100, Grade::Bad), (104, 100, Grade::Bad)]
        {
            assert_eq!(connections(taken, most).grade, grade, "{taken} of {most}");
        }
    }

    #[test]
    fn an_error_says_whether_waiting_helps() {
        let config = Config::load(&crate::config::Sources::default()).expect("valid");
        let away = unusable(&config, &StoreError::Unreachable("refused".to_owned()));
        assert!(away.mend.contains("waits for it"), "{away:?}");
        let wrong = unusable(&config, &StoreError::Unusable("no database".to_owned()));
        assert!(wrong.mend.contains("does not start"), "{wrong:?}");
        assert_eq!((away.grade, wrong.grade), (Grade::Bad, Grade::Bad));
    }
}
