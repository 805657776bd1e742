//! The calls of models: a row for each request to a model's server, without any text.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "model_calls")]
pub struct Model {
    /// Its key. Greater ids are newer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The kind of the job that asked.
    pub kind: String,
    /// What was asked: `classify`, `score`, `draft` or `evaluate`.
    pub feature: String,
    /// The prompt and its version, such as `classify.v1`.
    pub prompt: String,
    /// The model, as the configuration names it.
    pub model: String,
    /// How it ended: `ok`, or why there was no answer.
    pub status: String,
    /// More about a failure. It has no text of a person.
    pub error: Option<String>,
    /// Tokens of the question, as the server counts them.
    pub tokens_in: Option<i64>,
    /// Tokens of the answer, as the server counts them.
    pub tokens_out: Option<i64>,
    /// The time from the request to its end, in milliseconds.
    pub latency_ms: i64,
    /// 0 for the first request of a question, 1 for its first repetition, and so on.
    pub retry: i64,
    /// The client of the job.
    pub client_id: String,
    /// The lead of the job.
    pub lead_id: Option<i64>,
    /// The job that asked.
    pub job_id: i64,
    /// The node that asked.
    pub node: i64,
    /// When the row was stored, which is right after the end.
    pub created_at: Instant,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
