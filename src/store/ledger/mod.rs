//! Settles jobs: applies the effects and completions of many jobs in one transaction, each only
//! while its fence holds. The recorder uses it, and everything else that ends or moves a claimed
//! job.

mod effects;
mod follow_ons;
mod handle;
mod sends;

pub use self::handle::Ledger;

pub(super) use self::{effects::UPDATE_MESSAGES, sends::end_unclaimed};

use crate::domain::{Effect, Id, JobKind, job::FailureReason, sending::SendEnd, trace::JobTrace};
use crate::store::{
    Claim, FreePlaces,
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Tx, group, millis},
    },
    tables::{
        caps::Caps,
        heads::{self, DELETE_FOLLOWERS, DELETE_HEADS, Head, LOCK_HEADS},
        leads::{Followed, Leads},
        lines::{self, Counts, Entering, Place},
        turns::Turns,
    },
};
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

sql! {
    /// Appends runs to the history. No locks except those of the new keys (job, run).
    static PUT_ATTEMPTS =
        "insert into job_attempts (job_id, run, spared, outcome, ended, node, actor, started_at, finished_at, error, trace_id) \
         select g.job_id, g.run, g.spared, g.outcome, g.ended, g.node, g.actor, \
           case when g.duration is null then null else @in_ms(-g.duration) end, @now, g.error, g.trace_id \
         from @rows($1, job_id bigint, run integer, spared integer, outcome text, ended boolean, node bigint, actor text, \
           duration bigint, error text, trace_id text) g";

    /// Makes heads wait for their retry: they keep their place, and leave the claim's index. The
    /// rows are locked. By primary key.
    static RETRY_HEADS =
        "update job_ready set node = null, locked_at = null, turn = null, run_at = @in_ms(g.delay) \
         from @rows($1, line bigint, delay bigint) g where job_ready.line = g.line";

    /// Postpones heads: they keep their place, and use no attempt. The rows are locked. By primary
    /// key.
    static POSTPONE_HEADS =
        "update job_ready set node = null, locked_at = null, turn = null, spared = spared + 1, run_at = @in_ms(g.delay) \
         from @rows($1, line bigint, delay bigint) g where job_ready.line = g.line";

    /// Releases heads that were claimed but not started: they get a turn of at least V, and use no
    /// attempt. The rows are locked. By primary key.
    static RELEASE_HEADS =
        "update job_ready set node = null, locked_at = null, spared = spared + 1, turn = case \
           when turn > coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) then turn \
           else coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) end \
         where line @ids($1)";
}

/// A transition of a job, with its fence: it is applied only while the head of the line is still
/// this job, with the same run and node.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The job.
    pub job_id: Id,
    /// Its line.
    pub line: Id,
    /// Its kind, as stored.
    pub kind: String,
    /// Its client.
    pub client_id: String,
    /// Its lead.
    pub lead_id: Option<Id>,
    /// The message that it is about.
    pub message_id: Option<Id>,
    /// The draft that it is about.
    pub draft_id: Option<Id>,
    /// Its channel, as stored. The jobs that its effects enqueue inherit it.
    pub channel: Option<String>,
    /// The request of its message's webhook. The jobs that its effects enqueue inherit it.
    pub request_id: Option<String>,
    /// The fencing token of the claim.
    pub run: i64,
    /// How many runs of the job used no attempt.
    pub spared: i64,
    /// The node that has claimed it; `None` if the job waits.
    pub node: Option<Id>,
    /// The slot that worked on it; `None` if none did, or the slot is unknown.
    pub actor: Option<String>,
    /// How long the attempt took.
    pub duration: Option<Duration>,
    /// What happens to the job.
    pub transition: Transition,
    /// How the call of its send ended, by the word of the handler that made it. `None` if it made
    /// none, or did not come to say so.
    pub send: Option<SendEnd>,
    /// The span of the run, if it is recorded: the jobs that its effects enqueue are made in it.
    pub trace: Option<JobTrace>,
}

impl Settlement {
    /// The id of the trace of the run, for log lines; `None` if it is not recorded.
    pub fn trace_id(&self) -> Option<String> {
        self.trace.map(|trace| trace.made_in.trace_id())
    }
}

