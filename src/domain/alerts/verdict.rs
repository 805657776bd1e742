//! All alerts in one sentence.

use super::{Alert, Severity};

/// The most alerts that a verdict lists.
pub const LINES_MAX: usize = 6;
/// The most alerts that its sentence names.
const NAMED_MAX: usize = 2;

/// How the daemon is, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverallState {
    /// Nothing is wrong.
    Well,
    /// Something is wrong that can wait, or began just now.
    Warning,
    /// Somebody should act now.
    Bad,
}

impl OverallState {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// How the daemon is, in one sentence, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverallVerdict {
    /// All in all.
    pub state: OverallState,
    /// One sentence.
    pub sentence: String,
    /// What is wrong, what matters most first: at most [`LINES_MAX`].
    pub wrong: Vec<Alert>,
    /// How many more things are wrong.
    pub more: usize,
}

impl OverallVerdict {
    /// Sums up alerts that are in their order.
    pub fn of(mut alerts: Vec<Alert>) -> Self {
        let is_page = |alert: &Alert| alert.rule.severity() == Severity::Page && alert.fires;
        let is_note = |alert: &Alert| alert.rule.severity() == Severity::Note;
        let state = if alerts.iter().any(is_page) {
            OverallState::Bad
        } else if alerts.iter().all(is_note) {
            OverallState::Well
        } else {
            OverallState::Warning
        };
        let sentence = sentence(state, &alerts);
        let more = alerts.len().saturating_sub(LINES_MAX);
        alerts.truncate(LINES_MAX);
        Self { state, sentence, wrong: alerts, more }
    }
}

fn sentence(state: OverallState, alerts: &[Alert]) -> String {
    let start = match (state, alerts) {
        (_, []) => return "All is well".to_owned(),
        (OverallState::Well, _) => "All is well, and ",
        (OverallState::Warning | OverallState::Bad, _) => "",
    };
    let counted = alerts.len().min(NAMED_MAX);
    let named: Vec<&str> = alerts.iter().take(counted).map(|it| it.clause.as_str()).collect();
    let mut text =
        format!("{start}{}", named.join(if alerts.len() > NAMED_MAX { ", " } else { ", and " }));
    match alerts.len() - counted {
        0 => {}
        1 => text.push_str(", and 1 thing more is wrong"),
        more => text.push_str(&format!(", and {more} things more are wrong")),
    }
    capitalised(&text)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Timestamp, alerts::AlertRule};

    fn alert(rule: AlertRule, fires: bool, clause: &str) -> Alert {
        Alert {
            rule,
            fires,
            since: Timestamp::default(),
            clause: clause.to_owned(),
            sentence: String::new(),
            link: "/",
        }
    }

    #[test]
    fn one_sentence_says_how_it_is() {
        use AlertRule::{JobsLate, PoolPaused, SendsUncertain};
        let late = |fires| alert(JobsLate, fires, "replies are late");
        let uncertain = || alert(SendsUncertain, true, "3 sends have no known end");
        let paused = || alert(PoolPaused, false, "A is paused");
        for (alerts, state, sentence) in [
            (vec![], "well", "All is well"),
            (vec![paused()], "well", "All is well, and A is paused"),
            (vec![uncertain()], "warning", "3 sends have no known end"),
            (vec![late(false)], "warning", "Replies are late"),
            (
                vec![late(true), uncertain()],
                "bad",
                "Replies are late, and 3 sends have no known end",
            ),
            (
                vec![late(true), uncertain(), paused()],
                "bad",
                "Replies are late, 3 sends have no known end, and 1 thing more is wrong",
            ),
            (
                vec![late(true), uncertain(), paused(), paused()],
                "bad",
                "Replies are late, 3 sends have no known end, and 2 things more are wrong",
            ),
        ] {
            let verdict = OverallVerdict::of(alerts);
            assert_eq!((verdict.state.as_str(), verdict.sentence.as_str()), (state, sentence));
        }
    }

    #[test]
    fn at_most_six_lines_are_listed() {
        let many = |count: usize| {
            let alerts = (0..count).map(|_| alert(AlertRule::JobsLate, true, "x"));
            let verdict = OverallVerdict::of(alerts.collect());
            (verdict.wrong.len(), verdict.more)
        };
        assert_eq!((many(5), many(6), many(8)), ((5, 0), (6, 0), (6, 2)));
    }
}
