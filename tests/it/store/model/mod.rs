//! The life of jobs as a small model in memory, and both databases beside it: the same steps, drawn
//! by chance, must leave the same state after each of them.
//!
//! `POSTROOM_TEST_SEED` and `POSTROOM_TEST_CASES` draw others, and more.

mod jobs;

use self::jobs::{Jobs, Place};
use super::{
    life::{KINDS, settle},
    tools::{assert_whole, claim_of, claim_suspects, instant, rows},
};
use crate::support::fixture::{Fixture, SMS, job};
use postroom::{
    domain::{
        Effect, Id,
        job::{FailureReason, LEAD_SCORING, NewJob, SELF_CHECK},
    },
    store::{Claim, Orphan, Settlement, Store, Transition},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use std::{collections::HashMap, env, sync::Arc, time::Duration};
use tokio::runtime::Handle;

const HOUR: Duration = Duration::from_secs(3_600);
const LEADS: u8 = 3;
const CLIENTS: [&str; 2] = ["a", "b"];

/// One step. Numbers that pick something are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    /// An inbound job of a lead, due at once or later.
    Inbound {
        lead: u8,
        is_later: bool,
    },
    /// A job that is its own line.
    Own {
        client: usize,
        is_later: bool,
    },
    Claim {
        node: usize,
        slots: usize,
    },
    ClaimSuspects {
        node: usize,
    },
    End {
        pick: usize,
        how: End,
    },
    /// The end of a run that is over, or of one that another node holds.
    EndAgain {
        pick: usize,
    },
    Cancel {
        pick: usize,
    },
    RetryByHand {
        pick: usize,
    },
    /// An hour passes, and what is due enters.
    Due,
    /// A node dies, and another rescues what it had claimed.
    Die {
        node: usize,
    },
    Sweep,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Succeed,
    SucceedWithNext,
    Fail,
    Retry,
    Snooze,
    Postpone,
    Release,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        4 => Just(End::Succeed),
        1 => Just(End::SucceedWithNext),
        1 => Just(End::Fail),
        2 => Just(End::Retry),
        1 => Just(End::Snooze),
        1 => Just(End::Postpone),
        1 => Just(End::Release),
    ];
    let pick = 0..1_000_usize;
    let step = prop_oneof![
        6 => (0..LEADS, prop::bool::weighted(0.2)).prop_map(|(lead, is_later)| Step::Inbound { lead, is_later }),
        3 => (0..CLIENTS.len(), prop::bool::weighted(0.2)).prop_map(|(client, is_later)| Step::Own { client, is_later }),
        5 => (pick.clone(), 1..4_usize).prop_map(|(node, slots)| Step::Claim { node, slots }),
        1 => pick.clone().prop_map(|node| Step::ClaimSuspects { node }),
        8 => (pick.clone(), end).prop_map(|(pick, how)| Step::End { pick, how }),
        2 => pick.clone().prop_map(|pick| Step::EndAgain { pick }),
        1 => pick.clone().prop_map(|pick| Step::Cancel { pick }),
        1 => pick.clone().prop_map(|pick| Step::RetryByHand { pick }),
        2 => Just(Step::Due),
        1 => pick.prop_map(|node| Step::Die { node }),
        1 => Just(Step::Sweep),
    ];
    prop::collection::vec(step, 20..90)
}

/// The databases' side of a case.
struct Case<'a> {
    db: &'a Fixture,
    nodes: Vec<Store>,
    model: Jobs,
    /// All claims that were ever made, the newest of each job last.
    claims: Vec<(usize, Claim)>,
    /// The last turn that a client's job of a kind got when it came in as a head.
    turns: HashMap<(String, &'static str), i64>,
}

