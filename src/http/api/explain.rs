//! `/jobs/{id}/explain` and `/leads/{id}/explain`: why a job is not running, and why a lead is not
//! answered. What is stored, what this process does and what other nodes say are put together here;
//! the reason is found by `domain::explain`.

use super::{ApiResult, ApiState, no_such, objects, only_id};
use crate::{
    config::Config,
    domain::{
        Id, PoolOverride, Timestamp,
        explain::{
            ConfigKey, Explanation, JobFacts, LeadExplanation, LeadFacts, MessageFacts, NodeFacts,
            NodePool, PoolFacts, PoolPause, StoredJob, Timing, explain_job, explain_lead,
            is_stalled,
        },
        job::{DELIVER_REPLY, SELF_CHECK, SYSTEM_CLIENT},
        whole_millis,
    },
    http::{
        openapi::{ApiEndpoint, get},
        problem::Problem,
    },
    store::{JobCase, LeadCase, StoredNode, wall_clock},
    telemetry::{
        board::{ActorType, ActorView},
        pool_post::PoolView,
    },
    tuning::NodeStatus,
};
use actix_web::{HttpRequest, web};

/// Why something stands still.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/jobs/{id}/explain", job).says("Why a job does not run").answers::<Explanation>(),
        get("/leads/{id}/explain", lead)
            .says("Why a lead is not answered")
            .answers::<LeadExplanation>(),
    ]
}

/// `GET /jobs/{id}/explain`.
pub(super) async fn job(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "job")?;
    objects::object(explained(&state, id).await?)
}

/// Why a job does not run.
///
/// # Errors
/// 404 if there is no such job.
pub(in crate::http) async fn explained(state: &ApiState, id: Id) -> Result<Explanation, Problem> {
    let case = state.desk.job_case(id).await?.ok_or_else(|| no_such("job", id))?;
    let JobCase { job, head, nodes } = case;
    let mut explanation = explain_job(&job_facts(state, job, &nodes));
    if let Some(head) = head {
        explanation.waits_for(explain_job(&job_facts(state, head, &nodes)));
    }
    Ok(explanation)
}

/// `GET /leads/{id}/explain`.
pub(super) async fn lead(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "lead")?;
    objects::object(state.explain_lead(id).await?)
}

impl ApiState {
    /// Why the messages of a lead are not answered.
    ///
    /// # Errors
    /// 404 if there is no such lead.
    pub(in crate::http) async fn explain_lead(&self, id: Id) -> Result<LeadExplanation, Problem> {
        let case = self.desk.lead_case(id).await?.ok_or_else(|| no_such("lead", id))?;
        Ok(explain_lead(&lead_facts(self, case)))
    }
}

fn lead_facts(state: &ApiState, case: LeadCase) -> LeadFacts {
    let config = state.config.get();
    let LeadCase { nodes, messages, .. } = case;
    let explained = |message: MessageFacts<StoredJob>| {
        message.map_job(|job| explain_job(&job_facts(state, job, &nodes)))
    };
    LeadFacts {
        now: case.now,
        id: case.id,
        merged_into: case.merged_into,
        barriers: case.barriers,
        last_inbound_at: case.last_inbound_at,
        last_outbound_at: case.last_outbound_at,
        auto_reply: auto_reply(&config, &case.client_id),
        switched_off: switched_off(&config),
        messages: messages.into_iter().map(explained).collect(),
        has_more: case.has_more,
    }
}

/// The client's `auto_reply` with its key.
fn auto_reply(config: &Config, client_id: &str) -> Option<(&'static str, ConfigKey)> {
    let word = config.client(client_id)?.auto_reply.as_str();
    Some((word, key(config, format!("clients.{client_id}.auto_reply"))))
}

/// The key that switches sending off, while it does.
pub(super) fn switched_off(config: &Config) -> Option<ConfigKey> {
    (!config.sending.enabled).then(|| key(config, "sending.enabled".to_owned()))
}

/// The key that the client of a job lacks to send the job's draft.
fn no_settings(config: &Config, job: &StoredJob) -> Option<String> {
    let send = job.send.as_ref().filter(|_| job.kind == DELIVER_REPLY.0)?;
    let channel = config.client(&job.client_id)?.channel(&send.channel);
    let has_settings = channel.is_some_and(|channel| channel.send.is_some());
    (!has_settings).then(|| format!("channels.{}.send", send.channel))
}

/// A key of the configuration with its place.
fn key(config: &Config, key: String) -> ConfigKey {
    let place = config.origin(&key).map(str::to_owned);
    ConfigKey { key, place }
}

fn job_facts(state: &ApiState, mut job: StoredJob, nodes: &[StoredNode]) -> JobFacts {
    let admitted = std::mem::take(&mut job.admitted);
    let config = state.config.get();
    let pool = config.pools.of(&job.kind);
    let timing = Timing {
        lease_ms: whole_millis(config.supervisor.lease),
        tick_ms: whole_millis(config.supervisor.tick),
        timeout_ms: whole_millis(pool.timeout),
    };
    JobFacts {
        nodes: nodes.iter().map(|node| node_facts(state, &config, node, &job, timing)).collect(),
        stage: state.claims.stage(job.id, job.run),
        needs_no_client: job.kind == SELF_CHECK.0 || job.client_id == SYSTEM_CLIENT,
        cap_key: cap_key(&config, &job.client_id),
        switched_off: switched_off(&config),
        no_settings: no_settings(&config, &job),
        admitted: admitted.into_iter().map(|it| job_facts(state, it, nodes)).collect(),
        timing,
        job,
    }
}