/// What happens to a job at the end of a run, or by hand.
#[derive(Clone, Debug)]
pub enum Transition {
    /// The job ended well, with these effects.
    Succeed(Vec<Effect>),
    /// The attempt failed; the job waits for its retry as the head of its line.
    Retry {
        /// The pause, counted from the commit.
        after: Duration,
        /// Why the attempt failed.
        reason: FailureReason,
        /// The error that an operator reads.
        error: String,
    },
    /// The job failed.
    Fail {
        /// Why the last attempt failed.
        reason: FailureReason,
        /// The error that an operator reads.
        error: String,
    },
    /// The job runs again later and leaves its place in line. Uses no attempt.
    Snooze {
        /// The pause, counted from the commit.
        after: Duration,
    },
    /// The job cannot run now: it keeps its place in line and is tried again later. Uses no
    /// attempt.
    Postpone {
        /// The pause, counted from the commit.
        after: Duration,
    },
    /// The job was claimed and not started: it keeps its turn. Uses no attempt.
    Release,
    /// A person ended the job, or its message or lead is gone.
    Cancel {
        /// Why.
        reason: String,
    },
}

impl Transition {
    /// The word for it in history, metrics and logs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Succeed(_) => "succeeded",
            Self::Retry { reason, .. } | Self::Fail { reason, .. } => reason.as_str(),
            Self::Snooze { .. } => "snoozed",
            Self::Postpone { .. } => "postponed",
            Self::Release => "released",
            Self::Cancel { .. } => "cancelled",
        }
    }

    /// Why the attempt failed; `None` if it did not.
    pub const fn failure(&self) -> Option<FailureReason> {
        match self {
            Self::Retry { reason, .. } | Self::Fail { reason, .. } => Some(*reason),
            Self::Succeed(_)
            | Self::Snooze { .. }
            | Self::Postpone { .. }
            | Self::Release
            | Self::Cancel { .. } => None,
        }
    }

    /// True if the job leaves the head of its line, so that its first follower is promoted.
    const fn takes_head_away(&self) -> bool {
        match self {
            Self::Succeed(_) | Self::Fail { .. } | Self::Snooze { .. } | Self::Cancel { .. } => {
                true
            }
            Self::Retry { .. } | Self::Postpone { .. } | Self::Release => false,
        }
    }

    /// The kinds of the jobs that its effects enqueue and that are due at once.
    pub fn enqueues(&self) -> impl Iterator<Item = JobKind> {
        let now = |effect: &Effect| match effect {
            Effect::Enqueue { kind, delay, .. } if delay.is_zero() => Some(*kind),
            Effect::Enqueue { .. }
            | Effect::Judge { .. }
            | Effect::OptOut { .. }
            | Effect::AddDraft { .. }
            | Effect::ApproveDraft { .. }
            | Effect::Score { .. }
            | Effect::Read { .. } => None,
        };
        self.effects().iter().filter_map(now)
    }

    fn effects(&self) -> &[Effect] {
        match self {
            Self::Succeed(effects) => effects,
            Self::Retry { .. }
            | Self::Fail { .. }
            | Self::Snooze { .. }
            | Self::Postpone { .. }
            | Self::Release
            | Self::Cancel { .. } => &[],
        }
    }
}

