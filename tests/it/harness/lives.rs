//! How a daemon's life ends: at a random moment, or at a point in its code.

use super::load::Dice;
use std::time::Duration;

/// The points at which the code is killed, each with the rough number of passages in a life of a
/// second or two under load. The passage that kills is drawn up to that number.
pub const POINTS: &[(&str, u64)] = &[
    ("store.register.before_commit", 1),
    ("store.register.committed", 1),
    ("store.ingest.begun", 60),
    ("store.ingest.before_commit", 60),
    ("store.ingest.committed", 60),
    // Born running and not started.
    ("ingest.handing_off", 30),
    ("ingest.commit", 60),
    ("ingest.committed", 60),
    ("store.claim.before_commit", 60),
    ("store.claim.committed", 40),
    // Claimed and not given out.
    ("supervisor.claimed", 40),
    // Given out and not run.
    ("slot.work", 200),
    // Outcomes are there and not committed.
    ("recorder.handle", 60),
    ("recorder.commit", 60),
    ("store.settle.begun", 60),
    ("store.settle.before_commit", 60),
    ("store.settle.committed", 60),
    ("recorder.handing_off", 30),
    // Committed, and nobody has heard of it.
    ("recorder.committed", 60),
    ("store.due_retries.before_commit", 3),
    ("store.due_retries.committed", 3),
    ("store.suspect.before_commit", 8),
    ("store.suspect.committed", 8),
    ("store.rescue.begun", 2),
    ("store.rescue.before_commit", 2),
    ("store.rescue.committed", 2),
];

/// How long to wait for a passage before the daemon is killed from outside.
const POINT_LIMIT: Duration = Duration::from_secs(3);

/// How a life ends.
#[derive(Clone, Debug)]
pub enum End {
    /// Killed this long after its start.
    After(Duration),
    /// Killed at this point, on that passage.
    At(&'static str, u64),
}

impl End {
    /// Draws an end. Two of three are at a point.
    pub fn by(dice: &mut Dice, longest: Duration) -> Self {
        if dice.below(3) == 0 {
            let ms = u64::try_from(longest.as_millis()).unwrap();
            return Self::After(Duration::from_millis(dice.below(ms)));
        }
        let (point, most) = POINTS[usize::try_from(dice.below(POINTS.len() as u64)).unwrap()];
        Self::At(point, 1 + dice.below(most))
    }

    /// The environment that arms it. Some handlers panic besides, so that jobs are retried.
    pub fn env(&self, panics: u64) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if let Self::At(point, passage) = self {
            faults.push(format!("{point}=kill@{passage}"));
        }
        if panics > 0 && !matches!(self, Self::At("slot.work", _)) {
            faults.push(format!("slot.work={panics}"));
        }
        vec![("POSTROOM_FAULTS".to_owned(), faults.join(","))]
    }

    /// How long to wait for it before it is killed from outside.
    pub const fn limit(&self) -> Duration {
        match self {
            Self::After(after) => *after,
            Self::At(..) => POINT_LIMIT,
        }
    }
}
