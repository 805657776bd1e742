use super::*;
use crate::domain::alerts::{AlertWatch, Severity, prometheus_rules::PrometheusRule};

/// Noon of a day.
const NOON: Timestamp = Timestamp::from_millis(20_000 * 24 * HOUR_MS + 12 * HOUR_MS);

fn ago(ms: i64) -> Timestamp {
    NOON.plus_millis(-ms)
}

fn well() -> AlertFacts {
    AlertFacts { now: NOON, counted: Some(Counted::default()), ..AlertFacts::default() }
}

fn with(change: impl FnOnce(&mut AlertFacts)) -> AlertFacts {
    let mut facts = well();
    change(&mut facts);
    facts
}

fn counted(change: impl FnOnce(&mut Counted)) -> AlertFacts {
    with(|facts| change(facts.counted.as_mut().unwrap()))
}

fn due(kind: &str, pending: i64, ms: i64) -> LateKind {
    LateKind { kind: kind.to_owned(), pending, due_since: ago(ms) }
}

fn failing(kind: &str, failed: u64, ended: u64) -> FailingKind {
    FailingKind { kind: kind.to_owned(), failed, ended }
}

fn paused(kind: &str, by: Option<&str>) -> PausedPool {
    PausedPool { kind: kind.to_owned(), by: by.map(str::to_owned), since: Some(ago(7)) }
}

fn account(client: &str, ms: i64) -> DisconnectedAccount {
    DisconnectedAccount { client: client.to_owned(), channel: "pager".to_owned(), since: ago(ms) }
}

