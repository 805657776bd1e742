//! What holds the jobs of a kind: the pool itself, or something that all of them wait for.

use super::{
    ConfigKey, Explanation, JobReason, PoolFacts, PoolPause,
    words::{many, quoted, when},
};
use crate::domain::Timestamp;

/// What is known of the jobs of a kind, beside their pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolBacklog {
    /// The time of the explanation.
    pub now: Timestamp,
    /// The kind of the jobs.
    pub kind: String,
    /// How many jobs wait; `None` if they could not be counted.
    pub backlog: Option<i64>,
    /// Since when the job is due that has been due longest. `None` if none is due.
    pub due_since: Option<Timestamp>,
    /// Since when the database does not answer.
    pub away_since: Option<Timestamp>,
    /// The key that switches sending off, if the kind sends.
    pub switched_off: Option<ConfigKey>,
    /// The clients with jobs of the kind that are at their caps: name, running jobs of all kinds,
    /// and the key that caps them.
    pub capped: Vec<(String, i64, Option<ConfigKey>)>,
    /// The paused accounts, if the kind sends: client, channel, and until when.
    pub accounts: Vec<(String, String, Timestamp)>,
}

/// What holds the jobs of a kind on this node. The reasons are words of [`JobReason`], and
/// `nothing` if the jobs that are due run.
pub fn explain_pool(pool: &PoolFacts, queue: &PoolBacklog) -> Explanation {
    let explanation = of_pool(pool, queue).or_else(|| of_queue(pool, queue));
    explanation.unwrap_or_else(|| nothing(queue)).link("pool", &queue.kind)
}

fn of(
    reason: JobReason,
    sentence: impl Into<String>,
    what_to_do: impl Into<String>,
) -> Explanation {
    Explanation::of(reason.as_str(), sentence.into(), what_to_do.into())
}

/// What keeps the pool from claiming.
fn of_pool(pool: &PoolFacts, queue: &PoolBacklog) -> Option<Explanation> {
    let (kind, now) = (&queue.kind, queue.now);
    if let Some(pause) = &pool.pause {
        return Some(paused(pause, queue));
    }
    if pool.backing_off > 0 && pool.backing_off >= pool.size {
        let why = pool.last_failure.as_ref();
        let why = why.map_or_else(String::new, |(_, reason)| format!(" Last: {}.", quoted(reason)));
        let until =
            pool.resumes_at.map_or_else(String::new, |at| format!(", until {}", when(at, now)));
        let sentence = format!(
            "Its {} went down again and again, and wait for their restart{until}.{why}",
            many(pool.size, "slot")
        );
        let todo = format!("See what failed: `postroom jobs list --kind {kind} --status failed`.");
        return Some(of(JobReason::BackingOff, sentence, todo).until(pool.resumes_at));
    }
    if pool.is_recorder_full {
        let sentence =
            "The recorder has no room for another outcome: too many wait for their commit.";
        return Some(of(
            JobReason::RecorderFull,
            sentence,
            "See the check `database` in `/readyz`.",
        ));
    }
    if let Some(error) = &pool.write_error {
        let sentence = format!("The last write to the database failed: {}.", quoted(error));
        let todo = "See the database: its disk, its locks, whether it is read-only.";
        return Some(of(JobReason::DatabaseAway, sentence, todo));
    }
    if let Some(since) = queue.away_since {
        let sentence = format!("The database does not answer since {}.", when(since, now));
        let todo = "See the check `database` in `/readyz`. Claims go on by themselves.";
        return Some(of(JobReason::DatabaseAway, sentence, todo).since(since));
    }
    if let Some(since) = pool.stalled_since {
        let sentence = format!(
            "The supervisor has not ticked since {}. This is a fault of Postroom.",
            when(since, now)
        );
        return Some(
            of(JobReason::Fault, sentence, "Restart this node, and keep its log.").since(since),
        );
    }
    None
}

fn paused(pause: &PoolPause, queue: &PoolBacklog) -> Explanation {
    let (kind, now) = (&queue.kind, queue.now);
    match pause {
        PoolPause::ByOperator { by, note, at, until } => {
            let note = note.as_deref().map(quoted).filter(|note| !note.is_empty());
            let why = note.map_or_else(String::new, |note| format!(": \"{note}\""));
            let ends = match until {
                Some(until) => format!("It ends at {}.", when(*until, now)),
                None => "No end is set.".to_owned(),
            };
            let sentence = format!("Paused by {} at {}{why}. {ends}", quoted(by), when(*at, now));
            let todo = format!("If the cause is mended: `postroom pools resume {kind}`.");
            of(JobReason::Paused, sentence, todo).since(*at).until(*until)
        }
        PoolPause::ByFile(key) => {
            let sentence = format!("The configuration pauses it: {} is true.", key.spelled());
            let todo = format!("If it is to run: set {} to false.", key.spelled());
            of(JobReason::Paused, sentence, todo).key(key)
        }
        PoolPause::NotSaid => {
            let todo = format!("If the cause is mended: `postroom pools resume {kind}`.");
            of(JobReason::Paused, "It is paused.", todo)
        }
    }
}

