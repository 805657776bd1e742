//! The rules between the answers that providers got and the rows of the database, once no work is
//! left.

use super::load::Told;
use crate::support::both::Peek;
use std::collections::HashMap;

/// `(what is wrong, how many of it)`: each must find none. Jobs of the canary come and go, and are
/// left out where it matters.
const NONE_OF: &[(&str, &str)] = &[
    (
        "messages without exactly one inbound job",
        "select count(*) from messages m where 1 <> (select count(*) from jobs j where j.subject_id = m.id \
           and j.kind like '%\\_INBOUND\\_POST\\_PROCESS' escape '\\')",
    ),
    (
        "inbound jobs of no message",
        "select count(*) from jobs j where j.kind like '%\\_INBOUND\\_POST\\_PROCESS' escape '\\' \
           and not exists (select 1 from messages m where m.id = j.subject_id)",
    ),
    (
        "messages that were not worked through",
        "select count(*) from messages where handled_at is null",
    ),
    (
        "messages stored twice under one id of their provider",
        "select count(*) from (select 1 as n from messages where provider_id is not null \
           group by client_id, channel, provider_id having count(*) > 1) d",
    ),
    (
        "keys of no message",
        "select count(*) from message_keys k where not exists (select 1 from messages m where m.id = k.message_id)",
    ),
    (
        "jobs in two places",
        "select count(*) from (select 1 as n from (select job_id from job_ready union all select job_id from job_blocked \
           union all select job_id from job_later union all select job_id from job_attempts where ended) p \
           group by job_id having count(*) > 1) d",
    ),
    (
        "jobs in no place",
        "select count(*) from jobs j where not exists (select 1 from job_ready r where r.job_id = j.id) \
           and not exists (select 1 from job_blocked b where b.job_id = j.id) \
           and not exists (select 1 from job_later l where l.job_id = j.id) \
           and not exists (select 1 from job_attempts a where a.job_id = j.id and a.ended)",
    ),
    (
        "attempts of no job",
        "select count(*) from job_attempts a where not exists (select 1 from jobs j where j.id = a.job_id)",
    ),
    (
        "blocked lines without a head",
        "select count(*) from job_blocked b where not exists (select 1 from job_ready r where r.line = b.line)",
    ),
    (
        "jobs that have not ended exactly once",
        "select count(*) from jobs j where j.kind <> 'SELF_CHECK' \
           and 1 <> (select count(*) from job_attempts a where a.job_id = j.id and a.ended)",
    ),
    ("jobs that are still claimed", "select count(*) from job_ready where node is not null"),
    (
        "attempts after the one that ended their job",
        "select count(*) from job_attempts a join job_attempts e on e.job_id = a.job_id where e.ended and a.run > e.run",
    ),
    (
        "runs that do not rise with time",
        "select count(*) from job_attempts a join job_attempts b on b.job_id = a.job_id \
           where a.run < b.run and a.finished_at > b.finished_at",
    ),
    (
        "jobs that ended otherwise than well",
        "select count(*) from job_attempts a join jobs j on j.id = a.job_id where a.ended and a.outcome <> 'succeeded' \
           and j.kind <> 'SELF_CHECK'",
    ),
    (
        "attempts that failed otherwise than by a kill, an injected panic or a stop",
        "select count(*) from job_attempts where outcome not in ('succeeded', 'rescued', 'panic', 'shutdown')",
    ),
    (
        "messages with two drafts on a channel",
        "select count(*) from (select 1 as n from drafts group by message_id, channel having count(*) > 1) d",
    ),
    (
        "leads with two pending drafts on a channel",
        "select count(*) from (select 1 as n from drafts where status = 'pending' group by lead_id, channel having count(*) > 1) d",
    ),
    (
        "pending drafts that do not answer the newest message",
        "select count(*) from drafts d join leads l on l.id = d.lead_id \
           where d.status = 'pending' and d.message_id <> l.newest_inbound_id",
    ),
    (
        "messages without exactly one scoring job",
        "select count(*) from messages m where 1 <> (select count(*) from jobs j where j.subject_id = m.id \
           and j.kind = 'LEAD_SCORING_POST_PROCESS')",
    ),
    (
        "leads without a score",
        "select count(*) from leads where scored_at is null and merged_into is null",
    ),
    (
        "kinds whose jobs are not those that were counted",
        "select count(*) from (select k.kind from (select distinct kind from jobs) k where \
           (select count(*) from jobs j where j.kind = k.kind) <> \
           (select coalesce(sum(count), 0) from job_counts c where c.kind = k.kind and c.state = 'enqueued') \
           or (select count(*) from job_attempts a join jobs j on j.id = a.job_id where j.kind = k.kind and a.ended \
             and a.outcome = 'succeeded') <> \
           (select coalesce(sum(count), 0) from job_counts c where c.kind = k.kind and c.state = 'succeeded') \
           or (select count(*) from job_attempts a join jobs j on j.id = a.job_id where j.kind = k.kind and a.ended \
             and a.outcome <> 'succeeded') <> \
           (select coalesce(sum(count), 0) from job_counts c where c.kind = k.kind and c.state in ('failed', 'cancelled'))) d",
    ),
    (
        "jobs that are not conserved (enqueued less ended less waiting)",
        "select abs((select count(*) from jobs) - (select count(*) from job_attempts where ended) \
           - (select count(*) from job_ready) - (select count(*) from job_blocked) - (select count(*) from job_later))",
    ),
];