impl Case<'_> {
    async fn run(mut self, steps: &[Step]) {
        for step in steps {
            self.step(step).await;
            assert_eq!(
                observed(self.db).await,
                self.model.observable(),
                "after {step:?} of {steps:?}"
            );
        }
        self.finish().await;
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Inbound { lead, is_later } => {
                let client = CLIENTS[usize::from(*lead) % CLIENTS.len()];
                let lead_id = Some(Id::from(*lead) + 1);
                let it = NewJob { lead_id, in_lead_line: true, ..job(&self.nodes[0], client, SMS) };
                self.enqueue(it, *is_later).await;
            }
            Step::Own { client, is_later } => {
                let it = job(&self.nodes[0], CLIENTS[*client], SELF_CHECK);
                self.enqueue(it, *is_later).await;
            }
            Step::Claim { node, slots } => self.claim(node % self.nodes.len(), *slots).await,
            Step::ClaimSuspects { node } => {
                let node = node % self.nodes.len();
                let claims = claim_suspects(&self.nodes[node]).await;
                self.model.claimed_suspects(node, &claims);
                self.claims.extend(claims.into_iter().map(|it| (node, it)));
            }
            Step::End { pick, how } => self.end(*pick, *how).await,
            Step::EndAgain { pick } => self.end_again(*pick).await,
            Step::Cancel { pick } => {
                let Some(id) = self.model.any(*pick) else { return };
                let done = self.nodes[0].desk().cancel(id).await;
                assert_eq!(done.is_ok(), self.model.cancel(id), "{done:?}");
                // The turns of cancelled jobs are given again.
                self.turns.clear();
            }
            Step::RetryByHand { pick } => {
                let Some(id) = self.model.any(*pick) else { return };
                let done = self.nodes[0].desk().retry(id, None).await;
                assert_eq!(done.is_ok(), self.model.retry_by_hand(id), "{done:?}");
            }
            Step::Due => self.hour().await,
            Step::Die { node } => self.die(node % self.nodes.len()).await,
            Step::Sweep => assert_eq!(self.nodes[0].queue().sweep().await.unwrap(), 0),
        }
    }

    async fn enqueue(&mut self, it: NewJob, is_later: bool) {
        let it = NewJob { delay_ms: if is_later { 3_600_000 } else { 0 }, ..it };
        let again = it.clone();
        let (client, kind) = (it.client_id.clone(), it.kind.0);
        let lead = it.lead_id;
        let made = self.nodes[0].enqueuer().enqueue(vec![it]).await.unwrap();
        let id = made[0].expect("a new subject");
        self.model.enqueue(id, kind, lead, is_later);
        assert_eq!(
            self.nodes[0].enqueuer().enqueue(vec![again]).await.unwrap(),
            [None],
            "a key exists once"
        );
        if self.model.place(id) == Place::Ready {
            let turn =
                self.db.number(&format!("select turn from job_ready where job_id = {id}")).await;
            if let Some(before) = self.turns.insert((client, kind), turn) {
                assert!(turn > before, "the turns of a client rise: {turn} after {before}");
            }
        }
    }

    async fn claim(&mut self, node: usize, slots: usize) {
        let turns: HashMap<Id, i64> = rows(
            self.db,
            "select job_id, turn from job_ready where turn is not null and node is null",
            Vec::new(),
        )
        .await
        .iter()
        .map(|row| (row.try_get("", "job_id").unwrap(), row.try_get("", "turn").unwrap()))
        .collect();
        let wants = KINDS.map(|kind| (kind, slots));
        let claims = claim_of(&self.nodes[node], &wants).await;
        for kind in KINDS {
            let ready = self.model.ready(kind.0);
            let got: Vec<Id> =
                claims.iter().filter(|it| it.job.kind == kind).map(|it| it.job.id).collect();
            assert_eq!(got.len(), slots.min(ready.len()), "{kind}");
            let left = ready.iter().filter(|it| !got.contains(it)).map(|it| turns[it]).min();
            let last = got.iter().map(|it| turns[it]).max();
            assert!(left.is_none() || last <= left, "the smallest turns first: {last:?}, {left:?}");
        }
        self.model.claimed(node, &claims);
        self.claims.extend(claims.into_iter().map(|it| (node, it)));
    }

    async fn end(&mut self, pick: usize, how: End) {
        let Some(id) = self.model.running(pick) else { return };
        let (node, claim) = self.claims.iter().rev().find(|it| it.1.job.id == id).cloned().unwrap();
        let (reason, error) = (FailureReason::Error, "no".to_owned());
        let transition = match how {
            End::Succeed => Transition::Succeed(Vec::new()),
            End::SucceedWithNext => Transition::Succeed(vec![Effect::Enqueue {
                kind: LEAD_SCORING,
                subject: postroom::domain::outcome::Subject::OfTheJob,
                delay: Duration::ZERO,
            }]),
            End::Fail => Transition::Fail { reason, error },
            End::Retry => Transition::Retry { after: HOUR, reason, error },
            End::Snooze => Transition::Snooze { after: HOUR },
            End::Postpone => Transition::Postpone { after: HOUR },
            End::Release => Transition::Release,
        };
        let settlement = settle(&self.nodes[node], &claim, transition);
        let twice = Arc::new([settlement.clone(), settlement]);
        let applied = self.nodes[node].ledger().settle(twice).await.unwrap();
        assert_eq!(applied, [true, false], "a run ends once: {claim:?}");
        self.model.ended(id, how);
        if matches!(how, End::SucceedWithNext) {
            let next =
                format!("select id from jobs where subject_id = {id} and kind = '{LEAD_SCORING}'");
            let next_id = self.db.number(&next).await;
            self.model.enqueue(next_id, LEAD_SCORING.0, None, false);
        }
    }

    /// River #1302 and Oban #532: an end that comes too late changes nothing, whichever node sends
    /// it.
    async fn end_again(&mut self, pick: usize) {
        let over: Vec<&(usize, Claim)> = self
            .claims
            .iter()
            .filter(|it| !self.model.is_run(it.1.job.id, it.1.run, it.0))
            .collect();
        let Some((node, claim)) = over.get(pick % over.len().max(1)) else { return };
        let late = settle(&self.nodes[*node], claim, Transition::Succeed(Vec::new()));
        // As the node that made it, and as the one that is there now in its place.
        let of_now = Settlement { node: Some(self.nodes[0].node()), ..late.clone() };
        let mut all = vec![late];
        if !self.model.is_run(claim.job.id, claim.run, 0) {
            all.push(of_now);
        }
        let applied = self.nodes[0].ledger().settle(all.into()).await.unwrap();
        assert!(applied.iter().all(|it| !it), "{claim:?}");
    }

    async fn hour(&mut self) {
        let past = instant(self.db, -1_000);
        self.db
            .execute(&format!("update job_ready set run_at = {past} where run_at is not null"))
            .await;
        self.db.execute(&format!("update job_later set run_at = {past}")).await;
        while self.nodes[0].queue().make_due().await.unwrap() > 0 {}
        self.model.hour();
    }

    async fn die(&mut self, node: usize) {
        let dead = self.nodes[node].node();
        self.nodes[node] = self.db.another_node().await;
        self.db.execute(&format!("delete from nodes where id = {dead}")).await;
        let orphans = self.nodes[node].queue().orphans(Vec::new(), &KINDS).await.unwrap();
        let ids: Vec<Id> = orphans.iter().map(|it| it.settlement.job_id).collect();
        let settlements: Arc<[Settlement]> = orphans.into_iter().map(rescued).collect();
        let applied = self.nodes[node].ledger().settle(settlements).await.unwrap();
        assert!(applied.iter().all(|it| *it));
        self.model.died(node, &ids);
    }

    /// Everything can be worked off to its end.
    async fn finish(mut self) {
        while self.model.is_unfinished() {
            self.hour().await;
            self.step(&Step::Claim { node: 0, slots: 3 }).await;
            self.step(&Step::ClaimSuspects { node: 0 }).await;
            while self.model.running(0).is_some() {
                self.step(&Step::End { pick: 0, how: End::Succeed }).await;
            }
        }
        assert_eq!(observed(self.db).await, self.model.observable());
        assert_whole(self.db).await;
    }
}

