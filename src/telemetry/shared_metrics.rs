//! The metrics that are read from the database when they are asked for. They are of all nodes, and
//! each node exports them: join them by `max`, never by `sum`.
//!
//! While the database is away they are missing: an old number would look like a present one.

use super::metrics::{Declare, MetricLabels, options};
use prometheus::{GaugeVec, IntGaugeVec};

/// What a series has no labels.
const NONE: &[&str] = &[];
const KIND: &[&str] = &["kind"];

/// The counts of all nodes, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SharedCounts {
    /// The unfinished jobs, by kind.
    pub kinds: Vec<KindCounts>,
    /// Accepted jobs that neither have ended nor are there; negative if there are too many.
    pub ledger_imbalance: i64,
    /// Webhooks in quarantine that nobody has decided on.
    pub quarantine_held: i64,
    /// Drafts that nobody has decided on.
    pub drafts_pending: i64,
    /// How long the first of them has waited; 0 if there is none.
    pub oldest_draft_seconds: i64,
    /// Deliveries of which nobody knows the end.
    pub deliveries_uncertain: i64,
    /// Accounts that their providers do not accept.
    pub accounts_disconnected: i64,
    /// Accounts through which nothing is sent now, by channel. Channels without one may be missing.
    pub accounts_paused: Vec<(String, i64)>,
    /// Living nodes, by role. Roles without one may be missing.
    pub nodes: Vec<(String, i64)>,
}

/// The unfinished jobs of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    /// The kind.
    pub kind: String,
    /// Jobs that wait.
    pub pending: i64,
    /// Jobs that run.
    pub running: i64,
    /// How long the job has been due that has been due longest; 0 if none is due.
    pub oldest_seconds: i64,
}

/// The families of what is read from the database. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedMetrics {
    jobs_pending: IntGaugeVec,
    jobs_running: IntGaugeVec,
    oldest_pending_seconds: GaugeVec,
    ledger_imbalance: IntGaugeVec,
    quarantine_held: IntGaugeVec,
    drafts_pending: IntGaugeVec,
    draft_oldest_pending_seconds: GaugeVec,
    deliveries_uncertain: IntGaugeVec,
    accounts_disconnected: IntGaugeVec,
    accounts_paused: IntGaugeVec,
    nodes: IntGaugeVec,
    labels: MetricLabels,
}

impl SharedMetrics {
    pub(super) fn declare(
        add: &Declare<'_>,
        labels: &MetricLabels,
    ) -> Result<Self, prometheus::Error> {
        let oldest = options(
            "oldest_pending_seconds",
            "How long the job has been due that has been due longest, on all nodes: use max, never sum",
        );
        let draft = options(
            "draft_oldest_pending_seconds",
            "How long the draft has waited for a person that has waited longest: use max, never sum",
        );
        let metrics = Self {
            jobs_pending: add.gauges(
                "jobs_pending",
                "Jobs that wait, on all nodes: use max, never sum",
                KIND,
            )?,
            jobs_running: add.gauges(
                "jobs_running",
                "Jobs that run, on all nodes: use max, never sum",
                KIND,
            )?,
            oldest_pending_seconds: add.register(GaugeVec::new(oldest, KIND)?)?,
            ledger_imbalance: add.gauges(
                "ledger_imbalance_jobs",
                "Jobs accepted, without those that ended, wait or run, on all nodes; always 0: use max, never sum",
                NONE,
            )?,
            quarantine_held: add.gauges(
                "quarantine_held",
                "Webhooks in quarantine that nobody has decided on: use max, never sum",
                NONE,
            )?,
            drafts_pending: add.gauges(
                "drafts_pending",
                "Drafts that wait for a person: use max, never sum",
                NONE,
            )?,
            draft_oldest_pending_seconds: add.register(GaugeVec::new(draft, NONE)?)?,
            deliveries_uncertain: add.gauges(
                "deliveries_uncertain",
                "Sends of which nobody knows the end: use max, never sum",
                NONE,
            )?,
            accounts_disconnected: add.gauges(
                "accounts_disconnected",
                "Accounts that their providers do not accept: use max, never sum",
                NONE,
            )?,
            accounts_paused: add.gauges(
                "accounts_paused",
                "Accounts through which nothing is sent for now: use max, never sum",
                &["channel"],
            )?,
            nodes: add.gauges(
                "nodes",
                "Nodes that give signs of life, by role: use max, never sum",
                &["role"],
            )?,
            labels: labels.clone(),
        };
        metrics.set(&SharedCounts::default());
        Ok(metrics)
    }

