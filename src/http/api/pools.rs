//! `/pools`: the slots of each kind, and what operators set for them beside the files.

use super::{
    ApiResult, ApiState, explain,
    json::object_in,
    objects::{self, List, RowKey},
    query::Query,
};
use crate::{
    config::{self, POOL_SIZES, nearest},
    domain::{
        Id, JobKind, OverriddenKey, OverrideChange, OverrideKey, OverrideOrigin, PoolOverride,
        Timestamp,
        explain::{Explanation, PoolBacklog, explain_pool},
        job::DELIVER_REPLY,
        visible::visible,
    },
    http::{
        admin::body_problem,
        openapi::{
            ApiEndpoint, ApiParameter, NODE, NOTE, NOTE_CHARS_MAX, PAGE, PoolStateWord, Takes,
            delete, get, patch,
        },
        operator::Operator,
        problem::{Cause, Problem},
    },
    store::{AuditEntry, Totals, wall_clock},
    telemetry::pool_post::PoolView,
    tuning::OverrideError,
};
use actix_web::{Error, HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// The fields of a change.
const CHANGED: [ApiParameter; 4] = [
    ApiParameter::new("size", Takes::Size),
    ApiParameter::new("paused", Takes::Flag),
    NOTE,
    ApiParameter::new("expires_in", Takes::Duration),
];

/// Pools.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/pools", list)
            .says("The slots of each kind of job")
            .takes(&PAGE)
            .answers::<List<PoolJson>>(),
        patch("/pools/{kind}", change)
            .says("Sets size or pause of a pool beside the files")
            .takes(&[NODE])
            .reads(&CHANGED)
            .may_conflict()
            .answers::<PoolJson>(),
        delete("/pools/{kind}/override", reset)
            .says("Lets a pool run as the files say")
            .takes(&[NODE])
            .may_conflict()
            .answers::<PoolJson>(),
    ]
}

/// How long an override may be set for.
const EXPIRES_MIN: Duration = Duration::from_secs(1);
const EXPIRES_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// The most bytes of a change.
pub(super) const BODY_MAX_BYTES: usize = 65_536;
/// How long the supervisor may take to fit a pool before the answer goes out without it.
const FITS_WITHIN: Duration = Duration::from_secs(2);

/// `GET /pools`. It also answers without the database; then `backlog` is `null`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PAGE)?;
    let totals = state.totals().await.ok();
    let items = pools(&state, totals.as_deref());
    objects::object(List::by_name(items, &query, |it: &PoolJson| it.kind.to_owned())?)
}

/// `PATCH /pools/{kind}`: sets size or pause beside the files, on all nodes, or with `?node=` on
/// this one. Answers the pool when it runs so.
pub(super) async fn change(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let only_here = is_for_this_node(&state, &request).await?;
    let body = body.map_err(|error| body_problem(&error, BODY_MAX_BYTES))?;
    let change = change_in(&body)?;
    objects::object(set(&state, &path, change, only_here, Operator::of(&request)).await?)
}

/// `DELETE /pools/{kind}/override`: the pool runs as the files say. Answers the pool.
pub(super) async fn reset(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let only_here = is_for_this_node(&state, &request).await?;
    objects::object(unset(&state, &path, only_here, Operator::of(&request)).await?)
}

/// Sets size or pause of a pool beside the files, and returns the pool when it runs so.
///
/// # Errors
/// 404 if there is no such pool, 409 if there is nothing to change.
pub(in crate::http) async fn set(
    state: &ApiState,
    kind: &str,
    change: OverrideChange,
    only_here: bool,
    operator: Operator,
) -> Result<PoolJson, Problem> {
    let pool = pool_of(state, kind)?;
    let change = OverrideChange { by: operator.name.clone(), ..change };
    let set = state.config.get().pools.override_of(pool.kind.0).cloned();
    if change.size.is_none() && change.paused.is_none() && set.is_none() {
        let kind = pool.kind;
        let detail = format!("nothing is set for {kind} beside the files: name `size` or `paused`");
        return Err(Problem::conflict(detail));
    }
    let entry = operator.did("pool.override", pool.kind);
    let entry = AuditEntry { note: change.note.clone(), ..entry };
    done(state, pool, Some(change), only_here, entry).await
}

/// Lets a pool run as the files say, and returns it.
///
/// # Errors
/// 404 if there is no such pool.
pub(in crate::http) async fn unset(
    state: &ApiState,
    kind: &str,
    only_here: bool,
    operator: Operator,
) -> Result<PoolJson, Problem> {
    let pool = pool_of(state, kind)?;
    done(state, pool, None, only_here, operator.did("pool.reset", pool.kind)).await
}