/// What is expected of facts: the rule, since how long, whether it fires at the first look, and the
/// sentence; `None` if nothing is wrong.
type ExpectedAlert = Option<(AlertRule, i64, bool, &'static str)>;

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row for each bound")]
fn each_rule_at_its_bounds() {
    let rows: Vec<(AlertFacts, ExpectedAlert)> = vec![
        (well(), None),
        (AlertFacts { now: NOON, ..AlertFacts::default() }, None),
        (
            with(|it| it.not_ready = vec!["the database is away".to_owned(), "x".to_owned()]),
            Some((AlertRule::Down, 0, false, "This node is not ready: the database is away; x.")),
        ),
        (
            with(|it| it.refused = 1),
            Some((
                AlertRule::RefusingWebhooks,
                0,
                false,
                "1 webhook was answered 429 within 5 minutes: providers post them again, and give up after a while.",
            )),
        ),
        (counted(|it| it.due = vec![due("A", 1, 5 * MINUTE_MS)]), None),
        (
            counted(|it| it.due = vec![due("A", 1, 5 * MINUTE_MS + 1)]),
            Some((AlertRule::JobsLate, 5 * MINUTE_MS + 1, false, "1 job waits for A.")),
        ),
        (
            counted(|it| it.due = vec![due("B", 3, HOUR_MS), due("A", 214, 2 * HOUR_MS)]),
            Some((
                AlertRule::JobsLate,
                2 * HOUR_MS,
                true,
                "214 jobs wait for A; 1 other kind is late, too.",
            )),
        ),
        (with(|it| it.canary_at = Some(ago(3 * MINUTE_MS))), None),
        (
            with(|it| it.canary_at = Some(ago(3 * MINUTE_MS + 1))),
            Some((
                AlertRule::CanaryStale,
                3 * MINUTE_MS + 1,
                false,
                "No canary job came back for more than 3 minutes: something on the way of every job is shut.",
            )),
        ),
        (
            with(|it| it.canary_at = Some(ago(4 * MINUTE_MS))),
            Some((
                AlertRule::CanaryStale,
                4 * MINUTE_MS,
                true,
                "No canary job came back for more than 3 minutes: something on the way of every job is shut.",
            )),
        ),
        (
            counted(|it| it.imbalance = 2),
            Some((
                AlertRule::LedgerBroken,
                0,
                false,
                "2 accepted jobs neither ended nor are there. Stop pruning, and keep the log.",
            )),
        ),
        (
            counted(|it| it.imbalance = -1),
            Some((
                AlertRule::LedgerBroken,
                0,
                false,
                "1 job is there that was never accepted. Keep the log.",
            )),
        ),
        (with(|it| it.failing = vec![failing("A", 20, 20)]), None),
        (with(|it| it.failing = vec![failing("A", 21, 420)]), None),
        (
            with(|it| it.failing = vec![failing("B", 21, 419), failing("A", 500, 600)]),
            Some((
                AlertRule::JobsFailing,
                0,
                true,
                "500 of 600 attempts of A failed within 15 minutes.",
            )),
        ),
        (
            counted(|it| it.uncertain = 3),
            Some((
                AlertRule::SendsUncertain,
                0,
                false,
                "3 answers may have gone out, or not. Look at the provider, then say which it was.",
            )),
        ),
        (
            counted(|it| it.disconnected = vec![account("a", 5), account("b", 9)]),
            Some((
                AlertRule::AccountDisconnected,
                9,
                true,
                "The provider of pager does not accept the account of b, nor 1 other one: nothing is sent through it.",
            )),
        ),
        (counted(|it| (it.drafts, it.oldest_draft_at) = (12, Some(ago(4 * HOUR_MS)))), None),
        (
            counted(|it| (it.drafts, it.oldest_draft_at) = (12, Some(ago(4 * HOUR_MS + 1)))),
            Some((
                AlertRule::DraftsWait,
                4 * HOUR_MS + 1,
                true,
                "12 drafts wait for a person, the oldest for more than 4 hours.",
            )),
        ),
        (
            with(|it| it.not_understood = 2),
            Some((
                AlertRule::NotUnderstood,
                0,
                true,
                "2 webhooks were not understood within 15 minutes: a provider may have changed what it posts.",
            )),
        ),
        (
            with(|it| it.refused_config = Some(ago(9 * MINUTE_MS))),
            Some((
                AlertRule::ConfigRefused,
                9 * MINUTE_MS,
                false,
                "The files of the configuration are wrong. Those of before still run.",
            )),
        ),
        (
            with(|it| it.refused_config = Some(ago(10 * MINUTE_MS))),
            Some((
                AlertRule::ConfigRefused,
                10 * MINUTE_MS,
                true,
                "The files of the configuration are wrong. Those of before still run.",
            )),
        ),
        (
            with(|it| it.pending_keys = 2),
            Some((
                AlertRule::ConfigNeedsRestart,
                0,
                false,
                "2 changed keys wait for a restart: until then the old values run.",
            )),
        ),
        (
            with(|it| it.sending_is_off = true),
            Some((
                AlertRule::SendingOff,
                0,
                false,
                "Sending is switched off (`sending.enabled`): approved answers wait.",
            )),
        ),
        (
            with(|it| it.paused = vec![paused("A", Some("dana"))]),
            Some((AlertRule::PoolPaused, 7, false, "dana has paused A: no job of it starts.")),
        ),
        (counted(|it| it.others = vec![SilentNode { id: 7, silent_ms: MINUTE_MS - 1 }]), None),
        (
            counted(|it| it.others = vec![SilentNode { id: 7, silent_ms: 2 * MINUTE_MS }]),
            Some((
                AlertRule::NodeSilent,
                2 * MINUTE_MS,
                false,
                "Nothing was heard of node 7: it may have ended without saying so.",
            )),
        ),
        (counted(|it| it.others = vec![SilentNode { id: 7, silent_ms: HOUR_MS }]), None),
    ];
    for (facts, expected) in rows {
        let found = AlertWatch::default().judge(&facts);
        let found: Vec<(AlertRule, i64, bool, &str)> = found
            .iter()
            .map(|it| (it.rule, NOON.millis_since(it.since), it.fires, it.sentence.as_str()))
            .collect();
        let expected: Vec<(AlertRule, i64, bool, &str)> = expected.into_iter().collect();
        assert_eq!(found, expected, "{facts:?}");
    }
}

#[test]
fn what_holds_a_late_kind_is_said() {
    for (by, expected) in [
        (Some("dana"), "214 jobs wait for DELIVER_REPLY: the pool is paused by dana."),
        (None, "214 jobs wait for DELIVER_REPLY: the pool is paused by the configuration."),
    ] {
        let mut facts = counted(|it| it.due = vec![due("DELIVER_REPLY", 214, HOUR_MS)]);
        facts.paused = vec![paused("OTHER", None), paused("DELIVER_REPLY", by)];
        let found = AlertWatch::default().judge(&facts);
        assert_eq!(found[0].sentence, expected);
        assert_eq!(found[1].rule.severity(), Severity::Note);
    }
}

#[test]
fn nobody_is_told_at_night_that_drafts_wait() {
    for (hour, fires) in [(0, false), (6, false), (7, true), (17, true), (18, false)] {
        let now = NOON.plus_millis((hour - 12) * HOUR_MS);
        let mut facts = counted(|it| it.oldest_draft_at = Some(ago(24 * HOUR_MS)));
        facts.now = now;
        let found = AlertWatch::default().judge(&facts);
        assert_eq!(found[0].fires, fires, "{hour}");
    }
}

/// The same thresholds, durations and severities as in `ops/alerts.yaml`.
#[test]
fn prometheus_judges_by_the_same_numbers() {
    let rules = PrometheusRule::all();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let alerts = AlertRule::ALL.into_iter().filter(|rule| rule.severity() != Severity::Note);
    let alerts: Vec<AlertRule> = alerts.collect();
    assert_eq!(names, alerts.iter().map(|rule| rule.name()).collect::<Vec<_>>());
    for (rule, prometheus) in alerts.into_iter().zip(rules) {
        assert_eq!(prometheus.lasts_ms, rule.lasts_ms(), "{rule:?}");
        assert_eq!(prometheus.severity, rule.severity().as_str(), "{rule:?}");
        let section = format!("#{}", rule.runbook().unwrap());
        assert!(prometheus.runbook_url.ends_with(&section), "{}", prometheus.runbook_url);
        for threshold in thresholds(rule) {
            assert!(prometheus.expr.contains(&threshold), "{threshold}: {}", prometheus.expr);
        }
    }
}

/// How the bounds of a rule are written in its expression.
fn thresholds(rule: AlertRule) -> Vec<String> {
    let seconds = |ms: i64| format!(" > {}", ms / 1_000);
    match rule {
        AlertRule::Down => vec!["postroom_ready{".to_owned(), " == 0".to_owned()],
        AlertRule::JobsLate => vec![seconds(LATE_MS)],
        AlertRule::CanaryStale => vec![seconds(CANARY_STALE_MS)],
        AlertRule::DraftsWait => vec![
            seconds(DRAFT_WAITS_MS),
            format!("hour() >= {} and hour() < {}", DAY.start, DAY.end),
        ],
        AlertRule::JobsFailing => {
            assert_eq!(100 / ENDED_PER_FAILED, 5);
            vec![format!(" > {FAILED_MAX} and "), " > 0.05 * sum by (kind)".to_owned()]
        }
        AlertRule::ConfigRefused => vec![" == 0".to_owned()],
        AlertRule::RefusingWebhooks
        | AlertRule::LedgerBroken
        | AlertRule::SendsUncertain
        | AlertRule::AccountDisconnected
        | AlertRule::NotUnderstood
        | AlertRule::ConfigNeedsRestart => vec![" > 0".to_owned()],
        AlertRule::SendingOff | AlertRule::PoolPaused | AlertRule::NodeSilent => Vec::new(),
    }
}

#[test]
fn the_least_that_is_known_is_judged_while_the_database_is_away() {
    let facts = AlertFacts { counted: None, refused: 3, ..well() };
    let rules: Vec<AlertRule> =
        AlertWatch::default().judge(&facts).iter().map(|it| it.rule).collect();
    assert_eq!(rules, [AlertRule::RefusingWebhooks]);
}
