//! Errors of jobs, and the groups that they form: the jobs whose last errors have one signature.

use super::{
    Desk,
    jobs::{JobFilter, Search},
};
use crate::domain::{Id, Timestamp, error_signature::error_signature};
use crate::store::engine::{
    StoreError,
    ids::given_out_at,
    sessions::Sessions,
    sql::sql,
    tx::{group, read},
};
use sea_orm::QueryResult;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

sql! {
    /// The last errors of jobs, with the ends of their last attempts. By primary keys.
    static READ_ERRORS =
        "select j.id, j.kind, j.client_id, \
           @ms((select max(x.finished_at) from job_attempts x where x.job_id = j.id)) as ended_at, \
           (select substr(x.error, 1, 2000) from job_attempts x where x.job_id = j.id and x.error is not null \
             order by x.run desc limit 1) as error \
         from jobs j where j.id @ids($1) order by j.id desc";
}

/// The most jobs of which the errors are read for one page.
const READ_MAX: usize = 50_000;
/// How long reading may take. A read that has begun by then is read to its end.
const READING_MAX: Duration = Duration::from_millis(80);
/// How many jobs are looked at by one read: few, so that the last read is soon at its end.
const AT_ONCE: usize = 500;
/// The most groups of one page.
const GROUPS_MAX: usize = 500;

/// The last error of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobError {
    pub(super) id: Id,
    kind: String,
    client_id: String,
    /// When its last attempt ended.
    ended_at: Timestamp,
    pub(super) error: Option<String>,
}

impl JobError {
    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let id = row.try_get("", "id")?;
        let ended_at: Option<i64> = row.try_get("", "ended_at")?;
        Ok(Self {
            id,
            kind: row.try_get("", "kind")?,
            client_id: row.try_get("", "client_id")?,
            ended_at: ended_at.map_or_else(|| given_out_at(id), Timestamp::from_millis),
            error: row.try_get("", "error")?,
        })
    }
}

/// The last errors of these jobs, newest job first.
pub(super) async fn of(reader: &Sessions, ids: &[Id]) -> Result<Vec<JobError>, StoreError> {
    let rows = read(reader, &READ_ERRORS, [group(ids)?]).await?;
    rows.iter().map(JobError::from_row).collect()
}

impl Desk {
    /// Jobs before `cursor` that match, as groups with one error each. It reads for about 80
    /// milliseconds at most.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn error_groups(
        &self,
        filter: JobFilter,
        cursor: Option<Id>,
    ) -> Result<ErrorGroups, StoreError> {
        self.db.call(|db| async move { groups(db.api(), filter, cursor).await }).await
    }
}

/// The jobs whose last errors have one signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorGroup {
    /// The signature of their last errors.
    pub signature: String,
    /// How many they are.
    pub count: u64,
    /// When the last attempt of the first of them ended.
    pub first_at: Timestamp,
    /// When that of the last of them ended.
    pub last_at: Timestamp,
    /// How many they are, by client.
    pub clients: BTreeMap<String, u64>,
    /// How many they are, by kind.
    pub kinds: BTreeMap<String, u64>,
    /// The newest of them.
    pub sample: Id,
    /// Its error; `None` if that has no text.
    pub error: Option<String>,
}

/// The groups of some jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorGroups {
    /// The groups, largest first.
    pub groups: Vec<ErrorGroup>,
    /// How many jobs they have together.
    pub counted: u64,
    /// Where reading goes on; `None` if all jobs that match were read.
    pub next: Option<Id>,
}

impl ErrorGroups {
    /// When the oldest job was stored that could be read; `None` if all were read.
    pub fn back_to(&self) -> Option<Timestamp> {
        self.next.map(given_out_at)
    }

    /// Adds a job. Jobs come newest first.
    fn add(&mut self, job: JobError) {
        self.counted += 1;
        let signature = error_signature(job.error.as_deref().unwrap_or_default());
        let at = self.groups.iter().position(|it| it.signature == signature);
        let at = at.unwrap_or_else(|| {
            self.groups.push(ErrorGroup {
                signature,
                count: 0,
                first_at: job.ended_at,
                last_at: job.ended_at,
                clients: BTreeMap::new(),
                kinds: BTreeMap::new(),
                sample: job.id,
                error: job.error.clone(),
            });
            self.groups.len() - 1
        });
        if let Some(group) = self.groups.get_mut(at) {
            group.count += 1;
            group.first_at = group.first_at.min(job.ended_at);
            group.last_at = group.last_at.max(job.ended_at);
            *group.clients.entry(job.client_id).or_default() += 1;
            *group.kinds.entry(job.kind).or_default() += 1;
        }
    }
}

/// The groups of the jobs before `cursor` that match. It reads so many jobs, and for so long; what
/// it did not reach is behind `next`.
async fn groups(
    reader: &Sessions,
    filter: JobFilter,
    cursor: Option<Id>,
) -> Result<ErrorGroups, StoreError> {
    let until = Instant::now() + READING_MAX;
    let search = Search::of(reader, filter).await?;
    let mut found = ErrorGroups { next: cursor.or(Some(Id::MAX)), ..ErrorGroups::default() };
    let mut looked_at = 0;
    while let Some(before) = found.next {
        let hits = search.matching(reader, before, AT_ONCE).await?;
        looked_at += AT_ONCE;
        for job in of(reader, &hits.ids).await? {
            found.add(job);
        }
        found.next = hits.next;
        let is_enough = looked_at >= READ_MAX || found.groups.len() >= GROUPS_MAX;
        if is_enough || Instant::now() >= until {
            break;
        }
    }
    found.groups.sort_by_key(|it| (std::cmp::Reverse(it.count), std::cmp::Reverse(it.last_at)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_with_one_signature_are_one_group() {
        let mut found = ErrorGroups::default();
        for (id, client, error, at) in [
            (9, "a", Some("timed out after 5 s"), 900),
            (8, "b", Some("timed out after 60 s"), 950),
            (7, "a", Some("no phone"), 700),
            (6, "a", Some("timed out after 1 s"), 600),
            (5, "a", None, 500),
        ] {
            found.add(JobError {
                id,
                kind: "K".to_owned(),
                client_id: client.to_owned(),
                ended_at: Timestamp::from_millis(at),
                error: error.map(str::to_owned),
            });
        }
        assert_eq!((found.counted, found.groups.len()), (5, 3));
        let largest = found.groups.first().unwrap();
        assert_eq!((largest.signature.as_str(), largest.count), ("timed out after # s", 3));
        assert_eq!((largest.first_at.as_millis(), largest.last_at.as_millis()), (600, 950));
        assert_eq!(largest.clients, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        assert_eq!((largest.sample, largest.error.as_deref()), (9, Some("timed out after 5 s")));
    }
}