fn rescued(orphan: Orphan) -> Settlement {
    let (reason, error) = (FailureReason::Rescued, "its node fell silent".to_owned());
    let transition = if orphan.attempt < orphan.max_attempts {
        Transition::Retry { after: HOUR, reason, error }
    } else {
        Transition::Fail { reason, error }
    };
    Settlement { transition, ..orphan.settlement }
}

/// All that there is to see of jobs: place, run, spared runs, attempts, and the order of each line.
async fn observed(db: &Fixture) -> Vec<String> {
    let sql = "select cast(r.job_id as text) || case when r.node is not null then ' running' when r.turn is not null then ' ready' \
         else ' waiting' end || ' ' || r.run || ' ' || r.spared || ' ' || \
         (select count(*) from job_attempts a where a.job_id = r.job_id) from job_ready r \
       union all select cast(b.job_id as text) || ' blocked ' || b.run || ' ' || b.spared || ' ' || \
         (select count(*) from job_attempts a where a.job_id = b.job_id) || ' behind ' || \
         (select count(*) from job_blocked o where o.line = b.line and o.pos < b.pos) from job_blocked b \
       union all select cast(l.job_id as text) || ' later ' || l.run || ' ' || l.spared || ' ' || \
         (select count(*) from job_attempts a where a.job_id = l.job_id) from job_later l \
       union all select cast(e.job_id as text) || ' ' || e.outcome || ' ' || e.run || ' ' || e.spared || ' ' || \
         (select count(*) from job_attempts a where a.job_id = e.job_id) from job_attempts e where e.ended";
    let mut all = db.texts(sql).await;
    all.sort_unstable();
    all
}

