//! How the daemon is, in one sentence, and what is wrong with it, as pages show it.

use super::{
    parts::{Sign, StateMark, Tone, link_button, since},
    visit::Visit,
};
use crate::domain::{
    Timestamp,
    alerts::{Alert, AlertRule, OverallState},
};
use maud::{Markup, html};

/// How the daemon is.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) tone: Tone,
    /// As the stream tells it: `well`, `warning` or `bad`.
    pub(super) state: &'static str,
    pub(super) sentence: String,
    /// What is wrong, what matters most first.
    pub(super) lines: Vec<WrongLine>,
    /// How many more things are wrong.
    pub(super) more: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrongLine {
    pub(super) mark: StateMark,
    /// What is wrong.
    pub(super) what: String,
    /// What that means, or what to do.
    pub(super) more: String,
    pub(super) since: Timestamp,
    /// The page that shows it, with its query, and the words that lead there.
    pub(super) path: &'static str,
    pub(super) action: &'static str,
}

impl Health {
    /// How the daemon is now, by what it knows without asking anybody.
    pub(super) fn of(visit: &Visit) -> Self {
        let verdict = visit.state().verdict();
        let tone = match verdict.state {
            OverallState::Well => Tone::Good,
            OverallState::Warning => Tone::Warn,
            OverallState::Bad => Tone::Bad,
        };
        Self {
            tone,
            state: verdict.state.as_str(),
            sentence: verdict.sentence,
            lines: verdict.wrong.iter().map(WrongLine::of).collect(),
            more: verdict.more,
        }
    }

    /// All that is wrong now, what matters most first.
    pub(super) fn all_lines(visit: &Visit) -> Vec<WrongLine> {
        visit.state().wrong().iter().map(WrongLine::of).collect()
    }

    /// How many things are wrong.
    pub(super) fn count(&self) -> usize {
        self.lines.len() + self.more
    }

    /// The title for tabs: `2 problems`.
    pub(super) fn title(&self) -> String {
        match self.count() {
            _ if self.tone == Tone::Good => "Overview".to_owned(),
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        }
    }
}

impl WrongLine {
    fn of(alert: &Alert) -> Self {
        let (what, more) = parted(&alert.sentence);
        let (path, since) = (alert.link, alert.since);
        Self { mark: mark(alert.rule), what, more, since, path, action: action(path) }
    }
}

/// Things that are wrong: what, since when, and the page that shows it. They are about all clients,
/// and so are the pages that they lead to.
pub(super) fn wrong_list(visit: &Visit, lines: &[WrongLine]) -> Markup {
    html! {
        ol.wrong.box {
            @for line in lines {
                li {
                    (line.mark.badge())
                    p { b { (line.what) } @if !line.more.is_empty() { " " span.mut { (line.more) } } }
                    span.n.mut { (since(line.since, visit.now)) }
                    (link_button(&visit.to_with(line.path, &[("client", "")]), line.action))
                }
            }
        }
    }
}

/// The beginning of a sentence that says what is wrong, and the rest.
fn parted(sentence: &str) -> (String, String) {
    let end = [": ", ". "].into_iter().filter_map(|it| sentence.find(it)).min();
    match end {
        Some(at) => {
            let (what, more) = sentence.split_at(at + 1);
            let more = more.trim_start();
            let mut chars = more.chars();
            let first = chars.next().map(|it| it.to_uppercase().to_string());
            let what = what.trim_end_matches([':', '.']);
            (format!("{what}."), format!("{}{}", first.unwrap_or_default(), chars.as_str()))
        }
        None => (sentence.to_owned(), String::new()),
    }
}

const fn mark(rule: AlertRule) -> StateMark {
    match rule {
        AlertRule::Down => StateMark::new(Tone::Bad, Sign::Fail, "not ready"),
        AlertRule::RefusingWebhooks => StateMark::new(Tone::Bad, Sign::Fail, "refusing"),
        AlertRule::JobsLate => StateMark::new(Tone::Bad, Sign::Fail, "late"),
        AlertRule::CanaryStale => StateMark::new(Tone::Bad, Sign::Fail, "no canary"),
        AlertRule::LedgerBroken => StateMark::new(Tone::Bad, Sign::Fail, "ledger"),
        AlertRule::JobsFailing => StateMark::new(Tone::Warn, Sign::Retry, "failing"),
        AlertRule::SendsUncertain => StateMark::UNCERTAIN,
        AlertRule::AccountDisconnected => StateMark::new(Tone::Warn, Sign::Warn, "account"),
        AlertRule::DraftsWait => StateMark::new(Tone::Warn, Sign::Later, "waiting"),
        AlertRule::NotUnderstood => StateMark::new(Tone::Warn, Sign::Warn, "quarantined"),
        AlertRule::ConfigRefused => StateMark::new(Tone::Bad, Sign::Fail, "refused"),
        AlertRule::ConfigNeedsRestart => StateMark::new(Tone::Warn, Sign::Retry, "restart"),
        AlertRule::SendingOff => StateMark::new(Tone::Warn, Sign::Pause, "sending off"),
        AlertRule::PoolPaused => StateMark::PAUSED,
        AlertRule::NodeSilent => StateMark::new(Tone::Warn, Sign::Unsure, "silent"),
    }
}

/// The words that lead to the page of an alert.
fn action(path: &str) -> &'static str {
    match path.split('?').next().unwrap_or(path) {
        "/inbox" => "Open the inbox",
        "/jobs" => "Open the jobs",
        "/pools" => "Open the pools",
        "/received" => "Open what came in",
        "/deliveries" => "Settle the sends",
        "/clients" => "Open the clients",
        "/config" => "Open the configuration",
        _ => "Open System",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_begins_with_what_is_wrong() {
        for (sentence, what, more) in [
            (
                "3 answers may have gone out, or not. Look there.",
                "3 answers may have gone out, or not.",
                "Look there.",
            ),
            (
                "4 jobs wait for A: the pool is paused by dana.",
                "4 jobs wait for A.",
                "The pool is paused by dana.",
            ),
            ("One thing is wrong.", "One thing is wrong.", ""),
        ] {
            assert_eq!(parted(sentence), (what.to_owned(), more.to_owned()));
        }
    }
}
