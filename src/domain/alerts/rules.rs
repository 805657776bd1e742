//! The conditions of the rules, and the facts that they read.

use super::{AlertRule, HOUR_MS, MINUTE_MS};
use crate::domain::{Id, Timestamp};

/// A job is late if it has been due for longer.
const LATE_MS: i64 = 5 * MINUTE_MS;
/// The canary is stale if none came back for longer.
const CANARY_STALE_MS: i64 = 3 * MINUTE_MS;
/// A kind fails if more attempts fail within 15 minutes, and more than one in 20 of those that
/// ended.
const FAILED_MAX: u64 = 20;
const ENDED_PER_FAILED: u64 = 20;
/// A draft has waited for long after this time.
const DRAFT_WAITS_MS: i64 = 4 * HOUR_MS;
/// The hours of the day, UTC, in which somebody is told that drafts wait.
const DAY: std::ops::Range<i64> = 7..18;
/// A node that is silent for longer has most likely ended; one that is silent for less may be slow.
const SILENT_MS: std::ops::RangeInclusive<i64> = MINUTE_MS..=15 * MINUTE_MS;

/// What the rules read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFacts {
    /// The time by which all of them are judged.
    pub now: Timestamp,
    /// Why this node is not ready: parts of a sentence.
    pub not_ready: Vec<String>,
    /// Webhooks that were answered `queue_full`, `database_away` or `draining` within 5 minutes.
    pub refused: u64,
    /// When a canary last came back, or the node started; `None` if this node runs none.
    pub canary_at: Option<Timestamp>,
    /// Attempts within 15 minutes, by kind.
    pub failing: Vec<FailingKind>,
    /// Webhooks that were not understood within 15 minutes.
    pub not_understood: u64,
    /// When the files were refused; `None` if they run.
    pub refused_config: Option<Timestamp>,
    /// How many keys wait for a restart.
    pub pending_keys: usize,
    /// True if the kill switch is off.
    pub sending_is_off: bool,
    /// The pools that are paused here.
    pub paused: Vec<PausedPool>,
    /// What was counted in the database; `None` if it was not, or is too old.
    pub counted: Option<Counted>,
}

/// What is counted in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The kinds of which a job is due.
    pub due: Vec<LateKind>,
    /// Accepted jobs that are missing; negative if there are too many.
    pub imbalance: i64,
    /// Deliveries of which nobody knows the end.
    pub uncertain: i64,
    /// Accounts that their providers do not accept.
    pub disconnected: Vec<DisconnectedAccount>,
    /// Drafts that wait for a person.
    pub drafts: i64,
    /// When the first of them was made.
    pub oldest_draft_at: Option<Timestamp>,
    /// The other nodes, if they tell that they live.
    pub others: Vec<SilentNode>,
}

/// A kind of which a job is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateKind {
    /// The kind.
    pub kind: String,
    /// How many jobs of it wait.
    pub pending: i64,
    /// Since when the one is due that has been due longest.
    pub due_since: Timestamp,
}

/// How attempts of a kind ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingKind {
    /// The kind.
    pub kind: String,
    /// How many failed.
    pub failed: u64,
    /// How many ended.
    pub ended: u64,
}

/// An account that its provider does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisconnectedAccount {
    /// The client.
    pub client: String,
    /// The channel.
    pub channel: String,
    /// Since when.
    pub since: Timestamp,
}

/// A pool that is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedPool {
    /// The kind.
    pub kind: String,
    /// Who paused it; `None`: the configuration.
    pub by: Option<String>,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentNode {
    /// Its id.
    pub id: Id,
    /// How long it has been silent, in milliseconds.
    pub silent_ms: i64,
}

/// What a rule says of facts.
pub(super) enum JudgedRule {
    /// The facts are not known.
    Unknown,
    /// Nothing is wrong.
    Well,
    /// Something is.
    Wrong(Breach),
}

/// What is wrong.
#[derive(Default)]
pub(super) struct Breach {
    /// Since when, if the facts say so.
    pub(super) since: Option<Timestamp>,
    /// Since when the condition has held, if the facts say so.
    pub(super) held_since: Option<Timestamp>,
    /// True if nobody is told at this time of the day.
    pub(super) is_quiet: bool,
    pub(super) clause: String,
    pub(super) sentence: String,
    pub(super) link: &'static str,
}

impl Breach {
    fn new(clause: impl Into<String>, sentence: impl Into<String>, link: &'static str) -> Self {
        Self { clause: clause.into(), sentence: sentence.into(), link, ..Self::default() }
    }

    fn since(self, since: Timestamp) -> Self {
        Self { since: Some(since), ..self }
    }

    fn held_since(self, since: Timestamp) -> Self {
        Self { held_since: Some(since), ..self }
    }

    fn when(self, is_so: bool) -> JudgedRule {
        if is_so { JudgedRule::Wrong(self) } else { JudgedRule::Well }
    }
}