    /// Sets all of them. What a list does not name is 0; what has no series is left out.
    pub fn set(&self, counts: &SharedCounts) {
        for kind in &self.labels.kinds {
            let found = counts.kinds.iter().find(|it| it.kind == kind.0);
            let found = found.cloned().unwrap_or_default();
            self.jobs_pending.with_label_values(&[kind.0]).set(found.pending);
            self.jobs_running.with_label_values(&[kind.0]).set(found.running);
            let oldest = self.oldest_pending_seconds.with_label_values(&[kind.0]);
            oldest.set(found.oldest_seconds as f64);
        }
        for (gauge, value) in [
            (&self.ledger_imbalance, counts.ledger_imbalance),
            (&self.quarantine_held, counts.quarantine_held),
            (&self.drafts_pending, counts.drafts_pending),
            (&self.deliveries_uncertain, counts.deliveries_uncertain),
            (&self.accounts_disconnected, counts.accounts_disconnected),
        ] {
            gauge.with_label_values(NONE).set(value);
        }
        let oldest = self.draft_oldest_pending_seconds.with_label_values(NONE);
        oldest.set(counts.oldest_draft_seconds as f64);
        for channel in &self.labels.channels {
            let paused = value_of(&counts.accounts_paused, channel.0);
            self.accounts_paused.with_label_values(&[channel.0]).set(paused);
        }
        for role in super::metrics::ROLES {
            self.nodes.with_label_values(&[role]).set(value_of(&counts.nodes, role));
        }
    }

    /// Takes all of them away: they are not known now.
    pub fn clear(&self) {
        for gauge in [
            &self.jobs_pending,
            &self.jobs_running,
            &self.ledger_imbalance,
            &self.quarantine_held,
            &self.drafts_pending,
            &self.deliveries_uncertain,
            &self.accounts_disconnected,
            &self.accounts_paused,
            &self.nodes,
        ] {
            gauge.reset();
        }
        self.oldest_pending_seconds.reset();
        self.draft_oldest_pending_seconds.reset();
    }
}

/// The number beside `name`; 0 if it is not there.
fn value_of(counts: &[(String, i64)], name: &str) -> i64 {
    counts.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{ChannelName, JobKind},
        telemetry::metrics::Metrics,
    };

    #[test]
    fn what_is_not_known_is_missing_and_not_old() {
        let labels = MetricLabels {
            channels: vec![ChannelName("sms")],
            kinds: vec![JobKind("SELF_CHECK")],
            database: "sqlite",
        };
        let metrics = Metrics::new(labels).expect("metrics");
        let has = |line: &str| metrics.render().expect("text").lines().any(|it| it == line);
        assert!(has("postroom_jobs_pending{kind=\"SELF_CHECK\"} 0"));
        assert!(has("postroom_drafts_pending 0"));
        let kinds = [("SELF_CHECK", 3), ("FROM_TOMORROW", 4)].map(|(kind, pending)| KindCounts {
            kind: kind.to_owned(),
            pending,
            running: 1,
            oldest_seconds: 62,
        });
        metrics.shared().set(&SharedCounts {
            kinds: kinds.to_vec(),
            drafts_pending: 7,
            oldest_draft_seconds: 90,
            accounts_paused: vec![("sms".to_owned(), 2), ("gone".to_owned(), 1)],
            nodes: vec![("all".to_owned(), 2)],
            ..SharedCounts::default()
        });
        for line in [
            "postroom_jobs_pending{kind=\"SELF_CHECK\"} 3",
            "postroom_oldest_pending_seconds{kind=\"SELF_CHECK\"} 62",
            "postroom_drafts_pending 7",
            "postroom_draft_oldest_pending_seconds 90",
            "postroom_accounts_paused{channel=\"sms\"} 2",
            "postroom_nodes{role=\"all\"} 2",
            "postroom_nodes{role=\"worker\"} 0",
        ] {
            assert!(has(line), "{line}");
        }
        let text = metrics.render().expect("text");
        assert!(!text.contains("FROM_TOMORROW") && !text.contains("gone"), "{text}");
        metrics.shared().clear();
        let text = metrics.render().expect("text");
        for name in ["jobs_pending", "drafts_pending", "oldest_pending_seconds", "nodes"] {
            assert!(!text.contains(&format!("\npostroom_{name}")), "{text}");
        }
    }
}