/// The pool of a kind.
fn pool_of(state: &ApiState, kind: &str) -> Result<PoolView, Problem> {
    let pools = state.board.pools();
    if let Some(pool) = pools.iter().find(|pool| pool.kind.0 == kind) {
        return Ok(*pool);
    }
    let hint = match nearest(kind, pools.iter().map(|pool| pool.kind.0)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if pools.is_empty() => "this node works no jobs: ask one that does".to_owned(),
        None => {
            let known: Vec<&str> = pools.iter().map(|pool| pool.kind.0).collect();
            format!("known are {}", known.join(", "))
        }
    };
    Err(Problem::not_found(format!("there is no pool `{kind}`: {hint}")))
}

/// True if the change is for this node only.
///
/// # Errors
/// 409 if it is for another node only: that one keeps it in its memory.
async fn is_for_this_node(state: &ApiState, request: &HttpRequest) -> Result<bool, Problem> {
    let ids: Vec<Id> = Query::parse(request, &[NODE])?.ids("node")?;
    match ids[..] {
        [] => Ok(false),
        [id] if id == state.desk.node() => Ok(true),
        [id] if state.desk.nodes().await?.iter().any(|node| node.id == id) => {
            Err(Problem::conflict(format!(
                "a change for node {id} only is kept in the memory of that node: ask it, and not node {}",
                state.desk.node()
            )))
        }
        [id] => Err(super::no_such("node", id)),
        _ => Err(Problem::bad_request("node", "name one node, or none for all")),
    }
}

/// The change in a body, without who makes it.
fn change_in(body: &[u8]) -> Result<OverrideChange, Problem> {
    const KNOWN: [&str; 4] = {
        let [size, paused, note, expires_in] = CHANGED;
        [size.name, paused.name, note.name, expires_in.name]
    };
    let mut change = OverrideChange::default();
    for (name, value) in object_in(body)? {
        match (name.as_str(), value) {
            (known, Value::Null) if KNOWN.contains(&known) => {}
            ("size", value) => change.size = Some(size_in(&value)?),
            ("paused", Value::Bool(paused)) => change.paused = Some(paused),
            ("paused", _) => return Err(Problem::bad_request("paused", "must be true or false")),
            ("note", Value::String(note)) => change.note = note_in(&note)?,
            ("note", _) => return Err(Problem::bad_request("note", "must be a text")),
            ("expires_in", value) => change.expires_in_ms = Some(expires_in(&value)?),
            (unknown, _) => {
                let detail = format!("unknown field `{unknown}`; known here: {}", KNOWN.join(", "));
                return Err(Problem::bad_request(unknown, detail));
            }
        }
    }
    if change == OverrideChange::default() {
        let detail = format!("nothing is to be changed: name one of {}", KNOWN.join(", "));
        return Err(Problem::new(Cause::BadRequest, detail));
    }
    Ok(change)
}

pub(in crate::http) fn size_in(value: &Value) -> Result<usize, Problem> {
    let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| POOL_SIZES.contains(size));
    let (least, most) = (POOL_SIZES.start(), POOL_SIZES.end());
    size.ok_or_else(|| {
        Problem::bad_request("size", format!("must be a whole number from {least} to {most}"))
    })
}

/// A note on one line; `None` if it is empty.
pub(in crate::http) fn note_in(text: &str) -> Result<Option<String>, Problem> {
    let text = text.trim();
    if text.chars().nth(NOTE_CHARS_MAX).is_some() {
        let detail = format!("may have {NOTE_CHARS_MAX} characters at most");
        return Err(Problem::bad_request("note", detail));
    }
    Ok((!text.is_empty()).then(|| visible(text, &[]).into_owned()))
}

/// Milliseconds.
pub(in crate::http) fn expires_in(value: &Value) -> Result<i64, Problem> {
    let given = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    let given = given.filter(|it| (EXPIRES_MIN..=EXPIRES_MAX).contains(it));
    given.and_then(|it| i64::try_from(it.as_millis()).ok()).ok_or_else(|| {
        let detail =
            "must be a duration with its unit, such as \"4h\" or \"30m\", from 1 s to 366 d";
        Problem::bad_request("expires_in", detail)
    })
}

