//! Follow-on jobs: those that the effects of a job enqueue, each in a line of its own.
//!
//! One that is due at once may be born running, as a webhook's job may (`tables/born.rs`). It is
//! chosen before turns are taken, because it takes none, and stored after the fences are checked.

use super::{Settlement, Transition};
use crate::domain::{
    Effect, Id,
    hand_off::{NewHead, choose},
    job::NewJob,
    outcome::Subject,
};
use crate::store::{
    Claim, FreePlaces,
    engine::{
        Database, StoreError,
        tx::{Tx, millis},
    },
    tables::{
        born::{calm_kinds, put_chosen},
        caps::Caps,
        leads::Leads,
        lines::{self, Counts, Entry, Place},
        turns::{Turns, TurnsNeeded},
    },
};
use std::collections::{HashMap, HashSet};

/// A job that an effect enqueues.
pub(super) struct FollowOn {
    /// The index of its settlement in the group. The job id would not do: a group can contain two
    /// settlements of the same run, and only the first one is applied.
    pub(super) from: usize,
    entry: Entry,
    /// The request of the webhook from which it follows.
    request_id: Option<String>,
    /// It has a place: it is stored as a running job of this node.
    is_born: bool,
}

impl FollowOn {
    const fn is_due(&self) -> bool {
        self.entry.job.delay_ms <= 0
    }
}

/// The jobs that the effects of `all` enqueue. `new_drafts` are the ids of drafts that are added,
/// by the index of the settlement.
pub(super) fn follow_ons(
    db: &Database,
    all: &[Settlement],
    leads: &Leads,
    new_drafts: &HashMap<usize, Id>,
) -> Vec<FollowOn> {
    let mut follow_ons = Vec::new();
    for (from, settlement) in all.iter().enumerate() {
        for effect in settlement.transition.effects() {
            if let Effect::Enqueue { kind, subject, delay } = effect {
                let draft_id = match subject {
                    Subject::OfTheJob => None,
                    Subject::Draft(id) => Some(*id),
                    Subject::NewDraft => new_drafts.get(&from).copied(),
                };
                let job = NewJob {
                    kind: *kind,
                    client_id: settlement.client_id.clone(),
                    lead_id: settlement.lead_id.map(|id| leads.resolve(id)),
                    subject_id: draft_id.or(settlement.message_id).unwrap_or(settlement.job_id),
                    message_id: settlement.message_id,
                    draft_id,
                    max_attempts: db.max_attempts(*kind),
                    in_lead_line: false,
                    channel: settlement.channel.clone(),
                    delay_ms: millis(*delay),
                    trace: settlement.trace,
                };
                let entry = Entry { id: db.next_id(), job };
                let request_id = settlement.request_id.clone();
                follow_ons.push(FollowOn { from, entry, request_id, is_born: false });
            }
        }
    }
    follow_ons
}

/// Chooses the follow-on jobs that get one of the `places`: none of a kind of which somebody
/// waits, or comes into turn by this group. The caps of their clients are locked; they still count
/// the jobs that the group ends, so rather too few are chosen than too many.
pub(super) async fn choose_born(
    tx: &Tx,
    places: &[FreePlaces],
    all: &[Settlement],
    followers: &HashMap<Id, Place>,
    caps: &Caps,
    follow_ons: &mut [FollowOn],
) -> Result<(), StoreError> {
    let released = all.iter().filter(|it| matches!(it.transition, Transition::Release));
    let come_into_turn: HashSet<&str> = followers
        .values()
        .map(|place| place.kind.as_str())
        .chain(released.map(|settlement| settlement.kind.as_str()))
        .collect();
    let free = places.iter().filter(|it| !come_into_turn.contains(it.kind));
    let free: HashMap<&str, FreePlaces> = free.map(|it| (it.kind, *it)).collect();
    let mut candidates: Vec<&mut FollowOn> = follow_ons
        .iter_mut()
        .filter(|it| it.is_due() && free.contains_key(it.entry.job.kind.0))
        .collect();
    if candidates.is_empty() {
        return Ok(());
    }
    let calm = calm_kinds(tx, free.values()).await?;
    let counts = free.values().filter(|it| calm.contains(it.kind)).map(|it| (it.kind, it.count));
    let heads: Vec<NewHead<'_>> = candidates
        .iter()
        .map(|it| NewHead { kind: it.entry.job.kind.0, client_id: &it.entry.job.client_id })
        .collect();
    let chosen = choose(&heads, &counts.collect(), |client_id| caps.client_room(client_id));
    for number in chosen {
        if let Some(follow_on) = candidates.get_mut(number) {
            follow_on.is_born = true;
        }
    }
    Ok(())
}

/// Takes the turns for followers and follow-on jobs, before any head is locked. If a fence then
/// fails, its turns are not used, which does no harm.
pub(super) async fn take_turns(
    tx: &Tx,
    followers: &HashMap<Id, Place>,
    follow_ons: &[FollowOn],
) -> Result<Turns, StoreError> {
    let mut needed = TurnsNeeded::default();
    for place in followers.values() {
        needed.add(&place.kind, &place.client_id);
    }
    for follow_on in follow_ons.iter().filter(|it| it.is_due() && !it.is_born) {
        needed.add(follow_on.entry.job.kind.0, &follow_on.entry.job.client_id);
    }
    needed.take(tx).await
}

/// Enqueues the follow-on jobs, as the last step. Each has a line of its own, so none waits behind
/// a head. Returns those that are born running.
pub(super) async fn enqueue(
    db: &Database,
    tx: &Tx,
    follow_ons: Vec<FollowOn>,
    turns: Turns,
    caps: &mut Caps,
    counts: &mut Counts,
) -> Result<Vec<Claim>, StoreError> {
    // 1. Store their facts. One that exists already is not enqueued again.
    let entries: Vec<Entry> = follow_ons.iter().map(|it| it.entry.clone()).collect();
    let new = lines::put_jobs(tx, &entries).await?;
    // 2. Let the new ones enter their lines.
    let (mut placed, mut chosen) = (lines::Placed::default(), Vec::new());
    for follow_on in follow_ons.iter().filter(|it| new.contains(&it.entry.id)) {
        counts.add(follow_on.entry.job.kind.0, "enqueued", 1);
        let entering = follow_on.entry.entering();
        match (follow_on.is_due(), follow_on.is_born) {
            (false, _) => placed.later.push((entering.delay_ms, entering.place)),
            (true, true) => chosen.push(entering.place),
            (true, false) => placed.ready.push(entering.place),
        }
    }
    let born = put_chosen(tx, db.node(), &chosen, caps).await?;
    lines::write(tx, placed, turns, caps).await?;
    let claim = |it: &FollowOn| {
        let born = born.iter().find(|born| born.job_id == it.entry.id)?;
        Some(Claim::of_born(*born, &it.entry.job, it.request_id.clone()))
    };
    Ok(follow_ons.iter().filter_map(claim).collect())
}
