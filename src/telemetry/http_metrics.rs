//! The metrics of the HTTP server as a whole: its connections, and the requests that the admin API
//! refused.

use super::metrics::{Declare, options};
use prometheus::{IntCounter, IntCounterVec, IntGauge};

const REASON: &[&str] = &["reason"];

/// The metric families of HTTP.
#[derive(Clone, Debug)]
pub struct HttpFamilies {
    connections: ConnectionMetrics,
    admin_refused: IntCounterVec,
}

impl HttpFamilies {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        let open = options("connections", "HTTP connections open on this node");
        let malformed = options("http_malformed_total", "Connections that did not speak HTTP");
        let connections = ConnectionMetrics {
            open: declare.register(IntGauge::with_opts(open)?)?,
            refused: declare.counters(
                "connections_refused_total",
                "HTTP connections closed at once: as many were open as may be",
                REASON,
            )?,
            ended: declare.counters(
                "connections_ended_total",
                "HTTP connections that missed a deadline",
                REASON,
            )?,
            malformed: declare.register(IntCounter::with_opts(malformed)?)?,
        };
        let admin_refused = declare.counters(
            "admin_refused_total",
            "Requests to the admin API that were not let in",
            REASON,
        )?;
        for (counter, reasons) in [
            (&connections.refused, CONNECTION_REFUSALS.as_slice()),
            (&connections.ended, &CONNECTION_ENDS),
            (&admin_refused, &ADMIN_REFUSALS),
        ] {
            for reason in reasons {
                // The series exists from the start, so that the first event shows as a rise.
                counter.with_label_values(&[reason]);
            }
        }
        Ok(Self { connections, admin_refused })
    }

    /// The metrics of a server's connections.
    pub fn connections(&self) -> ConnectionMetrics {
        self.connections.clone()
    }

    /// Counts a request that the admin API refused, for one of [`ADMIN_REFUSALS`].
    pub fn admin_refused(&self, reason: &'static str) {
        self.admin_refused.with_label_values(&[reason]).inc();
    }
}

/// Why a connection is closed at once: its address has the most connections allowed, or the server
/// has.
pub const CONNECTION_REFUSALS: [&str; 2] = ["address", "all"];

/// The deadlines that a connection can miss: sending a request's head, the next request, and
/// reading an answer.
pub const CONNECTION_ENDS: [&str; 3] = ["head", "idle", "answer"];

/// Why the admin API or a page refuses a request.
///
/// In their order: no token and no session, a wrong token or code, too many wrong ones, one that
/// was sent in clear text, a page of another site that may have made a browser send it, a role
/// that may not do this.
pub const ADMIN_REFUSALS: [&str; 6] =
    ["no_token", "wrong_token", "throttled", "plain", "cross_site", "role"];

/// The metrics of a server's connections.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    open: IntGauge,
    refused: IntCounterVec,
    ended: IntCounterVec,
    malformed: IntCounter,
}

impl ConnectionMetrics {
    /// Sets the number of open connections.
    pub fn open(&self, count: usize) {
        self.open.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a connection that was closed at once, for one of [`CONNECTION_REFUSALS`].
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts a connection that missed a deadline, one of [`CONNECTION_ENDS`].
    pub fn ended(&self, reason: &'static str) {
        self.ended.with_label_values(&[reason]).inc();
    }

    /// Counts a connection on which something other than HTTP came.
    pub fn malformed(&self) {
        self.malformed.inc();
    }
}
