//! The ways in which a send is cut off, and what its provider does meanwhile.

use crate::harness::Dice;
use std::time::Duration;

/// The points of a send, each with the rough number of passages in a round of some leads.
const POINTS: &[(&str, u64)] = &[
    ("send.marked", 4),
    ("send.called", 4),
    ("send.answered", 4),
    ("slot.work", 12),
    ("recorder.commit", 8),
    ("recorder.committed", 8),
    ("store.mark_send.before_commit", 4),
    ("store.mark_send.committed", 4),
    ("store.settle.before_commit", 8),
    ("store.settle.committed", 8),
];
/// What a provider does badly, as `postroom fake-provider` spells it.
const FAULTS: &[&str] =
    &["hang", "close", "reset", "reset-after", "unreadable", "500", "429:1", "503:1", "422"];

/// The statement that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The draft.
    Draft,
    /// The mark of the send.
    Mark,
    /// The message that was sent.
    Message,
    /// The status `sent`.
    Status,
}

/// How a round ends.
#[derive(Clone, Debug)]
pub enum Death {
    /// Nothing happens but what the provider does.
    None,
    /// Killed at that passage of a point.
    KillAt(&'static str, u64),
    /// Killed this long after the first webhook.
    KillAfter(Duration),
    /// Killed when the provider has taken that many answers, before it says so.
    KillOnArrival(u64),
    /// That many calls of a point panic.
    PanicAt(&'static str, u64),
    /// The provider hangs, and the handler runs out of time.
    Hangs(u64),
    /// A handler never yields, at this point.
    Stuck(&'static str),
    /// Told to stop while a provider hangs.
    StopsOnArrival,
    /// Stopped by SIGSTOP when the provider has taken an answer, until its lease is over.
    Freezes,
    /// The database refuses a statement for a while.
    Refuses(Refused),
    /// The database goes away between mark and record, and comes back.
    Away(u64),
}

impl Death {
    /// Draws one. `number` is that of the round: the ways take turns, and points and passages are
    /// drawn.
    pub fn by(number: u64, dice: &mut Dice) -> Self {
        let pick = |dice: &mut Dice, of: usize| usize::try_from(dice.below(of as u64)).unwrap();
        let passage = |dice: &mut Dice| {
            let (point, most) = POINTS[pick(dice, POINTS.len())];
            (point, 1 + dice.below(most))
        };
        match number % 14 {
            0 => Self::KillOnArrival(1 + dice.below(4)),
            1 => {
                let point = ["send.marked", "send.answered", "send.called"][pick(dice, 3)];
                Self::KillAt(point, 1 + dice.below(3))
            }
            2 => Self::Freezes,
            3 => {
                let (point, times) = passage(dice);
                Self::PanicAt(point, 1 + times / 3)
            }
            4 => Self::Hangs(1 + dice.below(3)),
            5 => Self::Away(1 + dice.below(3)),
            6 => Self::StopsOnArrival,
            7 => Self::Refuses(
                [Refused::Draft, Refused::Mark, Refused::Message, Refused::Status][pick(dice, 4)],
            ),
            8 => Self::KillAfter(Duration::from_millis(dice.below(500))),
            // Takes six seconds: not in the short form.
            9 if number > 14 && dice.percent(50) => {
                Self::Stuck(["send.marked", "send.called", "send.answered"][pick(dice, 3)])
            }
            10 => Self::None,
            _ => {
                let (point, passage) = passage(dice);
                Self::KillAt(point, passage)
            }
        }
    }

    /// What `POSTROOM_FAULTS` says for it.
    pub fn faults(&self) -> String {
        match self {
            Self::KillAt(point, passage) => format!("{point}=kill@{passage}"),
            Self::PanicAt(point, times) => format!("{point}={times}"),
            Self::Stuck(point) => format!("{point}=block"),
            _ => String::new(),
        }
    }

    /// Its sort, as the figures count it.
    pub fn word(&self) -> String {
        match self {
            Self::None => "nothing but the provider".to_owned(),
            Self::KillAt(point, _) => format!("kill at {point}"),
            Self::KillAfter(_) => "kill at a random moment".to_owned(),
            Self::KillOnArrival(_) => "kill when the provider has it".to_owned(),
            Self::PanicAt(point, _) => format!("panic at {point}"),
            Self::Hangs(_) => "time-out while the provider hangs".to_owned(),
            Self::Stuck(point) => format!("stuck at {point}"),
            Self::StopsOnArrival => "SIGTERM while the provider hangs".to_owned(),
            Self::Freezes => "lease lost while the provider has it".to_owned(),
            Self::Refuses(what) => format!("refused: {what:?}").to_lowercase(),
            Self::Away(_) => "database away while the provider has it".to_owned(),
        }
    }

    /// What the provider does in this round, as rules of the fake.
    pub fn rules(&self, dice: &mut Dice) -> Vec<String> {
        let mut rules = Vec::new();
        match self {
            Self::Hangs(calls) => rules.push(format!("hang*{calls}")),
            Self::StopsOnArrival => rules.push("hang*2".to_owned()),
            // Its answer is on the way: only its fence is lost.
            Self::Freezes => return rules,
            _ => {}
        }
        for _ in 0..dice.below(3) {
            let fault = FAULTS[usize::try_from(dice.below(FAULTS.len() as u64)).unwrap()];
            let channel = ["sms/", "email/", ""][usize::try_from(dice.below(3)).unwrap()];
            rules.push(format!("{channel}{fault}*1"));
        }
        rules
    }
}
