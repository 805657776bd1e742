//! `/config`: what runs, where each value comes from, and reloading it.

use super::{
    ApiResult, ApiState,
    objects::{self, RowKey},
    query::Query,
};
use crate::{
    config::{Applies, ChangedKey, Config, ConfigError, OverruledKey},
    domain::{JobKind, PoolOverride, Timestamp},
    http::{
        State,
        openapi::{ApiEndpoint, PAGE, get, post},
        operator::Operator,
        problem::{Cause, Problem},
    },
    store::Via,
    tuning::{KeptLoad, ReloadBy, ReloadOutcome, ReloadReport, TuningStatus},
};
use actix_web::{HttpRequest, http::StatusCode, web};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// The configuration.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/config", show)
            .says("Every value that runs, and where it comes from")
            .answers::<ConfigJson<'_>>(),
        get("/config/loads", loads)
            .says("The last loads of this node that said something new, newest first")
            .takes(&PAGE)
            .answers::<LoadsJson<'_>>(),
        post("/config/reload", reload)
            .says("Reads the files again, and applies what they say unless it is wrong")
            .refused_with(StatusCode::UNPROCESSABLE_ENTITY)
            .answers::<ReportJson<'_>>(),
    ]
}

/// How long a reload may take to be answered. It takes longer only if the system does not give a
/// file.
const RELOAD_LIMIT: Duration = Duration::from_secs(30);

/// `GET /config`: every value with its origin, and the state of the configuration. It also answers
/// without the database.
pub(super) async fn show(
    api: web::Data<ApiState>,
    state: web::Data<State>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let _permit = api.heavy_reads.permit().await?;
    let moment = ConfigMoment::of(&state);
    objects::object(moment.view())
}

/// `GET /config/loads`: what each load has changed since the start of this node, or why it was
/// refused. It also answers without the database.
pub(super) async fn loads(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PAGE)?;
    let (limit, cursor) = (query.limit()?, query.cursor()?);
    let status = state.tuner.status();
    let mut items: Vec<LoadJson<'_>> =
        status.loads.newest_first(cursor).take(limit.saturating_add(1)).map(LoadJson::of).collect();
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| has_more).map(|it| it.id);
    objects::object(LoadsJson { items, next_cursor, since: status.loads.since() })
}

/// The configuration of a moment, of which the API and the page show the same.
pub(in crate::http) struct ConfigMoment {
    status: Arc<TuningStatus>,
    live: Arc<Config>,
    kinds: Vec<JobKind>,
    ignores_overrides: bool,
}

impl ConfigMoment {
    /// What runs now.
    pub(in crate::http) fn of(state: &State) -> Self {
        Self {
            status: state.tuner.status(),
            live: state.config.get(),
            kinds: state.board.pools().iter().map(|pool| pool.kind).collect(),
            ignores_overrides: state.tuner.ignores_overrides(),
        }
    }

    /// Every value with its origin, and the state of the configuration.
    pub(in crate::http) fn view(&self) -> ConfigJson<'_> {
        let (status, live) = (&*self.status, &*self.live);
        let pending: HashMap<&str, &ChangedKey> =
            status.pending.iter().map(|change| (change.key.as_str(), change)).collect();
        let set = self.kinds.iter().filter_map(|kind| live.pools.override_of(kind.0));
        let overrides: Vec<OverrideJson<'_>> = set.flat_map(OverrideJson::of).collect();
        let values = status.running.values();
        let value = |value: crate::config::EffectiveValue| {
            let next = pending.get(value.key.as_str());
            let set = overrides.iter().find(|set| set.key == value.key);
            ValueJson {
                pending: next.map(|it| NextValueJson { value: it.new.clone(), origin: &it.origin }),
                r#override: set.map(|it| it.value.clone()),
                key: value.key,
                value: value.value,
                origin: value.origin,
                applies: value.applies,
            }
        };
        ConfigJson {
            hash: status.running.hash(),
            loaded_at: status.loaded_at,
            last_reload: status.last.as_deref().map(|report| ReportJson::of(report, status)),
            pending: status.pending.iter().map(ChangeJson::of).collect(),
            applying: &status.applying,
            values: values.into_iter().map(value).collect(),
            overrides,
            ignores_overrides: self.ignores_overrides,
        }
    }
}

