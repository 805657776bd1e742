//! `/audit`: who changed what, and when.

use super::{
    ApiResult, ApiState,
    objects::{self, List, RowKey},
    query::Query,
};
use crate::{
    domain::{Id, Timestamp, median_ms},
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, CURSOR, LIMIT, SINCE, Takes, UNTIL, UserRoleWord, get,
        },
        problem::Problem,
    },
    store::{AuditFilter, AuditRow, Page, StoreError, Via},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;

/// The parameters of the audit log.
const PARAMETERS: [ApiParameter; 8] = [
    ApiParameter::new("action", Takes::Names),
    ApiParameter::new("actor", Takes::Names),
    ApiParameter::new("via", Takes::Words(|| Via::ALL.map(Via::as_str).to_vec())),
    ApiParameter::new("target", Takes::Names),
    SINCE,
    UNTIL,
    LIMIT,
    CURSOR,
];

/// The audit log.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/audit", list)
            .says("Who changed what, newest first")
            .takes(&PARAMETERS)
            .answers::<List<AuditJson<'_>>>(),
    ]
}

/// The most decisions that are counted.
pub(in crate::http) const DECIDED_MAX: usize = 500;

/// What people have decided about drafts since some instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct DecidedLately {
    /// How many approvals and rejections: at most [`DECIDED_MAX`].
    pub(in crate::http) count: usize,
    /// How many of these approved.
    pub(in crate::http) approved: usize,
    /// The last one.
    pub(in crate::http) last_at: Option<Timestamp>,
    /// The median of the times from a draft to its decision, in milliseconds.
    pub(in crate::http) median_ms: Option<i64>,
}

impl ApiState {
    /// What people have decided about drafts since then.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn decided_since(
        &self,
        since: Timestamp,
    ) -> Result<DecidedLately, StoreError> {
        const APPROVE: &str = "draft.approve";
        let filter = AuditFilter {
            action: vec![APPROVE.to_owned(), "draft.reject".to_owned()],
            since: Some(since),
            ..AuditFilter::default()
        };
        let rows = self.desk.audit(filter, DECIDED_MAX, None).await?.items;
        let decided: Vec<(Id, Timestamp)> = rows
            .iter()
            .filter_map(|row| {
                let draft = row.target.as_deref()?.parse().ok()?;
                Some((draft, Timestamp::from_millis(row.happened_at.0)))
            })
            .collect();
        let made = self.desk.drafts_made(decided.iter().map(|it| it.0).collect()).await?;
        Ok(DecidedLately {
            count: rows.len(),
            approved: rows.iter().filter(|row| row.action == APPROVE).count(),
            last_at: rows.first().map(|row| Timestamp::from_millis(row.happened_at.0)),
            median_ms: median_until_decided(&decided, &made.into_iter().collect()),
        })
    }
}

/// The median of the times from drafts to their decisions. A draft that was regenerated after its
/// decision does not count, nor does one that is gone.
fn median_until_decided(decided: &[(Id, Timestamp)], made: &HashMap<Id, Timestamp>) -> Option<i64> {
    let took = |(draft, at): &(Id, Timestamp)| {
        let took = at.millis_since(*made.get(draft)?);
        (took >= 0).then_some(took)
    };
    median_ms(decided.iter().filter_map(took).collect())
}

/// `GET /audit`. A page may have fewer rows than asked for, and yet a next one.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let page = state.audit_rows(&query, query.limit()?).await?;
    let items = page.items.iter().map(AuditJson::of).collect();
    objects::page(items, page.next)
}

impl ApiState {
    /// Rows of the audit log that a query selects, newest first.
    ///
    /// # Errors
    /// 400 for what is no way, no time or no cursor; if the database is away.
    pub(in crate::http) async fn audit_rows(
        &self,
        query: &Query,
        limit: usize,
    ) -> Result<Page<AuditRow>, Problem> {
        let filter = AuditFilter {
            action: query.values("action"),
            actor: query.values("actor"),
            via: query.one_of("via", &Via::ALL.map(Via::as_str))?,
            target: query.values("target"),
            since: query.instant("since")?,
            until: query.instant("until")?,
        };
        Ok(self.desk.audit(filter, limit, query.cursor()?).await?)
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct AuditJson<'a> {
    id: RowKey,
    at: Timestamp,
    actor: &'a str,
    /// The role that the person had when they acted; `null` where no person acted, and in rows of
    /// versions that did not store it.
    #[schemars(with = "Option<UserRoleWord>")]
    role: Option<&'a str>,
    via: &'a str,
    action: &'a str,
    target: Option<&'a str>,
    old: Option<&'a str>,
    new: Option<&'a str>,
    note: Option<&'a str>,
    node: Option<RowKey>,
    request_id: Option<&'a str>,
}

impl<'a> AuditJson<'a> {
    pub(super) fn of(row: &'a AuditRow) -> Self {
        Self {
            id: RowKey(row.id),
            at: Timestamp::from_millis(row.happened_at.0),
            actor: &row.actor,
            role: row.role.as_deref(),
            via: &row.via,
            action: &row.action,
            target: row.target.as_deref(),
            old: row.old_value.as_deref(),
            new: row.new_value.as_deref(),
            note: row.note.as_deref(),
            node: row.node.map(RowKey),
            request_id: row.request_id.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_decisions_took_as_long_as_the_median_or_less() {
        let at = Timestamp::from_millis;
        let made: HashMap<Id, Timestamp> =
            [(1, at(0)), (2, at(0)), (3, at(0)), (4, at(500))].into();
        for (decided, expected) in [
            (&[][..], None),
            (&[(1, 70)], Some(70)),
            (&[(1, 70), (2, 10)], Some(10)),
            (&[(1, 70), (2, 10), (3, 30)], Some(30)),
            // One that was regenerated after its decision, and one that is gone.
            (&[(1, 70), (4, 400), (9, 5)], Some(70)),
        ] {
            let decided: Vec<(Id, Timestamp)> =
                decided.iter().map(|(id, millis)| (*id, at(*millis))).collect();
            assert_eq!(median_until_decided(&decided, &made), expected, "{decided:?}");
        }
    }
}
