//! What is counted of HTTP, whatever is asked for: connections, and who was not let into the admin API.

use super::metrics::{Declare, options};
use prometheus::{IntCounter, IntCounterVec, IntGauge};

const REASON: &[&str] = &["reason"];

/// The families, each with its labels.
#[derive(Clone, Debug)]
pub struct HttpFamilies {
    connections: ConnectionMetrics,
    admin_refused: IntCounterVec,
}

impl HttpFamilies {
    pub(super) fn declare(it: &Declare<'_>) -> Result<Self, prometheus::Error> {
        let open = options("connections", "HTTP connections open");
        let malformed = options("http_malformed_total", "Connections that did not speak HTTP");
        let connections = ConnectionMetrics {
            open: it.register(IntGauge::with_opts(open)?)?,
            refused: it.counters(
                "connections_refused_total",
                "HTTP connections closed at once: as many were open as may be",
                REASON,
            )?,
            ended: it.counters(
                "connections_ended_total",
                "HTTP connections that missed a deadline",
                REASON,
            )?,
            malformed: it.register(IntCounter::with_opts(malformed)?)?,
        };
        let admin_refused = it.counters(
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
                // A series that is there from the start shows the first one as a rise.
                counter.with_label_values(&[reason]);
            }
        }
        Ok(Self { connections, admin_refused })
    }

    /// The handle for the connections of a server.
    pub fn connections(&self) -> ConnectionMetrics {
        self.connections.clone()
    }

    /// A request to the admin API was not let in, for one of [`ADMIN_REFUSALS`].
    pub fn admin_refused(&self, reason: &'static str) {
        self.admin_refused.with_label_values(&[reason]).inc();
    }
}

/// Why a connection is closed at once: its address has as many as it may, or there are as many as may be.
pub const CONNECTION_REFUSALS: [&str; 2] = ["address", "all"];

/// The deadlines that a connection can miss: for a request's head, between two requests, for reading an answer.
pub const CONNECTION_ENDS: [&str; 3] = ["head", "idle", "answer"];

/// Why the admin API lets nobody in: no token, a wrong one, too many wrong ones, or a token that anybody on the way
/// could read.
pub const ADMIN_REFUSALS: [&str; 4] = ["no_token", "wrong_token", "throttled", "plain"];

/// What is counted of a server's connections.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    open: IntGauge,
    refused: IntCounterVec,
    ended: IntCounterVec,
    malformed: IntCounter,
}

impl ConnectionMetrics {
    /// This many are open.
    pub fn open(&self, count: usize) {
        self.open.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// One was closed at once, for one of [`CONNECTION_REFUSALS`].
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// One missed a deadline, one of [`CONNECTION_ENDS`].
    pub fn ended(&self, reason: &'static str) {
        self.ended.with_label_values(&[reason]).inc();
    }

    /// What came over one is no HTTP.
    pub fn malformed(&self) {
        self.malformed.inc();
    }
}
