//! What has become of sends, of the drafts that they send and of the accounts that they go through,
//! for logs and metrics.

use super::{
    Id,
    sending::{AccountState, DeliveryStatus},
};

/// A change that a transaction has made. It is told after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendNews {
    /// A delivery has ended, or more is known of its end.
    Ended {
        /// The delivery.
        delivery_id: Id,
        /// Its channel, as stored.
        channel: String,
        /// Its status now.
        status: DeliveryStatus,
        /// Why it was not sent, or why nobody knows.
        cause: Option<String>,
    },
    /// A draft was written, or decided on.
    Draft {
        /// Its channel, as stored.
        channel: String,
        /// Its status now: `pending`, `approved`, `rejected` or `superseded`.
        status: &'static str,
    },
    /// The state of a client's account has changed.
    Account {
        /// The client.
        client_id: String,
        /// The channel, as stored.
        channel: String,
        /// Its trouble now; `None` if it has none any more.
        state: Option<AccountState>,
        /// What its provider said; empty if it has no trouble.
        cause: String,
    },
}
