//! `/ledger`: whether each accepted job has ended or is there.

use super::{ApiResult, ApiState, objects, query::Query};
use crate::store::{LedgerBalance, StoreError};
use actix_web::{HttpRequest, web};
use serde::Serialize;
use std::sync::Arc;

impl ApiState {
    /// The balance of the ledger, at most 2 s old, or older if counting takes long
    /// ([`super::latest`]).
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn ledger_balance(&self) -> Result<Arc<LedgerBalance>, StoreError> {
        self.balance.get(|| self.desk.ledger_balance()).await
    }
}

/// `GET /ledger`.
pub(super) async fn show(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    Query::none(&request)?;
    objects::object(LedgerJson::of(&*state.ledger_balance().await?))
}

#[derive(Debug, Serialize)]
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
