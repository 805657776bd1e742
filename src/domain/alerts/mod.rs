//! What is wrong with the daemon: the rules of the alerts, as plain values and pure functions.
//!
//! `ops/alerts.yaml` has the same rules for Prometheus, with the same thresholds and durations.
//! Here they are judged in process, so that the overview, the service manager and the alerts of a
//! daemon without Prometheus agree. What cannot be the same:
//!
//! - A process that is gone judges nothing: that it does not answer, or starts again and again, is
//!   a part of `Down` for Prometheus only. Both know when a node is not ready: Prometheus by
//!   `postroom_ready`, for which each scrape asks the database, and the daemon by its last read.
//! - A process knows the webhooks, the attempts and the canary of its own node. Prometheus adds up
//!   those of all nodes, and takes the newest canary. What is counted in the database is of all
//!   nodes for both.
//! - Prometheus tells of each channel, kind or node on its own. Here an alert names the first, and
//!   how many more there are.
//! - A condition is shown here at once, and fires when it has lasted. Where the facts say since
//!   when it has held, it has lasted since then; for Prometheus since it has looked.

#[cfg(test)]
pub(crate) mod prometheus_rules;
mod rules;
mod verdict;

pub use self::{
    rules::{
        AlertFacts, Counted, DisconnectedAccount, FailingKind, LateKind, PausedPool, SilentNode,
    },
    verdict::{LINES_MAX, OverallState, OverallVerdict},
};

use self::rules::JudgedRule;
use super::Timestamp;
use std::collections::BTreeMap;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How much an alert matters. The first ones matter most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It wakes somebody.
    Page,
    /// It waits for the morning.
    Ticket,
    /// It is no alert: a state that somebody wanted, or that ends by itself.
    Note,
}

impl Severity {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Note => "note",
        }
    }
}

/// A rule. The order is that of the lines in an overview, within a severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertRule {
    /// This node is not ready.
    Down,
    /// Webhooks were answered 429 because of a fault or a flood.
    RefusingWebhooks,
    /// A job has been due for more than five minutes.
    JobsLate,
    /// No canary job came back for more than three minutes, and then for one more.
    CanaryStale,
    /// Accepted jobs are missing, or there are more than were accepted.
    LedgerBroken,
    /// Many attempts of a kind fail.
    JobsFailing,
    /// Nobody knows whether answers were sent.
    SendsUncertain,
    /// A provider does not accept a client's account.
    AccountDisconnected,
    /// A draft has waited for more than four hours.
    DraftsWait,
    /// Webhooks were not understood.
    NotUnderstood,
    /// The files of the configuration are wrong, and the old ones run.
    ConfigRefused,
    /// Changed keys wait for a restart.
    ConfigNeedsRestart,
    /// Sending is switched off.
    SendingOff,
    /// An operator or the files have paused a pool.
    PoolPaused,
    /// Another node was not heard of lately.
    NodeSilent,
}

impl AlertRule {
    /// All rules, in their order.
    pub const ALL: [Self; 15] = [
        Self::Down,
        Self::RefusingWebhooks,
        Self::JobsLate,
        Self::CanaryStale,
        Self::LedgerBroken,
        Self::JobsFailing,
        Self::SendsUncertain,
        Self::AccountDisconnected,
        Self::DraftsWait,
        Self::NotUnderstood,
        Self::ConfigRefused,
        Self::ConfigNeedsRestart,
        Self::SendingOff,
        Self::PoolPaused,
        Self::NodeSilent,
    ];

    /// As `ops/alerts.yaml` and the API spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down => "Down",
            Self::RefusingWebhooks => "RefusingWebhooks",
            Self::JobsLate => "JobsLate",
            Self::CanaryStale => "CanaryStale",
            Self::LedgerBroken => "LedgerBroken",
            Self::JobsFailing => "JobsFailing",
            Self::SendsUncertain => "SendsUncertain",
            Self::AccountDisconnected => "AccountDisconnected",
            Self::DraftsWait => "DraftsWait",
            Self::NotUnderstood => "NotUnderstood",
            Self::ConfigRefused => "ConfigRefused",
            Self::ConfigNeedsRestart => "ConfigNeedsRestart",
            Self::SendingOff => "SendingOff",
            Self::PoolPaused => "PoolPaused",
            Self::NodeSilent => "NodeSilent",
        }
    }

    /// How much it matters.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Down
            | Self::RefusingWebhooks
            | Self::JobsLate
            | Self::CanaryStale
            | Self::LedgerBroken => Severity::Page,
            Self::JobsFailing
            | Self::SendsUncertain
            | Self::AccountDisconnected
            | Self::DraftsWait
            | Self::NotUnderstood
            | Self::ConfigRefused
            | Self::ConfigNeedsRestart => Severity::Ticket,
            Self::SendingOff | Self::PoolPaused | Self::NodeSilent => Severity::Note,
        }
    }

    /// The section of `docs/OPERATIONS.md` that says what to do; `None` for a note.
    pub const fn runbook(self) -> Option<&'static str> {
        match self {
            Self::Down => Some("down"),
            Self::RefusingWebhooks => Some("refusing-webhooks"),
            Self::JobsLate => Some("jobs-late"),
            Self::CanaryStale => Some("canary-stale"),
            Self::LedgerBroken => Some("ledger-broken"),
            Self::JobsFailing => Some("jobs-failing"),
            Self::SendsUncertain => Some("sends-uncertain"),
            Self::AccountDisconnected => Some("account-disconnected"),
            Self::DraftsWait => Some("drafts-wait"),
            Self::NotUnderstood => Some("not-understood"),
            Self::ConfigRefused | Self::ConfigNeedsRestart => Some("config-refused"),
            Self::SendingOff | Self::PoolPaused | Self::NodeSilent => None,
        }
    }

    /// How long its condition has to hold before it fires, in milliseconds.
    const fn lasts_ms(self) -> i64 {
        match self {
            // A daemon that has just started waits for its first canary.
            Self::CanaryStale => MINUTE_MS,
            Self::Down => 2 * MINUTE_MS,
            Self::RefusingWebhooks => 3 * MINUTE_MS,
            Self::JobsLate | Self::LedgerBroken => 5 * MINUTE_MS,
            Self::SendsUncertain | Self::ConfigRefused => 10 * MINUTE_MS,
            Self::ConfigNeedsRestart => 24 * HOUR_MS,
            Self::JobsFailing
            | Self::AccountDisconnected
            | Self::DraftsWait
            | Self::NotUnderstood
            | Self::SendingOff
            | Self::PoolPaused
            | Self::NodeSilent => 0,
        }
    }
}

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The rule that found it.
    pub rule: AlertRule,
    /// True if it has lasted so long that somebody should be told. Before that it is only shown.
    pub fires: bool,
    /// Since when.
    pub since: Timestamp,
    /// A few words without an end, to be joined with others: `webhooks are refused`.
    pub clause: String,
    /// What is wrong, for an operator to read.
    pub sentence: String,
    /// The path of the page that shows it.
    pub link: &'static str,
}