/// Settles jobs, in the order of locks. If a lead was merged into another since its job was
/// claimed, the changes go to that other lead. Returns for each settlement whether it was applied,
/// and the follow-on jobs that got one of the `places`: they are stored as running jobs of this
/// node.
pub(super) async fn settle(
    db: &Database,
    tx: &Tx,
    all: &[Settlement],
    followed: &Followed,
    places: &[FreePlaces],
) -> Result<(Vec<bool>, Vec<Claim>), StoreError> {
    // 1. Lock the leads, and read the messages and followers that depend on these locks.
    let mut leads = Leads::lock_following(tx, &leads_of(all), followed).await?;
    let (all, known) = effects::postpone_stale(tx, all).await?;
    let (all, sends) = sends::end_cut_off(tx, all).await?;
    let all = &*all;
    let followers = read_followers(tx, all).await?;
    // 2. Lock the caps, and take the turns that may be needed.
    let clients = all.iter().map(|settlement| settlement.client_id.as_str());
    let mut caps = Caps::lock(tx, clients).await?;
    let new_drafts = new_drafts(db, all);
    let mut follow_ons = follow_ons::follow_ons(db, all, &leads, &new_drafts);
    follow_ons::choose_born(tx, places, all, &followers, &caps, &mut follow_ons).await?;
    let turns = follow_ons::take_turns(tx, &followers, &follow_ons).await?;
    // 3. Lock the heads, and check the fences.
    let heads = lock_heads(tx, all).await?;
    let applied: Vec<bool> = heads.iter().map(Option::is_some).collect();
    let passed: Vec<&Settlement> = all
        .iter()
        .zip(&applied)
        .filter(|(_, is_applied)| **is_applied)
        .map(|(settlement, _)| settlement)
        .collect();
    let new_drafts: HashMap<Id, Id> = new_drafts
        .into_iter()
        .filter_map(|(at, draft_id)| all.get(at).map(|settlement| (settlement.job_id, draft_id)))
        .collect();
    // 4. Move the heads away, and promote their followers.
    for (settlement, head) in all.iter().zip(&heads) {
        // A released job stays in turn, unless its lead was merged into another meanwhile.
        let stays = matches!(settlement.transition, Transition::Release)
            && leads.resolve(settlement.line) == settlement.line;
        if let (Some(head), false) = (head, stays) {
            caps.leaves(&settlement.client_id, head.admission);
        }
    }
    let mut counts = Counts::default();
    move_heads(tx, &passed, &leads, &mut counts).await?;
    let turns = promote(tx, &passed, followers, turns, &mut caps).await?;
    // 5. Settle the deliveries, apply the effects, and enqueue the follow-on jobs.
    sends::settle_sends(db, tx, all, &applied, &sends, &mut leads).await?;
    effects::apply_effects(db, tx, &passed, &known, &new_drafts, &mut leads).await?;
    follow_ons.retain(|follow_on| applied.get(follow_on.from) == Some(&true));
    let born = follow_ons::enqueue(db, tx, follow_ons, turns, &mut caps, &mut counts).await?;
    // 6. Admit held heads of the clients that have room now, and write the counts.
    caps.admit_and_write(tx).await?;
    counts.write(tx, db.node()).await?;
    Ok((applied, born))
}

/// The ids of the drafts that settlements add, by the index of the settlement.
fn new_drafts(db: &Database, all: &[Settlement]) -> HashMap<usize, Id> {
    let adds_draft = |settlement: &Settlement| {
        settlement.transition.effects().iter().any(|it| matches!(it, Effect::AddDraft { .. }))
    };
    let adding = all.iter().enumerate().filter(|(_, settlement)| adds_draft(settlement));
    adding.map(|(at, _)| (at, db.next_id())).collect()
}

/// The leads to lock: those whose lines change, those to which effects are applied, and those whose
/// deliveries may be settled.
fn leads_of(all: &[Settlement]) -> BTreeSet<Id> {
    let lines = all.iter().map(|it| it.line).filter(|line| *line > 0);
    let with_effects = all.iter().filter(|settlement| !settlement.transition.effects().is_empty());
    let with_drafts = all.iter().filter(|settlement| settlement.draft_id.is_some());
    let others = with_effects.chain(with_drafts).filter_map(|it| it.lead_id);
    lines.chain(others).collect()
}

/// By line of a lead: the first blocked job behind a head that may end.
async fn read_followers(tx: &Tx, all: &[Settlement]) -> Result<HashMap<Id, Place>, StoreError> {
    let may_end =
        |settlement: &&Settlement| settlement.line > 0 && settlement.transition.takes_head_away();
    let lines: BTreeSet<Id> = all.iter().filter(may_end).map(|it| it.line).collect();
    heads::read_first_blocked(tx, &lines).await
}

