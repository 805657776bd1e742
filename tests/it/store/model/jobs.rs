//! The model: what becomes of jobs, without turns, clocks and SQL.

use super::End;
use postroom::{domain::Id, store::Claim};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The head of its line, in turn.
    Ready,
    /// Claimed by the node of that number.
    Running(usize),
    /// The head of its line, out of turn until its retry is due.
    Waiting,
    Blocked,
    Later,
    Ended(&'static str),
}

#[derive(Clone, Debug)]
struct Job {
    kind: &'static str,
    lead: Option<Id>,
    run: i64,
    spared: i64,
    max_attempts: i64,
    attempts: i64,
    place: Place,
    /// Its last attempt was rescued, and since then it is due or not.
    is_suspect: bool,
    is_due: bool,
}

#[derive(Debug, Default)]
struct Line {
    head: Option<Id>,
    blocked: VecDeque<Id>,
}

/// All jobs of a case.
#[derive(Debug)]
pub(super) struct Jobs {
    jobs: BTreeMap<Id, Job>,
    lines: HashMap<Id, Line>,
}

impl Jobs {
    pub(super) fn new(leads: u8) -> Self {
        let lines = (1..=Id::from(leads)).map(|it| (it, Line::default())).collect();
        Self { jobs: BTreeMap::new(), lines }
    }

    fn job(&mut self, id: Id) -> &mut Job {
        self.jobs.get_mut(&id).unwrap()
    }

    pub(super) fn enqueue(&mut self, id: Id, kind: &'static str, lead: Option<Id>, is_later: bool) {
        let job = Job {
            kind,
            lead,
            run: 0,
            spared: 0,
            max_attempts: 5,
            attempts: 0,
            place: Place::Later,
            is_suspect: false,
            is_due: false,
        };
        self.jobs.insert(id, job);
        if !is_later {
            self.enter(id);
        }
    }

    /// Comes into its line: in turn if nobody is there, else behind all.
    fn enter(&mut self, id: Id) {
        let lead = self.jobs[&id].lead;
        let place = match lead.and_then(|it| self.lines.get_mut(&it)) {
            Some(line) if line.head.is_some() => {
                line.blocked.push_back(id);
                Place::Blocked
            }
            Some(line) => {
                line.head = Some(id);
                Place::Ready
            }
            None => Place::Ready,
        };
        self.job(id).place = place;
    }

    /// Goes out of its line; the next one comes.
    fn leave(&mut self, id: Id) {
        let Some(line) = self.jobs[&id].lead.and_then(|it| self.lines.get_mut(&it)) else { return };
        if line.head != Some(id) {
            line.blocked.retain(|it| *it != id);
            return;
        }
        line.head = line.blocked.pop_front();
        if let Some(next) = line.head {
            self.job(next).place = Place::Ready;
        }
    }

    pub(super) fn place(&self, id: Id) -> Place {
        self.jobs[&id].place
    }

    /// The jobs of a kind that are in turn.
    pub(super) fn ready(&self, kind: &str) -> Vec<Id> {
        let is_ready = |it: &(&Id, &Job)| it.1.kind == kind && it.1.place == Place::Ready;
        self.jobs.iter().filter(is_ready).map(|it| *it.0).collect()
    }

    pub(super) fn any(&self, pick: usize) -> Option<Id> {
        self.jobs.keys().nth(pick % self.jobs.len().max(1)).copied()
    }

    pub(super) fn running(&self, pick: usize) -> Option<Id> {
        let running: Vec<Id> = self
            .jobs
            .iter()
            .filter(|it| matches!(it.1.place, Place::Running(_)))
            .map(|it| *it.0)
            .collect();
        running.get(pick % running.len().max(1)).copied()
    }

    /// Whether that run is the one that the node holds now.
    pub(super) fn is_run(&self, id: Id, run: i64, node: usize) -> bool {
        let job = &self.jobs[&id];
        job.run == run && job.place == Place::Running(node)
    }

    pub(super) fn claimed(&mut self, node: usize, claims: &[Claim]) {
        for claim in claims {
            let job = self.job(claim.job.id);
            assert_eq!(job.place, Place::Ready, "{claim:?}");
            (job.place, job.run) = (Place::Running(node), job.run + 1);
            assert_eq!((claim.run, claim.spared), (job.run, job.spared), "{claim:?}");
        }
    }

