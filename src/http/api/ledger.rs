//! `/ledger`: whether each accepted job has ended or is there.

use super::{ApiResult, ApiState, objects, query::Query};
use crate::{
    http::openapi::{ApiEndpoint, get},
    store::{LedgerBalance, StoreError},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The ledger.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/ledger", show)
            .says("Whether each accepted job has ended or is there")
            .answers::<LedgerJson>(),
    ]
}

impl ApiState {
    /// The balance of the ledger, as old as [`ApiState::totals`].
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn ledger_balance(&self) -> Result<LedgerBalance, StoreError> {
        Ok(self.totals().await?.balance())
    }
}

/// `GET /ledger`.
pub(super) async fn show(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    Query::none(&request)?;
    objects::object(LedgerJson::of(&state.ledger_balance().await?))
}

#[derive(Debug, JsonSchema, Serialize)]
struct LedgerJson {
    balanced: bool,
    /// Accepted jobs that neither have ended nor are there; negative if there are too many.
    imbalance: i64,
    accepted: i64,
    succeeded: i64,
    failed: i64,
    cancelled: i64,
    pending: i64,
    running: i64,
}

impl LedgerJson {
    const fn of(balance: &LedgerBalance) -> Self {
        let imbalance = balance.imbalance();
        Self {
            balanced: imbalance == 0,
            imbalance,
            accepted: balance.accepted,
            succeeded: balance.succeeded,
            failed: balance.failed,
            cancelled: balance.cancelled,
            pending: balance.pending,
            running: balance.running,
        }
    }
}