/// `POST /config/reload`: reads the files again, and answers what was done. A refusal is a problem,
/// with the same report in it.
pub(super) async fn reload(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    Query::none(&request)?;
    let report = state.reload(&request).await?;
    let status = state.tuner.status();
    let spelled = ReportJson::of(&report, &status);
    if report.outcome != ReloadOutcome::Refused {
        return objects::object(spelled);
    }
    let field = report.errors.first().and_then(|error| error.key.clone());
    let spelled =
        serde_json::to_value(&spelled).map_err(|error| Problem::internal(error.to_string()))?;
    let problem = Problem::new(Cause::ConfigRefused, report.why_refused());
    Err(problem.of_field(field).with_report(spelled))
}

impl ApiState {
    /// Reads the files again, and applies what they say unless it is wrong.
    ///
    /// # Errors
    /// If it takes too long, or the daemon is stopping.
    pub(in crate::http) async fn reload(
        &self,
        request: &HttpRequest,
    ) -> Result<Arc<ReloadReport>, Problem> {
        let Operator { name, role, via, request_id } = Operator::of(request);
        let by = ReloadBy { via, actor: name, role, request_id: Some(request_id) };
        let reload = tokio::time::timeout(RELOAD_LIMIT, self.tuner.reload(by)).await;
        let report = reload
            .map_err(|_| Problem::internal("the reload goes on: reading a file takes too long"))?;
        report.ok_or_else(|| {
            Problem::new(Cause::Draining, "the daemon is stopping, and reloads nothing any more")
        })
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct ConfigJson<'a> {
    pub(in crate::http) hash: &'a str,
    pub(in crate::http) loaded_at: Timestamp,
    pub(in crate::http) last_reload: Option<ReportJson<'a>>,
    pub(in crate::http) pending: Vec<ChangeJson<'a>>,
    pub(in crate::http) applying: &'a [&'static str],
    pub(in crate::http) values: Vec<ValueJson<'a>>,
    pub(in crate::http) overrides: Vec<OverrideJson<'a>>,
    /// True if overrides for all nodes do not apply on this node.
    pub(in crate::http) ignores_overrides: bool,
}

/// One value that runs. `override` is what an operator has set for it beside the files.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct ValueJson<'a> {
    pub(in crate::http) key: String,
    pub(in crate::http) value: String,
    pub(in crate::http) origin: String,
    pub(in crate::http) applies: Applies,
    pub(in crate::http) pending: Option<NextValueJson<'a>>,
    pub(in crate::http) r#override: Option<String>,
}

/// The value from the next start on; `null` if the key is no longer there.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct NextValueJson<'a> {
    pub(in crate::http) value: Option<String>,
    pub(in crate::http) origin: &'a str,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct OverrideJson<'a> {
    pub(in crate::http) key: String,
    pub(in crate::http) value: String,
    pub(in crate::http) by: &'a str,
    pub(in crate::http) note: Option<&'a str>,
    pub(in crate::http) at: Timestamp,
    pub(in crate::http) expires_at: Option<Timestamp>,
}

impl<'a> OverrideJson<'a> {
    /// One for each key that is set.
    fn of(set: &'a PoolOverride) -> impl Iterator<Item = Self> {
        set.keys().map(|entry| Self {
            key: format!("pools.{}.{}", set.kind, entry.key.as_str()),
            value: entry.value,
            by: &entry.set.by,
            note: entry.set.note.as_deref(),
            at: entry.set.at,
            expires_at: entry.set.expires_at,
        })
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct ReportJson<'a> {
    pub(in crate::http) outcome: ReloadOutcome,
    pub(in crate::http) trigger: Via,
    pub(in crate::http) by: &'a str,
    pub(in crate::http) at: Timestamp,
    pub(in crate::http) hash: &'a str,
    pub(in crate::http) changed: Vec<ChangeJson<'a>>,
    pub(in crate::http) pending: Vec<ChangeJson<'a>>,
    pub(in crate::http) overruled: Vec<OverruledJson<'a>>,
    pub(in crate::http) errors: Vec<ErrorJson<'a>>,
    pub(in crate::http) took_ms: u64,
    /// What is still being changed in the database.
    pub(in crate::http) applying: &'a [&'static str],
    /// The last reload that was applied, if this one was not.
    pub(in crate::http) last_applied: Option<AppliedJson<'a>>,
}

/// A reload that was applied before.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct AppliedJson<'a> {
    pub(in crate::http) at: Timestamp,
    pub(in crate::http) trigger: Via,
    pub(in crate::http) by: &'a str,
    pub(in crate::http) changed: Vec<ChangeJson<'a>>,
}