    pub(super) fn claimed_suspects(&mut self, node: usize, claims: &[Claim]) {
        let due: Vec<Id> = self
            .jobs
            .iter()
            .filter(|it| it.1.place == Place::Waiting && it.1.is_suspect && it.1.is_due)
            .map(|it| *it.0)
            .collect();
        let mut got: Vec<Id> = claims.iter().map(|it| it.job.id).collect();
        got.sort_unstable();
        assert_eq!(got, due, "all suspects that are due, and no other job");
        for claim in claims {
            let job = self.job(claim.job.id);
            (job.place, job.run) = (Place::Running(node), job.run + 1);
            assert_eq!((claim.run, claim.spared), (job.run, job.spared), "{claim:?}");
        }
    }

    pub(super) fn ended(&mut self, id: Id, how: End) {
        match how {
            End::Succeed | End::SucceedWithNext => self.over(id, "succeeded"),
            End::Fail => self.over(id, "error"),
            End::Retry => {
                let job = self.job(id);
                (job.place, job.is_suspect, job.is_due) = (Place::Waiting, false, false);
                job.attempts += 1;
            }
            End::Snooze => {
                self.leave(id);
                let job = self.job(id);
                (job.place, job.is_suspect) = (Place::Later, false);
                job.attempts += 1;
                job.spared += 1;
            }
            End::Postpone => {
                let job = self.job(id);
                (job.place, job.is_due) = (Place::Waiting, false);
                job.spared += 1;
            }
            End::Release => {
                let job = self.job(id);
                job.place = Place::Ready;
                job.spared += 1;
            }
        }
    }

    fn over(&mut self, id: Id, outcome: &'static str) {
        self.leave(id);
        let job = self.job(id);
        job.place = Place::Ended(outcome);
        job.attempts += 1;
    }

    /// False if it has ended already.
    pub(super) fn cancel(&mut self, id: Id) -> bool {
        if matches!(self.place(id), Place::Ended(_)) {
            return false;
        }
        self.over(id, "cancelled");
        let job = self.job(id);
        job.run += 1;
        job.spared += 1;
        true
    }

    /// False if it has not failed or been cancelled.
    pub(super) fn retry_by_hand(&mut self, id: Id) -> bool {
        if matches!(self.place(id), Place::Ended("succeeded")) {
            return false;
        }
        let Place::Ended(outcome) = self.place(id) else { return false };
        let job = self.job(id);
        job.spared = job.run + 1 - job.max_attempts;
        job.is_suspect = outcome == "rescued";
        job.is_due = true;
        self.enter(id);
        true
    }

    /// An hour passes.
    pub(super) fn hour(&mut self) {
        let later: Vec<Id> = self
            .jobs
            .iter_mut()
            .filter_map(|(id, it)| {
                if it.place == Place::Waiting {
                    it.is_due = true;
                    if !it.is_suspect {
                        it.place = Place::Ready;
                    }
                }
                (it.place == Place::Later).then_some(*id)
            })
            .collect();
        for id in later {
            self.enter(id);
        }
    }

    /// A node dies; `rescued` are the jobs that were found.
    pub(super) fn died(&mut self, node: usize, rescued: &[Id]) {
        let claimed: Vec<Id> = self
            .jobs
            .iter()
            .filter(|it| it.1.place == Place::Running(node))
            .map(|it| *it.0)
            .collect();
        let mut rescued = rescued.to_vec();
        rescued.sort_unstable();
        assert_eq!(rescued, claimed, "what it had claimed, and nothing else");
        for id in claimed {
            let job = self.job(id);
            if job.run - job.spared < job.max_attempts {
                (job.place, job.is_suspect, job.is_due) = (Place::Waiting, true, false);
                job.attempts += 1;
            } else {
                self.over(id, "rescued");
            }
        }
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.jobs.values().any(|it| !matches!(it.place, Place::Ended(_)))
    }

    /// As the database shows it.
    pub(super) fn observable(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .jobs
            .iter()
            .map(|(id, it)| {
                let word = match it.place {
                    Place::Ready => "ready",
                    Place::Running(_) => "running",
                    Place::Waiting => "waiting",
                    Place::Blocked => "blocked",
                    Place::Later => "later",
                    Place::Ended(outcome) => outcome,
                };
                let shown = format!("{id} {word} {} {} {}", it.run, it.spared, it.attempts);
                let line = it.lead.and_then(|lead| self.lines.get(&lead));
                let place = line.and_then(|line| line.blocked.iter().position(|other| other == id));
                match place {
                    Some(place) => format!("{shown} behind {place}"),
                    None => shown,
                }
            })
            .collect();
        all.sort_unstable();
        all
    }
}
