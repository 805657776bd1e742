//! What pages say about the actions on many.

use crate::{
    http::ui::parts::ButtonLook,
    store::{JobAction, OperationAction, QuarantineAction},
};

/// What pages say about an action on many.
#[derive(Clone, Copy, Debug)]
pub(in crate::http::ui) struct ManyWords {
    /// `Retry`
    pub(in crate::http::ui) verb: &'static str,
    /// `Retrying`
    pub(super) doing: &'static str,
    /// `Retried`
    pub(super) done: &'static str,
    /// Where its form leads.
    pub(super) path: &'static str,
    pub(super) look: ButtonLook,
    /// A sentence about its effect.
    pub(super) effect: &'static str,
    /// Why nothing may match.
    pub(super) only: &'static str,
}

impl ManyWords {
    /// Those of this action.
    pub(in crate::http::ui) const fn of(action: OperationAction) -> Self {
        match action {
            OperationAction::Jobs(JobAction::Retry) => Self {
                verb: "Retry",
                doing: "Retrying",
                done: "Retried",
                path: "/jobs/retry",
                look: ButtonLook::Primary,
                effect: "Each gets one more attempt, in its turn. You can stop half-way.",
                only: "Only jobs that have failed or were cancelled can be retried.",
            },
            OperationAction::Jobs(JobAction::Cancel) => Self {
                verb: "Cancel",
                doing: "Cancelling",
                done: "Cancelled",
                path: "/jobs/cancel",
                look: ButtonLook::Danger,
                effect: "They end, and what runs is not recorded. What is done stays done if you stop half-way.",
                only: "Only jobs that have not ended can be cancelled.",
            },
            OperationAction::Quarantine(QuarantineAction::Replay) => Self {
                verb: "Replay",
                doing: "Replaying",
                done: "Replayed",
                path: "/quarantine/replay",
                look: ButtonLook::Primary,
                effect: "Each is read again as if it had just come, the oldest first. What is understood now is stored and \
                         answered; what is not stays here. You can stop half-way.",
                only: "Only webhooks that are held can be replayed.",
            },
            OperationAction::Quarantine(QuarantineAction::Discard) => Self {
                verb: "Discard",
                doing: "Discarding",
                done: "Discarded",
                path: "/quarantine/discard",
                look: ButtonLook::Danger,
                effect: "They stay stored, and nothing more is done about them. What is done stays done if you stop half-way.",
                only: "Only webhooks that are held can be discarded.",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ui::parts::button;

    #[test]
    fn each_action_says_what_follows() {
        for action in OperationAction::ALL {
            let words = ManyWords::of(action);
            assert_eq!(words.verb.to_lowercase(), action.as_str());
            assert!(words.path.ends_with(action.as_str()));
            assert!(words.effect.contains("half-way") && words.only.contains(action.noun()));
            assert!(words.only.contains(&words.done.to_lowercase()));
            let shown = button(words.look, words.verb).into_string();
            assert!(shown.contains(words.verb));
        }
    }
}