/// Makes the change, waits until the pool runs so, and answers it.
async fn done(
    state: &ApiState,
    pool: PoolView,
    change: Option<OverrideChange>,
    is_for_this_node: bool,
    entry: AuditEntry,
) -> Result<PoolJson, Problem> {
    let kind = pool.kind;
    let by = entry.actor.clone();
    let told = || state.config.get().pools.override_of(kind.0).map(ToString::to_string);
    let before = told();
    state.tuner.change_pool(kind, change, is_for_this_node, entry).await.map_err(|error| {
        match error {
            OverrideError::Store(error) => error.into(),
            OverrideError::Ignored { .. } => Problem::conflict(error.to_string()),
            OverrideError::Slow => Problem::database_unavailable(error.to_string()),
            OverrideError::Stopping => Problem::new(Cause::Draining, error.to_string()),
        }
    })?;
    let (old, new) = (before.unwrap_or_default(), told().unwrap_or_default());
    if old != new {
        tracing::info!(kind = kind.0, by, old, new, "override of a pool changed by hand");
    }
    // The supervisor fits the pool next. One that does not is shown as it is.
    let wanted = state.config.get().pools.of(kind.0);
    let is_so = |pool: &PoolView| pool.size == wanted.size && pool.paused == wanted.paused;
    let fits = state
        .board
        .wait_until(|board| board.pools().iter().any(|pool| pool.kind == kind && is_so(pool)));
    tokio::time::timeout(FITS_WITHIN, fits).await.ok();
    let totals = state.totals().await.ok();
    let found = pools(state, totals.as_deref()).into_iter().find(|pool| pool.kind == kind.0);
    found.ok_or_else(|| Problem::internal("the pool is no longer there"))
}

/// The pools of this node, with what was counted of their jobs.
pub(in crate::http) fn pools(state: &ApiState, totals: Option<&Totals>) -> Vec<PoolJson> {
    let config = state.config.get();
    let ignores_overrides = state.tuner.ignores_overrides();
    let object = |pool: &PoolView| {
        let queue = queue_of(state, &config, pool.kind, totals);
        let facts = explain::pool_facts(state, &config, pool.kind.0);
        PoolJson {
            failed_per_minute: state.metrics.throughput().failed_per_minute(pool.kind.0),
            ignores_overrides,
            due_since: queue.due_since,
            held_by: facts.map(|facts| explain_pool(&facts, &queue)),
            ..PoolJson::of(pool, queue.backlog, &config.pools)
        }
    };
    state.board.pools().iter().map(object).collect()
}

