//! Marks of states: a sign and a word, never colour alone.

use super::Sign;
use crate::domain::JobStatus;
use maud::{Markup, html};

/// What a state means. It chooses the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http::ui) enum Tone {
    /// As it should be.
    Good,
    /// Going on now.
    Busy,
    /// Not yet, or no longer.
    Wait,
    /// Somebody should look at it.
    Warn,
    /// Nobody knows.
    Unsure,
    /// Wrong.
    Bad,
}

impl Tone {
    #[cfg(test)]
    pub(in crate::http::ui) const ALL: [Self; 6] =
        [Self::Good, Self::Busy, Self::Wait, Self::Warn, Self::Unsure, Self::Bad];

    /// The class of the style sheet.
    pub(in crate::http::ui) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Wait => "wait",
            Self::Warn => "warn",
            Self::Unsure => "unsure",
            Self::Bad => "bad",
        }
    }

    /// The sign that stands for the tone itself.
    pub(in crate::http::ui) const fn sign(self) -> Sign {
        match self {
            Self::Good => Sign::Ok,
            Self::Busy => Sign::Run,
            Self::Wait => Sign::Due,
            Self::Warn => Sign::Warn,
            Self::Unsure => Sign::Unsure,
            Self::Bad => Sign::Fail,
        }
    }
}

/// The mark of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::ui) struct StateMark {
    pub(in crate::http::ui) tone: Tone,
    pub(in crate::http::ui) sign: Sign,
    pub(in crate::http::ui) word: &'static str,
}

impl StateMark {
    pub(in crate::http::ui) const RETRYING: Self = Self::new(Tone::Warn, Sign::Retry, "retrying");
    pub(in crate::http::ui) const CLAIMED: Self = Self::new(Tone::Busy, Sign::Claimed, "claimed");
    pub(in crate::http::ui) const DUE: Self = Self::new(Tone::Wait, Sign::Due, "due");
    pub(in crate::http::ui) const LATER: Self = Self::new(Tone::Wait, Sign::Later, "later");
    pub(in crate::http::ui) const BEHIND: Self = Self::new(Tone::Wait, Sign::Behind, "behind");
    pub(in crate::http::ui) const HELD: Self = Self::new(Tone::Wait, Sign::Held, "held");
    pub(in crate::http::ui) const PAUSED: Self = Self::new(Tone::Warn, Sign::Pause, "paused");
    pub(in crate::http::ui) const BACKING_OFF: Self =
        Self::new(Tone::Warn, Sign::Retry, "backing off");
    pub(in crate::http::ui) const RUNNING: Self = Self::new(Tone::Good, Sign::Ok, "running");
    pub(in crate::http::ui) const UNCERTAIN: Self =
        Self::new(Tone::Unsure, Sign::Unsure, "uncertain");

    pub(in crate::http::ui) const fn new(tone: Tone, sign: Sign, word: &'static str) -> Self {
        Self { tone, sign, word }
    }

    /// The mark of a job's stored status.
    pub(in crate::http::ui) const fn of_job(status: JobStatus) -> Self {
        match status {
            JobStatus::Pending => Self::DUE,
            JobStatus::Running => Self::new(Tone::Busy, Sign::Run, "running"),
            JobStatus::Succeeded => Self::new(Tone::Good, Sign::Ok, "succeeded"),
            JobStatus::Failed => Self::new(Tone::Bad, Sign::Fail, "failed"),
            JobStatus::Cancelled => Self::new(Tone::Wait, Sign::Cancelled, "cancelled"),
        }
    }

    /// The mark in its frame: it stands out.
    pub(in crate::http::ui) fn badge(self) -> Markup {
        html! { span.st.(self.tone.class()) { (self.sign) (self.word) } }
    }

    /// The mark as a coloured sign and a grey word, for what is as usual.
    pub(in crate::http::ui) fn quiet(self) -> Markup {
        html! { span.sg.(self.tone.class()) { (self.sign) " " (self.word) } }
    }
}

/// Checks that states which stand beside each other are told apart without their colours: each has
/// a word and a sign of its own. Those that are called one of `alike` may share a sign.
#[cfg(test)]
#[track_caller]
pub(in crate::http::ui) fn assert_told_apart(marks: &[StateMark], alike: &[&str]) {
    for (number, mark) in marks.iter().enumerate() {
        for other in marks.iter().skip(number + 1) {
            assert_ne!(mark.word, other.word, "the word of two states");
            let are_alike = [mark, other].iter().all(|it| alike.contains(&it.word));
            assert!(are_alike || mark.sign != other.sign, "{mark:?} and {other:?} have one sign");
        }
    }
}