/// The key that caps a client, by the configuration of this node.
pub(super) fn cap_key(config: &Config, client_id: &str) -> Option<ConfigKey> {
    let client = config.client(client_id)?;
    Some(match client.max_running {
        0 if config.supervisor.max_running_per_client == 0 => return None,
        0 => key(config, "supervisor.max_running_per_client".to_owned()),
        _ => key(config, format!("clients.{client_id}.max_running")),
    })
}

fn node_facts(
    state: &ApiState,
    config: &Config,
    node: &StoredNode,
    job: &StoredJob,
    timing: Timing,
) -> NodeFacts {
    let is_here = node.id == state.desk.node();
    let clients = node.clients.as_ref();
    let said = node.status.as_deref().and_then(NodeStatus::read);
    let knows_client = match is_here {
        true => Some(config.client(&job.client_id).is_some()),
        false => clients.map(|clients| clients.contains(&job.client_id)),
    };
    NodeFacts {
        id: node.id,
        is_here,
        works: node.works,
        // On SQLite there are no heartbeats.
        is_up: is_here || node.silent_ms <= timing.lease_ms,
        seen_at: node.seen_at,
        knows_client,
        is_stopping: match is_here {
            true => state.board.is_draining(),
            false => said.as_ref().is_some_and(|said| said.draining),
        },
        pool: match (is_here, said) {
            (true, _) => pool_here(state, config, &job.kind, timing),
            (false, Some(said)) => pool_said(&said, &job.kind),
            (false, None) => NodePool::NotSaid,
        },
    }
}

/// The pool of another node, by what that says of itself.
fn pool_said(said: &NodeStatus, kind: &str) -> NodePool {
    match said.pools.iter().find(|pool| pool.kind == kind) {
        Some(pool) if pool.paused => NodePool::Is(PoolFacts {
            size: pool.size,
            pause: Some(PoolPause::NotSaid),
            ..PoolFacts::default()
        }),
        Some(_) => NodePool::Open,
        // Too many to tell.
        None if said.pools.is_empty() => NodePool::NotSaid,
        None => NodePool::Missing,
    }
}

/// What this process knows of its pool of a kind; `None` if it has none.
pub(super) fn pool_facts(state: &ApiState, config: &Config, kind: &str) -> Option<PoolFacts> {
    let timing = Timing {
        lease_ms: whole_millis(config.supervisor.lease),
        tick_ms: whole_millis(config.supervisor.tick),
        timeout_ms: whole_millis(config.pools.of(kind).timeout),
    };
    match pool_here(state, config, kind, timing) {
        NodePool::Is(facts) => Some(facts),
        NodePool::Open | NodePool::NotSaid | NodePool::Missing => None,
    }
}

/// The pool of this process, as the board shows it.
fn pool_here(state: &ApiState, config: &Config, kind: &str, timing: Timing) -> NodePool {
    let Some(pool) = state.board.pools().into_iter().find(|pool| pool.kind.0 == kind) else {
        return NodePool::Missing;
    };
    let actors = state.board.actors();
    let slots: Vec<&ActorView> = actors.iter().filter(|actor| is_slot_of(actor, kind)).collect();
    let running = slots.iter().filter_map(|slot| Some((slot.job_id?, slot.since)));
    let failures = slots.iter().filter_map(|slot| slot.last_failure.as_ref());
    let last_failure = failures.max_by_key(|failure| failure.at);
    let ticked_at = state.board.ticked_at();
    NodePool::Is(PoolFacts {
        pause: config.pools.of(kind).paused.then(|| pause(config, kind)),
        resumes_at: resumes_at(&pool),
        restarts: Some(pool.restarts),
        last_failure: last_failure.map(|failure| (failure.at, failure.reason.clone())),
        longest: running.min_by_key(|(_, since)| *since),
        per_minute: Some(pool.per_minute),
        is_recorder_full: state.claims.is_recorder_full(),
        write_error: state.desk.write_error().map(|error| error.to_string()),
        stalled_since: is_stalled(ticked_at, wall_clock(), timing.tick_ms).then_some(ticked_at),
        size: pool.size,
        busy: pool.busy,
        backing_off: pool.backing_off,
    })
}

/// True for the slots of a kind: their names are `KIND/number`.
fn is_slot_of(actor: &ActorView, kind: &str) -> bool {
    let number = actor.name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
    actor.kind == ActorType::Handler && number.is_some()
}

fn resumes_at(pool: &PoolView) -> Option<Timestamp> {
    (pool.backing_off > 0).then_some(pool.resumes_at)
}

/// Who or what pauses a kind: an operator, its own section, or that of all kinds.
fn pause(config: &Config, kind: &str) -> PoolPause {
    if let Some(set) = config.pools.override_of(kind).and_then(PoolOverride::pause) {
        return PoolPause::ByOperator {
            by: set.by.clone(),
            note: set.note.clone(),
            at: set.at,
            until: set.expires_at,
        };
    }
    let own = format!("pools.{kind}.paused");
    let is_own = config.origin(&own).is_some();
    PoolPause::ByFile(key(config, if is_own { own } else { "pools.default.paused".to_owned() }))
}