/// Locks the heads. Returns for each settlement its head, or `None` if the fence fails: the head
/// has another job, run or node.
async fn lock_heads(tx: &Tx, all: &[Settlement]) -> Result<Vec<Option<Head>>, StoreError> {
    let lines: BTreeSet<Id> = all.iter().map(|it| it.line).collect();
    let lines: Vec<Id> = lines.into_iter().collect();
    let mut heads: HashMap<Id, Head> = HashMap::new();
    for row in tx.all(&LOCK_HEADS, [group(&lines)?]).await? {
        let head = Head::from_row(&row)?;
        heads.insert(head.line, head);
    }
    let fence_holds = |settlement: &Settlement, head: &Head| {
        (head.job_id, head.run, head.node) == (settlement.job_id, settlement.run, settlement.node)
    };
    // A group can contain two settlements of the same run. Only the first one finds its head.
    let head_of = |settlement: &Settlement| {
        heads.get(&settlement.line).filter(|head| fence_holds(settlement, head))?;
        heads.remove(&settlement.line)
    };
    Ok(all.iter().map(head_of).collect())
}

#[serde_with::skip_serializing_none]
#[derive(Serialize)]
struct AttemptRow<'a> {
    job_id: Id,
    run: i64,
    spared: i64,
    outcome: &'static str,
    ended: bool,
    node: Option<Id>,
    actor: Option<&'a str>,
    duration: Option<i64>,
    error: Option<&'a str>,
    trace_id: Option<String>,
}

/// The row of history that a settlement leaves, and the state whose count it raises. `None` if it
/// leaves no row.
fn attempt_of(settlement: &Settlement) -> Option<(AttemptRow<'_>, Option<&'static str>)> {
    let (outcome, ended, error, state) = match &settlement.transition {
        Transition::Succeed(_) => ("succeeded", true, None, Some("succeeded")),
        Transition::Retry { reason, error, .. } => (reason.as_str(), false, Some(error), None),
        Transition::Fail { reason, error } => (reason.as_str(), true, Some(error), Some("failed")),
        Transition::Snooze { .. } => ("snoozed", false, None, None),
        Transition::Cancel { reason } => ("cancelled", true, Some(reason), Some("cancelled")),
        Transition::Postpone { .. } | Transition::Release => return None,
    };
    // A cancel is not a run: its row gets the number after the last run, so that the key is unique,
    // and uses no attempt.
    let (more_runs, more_spared) = match settlement.transition {
        Transition::Cancel { .. } => (1, 1),
        Transition::Snooze { .. } => (0, 1),
        Transition::Succeed(_)
        | Transition::Retry { .. }
        | Transition::Fail { .. }
        | Transition::Postpone { .. }
        | Transition::Release => (0, 0),
    };
    let row = AttemptRow {
        job_id: settlement.job_id,
        run: settlement.run + more_runs,
        spared: settlement.spared + more_spared,
        outcome,
        ended,
        node: settlement.node,
        actor: settlement.actor.as_deref(),
        duration: settlement.duration.map(millis),
        error: error.map(String::as_str),
        trace_id: settlement.trace_id(),
    };
    Some((row, state))
}

/// Appends to the history what each of `settlements` leaves there, and counts the jobs that ended.
pub(super) async fn write_history<'a>(
    tx: &Tx,
    settlements: impl Iterator<Item = &'a Settlement>,
    counts: &mut Counts,
) -> Result<(), StoreError> {
    let mut attempts = Vec::new();
    for settlement in settlements {
        if let Some((row, state)) = attempt_of(settlement) {
            attempts.push(row);
            if let Some(state) = state {
                counts.add(&settlement.kind, state, 1);
            }
        }
    }
    if !attempts.is_empty() {
        tx.run(&PUT_ATTEMPTS, [group(&attempts)?]).await?;
    }
    Ok(())
}

/// Ends, retries, snoozes, postpones or releases heads that are locked and checked, and writes
/// their history.
async fn move_heads(
    tx: &Tx,
    passed: &[&Settlement],
    leads: &Leads,
    counts: &mut Counts,
) -> Result<(), StoreError> {
    write_history(tx, passed.iter().copied(), counts).await?;
    let mut moves = HeadMoves::default();
    for settlement in passed {
        moves.add(settlement, leads.resolve(settlement.line));
    }
    moves.write(tx).await
}