/// Judges facts again and again, and remembers since when each condition has held.
#[derive(Clone, Debug, Default)]
pub struct AlertWatch {
    began: BTreeMap<AlertRule, Timestamp>,
}

impl AlertWatch {
    /// The rules of which it is known that nothing is wrong.
    pub fn well(facts: &AlertFacts) -> Vec<AlertRule> {
        let is_well = |rule: &AlertRule| matches!(rule.judge(facts), JudgedRule::Well);
        AlertRule::ALL.into_iter().filter(is_well).collect()
    }

    /// What is wrong by these facts, what matters most first.
    ///
    /// A rule whose facts are not known finds nothing, and still remembers since when it held.
    pub fn judge(&mut self, facts: &AlertFacts) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for rule in AlertRule::ALL {
            let breach = match rule.judge(facts) {
                JudgedRule::Unknown => continue,
                JudgedRule::Well => {
                    self.began.remove(&rule);
                    continue;
                }
                JudgedRule::Wrong(breach) => breach,
            };
            let began = *self.began.entry(rule).or_insert(facts.now);
            let held_since = breach.held_since.unwrap_or(began).min(began);
            let is_long = facts.now.millis_since(held_since) >= rule.lasts_ms();
            alerts.push(Alert {
                rule,
                fires: is_long && !breach.is_quiet && rule.severity() != Severity::Note,
                since: breach.since.unwrap_or(began),
                clause: breach.clause,
                sentence: breach.sentence,
                link: breach.link,
            });
        }
        alerts.sort_by_key(|alert| (alert.rule.severity(), !alert.fires, alert.rule));
        alerts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * MINUTE_MS)
    }

    fn refusing(minutes: i64, refused: u64) -> AlertFacts {
        AlertFacts { now: at(minutes), refused, ..AlertFacts::default() }
    }

    #[test]
    fn it_is_shown_at_once_and_fires_when_it_has_lasted() {
        let mut watch = AlertWatch::default();
        assert!(watch.judge(&refusing(0, 0)).is_empty());
        for (minute, fires) in [(1, false), (3, false), (4, true), (9, true)] {
            let [alert] = &watch.judge(&refusing(minute, 1))[..] else { panic!("one") };
            assert_eq!((alert.fires, alert.since), (fires, at(1)), "{minute}");
        }
        assert!(watch.judge(&refusing(10, 0)).is_empty());
        let [alert] = &watch.judge(&refusing(20, 1))[..] else { panic!("one") };
        assert_eq!((alert.fires, alert.since), (false, at(20)), "it began again");
    }

    #[test]
    fn what_is_not_known_for_a_while_has_not_ended() {
        let mut watch = AlertWatch::default();
        let uncertain = |minute: i64, count: Option<i64>| AlertFacts {
            now: at(minute),
            counted: count.map(|uncertain| Counted { uncertain, ..Counted::default() }),
            ..AlertFacts::default()
        };
        assert!(!watch.judge(&uncertain(0, Some(2)))[0].fires);
        assert!(watch.judge(&uncertain(9, None)).is_empty());
        let [alert] = &watch.judge(&uncertain(10, Some(2)))[..] else { panic!("one") };
        assert_eq!((alert.fires, alert.since), (true, at(0)));
    }

    #[test]
    fn what_matters_most_comes_first() {
        let facts = AlertFacts {
            not_ready: vec!["the database is away".to_owned()],
            refused: 7,
            sending_is_off: true,
            refused_config: Some(at(0)),
            ..refusing(60, 7)
        };
        let rules: Vec<AlertRule> =
            AlertWatch::default().judge(&facts).iter().map(|it| it.rule).collect();
        let expected = [
            AlertRule::Down,
            AlertRule::RefusingWebhooks,
            AlertRule::ConfigRefused,
            AlertRule::SendingOff,
        ];
        assert_eq!(rules, expected);
    }

    #[test]
    fn each_alert_has_a_name_a_place_and_a_runbook() {
        for (place, rule) in AlertRule::ALL.into_iter().enumerate() {
            assert_eq!(AlertRule::ALL.iter().position(|it| *it == rule), Some(place));
            assert_eq!(rule.runbook().is_none(), rule.severity() == Severity::Note, "{rule:?}");
            assert_eq!(rule.name(), format!("{rule:?}"));
        }
    }
}