/// A database with nothing in it but the leads.
async fn empty(db: &Fixture) {
    let tables = [
        "jobs",
        "job_ready",
        "job_blocked",
        "job_later",
        "job_attempts",
        "job_clients",
        "job_clock",
        "job_counts",
        "leads",
    ];
    for table in tables {
        db.execute(&format!("delete from {table}")).await;
    }
    let now = instant(db, 0);
    for lead in 0..LEADS {
        let client = CLIENTS[usize::from(lead) % CLIENTS.len()];
        let values = format!("({}, '{client}', 'new', {now})", lead + 1);
        db.execute(&format!(
            "insert into leads (id, client_id, status, created_at) values {values}"
        ))
        .await;
    }
}

fn number(name: &str, otherwise: u32) -> u32 {
    env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(otherwise)
}

/// Draws cases and runs them; what fails is made as small as it gets.
fn run_cases(db: &Fixture) {
    let seed = number("POSTROOM_TEST_SEED", 20_261_125);
    let mut bytes = [0_u8; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: number("POSTROOM_TEST_CASES", 16),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&steps(), |steps| {
        let case = async {
            empty(db).await;
            let mut nodes = vec![db.another_node().await];
            if !db.is_sqlite() {
                nodes.push(db.another_node().await);
            }
            let model = Jobs::new(LEADS);
            Case { db, nodes, model, claims: Vec::new(), turns: HashMap::new() }.run(&steps).await;
        };
        tokio::task::block_in_place(|| Handle::current().block_on(case));
        Ok(())
    });
    if let Err(error) = result {
        panic!("seed {seed}: {error}");
    }
}

crate::on_both_databases! {
    #[ignore = "long: `just long`"]
    async fn g03_g04_a_database_goes_through_the_same_states_as_the_model(db: Fixture) {
        run_cases(&db);
    }
}