/// Where the heads of a group go.
#[derive(Default)]
struct HeadMoves {
    /// Lines whose head is deleted.
    gone: Vec<Id>,
    /// Lines whose head waits for its retry.
    retried: Vec<DelayedRow>,
    /// Lines whose head is postponed.
    postponed: Vec<DelayedRow>,
    /// Lines whose head gets a turn again.
    released: Vec<Id>,
    /// Jobs that enter their line again when they are due.
    later: Vec<Entering>,
}

#[derive(Serialize)]
struct DelayedRow {
    line: Id,
    /// In milliseconds, from the commit.
    delay: i64,
}

impl HeadMoves {
    /// Adds the move of a settlement's head. `line` is the settlement's own line; if its lead was
    /// merged into another, it is that lead's line. Then the head cannot keep its place: it leaves
    /// its line, and enters the other one like a job that is due later.
    fn add(&mut self, settlement: &Settlement, line: Id) {
        let own_line = settlement.line;
        let is_moved = line != own_line;
        let row = |after: Duration| DelayedRow { line: own_line, delay: millis(after) };
        match &settlement.transition {
            Transition::Succeed(_) | Transition::Fail { .. } | Transition::Cancel { .. } => {
                self.gone.push(own_line);
            }
            Transition::Retry { after, .. } if is_moved => {
                self.enter_later(settlement, line, *after, 0);
            }
            Transition::Retry { after, .. } => self.retried.push(row(*after)),
            Transition::Snooze { after } => self.enter_later(settlement, line, *after, 1),
            Transition::Postpone { after } if is_moved => {
                self.enter_later(settlement, line, *after, 1);
            }
            Transition::Postpone { after } => self.postponed.push(row(*after)),
            Transition::Release if is_moved => {
                self.enter_later(settlement, line, Duration::ZERO, 1);
            }
            Transition::Release => self.released.push(own_line),
        }
    }

    /// Takes a head out of its line, and lets it enter `line` after the pause. `spared` is how many
    /// more of its runs used no attempt.
    fn enter_later(&mut self, settlement: &Settlement, line: Id, after: Duration, spared: i64) {
        self.gone.push(settlement.line);
        let spared = settlement.spared + spared;
        let place = Place { line, spared, ..place_of(settlement) };
        let delay_ms = millis(after).max(1);
        self.later.push(Entering { place, delay_ms, is_by_hand: false });
    }

    async fn write(self, tx: &Tx) -> Result<(), StoreError> {
        if !self.gone.is_empty() {
            tx.run(&DELETE_HEADS, [group(&self.gone)?]).await?;
        }
        if !self.retried.is_empty() {
            tx.run(&RETRY_HEADS, [group(&self.retried)?]).await?;
        }
        if !self.postponed.is_empty() {
            tx.run(&POSTPONE_HEADS, [group(&self.postponed)?]).await?;
        }
        if !self.released.is_empty() {
            tx.run(&RELEASE_HEADS, [group(&self.released)?]).await?;
        }
        // All of them are due later, so none becomes a head here.
        let placed = lines::place(tx, self.later, &HashSet::new()).await?;
        lines::write(tx, placed, Turns::default(), &mut Caps::default()).await?;
        Ok(())
    }
}

fn place_of(settlement: &Settlement) -> Place {
    Place {
        line: settlement.line,
        job_id: settlement.job_id,
        kind: settlement.kind.clone(),
        client_id: settlement.client_id.clone(),
        run: settlement.run,
        spared: settlement.spared,
    }
}

/// Promotes the followers of heads that left their lines. `followers` are keyed by line. Returns
/// the turns that are left.
async fn promote(
    tx: &Tx,
    passed: &[&Settlement],
    mut followers: HashMap<Id, Place>,
    turns: Turns,
    caps: &mut Caps,
) -> Result<Turns, StoreError> {
    let left = passed.iter().filter(|settlement| settlement.transition.takes_head_away());
    let next: Vec<Place> =
        left.filter_map(|settlement| followers.remove(&settlement.line)).collect();
    if next.is_empty() {
        return Ok(turns);
    }
    let moved: Vec<Id> = next.iter().map(|it| it.job_id).collect();
    tx.run(&DELETE_FOLLOWERS, [group(&moved)?]).await?;
    lines::write(tx, lines::Placed::heads(tx, next).await?, turns, caps).await
}