impl AlertRule {
    /// What this rule says of `facts`.
    pub(super) fn judge(self, facts: &AlertFacts) -> JudgedRule {
        match self {
            Self::Down => down(facts),
            Self::RefusingWebhooks => refusing(facts.refused),
            Self::CanaryStale => canary(facts),
            Self::JobsFailing => failing(facts),
            Self::NotUnderstood => not_understood(facts.not_understood),
            Self::ConfigRefused => config_refused(facts.refused_config),
            Self::ConfigNeedsRestart => needs_restart(facts.pending_keys),
            Self::SendingOff => Breach::new(
                "sending is switched off",
                "Sending is switched off (`sending.enabled`): approved answers wait.",
                "/config?q=sending",
            )
            .when(facts.sending_is_off),
            Self::PoolPaused => paused(&facts.paused),
            Self::JobsLate
            | Self::LedgerBroken
            | Self::SendsUncertain
            | Self::AccountDisconnected
            | Self::DraftsWait
            | Self::NodeSilent => match &facts.counted {
                None => JudgedRule::Unknown,
                Some(counted) => self.judge_counted(facts, counted),
            },
        }
    }

    fn judge_counted(self, facts: &AlertFacts, counted: &Counted) -> JudgedRule {
        match self {
            Self::JobsLate => late(facts, counted),
            Self::LedgerBroken => ledger(counted.imbalance),
            Self::SendsUncertain => uncertain(counted.uncertain),
            Self::AccountDisconnected => disconnected(&counted.disconnected),
            Self::DraftsWait => drafts(facts, counted),
            Self::NodeSilent => silent(facts.now, &counted.others),
            Self::Down
            | Self::RefusingWebhooks
            | Self::CanaryStale
            | Self::JobsFailing
            | Self::NotUnderstood
            | Self::ConfigRefused
            | Self::ConfigNeedsRestart
            | Self::SendingOff
            | Self::PoolPaused => JudgedRule::Unknown,
        }
    }
}