/// What the jobs of the kind wait for though the pool claims.
fn of_queue(pool: &PoolFacts, queue: &PoolBacklog) -> Option<Explanation> {
    if queue.backlog.is_none_or(|count| count == 0) {
        return None;
    }
    if let Some(key) = &queue.switched_off {
        let sentence = format!("Sending is switched off: {} is false.", key.spelled());
        let todo = format!("To send again: set {} to true.", key.spelled());
        return Some(of(JobReason::SwitchedOff, sentence, todo).key(key));
    }
    if pool.size > 0 && pool.busy + pool.backing_off >= pool.size && queue.due_since.is_some() {
        let longest = match pool.longest {
            Some((job, since)) => {
                format!(", the longest by job {job} since {}", when(since, queue.now))
            }
            None => String::new(),
        };
        let sentence =
            format!("The pool: {} of {} busy{longest}.", pool.busy, many(pool.size, "slot"));
        let todo = format!(
            "Wait, or run more at once: `postroom pools resize {} {}`.",
            queue.kind,
            pool.size.saturating_mul(2)
        );
        let explanation = of(JobReason::PoolFull, sentence, todo);
        return Some(match pool.longest {
            Some((job, _)) => explanation.link("job", job),
            None => explanation,
        });
    }
    if let Some((client, running, key)) = queue.capped.first() {
        let more = match queue.capped.len() {
            1 => String::new(),
            count => format!(" {} more are at theirs.", count - 1),
        };
        let spelled = key.as_ref().map_or_else(String::new, |key| format!(" ({})", key.spelled()));
        let sentence = format!(
            "A cap: the client {} runs {running} jobs and may run no more{spelled}.{more}",
            quoted(client)
        );
        let todo = "Wait, or raise the cap of the client.";
        let explanation = of(JobReason::Held, sentence, todo);
        return Some(match key {
            Some(key) => explanation.key(key),
            None => explanation,
        });
    }
    if let Some((client, channel, until)) = queue.accounts.iter().max_by_key(|it| it.2) {
        let more = match queue.accounts.len() {
            1 => String::new(),
            count => format!(" {} more are paused.", count - 1),
        };
        let sentence = format!(
            "A provider: the account {channel} of {} is paused until {}.{more}",
            quoted(client),
            when(*until, queue.now)
        );
        let todo = "See what the provider says: `postroom overview`.";
        return Some(of(JobReason::AccountPaused, sentence, todo).until(*until));
    }
    if queue.due_since.is_none() {
        let sentence = "The clock: no job is due. Those that wait are due later, or behind another of their lead.";
        return Some(of(JobReason::Later, sentence, "Nothing is to be done."));
    }
    None
}

fn nothing(queue: &PoolBacklog) -> Explanation {
    let sentence = if queue.backlog == Some(0) { "Nothing: no job waits." } else { "Nothing." };
    Explanation::of("nothing", sentence.to_owned(), "Nothing is to be done.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_768_744_991_000).plus_millis(seconds * 1_000)
    }

    fn queue() -> PoolBacklog {
        PoolBacklog {
            now: at(0),
            kind: "DELIVER_REPLY".to_owned(),
            backlog: Some(214),
            due_since: Some(at(-60)),
            ..PoolBacklog::default()
        }
    }

    fn key(name: &str) -> ConfigKey {
        ConfigKey { key: name.to_owned(), place: Some("local.toml:4".to_owned()) }
    }

    #[test]
    fn a_kind_is_held_by_one_thing_at_a_time() {
        let pool = || PoolFacts { size: 8, ..PoolFacts::default() };
        let pause = PoolPause::ByOperator {
            by: "dana".to_owned(),
            note: Some("GoHighLevel answers 500".to_owned()),
            at: at(-2_520),
            until: None,
        };
        let full = PoolFacts { busy: 8, longest: Some((7, at(-30))), ..pool() };
        let capped = vec![("acme".to_owned(), 16, Some(key("clients.acme.max_running")))];
        let accounts = vec![("acme".to_owned(), "sms".to_owned(), at(90))];
        for (pool, queue, reason, part) in [
            (
                PoolFacts { pause: Some(pause), ..full.clone() },
                queue(),
                "paused",
                "Paused by dana at",
            ),
            (
                PoolFacts { pause: Some(PoolPause::ByFile(key("pools.X.paused"))), ..pool() },
                queue(),
                "paused",
                "`pools.X.paused` (local.toml:4) is true",
            ),
            (
                PoolFacts {
                    backing_off: 8,
                    last_failure: Some((at(-1), "index out of bounds".to_owned())),
                    ..pool()
                },
                queue(),
                "backing_off",
                "Last: index out of bounds.",
            ),
            (PoolFacts { is_recorder_full: true, ..pool() }, queue(), "recorder_full", "no room"),
            (
                PoolFacts { write_error: Some("disk full".to_owned()), ..pool() },
                queue(),
                "database_away",
                "disk full",
            ),
            (
                pool(),
                PoolBacklog { away_since: Some(at(-5)), ..queue() },
                "database_away",
                "does not answer since",
            ),
            (PoolFacts { stalled_since: Some(at(-9)), ..pool() }, queue(), "fault", "not ticked"),
            (
                full.clone(),
                PoolBacklog { switched_off: Some(key("sending.enabled")), ..queue() },
                "switched_off",
                "`sending.enabled` (local.toml:4) is false",
            ),
            (full.clone(), queue(), "pool_full", "8 of 8 slots busy, the longest by job 7"),
            (pool(), PoolBacklog { capped, ..queue() }, "held", "the client acme runs 16 jobs"),
            (pool(), PoolBacklog { accounts, ..queue() }, "account_paused", "account sms of acme"),
            (pool(), PoolBacklog { due_since: None, ..queue() }, "later", "The clock"),
            (pool(), queue(), "nothing", "Nothing."),
            (full, PoolBacklog { backlog: Some(0), ..queue() }, "nothing", "no job waits"),
        ] {
            let found = explain_pool(&pool, &queue);
            assert_eq!(found.reason, reason, "{}", found.sentence);
            assert!(found.sentence.contains(part), "{part:?} is not in {:?}", found.sentence);
            assert!(!found.what_to_do.is_empty());
        }
    }
}
