//! What is wrong with this daemon, by what it knows without asking anybody: the facts of the alert
//! rules, and the verdict of the overview.

use super::{State, health, live::values::by_kind};
use crate::{
    domain::{
        alerts::{
            Alert, AlertFacts, AlertRule, AlertWatch, Counted, DisconnectedAccount, FailingKind,
            LateKind, OverallVerdict, PausedPool, SilentNode,
        },
        whole_millis,
    },
    store::{Totals, wall_clock},
    telemetry::{history::SeriesName, pool_post::PoolView},
};
use std::{sync::PoisonError, time::Duration};

/// The seconds within which refused webhooks count.
const REFUSED_WITHIN: u64 = 5 * 60;
/// The seconds within which failed attempts, and webhooks that were not understood, count.
const LATELY: u64 = 15 * 60;
/// The outcomes of webhooks that were refused because of a fault or a flood.
const REFUSED: [&str; 3] = ["queue_full", "database_away", "draining"];

/// What the alert rules say now.
#[derive(Clone, Debug)]
pub struct JudgedAlerts {
    /// The alerts of which somebody should be told.
    pub firing: Vec<Alert>,
    /// The rules of which it is known that nothing is wrong.
    pub well: Vec<AlertRule>,
}

impl State {
    /// Counts what the alert rules need, and judges them.
    pub async fn judge_alerts(&self) -> JudgedAlerts {
        // A failure is a fact of the rules, too.
        if let Err(error) = self.api.totals().await {
            tracing::debug!(%error, "alerts are judged without the database");
        }
        let facts = self.alert_facts();
        let mut watch = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        let firing = watch.judge(&facts).into_iter().filter(|alert| alert.fires).collect();
        let mut well = AlertWatch::well(&facts);
        well.retain(|rule| self.can_know(*rule));
        JudgedAlerts { firing, well }
    }

    /// True if this node can know that nothing is wrong by this rule. One that has just started has
    /// counted nothing yet, which does not mean that all is well.
    fn can_know(&self, rule: AlertRule) -> bool {
        let counts =
            [AlertRule::RefusingWebhooks, AlertRule::JobsFailing, AlertRule::NotUnderstood];
        if counts.contains(&rule) {
            return self.started.elapsed() >= Duration::from_secs(LATELY);
        }
        rule != AlertRule::CanaryStale || self.board.canary().is_some()
    }

    /// How this daemon is, in one sentence, and what is wrong.
    pub(in crate::http) fn verdict(&self) -> OverallVerdict {
        OverallVerdict::of(self.wrong())
    }

    /// All that is wrong, what matters most first.
    pub(in crate::http) fn wrong(&self) -> Vec<Alert> {
        let facts = self.alert_facts();
        let mut watch = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        watch.judge(&facts)
    }

    /// One sentence for the service manager; `None` while nothing is wrong.
    pub fn what_is_wrong(&self) -> Option<String> {
        let verdict = self.verdict();
        (!verdict.wrong.is_empty()).then_some(verdict.sentence)
    }

    fn alert_facts(&self) -> AlertFacts {
        let (now, config) = (wall_clock(), self.config.get());
        let pools = self.board.pools();
        let within = |outcome: &'static str, seconds| {
            self.history.count_within(&SeriesName::Webhooks(outcome), seconds)
        };
        let failing = |pool: &PoolView| {
            let count = |name: SeriesName| self.history.count_within(&name, LATELY);
            let kind = pool.kind.0;
            FailingKind {
                kind: kind.to_owned(),
                failed: count(SeriesName::Failed(kind)),
                ended: count(SeriesName::Ended(kind)),
            }
        };
        let paused = |pool: &PoolView| {
            let set = config.pools.override_of(pool.kind.0).and_then(|set| set.paused.as_ref());
            let set = set.filter(|key| key.value).map(|key| &key.set);
            PausedPool {
                kind: pool.kind.0.to_owned(),
                by: set.map(|it| it.by.clone()),
                since: set.map(|it| it.at),
            }
        };
        let tuning = self.tuner.status();
        let started_ms = whole_millis(self.started.elapsed());
        let canary = self.board.canary().map(|it| it.0).unwrap_or(now.plus_millis(-started_ms));
        let is_counted = self.api.totals_fail_since().is_none();
        let totals = self.api.last_totals().filter(|_| is_counted);
        AlertFacts {
            now,
            not_ready: self.not_ready(),
            refused: REFUSED.iter().map(|outcome| within(outcome, REFUSED_WITHIN)).sum(),
            canary_at: self.role.works().then_some(canary),
            failing: pools.iter().map(failing).collect(),
            not_understood: within("quarantined", LATELY),
            refused_config: tuning.refused().map(|report| report.at),
            pending_keys: tuning.pending.len(),
            sending_is_off: !config.sending.enabled,
            paused: pools.iter().filter(|pool| pool.paused).map(paused).collect(),
            counted: totals.map(|totals| self.counted(&totals)),
        }
    }

    /// Why this node is not ready, by what is known without asking the database.
    fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.board.is_draining() {
            reasons.push("this node is stopping".to_owned());
        }
        if self.api.totals_fail_since().is_some() {
            reasons.push("the database is away".to_owned());
        } else if self.store.disk_trouble().is_some() {
            reasons.push("the database's disk is full".to_owned());
        }
        if !health::supervisor(self).is_ok() {
            reasons.push("the supervisor stands still".to_owned());
        }
        if !health::ingest(self).is_ok() {
            reasons.push("webhooks of a channel are not stored".to_owned());
        }
        reasons
    }

    fn counted(&self, totals: &Totals) -> Counted {
        let due = by_kind(totals).into_iter().filter_map(|(kind, of_kind)| {
            let due_since = of_kind.due_since?;
            Some(LateKind { kind: kind.to_owned(), pending: of_kind.pending, due_since })
        });
        let disconnected = totals.accounts.iter().filter(|account| account.is_disconnected());
        // Only nodes that share a database tell that they live.
        let own = self.store.node();
        let shares = self.store.database() != "sqlite";
        let others = totals.nodes.iter().filter(|node| shares && node.id != own);
        Counted {
            due: due.collect(),
            imbalance: totals.balance().imbalance(),
            uncertain: totals.deliveries_uncertain,
            disconnected: disconnected
                .map(|account| DisconnectedAccount {
                    client: account.client_id.clone(),
                    channel: account.channel.clone(),
                    since: account.since,
                })
                .collect(),
            drafts: totals.drafts_pending,
            oldest_draft_at: totals.oldest_draft_at,
            others: others
                .map(|node| SilentNode { id: node.id, silent_ms: whole_millis(node.silent) })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alerts::prometheus_rules::PrometheusRule;

    #[test]
    fn prometheus_counts_the_same_within_the_same_time() {
        let refusing = PrometheusRule::named("RefusingWebhooks").expr;
        let minutes = REFUSED_WITHIN / 60;
        let counted = format!("{{outcome=~\"{}\"}}[{minutes}m]", REFUSED.join("|"));
        assert!(refusing.contains(&counted), "{refusing}");
        for name in ["JobsFailing", "NotUnderstood"] {
            let expr = PrometheusRule::named(name).expr;
            let within = format!("{}m]", LATELY / 60);
            let mut ranges = expr.split('[').skip(1).peekable();
            assert!(ranges.peek().is_some(), "{expr}");
            assert!(ranges.all(|range| range.starts_with(&within)), "{expr}");
        }
    }
}
