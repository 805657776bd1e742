//! What operations do.

use crate::store::desk::by_hand::JobAction;

/// A change of webhooks that are held in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineAction {
    /// Interpret a webhook again, as if it had just come.
    Replay,
    /// Keep it, and do nothing more about it.
    Discard,
}

impl QuarantineAction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Replay, Self::Discard];

    /// As it is stored: `replay` or `discard`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationAction {
    /// A change of jobs.
    Jobs(JobAction),
    /// A change of held webhooks.
    Quarantine(QuarantineAction),
}

impl OperationAction {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Jobs(JobAction::Retry),
        Self::Jobs(JobAction::Cancel),
        Self::Quarantine(QuarantineAction::Replay),
        Self::Quarantine(QuarantineAction::Discard),
    ];

    /// As it is stored: `retry`, `cancel`, `replay` or `discard`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs(action) => action.as_str(),
            Self::Quarantine(action) => action.as_str(),
        }
    }

    /// The action that is stored as this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// What it changes, for people: `job` or `webhook`.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Jobs(_) => "job",
            Self::Quarantine(_) => "webhook",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_is_found_by_the_word_that_is_stored() {
        for action in OperationAction::ALL {
            assert_eq!(OperationAction::named(action.as_str()), Some(action));
        }
        assert_eq!(OperationAction::named("paint"), None);
    }
}