/// What is known of the jobs of a kind.
fn queue_of(
    state: &ApiState,
    config: &config::Config,
    kind: JobKind,
    totals: Option<&Totals>,
) -> PoolBacklog {
    let backlog = || totals.iter().flat_map(|it| &it.backlog);
    let own = || backlog().filter(|it| it.kind == kind.0);
    let caps = config.caps();
    let running = |client: &str| -> i64 {
        backlog().filter(|it| it.client_id == client).map(|it| it.running).sum()
    };
    let capped = own().filter(|it| it.pending > 0).filter_map(|it| {
        let (cap, running) = (caps.get(&it.client_id)?, running(&it.client_id));
        let key = explain::cap_key(config, &it.client_id);
        (running >= i64::from(*cap)).then(|| (it.client_id.clone(), running, key))
    });
    let now = wall_clock();
    let sends = kind == DELIVER_REPLY;
    let accounts = totals.iter().flat_map(|it| &it.accounts);
    let accounts = accounts.filter(|it| sends && it.paused_until > now);
    let accounts = accounts.map(|it| (it.client_id.clone(), it.channel.clone(), it.paused_until));
    PoolBacklog {
        now,
        kind: kind.0.to_owned(),
        backlog: totals.map(|_| own().map(|it| it.pending).sum()),
        due_since: own().filter_map(|it| it.oldest_at).min(),
        away_since: state.totals_fail_since(),
        switched_off: explain::switched_off(config).filter(|_| sends),
        capped: capped.collect(),
        accounts: accounts.collect(),
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct PoolJson {
    pub(in crate::http) kind: &'static str,
    pub(in crate::http) size: usize,
    pub(in crate::http) configured_size: usize,
    pub(in crate::http) busy: usize,
    pub(in crate::http) leaving: usize,
    pub(in crate::http) claimed: usize,
    pub(in crate::http) paused: bool,
    #[schemars(with = "PoolStateWord")]
    pub(in crate::http) state: &'static str,
    pub(in crate::http) r#override: Option<PoolOverrideJson>,
    /// True if overrides for all nodes do not apply on this node.
    pub(in crate::http) ignores_overrides: bool,
    pub(in crate::http) backlog: Option<i64>,
    /// Since when the job is due that has been due longest.
    pub(in crate::http) due_since: Option<Timestamp>,
    /// What holds the jobs of the kind.
    pub(in crate::http) held_by: Option<Explanation>,
    pub(in crate::http) restarts: u64,
    pub(in crate::http) resumes_at: Option<Timestamp>,
    pub(in crate::http) max_attempts: u64,
    pub(in crate::http) timeout_ms: u64,
    /// How many attempts end here in a minute, and how many of them fail.
    pub(in crate::http) ended_per_minute: u64,
    pub(in crate::http) failed_per_minute: u64,
}

/// What operators have set beside the files. `by`, `note`, `at`, `expires_at` and `node` are those
/// of the key that was set last; `keys` has them of each key.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct PoolOverrideJson {
    pub(in crate::http) size: Option<usize>,
    pub(in crate::http) paused: Option<bool>,
    pub(in crate::http) base_size: Option<usize>,
    pub(in crate::http) base_paused: Option<bool>,
    #[serde(flatten)]
    pub(in crate::http) latest: OverrideOriginJson,
    pub(in crate::http) keys: Vec<OverrideKeyJson>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct OverrideKeyJson {
    pub(in crate::http) key: &'static str,
    pub(in crate::http) value: Value,
    pub(in crate::http) base: Value,
    #[serde(flatten)]
    pub(in crate::http) set: OverrideOriginJson,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct OverrideOriginJson {
    pub(in crate::http) by: String,
    pub(in crate::http) note: Option<String>,
    pub(in crate::http) at: Timestamp,
    pub(in crate::http) expires_at: Option<Timestamp>,
    /// The only node that it is for.
    pub(in crate::http) node: Option<RowKey>,
}

impl OverrideOriginJson {
    fn of(set: &OverrideOrigin) -> Self {
        Self {
            by: set.by.clone(),
            note: set.note.clone(),
            at: set.at,
            expires_at: set.expires_at,
            node: set.node.map(RowKey),
        }
    }
}

impl OverrideKeyJson {
    fn of<T: Copy + Into<Value>>(key: OverrideKey, it: &OverriddenKey<T>) -> Self {
        let (value, base) = (it.value.into(), it.base.into());
        Self { key: key.as_str(), value, base, set: OverrideOriginJson::of(&it.set) }
    }
}

impl PoolOverrideJson {
    /// `None` if no key is set.
    fn of(set: &PoolOverride) -> Option<Self> {
        let size = set.size.as_ref().map(|it| OverrideKeyJson::of(OverrideKey::Size, it));
        let paused = set.paused.as_ref().map(|it| OverrideKeyJson::of(OverrideKey::Paused, it));
        Some(Self {
            size: set.size.as_ref().map(|it| it.value),
            paused: set.paused.as_ref().map(|it| it.value),
            base_size: set.size.as_ref().map(|it| it.base),
            base_paused: set.paused.as_ref().map(|it| it.base),
            latest: OverrideOriginJson::of(set.latest()?),
            keys: [size, paused].into_iter().flatten().collect(),
        })
    }
}

impl PoolJson {
    fn of(pool: &PoolView, backlog: Option<i64>, pools: &config::Pools) -> Self {
        Self {
            kind: pool.kind.0,
            size: pool.size,
            configured_size: pools.configured(pool.kind.0).size,
            busy: pool.busy,
            leaving: pool.leaving,
            claimed: pool.claimed,
            paused: pool.paused,
            state: pool.state_word(),
            r#override: pools.override_of(pool.kind.0).and_then(PoolOverrideJson::of),
            ignores_overrides: false,
            backlog,
            due_since: None,
            held_by: None,
            restarts: pool.restarts,
            resumes_at: pool.is_backing_off().then_some(pool.resumes_at),
            max_attempts: pool.max_attempts,
            timeout_ms: pool.timeout_ms,
            ended_per_minute: pool.per_minute,
            failed_per_minute: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_whole_or_refused_by_its_field() {
        let whole = r#"{"size": 16, "paused": true, "note": " a\nflood ", "expires_in": "4h"}"#;
        let change = change_in(whole.as_bytes()).unwrap();
        let expected = OverrideChange {
            size: Some(16),
            paused: Some(true),
            note: Some("a\\u000aflood".to_owned()),
            expires_in_ms: Some(14_400_000),
            by: String::new(),
        };
        assert_eq!(change, expected);
        let long = format!("{{\"note\": \"{}\"}}", "x".repeat(NOTE_CHARS_MAX + 1));
        for (body, field) in [
            (r#"{"size": 0}"#, Some("size")),
            (r#"{"size": 10001}"#, Some("size")),
            (r#"{"size": 1.5}"#, Some("size")),
            (r#"{"size": "8"}"#, Some("size")),
            (r#"{"paused": "yes"}"#, Some("paused")),
            (r#"{"note": 1}"#, Some("note")),
            (&long, Some("note")),
            (r#"{"expires_in": "4"}"#, Some("expires_in")),
            (r#"{"expires_in": 4}"#, Some("expires_in")),
            (r#"{"expires_in": "10ms"}"#, Some("expires_in")),
            (r#"{"expires_in": "900d"}"#, Some("expires_in")),
            (r#"{"sise": 8}"#, Some("sise")),
            (r#"{"size": 8, "size": 9}"#, Some("size")),
            ("{}", None),
            (r#"{"size": null, "note": ""}"#, None),
        ] {
            let problem = change_in(body.as_bytes()).unwrap_err();
            assert_eq!(problem.field(), field, "{body}: {problem}");
        }
    }
}