impl<'a> AppliedJson<'a> {
    fn of(report: &'a ReloadReport) -> Self {
        Self {
            at: report.at,
            trigger: report.by.via,
            by: &report.by.actor,
            changed: report.changed.iter().map(ChangeJson::of).collect(),
        }
    }
}

impl<'a> ReportJson<'a> {
    fn of(report: &'a ReloadReport, status: &'a TuningStatus) -> Self {
        let before = match report.outcome {
            ReloadOutcome::Applied => None,
            ReloadOutcome::Unchanged | ReloadOutcome::Refused => status.last_applied.as_deref(),
        };
        Self {
            outcome: report.outcome,
            trigger: report.by.via,
            by: &report.by.actor,
            at: report.at,
            hash: &report.hash,
            changed: report.changed.iter().map(ChangeJson::of).collect(),
            pending: report.pending.iter().map(ChangeJson::of).collect(),
            overruled: report.overruled.iter().map(OverruledJson::of).collect(),
            errors: report.errors.iter().map(ErrorJson::of).collect(),
            took_ms: report.took_ms(),
            applying: &status.applying,
            last_applied: before.map(AppliedJson::of),
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
struct LoadsJson<'a> {
    items: Vec<LoadJson<'a>>,
    next_cursor: Option<RowKey>,
    /// The start of the node that answers. Loads before it, and those of other nodes, are not
    /// known.
    since: Timestamp,
}

/// A load of the configuration. One that said nothing new is not kept: it was unchanged, or refused
/// for the same reasons as the one before.
#[derive(Debug, JsonSchema, Serialize)]
struct LoadJson<'a> {
    /// The first that was kept since the start of the node has 1.
    id: RowKey,
    at: Timestamp,
    /// `unchanged` says that the files, which were refused before, say again what runs.
    outcome: ReloadOutcome,
    trigger: Via,
    by: &'a str,
    /// The hash of the configuration that ran after it.
    hash: &'a str,
    /// The first 20 keys that the files said otherwise than before, those that wait for a restart
    /// included. Long values are cut.
    changed: Vec<ChangeJson<'a>>,
    /// How many more keys were changed.
    more_changed: usize,
    /// The first five reasons for which it was refused.
    errors: Vec<ErrorJson<'a>>,
    /// How many more reasons there were.
    more_errors: usize,
}

impl<'a> LoadJson<'a> {
    fn of(load: &'a KeptLoad) -> Self {
        Self {
            id: RowKey(load.number),
            at: load.at,
            outcome: load.outcome,
            trigger: load.via,
            by: &load.by,
            hash: &load.hash,
            changed: load.changed.iter().map(ChangeJson::of).collect(),
            more_changed: load.more_changed,
            errors: load.errors.iter().map(ErrorJson::of).collect(),
            more_errors: load.more_errors,
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct ChangeJson<'a> {
    pub(in crate::http) key: &'a str,
    pub(in crate::http) old: Option<&'a str>,
    pub(in crate::http) new: Option<&'a str>,
    pub(in crate::http) applies: Applies,
    pub(in crate::http) origin: &'a str,
}

impl<'a> ChangeJson<'a> {
    fn of(change: &'a ChangedKey) -> Self {
        Self {
            key: &change.key,
            old: change.old.as_deref(),
            new: change.new.as_deref(),
            applies: change.applies,
            origin: &change.origin,
        }
    }
}

/// A key that was changed in a file in vain: the variable `by` wins.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct OverruledJson<'a> {
    pub(in crate::http) key: &'a str,
    pub(in crate::http) origin: &'a str,
    pub(in crate::http) by: &'a str,
}

impl<'a> OverruledJson<'a> {
    fn of(overruled: &'a OverruledKey) -> Self {
        Self { key: &overruled.key, origin: &overruled.origin, by: &overruled.by }
    }
}

/// An error with its place: in a file, or as `origin` says.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct ErrorJson<'a> {
    pub(in crate::http) origin: Option<&'a str>,
    pub(in crate::http) file: Option<&'a str>,
    pub(in crate::http) line: Option<u64>,
    pub(in crate::http) key: Option<&'a str>,
    pub(in crate::http) message: &'a str,
}

impl<'a> ErrorJson<'a> {
    fn of(error: &'a ConfigError) -> Self {
        let place = error.place();
        Self {
            origin: error.origin.as_deref(),
            file: place.map(|(file, _)| file),
            line: place.and_then(|(_, line)| line),
            key: error.key.as_deref(),
            message: &error.message,
        }
    }
}