/// `1 job`, `2 jobs`.
fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    match number.try_into().unwrap_or_default() {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

/// The first of them, and how many more there are: `A`, `A and 1 other kind`.
fn first_of(first: &str, all: usize, one: &str, many: &str) -> String {
    match all {
        0 | 1 => first.to_owned(),
        all => format!("{first} and {}", count(all - 1, one, many)),
    }
}

fn down(facts: &AlertFacts) -> JudgedRule {
    let Some(first) = facts.not_ready.first() else { return JudgedRule::Well };
    let sentence = format!("This node is not ready: {}.", facts.not_ready.join("; "));
    Breach::new(first.clone(), sentence, "/system").when(true)
}

fn refusing(refused: u64) -> JudgedRule {
    let webhooks = count(refused, "webhook was", "webhooks were");
    let sentence = format!(
        "{webhooks} answered 429 within 5 minutes: providers post them again, and give up after a while."
    );
    Breach::new("webhooks are refused", sentence, "/received").when(refused > 0)
}

fn late(facts: &AlertFacts, counted: &Counted) -> JudgedRule {
    let is_late = |kind: &&LateKind| facts.now.millis_since(kind.due_since) > LATE_MS;
    let mut late: Vec<&LateKind> = counted.due.iter().filter(is_late).collect();
    late.sort_by_key(|kind| (kind.due_since, &kind.kind));
    let Some(first) = late.first() else { return JudgedRule::Well };
    let kinds = first_of(&first.kind, late.len(), "other kind", "other kinds");
    let waiting = count(first.pending, "job waits", "jobs wait");
    let why = facts.paused.iter().find(|pool| pool.kind == first.kind).map(|pool| match &pool.by {
        Some(who) => format!(": the pool is paused by {who}"),
        None => ": the pool is paused by the configuration".to_owned(),
    });
    let others = match late.len() {
        1 => String::new(),
        all => format!("; {} late, too", count(all - 1, "other kind is", "other kinds are")),
    };
    let sentence = format!("{waiting} for {}{}{others}.", first.kind, why.unwrap_or_default());
    Breach::new(format!("jobs of {kinds} are late"), sentence, "/pools")
        .since(first.due_since)
        .held_since(first.due_since.plus_millis(LATE_MS))
        .when(true)
}

fn canary(facts: &AlertFacts) -> JudgedRule {
    let Some(at) = facts.canary_at else { return JudgedRule::Well };
    let sentence = "No canary job came back for more than 3 minutes: something on the way of every job is shut.";
    Breach::new("the canary does not come back", sentence, "/system")
        .since(at)
        .held_since(at.plus_millis(CANARY_STALE_MS))
        .when(facts.now.millis_since(at) > CANARY_STALE_MS)
}

fn ledger(imbalance: i64) -> JudgedRule {
    let jobs = count(imbalance.unsigned_abs(), "accepted job", "accepted jobs");
    let sentence = if imbalance > 0 {
        format!("{jobs} neither ended nor are there. Stop pruning, and keep the log.")
    } else {
        let one = "job is there that was never accepted";
        let many = "jobs are there that were never accepted";
        format!("{}. Keep the log.", count(imbalance.unsigned_abs(), one, many))
    };
    Breach::new("the ledger does not balance", sentence, "/system").when(imbalance != 0)
}

fn failing(facts: &AlertFacts) -> JudgedRule {
    let fails = |kind: &&FailingKind| {
        kind.failed > FAILED_MAX && kind.failed * ENDED_PER_FAILED > kind.ended
    };
    let mut failing: Vec<&FailingKind> = facts.failing.iter().filter(fails).collect();
    failing.sort_by_key(|kind| (std::cmp::Reverse(kind.failed), &kind.kind));
    let Some(first) = failing.first() else { return JudgedRule::Well };
    let kinds = first_of(&first.kind, failing.len(), "other kind", "other kinds");
    let sentence = format!(
        "{} of {} attempts of {} failed within 15 minutes.",
        first.failed, first.ended, first.kind
    );
    Breach::new(format!("jobs of {kinds} fail"), sentence, "/jobs?status=failed&group=error")
        .when(true)
}

fn uncertain(uncertain: i64) -> JudgedRule {
    let clause = count(uncertain, "send has no known end", "sends have no known end");
    let sentence = format!(
        "{} gone out, or not. Look at the provider, then say which it was.",
        count(uncertain, "answer may have", "answers may have")
    );
    Breach::new(clause, sentence, "/deliveries?status=uncertain").when(uncertain > 0)
}

fn disconnected(accounts: &[DisconnectedAccount]) -> JudgedRule {
    let Some(first) = accounts.iter().min_by_key(|it| it.since) else { return JudgedRule::Well };
    let clause = count(accounts.len(), "account is disconnected", "accounts are disconnected");
    let others = match accounts.len() {
        1 => String::new(),
        all => format!(", nor {}", count(all - 1, "other one", "other ones")),
    };
    let sentence = format!(
        "The provider of {} does not accept the account of {}{others}: nothing is sent through it.",
        first.channel, first.client
    );
    Breach::new(clause, sentence, "/clients").since(first.since).when(true)
}

fn drafts(facts: &AlertFacts, counted: &Counted) -> JudgedRule {
    let Some(oldest) = counted.oldest_draft_at else { return JudgedRule::Well };
    let hour = facts.now.as_millis().div_euclid(HOUR_MS).rem_euclid(24);
    let drafts = count(counted.drafts, "draft waits", "drafts wait");
    let sentence = format!("{drafts} for a person, the oldest for more than 4 hours.");
    let breach = Breach {
        is_quiet: !DAY.contains(&hour),
        ..Breach::new(drafts, sentence, "/inbox?view=drafts").since(oldest)
    };
    breach.when(facts.now.millis_since(oldest) > DRAFT_WAITS_MS)
}

fn not_understood(count_of: u64) -> JudgedRule {
    let sentence = format!(
        "{} within 15 minutes: a provider may have changed what it posts.",
        count(count_of, "webhook was not understood", "webhooks were not understood")
    );
    Breach::new("webhooks are not understood", sentence, "/received?tab=quarantine")
        .when(count_of > 0)
}

fn config_refused(at: Option<Timestamp>) -> JudgedRule {
    let Some(at) = at else { return JudgedRule::Well };
    let sentence = "The files of the configuration are wrong. Those of before still run.";
    Breach::new("the configuration is refused", sentence, "/config")
        .since(at)
        .held_since(at)
        .when(true)
}

fn needs_restart(keys: usize) -> JudgedRule {
    let clause = count(keys, "changed key waits for a restart", "changed keys wait for a restart");
    let sentence = format!("{clause}: until then the old values run.");
    Breach::new(clause, sentence, "/config?show=pending").when(keys > 0)
}

fn paused(pools: &[PausedPool]) -> JudgedRule {
    let Some(first) = pools.first() else { return JudgedRule::Well };
    let by = match &first.by {
        Some(who) => format!("{who} has paused"),
        None => "The configuration has paused".to_owned(),
    };
    let kinds = first_of(&first.kind, pools.len(), "other pool", "other pools");
    let verb = if pools.len() == 1 { "is" } else { "are" };
    let breach = Breach::new(
        format!("{kinds} {verb} paused"),
        format!("{by} {kinds}: no job of it starts."),
        "/pools",
    );
    Breach { since: pools.iter().filter_map(|it| it.since).min(), ..breach }.when(true)
}

fn silent(now: Timestamp, others: &[SilentNode]) -> JudgedRule {
    let is_silent = |node: &&SilentNode| SILENT_MS.contains(&node.silent_ms);
    let silent: Vec<&SilentNode> = others.iter().filter(is_silent).collect();
    let Some(first) = silent.iter().max_by_key(|it| it.silent_ms) else { return JudgedRule::Well };
    let nodes = first_of(&format!("node {}", first.id), silent.len(), "other", "others");
    let sentence = format!("Nothing was heard of {nodes}: it may have ended without saying so.");
    Breach::new(format!("{nodes} is silent"), sentence, "/system")
        .since(now.plus_millis(-first.silent_ms))
        .when(true)
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
