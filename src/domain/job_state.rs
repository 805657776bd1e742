//! The state of a job as a person sees it: its status, and for a job that waits, what it waits for.

use super::job::JobStatus;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// A node has claimed it.
    Running,
    /// It is in turn.
    Due,
    /// It has failed, and waits for its next attempt.
    Retrying,
    /// It is due later, and has not failed.
    Later,
    /// It waits behind another job of its lead.
    Behind,
    /// It waits because its client is at its cap.
    Held,
    /// It ended without success.
    Failed,
    /// A person ended it, or its message or lead is gone.
    Cancelled,
    /// It ended with success.
    Succeeded,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 9] = [
        Self::Running,
        Self::Due,
        Self::Retrying,
        Self::Later,
        Self::Behind,
        Self::Held,
        Self::Failed,
        Self::Cancelled,
        Self::Succeeded,
    ];

    /// Those of a job that waits.
    pub const WAITING: [Self; 5] =
        [Self::Due, Self::Retrying, Self::Later, Self::Behind, Self::Held];

    /// As shown, and as filters name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Due => "due",
            Self::Retrying => "retrying",
            Self::Later => "later",
            Self::Behind => "behind",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Succeeded => "succeeded",
        }
    }

    /// The state of a waiting job with this name.
    pub fn waiting(text: &str) -> Option<Self> {
        Self::WAITING.into_iter().find(|state| state.as_str() == text)
    }

    /// The status that it belongs to.
    pub const fn status(self) -> JobStatus {
        match self {
            Self::Running => JobStatus::Running,
            Self::Due | Self::Retrying | Self::Later | Self::Behind | Self::Held => {
                JobStatus::Pending
            }
            Self::Failed => JobStatus::Failed,
            Self::Cancelled => JobStatus::Cancelled,
            Self::Succeeded => JobStatus::Succeeded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_belongs_to_a_status() {
        for state in JobState::ALL {
            let is_waiting = JobState::WAITING.contains(&state);
            assert_eq!(state.status() == JobStatus::Pending, is_waiting, "{state:?}");
            assert_eq!(is_waiting, JobState::waiting(state.as_str()) == Some(state));
            assert_eq!(is_waiting, state.status().as_str() != state.as_str());
        }
    }
}