/// How much a check has checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    pub messages: u64,
    pub jobs: u64,
    /// Pairs of messages of a lead of which the second was posted after the first was acknowledged.
    pub ordered: u64,
    pub rescued: u64,
    pub panicked: u64,
}

/// Checks the database against the answers. Returns everything that is wrong.
pub async fn check(db: &Peek, told: &[Told]) -> (Checked, Vec<String>) {
    let mut wrong = Vec::new();
    for (what, sql) in NONE_OF {
        let count = db.number(sql).await;
        if count != 0 {
            wrong.push(format!("{count} {what}"));
        }
    }
    let ends = ends(db).await;
    let mut lost = 0;
    let mut by_lead: HashMap<i64, Vec<(&Told, i64)>> = HashMap::new();
    for it in told {
        match ends.get(&it.message_id) {
            Some(end) if end.job_id == it.job_id && end.is_merged => {}
            Some(end) if end.job_id == it.job_id => {
                by_lead.entry(end.lead_id).or_default().push((it, end.finished_ms));
            }
            Some(_) | None => lost += 1,
        }
    }
    if lost > 0 {
        wrong.push(format!("{lost} acknowledged webhooks without their message and job"));
    }
    let messages = db.number("select count(*) from messages").await;
    if messages != i64::try_from(told.len()).unwrap() {
        wrong.push(format!("{messages} messages of {} events", told.len()));
    }
    let (mut ordered, mut overtaken) = (0, 0);
    for line in by_lead.values_mut() {
        let (pairs, wrong) = overtaken_in(line);
        ordered += pairs;
        overtaken += wrong;
    }
    if overtaken > 0 {
        wrong.push(format!("{overtaken} messages of a lead that ended before an earlier one"));
    }
    let count = async |sql: &str| u64::try_from(db.number(sql).await).unwrap();
    let checked = Checked {
        messages: u64::try_from(messages).unwrap(),
        jobs: count("select count(*) from jobs").await,
        ordered,
        rescued: count("select count(*) from job_attempts where outcome = 'rescued'").await,
        panicked: count("select count(*) from job_attempts where outcome = 'panic'").await,
    };
    (checked, wrong)
}

/// How the inbound job of a message ended.
struct End {
    lead_id: i64,
    job_id: i64,
    finished_ms: i64,
    /// Other leads were found to be this one: their messages lost their order among its own.
    is_merged: bool,
}

async fn ends(db: &Peek) -> HashMap<i64, End> {
    let finished = if db.is_sqlite() {
        "a.finished_at"
    } else {
        "cast(extract(epoch from a.finished_at) * 1000 as bigint)"
    };
    let sql = format!(
        "select m.id || ' ' || m.lead_id || ' ' || j.id || ' ' || {finished} || ' ' || \
           case when exists (select 1 from leads l where l.merged_into = m.lead_id) then 1 else 0 end \
         from messages m join jobs j on j.subject_id = m.id and j.kind like '%\\_INBOUND\\_POST\\_PROCESS' escape '\\' \
         join job_attempts a on a.job_id = j.id and a.ended"
    );
    let row = |text: &String| {
        let numbers: Vec<i64> = text.split(' ').map(|it| it.parse().expect("a number")).collect();
        let [message_id, lead_id, job_id, finished_ms, is_merged] = numbers[..] else {
            panic!("{text}")
        };
        (message_id, End { lead_id, job_id, finished_ms, is_merged: is_merged != 0 })
    };
    db.texts(&sql).await.iter().map(row).collect()
}

/// How many pairs of a lead's messages have a known order, and how many of these ended in the other
/// order.
fn overtaken_in(line: &mut [(&Told, i64)]) -> (u64, u64) {
    line.sort_unstable_by_key(|it| it.0.posted);
    let mut by_answer: Vec<(std::time::Duration, i64)> =
        line.iter().map(|it| (it.0.acknowledged, it.1)).collect();
    by_answer.sort_unstable();
    let (mut before, mut latest, mut pairs, mut overtaken) = (0, i64::MIN, 0, 0);
    for (told, finished_ms) in line {
        while let Some((acknowledged, finished)) = by_answer.get(before)
            && *acknowledged < told.posted
        {
            latest = latest.max(*finished);
            before += 1;
        }
        pairs += before as u64;
        overtaken += u64::from(latest > *finished_ms);
    }
    (pairs, overtaken)
}

#[test]
fn the_checker_sees_a_lead_whose_later_message_ended_first() {
    let told = |posted_ms, acknowledged_ms| Told {
        posted: std::time::Duration::from_millis(posted_ms),
        acknowledged: std::time::Duration::from_millis(acknowledged_ms),
        message_id: 1,
        job_id: 2,
    };
    let (first, second, beside) = (told(0, 10), told(20, 30), told(5, 25));
    assert_eq!(overtaken_in(&mut [(&second, 200), (&first, 100)]), (1, 0));
    assert_eq!(overtaken_in(&mut [(&second, 100), (&first, 200)]), (1, 1));
    // Posted before the first was acknowledged: no order is known.
    assert_eq!(overtaken_in(&mut [(&beside, 100), (&first, 200)]), (0, 0));
}
